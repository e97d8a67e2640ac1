"""What an approval is bound to (B3): the bytes of data, splits, base and weights as they lie on disk, and the facts.

The facts are the evaluation: its digest, and that the published report shows it. A page that was rendered again from
the same facts, with another owner, price or stylesheet, is the same to an approval; a page whose bytes nobody rendered
is not.

Manifests name files by hash, but an approval does not take their word: every file is read and hashed again, and what
differs from the manifest, or from what was approved, is named.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from playbook.artifacts import (
    Adapted,
    Artifact,
    BasePin,
    BaseSelection,
    Binding,
    Candidate,
    DatasetVersion,
    Evaluation,
    Report,
)
from playbook.bases.locate import WEIGHTS, locate_base
from playbook.errors import PinMismatch
from playbook.plays import DATASET, FROZEN, REFRESH, REPORT
from playbook.spec import SPLITS, Base
from playbook.store import CHUNK, Store, file_sha256
from playbook.taskfile import Task

MISSING = "missing"
SHOWN = 12  # digits of a hash that a person is shown


@dataclass(frozen=True)
class Bound:
    """What an approval is about: the results of one task that belong together, and where their files lie."""

    task: Task
    store: Store
    report: Path  # the published page, which the sign-off owner reads
    dataset: DatasetVersion
    base: BaseSelection
    model: Adapted  # what ships
    source: str  # the asset that holds it
    evaluation: Evaluation
    pages: Report | None = None  # what the report was rendered as last


def shipping_model(evaluation: Evaluation, choice: Candidate, models: Mapping[str, Adapted]) -> tuple[str, Adapted]:
    """Asset and artefact of the model that an evaluation ships; `models` by asset, the frozen baseline among them."""
    source = choice.source if evaluation.ship == "candidate" and choice.source in models else FROZEN
    return source, models[source]


def binding_of(bound: Bound) -> Binding:
    """Hash everything that an approval is bound to; a file that is not there has the hash `missing`."""
    return Binding(
        task=bound.task.spec.task,
        ship=bound.evaluation.ship,
        dataset=bound.dataset.dataset_hash,
        splits={split: _hash_now(bound.store, bound.dataset, DATASET, split) for split in SPLITS},
        base=_base_now(bound),
        weights=_hash_now(bound.store, bound.model, bound.source, "weights"),
        report=_facts_shown(bound),
        evaluation=bound.evaluation.digest,
    )


def _facts_shown(bound: Bound) -> str:
    """Digest of the evaluation that the published page shows; of a page that was not rendered here, its own hash."""
    found = _page_now(bound)
    if bound.pages is None or found != _manifest_hash(bound.pages, "report"):
        return found
    return bound.pages.evaluation


def _page_now(bound: Bound) -> str:
    return file_sha256(bound.report) if bound.report.is_file() else MISSING


def differences(signed: Binding, now: Binding) -> tuple[str, ...]:
    """What changed between two bindings, one sentence each; nothing where they are equal."""
    names = {
        "task": "the task",
        "ship": "what is to ship",
        "dataset": "the dataset",
        "base": "the weights of the base",
        "weights": "the trained weights",
        "report": "the report",
        "evaluation": "the evaluation",
    }
    pairs = [(what, getattr(signed, field), getattr(now, field)) for field, what in names.items()]
    for split in dict.fromkeys((*signed.splits, *now.splits)):
        pairs.append((f"the {split} split", signed.splits.get(split, MISSING), now.splits.get(split, MISSING)))
    return tuple(
        f"{what} changed since it was signed off: expected {before[:SHOWN]}, found {after[:SHOWN]}"
        for what, before, after in pairs
        if before != after
    )


def damage(bound: Bound, now: Binding) -> tuple[str, ...]:
    """Files that are not what their manifests, or the task file's pin, say; one sentence each, with the remedy."""
    again = f"`playbook run {bound.task.called()}` makes it again"
    fetch = "put the base that the task file pins back in its place"
    pages = bound.pages
    report = _manifest_hash(pages, "report") if pages is not None else MISSING
    kept = _hash_now(bound.store, pages, REPORT, "report") if pages is not None else MISSING
    version = bound.dataset.number
    rows = [
        (f"the {split} split of dataset version {version}", _manifest_hash(bound.dataset, split), found, again)
        for split, found in now.splits.items()
    ]
    rows += [
        ("the weights of the base", _pinned(bound), now.base, fetch),
        (f"the weights of {bound.source}", _manifest_hash(bound.model, "weights"), now.weights, again),
        (f"the published report {bound.report.name}", report, _page_now(bound), again),
        ("the report in the store", report, kept, again),
    ]
    return tuple(
        f"{what} changed since the evaluation: expected SHA-256 {expected[:SHOWN]}, found {found[:SHOWN]}; {remedy}"
        for what, expected, found, remedy in rows
        if expected != found or found == MISSING
    )


