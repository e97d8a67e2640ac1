"""What each path would cost, before commitment (1.5).

The time of one run of the task's pipeline follows from the probe's two figures and the task file: one frozen pass over
all rows, then rungs whose cached path costs only the unfrozen blocks, then the controls; every rung is tried and no
training stops early. How far earlier estimates missed is in `playbook.decide.ratios`: it corrects them, and gives each
its interval. Answers cost what serving takes for them, which answers requests one by one. What the task file gives no
price for is not priced.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from playbook.artifacts import BasePin, Path, PathCost
from playbook.decide.floors import rows_missing
from playbook.decide.probe import Probe
from playbook.decide.ratios import Spread
from playbook.spec import TaskSpec

ITERATIONS = (3, 8)  # trainings that it takes until one is good enough (1.5)
BYTES = 4  # of a stored parameter, float32
COPIES = 2  # of trained tensors in the store
EMBEDDINGS = 1  # training the embeddings too is counted as one more block
LONGER_FROM_SCRATCH = 3  # schedule from random weights over fine-tuning's (He, Girshick and Dollar, ICCV 2019)
NO_PROBE = "no device time: the base could not be read, so nothing was measured"
HOUR = 3600.0


@dataclass(frozen=True)
class Workload:
    """What is trained: rows, and the base with its measured throughput. Without a probe nothing can be said of time."""

    train_rows: int
    validation_rows: int
    pin: BasePin | None = None
    probe: Probe | None = None
    answer_seconds: float | None = None  # one answer given by itself, as serving gives it; None: not measured
    class_rows: Mapping[str, int] = field(default_factory=dict)  # training rows by class


def run_seconds(spec: TaskSpec, work: Workload) -> dict[str, float]:
    """Seconds on the wall of all training of one run of the task, by part; empty without a probe.

    Parts: `frozen_baseline`, `rungs`, `scratch`, `other_base`, `seeds`; not corrected by earlier ratios. For T training
    and V validation rows, B blocks, R rungs of E epochs, f seconds per row and frozen block, t per row and trained
    block: (T + V) B f for the frozen pass, E (T k t + V k f) for rung k. The controls get the epochs of all rungs
    together: from scratch all blocks and the embeddings are trained, the other base has R blocks unfrozen after its own
    frozen pass. Frozen blocks cost again in every epoch where activations are not cached.
    """
    if work.probe is None:
        return {}
    plan, probe, rungs = spec.adaptation, work.probe, _rungs(spec, work.probe)
    rows = work.train_rows + work.validation_rows
    frozen = rows * probe.blocks * probe.frozen_seconds
    parts = {"frozen_baseline": frozen, "rungs": sum(_epochs(spec, work, plan.epochs, k) for k in range(1, rungs + 1))}
    budget = plan.epochs * max(1, rungs)
    compute = plan.epochs * rungs * (rungs + 1) / 2  # epochs times trained blocks
    small = plan.controls.budget == "compute" and rungs
    if plan.controls.scratch:
        parts["scratch"] = _all_blocks(spec, work, min(budget, compute / probe.blocks) if small else budget)
    if plan.controls.other_base and len(spec.bases) > 1:
        parts["other_base"] = frozen + (
            _epochs(spec, work, min(budget, compute / rungs) if small else budget, rungs) if rungs else 0.0
        )
    if plan.controls.seeds > 1 and rungs:
        parts["seeds"] = (plan.controls.seeds - 1) * _epochs(spec, work, plan.epochs, rungs)
    return parts


@dataclass(frozen=True)
class _Way:
    """One path: device-hours, stored GB and work of one iteration, how often it is gone, and rows to label once."""

    path: Path
    how: str
    device_hours: float | None = 0.0  # without the correction; None: not measured
    stored_gb: float = 0.0
    iterations: tuple[int, int] = ITERATIONS
    inference_per_1000: float | None = None
    rows: int = 0


def path_costs(spec: TaskSpec, work: Workload, spread: Spread | None = None) -> tuple[PathCost, ...]:
    """Every path with its cost, in the order of `PATHS`; money in `prices.currency`.

    Device-hours, storage and money are for the most iterations, since that is what one commits to. `spread` is how
    earlier tasks came out.
    """
    known = spread or Spread()
    return tuple(_priced(spec, way, known) for way in _ways(spec, work, known))


def _ways(spec: TaskSpec, work: Workload, spread: Spread) -> list[_Way]:
    prices, probe = spec.prices, work.probe
    more, at_hand = spec.decision.rows_obtainable or 0, dict(work.class_rows) or {"": work.train_rows}
    few = rows_missing(spec, at_hand, "fine_tune") if work.class_rows else 0
    missing = rows_missing(spec, at_hand, "from_scratch")
    tuned: float | None = None
    scratch, how, longer = tuned, NO_PROBE, NO_PROBE
    if probe is not None:
        alone = spec.model_copy(update={"adaptation": spec.adaptation.model_copy(update={"devices": 1})})
        epochs = LONGER_FROM_SCRATCH * spec.adaptation.epochs * max(1, _rungs(spec, probe))
        tuned = sum(run_seconds(alone, work).values()) / HOUR
        wanted = replace(work, train_rows=work.train_rows + missing)  # it trains on the rows that are labelled for it
        scratch = _all_blocks(alone, wanted, epochs) / HOUR
        how = f"every rung and control, from a probe of {probe.steps} steps here" + _corrected(spread)
        longer = f"all blocks, {LONGER_FROM_SCRATCH} times the epochs of all rungs" + _corrected(spread)
    answered = None
    if work.answer_seconds is not None and prices.serving_hour is not None:
        answered = 1000 * work.answer_seconds / HOUR * prices.serving_hour
    kept, whole = _weights_gb(spec, work)
    return [
        _Way("no_model", "rules or a reference baseline, one iteration of work", iterations=(1, 1)),
        _Way("prompt_or_retrieve", "nothing is trained", inference_per_1000=prices.prompts_per_1000),
        _Way("fine_tune", how, tuned, kept, inference_per_1000=answered, rows=max(more, few)),
        _Way("from_scratch", longer, scratch, whole, inference_per_1000=answered, rows=max(more, missing)),
    ]


def _priced(spec: TaskSpec, way: _Way, spread: Spread) -> PathCost:
    prices, (fewest, most) = spec.prices, way.iterations
    hours = None if way.device_hours is None else way.device_hours * most
    corrected = (hours or 0.0) * spread.ratio
    interval = spread.around(hours) if hours else None
    # what, how much of it for the most iterations, its price each, whether every iteration costs it again
    items: list[tuple[str, float | None, float | None, bool]] = [
        ("device time", None if hours is None else corrected, prices.device_hour, True),
        ("work", prices.iteration_person_hours * most, prices.person_hour, True),
        ("storage", way.stored_gb * most * prices.storage_months, prices.storage_gb_month, True),
        ("labels", float(way.rows), prices.label, False),
    ]
    needed = [item for item in items if item[1] is None or item[1] > 0]
    unpriced = tuple(name for name, amount, price, _ in needed if amount is None or price is None)
    sums = [(amount * price, again) for _, amount, price, again in needed if amount is not None and price is not None]
    money = sum(total for total, _ in sums) if sums or not needed else None
    least = sum(total * (fewest / most if again else 1) for total, again in sums)
    device = 0.0 if prices.device_hour is None else prices.device_hour
    around = None
    if money is not None and interval is not None:
        around = (money + (interval[0] - corrected) * device, money + (interval[1] - corrected) * device)
    return PathCost(
        path=way.path,
        device_hours=corrected,
        hours_interval=interval,
        money=money,
        money_interval=around,
        unpriced=unpriced,
        iterations=way.iterations,
        inference_per_1000=way.inference_per_1000,
        storage_gb=way.stored_gb * most,
        how="; ".join(_parts(spec, way, spread, least if sums else None)),
    )


def _parts(spec: TaskSpec, way: _Way, spread: Spread, least: float | None) -> list[str]:
    """What the figures of a path follow from."""
    prices, parts = spec.prices, [way.how]
    each = f"{prices.iteration_person_hours:g} hours of work"
    if way.device_hours:
        each = f"{way.device_hours * spread.ratio:.3g} device-hours ({spread.told}) and {each}"
    parts.append(f"per iteration {each}")
    if way.rows:
        at = "not priced" if prices.label is None else f"at {prices.label:g} {prices.currency}"
        parts.append(f"{way.rows:,} further labels {at}")
    if least is not None and way.iterations[0] != way.iterations[1]:
        parts.append(f"{way.iterations[0]} iterations come to {least:,.2f} {prices.currency}")
    if way.inference_per_1000 is None:
        parts.append("1,000 answers are not priced")
    elif way.path in ("fine_tune", "from_scratch"):
        parts.append("1,000 answers, given one by one as serving does")
    return parts


def saved(costs: tuple[PathCost, ...], currency: str, reference: str) -> str:
    """What ending early saves (1.8), in a sentence: fine-tuning's cost less that of a reference baseline."""
    known = {cost.path: cost for cost in costs}
    tuned, none = known["fine_tune"], known["no_model"]
    fewest, most = tuned.iterations
    parts = []
    if tuned.device_hours:
        low, high = tuned.hours_interval or (tuned.device_hours, tuned.device_hours)
        around = f" ({low:.2g} to {high:.2g})" if high > low else ""
        parts.append(f"{tuned.device_hours:.2g} device-hours{around}")
    if tuned.money is not None and none.money is not None and tuned.money > none.money:
        parts.append(f"{tuned.money - none.money:,.2f} {currency}")
    parts.append(f"{tuned.storage_gb - none.storage_gb:.2g} GB of checkpoints")
    left_out = f" Not priced: {', '.join(tuned.unpriced)}." if tuned.unpriced else ""
    return (
        f"The target is met without fine-tuning, by {reference}. That saves {fewest} to {most} iterations; {most} come "
        f"to about {', '.join(parts)}.{left_out}"
    )


