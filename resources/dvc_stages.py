"""Which DVC stage prepares a task: the project's own, or one that we write under `<home>/data`."""

from __future__ import annotations

import shlex
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

import playbook.data
import playbook.names
from playbook.artifacts import canonical_hash
from playbook.data.accumulated import accumulated_files
from playbook.data.annotations import label_file
from playbook.data.formats.places import is_url
from playbook.data.labelling import RESTS_ON, WRITTEN_HERE
from playbook.data.read import sources_of
from playbook.data.sides import ledger_of
from playbook.data.snapshot import snapshot_sources
from playbook.errors import DataError
from playbook.taskfile import Task

STAGE = "prepare"
PARAMS = "params.yaml"  # hash of the part of a task file that decides what is prepared: [task, data]
PATIENCE = 60.0  # seconds that another process is waited for


@dataclass(frozen=True)
class Stage:
    """A DVC stage that prepares one task: the repository, the folder of its dvc.yaml, its name there, its output."""

    repository: Path
    folder: Path
    name: str
    prepared: Path

    @property
    def address(self) -> str:
        """Target by which DVC's Python API finds the stage from any working folder."""
        return f"{self.folder / 'dvc.yaml'}:{self.name}"

    @property
    def has_address(self) -> bool:
        """Whether DVC understands the address: it takes what follows an `@` in a path for the key of a `foreach`."""
        return "@" not in str(self.folder)


def project_stage(root: Path, task: Task) -> Stage | None:
    """The stage of the project's own dvc.yaml that prepares exactly this task file, if there is one.

    Raises:
        DataError: DVC cannot read the project's dvc.yaml, or the stage does not depend on every file that it reads: a
            change of that file would then go unnoticed.
    """
    name = f"{STAGE}@{task.spec.task}"
    remote = any(map(is_url, sources_of(task.spec.data).values()))
    if remote or not (root / ".dvc").is_dir() or not (root / "dvc.yaml").is_file():
        return None
    _without_git(root)
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo(str(root)) as repository:
            stages = repository.stage.load_file(str(root / "dvc.yaml"))
            for stage in stages:
                if stage.name == name and str(task.path) in {str(dep.fs_path) for dep in stage.params}:
                    _require_dependencies(root / "dvc.yaml", name, task, [Path(dep.fs_path) for dep in stage.deps])
                    return Stage(root, root, name, _prepared(stage, task))
    except DvcException as error:
        raise DataError(f"{root / 'dvc.yaml'}: {error}; fix the file (`dvc stage list` shows what DVC reads)") from None
    return None


def _prepared(stage: Any, task: Task) -> Path:
    """The output that is the prepared folder; the ledger of its sides may be another one."""
    outs = [Path(out.fs_path) for out in stage.outs]
    return next(path for path in outs if not any(path == ledger_of(other, task.spec.task) for other in outs))


def _require_dependencies(file: Path, name: str, task: Task, deps: list[Path]) -> None:
    read = [Path(task.resolve(place)) for place in sources_of(task.spec.data).values()] + _label_files(task)
    missing = [str(path) for path in read if not any(path.is_relative_to(dep) for dep in deps)]
    if missing:
        raise DataError(
            f"{file}: expected {name} to depend on every file that it reads, found no dependency on "
            f"{', '.join(missing)}; add it under deps"
        )


def _label_files(task: Task) -> list[Path]:
    """Files of `data.labels` and `data.accumulated` that preparing reads; those that grow only once they are there."""
    found = {part: label_file(task, part) for part in RESTS_ON}
    named = [path for part, path in found.items() if path and (part not in WRITTEN_HERE or path.is_file())]
    return [*named, *accumulated_files(task)]


