"""Answers of the task file that cannot both be true (1.3, 1.4): each pair is a finding, for somebody to settle.

The gate goes by the rules all the same: a limit holds although another answer speaks as if it did not.
"""

from __future__ import annotations

from collections.abc import Iterator

from playbook.decide.measured import Measured, noisy
from playbook.spec import TaskSpec


def contradictions(spec: TaskSpec, measured: Measured) -> tuple[str, ...]:
    """One sentence for each pair of answers, or answer and measurement, that contradict each other."""
    found = (
        *_about_prompting(spec),
        *_about_texts(spec),
        *_about_bases(spec, measured),
        *_about_labels(spec, measured),
    )
    return tuple(f"decision: {text}" for text in found)


def _about_prompting(spec: TaskSpec) -> Iterator[str]:
    said = spec.decision
    if said.prompting_reaches is not None and said.prompting_place == "none":
        yield (
            f"prompting_reaches says that a prompted model reached {said.prompting_reaches:g}, prompting_place says "
            "that there is none. The path stays ruled out; say where the model that was tried would run, or leave "
            "prompting_reaches out"
        )


def _about_texts(spec: TaskSpec) -> Iterator[str]:
    said = spec.decision
    if said.texts_may_leave and said.residency == "own_premises":
        yield (
            "texts_may_leave says that texts may be sent outside the house, residency that they must stay on own "
            "premises. The stricter one holds; correct the other"
        )


def _about_bases(spec: TaskSpec, measured: Measured) -> Iterator[str]:
    said = spec.decision
    if said.novelty == "known" and said.change == "capability":
        yield (
            "novelty: known says that public models are trained for the task, change: capability that no model at hand "
            "can do it. Correct one of them"
        )
    if said.pretrained_exists is False and measured.probe is not None:
        yield (
            "pretrained_exists says that there is no pretrained model, but the base was read here and counts. Correct "
            "the answer, or say what is wrong with the base"
        )


def _about_labels(spec: TaskSpec, measured: Measured) -> Iterator[str]:
    said = spec.decision.labels
    if measured.kappa is not None and said is not None and (said == "noisy") != noisy(spec, measured):
        yield (
            f"labels says {said}, two people agree with a kappa of {measured.kappa:.2f}. What was measured counts; "
            "correct the answer, or have more rows labelled a second time"
        )
