"""Dataset versions in DVC (3.7): run a task's `prepare` stage, number its result, store it at the remote.

A task that has a stage in the project's dvc.yaml is prepared there, exactly as `dvc repro` would. Any other task gets a
stage in a repository of our own under `<home>/data`. Stages run in a child process, because DVC looks at the working
folder and the environment, which belong to the whole process.
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playbook.data.founding import founded_on, tables_of
from playbook.data.prepare import PROFILE, QUARANTINE
from playbook.data.sides import Sides, ledger_of, sides_of, write_sides
from playbook.data.tables import ROW_ID
from playbook.data.versions import RowsBySplit, read_versions, record_version, rows_by_split
from playbook.errors import ArtifactError, DataError, StorageError
from playbook.settings import Settings, child_environment, quiet_environment, settings
from playbook.spec import SPLITS
from playbook.store import Store
from playbook.taskfile import Task
from resources.dvc_stages import PATIENCE, Stage, locked_hash, own_stage, project_stage

RECORD = "versions.yaml"
BUSY = ("Unable to acquire lock", "is busy, it is being blocked by")

Log = Callable[[str], object]


@dataclass(frozen=True)
class PreparedDataset:
    """A prepared folder under its version; `changed` is true when this version was not on record before."""

    folder: Path
    dataset_hash: str  # DVC's hash of the folder, `<md5>.dir`
    number: int
    changelog: str
    changed: bool


class DatasetVersions:
    """Prepares tasks and keeps their dataset versions."""

    def __init__(self, places: Settings | None = None) -> None:
        self.places = places or settings()

    def prepare(self, task: Task, log: Log = lambda line: None) -> PreparedDataset:
        """Bring a task's prepared data up to date, give it its version number and push it to the remote.

        Nothing runs when neither the data, nor `data` in the task file, nor the code changed. `log` gets lines as the
        stage prints them.

        Raises:
            DataError: the data cannot be prepared (with the message of `playbook.data.prepare`).
            StorageError: another DVC process holds the repository for more than a minute, or the remote does not take
                the data.
        """
        quiet_environment()
        logging.getLogger("dvc").setLevel(logging.WARNING)
        with self._one_at_a_time(task):
            stage = project_stage(self.places.root, task) or own_stage(self.places.home, task)
            self._found_ledger(stage, task, log)
            if self._outdated(stage):
                self._reproduce(stage, log)
            with self._repository(stage) as repository:
                prepared = self._record(stage, locked_hash(repository, stage), Path(repository.cache.local.path))
                _push(repository, stage, self.places.dvc_remote)
        log(f"dataset version {prepared.number}, {prepared.dataset_hash}: {prepared.changelog}")
        return prepared

    def test_ids(self, task: Task, dataset_hash: str) -> frozenset[str] | None:
        """Ids of the rows that a dataset version's test split had; None where DVC's cache no longer has it.

        Nothing but the ids is read: the split itself stays closed.
        """
        stage = project_stage(self.places.root, task) or own_stage(self.places.home, task)
        with self._repository(stage) as repository:
            return _test_ids_in_cache(Path(repository.cache.local.path), dataset_hash)

    @contextmanager
    def _one_at_a_time(self, task: Task) -> Iterator[None]:
        from filelock import FileLock, Timeout

        lock = self.places.home / "data" / ".locks" / f"{task.spec.task}.lock"
        lock.parent.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(lock, timeout=PATIENCE):
                yield
        except Timeout:
            raise StorageError(
                f"{task.spec.task}: another process has been preparing this task for over {PATIENCE:g} s; "
                "wait for it to end, then run again"
            ) from None

    @contextmanager
    def _repository(self, stage: Stage) -> Iterator[Any]:
        from dvc.repo import Repo

        remote = self.places.dvc_remote
        override = {"core": {"remote": "playbook"}, "remote": {"playbook": {"url": remote}}} if remote else None
        with Repo(str(stage.repository), config=override) as repository:
            yield repository

    def _found_ledger(self, stage: Stage, task: Task, log: Log) -> None:
        """A ledger that is lost comes back from the store, and rows that were versioned before there was one stay where
        they are: it is founded on those versions.

        The version that dvc.lock names counts first, then the prepared folder, then earlier versions, the newest first,
        as far as they are at hand or can be fetched.
        """
        ledger, record = ledger_of(stage.prepared, task.spec.task), stage.prepared.parent / RECORD
        if ledger.is_file():
            return
        sides, versions = self._kept_sides(task), read_versions(record)
        if not sides and not versions:
            return
        with self._repository(stage) as repository:
            cache, locked = Path(repository.cache.local.path), _locked(repository, stage)
            if locked and not _files_in_cache(cache, locked) and not stage.prepared.is_dir():
                _fetch(repository, stage)
            earlier = [_tables_in_cache(cache, version.hash) for version in reversed(versions)]
            tables = [_tables_in_cache(cache, locked), tables_of(stage.prepared), *earlier]
            sides = founded_on(tables, task.spec.data, sides)
        if sides:
            write_sides(ledger, sides)
            log(f"{ledger.name}: was not there; founded on the sides of the versions on record")
        else:
            log(
                f"{record.name} has versions, but neither {stage.prepared.name}, DVC's cache nor its remote has their "
                "rows: all rows are divided as if they were seen for the first time"
            )

    def _kept_sides(self, task: Task) -> Sides:
        """The ledger as the store has it since the last run; nothing where it has none, or another than it kept."""
        try:
            return sides_of(Store(self.places.store, self.places.home / "cache" / "store"), task.spec.task)
        except (ArtifactError, DataError):
            return Sides()

    def _outdated(self, stage: Stage) -> bool:
        from dvc.exceptions import DvcException

        if not stage.has_address:
            return True  # the stage itself knows whether anything changed

        def look() -> bool:
            with self._repository(stage) as repository:
                return bool(repository.status(targets=[stage.address], with_deps=True)) or not stage.prepared.is_dir()

        try:
            return _patiently(look)
        except DvcException:
            return True  # the stage itself will say what is wrong

    def _reproduce(self, stage: Stage, log: Log) -> None:
        deadline = time.monotonic() + PATIENCE
        while True:
            child = _dvc(stage, "repro", stage.name)
            for line in (child.stdout + child.stderr).splitlines():
                log(line)
            if child.returncode == 0:
                return
            if not any(sign in child.stderr for sign in BUSY):
                raise DataError(_message(child.stderr, stage))
            if time.monotonic() > deadline:
                raise StorageError(_busy(stage))
            time.sleep(1.0)

    def _record(self, stage: Stage, dataset_hash: str, cache: Path) -> PreparedDataset:
        record = stage.prepared.parent / RECORD
        figures = json.loads((stage.prepared / PROFILE).read_text(encoding="utf-8"))
        known = read_versions(record)
        rows = before = None
        if known and all(version.hash != dataset_hash for version in known):
            rows = rows_by_split({split: stage.prepared / f"{split}.parquet" for split in SPLITS})
            before = _rows_in_cache(cache, known[-1].hash)
        version, standing = record_version(record, dataset_hash, figures, rows, before)
        return PreparedDataset(stage.prepared, dataset_hash, version.number, version.changelog, standing == "new")


def _dvc(stage: Stage, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command of DVC in the stage's folder."""
    return subprocess.run(
        [sys.executable, "-m", "dvc", *arguments],
        cwd=stage.folder,
        env={**child_environment(), "SHELL": "/bin/sh"},  # DVC runs stages in the shell of the user
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )


