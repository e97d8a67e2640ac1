"""Floors of the decision gate (1.4): what a path needs at least. Below a floor a path is out, whatever its score.

Rows by modality, the time until the deadline, people, and the compute budget. A floor takes a path out only where even
the favourable end of what is estimated does not reach it: the fewest iterations, and the low end of the device time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from playbook.artifacts import EvidenceRow, Path, PathCost
from playbook.decide.factors import COMPUTE, PEOPLE, TIME
from playbook.decide.limits import TRAINED, answered, unanswered
from playbook.spec import TaskSpec

EVALUATION_SHARE = 0.2  # of the time until the deadline that is kept for evaluation (1.4)
WEEK = 7 * 24.0  # hours on the clock
WORK_SHARE = 40 / WEEK  # of the clock that a person works
DAY_OF_WORK = 8.0  # hours that a person works in one go, however near the deadline
PROMPT_HOURS = 4.0  # of work until a prompt is written and tried on labelled rows (judgement)
LEAST_PEOPLE: Mapping[Path, int] = {"fine_tune": 1, "from_scratch": 3}  # who train and maintain it (judgement)


@dataclass(frozen=True)
class RowFloor:
    """Fewest labelled rows of one path: of the rarest class, or of all."""

    rows: int
    per_class: bool
    source: str


# Prompting and rules have no floor: they need labelled rows only to be judged by.
ROW_FLOORS: Mapping[str, Mapping[Path, RowFloor]] = {
    "text": {
        "fine_tune": RowFloor(8, True, "SetFit learns from 8 of a class, Tunstall et al. 2022"),
        "from_scratch": RowFloor(
            500_000, False, "up to several hundred thousand rows n-grams do better: Zhang, Zhao and LeCun, NIPS 2015"
        ),
    },
    "image": {
        "fine_tune": RowFloor(10, True, "Big Transfer adapts from 1 to 10 of a class, Kolesnikov et al., ECCV 2020"),
        "from_scratch": RowFloor(
            100_000, False, "a judgement; 10,000 images with many objects each suffice for detection, He et al. 2019"
        ),
    },
    "audio": {
        "fine_tune": RowFloor(10, True, "a judgement; wav2vec 2.0 adapts from ten minutes of speech, Baevski 2020"),
        "from_scratch": RowFloor(100_000, False, "Speech Commands, 105,829 clips of 35 words: Warden 2018"),
    },
}


def rows_missing(spec: TaskSpec, class_rows: Mapping[str, int], path: Path) -> int:
    """Labelled training rows that a path needs beyond those at hand; 0 where it has a floor and reaches it, or none."""
    floor = ROW_FLOORS[spec.modality].get(path)
    if floor is None:
        return 0
    if floor.per_class:
        return sum(max(0, floor.rows - class_rows.get(label, 0)) for label in spec.labels)
    return max(0, floor.rows - sum(class_rows.values()))


def below_row_floor(spec: TaskSpec, class_rows: Mapping[str, int]) -> tuple[Path, ...]:
    """Paths whose floor of rows is not reached, not even with every row that can still be had."""
    more = spec.decision.rows_obtainable or 0
    return tuple(path for path in ROW_FLOORS[spec.modality] if rows_missing(spec, class_rows, path) > more)


def deadline_row(spec: TaskSpec, costs: Mapping[Path, PathCost], today: date | None) -> EvidenceRow:
    """Whether the work of each path fits into the time that is left, a fifth of it kept for evaluation."""
    question = "Deadline: does the work fit, with a fifth of the time kept for evaluation?"
    hours = _hours_left(spec, today)
    if hours is None:
        return unanswered(TIME, question)
    if hours <= 0:
        return answered(TIME, question, "it has passed", "a day in the past decides nothing; enter a new one")
    usable = (1 - EVALUATION_SHARE) * hours
    needed = {path: _hours_needed(spec, costs, path, usable) for path in ("prompt_or_retrieve", *TRAINED)}
    out = tuple(path for path, needs in needed.items() if needs > usable)
    answer = f"{_span(hours)}, {_span(usable)} of them for the work; fine-tuning needs {_span(needed['fine_tune'])}"
    phases = {
        None: "; whether a simpler model may go first is still open",
        True: "; deliver the best reference first, the adapted model later",
        False: "; a phased delivery is not wanted",
    }[spec.decision.phased]
    if not out:
        return answered(TIME, question, answer, "the fewest iterations of every path fit")
    short = f"the work does not fit into {_span(usable)}" + (phases if "fine_tune" in out else "")
    return answered(TIME, question, answer, short, rules_out=out)


def _hours_left(spec: TaskSpec, today: date | None) -> float | None:
    """Hours on the clock until it must be in use."""
    said = spec.decision
    if said.deadline is not None:
        return (said.deadline - today).days * 24.0 if today is not None else None
    if said.deadline_weeks is not None:
        return said.deadline_weeks * WEEK
    return said.deadline_hours


def _hours_needed(spec: TaskSpec, costs: Mapping[Path, PathCost], path: Path, usable: float) -> float:
    """Hours on the clock of a path's fewest iterations: the work of the people there are, then the device time."""
    people = max(1, spec.decision.maintainers or 1)
    share = max(WORK_SHARE, min(1.0, DAY_OF_WORK / usable))
    if path == "prompt_or_retrieve":
        return PROMPT_HOURS / people / share
    cost = costs.get(path)
    work = (cost.iterations[0] if cost else 3) * spec.prices.iteration_person_hours
    return work / people / share + least_device_hours(cost) / spec.adaptation.devices


