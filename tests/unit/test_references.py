from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from report_samples import ORDINARY, score, spec_for

from playbook.artifacts import TfidfChoice
from playbook.decide.references import References, fit_references, meets_target
from playbook.errors import DataError
from playbook.evaluate.as_served import served_under
from playbook.statistics.answers import answers_of
from playbook.statistics.metric import metrics_of

WORDS = {
    "access": "password login",
    "billing": "invoice money",
    "cancellation": "stop leave",
    "delivery": "parcel late",
    "fault": "broken smoke",
}


ANSWERS = answers_of(np.array([0, 1, 0]))
# For what does not depend on the choice: making one takes most of the time.
CHOSEN = TfidfChoice(features="words", strength=1.0)


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


def test_references_are_scored_as_they_would_serve() -> None:
    """Their own temperature makes the log loss smaller, and their own threshold finds more of a rare class."""
    train, validation = rows(400, 1, 0.5), rows(200, 2)  # labels of training are half noise: unsure answers
    loss = spec_for(ORDINARY, metric="log_loss", at_least=None, at_most=0.5)
    found = fit_references(loss, train, validation, tfidf=CHOSEN)
    table = found.predictors["tfidf"].probabilities(validation["text"].tolist())
    truth = np.array([loss.labels.index(label) for label in validation["label"]])
    assert found.served["tfidf"].temperature < 0.8
    assert found.scores["tfidf"].value < metrics_of(loss)[0].value(truth, table) - 0.1
    rare = spec_for(ORDINARY, metric="recall", of_class="fault", at_least=0.9)
    served = fit_references(rare, train, validation, tfidf=CHOSEN).served
    tfidf, majority = served["tfidf"], served["majority"]
    assert tfidf.threshold is not None and tfidf.threshold.number == rare.labels.index("fault")
    assert majority.threshold is None, "it is the same for every row, whatever the threshold"
    kept = served_under(tfidf.rules(rare.labels), rare.labels)
    assert kept == tfidf and served_under(majority.rules(rare.labels), rare.labels) == majority


@pytest.fixture(scope="module")
def plain() -> References:
    return fit_references(spec_for(ORDINARY), rows(150, 5, 0.4), rows(100, 6))


def test_the_majority_class_is_counted_by_hand() -> None:
    spec = spec_for(ORDINARY)
    train, validation = rows(100, 3), rows(50, 4)
    found = fit_references(spec, train, validation, tfidf=CHOSEN)
    most = train["label"].value_counts().idxmax()
    assert found.scores["majority"].value == (validation["label"] == most).mean()
    assert set(found.answers["majority"].classes.tolist()) == {spec.labels.index(most)}


def test_words_beat_the_majority(found: References) -> None:
    assert list(found.scores) == ["majority", "tfidf"]
    assert found.scores["tfidf"].value > 0.8 > 2 * found.scores["majority"].value
    assert found.scores["tfidf"].low < found.scores["tfidf"].value < found.scores["tfidf"].high
    assert list(found.limits["tfidf"]) == ["accuracy", "recall of fault"]
    tried = found.tfidf.tried
    assert tried[f"{found.tfidf.features}, C {found.tfidf.strength:g}"] == max(tried.values()) > 0.8


def test_fitted_references_answer_other_texts(found: References) -> None:
    spec = spec_for(ORDINARY)
    probabilities = found.predictors["tfidf"].probabilities(["my parcel", "invoice", "zzz"])
    assert probabilities.shape == (3, 5)
    assert np.allclose(probabilities.sum(axis=1), 1)
    assert [spec.labels[at] for at in probabilities.argmax(axis=1)[:2]] == ["delivery", "billing"]
    assert found.predictors["tfidf"].predict([]).shape == (0,)
    assert found.predictors["majority"].probabilities(["a", "b"]).shape == (2, 5)


def test_repeated_runs_agree(plain: References) -> None:
    again = fit_references(spec_for(ORDINARY), rows(150, 5, 0.4), rows(100, 6))
    assert plain.scores == again.scores
    assert np.array_equal(*(run.predictors["tfidf"].probabilities(["late parcel"]) for run in (plain, again)))


def misspelt(count: int, seed: int) -> pd.DataFrame:
    """Rows whose words are each spelt in one of many ways: only their characters tell the classes apart."""
    random = np.random.default_rng(seed)
    stems, ends = dict(zip(ORDINARY, ("krov", "blim", "tash", "gund", "pelf"), strict=True)), "abcdefghijklmnop"
    truth = [ORDINARY[at] for at in random.integers(0, 5, count)]
    texts = [f"{stems[label]}{''.join(random.choice(list(ends), 6))} is here" for label in truth]
    return pd.DataFrame({"text": texts, "label": truth})


