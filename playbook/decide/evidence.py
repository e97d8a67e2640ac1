"""The questions of the decision gate (1.3, 1.4), one row each: what was answered or measured, and what it speaks for.

What the engine measures by itself is in `playbook.decide.measured`, with the meaning of the weights.
"""

from __future__ import annotations

from playbook.artifacts import EvidenceRow, Path
from playbook.decide.limits import MADE_HERE, PROMPTED, TRAINED, answered, unanswered
from playbook.decide.measured import (
    ENOUGH_ROWS,
    MODEL_FREE,
    Measured,
    Speaks,
    labels_row,
    pretrained_row,
    references_row,
    shift_row,
    throughput_row,
    volume_row,
)
from playbook.spec import TaskSpec

FAST_MS = 300.0  # a prompted language model rarely answers within it
WEEK_HOURS = 40.0  # of one person
EVALUATION_SHARE = 0.2  # of the time until the deadline that is kept for evaluation (1.4)

CHOICES: dict[str, tuple[str, dict[str, Speaks]]] = {
    "novelty": (
        "Task novelty: how new is the task?",
        {
            "known": Speaks(("prompt_or_retrieve", "fine_tune"), 1, "models that are trained for it exist already"),
            "variant": Speaks(
                ("fine_tune",), 2, "a base knows the kind of task, the team's rows teach its own classes"
            ),
            "new": Speaks(TRAINED, 1, "no model at hand has seen it, so it has to be learned from the team's rows"),
        },
    ),
    "control": (
        "Control need: who may change what answers?",
        {
            "low": Speaks(PROMPTED, 1, "a model that somebody else runs and changes is acceptable"),
            "medium": Speaks(("fine_tune",), 1, "weights of the team's own are pinned and change when it says so"),
            "high": Speaks(TRAINED, 2, "only weights of the team's own answer the same way until it changes them"),
        },
    ),
    "change": (
        "Is it a new capability, or behaviour that should change?",
        {
            "behaviour": Speaks(PROMPTED, 1, "the ability is there; instructions change how it answers"),
            "capability": Speaks(TRAINED, 1, "what no model can do yet is learned, not asked for"),
        },
    ),
    "bottleneck": (
        "What is the bottleneck: knowledge, reasoning or judgement?",
        {
            "knowledge": Speaks(PROMPTED, 2, "facts that change are looked up, not trained in"),
            "reasoning": Speaks(PROMPTED, 1, "a larger general model reasons better than a small adapted one"),
            "judgement": Speaks(("fine_tune",), 2, "telling cases apart as examples do is what adaptation teaches"),
        },
    ),
}


def evidence_rows(spec: TaskSpec, measured: Measured) -> tuple[EvidenceRow, ...]:
    """Every question that is no hard limit, in a fixed order."""
    chosen = {name: _choice(spec, name) for name in CHOICES}
    return (
        references_row(spec, measured),
        chosen["novelty"],
        volume_row(measured),
        _obtainable(spec),
        _budget(spec, measured),
        _latency(spec),
        chosen["control"],
        chosen["change"],
        chosen["bottleneck"],
        pretrained_row(spec, measured),
        labels_row(spec, measured),
        shift_row(spec, measured),
        _deadline(spec, measured),
        _team(spec),
        throughput_row(measured),
    )


def _choice(spec: TaskSpec, name: str) -> EvidenceRow:
    question, meanings = CHOICES[name]
    answer = getattr(spec.decision, name)
    if answer is None:
        return unanswered(question)
    said = meanings[answer]
    return answered(question, answer, said.why, said.favours, said.weight)


def _obtainable(spec: TaskSpec) -> EvidenceRow:
    question = "How many further labelled rows can be had, and what do they cost?"
    rows, price = spec.decision.rows_obtainable, spec.prices.label
    if rows is None:
        return unanswered(question)
    cost = f"{rows * price:,.2f} {spec.prices.currency} at {price:g} each" if price else "no price per label is given"
    if rows >= ENOUGH_ROWS * len(spec.labels):
        return answered(
            question, f"{rows:,}; {cost}", f"at least {ENOUGH_ROWS} more for every class", ("fine_tune",), 1
        )
    return answered(question, f"{rows:,}; {cost}", "too few to change what the rows at hand say")