def stale(bound: Bound) -> tuple[str, ...]:
    """Results that do not belong together: something was made again since the evaluation; one sentence each."""
    evaluation, name = bound.evaluation, bound.task.called()
    evaluated = evaluation.candidate_digest if evaluation.ship == "candidate" else evaluation.baseline_digest
    pairs = [
        ("the dataset", evaluation.dataset_hash, bound.dataset.dataset_hash),
        (f"the model {bound.source}", evaluated, bound.model.digest),
    ]
    found = [
        f"{what} changed since the evaluation: expected {before[:SHOWN]}, found {after[:SHOWN]}; "
        f"`playbook run {name}` evaluates again"
        for what, before, after in pairs
        if before != after
    ]
    if bound.pages is not None and bound.pages.evaluation != evaluation.digest:
        found.append(f"the published report shows another evaluation; `playbook run {name}` renders it again")
    if _base_of(bound) is None:
        found.append(
            f"the base of {bound.source} is no longer the one that the task uses; `playbook run {name}` trains on "
            f"{bound.base.pin.title if bound.base.pin else 'the chosen one'}"
        )
    return (*found, *target_changed(bound.task, evaluation))


def target_changed(task: Task, evaluation: Evaluation) -> tuple[str, ...]:
    """What the task file asks for now and the evaluation did not judge by: metric, target, margin, limits."""
    target, again = task.spec.target, f"`playbook run {task.called()}` evaluates again"
    pairs = [
        ("target.metric", evaluation.metric, target.label),
        (f"target.{evaluation.direction}", str(evaluation.target), str(target.bound)),
        ("target.margin", str(evaluation.margin), str(target.margin)),
    ]
    changed = [
        f"{field} changed since the evaluation: expected {before or 'none'}, found {after}; {again}"
        for field, before, after in pairs
        if before != after
    ]
    sides = [side.scores for side in (evaluation.baseline, evaluation.candidate) if side is not None]
    unjudged = [limit.label for limit in target.limits if not sides or any(limit.label not in side for side in sides)]
    if unjudged:
        missing = ", ".join(dict.fromkeys(unjudged))
        changed.append(f"target.limits changed since the evaluation: it did not measure {missing}; {again}")
    return tuple(changed)


def _manifest_hash(artifact: Artifact, role: str) -> str:
    ref = artifact.files.get(role)
    return ref.sha256 if ref is not None else MISSING


def _hash_now(store: Store, artifact: Artifact, asset: str, role: str) -> str:
    """SHA-256 of a file of the store as it lies there, whatever its manifest says.

    The store's own door is not used: it would hide a changed file behind an error, and it does not open the test split,
    whose bytes are hashed here and never read as rows.
    """
    ref = artifact.files.get(role)
    if ref is None:
        return MISSING
    digest = hashlib.sha256()
    try:
        with store.fs.open(f"{store.base}/{artifact.task}/{asset}/{artifact.play_key}/{ref.name}", "rb") as stream:
            while piece := stream.read(CHUNK):
                digest.update(piece)
    except OSError:
        return MISSING
    return digest.hexdigest()


def _base_of(bound: Bound) -> Base | None:
    """The base of the task file that the model stands on; None where it is no longer one that the task uses.

    That is the chosen one. A refreshed champion keeps its own, which the bake-off need not have chosen again: it must
    be a base of the task file that the bake-off has not ruled out.
    """
    pins: dict[int, BasePin | None] = {bound.base.chosen: bound.base.pin}
    if bound.source == REFRESH:
        pins |= {at: one.pin for at, one in enumerate(bound.base.candidates) if not one.out}
    bases = bound.task.spec.bases
    return next((bases[at] for at, pin in pins.items() if pin == bound.model.pin and at < len(bases)), None)


def _pinned(bound: Bound) -> str:
    base = _base_of(bound)
    return base.sha256 if base is not None else MISSING


def _base_now(bound: Bound) -> str:
    """SHA-256 of the base's weights where it lies; of a truncated base, of what it is cut from."""
    base = _base_of(bound)
    if base is None:
        return MISSING
    try:
        return file_sha256(locate_base(base, bound.task.resolve) / WEIGHTS)
    except (OSError, PinMismatch):
        return MISSING