def test_characters_are_read_where_they_tell_more_than_words() -> None:
    found = fit_references(spec_for(ORDINARY), misspelt(200, 1), misspelt(200, 2))
    assert found.tfidf.features == "words and characters" and found.scores["tfidf"].value > 0.95
    assert found.tfidf.tried["words, C 10"] < 0.5


def test_the_choice_never_looks_at_validation(plain: References) -> None:
    other = fit_references(spec_for(ORDINARY), rows(150, 5, 0.4), rows(100, 7, 0.9))
    assert plain.tfidf == other.tfidf and plain.scores != other.scores
    assert (plain.tfidf.rows, plain.tfidf.folds) == (150, 3)


def test_what_was_chosen_before_is_not_searched_again(plain: References, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("playbook.decide.tfidf.choose_tfidf", None)
    again = fit_references(spec_for(ORDINARY), rows(150, 5, 0.4), rows(100, 6), tfidf=plain.tfidf)
    assert np.array_equal(*(run.predictors["tfidf"].probabilities(["late parcel"]) for run in (plain, again)))


def test_groups_stay_in_one_fold() -> None:
    """Each group has a word of its own and one label, which tells nothing about the next group."""
    random = np.random.default_rng(3)
    groups = np.repeat(np.arange(30), 6)
    labels = [ORDINARY[at] for at in random.integers(0, 5, 30)]
    train = pd.DataFrame(
        {
            "text": [f"customer{group:03d} writes" for group in groups],
            "label": [labels[group] for group in groups],
            "group": [f"g{group}" for group in groups],
        }
    )
    spec = spec_for(ORDINARY)
    apart = fit_references(spec, train, rows(100, 6)).tfidf
    mixed = fit_references(spec, train.drop(columns="group"), rows(100, 6)).tfidf
    assert max(apart.tried.values()) < 0.6 and max(mixed.tried.values()) > 0.95


@pytest.mark.parametrize(("metric", "asks"), [("macro_f1", True), ("balanced_accuracy", True), ("accuracy", False)])
def test_class_weights_are_tried_where_the_metric_asks_for_them(metric: str, asks: bool) -> None:
    parts = [("certainly fine", "delivery", 72), ("perhaps broken", "delivery", 12), ("perhaps broken", "fault", 6)]
    lines = [(text, label) for text, label, count in parts for _ in range(count)]
    train = pd.DataFrame(lines, columns=["text", "label"])
    found = fit_references(spec_for(("delivery", "fault"), metric=metric), train, train).tfidf
    assert any("weights balanced" in setting for setting in found.tried) is asks
    # One third of "perhaps broken" is a fault: weighted, it is called one, which rare-class metrics like, accuracy not.
    assert found.class_weight == ("balanced" if asks else "none")


def test_few_rows_take_the_middle_of_each() -> None:
    train = pd.DataFrame({"text": ["late parcel", "broken"], "label": ["delivery", "fault"]})
    found = fit_references(spec_for(ORDINARY), train, rows(50, 1))
    assert (found.tfidf.rows, found.tfidf.features, found.tfidf.strength) == (0, "words and characters", 10.0)
    assert found.predictors["tfidf"].predict(["parcel"])[0] == ORDINARY.index("delivery")


def test_class_weighting_is_honoured() -> None:
    train = pd.concat([rows(60, 7, 0.45, ORDINARY[:1]), rows(60, 8, 0.45, ORDINARY[:2]), rows(20, 9, 0.45)])
    plain = spec_for(ORDINARY)
    weighted, resampled = (
        plain.model_copy(update={"adaptation": plain.adaptation.model_copy(update={"class_weighting": weighting})})
        for weighting in ("balanced", "resample")
    )
    share = [
        fit_references(spec, train, rows(200, 10)).predictors["tfidf"].probabilities(["please number"])[0, 4]
        for spec in (plain, weighted, resampled)
    ]
    assert share[1] > 2 * share[0]
    assert share[2] == share[1], "drawn until classes are even, all rows at once, is weighed"


def test_a_class_that_training_lacks_is_never_said() -> None:
    found = fit_references(spec_for(ORDINARY), rows(100, 1, labels=ORDINARY[:3]), rows(100, 2))
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
    assert fit_references(easy, rows(400, 1), rows(200, 2), tfidf=CHOSEN).meets_target == "tfidf"


def test_a_constant_classifier_never_ends_a_task() -> None:
    spec, high = spec_for(ORDINARY, at_least=0.05), {"accuracy": score(0.90)}
    assert meets_target(spec, high, ANSWERS) and not meets_target(spec, high, answers_of(np.zeros(9, np.int64)))
    found = fit_references(spec, rows(400, 1), rows(200, 2), tfidf=CHOSEN)
    assert found.meets_target == "tfidf"  # majority reaches 5 % as well
