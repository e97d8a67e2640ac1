"""Whole runs of a task on a tiny base, through the command line in this process or in another one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from adapt_samples import FAST, pairs
from dagster_storage import lighten_storage
from data_samples import write_csv
from filelock import FileLock
from tiny_base import tiny_spec, write_tiny_base

from playbook.artifacts import Artifact
from playbook.plays import AUDIT, CONTROLS, asset_kinds
from playbook.settings import Settings, child_environment, settings
from playbook.store import Store
from playbook.taskfile import Task, load_task

NAMES = ("PLAYBOOK_STORE", "PLAYBOOK_TASKS", "PLAYBOOK_DVC_REMOTE", "MLFLOW_TRACKING_URI", "DAGSTER_HOME")


@dataclass
class Ended:
    """How a command ended; `status` is the JSON object that it printed last."""

    code: int
    out: str
    err: str

    @property
    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.out.strip().splitlines()[-1])
        return found

    @property
    def said(self) -> str:
        return self.out + self.err


@dataclass
class Place:
    """One installation with one task whose parts a test may change."""

    folder: Path
    document: dict[str, Any] = field(default_factory=dict)

    @property
    def file(self) -> Path:
        return self.folder / "pairs.yaml"

    @property
    def environment(self) -> dict[str, str]:
        base = {name: value for name, value in child_environment().items() if name not in NAMES}
        return {**base, "PLAYBOOK_HOME": str(self.folder / "home"), "PLAYBOOK_THREADS": "1"}

    @property
    def places(self) -> Settings:
        with pytest.MonkeyPatch.context() as patch:
            for name in NAMES:
                patch.delenv(name, raising=False)
            patch.setenv("PLAYBOOK_HOME", str(self.folder / "home"))
            patch.setenv("PLAYBOOK_THREADS", "1")
            return settings()

    @property
    def store(self) -> Store:
        return Store(self.places.store, self.folder / "home" / "cache" / "store")

    @property
    def ledger(self) -> list[str]:
        path = self.places.ledgers / "pairs" / "test_openings.jsonl"
        return path.read_text("utf-8").splitlines() if path.exists() else []

    def task(self, **changes: Mapping[str, Any]) -> Task:
        """Write the task file, sections updated by `changes`, and load it."""
        document = {
            **self.document,
            **{name: {**self.document.get(name, {}), **change} for name, change in changes.items()},
        }
        self.file.write_text(yaml.safe_dump(document, sort_keys=False), "utf-8")
        return load_task(self.file)

    def run(self, *arguments: str) -> Ended:
        """`playbook run` in this process."""
        return self.do("run", str(self.file), "--json", *arguments)

    def do(self, *arguments: str) -> Ended:
        """A command in this process: the same as in one of its own, without seconds of imports."""
        from click.testing import CliRunner

        from playbook.cli import main

        with pytest.MonkeyPatch.context() as patch:
            for name in NAMES:
                patch.delenv(name, raising=False)
            patch.setenv("PLAYBOOK_HOME", str(self.folder / "home"))
            patch.setenv("PLAYBOOK_THREADS", "1")
            lighten_storage(patch)
            done = CliRunner().invoke(main, arguments)
            os.environ.pop("DAGSTER_HOME", None)  # a run names its own
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return Ended(done.exit_code, done.stdout, done.stderr)

    def command(self, *arguments: str) -> Ended:
        """A command in a process of its own."""
        command = [sys.executable, "-m", "playbook.cli", *arguments]
        done = subprocess.run(
            command, env=self.environment, cwd=self.folder, capture_output=True, text=True, check=False
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    def materialise(self, asset: str) -> str:
        """Run one asset alone through Dagster; what it failed with, or nothing."""
        import dagster as dg

        from pipelines.factory import job_name, resources_of, task_definitions

        task, places = load_task(self.file), self.places
        job = task_definitions(task, places, resources_of(places)).resolve_job_def(job_name(task.spec.task))
        with dg.DagsterInstance.ephemeral() as instance:
            done = job.execute_in_process(
                instance=instance, raise_on_error=False, asset_selection=[dg.AssetKey([task.spec.task, asset])]
            )
        failures = [event.step_failure_data.error for event in done.all_events if event.is_step_failure]
        assert done.success is (not failures)
        return "".join(error.to_string() for error in failures if error is not None)

    def current(self) -> dict[str, Artifact]:
        """What the catalogue shows, by asset."""
        store = self.store
        kinds = asset_kinds(load_task(self.file).spec)
        found = {name: store.current("pairs", name, kind) for name, kind in kinds.items()}
        return {name: artifact for name, artifact in found.items() if artifact is not None}

    def attempts(self) -> list[str]:
        """Names of all MLflow runs of the task, nested ones."""
        from mlflow import MlflowClient

        uri = self.places.mlflow_tracking_uri
        if not Path(uri.removeprefix("sqlite:///")).exists():
            return []
        client = MlflowClient(tracking_uri=uri)
        found = client.get_experiment_by_name("pairs")
        runs = client.search_runs([found.experiment_id]) if found else []
        return sorted(run.info.run_name for run in runs if "mlflow.parentRunId" in run.data.tags)


def empty_database(folder: Path) -> Path:
    """An MLflow database without runs, made by whichever process comes first."""
    from resources.tracking import Tracking

    path = folder / "mlflow.db"
    assert Tracking(f"sqlite:///{path}", folder).client
    return path


def copy_database(database: Path, home: Path) -> None:
    """Give an installation a copy of an empty MLflow database: making or upgrading one takes seconds.

    The file beside it says that the schema is the installed MLflow's; without it, the copy would be upgraded.
    """
    (home / "mlflow").mkdir(parents=True, exist_ok=True)
    for name in (database.name, f"{database.name}.schema"):
        shutil.copyfile(database.with_name(name), home / "mlflow" / name)


def make_begun_store(database: Path) -> Path:
    """A store that has what the usual task of `make_place` comes to before its evaluation, for one rung and for two.

    Made once, by whichever process asks first, and shared by those that share the empty database.
    """
    folder = database.parent / "begun"
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            place = make_place(folder.with_suffix(".part"), database)
            for rungs in (1, 2):
                place.task(adaptation={"max_rungs": rungs})
                done = place.run("--until", CONTROLS)
                assert done.code == 0, done.said
            assert place.materialise(AUDIT) == ""  # of the frozen base, whatever the rungs
            place.folder.rename(folder)
    return folder / "home" / "store"


def make_place(
    folder: Path,
    database: Path | None,
    rows: Mapping[str, list[dict[str, str]]] | None = None,
    *,
    begun: Path | None = None,
    **adaptation: Any,
) -> Place:
    """An installation with a tiny base and either one file of rows or the team's own files; without controls.

    `database` is an empty one of MLflow, or None where its state lies elsewhere. With `begun`, the store that is made
    once for all, what the usual task trains is there already: for tests of what comes after.
    """
    if begun is not None:
        shutil.copytree(begun, folder / "home" / "store")
    if database is not None:
        copy_database(database, folder / "home")
    write_tiny_base(folder / "base")
    tables = rows or {"path": pairs(900, 1)}
    source = {}
    for role, table in tables.items():
        write_csv(folder / f"{role}.csv", table)
        source[role] = f"{role}.csv"
    gate = {"min_rows": 50, "min_rows_per_class": 10, "warn_rows_per_class": 20, "split_tolerance": 0.1}
    no_controls = {"controls": {"scratch": False, "other_base": False}}
    plan = {name: getattr(FAST, name) for name in FAST.model_fields_set}
    document = {
        "task": "pairs",
        "question": "Do the two words of this text agree with each other?",
        "target": {"metric": "accuracy", "at_least": 0.9, "margin": 0.25},
        "owners": {"model": "team:a", "data": "team:b", "sign_off": "team:c"},
        "data": {
            "source": source,
            "columns": {"text": "text", "label": "label", "id": "row_id"},
            "classes": {"mixed": "They differ.", "same": "They agree."},
            "splits": {"validation": 0.2, "test": 0.2},
            "gate": gate,
        },
        "base": {**tiny_spec(folder / "base").model_dump(exclude_none=True), "folder": "base"},
        "adaptation": {
            **plan,
            "label_smoothing": 0.0,
            "max_rungs": 2,
            "epochs": 8,
            **no_controls,
            **adaptation,
        },
        "sign_off": {"mode": "automatic"},
        "package": {"parity_rows": 20},
    }
    place = Place(folder, document)
    place.task()
    return place
