from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import pytest
from drift_samples import LABELS, drawn_truth, reference, rows
from metric_samples import metric_value
from report_samples import spec_for

from playbook.evaluate.paired import wilson
from playbook.operate import estimate
from playbook.operate.drift import Judge
from playbook.operate.estimate import estimate_metric
from playbook.operate.live import live_metric
from playbook.operate.reference import Reference
from playbook.operate.watch import window_drift
from playbook.spec import Monitoring, TaskSpec

TARGETS: list[dict[str, Any]] = [
    {"metric": "accuracy"},
    {"metric": "macro_f1"},
    {"metric": "balanced_accuracy"},
    {"metric": "recall", "of_class": "cancellation"},
    {"metric": "precision", "of_class": "cancellation"},
    {"metric": "f1", "of_class": "cancellation"},
]


def spec_of(**target: Any) -> TaskSpec:
    document = spec_for(LABELS, **target).model_dump(mode="json")
    document["monitoring"] |= {"false_alarm_rate": 0.05, "resamples": 699}
    return TaskSpec.model_validate(document)


def true_value(spec: TaskSpec, truth: np.ndarray, probabilities: np.ndarray) -> float:
    of_class = None if spec.target.of_class is None else LABELS.index(spec.target.of_class)
    return metric_value(spec.target.metric, of_class, truth, probabilities.argmax(axis=1), len(LABELS))


@pytest.fixture(scope="module")
def covered() -> dict[str, int]:
    """Of 40 windows, how many estimates have the truth in their interval, by metric; all are of the same rows."""
    specs, random = {target["metric"]: spec_of(**target) for target in TARGETS}, np.random.default_rng(1)
    _, many = rows(random, 200_000)
    drawn = drawn_truth(random, many)
    truth = {metric: true_value(spec, drawn, many) for metric, spec in specs.items()}
    found = dict.fromkeys(specs, 0)
    with pytest.MonkeyPatch.context() as patch:  # weights follow from the number of rows and the seed alone
        patch.setattr(estimate, "_weights", lru_cache(maxsize=2)(estimate._weights))
        for _ in range(40):
            held, window = reference(random, 400), rows(random, 150)[1]
            for metric, spec in specs.items():
                one = estimate_metric(spec, held, window)
                assert 0 <= one.low <= one.value <= one.high <= 1
                found[metric] += one.low <= truth[metric] <= one.high
    return found


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target["metric"])
def test_the_estimate_covers_the_truth_of_calibrated_answers(target: dict[str, Any], covered: dict[str, int]) -> None:
    assert covered[target["metric"]] >= 34  # 85 % of 40: 95 % promised, three standard errors below


def test_the_estimate_of_accuracy_is_the_mean_confidence_less_what_the_reference_is_off() -> None:
    random, spec = np.random.default_rng(2), spec_of()
    held, (_, probabilities) = reference(random, 200), rows(random, 80)
    gap = true_value(spec, held.truth, held.probabilities) - held.probabilities.max(axis=1).mean()
    found = estimate_metric(spec, held, probabilities)
    assert found.value == pytest.approx(probabilities.max(axis=1).mean() + gap, abs=1e-4)
    assert found == estimate_metric(spec, held, probabilities)


def test_the_estimate_sees_harder_rows_and_uses_the_temperature() -> None:
    random, spec = np.random.default_rng(3), spec_of()
    held, (_, probabilities) = reference(random, 300), rows(random, 100)
    harder = (probabilities + 0.3) / (1 + 0.3 * len(LABELS))
    usual, hard = estimate_metric(spec, held, probabilities), estimate_metric(spec, held, harder)
    assert hard.high < usual.low
    sharp = held.probabilities.astype(np.float64) ** 2
    sharp = (sharp / sharp.sum(axis=1, keepdims=True)).astype(np.float32)
    window = probabilities.astype(np.float64) ** 2
    window /= window.sum(axis=1, keepdims=True)
    too_sure = Reference(held.figures, sharp, held.truth, LABELS, 2.0)
    assert estimate_metric(spec, too_sure, window).value == pytest.approx(usual.value, abs=1e-3)


def test_an_estimate_of_nothing_is_refused() -> None:
    random = np.random.default_rng(4)
    held, (_, probabilities) = reference(random), rows(random, 10)
    with pytest.raises(ValueError, match="at least one row"):
        estimate_metric(spec_of(), held, probabilities[:0])
    with pytest.raises(ValueError, match="expected probabilities of shape"):
        estimate_metric(spec_of(), held, probabilities[:, :3])
    known = Reference(held.figures, held.probabilities, held.truth, ("a", "b", "c", "d", "e"))
    with pytest.raises(ValueError, match="'cancellation', but the model knows only a, b"):
        estimate_metric(spec_of(metric="recall", of_class="cancellation"), known, probabilities)


