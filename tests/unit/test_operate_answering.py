"""When a packaged model answers and when it asks a person, from the bundle to the prediction log."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException
from prediction_samples import MONDAY, open_log, row
from tiny_base import WORDS, write_tiny_base, write_tiny_weights

from playbook.adapt.classifier import FROZEN, load_bundle, save_bundle
from playbook.data.text import is_blank
from playbook.errors import ArtifactError, DataError
from playbook.operate.answering import AnsweringRules, load_answering, save_rules
from playbook.operate.bundle import bundle_hash
from playbook.statistics.strangers import STRANGERS, learn_strangers, save_strangers
from resources.champion import LoadedModel
from resources.scoring import BLANK, no_answers, with_blank
from resources.served_model import ServedModel

TEXTS = ["refund my order", "password", "the parcel never came please", "is late", "log in reset"]
LABELS = ("a", "b", "c")
STRANGE = "zzz qq xx vvv jj"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trained in its topmost block, with the base's own tensors and known rows beside it."""
    folder = tmp_path_factory.mktemp("model")
    pin = write_tiny_base(folder / "base")
    weights = write_tiny_weights(folder / "weights.safetensors", 3)
    save_bundle(folder / "bundle", folder / "base", pin, LABELS, weights, "float32", 1.5, keep_frozen=True)
    random = np.random.default_rng(1)
    texts = [" ".join(random.choice(WORDS, 5)) for _ in range(400)]
    probabilities, features = load_bundle(folder / "bundle").predict_with_features(texts)
    answers = probabilities.argmax(1)
    known = learn_strangers(features[:250], answers[:250], features[250:], answers[250:])
    save_strangers(known, folder / "bundle" / STRANGERS)
    return folder / "bundle"


def rules(bundle: Path, folder: Path, **changes: Any) -> Path:
    """A copy of the bundle with rules."""
    import shutil

    shutil.copytree(bundle, folder / "bundle")
    given = {"error": 0.05, "failure": 0.05, "threshold": 0.5, "strangers": 0.01, **changes}
    save_rules(AnsweringRules(**given), folder / "bundle")
    return folder / "bundle"


def test_features_are_those_of_the_frozen_base(bundle: Path, tmp_path: Path) -> None:
    base = bundle.parent / "base"
    from playbook.artifacts import BasePin
    from playbook.bases.pin import read_json

    pin = BasePin(**read_json(bundle / "bundle.json")["pin"])
    head = write_tiny_weights(tmp_path / "all.safetensors", 3)
    from safetensors.torch import load_file, save_file

    save_file({name: t for name, t in load_file(head).items() if name.startswith("head.")}, head)
    save_bundle(tmp_path / "frozen", base, pin, LABELS, head, "float32")
    plain, frozen = load_bundle(bundle), load_bundle(tmp_path / "frozen")
    assert (bundle / FROZEN).is_file() and not (tmp_path / "frozen" / FROZEN).exists()
    probabilities, features = plain.predict_with_features(TEXTS)
    assert np.array_equal(features, frozen.predict_with_features(TEXTS)[1])
    assert np.array_equal(probabilities, plain.predict_proba(TEXTS))
    assert np.abs(probabilities - frozen.predict_proba(TEXTS)).max() > 1e-3  # the answers are the trained model's


def test_a_bundle_without_rules_answers_everything_but_blank_texts(bundle: Path) -> None:
    model = load_answering(bundle)
    found = model.answer(TEXTS)
    assert not found.ask.any() and set(found.reasons) == {""}
    with pytest.raises(DataError, match=r"blank ones in rows 1, 2"):
        model.answer(["a", "", " \n\u200b"])


def test_it_asks_a_person_where_it_is_not_sure(bundle: Path, tmp_path: Path) -> None:
    sure = load_bundle(bundle).predict_proba(TEXTS).max(axis=1)
    threshold = float(np.sort(sure)[2])
    found = load_answering(rules(bundle, tmp_path, threshold=threshold, strangers=0.0)).answer(TEXTS)
    assert found.ask.tolist() == (sure < threshold).tolist() and found.ask.sum() == 2
    reason = found.reasons[int(found.ask.argmax())]
    assert "sure of" in reason and "so that at most 5 % of its answers are wrong" in reason


def test_it_asks_a_person_about_strangers_however_sure_it_is(bundle: Path, tmp_path: Path) -> None:
    found = load_answering(rules(bundle, tmp_path, threshold=0.0)).answer([*TEXTS, STRANGE])
    assert found.ask[-1] and "unlike the training data (p = 0.00" in found.reasons[-1]
    assert found.ask[:-1].sum() <= 1


def test_without_a_guarantee_a_person_answers_everything(bundle: Path, tmp_path: Path) -> None:
    found = load_answering(rules(bundle, tmp_path, threshold=None)).answer(TEXTS)
    assert found.ask.all() and all("A person answers every text" in reason for reason in found.reasons)


