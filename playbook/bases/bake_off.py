"""The bake-off (Play 2): every candidate as a frozen feature extractor, with one budget, before anything is fine-tuned.

Licence, modality and budget come first: a candidate that misses one of them is out, and no head is ever fitted on its
features. The others get the same rows, the same head and the same measurements, and the rule of
`playbook.bases.choice` decides.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from playbook.artifacts import BaseCandidate, BasePin, BaseSelection
from playbook.bases.admission import Found, alone, budget_faults, disk_mb
from playbook.bases.choice import CLOSE_WORDS, RELEVANCE, Standing, choose, counted, rule_text
from playbook.bases.closeness import measure_closeness
from playbook.bases.footprint import Footprint, base_to_measure, measure_footprints
from playbook.bases.probe import Probe, Slice, probe_base, take_slice
from playbook.bases.transferability import METHOD, log_me
from playbook.errors import PinMismatch
from playbook.spec import TaskSpec

Report = Callable[[str], None]


@dataclass(frozen=True)
class Rows:
    """The rows that every candidate is judged on."""

    train: Slice
    validation: Slice


@dataclass(frozen=True)
class Measured:
    """Every candidate with its figures, and the standings of those that were not out."""

    rows: Rows
    candidates: tuple[BaseCandidate, ...]
    standings: tuple[Standing, ...]
    hardware: str


def run_bake_off(
    spec: TaskSpec, found: Sequence[Found], train: pd.DataFrame, validation: pd.DataFrame, report: Report
) -> BaseSelection:
    """Measure every candidate and choose one; arguments and errors as in `measure_bases`."""
    measured = measure_bases(spec, found, train, validation, report)
    candidates, standings = measured.candidates, measured.standings
    refused = len(candidates) - len(standings)
    choice = choose(spec, measured.rows.validation.labels, standings, refused=refused)
    chosen, runner_up = choice.order[0], next(iter(choice.order[1:]), None)
    report(f"chosen: {choice.why}")
    return BaseSelection(
        task=spec.task,
        pin=candidates[chosen].pin,
        chosen=chosen,
        runner_up=runner_up,
        runner_up_pin=None if runner_up is None else candidates[runner_up].pin,
        candidates=candidates,
        probe_rows=(len(measured.rows.train.labels), len(measured.rows.validation.labels)),
        findings=(*(text for one in found for text in one.findings), *alone(spec), *_claims(candidates)),
        rule=rule_text(spec),
        why=choice.why,
        hardware=measured.hardware,
    )


def measure_bases(
    spec: TaskSpec, found: Sequence[Found], train: pd.DataFrame, validation: pd.DataFrame, report: Report
) -> Measured:
    """Every candidate with one budget, as a frozen feature extractor.

    Args:
        spec: the task.
        found: its candidates, in order, from `playbook.bases.admission.find_bases`.
        train: prepared training rows, columns of `playbook.data.tables`; the probe takes `bake_off.train_rows` of them.
        validation: prepared validation rows, likewise.
        report: takes lines of progress.

    Raises:
        PinMismatch: every candidate is out, with by what each missed; or one cannot be loaded.
        DataError: a table without rows, or with other classes than the task's.
    """
    rules = spec.bake_off
    rows = Rows(take_slice(spec, train, rules.train_rows), take_slice(spec, validation, rules.validation_rows))
    footprints = _footprints(spec, found, rows)
    candidates, probes, hardware = [], {}, ""
    for place, one in enumerate(found):
        candidate, probe, used = judge(spec, one, rows, footprints.get(place))
        report(told(candidate))
        candidates.append(candidate)
        hardware = used or hardware
        if probe is not None:
            probes[place] = probe
    if not probes:
        missed = "\n".join(f"  {candidate.name}: {candidate.out}" for candidate in candidates)
        raise PinMismatch(
            f"expected a base that the task's licences, modality and budget allow, found none among {len(candidates)}:"
            f"\n{missed}\nName another in bake_off.alternatives, or change bake_off.licences or bake_off.budget."
        )
    standings = tuple(_standing(place, candidates[place], probe) for place, probe in probes.items())
    return Measured(rows, tuple(candidates), standings, hardware)


def _footprints(spec: TaskSpec, found: Sequence[Found], rows: Rows) -> dict[int, Footprint]:
    """Time and memory of every candidate that is not out by its size, by its place: all of them in turn."""
    small = {
        place: base_to_measure(one.folder, one.pin, spec.adaptation)
        for place, one in enumerate(found)
        if one.folder is not None and one.pin is not None and not _too_large(spec, one.pin, one.folder)
    }
    limit = spec.bake_off.budget.latency_p95_ms
    measured = measure_footprints(list(small.values()), rows.validation.texts, limit)
    return dict(zip(small, measured, strict=True))


def _too_large(spec: TaskSpec, pin: BasePin, folder: Path) -> str:
    return budget_faults(spec.bake_off.budget, pin, disk_mb(folder), None)


def judge(
    spec: TaskSpec, one: Found, rows: Rows, footprint: Footprint | None
) -> tuple[BaseCandidate, Probe | None, str]:
    """One candidate's row of the table, the probe unless it is out, and the hardware that measured it."""
    began = time.perf_counter()
    stated = {
        "name": one.name,
        "licence": one.base.licence,
        "pretrained_on": one.base.pretrained_on,
        "relevance": one.base.relevance,
        "relevance_reason": one.base.relevance_reason,
    }
    if one.out or one.pin is None or one.folder is None:
        return BaseCandidate(**stated, out=one.out or "not found"), None, ""
    disk = disk_mb(one.folder)
    sizes: dict[str, Any] = {**stated, "pin": one.pin, "parameters": one.pin.parameters, "disk_mb": disk}
    if footprint is None:
        return BaseCandidate(**sizes, out=_too_large(spec, one.pin, one.folder)), None, ""
    sizes |= {"latency": footprint.latency, "memory_mb": footprint.memory_mb}
    out = budget_faults(spec.bake_off.budget, one.pin, disk, footprint)
    if out:
        return BaseCandidate(**sizes, out=out, seconds=_since(began)), None, ""
    figures, probe, hardware = _score(spec, one, rows)
    return BaseCandidate(**sizes, **figures, seconds=_since(began)), probe, hardware


