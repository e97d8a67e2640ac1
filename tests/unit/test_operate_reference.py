from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from drift_samples import LABELS, reference
from safetensors.numpy import load_file, save_file
from tiny_base import tiny_spec, write_tiny_base

from playbook.adapt.features import FeatureExtractor
from playbook.errors import ArtifactError
from playbook.operate.figures import SCRIPTS, RowFigures, letter_counts, row_figures, unknown_share
from playbook.operate.reference import Reference, load_reference, save_reference
from playbook.spec import Adaptation


def held(temperature: float = 1.7) -> Reference:
    return dataclasses.replace(reference(np.random.default_rng(1), 40), temperature=temperature)


def test_a_reference_comes_back_as_it_was(tmp_path: Path) -> None:
    first = held()
    path = save_reference(first, tmp_path / "deep" / "reference.safetensors")
    again = load_reference(path)
    assert again.digest == first.digest and again.labels == LABELS and again.temperature == 1.7
    assert (again.base_name, again.base_sha256) == ("tiny", "5" * 64)
    for name in ("features", "words", "unknown", "letters"):
        assert (getattr(again.figures, name) == getattr(first.figures, name)).all()
    assert (again.probabilities == first.probabilities).all() and (again.truth == first.truth).all()
    assert [file.name for file in path.parent.iterdir()] == ["reference.safetensors"]


def test_what_is_no_reference_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "reference.safetensors"
    with pytest.raises(ArtifactError, match="found no file; package the model again"):
        load_reference(path)
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(ArtifactError, match="expected a reference, found"):
        load_reference(path)
    save_reference(held(), path)
    arrays = load_file(path)
    for metadata, changed in (
        ({}, arrays),
        ({"reference": "[]"}, arrays),
        ({"reference": json.dumps({"form": 2, "scripts": SCRIPTS})}, arrays),
        (header(), {**arrays, "words": arrays["words"].astype(np.int64)}),
        (header(), {name: array for name, array in arrays.items() if name != "truth"}),
        (header(), {**arrays, "truth": arrays["truth"] + 9}),
        (header(), {**arrays, "probabilities": arrays["probabilities"][:, :4].copy()}),
    ):
        save_file(changed, path, metadata=metadata)
        with pytest.raises(ArtifactError, match="expected a reference, found"):
            load_reference(path)
    save_file(arrays, path, metadata=header())
    assert load_reference(path).digest == held(1.0).digest


def header() -> dict[str, str]:
    fields = {"form": 1, "scripts": SCRIPTS, "labels": LABELS, "temperature": 1.0}
    return {"reference": json.dumps({**fields, "base_name": "tiny", "base_sha256": "5" * 64})}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"truth": np.full(40, 5, np.int32)}, "class numbers from 0 to 4"),
        ({"truth": np.zeros(39, np.int32)}, "expected 40 class numbers"),
        ({"temperature": 0.0}, "temperature above 0"),
        ({"probabilities": np.full((40, 5), 0.5, np.float32)}, "sum to 1"),
        ({"probabilities": np.full((40, 5), np.nan, np.float32)}, "sum to 1"),
        ({"probabilities": np.full((40, 4), 0.25, np.float32)}, "expected probabilities of shape"),
    ],
)
def test_a_reference_that_cannot_be_is_refused(change: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        dataclasses.replace(held(), **change)
    with pytest.raises(ValueError, match="at least 20 rows"):
        held().take(np.arange(19))


def test_letters_are_counted_by_script() -> None:
    counts = letter_counts(["abc 12!", "naïve Привет", "注文 です", "", "ＡＢ", "ꦏꦴ"])
    found = [{SCRIPTS[at]: int(count) for at, count in enumerate(row) if count} for row in counts]
    assert found[:5] == [{"LATIN": 3}, {"LATIN": 5, "CYRILLIC": 6}, {"CJK": 2, "HIRAGANA": 2}, {}, {"LATIN": 2}]
    assert set(found[5]) == {"OTHER"}
    figures = RowFigures(np.zeros((6, 2), np.float32), np.zeros(6, np.int32), np.zeros(6, np.float32), counts)
    assert SCRIPTS[figures.script] == "LATIN"
    assert figures.foreign(figures.script) == pytest.approx([0, 6 / 11, 1, 0, 0, 1])


def test_figures_of_a_real_base(tmp_path: Path) -> None:
    pin = write_tiny_base(tmp_path)
    assert tiny_spec(tmp_path).max_length == pin.max_length
    extractor = FeatureExtractor(tmp_path, pin, Adaptation())
    texts = ["my parcel is late", "my Привет is late", "", "☃ ☃"]
    figures = row_figures(texts, extractor)
    assert figures.features.shape == (4, 32) and figures.features.dtype == np.float32
    assert figures.features == pytest.approx(extractor(texts))
    assert figures.words.tolist() == [4, 4, 0, 2]
    assert figures.unknown.tolist() == [0.0, 0.25, 0.0, 1.0]
    assert len(figures.take(np.array([2, 0]))) == 2


@pytest.mark.parametrize("fallback", [False, True])
def test_a_tokenizer_without_an_unknown_token_counts_single_pieces(tmp_path: Path, fallback: bool) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers

    pieces = ["p", "a", "r", "c", "e", "l", "pa", "rc", "par", "cel", "parcel", "z"]
    merges = [("p", "a"), ("r", "c"), ("pa", "r"), ("c", "e"), ("par", "cel")]
    vocabulary = {piece: number for number, piece in enumerate([*pieces, "ce", "<unk>", "<0x7A>"])}
    merges = [("p", "a"), ("c", "e"), ("pa", "r"), ("ce", "l"), ("par", "cel")]
    unknown = {"unk_token": "<unk>", "byte_fallback": True} if fallback else {}
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, **unknown))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(tmp_path / "tokenizer.json"))

    class Extractor:
        folder = tmp_path

        def tokens(self, texts: list[str]) -> object:
            from playbook.adapt.tokens import tokenize

            return tokenize(texts, self.folder / "tokenizer.json", 16)

    found = unknown_share(["parcel", "parcel zz", "zzz"], Extractor())  # type: ignore[arg-type]
    assert found == pytest.approx([0, 2 / 3, 1])