def test_rules_are_part_of_the_hash_and_a_damaged_file_is_refused(bundle: Path, tmp_path: Path) -> None:
    changed = rules(bundle, tmp_path)
    assert bundle_hash(changed) != bundle_hash(bundle)
    (changed / STRANGERS).unlink()
    with pytest.raises(ArtifactError, match="package the model again"):
        load_answering(changed)
    (changed / "answering.json").write_text('{"threshold": "high"}')
    with pytest.raises(ArtifactError, match="expected rules for answers"):
        load_answering(changed)


@pytest.mark.parametrize("text", ["", "  \t\n", "\u200b\u00a0", "\x00\x1b", "\u3164", "\u2800 \u2800", "\u034f\ufe0f"])
def test_blank_texts(text: str) -> None:
    assert is_blank(text)


@pytest.mark.parametrize("text", ["a", "?", "7", "東京", "🙂"])
def test_texts_with_something_in_them(text: str) -> None:
    assert not is_blank(text)


class _Writer:
    """Takes what is logged."""

    def __init__(self) -> None:
        self.rows: list[Any] = []

    def put(self, rows: Sequence[Any]) -> None:
        self.rows += rows


class _Model:
    """Answers like a version of an earlier release, or like one of today."""

    def __init__(self, silent: bool | None) -> None:
        self.silent = silent

    def predict(self, frame: pd.DataFrame) -> pd.DataFrame:
        figures = {"label": "a", "probability": 0.6, "probability_a": 0.6, "probability_b": 0.4}
        today = {"answer": None, "ask_a_person": True, "reason": "why"} if self.silent else {}
        return pd.DataFrame([{**figures, **today} for _ in range(len(frame))])


def served(silent: bool | None) -> tuple[ServedModel, _Writer]:
    registered: Any = SimpleNamespace(version="1.0.0")
    folder: Any = None
    champion: Any = SimpleNamespace(current=LoadedModel(registered, ("a", "b"), _Model(silent), folder))
    writer: Any = _Writer()
    return ServedModel(champion, writer), writer


def test_silent_answers_are_logged_as_such() -> None:
    model, writer = served(True)
    answers = model.predict(pd.DataFrame({"text": ["x", "y"]}))
    assert answers["answer"].tolist() == [None, None] and answers["label"].tolist() == ["a", "a"]
    assert [one.silent for one in writer.rows] == [True, True]


def test_a_version_of_an_earlier_release_answers_everything() -> None:
    model, writer = served(None)
    answers = model.predict(pd.DataFrame({"text": ["x"]}))
    assert answers["answer"].tolist() == ["a"] and not answers["ask_a_person"].any()
    assert not writer.rows[0].silent


def test_blank_texts_are_refused_by_the_server() -> None:
    model, writer = served(None)
    with pytest.raises(MlflowException, match="blank text in rows 1"):
        model.predict(pd.DataFrame({"text": ["x", " "]}))
    assert writer.rows == []


def test_a_table_with_blank_texts_is_scored_all_the_same() -> None:
    answers = served(None)[0]._champion.current.answer(["x", "y"])
    table = with_blank(answers, [0, 2], 4)
    assert table["answer"].tolist() == ["a", "", "a", ""]
    assert table["ask_a_person"].tolist() == [False, True, False, True]
    assert table["reason"].tolist() == ["", BLANK, "", BLANK]
    assert table["probability"].isna().tolist() == [False, True, False, True]
    nothing = with_blank(no_answers(("a", "b")), [], 2)
    assert nothing["ask_a_person"].tolist() == [True, True] and nothing["label"].tolist() == ["", ""]


def test_a_log_of_an_earlier_release_gets_the_column(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    log.write([row("old")])
    file = log.database.file
    assert file is not None
    log.close()
    with sqlite3.connect(file) as connection:
        connection.execute("ALTER TABLE predictions DROP COLUMN silent")
    connection.close()
    again = open_log(tmp_path)
    again.write([row("new", silent=True, logged_at=datetime(2025, 3, 4, tzinfo=UTC))])
    found = again.window(MONDAY.date(), MONDAY.date())
    assert dict(zip(found["id"], found["silent"], strict=True)) == {"old": False, "new": True}


def ids_of(values: list[object], name: str = "id") -> list[str]:
    model, _ = served(None)
    frame = pd.DataFrame({"text": ["one"] * len(values), name: pd.Series(values)})
    return list(model.predict(frame)["prediction_id"])


def test_ids_of_a_request_are_names() -> None:
    assert ids_of(["  e\u0301  1 ", "007", "\ufeffT-1"]) == ["\u00e9 1", "007", "T-1"]
    assert ids_of(["x"], "\ufeffid ") == ["x"]


def test_whole_numbers_are_ids_as_long_as_they_are_exact() -> None:
    assert ids_of([7, 2**62]) == ["7", str(2**62)]
    assert ids_of([7.0, float(2**53 - 1)]) == ["7", str(2**53 - 1)]


@pytest.mark.parametrize("value", [1.2345678901234568e18, float(2**53), "nul \0", {"a": 1}])
def test_an_id_that_lost_digits_or_is_no_text_is_refused(value: object) -> None:
    with pytest.raises(MlflowException, match=r"200 printable characters.*as numbers they lose digits"):
        ids_of([value])
