"""Truncated, random and shuffled bases: exactly what they should hold, written once, and verified."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_base import tiny_spec, write_tiny_base

from playbook.bases import derive
from playbook.bases.derive import (
    Tensor,
    base_on_disk,
    folder_of_pin,
    random_weights,
    read_tensors,
    shuffled,
    truncated,
    write_tensors,
)
from playbook.bases.pin import DERIVED, count_parameters, pin_base
from playbook.errors import PinMismatch
from playbook.spec import Base
from playbook.store import file_sha256

WEIGHTS = "model.safetensors"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source") / "base"
    write_tiny_base(folder)
    return folder


def _tensors(folder: Path) -> dict[str, Tensor]:
    return {tensor.name: tensor for tensor in read_tensors(folder / WEIGHTS)}


def _values(folder: Path) -> dict[str, np.ndarray]:
    from safetensors.numpy import load_file

    found: dict[str, np.ndarray] = load_file(folder / WEIGHTS)
    return found


def _base(folder: Path, **fields: Any) -> Base:
    return tiny_spec(folder).model_copy(update=fields)


def test_a_truncated_base_answers_as_the_lower_blocks_do(source: Path, tmp_path: Path) -> None:
    import torch

    from playbook.adapt.cache import embed_rows
    from playbook.adapt.encoder import load_encoder
    from playbook.adapt.tokens import tokenize

    folder = truncated(source, 1, tmp_path)
    whole, short = load_encoder(source, "mean"), load_encoder(folder, "mean")
    assert (len(whole.blocks), len(short.blocks)) == (2, 1)
    tokens = tokenize(["my order is late", "reset the password"], folder / "tokenizer.json", 32)
    rows = np.argsort(tokens.lengths)
    with torch.inference_mode():
        hidden, spans = embed_rows(whole, tokens, rows, torch.float32)
        other, _ = embed_rows(short, tokens, rows, torch.float32)
        assert torch.equal(whole.run(hidden, spans, 0, 1), short.run(other, spans, 0))


@pytest.mark.parametrize("kind", ["bert", "roberta", "distilbert"])
def test_every_naming_is_truncated(kind: str, source: Path, tmp_path: Path) -> None:
    import shutil

    import torch
    from transformers import AutoConfig, AutoModel, AutoModelForMaskedLM

    from playbook.adapt.encoder import load_encoder

    torch.manual_seed(1)
    sizes: dict[str, Any] = {"hidden_size": 8, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 8}
    if kind == "distilbert":
        sizes = {"dim": 8, "n_layers": 3, "n_heads": 2, "hidden_dim": 8}
    config = AutoConfig.for_model(kind, vocab_size=40, max_position_embeddings=16, **sizes)
    for number, made in enumerate((AutoModel, AutoModelForMaskedLM)):  # the second keeps the encoder under a prefix
        folder = tmp_path / f"base{number}"
        made.from_config(config).save_pretrained(folder)
        shutil.copyfile(source / "tokenizer.json", folder / "tokenizer.json")
        short = truncated(folder, 2, tmp_path / "cache")
        names = set(_tensors(short))
        assert any(".1." in name for name in names)
        assert not any(".2." in name for name in names)
        assert not any(part in name for name in names for part in ("pooler", "cls.", "lm_head", "vocab_"))
        assert len(load_encoder(short, "mean").blocks) == 2
        pin = pin_base(_base(folder, layers=2, max_length=8), short)
        assert (pin.blocks, pin.layers, pin.width) == (2, 2, 8)


def test_more_blocks_than_there_are_is_refused(source: Path, tmp_path: Path) -> None:
    with pytest.raises(PinMismatch, match=r"expected 1 to 2 blocks.* found 3; lower it"):
        truncated(source, 3, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_architecture_cannot_be_truncated(source: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "vit", "num_hidden_layers": 2}')
    with pytest.raises(PinMismatch, match="found 'vit'"):
        truncated(tmp_path, 1, tmp_path / "cache")


def test_the_pin_of_a_truncated_base_is_its_own(source: Path, tmp_path: Path) -> None:
    base = _base(source, layers=1)
    folder = base_on_disk(base, str, tmp_path)
    pin, whole = pin_base(base, folder), pin_base(_base(source), source)
    assert pin.weights_sha256 == file_sha256(folder / WEIGHTS) != whole.weights_sha256
    assert (pin.layers, pin.blocks, whole.layers, whole.blocks) == (1, 1, None, 2)
    assert pin.parameters == count_parameters(folder / WEIGHTS) < whole.parameters
    assert (pin.name, pin.revision, pin.tokenizer_sha256) == (whole.name, whole.revision, whole.tokenizer_sha256)


def test_the_source_is_verified_though_the_truncated_base_lies_there(tmp_path: Path) -> None:
    write_tiny_base(tmp_path / "base")
    base = _base(tmp_path / "base", layers=1)
    base_on_disk(base, str, tmp_path / "cache")
    weights = tmp_path / "base" / WEIGHTS
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(PinMismatch, match="expected SHA-256"):
        base_on_disk(base, str, tmp_path / "cache")


def test_a_truncated_base_is_not_taken_for_another(source: Path, tmp_path: Path) -> None:
    with pytest.raises(PinMismatch, match=r"found no derived\.json"):
        pin_base(_base(source, layers=1), source)
    folder = base_on_disk(_base(source, layers=1), str, tmp_path)
    with pytest.raises(PinMismatch, match="'layers': 1"):
        pin_base(_base(source, layers=2), folder)
    with pytest.raises(PinMismatch, match="source_sha256"):
        pin_base(_base(source, layers=1, sha256="0" * 64), folder)
    content = bytearray((folder / WEIGHTS).read_bytes())
    content[-1] ^= 1
    (folder / WEIGHTS).write_bytes(content)
    with pytest.raises(PinMismatch, match="as it was truncated"):
        pin_base(_base(source, layers=1), folder)


def test_the_same_recipe_gives_the_same_bytes_once(source: Path, tmp_path: Path) -> None:
    made = {
        "truncated": [truncated(source, 1, tmp_path / place) for place in "ab"],
        "random": [random_weights(source, 7, tmp_path / place) for place in "ab"],
        "shuffled": [shuffled(source, 7, tmp_path / place) for place in "ab"],
    }
    for one, two in made.values():
        assert one.name == two.name
        assert file_sha256(one / WEIGHTS) == file_sha256(two / WEIGHTS)
    one = made["truncated"][0]
    before = (one / WEIGHTS).stat().st_mtime_ns
    assert truncated(source, 1, tmp_path / "a") == one
    assert (one / WEIGHTS).stat().st_mtime_ns == before
    assert random_weights(source, 8, tmp_path / "a") != made["random"][0]


@pytest.mark.parametrize("file", [WEIGHTS, "config.json", "tokenizer.json", DERIVED])
def test_a_damaged_folder_is_made_again(source: Path, tmp_path: Path, file: str) -> None:
    folder = truncated(source, 1, tmp_path)
    good = file_sha256(folder / file)
    (folder / file).write_bytes((folder / file).read_bytes()[:-1] + b"?")
    assert truncated(source, 1, tmp_path) == folder
    assert file_sha256(folder / file) == good


def test_a_killed_writer_leaves_nothing_that_is_taken(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(path: Path, tensors: object) -> None:
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(derive, "write_tensors", killed)
        with pytest.raises(KeyboardInterrupt):
            truncated(source, 1, tmp_path)
    assert [path.suffix for path in tmp_path.iterdir() if path.is_dir()] == [".part"]
    folder = truncated(source, 1, tmp_path)
    assert [path for path in tmp_path.iterdir() if path.is_dir()] == [folder]
    assert pin_base(_base(source, layers=1), folder).blocks == 1


def test_several_writers_at_once_end_with_one_folder(source: Path, tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        made = set(pool.map(lambda _: random_weights(source, 3, tmp_path), range(4)))
    assert [path for path in tmp_path.iterdir() if path.is_dir()] == list(made)


def test_random_weights_are_those_of_a_fresh_bert(source: Path, tmp_path: Path) -> None:
    before, after = _values(source), _values(random_weights(source, 7, tmp_path))
    assert before.keys() == after.keys()
    for name, values in after.items():
        assert values.shape == before[name].shape
        if name.endswith(".bias"):
            assert not values.any()
        elif "LayerNorm" in name:
            assert (values == 1).all()
        else:
            assert not np.array_equal(values, before[name])
            assert abs(values.mean()) < 5 * 0.02 / values.size**0.5
            assert abs(values.std() - 0.02) < 0.1 * 0.02
    flat = np.concatenate([values.ravel()[:64] for name, values in after.items() if values.ndim == 2])
    assert len(np.unique(flat)) > 0.99 * len(flat)  # no two tensors from the same numbers


def test_shuffling_keeps_the_values_of_every_tensor(source: Path, tmp_path: Path) -> None:
    before, after = _values(source), _values(shuffled(source, 7, tmp_path))
    for name, values in before.items():
        assert np.array_equal(np.sort(values, axis=None), np.sort(after[name], axis=None))
    words = "embeddings.word_embeddings.weight"
    assert (before[words] != after[words]).mean() > 0.9


def test_half_precision_and_whole_numbers_are_kept_as_they_are(source: Path, tmp_path: Path) -> None:
    folder = tmp_path / "base"
    folder.mkdir()
    for name in ("config.json", "tokenizer.json"):
        (folder / name).write_bytes((source / name).read_bytes())
    half = np.arange(12, dtype="<u2").tobytes()
    ids = np.arange(4, dtype="<i8").tobytes()
    tensors = [
        Tensor("embeddings.word", "BF16", (3, 4), half),
        Tensor("embeddings.position_ids", "I64", (1, 4), ids),
        Tensor("encoder.layer.1.output", "BF16", (3, 4), half),
    ]
    write_tensors(folder / WEIGHTS, lambda: iter(tensors))
    short = _tensors(truncated(folder, 1, tmp_path / "cache"))
    assert list(short.values()) == tensors[:2]
    moved = _tensors(shuffled(folder, 3, tmp_path / "cache"))
    assert moved["embeddings.position_ids"] == tensors[1]
    assert moved["embeddings.word"].dtype == "BF16"
    assert sorted(np.frombuffer(moved["embeddings.word"].data, "<u2")) == list(range(12))
    fresh = _tensors(random_weights(folder, 3, tmp_path / "cache"))
    assert fresh["embeddings.position_ids"] == tensors[1]
    assert (fresh["embeddings.word"].dtype, len(fresh["embeddings.word"].data)) == ("F32", 48)


def test_a_cut_off_file_is_a_fault(source: Path, tmp_path: Path) -> None:
    weights = tmp_path / WEIGHTS
    weights.write_bytes((source / WEIGHTS).read_bytes()[:-4])
    with pytest.raises(PinMismatch, match=r"expected \d+ bytes of"):
        list(read_tensors(weights))


def test_a_base_is_found_by_its_pin(source: Path, tmp_path: Path) -> None:
    bases = (_base(source), _base(source, layers=1))
    for base in bases:
        folder = base_on_disk(base, str, tmp_path)
        assert folder_of_pin(pin_base(base, folder), bases, str, tmp_path) == folder
    pin = pin_base(bases[0], source)
    with pytest.raises(PinMismatch, match="found none among 2"):
        folder_of_pin(pin.model_copy(update={"weights_sha256": "0" * 64}), bases, str, tmp_path)
    with pytest.raises(PinMismatch, match=r"and config\.json 000000000000"):
        folder_of_pin(pin.model_copy(update={"config_sha256": "0" * 64}), bases, str, tmp_path)
    assert folder_of_pin(pin.model_copy(update={"config_sha256": ""}), bases, str, tmp_path) == source
    with pytest.raises(PinMismatch, match="found none among 1"):
        folder_of_pin(pin_base(bases[1], base_on_disk(bases[1], str, tmp_path)), bases[:1], str, tmp_path)


def test_a_derived_folder_says_what_it_is(source: Path, tmp_path: Path) -> None:
    about = json.loads((truncated(source, 1, tmp_path) / DERIVED).read_text())
    assert (about["kind"], about["layers"], about["source_sha256"]) == ("truncated", 1, file_sha256(source / WEIGHTS))
    assert {WEIGHTS, "config.json", "tokenizer.json"} <= about["files"].keys()