def own_stage(home: Path, task: Task) -> Stage:
    """A stage for a task that the project does not know, in the repository under `<home>/data`.

    Raises:
        DataError: a file of the source, of production-like rows or of `data.labels` is not there or cannot be fetched.
    """
    repository = home / "data"
    _initialise(repository, home / "dvc-remote")
    folder = repository / task.spec.task
    copies = snapshot_sources(task, folder / "raw")
    places = sources_of(task.spec.data)
    raw = [copies.get(role) or Path(task.resolve(place)) for role, place in places.items()] + _label_files(task)
    absent = [str(path) for path in raw if not path.exists()]
    if absent:
        raise DataError(
            f"{', '.join(absent)}: no such file; check data.source, data.production and data.labels in the task file "
            "(paths are relative to it)"
        )
    command = ["python", "-m", "playbook.data.prepare", str(task.path), "--out", "prepared"]
    for role, path in copies.items():
        command += ["--raw", f"{role}={path}"]
    # A hash, because DVC cannot read back a dvc.lock in which a key (a path, a class) is long and has blanks.
    spec = canonical_hash({"task": task.spec.task, "data": task.spec.data.model_dump(mode="json")})
    _write_if_different(folder / PARAMS, f"spec: {spec}\n")
    code = [*sorted(Path(playbook.data.__path__[0]).rglob("*.py")), Path(playbook.names.__file__)]
    ledger = ledger_of(folder / "prepared", task.spec.task)
    stage = {
        "cmd": _literal(shlex.join(command)),
        "deps": [_literal(str(path)) for path in (*code, *raw)],
        "params": ["spec"],
        # Both are kept while the stage runs: it reads the ledger, or founds one on the version that was there before.
        "outs": [{"prepared": {"persist": True}}, {ledger.name: {"persist": True, "cache": False}}],
    }
    _write_if_different(folder / "dvc.yaml", yaml.safe_dump({"stages": {STAGE: stage}}, sort_keys=False, width=1000))
    return Stage(repository, folder, STAGE, folder / "prepared")


def locked_hash(repository: Any, stage: Stage) -> str:
    """DVC's hash of the prepared folder, `<md5>.dir`, as dvc.lock has it.

    Raises:
        DataError: there is none.
    """
    outs = repository.stage.load_one(str(stage.folder / "dvc.yaml"), stage.name).outs
    found = next((out.hash_info.value for out in outs if Path(out.fs_path) == stage.prepared), None)
    if not found:
        raise DataError(
            f"{stage.folder / 'dvc.lock'}: expected the hash of {stage.prepared}, found none; run "
            f"`dvc repro {stage.name}` in {stage.folder}"
        )
    return str(found)


def _initialise(repository: Path, remote: Path) -> None:
    """Make a DVC repository without git, once, with a folder as its remote."""
    from dvc.repo import Repo
    from filelock import FileLock

    repository.mkdir(parents=True, exist_ok=True)
    with FileLock(repository / ".locks" / "init.lock", timeout=PATIENCE):
        config = repository / ".dvc" / "config"
        wanted = _configuration(remote)
        if not config.is_file():
            Repo.init(str(repository), no_scm=True, force=True).close()
        if config.read_text(encoding="utf-8") != wanted:
            _write_if_different(config, wanted)


def _configuration(remote: Path) -> str:
    """DVC's configuration of our own repository: a folder as its remote, telemetry off. Its parser quotes the path."""
    from configobj import ConfigObj  # what DVC itself reads and writes its configuration with

    core = {"no_scm": "true", "remote": "default", "analytics": "false", "check_update": "false"}
    lines = ConfigObj({"core": core, 'remote "default"': {"url": str(remote)}}, list_values=True).write()
    return "\n".join(lines) + "\n"


def _without_git(root: Path) -> None:
    """Tell DVC, in its local configuration, that a checkout has no git; committed configuration expects git."""
    local = root / ".dvc" / "config.local"
    if not local.exists() and not any((place / ".git").exists() for place in (root, *root.parents)):
        local.write_text("[core]\n    no_scm = true\n", encoding="utf-8")


def _write_if_different(path: Path, text: str) -> None:
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


def _literal(text: str) -> str:
    """A text that DVC's templates leave alone."""
    return text.replace("${", "\\${")
