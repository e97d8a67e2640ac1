"""What every play has in common: it is remembered by what went in, locked while it works, and says what it does."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import dagster as dg
from filelock import FileLock

from playbook.artifacts import Artifact, DatasetVersion, canonical_hash
from playbook.decide.log import Kind
from playbook.errors import ArtifactError, GateRed
from playbook.store import SEALED
from playbook.taskfile import Task
from resources.world import World

A = TypeVar("A", bound=Artifact)
PROGRESS = logging.getLogger("playbook.progress")  # the command line listens here
PLAY_TAG = "play"


@dataclass(frozen=True)
class Play:
    """One asset of one task, while it runs."""

    context: dg.AssetExecutionContext
    world: World
    task: Task
    asset: str

    def report(self, message: str) -> None:
        """One line of progress, for Dagster's log and for whoever listens."""
        self.context.log.info(message)
        PROGRESS.info("%s: %s", self.asset, message)

    def warn(self, message: str) -> None:
        """A line of progress that asks for somebody's attention, and stops nothing."""
        self.context.log.warning(message)
        PROGRESS.warning("%s: %s", self.asset, message)

    def decide(
        self,
        kind: Kind,
        title: str,
        inputs: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
        *,
        by: str = "playbook",
    ) -> None:
        """Put a decision of this play on record; one that is on record already is not repeated.

        `by` is the owner whose answers it follows from; what only a rule of this program decides is `playbook`.
        """
        log = self.world.decision_log(self.task.spec.task)
        log.append_once(self.asset, kind, title, by=by, inputs=dict(inputs or {}), body=dict(body or {}))

    def work(self, key: str) -> Path:
        """Folder for the unfinished work of this play under its key; found again by a run that resumes it."""
        return self.world.work(self.task.spec.task, self.asset, key)

    @property
    def run_key(self) -> str:
        """The run that this belongs to; a retry belongs to its first attempt's run."""
        return self.context.run.root_run_id or self.context.run.run_id


@dataclass(frozen=True)
class Made:
    """What a play's function returns: the artefact, and its files by role.

    `artifact.seconds` are those of work that was found rather than done; the time that making it took is added.
    """

    artifact: Any
    files: Mapping[str, Path] = field(default_factory=dict)


def remembered(
    play: Play,
    kind: type[A],
    inputs: Mapping[str, Any],
    make: Callable[[str], Made],
    still_holds: Callable[[A], bool] = lambda artifact: True,
) -> A:
    """The stored result for these inputs, or the one that `make(play_key)` produces and the store then keeps.

    Inputs are everything that the result depends on, code version included. A second run of the same play waits for the
    first and takes its result. `still_holds` asks the outside world whether a stored result is still true there.
    """
    spec = play.task.spec
    key = canonical_hash({"asset": play.asset, "inputs": dict(inputs)})[:32]
    lock = FileLock(play.world.work(spec.task, play.asset) / f"{key}.lock")
    if lock_is_taken(lock):
        play.report("another run is making this result; waiting for it")
    with lock:
        found = _intact(play, kind, key)
        if found is not None and still_holds(found):
            play.report(f"unchanged, not run again ({found.reason})" if found.skipped else "unchanged, not run again")
            return found
        began = time.perf_counter()
        made = make(key)
        stamp = {"play_key": key, "made_at": datetime.now(UTC).isoformat(timespec="seconds")}
        seconds = {"seconds": round(made.artifact.seconds + time.perf_counter() - began, 3)}
        artifact: A = made.artifact.model_copy(update={**stamp, **seconds})
        stored = play.world.store.put(play.asset, artifact, dict(made.files))
        shutil.rmtree(play.work(key), ignore_errors=True)  # an emptied store then means that everything is made again
        return stored


def lock_is_taken(lock: FileLock) -> bool:
    """Whether somebody else holds a lock right now."""
    try:
        with lock.acquire(timeout=0):
            return False
    except TimeoutError:
        return True


def _intact(play: Play, kind: type[A], key: str) -> A | None:
    """A stored result whose files are all there and unaltered; a damaged one is made again, and said so."""
    store = play.world.store
    try:
        found = store.get(play.task.spec.task, play.asset, key, kind)
        if found is not None:
            for role in found.files:
                if role != SEALED:
                    store.path(found, play.asset, role)
    except ArtifactError as error:
        play.report(f"the stored result is damaged and is made again: {error}")
        return None
    return found


def skip(play: Play, kind: type[A], reason: str) -> A:
    """Record that a play had nothing to do, so that the catalogue never shows an older result as today's."""
    play.report(f"skipped: {reason}")
    return skipped_result(play.world, play.task.spec.task, play.asset, kind, reason)


def skipped_result(world: World, task: str, asset: str, kind: type[A], reason: str) -> A:
    """Store a skipped result of an asset and return it."""
    key = canonical_hash({"asset": asset, "skipped": reason})[:32]
    artifact = kind(task=task, status="skipped", reason=reason, play_key=key)
    return world.store.put(asset, artifact, {})


def require_green(dataset: DatasetVersion) -> None:
    """Refuse to model on data without a green gate, in whichever run this play is asked.

    Raises:
        dagster.Failure: with the gate's faults; a retry would not help and is not made.
    """
    try:
        dataset.require_green()
    except GateRed as error:
        raise dg.Failure(str(error), allow_retries=False) from None


def result(play: Play, artifact: A, metadata: Mapping[str, Any] | None = None, data_version: str = "") -> dg.Output[A]:
    """The output of a play with its data version (its digest, unless given) and the metadata that every play shows."""
    shown = {
        "status": artifact.status,
        "reason": artifact.reason or "-",
        "seconds": artifact.seconds,
        "made_at": artifact.made_at or "-",
        "digest": artifact.digest,
        **({"hardware": artifact.hardware} if artifact.hardware else {}),
        **({"mlflow_run": artifact.mlflow_run_id} if artifact.mlflow_run_id else {}),
        **(metadata or {}),
    }
    return dg.Output(artifact, metadata=shown, data_version=dg.DataVersion(data_version or artifact.digest[:32]))


def png(image: bytes, title: str) -> dg.MarkdownMetadataValue:
    """A plot as metadata that Dagster's pages show."""
    import base64

    return dg.MetadataValue.md(f"![{title}](data:image/png;base64,{base64.b64encode(image).decode()})")
