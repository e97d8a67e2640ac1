"""What each path would cost, before commitment (1.5), and how good earlier estimates were.

The time of one run of the task's pipeline follows from the probe's two figures and the task file: one frozen pass over
all rows, then rungs whose cached path costs only the unfrozen blocks, then the controls. It is the dear end: every rung
is tried and no training stops early. Each task leaves the ratio of actual to estimated time behind; the next estimate
is multiplied by the median of the last ten.
"""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path as FilePath
from statistics import median
from typing import Any

from filelock import FileLock, Timeout

from playbook.artifacts import BasePin, Path, PathCost
from playbook.decide.probe import Probe
from playbook.errors import ArtifactError
from playbook.spec import TaskSpec

ITERATIONS = (3, 8)  # trainings that it takes until one is good enough (1.5)
RECENT = 10  # earlier ratios that the correction is taken from
LOCK_SECONDS = 30.0
BYTES = 4  # of a stored parameter, float32
EMBEDDINGS = 1  # training the embeddings too is counted as one more block
LONGER_FROM_SCRATCH = 3  # schedule from random weights over fine-tuning's (He, Girshick and Dollar, ICCV 2019)
NO_PROBE = "no device time: the base could not be read, so nothing was measured"


@dataclass(frozen=True)
class Workload:
    """What is trained: rows, and the base with its measured throughput. Without a probe nothing can be said of time."""

    train_rows: int
    validation_rows: int
    pin: BasePin | None = None
    probe: Probe | None = None


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
    """One path: device-hours, stored GB and work of one iteration, and how often it is gone."""

    path: Path
    how: str
    device_hours: float = 0.0
    stored_gb: float = 0.0
    iterations: tuple[int, int] = ITERATIONS
    inference_per_1000: float = 0.0
    labelled: bool = False  # whether the further rows that the team can get are labelled for it


def path_costs(spec: TaskSpec, work: Workload, ratio: float = 1.0) -> tuple[PathCost, ...]:
    """Every path with its cost, in the order of `PATHS`; money in `prices.currency`.

    Device-hours, storage and money are for the most iterations, since that is what one commits to. `ratio` is actual
    over estimated time of earlier tasks.
    """
    return tuple(_priced(spec, way) for way in _ways(spec, work, ratio))


def _ways(spec: TaskSpec, work: Workload, ratio: float) -> list[_Way]:
    prices, probe = spec.prices, work.probe
    prompts = "" if prices.prompts_per_1000 is not None else "; prices.prompts_per_1000 is not given"
    tuned, scratch, answered, how, longer = 0.0, 0.0, 0.0, NO_PROBE, NO_PROBE
    if probe is not None:
        alone = spec.model_copy(update={"adaptation": spec.adaptation.model_copy(update={"devices": 1})})
        epochs = LONGER_FROM_SCRATCH * spec.adaptation.epochs * max(1, _rungs(spec, probe))
        tuned = sum(run_seconds(alone, work).values()) * ratio / 3600
        scratch = _all_blocks(alone, work, epochs) * ratio / 3600
        answered = 1000 * probe.blocks * probe.frozen_seconds * ratio / 3600 * prices.serving_hour
        how = f"every rung and control, from a probe of {probe.steps} steps here" + _corrected(ratio)
        longer = f"all blocks, {LONGER_FROM_SCRATCH} times the epochs of all rungs" + _corrected(ratio)
    kept, whole = _weights_gb(spec, work)
    return [
        _Way("no_model", "rules or a reference baseline, one iteration of work", iterations=(1, 1)),
        _Way("prompt_or_retrieve", "nothing is trained" + prompts, inference_per_1000=prices.prompts_per_1000 or 0.0),
        _Way("fine_tune", how, tuned, kept, inference_per_1000=answered, labelled=True),
        _Way("from_scratch", longer, scratch, whole, inference_per_1000=answered, labelled=True),
    ]


def _priced(spec: TaskSpec, way: _Way) -> PathCost:
    prices = spec.prices
    rows = (spec.decision.rows_obtainable or 0) if way.labelled else 0
    each = way.device_hours * prices.device_hour + prices.iteration_person_hours * prices.person_hour
    each += way.stored_gb * prices.storage_gb_month * prices.storage_months
    fewest, most = (rows * prices.label + count * each for count in way.iterations)
    parts = [
        way.how,
        f"per iteration {way.device_hours:.3g} device-hours and {prices.iteration_person_hours:g} hours of work",
    ]
    if rows and prices.label:
        parts.append(f"{rows:,} further labels at {prices.label:g} {prices.currency}")
    if way.iterations[0] != way.iterations[1]:
        parts.append(f"{way.iterations[0]} iterations come to {fewest:,.2f} {prices.currency}")
    return PathCost(
        path=way.path,
        device_hours=way.device_hours * way.iterations[1],
        money=most,
        iterations=way.iterations,
        inference_per_1000=way.inference_per_1000,
        storage_gb=way.stored_gb * way.iterations[1],
        how="; ".join(parts),
    )