def test_live_accuracy_counts_a_strange_label_as_wrong_and_names_it() -> None:
    truth = ["access"] * 8 + ["billing"] * 4 + ["havenloop"] * 3
    predicted = ["access"] * 6 + ["billing"] * 6 + ["fault"] * 3
    score, recalls = live_metric(spec_of(), truth, predicted)
    assert (score.metric, score.value, score.n) == ("accuracy", 10 / 15, 15)
    assert (score.low, score.high) == wilson(10, 15, 0.95)
    assert {name: (one.value, one.n) for name, one in recalls.items()} == {
        "access": (0.75, 8), "billing": (1.0, 4), "havenloop": (0.0, 3),
    }  # fmt: skip
    assert (recalls["access"].low, recalls["access"].high) == wilson(6, 8, 0.95)
    assert recalls["havenloop"].metric == "recall of havenloop"


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target["metric"])
def test_live_metrics_are_those_of_the_evaluation_where_every_label_is_known(target: dict[str, Any]) -> None:
    random = np.random.default_rng(5)
    truth, answers = random.integers(0, 5, 90), random.integers(0, 5, 90)
    answers = np.where(random.random(90) < 0.7, truth, answers)
    spec = spec_of(**target)
    score, _ = live_metric(spec, [LABELS[at] for at in truth], [LABELS[at] for at in answers])
    of_class = LABELS.index(target["of_class"]) if "of_class" in target else None
    assert score.value == pytest.approx(metric_value(target["metric"], of_class, truth, answers, 5))
    assert score.low < score.value < score.high and score.metric == spec.target.label


def test_strange_labels_cost_precision_and_no_class_of_the_mean() -> None:
    truth, predicted = ["access", "billing", "new"], ["access", "billing", "billing"]
    assert live_metric(spec_of(metric="macro_f1"), truth, predicted)[0].value == pytest.approx((1 + 2 / 3) / 2)
    assert live_metric(spec_of(metric="balanced_accuracy"), truth, predicted)[0].value == 1.0
    spec = spec_of(metric="precision", of_class="billing")
    assert live_metric(spec, truth, predicted)[0].value == 0.5
    missing = live_metric(spec_of(metric="recall", of_class="cancellation"), truth, predicted)[0]
    assert (missing.value, missing.low, missing.high) == (0.0, 0.0, 1.0)  # no row of it: nothing is known
    assert live_metric(spec_of(), truth, predicted, labels=("access", "new"))[1].keys() == {"access", "new", "billing"}


def test_live_metric_of_nothing_is_refused() -> None:
    for truth, predicted in (([], []), (["access"], [])):
        with pytest.raises(ValueError, match="as many answers as true labels"):
            live_metric(spec_of(), truth, predicted)


def test_a_window_becomes_an_artefact() -> None:
    random, spec = np.random.default_rng(6), spec_of()
    judge = Judge(reference(random, 300), Monitoring(false_alarm_rate=0.05, resamples=199))
    window, probabilities = rows(random, 60, 0.5)
    labels = ["access"] * 40
    found = window_drift(
        spec, judge, "2025-10-09", window, probabilities,
        truth=labels, predicted=labels, counts=[9] * 40, model_version="1.0.0",
    )  # fmt: skip
    assert found.judged and found.alarm and found.rows == 60 and found.false_alarm_rate == 0.05
    assert [figure.name for figure in found.figures][-1] == "rows_per_day" and not found.figures[-1].alarm
    assert found.estimate is not None and found.live is not None and found.live.value == 1.0
    assert found.text.startswith("Drift: ") and "mean shift" in found.text and "four times in five" in found.text
    again = window_drift(
        spec, judge, "2025-10-09", window, probabilities,
        truth=labels, predicted=labels, counts=[9] * 40, model_version="1.0.0",
    )  # fmt: skip
    assert again.digest == found.digest


def test_rows_per_day_alone_raise_no_alarm() -> None:
    random, spec = np.random.default_rng(7), spec_of()
    judge = Judge(reference(random, 300), Monitoring(false_alarm_rate=0.05, resamples=199))
    window, probabilities = rows(random, 50)
    found = window_drift(spec, judge, "2025-08-09", window, probabilities, counts=[*range(10, 50), *[500] * 7])
    assert found.figures[-1].alarm
    assert found.alarm == any(figure.alarm for figure in found.figures[:-1])


def test_the_share_left_to_a_person_is_shown_and_raises_no_alarm() -> None:
    random, spec = np.random.default_rng(7), spec_of()
    judge = Judge(reference(random, 300), Monitoring(false_alarm_rate=0.05, resamples=199))
    window, probabilities = rows(random, 50)
    plain = window_drift(spec, judge, "2025-08-09", window, probabilities, silent=[False] * 50)
    found = window_drift(spec, judge, "2025-08-09", window, probabilities, silent=[True] * 10 + [False] * 40)
    shown = found.figures[-1]
    assert (shown.name, shown.value, shown.threshold, shown.alarm) == ("silent_answers", 0.2, None, False)
    assert found.alarm == plain.alarm and len(plain.figures) == len(found.figures) - 1


def test_a_small_window_is_not_judged_and_says_so() -> None:
    random, spec = np.random.default_rng(8), spec_of()
    judge = Judge(reference(random), Monitoring())
    window, probabilities = rows(random, 29)
    found = window_drift(
        spec, judge, "2025-08-09", window, probabilities, truth=["access"] * 29, predicted=["access"] * 29
    )
    assert not found.judged and not found.alarm and found.rows == 29 and found.figures == () and found.live is None
    assert found.text == "Not judged: 29 rows, fewer than the 30 of monitoring.min_rows."
    assert window_drift(spec, judge, "2025-08-09", None, None).rows == 0
    large = window_drift(spec, judge, "2025-08-09", *rows(random, 1200))
    assert "Of them 1,000, drawn at random, were compared." in large.text
