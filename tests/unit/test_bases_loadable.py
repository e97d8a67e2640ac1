"""Bases whose files are what the pin says, and which cannot be loaded or do not answer."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from data_samples import sample
from tiny_base import tiny_spec, write_tiny_base

from assets.scope import require_bases
from playbook.errors import PinMismatch
from playbook.spec import BakeOff, Budget
from playbook.store import file_sha256
from playbook.taskfile import Task


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "base"
    write_tiny_base(folder)
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "broken"))


def config(**changes: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        content = json.loads((folder / "config.json").read_text("utf-8")) | changes
        kept = {name: value for name, value in content.items() if value is not None}
        (folder / "config.json").write_text(json.dumps(kept), "utf-8")

    return change


def tokenizer(text: str) -> Callable[[Path], None]:
    return lambda folder: (folder / "tokenizer.json").write_text(text, "utf-8") and None


def one_token_more(folder: Path) -> None:
    content = json.loads((folder / "tokenizer.json").read_text("utf-8"))
    content["model"]["vocab"]["onemore"] = 10_000
    (folder / "tokenizer.json").write_text(json.dumps(content), "utf-8")


def shorter(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4])


def undefined(folder: Path) -> None:
    weights = folder / "model.safetensors"
    content = weights.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    weights.write_bytes(content[:start] + b"\xff" * (len(content) - start))


BROKEN = {
    "cut off": (shorter, "cannot be read.*fetch the base again"),
    "no numbers": (undefined, "expected features that are numbers"),
    "heads that do not divide": (config(num_attention_heads=5), "divides the width, found 5 heads"),
    "no heads": (config(num_attention_heads=0), "divides the width, found 0 heads"),
    "heads in words": (config(num_attention_heads="two"), "divides the width, found 'two' heads"),
    "another width": (config(hidden_size=48), "broken: .*expected a tensor of shape.*of different bases"),
    "more blocks": (config(num_hidden_layers=9), "found nothing; config.json and the weights are of different bases"),
    "a field that is gone": (config(intermediate_size=None), "expected a base that reads a text, found TypeError"),
    "a type that is a list": (config(model_type=["bert"]), "found architecture"),
    "an unknown type": (config(model_type="martian"), "found architecture 'martian'.*Choose another base"),
    "an unknown activation": (config(hidden_act="zorp"), "activation 'zorp'"),
    "a tokenizer cut off": (tokenizer("{"), "expected a base that reads a text.*tokenizer.json"),
    "a tokenizer without a model": (tokenizer("{}"), "expected a base that reads a text.*tokenizer.json"),
    "a tokenizer of another base": (one_token_more, "a token with the number 10,000 .*of different bases"),
}


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.parametrize("alone", [True, False], ids=["the only base", "an alternative"])
def test_a_base_that_cannot_be_loaded_is_named_before_anything_is_fitted(
    made: Path, folder: Path, tmp_path: Path, name: str, alone: bool
) -> None:
    change, fault = BROKEN[name]
    change(folder)
    broken = tiny_spec(folder).model_copy(update={"sha256": file_sha256(folder / "model.safetensors")})
    others = () if alone else (broken,)
    update = {"base": broken if alone else tiny_spec(made), "bake_off": BakeOff(alternatives=others)}
    task = sample(tmp_path)
    with pytest.raises(PinMismatch, match=fault) as caught:
        require_bases(Task(task.spec.model_copy(update=update), task.path))
    assert str(folder) in str(caught.value)


def test_what_is_over_the_budget_by_its_size_is_not_loaded(made: Path, folder: Path, tmp_path: Path) -> None:
    config(model_type="martian")(folder)
    rules = BakeOff(alternatives=(tiny_spec(folder),), budget=Budget(parameters_millions=1e-6))
    task = sample(tmp_path)
    update = {"base": tiny_spec(made), "bake_off": rules}
    require_bases(Task(task.spec.model_copy(update=update), task.path))


def test_a_base_that_may_not_be_read_is_named(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("playbook.bases.derive.file_sha256", refuse)
    monkeypatch.setattr("playbook.bases.pin.file_sha256", refuse)
    task = sample(tmp_path)
    with pytest.raises(
        PinMismatch, match=r"found PermissionError .Permission denied: .*model.safetensors.; check the file"
    ):
        require_bases(Task(task.spec.model_copy(update={"base": tiny_spec(made)}), task.path))