def _score(spec: TaskSpec, one: Found, rows: Rows) -> tuple[dict[str, Any], Probe, str]:
    """Features of both slices, computed once, and everything that is read from them."""
    from playbook.adapt.features import FeatureExtractor
    from playbook.adapt.precision import describe_hardware

    assert one.folder is not None and one.pin is not None
    extract = FeatureExtractor(one.folder, one.pin, spec.adaptation)
    train, validation = extract(rows.train.texts), extract(rows.validation.texts)
    if not (np.isfinite(train).all() and np.isfinite(validation).all()):
        raise PinMismatch(f"{one.name}: expected finite features, found NaN or infinity; choose another base")
    probe = probe_base(spec, (train, rows.train.labels), (validation, rows.validation.labels))
    figures = {
        "score": probe.score,
        "resampled": probe.resampled,
        "spread": probe.spread,
        "transferability": log_me(train, rows.train.labels),
        "transferability_method": METHOD,
        "closeness": measure_closeness(one.folder, rows.train.texts, train),
    }
    return figures, probe, describe_hardware(extract.device, extract.dtype)


def _claims(candidates: Sequence[BaseCandidate]) -> list[str]:
    """Bases that are said to be closer to the task than others which were measured to be closer."""
    measured = [one for one in candidates if one.closeness is not None]
    nearest = min(measured, key=lambda one: one.closeness.tokens_per_word if one.closeness else 0.0, default=None)
    if nearest is None or nearest.closeness is None:
        return []
    best = nearest.closeness.tokens_per_word
    return [
        f"{one.name} is called {one.relevance}, but needs {one.closeness.tokens_per_word:.2f} tokens per word where "
        f"{nearest.name} needs {best:.2f}: what was measured comes first"
        for one in measured
        if one.closeness is not None
        and RELEVANCE.index(one.relevance) > RELEVANCE.index(nearest.relevance)
        and one.closeness.tokens_per_word > CLOSE_WORDS * best
    ]


def _standing(place: int, candidate: BaseCandidate, probe: Probe) -> Standing:
    assert candidate.closeness is not None
    return Standing(
        place=place,
        name=candidate.name,
        score=probe.score,
        answers=probe.answers,
        relevance=counted(candidate.relevance, candidate.relevance_reason),
        tokens_per_word=candidate.closeness.tokens_per_word,
        unknown_share=candidate.closeness.unknown_share,
        latency_ms=next(latency.fastest_ms for latency in candidate.latency if latency.batch == 1),
    )


def told(candidate: BaseCandidate) -> str:
    """One line about a candidate, for whoever watches."""
    if candidate.out or candidate.score is None:
        return f"{candidate.name}: out before it was scored: {candidate.out}"
    times = ", ".join(f"{latency.p95_ms:.1f} ms for {latency.batch}" for latency in candidate.latency)
    return (
        f"{candidate.name}: probe {candidate.score.value:.4f} ± {candidate.spread:.4f} over resamples, p95 {times}, "
        f"{candidate.parameters / 1e6:.1f} million parameters, licence {candidate.licence}"
    )


def _since(began: float) -> float:
    return round(time.perf_counter() - began, 3)
