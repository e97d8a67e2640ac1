from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from report_samples import ORDINARY, score, spec_for

from playbook.decide.references import References, fit_references, meets_target
from playbook.errors import DataError
from playbook.statistics.answers import answers_of

WORDS = {
    "access": "password login",
    "billing": "invoice money",
    "cancellation": "stop leave",
    "delivery": "parcel late",
    "fault": "broken smoke",
}


ANSWERS = answers_of(np.array([0, 1, 0]))


def rows(count: int, seed: int, noise: float = 0.1, labels: tuple[str, ...] = ORDINARY) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    truth = [labels[at] for at in random.integers(0, len(labels), count)]
    said = [label if random.random() > noise else labels[random.integers(0, len(labels))] for label in truth]
    texts = [f"please {random.choice(WORDS[word].split())} number {random.integers(0, 99)}" for word in said]
    return pd.DataFrame({"row_id": [f"r{at}" for at in range(count)], "text": texts, "label": truth})


@pytest.fixture(scope="module")
def found() -> References:
    spec = spec_for(ORDINARY, limits=[{"metric": "recall", "of_class": "fault", "at_least": 0.6}])
    return fit_references(spec, rows(400, 1), rows(200, 2))


def test_the_majority_class_is_counted_by_hand() -> None:
    spec = spec_for(ORDINARY)
    train, validation = rows(100, 3), rows(50, 4)
    found = fit_references(spec, train, validation)
    most = train["label"].value_counts().idxmax()
    assert found.scores["majority"].value == (validation["label"] == most).mean()
    assert set(found.answers["majority"].classes.tolist()) == {spec.labels.index(most)}


def test_words_beat_the_majority(found: References) -> None:
    assert list(found.scores) == ["majority", "tfidf"]
    assert found.scores["tfidf"].value > 0.8 > 2 * found.scores["majority"].value
    assert found.scores["tfidf"].low < found.scores["tfidf"].value < found.scores["tfidf"].high
    assert list(found.limits["tfidf"]) == ["accuracy", "recall of fault"]
    assert found.strengths["10"] <= max(found.strengths.values()) == found.scores["tfidf"].value


def test_fitted_references_answer_other_texts(found: References) -> None:
    spec = spec_for(ORDINARY)
    probabilities = found.predictors["tfidf"].probabilities(["my parcel", "invoice", "zzz"])
    assert probabilities.shape == (3, 5)
    assert np.allclose(probabilities.sum(axis=1), 1)
    assert [spec.labels[at] for at in probabilities.argmax(axis=1)[:2]] == ["delivery", "billing"]
    assert found.predictors["tfidf"].predict([]).shape == (0,)
    assert found.predictors["majority"].probabilities(["a", "b"]).shape == (2, 5)


def test_repeated_runs_agree() -> None:
    spec = spec_for(ORDINARY)
    runs = [fit_references(spec, rows(300, 5), rows(100, 6)) for _ in range(2)]
    assert runs[0].scores == runs[1].scores
    assert np.array_equal(*(run.predictors["tfidf"].probabilities(["late parcel"]) for run in runs))


def test_class_weighting_is_honoured() -> None:
    train = pd.concat([rows(400, 7, 0.45, ORDINARY[:1]), rows(400, 8, 0.45, ORDINARY[:2]), rows(40, 9, 0.45)])
    plain = spec_for(ORDINARY)
    weighted = plain.model_copy(
        update={"adaptation": plain.adaptation.model_copy(update={"class_weighting": "balanced"})}
    )
    share = [
        fit_references(spec, train, rows(200, 10)).predictors["tfidf"].probabilities(["please number"])[0, 4]
        for spec in (plain, weighted)
    ]
    assert share[1] > 2 * share[0]


def test_a_class_that_training_lacks_is_never_said() -> None:
    found = fit_references(spec_for(ORDINARY), rows(200, 1, labels=ORDINARY[:3]), rows(100, 2))
    assert found.predictors["tfidf"].probabilities(["smoke"])[0, 3:].tolist() == [0, 0]
    single = fit_references(spec_for(ORDINARY), rows(50, 1, labels=ORDINARY[:1]), rows(100, 2))
    assert single.scores["tfidf"].value == single.scores["majority"].value


def test_texts_without_words_are_read_by_characters() -> None:
    train = pd.DataFrame({"text": ["?", "!", "? ?", "! !"] * 10, "label": ["access", "billing"] * 20})
    assert fit_references(spec_for(ORDINARY), train, train).scores["tfidf"].value == 1


def test_rows_that_do_not_fit_are_refused() -> None:
    spec, train = spec_for(ORDINARY), rows(50, 1)
    with pytest.raises(DataError, match=r"validation: .* no rows"):
        fit_references(spec, train, train.iloc[:0])
    with pytest.raises(DataError, match=r"train: .*'weather'"):
        fit_references(spec, train.assign(label="weather"), train)


def test_the_target_is_met_with_room_to_spare_and_by_every_limit() -> None:
    spec = spec_for(ORDINARY, limits=[{"metric": "macro_f1", "at_least": 0.7}])
    wide = score(0.90)  # its interval reaches 0.02 down: a standard error of about 0.0102
    assert meets_target(spec, {"accuracy": wide, "macro_f1": score(0.8)}, ANSWERS)
    assert not meets_target(spec, {"accuracy": score(0.855), "macro_f1": score(0.8)}, ANSWERS)
    assert not meets_target(spec, {"accuracy": wide, "macro_f1": score(0.6)}, ANSWERS)
    easy = spec_for(ORDINARY, at_least=0.5, limits=[{"metric": "macro_f1", "at_least": 0.5}])
    assert fit_references(easy, rows(400, 1), rows(200, 2)).meets_target == "tfidf"


def test_a_constant_classifier_never_ends_a_task() -> None:
    spec, high = spec_for(ORDINARY, at_least=0.05), {"accuracy": score(0.90)}
    assert meets_target(spec, high, ANSWERS) and not meets_target(spec, high, answers_of(np.zeros(9, np.int64)))
    assert fit_references(spec, rows(400, 1), rows(200, 2)).meets_target == "tfidf"  # majority reaches 5 % as well