def _rungs(spec: TaskSpec, probe: Probe) -> int:
    return min(spec.adaptation.max_rungs, probe.blocks)


def _corrected(spread: Spread) -> str:
    return f", times {spread.ratio:.2f} as earlier tasks came out" if spread.ratio != 1 else ""


def _epochs(spec: TaskSpec, work: Workload, epochs: float, unfrozen: int) -> float:
    """Seconds of `epochs` epochs with `unfrozen` blocks: training rows both ways, validation rows forward."""
    assert work.probe is not None
    probe = work.probe
    trained = work.train_rows * unfrozen * probe.training_seconds
    scored = work.validation_rows * unfrozen * probe.frozen_seconds
    below = 0.0
    if not spec.adaptation.cache_activations:
        rows = work.train_rows + work.validation_rows
        below = rows * (probe.blocks - unfrozen) * probe.frozen_seconds
    return epochs * (trained + scored + below) / spec.adaptation.devices


def _all_blocks(spec: TaskSpec, work: Workload, epochs: float) -> float:
    """Seconds of training everything from random weights."""
    assert work.probe is not None
    probe = work.probe
    trained = work.train_rows * (probe.blocks + EMBEDDINGS) * probe.training_seconds
    scored = work.validation_rows * probe.blocks * probe.frozen_seconds
    return epochs * (trained + scored) / spec.adaptation.devices


def _weights_gb(spec: TaskSpec, work: Workload) -> tuple[float, float]:
    """GB (10**9 bytes) that one iteration leaves behind, of fine-tuning and of training from scratch.

    The store keeps the trained tensors of every rung and control twice: as its training left them, and as the result
    of its play. MLflow keeps one whole model, the registered bundle.
    """
    if work.pin is None:
        return 0.0, 0.0
    plan, whole = spec.adaptation, work.pin.parameters
    block = 12 * work.pin.width**2  # attention 4 d^2, feed-forward 8 d^2 (Vaswani et al. 2017, inner width 4 d)
    rungs = min(plan.max_rungs, work.pin.blocks)
    trained = block * rungs * (rungs + 1) // 2
    trained += whole if plan.controls.scratch else 0
    trained += block * rungs if plan.controls.other_base and len(spec.bases) > 1 else 0
    trained += (plan.controls.seeds - 1) * block * rungs
    return (COPIES * trained + whole) * BYTES / 1e9, (COPIES + 1) * whole * BYTES / 1e9
