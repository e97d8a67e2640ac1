"""How sure the recommendation is of its own ground: what is still open, and whether an answer would change the path.

The figure is the share of the gate's questions that are answered or measured, so every open one lowers it. The word
beside it is one step lower where an open question has a possible answer that, given alone, leads to another path; these
are named. It is not a probability that the path is right.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from playbook.decide.measured import Measured
from playbook.spec import TaskSpec

if TYPE_CHECKING:
    from playbook.decide.gate import Weighed

HIGH, MIDDLE = 0.8, 0.5
WORDS = ("low", "middling", "high")
# Answers that a question may get: of closed lists all of them, of numbers both ends.
POSSIBLE: Mapping[str, tuple[Any, ...]] = {
    "novelty": ("known", "variant", "new"),
    "rows_obtainable": (0, 10**7),
    "device_hours": (0.0, 1e6),
    "latency_ms": (50.0, 5000.0),
    "control": ("low", "medium", "high"),
    "change": ("behaviour", "capability"),
    "bottleneck": ("knowledge", "reasoning", "judgement"),
    "prompting_reaches": (0.0, 1.0),
    "pretrained_exists": (True, False),
    "labels": ("clean", "some_noise", "noisy"),
    "domain_shift": ("none", "mild", "strong"),
    "texts_may_leave": (True, False),
    "deadline_hours": (8.0, 10_000.0),
    "on_device": (True, False),
    "maintainers": (0, 1, 5),
    "data_licence_allows_training": (True, False),
    "base_licences_allow_use": (True, False),
    "residency": ("own_premises", "region", "anywhere"),
    "prompting_place": ("own_premises", "elsewhere", "none"),
    "weights_must_be_owned": (True, False),
    "derived_weights_owned": (True, False),
}


@dataclass(frozen=True)
class Confidence:
    """The figure, how many questions it follows from, and the open fields of the task file that could turn the path."""

    value: float
    answered: int
    questions: int
    could_change: tuple[str, ...]

    @property
    def text(self) -> str:
        """One sentence for people."""
        step = (self.value >= MIDDLE) + (self.value >= HIGH)
        word = WORDS[max(0, step - bool(self.could_change))]
        said = f"Confidence {word} ({self.value:.2f}): {self.answered} of {self.questions} questions are answered"
        if self.could_change:
            return f"{said}, and an answer to {', '.join(self.could_change)} could change the path."
        others = "" if self.answered == self.questions else ", and no single answer to the others would change the path"
        return f"{said}{others}."


def confidence(spec: TaskSpec, measured: Measured, found: Weighed) -> Confidence:
    """Give every open question each of its possible answers, one at a time, and see whether the path stays."""
    open_rows = [row for row in found.rows if row.source == "not answered"]
    turning = tuple(name for name in _open_fields(spec) if _turns(spec, measured, found, name))
    questions = len(found.rows)
    answered = questions - len(open_rows)
    return Confidence(round(answered / questions, 3), answered, questions, turning)


def _open_fields(spec: TaskSpec) -> Iterator[str]:
    said = spec.decision
    for name in POSSIBLE:
        if name == "deadline_hours" and (said.deadline is not None or said.deadline_weeks is not None):
            continue
        if getattr(said, name) is None:
            yield name


def _turns(spec: TaskSpec, measured: Measured, found: Weighed, name: str) -> bool:
    from playbook.decide.gate import weigh

    def path_with(answer: Any) -> str:
        answers = spec.decision.model_copy(update={name: answer})
        return weigh(spec.model_copy(update={"decision": answers}), measured).path

    return any(path_with(answer) != found.path for answer in POSSIBLE[name])
