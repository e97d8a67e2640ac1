"""The recipe: what it holds, that it is the same every time, and what is not a recipe."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from report_samples import ORDINARY, PIN, dataset_for, spec_for

from playbook.artifacts import FileRef
from playbook.errors import ArtifactError
from playbook.operate.recipe import (
    Circumstances,
    Recipe,
    base_of,
    circumstances_of,
    make_recipe,
    read_recipe,
    recipe_in,
    settings_that_differ,
)
from playbook.store import file_sha256

HERE = Circumstances(hardware="x86_64 processor, 2 threads, bfloat16", threads=2, versions={"torch": "2", "numpy": "1"})


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    for name in ("model.safetensors", "head.safetensors"):
        (tmp_path / name).write_bytes(name.encode())
    (tmp_path / "bundle.json").write_text('{"precision": "bf16"}')
    return tmp_path


def recipe_for(bundle: Path, unfrozen: int = 2, refreshed: tuple[str, Recipe] | None = None) -> Recipe:
    spec = spec_for(ORDINARY)
    files = {split: FileRef(name=f"{split}.parquet", sha256=split, size=1) for split in ("train", "validation", "test")}
    dataset = dataset_for(spec, files=files, dataset_hash="d" * 32 + ".dir", number=3)
    return make_recipe(
        spec, dataset, PIN, spec.base, bundle, unfrozen=unfrozen, weights_sha256="w", circumstances=HERE,
        refreshed=refreshed,
    )  # fmt: skip


def test_it_holds_what_makes_the_weights(bundle: Path) -> None:
    recipe = recipe_for(bundle)
    assert (recipe.method, recipe.unfrozen, recipe.precision) == ("staircase", 2, "bf16")
    assert recipe.data.files == {"train": "train", "validation": "validation", "test": "test"}
    assert recipe.expected == {
        "model.safetensors": file_sha256(bundle / "model.safetensors"),
        "head.safetensors": file_sha256(bundle / "head.safetensors"),
        "bundle.json": file_sha256(bundle / "bundle.json"),
        "weights.safetensors": "w",
    }
    assert recipe.spec["task"] == "demo" and recipe.labels == ORDINARY and recipe.metric.at_least == 0.85
    assert recipe_for(bundle, unfrozen=0).method == "frozen_baseline"
    assert recipe.text == recipe_for(bundle).text
    assert read_recipe(recipe.text, "here") == recipe


def test_a_refresh_holds_the_recipe_that_it_starts_from(bundle: Path) -> None:
    first = recipe_for(bundle)
    second = recipe_for(bundle, refreshed=("1.0.0", first))
    third = recipe_for(bundle, refreshed=("1.0.1", second))
    assert third.method == "refresh" and third.refreshed_from == "1.0.1"
    assert third.chain == (first, second, third)
    assert third.adaptation.learning_rate == first.adaptation.learning_rate * 0.5
    assert read_recipe(third.text, "here") == third


def test_a_bundle_from_before_there_were_recipes(bundle: Path) -> None:
    assert recipe_in(bundle) is None
    (bundle / "recipe.json").write_text(recipe_for(bundle).text)
    assert recipe_in(bundle) == recipe_for(bundle)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("method",), "refresh", "a refresh, and nothing else, starts from another recipe"),
        (("expected",), {}, r"expected hashes of model\.safetensors"),
        (("format",), 2, "fault in format"),
        (("data", "hash"), 5, r"fault in data\.hash"),
        (("surprise",), 1, "fault in surprise"),
    ],
)
def test_what_is_no_recipe(bundle: Path, path: tuple[str, ...], value: object, message: str) -> None:
    body = json.loads(recipe_for(bundle).text)
    inner = body
    for part in path[:-1]:
        inner = inner[part]
    inner[path[-1]] = value
    with pytest.raises(ArtifactError, match=message):
        read_recipe(json.dumps(body), "recipe.json")
    with pytest.raises(ArtifactError, match="expected a recipe"):
        read_recipe(b"{", "recipe.json")


def test_the_base_is_the_one_of_the_pin() -> None:
    base = spec_for(ORDINARY).base
    right = base.model_copy(update={"sha256": PIN.weights_sha256, "max_length": PIN.max_length})
    assert base_of(PIN, (base.model_copy(update={"sha256": "0" * 64}), right)) == right
    shorter = right.model_copy(update={"layers": 2})
    assert base_of(PIN.model_copy(update={"layers": 2}), (right, shorter)) == shorter
    with pytest.raises(ArtifactError, match="expected a base of the task file with this pin, found none"):
        base_of(PIN.model_copy(update={"weights_sha256": "0" * 64}), (right,))


def test_what_differs_is_named() -> None:
    assert settings_that_differ(HERE, HERE) == []
    there = Circumstances(hardware="1 x GPU, bfloat16", threads=2, versions={"torch": "3", "numpy": "1", "more": "1"})
    assert settings_that_differ(HERE, there) == [
        "hardware: expected x86_64 processor, 2 threads, bfloat16, found 1 x GPU, bfloat16",
        "torch: expected 2, found 3",
        "more: expected none, found 1",
    ]
    assert circumstances_of(HERE.hardware, {}, 7).threads == 2
    assert circumstances_of("1 x GPU, bfloat16", {}, 7).threads == 7
