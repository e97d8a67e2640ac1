"""Limits on the model itself: time of one answer, size on disk, memory (1.1).

They are judged at evaluation on the models as they would be packaged, and again on the package; for a frozen baseline
that would end the task, before that. What is measured is what a server does: a clean process loads the folder and
answers real texts. A reference is never packaged: only the time of its answers is measured, where it was fitted, and
whoever claims that it meets the target says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from playbook.artifacts import Score
from playbook.bases.footprint import measure_bundle
from playbook.bases.latency import MIB, time_calls
from playbook.evaluate import wording
from playbook.spec import Limit, TaskSpec
from playbook.statistics.metric import is_met

CALLS = 30  # that are timed at least
REMEDIES = {
    "latency_p95_ms": "choose a smaller base or fewer kept layers (base.layers), or measure on a faster machine",
    "size_mb": "choose a smaller base or fewer kept layers (base.layers)",
    "memory_mb": "choose a smaller base, or shorter texts (base.max_length)",
}


def measure_budgets(spec: TaskSpec, folder: Path, texts: Sequence[str]) -> dict[str, Score]:
    """What the limits on the model come to, by `Limit.label`; empty where the task file has none.

    Milliseconds of one call with one text (95th percentile), and units of 2**20 bytes for size and memory. They are
    measured once, so that a score's interval is the value itself.

    Args:
        spec: the task.
        folder: the model as it would be packaged.
        texts: what calls are made of, at least one.

    Raises:
        PinMismatch: the model does not load or answer in a clean process.
    """
    asked = {limit.metric for limit in spec.target.budgets}
    if not asked:
        return {}
    found: dict[str, float] = {}
    if "size_mb" in asked:
        found["size_mb"] = size_mb(folder)
    if asked & {"latency_p95_ms", "memory_mb"}:
        footprint = measure_bundle(folder, spec.adaptation.accelerator, texts, _asked_latency(spec))
        single = next(latency for latency in footprint.latency if latency.batch == 1)
        found |= {"latency_p95_ms": single.p95_ms, "memory_mb": footprint.memory_mb}
    return {name: Score(metric=name, value=found[name], low=found[name], high=found[name], n=1) for name in asked}


def _asked_latency(spec: TaskSpec) -> float | None:
    return next((limit.bound for limit in spec.target.budgets if limit.metric == "latency_p95_ms"), None)


def time_reference(spec: TaskSpec, answer: Callable[[Sequence[str]], object], texts: Sequence[str]) -> dict[str, Score]:
    """What can be measured of a reference in its own process: milliseconds of one call with one text (95th percentile).

    Args:
        spec: the task; nothing is measured where it has no limit on this.
        answer: the reference's probabilities of texts.
        texts: what calls are made of, at least one.
    """
    if "latency_p95_ms" not in {limit.metric for limit in spec.target.budgets}:
        return {}
    value = time_calls(answer, texts, 1, CALLS).p95_ms
    return {"latency_p95_ms": Score(metric="latency_p95_ms", value=value, low=value, high=value, n=1)}


def budgets_in_words(spec: TaskSpec, measured: Mapping[str, Score]) -> str:
    """A sentence for a claim: every limit on the model with what was measured; empty without such limits."""
    found = [
        f"{limit.label} {wording.against(measured[limit.label].value, limit)}"
        if limit.label in measured
        else f"{limit.label} was not measured (at most {limit.bound:g} asked): judge it on what is put into service"
        for limit in spec.target.budgets
    ]
    return f"Limits on the model: {'; '.join(found)}." if found else ""


def size_mb(folder: Path) -> float:
    """All files of a folder, in units of 2**20 bytes."""
    return round(sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / MIB, 1)


def over_budget(limits: Sequence[Limit], scores: dict[str, Score]) -> tuple[str, ...]:
    """Limits on the model that a package misses, one sentence each with figure, limit and remedy."""
    return tuple(
        f"{limit.label}: {wording.against(scores[limit.label].value, limit)}; {REMEDIES[limit.metric]}"
        for limit in limits
        if not is_met(limit, scores[limit.label].value)
    )