def _patiently(look: Callable[[], bool]) -> bool:
    from dvc.lock import LockError

    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return look()
        except LockError:
            if time.monotonic() > deadline:
                raise
            time.sleep(1.0)


def _busy(stage: Stage) -> str:
    return (
        f"{stage.repository}: another DVC process has held the repository for over {PATIENCE:g} s; wait for it to end "
        f"(`ps` shows it), or, if there is none, remove {stage.repository / '.dvc' / 'tmp' / 'rwlock'}, and run again"
    )


def _message(stderr: str, stage: Stage) -> str:
    """What the stage's own command said; DVC's words only where it said nothing."""
    lines = [line for line in stderr.splitlines() if not line.startswith("WARNING: ")]
    end = next((at for at, line in enumerate(lines) if line.startswith("ERROR: ")), len(lines))
    said = "\n".join(lines[:end]).strip()
    if said and not said.startswith("Traceback"):
        return said
    dvc = " ".join(line.removeprefix("ERROR: ") for line in lines[end:] if line.startswith("ERROR: "))
    failed = (said.splitlines()[-1:] or [dvc or "DVC could not run the stage"])[0]
    return f"{stage.address}: {failed}; `dvc repro {stage.name}` in {stage.folder} shows more"


def _locked(repository: Any, stage: Stage) -> str:
    try:
        return locked_hash(repository, stage)
    except DataError:
        return ""


