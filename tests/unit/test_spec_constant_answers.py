from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from metric_samples import limit_of, metric_of
from report_samples import spec_for

from playbook.spec import METRICS, PER_CLASS_METRICS
from playbook.spec.constant_answers import constant_answer, remedy
from playbook.statistics.answers import Answers

CLASSES = ("anger", "fear", "joy")
ANGER: dict[str, Any] = {"metric": "recall", "of_class": "anger", "at_least": 0.9, "limits": []}


def test_recall_of_one_class_alone_is_refused_with_the_remedy() -> None:
    with pytest.raises(ValueError, match="answers 'anger' to everything would meet recall of anger") as caught:
        spec_for(CLASSES, **ANGER)
    said = str(caught.value)
    assert "precision of anger, false_positive_rate of anger, balanced_accuracy or macro_f1" in said
    never = {"metric": "false_positive_rate", "of_class": "anger", "at_least": None, "at_most": 0.02, "limits": []}
    with pytest.raises(ValueError, match="answers 'fear' to everything would meet false_positive_rate of anger"):
        spec_for(CLASSES, **never)


@pytest.mark.parametrize(
    ("limits", "refused"),
    [
        ([{"metric": "precision", "of_class": "anger", "at_least": 0.5}], False),
        ([{"metric": "false_positive_rate", "of_class": "anger", "at_most": 0.1}], False),
        ([{"metric": "f1", "of_class": "anger", "at_least": 0.5}], False),
        ([{"metric": "macro_f1", "at_least": 0.5}], False),
        ([{"metric": "accuracy", "at_least": 0.5}], False),
        ([{"metric": "balanced_accuracy", "at_least": 0.34}], False),
        ([{"metric": "balanced_accuracy", "at_least": 0.33}], True),  # a third is what a constant answer has
        ([{"metric": "roc_auc", "at_least": 0.5}], True),
        ([{"metric": "roc_auc", "at_least": 0.6}], False),
        ([{"metric": "log_loss", "at_most": 1.0}], False),
        ([{"metric": "log_loss", "at_most": 1.2}], True),  # even probabilities of three classes have 1.0986
        ([{"metric": "recall", "of_class": "fear", "at_least": 0.1}], False),
        ([{"metric": "false_positive_rate", "of_class": "fear", "at_most": 0.1}], True),
        ([{"metric": "latency_p95_ms", "at_most": 50}], True),
    ],
)
def test_a_limit_helps_where_constant_answers_fail_it(limits: list[dict[str, Any]], refused: bool) -> None:
    if refused:
        with pytest.raises(ValueError, match="to everything would meet"):
            spec_for(CLASSES, **{**ANGER, "limits": limits})
    else:
        assert spec_for(CLASSES, **{**ANGER, "limits": limits}).target.limits


@pytest.mark.parametrize("name", METRICS)
def test_the_value_of_a_constant_answer_is_what_the_metric_computes(name: str) -> None:
    """Classes of which the answered one is rare: a limit just beyond what is computed there is not met by it."""
    truth = np.array([0] * 2 + [1] * 999 + [2] * 999)
    even = np.full((len(truth), 3), 1 / 3)
    of_class = 0 if name in PER_CLASS_METRICS else None
    metric = metric_of(name, of_class, 3)
    value = metric.value(truth, even)  # a tie goes to the first class: always 0
    for away, met in ((0.01, False), (-0.01, True)):
        bound = min(max(value + metric.sign * away, 0.0), 1.0) if name != "log_loss" else value - away
        limit = limit_of(name, None if of_class is None else "0", bound)
        if bound not in (0.0, 1.0):
            assert (constant_answer([limit], ("0",) * 3) is not None) == met, (name, bound, value)


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("label", [0, 1, 2])
@pytest.mark.parametrize("counts", [(600, 300, 100), (800, 200, 0), (0, 700, 300)])
def test_where_the_shares_are_known_the_value_is_what_the_metric_computes(
    name: str, label: int, counts: tuple[int, ...]
) -> None:
    truth = np.repeat(np.arange(3), counts)
    shares = {str(at): count / 1000 for at, count in enumerate(counts)}
    prior = np.tile(list(shares.values()), (len(truth), 1))
    answers = Answers(np.full(len(truth), label), prior)
    of_class = 0 if name in PER_CLASS_METRICS else None
    metric = metric_of(name, of_class, 3)
    value = metric.value(truth, answers)
    for away, met in ((0.005, False), (-0.005, True)):
        bound = value + metric.sign * away
        limit = limit_of(
            name, None if of_class is None else "0", min(max(bound, 0.0), 1.0 if name != "log_loss" else 9)
        )
        if limit.bound == bound:
            always = constant_answer([limit], ("0", "1", "2"), shares)
            assert met or always != str(label), (bound, value)
            assert not met or always is not None, (bound, value)


@pytest.mark.parametrize(
    ("name", "bound"), [("macro_f1", 0.44), ("balanced_accuracy", 0.45), ("average_precision", 0.49)]
)
def test_a_class_without_rows_makes_no_limit_safe(name: str, bound: float) -> None:
    """Always "a" has a macro-F1 of 0.444 and the others of 0.5, since the mean is over the two classes with rows."""
    shares = {"a": 0.8, "b": 0.2, "c": 0.0}
    assert constant_answer([limit_of(name, bound=bound)], tuple(shares), shares) == "a"


def test_precision_of_a_frequent_class_alone_asks_for_nothing_once_the_shares_are_known() -> None:
    spec = spec_for(CLASSES, metric="precision", of_class="anger", at_least=0.6)  # the task file alone cannot tell
    limits, shares = spec.target.all_limits, {"anger": 0.7, "fear": 0.2, "joy": 0.1}
    assert constant_answer(limits, CLASSES) is None and constant_answer(limits, CLASSES, shares) == "anger"
    assert "false_positive_rate of anger, balanced_accuracy or macro_f1" in remedy(limits, "anger")
    assert "recall" not in remedy(limits, "anger"), "which the constant answer meets as well"
    assert constant_answer(limits, CLASSES, {"anger": 0.5, "fear": 0.3, "joy": 0.2}) is None
    f1 = spec_for(CLASSES, metric="f1", of_class="anger", at_least=0.8).target.all_limits
    assert constant_answer(f1, CLASSES, shares) == "anger"  # 2 x 0.7 / 1.7
