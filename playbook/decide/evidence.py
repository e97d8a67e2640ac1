"""The questions of the decision gate (1.3, 1.4), one row each: what was answered or measured, and what it speaks for.

What the engine measures by itself is in `playbook.decide.measured`, with the meaning of the weights; what a path needs
at least is in `playbook.decide.floors`. An answer that holds for every path speaks for none.
"""

from __future__ import annotations

from playbook.artifacts import EvidenceRow, Path
from playbook.decide.asking import FAST_MS, NETWORK_MS, asked_at_home, latency_limit
from playbook.decide.factors import CONTROL, LABELS, LACK, NOVELTY
from playbook.decide.floors import compute_row, deadline_row, people_row, rows_missing
from playbook.decide.limits import MADE_HERE, PROMPTED, TRAINED, answered, asked_elsewhere, unanswered
from playbook.decide.measured import (
    ENOUGH_ROWS,
    Measured,
    Speaks,
    ceiling_row,
    floor_rows,
    labels_row,
    pretrained_row,
    references_row,
    shift_row,
    throughput_row,
    volume_row,
)
from playbook.spec import TaskSpec

CHOICES: dict[str, tuple[str, str, dict[str, Speaks]]] = {
    "novelty": (
        NOVELTY,
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
        CONTROL,
        "Control need: who may change what answers?",
        {
            "low": Speaks(PROMPTED, 1, "a model that somebody else runs and changes is acceptable"),
            "medium": Speaks(("fine_tune",), 1, "the team's own weights are pinned and change only when it says so"),
            "high": Speaks(TRAINED, 2, "only the team's own weights answer the same way until the team changes them"),
        },
    ),
    "change": (
        LACK,
        "Is it a new capability, or behaviour that should change?",
        {
            "behaviour": Speaks(PROMPTED, 1, "the ability is there; instructions change how it answers"),
            "capability": Speaks(TRAINED, 1, "what no model can do yet has to be learned"),
        },
    ),
    "bottleneck": (
        LACK,
        "What is the bottleneck: knowledge, reasoning or judgement?",
        {
            "knowledge": Speaks(PROMPTED, 2, "facts are better looked up than trained in"),
            "reasoning": Speaks(PROMPTED, 1, "a larger general model reasons better than a small adapted one"),
            "judgement": Speaks(
                ("fine_tune",), 2, "adaptation teaches to tell cases apart as the labelled examples do"
            ),
        },
    ),
}


def evidence_rows(spec: TaskSpec, measured: Measured) -> tuple[EvidenceRow, ...]:
    """Every question that is not a hard limit, in a fixed order."""
    chosen = {name: _choice(spec, name) for name in CHOICES}
    costs = {cost.path: cost for cost in measured.costs}
    return (
        references_row(spec, measured),
        ceiling_row(spec, measured),
        chosen["novelty"],
        volume_row(spec, measured),
        *floor_rows(spec, measured),
        _obtainable(spec, measured),
        compute_row(spec, costs),
        _latency(spec),
        chosen["control"],
        chosen["change"],
        chosen["bottleneck"],
        pretrained_row(spec, measured),
        labels_row(spec, measured),
        shift_row(spec, measured),
        deadline_row(spec, costs, measured.today),
        people_row(spec),
        throughput_row(measured),
    )


def _choice(spec: TaskSpec, name: str) -> EvidenceRow:
    factor, question, meanings = CHOICES[name]
    answer = getattr(spec.decision, name)
    if answer is None:
        return unanswered(factor, question)
    said = meanings[answer]
    if name == "control" and answer != "low" and asked_at_home(spec):
        why = "the team's own weights, and a model on its own premises, change only when it says so"
        return answered(factor, question, answer, why, (*PROMPTED, *TRAINED), said.weight)
    return answered(factor, question, answer, said.why, said.favours, said.weight)


def _obtainable(spec: TaskSpec, measured: Measured) -> EvidenceRow:
    question = "How many further labelled rows can be obtained, and what do they cost?"
    rows, price = spec.decision.rows_obtainable, spec.prices.label
    if rows is None:
        return unanswered(LABELS, question)
    cost = "not priced" if price is None else f"{rows * price:,.2f} {spec.prices.currency} at {price:g} each"
    answer = f"{rows:,}; {cost}"
    missing = rows_missing(spec, measured.class_rows, "fine_tune")
    if measured.class_rows and 0 < missing <= rows:
        return answered(LABELS, question, answer, f"{missing:,} of them are needed for fine-tuning: label them first")
    if rows >= ENOUGH_ROWS * len(spec.labels):
        why = f"at least {ENOUGH_ROWS} more for every class"
        return answered(LABELS, question, answer, why, ("fine_tune",), 1)
    return answered(LABELS, question, answer, "too few to make a difference")


def _latency(spec: TaskSpec) -> EvidenceRow:
    question = "Latency need: what may one answer take?"
    limit = latency_limit(spec)
    if limit is None:
        return unanswered(CONTROL, question)
    if limit <= FAST_MS:
        why = "a small model of the team's own is fast enough"
        out: tuple[Path, ...] = ()
        if limit <= NETWORK_MS and spec.decision.prompting_place in ("region", "elsewhere"):
            out = asked_elsewhere(spec)
            why += "; a prompted model on other machines is not" if out else ""
        return answered(CONTROL, question, f"{limit:g} ms", why, MADE_HERE, 2, out)
    return answered(CONTROL, question, f"{limit:g} ms", "every path can meet it")