def _budget(spec: TaskSpec, measured: Measured) -> EvidenceRow:
    question = "Compute budget: do the device-hours suffice?"
    hours, costs = spec.decision.device_hours, {cost.path: cost for cost in measured.costs}
    if hours is None:
        return unanswered(question)
    if measured.probe is None or not costs:
        return answered(question, f"{hours:g} device-hours", "not comparable: throughput could not be measured")
    needed: dict[Path, float] = {path: costs[path].device_hours for path in TRAINED}
    fewest = costs["fine_tune"].iterations[0] / costs["fine_tune"].iterations[1] * needed["fine_tune"]
    answer = f"{hours:g}; fine-tuning {needed['fine_tune']:.2g} at most, from scratch {needed['from_scratch']:.2g}"
    if hours < fewest:
        return answered(question, answer, "not even the fewest iterations of fine-tuning fit", MODEL_FREE, 2)
    fits = tuple(path for path in TRAINED if needed[path] <= hours)
    if not fits:
        return answered(question, answer, "some iterations of fine-tuning fit, not all", ("fine_tune",), 1)
    return answered(question, answer, "all iterations fit", fits, 1)


def _latency(spec: TaskSpec) -> EvidenceRow:
    question = "Latency need: what may one answer take?"
    limit = spec.decision.latency_ms or spec.bake_off.budget.latency_p95_ms
    if limit is None:
        return unanswered(question)
    if limit <= FAST_MS:
        return answered(question, f"{limit:g} ms", "a small model of the team's own is fast enough", MADE_HERE, 1)
    return answered(question, f"{limit:g} ms", "every path can keep it")


def _deadline(spec: TaskSpec, measured: Measured) -> EvidenceRow:
    question = "Deadline: does the work fit, with a fifth of the time kept for evaluation?"
    said, weeks = spec.decision, spec.decision.deadline_weeks
    if said.deadline is not None and measured.today is not None:
        weeks = (said.deadline - measured.today).days / 7
    if weeks is None:
        return unanswered(question)
    usable = (1 - EVALUATION_SHARE) * weeks
    needed = _weeks_needed(spec, measured)
    answer = (
        f"{max(weeks, 0):.1f} weeks, {max(usable, 0):.1f} of them for the work; fine-tuning needs {needed:.1f} at least"
    )
    phases = {
        None: "; whether a simpler model may go first is not answered",
        True: "; deliver the best reference first, the adapted model later",
        False: "; a phased delivery is not wanted",
    }[said.phased]
    if needed > usable:
        return answered(question, answer, f"fine-tuning does not fit{phases}", MODEL_FREE, 2)
    return answered(question, answer, "the fewest iterations of fine-tuning fit", ("fine_tune",), 1)


def _weeks_needed(spec: TaskSpec, measured: Measured) -> float:
    """Weeks of the fewest fine-tuning iterations: the work of the people there are, and the training."""
    iterations = next((cost.iterations[0] for cost in measured.costs if cost.path == "fine_tune"), 3)
    people = max(1, spec.decision.maintainers or 1)
    work = spec.prices.iteration_person_hours / (WEEK_HOURS * people)
    return iterations * (work + measured.training_seconds / (7 * 24 * 3600))


def _team(spec: TaskSpec) -> EvidenceRow:
    question = "Team: how many people can train and maintain a model?"
    people = spec.decision.maintainers
    if people is None:
        return unanswered(question)
    if people == 0:
        return answered(question, "none", "nobody would notice when it decays, or could retrain it", MODEL_FREE, 2)
    if people < 3:
        return answered(question, str(people), "enough to keep an adapted model", ("fine_tune",), 1)
    return answered(question, str(people), "enough to keep any model", TRAINED, 1)
