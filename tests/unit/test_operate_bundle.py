"""The bundle's hash, what may lie in it, and its card."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from playbook.artifacts import BasePin, Score
from playbook.errors import ArtifactError
from playbook.operate.bundle import CardFacts, bundle_hash, write_card
from playbook.spec import TaskSpec

PIN = BasePin(
    name="team/encoder",
    origin="hub",
    revision="a" * 40,
    weights_sha256="b" * 64,
    tokenizer_sha256="c" * 64,
    licence="apache-2.0",
    parameters=22_713_216,
    blocks=6,
    width=384,
    pooling="mean",
    max_length=128,
)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    folder = tmp_path / "bundle"
    (folder / "sub").mkdir(parents=True)
    (folder / "bundle.json").write_text('{"labels": ["a", "b"]}')
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "sub" / "vocab.txt").write_text("a\nb\n")
    return folder


def test_hash_is_of_names_and_bytes(bundle: Path, tmp_path: Path) -> None:
    first = bundle_hash(bundle)
    assert len(first) == 64
    moved = bundle.rename(tmp_path / "elsewhere")
    assert bundle_hash(moved) == first
    (moved / "model.safetensors").write_bytes(b"Weights")
    changed = bundle_hash(moved)
    (moved / "model.safetensors").write_bytes(b"weights")
    (moved / "sub" / "vocab.txt").rename(moved / "vocab.txt")
    assert len({first, changed, bundle_hash(moved)}) == 3


@pytest.mark.parametrize("name", ["model.pkl", "pytorch_model.bin", "code.py", "weights", "sub/x.pt", ".hidden"])
def test_other_kinds_of_files_are_refused(bundle: Path, name: str) -> None:
    (bundle / name).write_bytes(b"")
    with pytest.raises(ArtifactError, match=f"found {name}"):
        bundle_hash(bundle)


def test_links_are_refused(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "outside.json").write_text("{}")
    (bundle / "inside.json").symlink_to(tmp_path / "outside.json")
    with pytest.raises(ArtifactError, match=r"found inside\.json"):
        bundle_hash(bundle)


def test_a_folder_without_bundle_json_is_none(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"expected a model bundle with bundle\.json"):
        bundle_hash(tmp_path)


def _spec(**data: Any) -> TaskSpec:
    return TaskSpec.model_validate(
        {
            "task": "tickets",
            "question": "Which team should | answer <script>alert(1)</script> this ticket?",
            "target": {"metric": "accuracy", "at_least": 0.85, "margin": 0.01},
            "owners": {"model": "m@example.com", "data": "team:data", "sign_off": "s@example.com"},
            "data": {
                "source": {"path": "x.csv", "known_limits": ["only `English`"], "provenance": "helpdesk [1]"},
                "columns": {"text": "t", "label": "l"},
                "classes": {"refund": "money | back", "access": "log\nin"},
                **data,
            },
            "base": {"hub": "team/encoder", "revision": "a" * 40, "sha256": "b" * 64, "licence": "apache-2.0"},
        }
    )


FACTS = CardFacts(
    pin=PIN,
    source="rung_2",
    unfrozen=2,
    dataset_version=3,
    dataset_hash="d" * 32 + ".dir",
    rows={"train": 700, "test": 150},
    test={"accuracy": Score(metric="accuracy", value=0.91234, low=0.89, high=0.93, n=150)},
    verdict="Ship the candidate.",
)


def test_card_says_what_the_model_is(bundle: Path) -> None:
    text = write_card(bundle, _spec(), FACTS).read_text(encoding="utf-8")
    assert yaml.safe_load(text.split("---")[1]) == {
        "pipeline_tag": "text-classification",
        "base_model": "team/encoder",
        "license": "apache-2.0",
        "tags": ["playbook", "tickets"],
    }
    assert "| accuracy | 0.9123 | 0.8900 to 0.9300 | 150 |" in text
    assert "Ship the candidate." in text
    assert "version 3, hash " + "d" * 32 + ".dir, 700 train, 150 test" in text
    assert "rung\\_2, 2 of 6 blocks unfrozen" in text
    assert "22,713,216 parameters" in text
    assert "Texts are cut after 128 tokens." in text


def test_card_escapes_text_from_outside(bundle: Path) -> None:
    text = write_card(bundle, _spec(), FACTS).read_text(encoding="utf-8")
    assert "<script>" not in text
    assert "&lt;script&gt;" in text
    assert "| refund | money \\| back |" in text
    assert "| access | log in |" in text
    assert "- only \\`English\\`" in text
    assert "helpdesk \\[1\\]" in text


def test_card_is_part_of_the_hash_and_the_same_every_time(bundle: Path) -> None:
    before = bundle_hash(bundle)
    write_card(bundle, _spec(), FACTS)
    once = bundle_hash(bundle)
    write_card(bundle, _spec(), FACTS)
    assert bundle_hash(bundle) == once != before


def test_a_test_split_that_stayed_closed_is_said(bundle: Path) -> None:
    closed = CardFacts(PIN, "frozen_baseline", 0, 1, "d" * 32)
    assert "The test split was not opened." in write_card(bundle, _spec(), closed).read_text(encoding="utf-8")