def _fetch(repository: Any, stage: Stage) -> None:
    """Bring what dvc.lock names into the cache, where the remote has it."""
    with suppress(Exception):  # every kind of remote has errors of its own
        repository.fetch(targets=[stage.address])


def _tables_in_cache(cache: Path, dataset_hash: str) -> dict[str, Path]:
    files = _files_in_cache(cache, dataset_hash) if dataset_hash else {}
    names = {f"{name}.parquet": name for name in (*SPLITS, QUARANTINE)}
    return {names[file]: path for file, path in files.items() if file in names}


def _rows_in_cache(cache: Path, dataset_hash: str) -> RowsBySplit | None:
    """Rows of an earlier version, from DVC's cache; None where the cache no longer has them."""
    files = _files_in_cache(cache, dataset_hash)
    try:
        return rows_by_split({split: files[f"{split}.parquet"] for split in SPLITS})
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _test_ids_in_cache(cache: Path, dataset_hash: str) -> frozenset[str] | None:
    import pandas as pd

    files = _files_in_cache(cache, dataset_hash)
    try:
        return frozenset(pd.read_parquet(files["test.parquet"], columns=[ROW_ID])[ROW_ID])
    except (OSError, ValueError, KeyError):
        return None


def _files_in_cache(cache: Path, dataset_hash: str) -> dict[str, Path]:
    """Files of a dataset version by their name, where the cache has them; none where it does not know the version."""

    def place(digest: str) -> Path:
        return cache / digest[:2] / digest[2:]

    try:
        return {entry["relpath"]: place(entry["md5"]) for entry in json.loads(place(dataset_hash).read_bytes())}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _push(repository: Any, stage: Stage, remote: str | None) -> None:
    try:
        if stage.has_address:
            repository.push(targets=[stage.address])
        else:
            _push_by_child(stage, remote)
    except Exception as error:  # every kind of remote has errors of its own
        where = remote or repository.config["core"].get("remote", "none configured")
        raise StorageError(
            f"{stage.prepared}: cannot be stored at DVC remote {where} ({type(error).__name__}: {error}); check your "
            "access, or point PLAYBOOK_DVC_REMOTE at another place, and run again"
        ) from None


def _push_by_child(stage: Stage, remote: str | None) -> None:
    """Push in the stage's folder, where its name alone is its address; a remote of the environment by its own name."""
    named = [] if remote is None else ["--remote", "playbook"]
    if remote is not None:
        added = _dvc(stage, "remote", "add", "--local", "--force", "playbook", remote)
        if added.returncode != 0:
            raise OSError(_last_line(added.stderr))
    pushed = _dvc(stage, "push", *named, stage.name)
    if pushed.returncode != 0:
        raise OSError(_last_line(pushed.stderr))


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["it said nothing"])[-1]