def least_device_hours(cost: PathCost | None) -> float:
    """Device-hours of a path's fewest iterations, at the low end of the estimate."""
    if cost is None:
        return 0.0
    low = cost.hours_interval[0] if cost.hours_interval else cost.device_hours
    return low * cost.iterations[0] / cost.iterations[1]


def people_row(spec: TaskSpec) -> EvidenceRow:
    """Who can train and maintain a model."""
    question = "Team: how many people can train and maintain a model?"
    people = spec.decision.maintainers
    if people is None:
        return unanswered(PEOPLE, question)
    out = tuple(path for path, least in LEAST_PEOPLE.items() if people < least)
    if people == 0:
        why = "nobody would notice when a trained model decays, or be able to retrain it"
        return answered(PEOPLE, question, "none", why, rules_out=out)
    if out:
        return answered(
            PEOPLE,
            question,
            str(people),
            f"training from nothing needs {LEAST_PEOPLE['from_scratch']} people (a judgement)",
            rules_out=out,
        )
    return answered(PEOPLE, question, str(people), "enough to maintain any model")


def compute_row(spec: TaskSpec, costs: Mapping[Path, PathCost]) -> EvidenceRow:
    """Whether the device-hours suffice for the fewest iterations."""
    question = "Compute budget: do the device-hours suffice?"
    hours = spec.decision.device_hours
    if hours is None:
        return unanswered(COMPUTE, question)
    timed = {path: costs[path] for path in TRAINED if path in costs and costs[path].hours_interval is not None}
    if not timed:
        return answered(COMPUTE, question, f"{hours:g} device-hours", "not comparable: throughput was not measured")
    words: Mapping[Path, str] = {"fine_tune": "fine-tuning", "from_scratch": "from scratch"}
    told = [f"{words[path]} {_hours_told(cost)}" for path, cost in timed.items()]
    answer = f"{hours:g}; {', '.join(told)}"
    out = tuple(path for path, cost in timed.items() if least_device_hours(cost) > hours)
    if out:
        return answered(COMPUTE, question, answer, "not even the fewest iterations fit", rules_out=out)
    tight = [words[path] for path, cost in timed.items() if cost.device_hours > hours]
    return answered(
        COMPUTE, question, answer, f"not all iterations fit ({' and '.join(tight)})" if tight else "all iterations fit"
    )


def _hours_told(cost: PathCost) -> str:
    low, high = cost.hours_interval or (cost.device_hours, cost.device_hours)
    return f"{cost.device_hours:.2g} for {cost.iterations[1]} iterations ({low:.2g} to {high:.2g})"


def _span(hours: float) -> str:
    """A time on the clock as people say it."""
    if hours < 48:
        return f"{max(hours, 0):.1f} hours"
    return f"{hours / WEEK:.1f} weeks" if hours >= 2 * WEEK else f"{hours / 24:.1f} days"