def saved(costs: tuple[PathCost, ...], currency: str, reference: str) -> str:
    """What ending early saves (1.8), in a sentence: fine-tuning's cost less that of a reference baseline."""
    known = {cost.path: cost for cost in costs}
    tuned, none = known["fine_tune"], known["no_model"]
    fewest, most = tuned.iterations
    hours = f"{tuned.device_hours - none.device_hours:.2g} device-hours, " if tuned.device_hours else ""
    money = f"{tuned.money - none.money:,.2f} {currency}" if tuned.money > none.money else "no money that was priced"
    return (
        f"The target is met without fine-tuning, by {reference}. That saves {fewest} to {most} iterations: up to "
        f"{hours}{money}, and {tuned.storage_gb - none.storage_gb:.2g} GB of checkpoints."
    )


def past_ratio(path: FilePath) -> float:
    """Median of actual over estimated time in the last ten tasks on record; 1 where there is none.

    Raises:
        ArtifactError: a line is no record; the file was edited.
    """
    ratios = [float(line["ratio"]) for line in read_ratios(path)]
    return median(ratios[-RECENT:]) if ratios else 1.0


def read_ratios(path: FilePath) -> list[dict[str, Any]]:
    """Every record, oldest first: `time`, `task`, `estimated` and `actual` in seconds, `ratio`.

    Raises:
        ArtifactError: a line is no record; the file was edited, or the disk was full.
    """
    found = []
    for number, text in enumerate(path.read_text("utf-8").splitlines() if path.exists() else (), start=1):
        try:
            line = json.loads(text)
            usable = math.isfinite(line["ratio"]) and line["ratio"] > 0
        except (ValueError, KeyError, TypeError):
            usable = False
        if not usable:
            raise ArtifactError(
                f"{path}, line {number}: expected a record with a positive ratio, found {text[:60]!r}; mend or remove "
                "the line"
            )
        found.append(line)
    return found


def record_ratio(path: FilePath, task: str, estimated: float, actual: float) -> float:
    """Add how a task's training time compares with its estimate; returns the ratio.

    Where the task's last record has the same two times, nothing is added: one training counts once, however often what
    follows it runs.

    Args:
        path: `cost_ratios.jsonl` of the installation, shared by all tasks.
        task: its name.
        estimated: seconds as estimated, without the correction (`Decision.training_seconds / Decision.ratio`): a
            corrected estimate would wear the correction off.
        actual: seconds that it took.

    Raises:
        ValueError: a time that is not positive; nothing was estimated or trained.
        ArtifactError: the file cannot be written.
    """
    if not (estimated > 0 and actual > 0 and math.isfinite(estimated) and math.isfinite(actual)):
        raise ValueError(f"expected two positive times, found {estimated} and {actual} seconds")
    line = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "task": task,
        "estimated": round(estimated, 3),
        "actual": round(actual, 3),
        "ratio": actual / estimated,
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{path}.lock", timeout=LOCK_SECONDS):
            last = _last_record(path, task)
            if last and all(last.get(name) == line[name] for name in ("estimated", "actual")):
                return actual / estimated
            with path.open("ab") as stream:
                stream.write((json.dumps(line) + "\n").encode())
                stream.flush()
                os.fsync(stream.fileno())
    except (OSError, Timeout) as error:
        raise ArtifactError(
            f"{path}: expected to record the ratio of {task}, but {type(error).__name__}: {error}; make it writable"
        ) from error
    return actual / estimated


def _last_record(path: FilePath, task: str) -> dict[str, Any] | None:
    try:
        return next((line for line in reversed(read_ratios(path)) if line.get("task") == task), None)
    except ArtifactError:  # an edited line must not cost a finished training its record; `past_ratio` names it
        return None


def _rungs(spec: TaskSpec, probe: Probe) -> int:
    return min(spec.adaptation.max_rungs, probe.blocks)


def _corrected(ratio: float) -> str:
    return f", times {ratio:.2f} as earlier tasks came out" if ratio != 1 else ""


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
    """GB (10**9 bytes) that one iteration leaves: trained tensors of every rung and a bundle; or the whole model."""
    if work.pin is None:
        return 0.0, 0.0
    block = 12 * work.pin.width**2  # attention 4 d^2, feed-forward 8 d^2 (Vaswani et al. 2017, inner width 4 d)
    rungs = min(spec.adaptation.max_rungs, work.pin.blocks)
    trained = block * rungs * (rungs + 1) // 2
    return (trained + work.pin.parameters) * BYTES / 1e9, work.pin.parameters * BYTES / 1e9
