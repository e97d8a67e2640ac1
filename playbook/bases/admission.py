"""What a candidate must satisfy before its score is looked at: licence (1.6), modality (2.3), budget (2.2)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from playbook.artifacts import BasePin
from playbook.bases.choice import counted
from playbook.bases.derive import base_on_disk
from playbook.bases.footprint import Footprint
from playbook.bases.latency import MIB
from playbook.bases.licences import card_fault, licence_fault, licence_findings
from playbook.bases.locate import CONFIG, REQUIRED, locate_base
from playbook.bases.pin import pin_base, read_json
from playbook.data.text import shown
from playbook.errors import PinMismatch
from playbook.spec import Base, Budget, TaskSpec

# Fields of Hugging Face configurations that say what a model reads.
READS = {
    "text": ("vocab_size", "text_config"),
    "image": ("image_size", "num_channels", "vision_config"),
    "audio": ("num_mel_bins", "feat_extract_norm", "num_feat_extract_layers", "audio_config"),
}


@dataclass(frozen=True)
class Found:
    """A candidate as it lies on this machine; one that is `out` has neither folder nor pin."""

    base: Base
    name: str
    out: str = ""
    folder: Path | None = None
    pin: BasePin | None = None
    findings: tuple[str, ...] = ()  # what somebody should look at; it decides nothing


def find_bases(spec: TaskSpec, resolve: Callable[[str], str], cache: Path) -> tuple[Found, ...]:
    """Every candidate of the task, in order: refused by licence or modality, or found, verified and pinned.

    A base whose licence is not allowed is not even fetched. Truncated ones are made under `cache`.

    Raises:
        PinMismatch: a candidate that is allowed is not what its pin says, or is not there.
    """
    found = []
    for base in spec.bases:
        try:
            found.append(_find(spec, base, resolve, cache))
        except OSError as error:
            raise PinMismatch(
                f"{stated_name(base)}: expected files that can be read, found {type(error).__name__} "
                f"({error.strerror or error}{f': {error.filename}' if error.filename else ''}); check the file "
                "permissions and the disk"
            ) from None
    return tuple(found)


def _find(spec: TaskSpec, base: Base, resolve: Callable[[str], str], cache: Path) -> Found:
    name = stated_name(base)
    refused = licence_fault(base, spec.bake_off.licences, spec.bake_off.forbidden_licences)
    if refused:
        return Found(base, name, refused)
    located = locate_base(base, resolve)
    refused = card_fault(spec, located) or modality_fault(spec.modality, base, located)
    if refused:
        return Found(base, name, refused)
    folder = base_on_disk(base, resolve, cache)
    pin = pin_base(base, folder)
    return Found(base, display_name(pin), "", folder, pin, findings_of_base(spec, base, display_name(pin), located))


def findings_of_base(spec: TaskSpec, base: Base, name: str, located: Path | None) -> tuple[str, ...]:
    """What somebody should look at in one base: its licence, and a claim of relevance without a reason."""
    found = licence_findings(spec, base, name, located)
    if base.relevance != "general" and counted(base.relevance, base.relevance_reason) == "general":
        claim = f"{name}: relevance {base.relevance} has no reason (base.relevance_reason), so it counts as general"
        said = f"; found {shown(base.relevance_reason)}, expected a few words" if base.relevance_reason.strip() else ""
        return (*found, claim + said)
    return found


def findings_of_all(spec: TaskSpec, resolve: Callable[[str], str]) -> tuple[str, ...]:
    """What somebody should look at in the bases of a task, those that are out by their licence left aside.

    Raises:
        PinMismatch: a base that may be used is not there.
    """
    found: list[str] = []
    for base in spec.bases:
        if not licence_fault(base, spec.bake_off.licences, spec.bake_off.forbidden_licences):
            found += findings_of_base(spec, base, stated_name(base), locate_base(base, resolve))
    return (*found, *alone(spec))


def alone(spec: TaskSpec) -> tuple[str, ...]:
    """One base alone is compared with nothing (2.1); the same weights named twice are one."""
    if len({(base.sha256, base.layers) for base in spec.bases}) > 1:
        return ()
    return (f"{stated_name(spec.base)} is the only base: name one or two more in bake_off.alternatives to compare it",)


def stated_name(base: Base) -> str:
    """A base's name as the task file has it, with what is kept of a truncated one."""
    return _with_blocks(base.hub or base.package or Path(base.folder or "").name, base.layers)


def display_name(pin: BasePin) -> str:
    """A base's name, with what was kept of a truncated one."""
    return _with_blocks(pin.name, pin.layers)


def _with_blocks(name: str, layers: int | None) -> str:
    return name if layers is None else f"{name}, {layers} block{'' if layers == 1 else 's'}"


def modality_fault(modality: str, base: Base, folder: Path) -> str:
    """Why a base reads something else than the task's inputs, or nothing. It must match exactly: no mixed ones."""
    if not (folder / CONFIG).is_file():
        return ""  # pinning says what is missing
    config = read_json(folder / CONFIG)
    reads = [name for name, fields in READS.items() if any(config.get(field) is not None for field in fields)]
    if reads == [modality]:
        return ""
    return f"modality {' and '.join(reads) or 'not stated in config.json'}: expected {modality}"


BUSY = 0.1  # share of the time that calls waited for a processor, from which their figures may be twice the quiet ones


def disk_mb(folder: Path) -> float:
    """Weights, configuration and tokenizer on disk, in MiB."""
    return round(sum((folder / name).stat().st_size for name in REQUIRED) / MIB, 1)


def budget_faults(budget: Budget, pin: BasePin, disk: float, footprint: Footprint | None) -> str:
    """By what a candidate misses the budget, or nothing; without a footprint only what needs no measuring is judged."""
    rows: list[tuple[str, float, float | None, str]] = [
        ("parameters", pin.parameters / 1e6, budget.parameters_millions, "million"),
        ("disk", disk, budget.disk_mb, "MiB"),
    ]
    if footprint is not None:
        single = next(latency for latency in footprint.latency if latency.batch == 1)
        rows += [
            ("latency p95 of one text", single.p95_ms, budget.latency_p95_ms, "ms"),
            ("memory", footprint.memory_mb, budget.memory_mb, "MiB"),
        ]
    missed = [row for row in rows if row[2] is not None and row[1] > row[2]]
    faults = [f"{name} {value:.6g} {unit}: at most {limit:g}" for name, value, limit, unit in missed]
    if footprint is not None and any(unit == "ms" for *_, unit in missed) and single.waited >= BUSY:
        faults.append(f"other programs ran meanwhile (calls waited {single.waited:.0%} of the time): free the machine")
    return "; ".join(faults)
