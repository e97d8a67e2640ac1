"""The 20-step probe, the distance of texts from a base, and the base used zero-shot."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import torch
from adapt_samples import FAST, LABELS, pairs
from report_samples import ORDINARY, spec_for
from tiny_base import WORDS, write_tiny_base

from playbook.adapt.encoder import load_encoder
from playbook.adapt.features import FeatureExtractor
from playbook.artifacts import BasePin
from playbook.bases.closeness import rank_me, vocabulary_fit
from playbook.decide.probe import measure_closeness, probe_training
from playbook.decide.references import fit_references
from playbook.decide.zero_shot import class_texts, zero_shot
from playbook.spec import TaskSpec
from playbook.store import file_sha256

SPEC = spec_for(LABELS).model_copy(update={"adaptation": FAST})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("base")


@pytest.fixture(scope="module")
def pin(folder: Path) -> BasePin:
    return write_tiny_base(folder)


@pytest.fixture(scope="module")
def extract(folder: Path, pin: BasePin) -> FeatureExtractor:
    return FeatureExtractor(folder, pin, FAST)


def test_the_probe_trains_and_measures(folder: Path, pin: BasePin) -> None:
    found = probe_training(SPEC, folder, pin, pd.DataFrame(pairs(400, 1)))
    assert (found.steps, found.blocks) == (20, 2)
    assert 20 * FAST.batch_size * 2 / 3 <= found.rows <= 20 * FAST.batch_size * 4 / 3
    assert found.training_seconds > 0 and found.frozen_seconds > 0
    assert found.rows_per_second == pytest.approx(1 / found.training_seconds)
    assert found.hardware.endswith("threads, float32") and found.seconds > 0


def test_the_steps_are_real_ones(folder: Path, pin: BasePin) -> None:
    easy = pd.DataFrame(
        [{"text": word, "label": label} for word, label in zip(("refund", "late"), LABELS, strict=True)] * 32
    )
    found = probe_training(SPEC, folder, pin, easy, steps=60)
    assert found.losses[1] < 0.5 * found.losses[0]
    again = probe_training(SPEC, folder, pin, easy, steps=60)
    assert again.losses == found.losses  # seeded


def test_the_probe_leaves_nothing_behind(folder: Path, pin: BasePin) -> None:
    files = {path: file_sha256(path) for path in folder.rglob("*") if path.is_file()}
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    probe_training(SPEC, folder, pin, pd.DataFrame(pairs(40, 1)), steps=2)
    assert torch.equal(torch.rand(3), expected)
    assert {path: file_sha256(path) for path in folder.rglob("*") if path.is_file()} == files
    assert not any(parameter.grad is not None for parameter in load_encoder(folder, pin.pooling).parameters())


def test_closeness_tells_known_words_from_unknown_ones(folder: Path, extract: FeatureExtractor) -> None:
    tokenizer = folder / "tokenizer.json"
    rng = np.random.default_rng(1)
    known = [" ".join(rng.choice(WORDS, 6)) for _ in range(50)]
    near = measure_closeness(known, tokenizer, extract, 1)
    assert near.tokens_per_word == 1.0 and near.unknown_share == 0.0
    assert 0.05 < near.features < 1 and "RankMe" in near.measure
    strange = measure_closeness(["Ω 42 " + text for text in known], tokenizer, extract, 1)
    assert strange.unknown_share == pytest.approx(2 / 8)
    same = measure_closeness(["my parcel"] * 50, tokenizer, extract, 1)
    assert same.features == pytest.approx(1 / 32, rel=1e-3)  # one direction of 32
    assert near == measure_closeness(known, tokenizer, extract, 1)


def test_the_gate_and_the_bake_off_mean_the_same_by_tokens_per_word(folder: Path, extract: FeatureExtractor) -> None:
    tokenizer = folder / "tokenizer.json"
    texts = [f"{first}, {second}!" for first, second in zip(WORDS, reversed(WORDS), strict=True)]
    gate = measure_closeness(texts, tokenizer, extract, 1)
    assert (gate.tokens_per_word, gate.unknown_share) == vocabulary_fit(tokenizer, texts)
    assert gate.features == pytest.approx(rank_me(extract(texts)) / min(len(texts), 32), rel=1e-4)


def by_first_word(texts: Sequence[str]) -> npt.NDArray[np.float32]:
    """Features that know the first word only: a direction per class, of any length."""
    place = {label: at for at, label in enumerate(ORDINARY)}
    found = np.zeros((len(texts), 6), np.float32)
    for row, text in enumerate(texts):
        found[row, place.get(text.split(":")[0].split()[0], 5)] = 1 + row
    return found


def described() -> TaskSpec:
    spec = spec_for(ORDINARY)
    return spec.model_copy(
        update={"data": spec.data.model_copy(update={"classes": {c: f"About {c}" for c in ORDINARY}})}
    )


def test_zero_shot_answers_with_the_most_similar_class() -> None:
    model = zero_shot(described(), by_first_word)
    assert model.predict(["fault it is", "access to it", "delivery"]).tolist() == [4, 0, 3]
    probabilities = model.probabilities(["billing", "weather"])
    assert np.allclose(probabilities.sum(axis=1), 1)
    assert probabilities[0, 1] == pytest.approx(np.exp(20) / (np.exp(20) + 4))
    assert np.allclose(probabilities[1], 0.2) and model.predict(["weather"]).tolist() == [0]  # a tie: the first one
    assert model.probabilities([]).shape == (0, 5) and model.predict([]).shape == (0,)


def test_a_class_is_its_name_in_words_and_its_description() -> None:
    spec = spec_for(("card_arrival", "other"))
    assert class_texts(spec) == ["card arrival: a class", "other: a class"]


def test_zero_shot_with_a_real_base_does_not_depend_on_neighbours(extract: FeatureExtractor) -> None:
    model = zero_shot(SPEC, extract)
    texts = ["my parcel is late", "reset password", "the order never came please"]
    together = model.probabilities(texts)
    assert together.shape == (3, 2)
    assert np.allclose(together, np.concatenate([model.probabilities([text]) for text in texts]), atol=1e-5)


def test_zero_shot_is_one_of_the_references() -> None:
    spec = described()
    rows = pd.DataFrame({"text": [f"{label} {number}" for number in range(20) for label in ORDINARY]})
    rows["label"] = list(ORDINARY) * 20
    found = fit_references(spec, rows, rows, by_first_word)
    assert list(found.scores) == ["majority", "tfidf", "zero_shot"] and found.left_out == {}
    assert found.scores["zero_shot"].value == 1.0
    assert found.predictors["zero_shot"].predict(["fault again"]).tolist() == [4]
    hard = rows.assign(text=[f"x{number % 7} {number}" for number in range(100)])
    easy = fit_references(spec, hard, rows, by_first_word)
    assert easy.meets_target == "zero_shot"
    without = fit_references(spec, rows, rows, no_base="the hub cannot be reached")
    assert list(without.scores) == ["majority", "tfidf"]
    assert without.left_out == {"zero_shot": "the hub cannot be reached"}
