"""The gain over the strongest simple reference: what adapting a base brings over what needs none (1.7, 5.1).

The frozen baseline is not always the simplest thing that works. So the model that is shown is compared with the
reference that did best on validation, too: which one that is, the test split has no say in.
"""

from __future__ import annotations

from collections.abc import Mapping

from playbook.artifacts import Figure, ReferenceGain, Score
from playbook.evaluate import wording
from playbook.evaluate.metrics import Labels
from playbook.evaluate.verdict import FAILING
from playbook.spec import TaskSpec
from playbook.statistics.answers import Given
from playbook.statistics.metric import target_metric

NAMES = {"candidate": "the candidate", "baseline": "the frozen baseline"}


def strongest_reference(spec: TaskSpec, validation: Mapping[str, Score]) -> str:
    """The reference with the best validation score, the one named first on a tie; empty where there is none."""
    sign = target_metric(spec).sign
    return max(validation, key=lambda name: sign * validation[name].value, default="")


def reference_gain(
    spec: TaskSpec, truth: Labels, answers: Mapping[str, Given], validation: Mapping[str, Score], shown: str
) -> ReferenceGain | None:
    """The gain of the shown model over the strongest reference on the test rows, paired; None without references.

    Args:
        spec: the task.
        truth: true classes of the test rows, shape (rows,).
        answers: by model, the references and `shown` among them.
        validation: scores of the references on validation, which choose the strongest.
        shown: `candidate` or `baseline`.
    """
    name = strongest_reference(spec, {one: score for one, score in validation.items() if one in answers})
    if not name:
        return None
    metric = target_metric(spec)
    found = metric.difference(truth, answers[name], answers[shown])
    gain = Figure(value=found.delta, low=found.low, high=found.high)
    test = metric.score(truth, answers[name])
    text = _in_words(metric.label, name, test, gain, NAMES[shown])
    return ReferenceGain(
        name=name, model="candidate" if shown == "candidate" else "baseline", test=test, gain=gain, text=text
    )


def with_reference(verdict: str, gain: ReferenceGain | None) -> str:
    """A verdict that says the gain over the strongest reference, before the sentence on failing classes."""
    if gain is None:
        return verdict
    said, failing, classes = verdict.partition(FAILING)
    return " ".join(part for part in (said.strip(), gain.text, f"{failing}{classes}") if part)


def _in_words(label: str, name: str, test: Score, gain: Figure, model: str) -> str:
    beside = f"{wording.model_name(name)} ({wording.amount(test.value, label)}, the strongest simple reference)"
    text = f"Beside {beside}, the gain of {model} is {wording.difference(gain, label)}"
    if gain.high < 0:
        return f"{text}: the simple reference does better."
    if gain.low <= 0:
        return f"{text}: no gain over the simple reference is shown."
    return f"{text}."
