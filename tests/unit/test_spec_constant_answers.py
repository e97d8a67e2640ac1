from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from metric_samples import limit_of, metric_of
from report_samples import spec_for

from playbook.spec import METRICS, PER_CLASS_METRICS
from playbook.spec.constant_answers import constant_answer

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
