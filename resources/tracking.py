"""MLflow's runs: one experiment per task, one parent run per run of the task, one nested run per attempt.

Only `MlflowClient` is used, so that nothing hangs on a process-wide active run and several processes can log at once.
MLflow is imported on first use (1.4 s). A database is prepared by `resources.tracking_database`.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from playbook.database import advisory_lock, is_postgres
from playbook.errors import PlaybookError
from playbook.settings import Settings
from resources.tracking_database import file_lock, sqlite_path, upgrade_database

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

TASK_TAG = "playbook/task"
RUN_KEY_TAG = "playbook/run_key"
ATTEMPT_TAG = "playbook/attempt"
PARENT_TAG = "mlflow.parentRunId"
MAX_DIGEST = 36  # characters that MLflow keeps of a dataset's digest; DVC's `<md5>.dir` has just these
MAX_PARAM = 6000  # characters of a parameter's value
LOCK_SECONDS = 120
BATCH = {"metrics": 1000, "params": 100, "tags": 100}  # most items of one request


@dataclass(frozen=True)
class DatasetInput:
    """The dataset version that a run stood on; `digest` is DVC's hash, `source` says where it lies."""

    name: str
    digest: str
    source: str
    context: str = "training"
    profile: Mapping[str, Any] = field(default_factory=dict)  # rows by split, version number


class Tracking:
    """Runs of one MLflow tracking store.

    Args:
        uri: tracking URI; a database, SQLite or PostgreSQL, gets its tables on first use.
        home: the project's state folder.
        artifacts: where a database without a server has its files, a folder or URL; default `<home>/mlflow/artifacts`.
    """

    def __init__(self, uri: str, home: Path, artifacts: str | None = None) -> None:
        self.uri = uri
        self.home = Path(home).resolve()
        self._artifacts = artifacts

    @classmethod
    def from_settings(cls, places: Settings) -> Tracking:
        """The tracking store that the environment names."""
        return cls(places.mlflow_tracking_uri, places.home, places.mlflow_artifacts)

    @cached_property
    def client(self) -> MlflowClient:
        """MLflow's client on a database that is ready.

        Raises:
            PlaybookError: the database cannot be prepared.
        """
        upgrade_database(self.uri)
        from mlflow import MlflowClient

        return MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)

    @property
    def folder(self) -> Path:
        """Where locks and the artifacts of a local store lie."""
        return self.home / "mlflow"

    @property
    def artifacts(self) -> str | None:
        """Root of artifacts, a URI, where the store is a database; None where a server decides."""
        if not (sqlite_path(self.uri) or is_postgres(self.uri)):
            return None
        if self._artifacts and "://" in self._artifacts:
            return self._artifacts.rstrip("/")
        return Path(self._artifacts or self.folder / "artifacts").resolve().as_uri()

    @contextmanager
    def locked(self, name: str) -> Iterator[None]:
        """Hold a lock among this machine's processes, in PostgreSQL among all machines; it ends with its holder.

        Raises:
            TaskBusy: another process holds it for longer than two minutes.
        """
        with ExitStack() as stack:
            stack.enter_context(file_lock(self.folder / f"{name}.lock", LOCK_SECONDS))
            if is_postgres(self.uri):
                stack.enter_context(advisory_lock(self.uri, f"mlflow {name}", LOCK_SECONDS))
            yield

    def experiment(self, task: str) -> str:
        """Id of the task's experiment, made on first use (and taken out of MLflow's bin)."""
        found = self.client.get_experiment_by_name(task)
        if found is None:
            with self.locked("experiments"):
                found = self.client.get_experiment_by_name(task)
                if found is None:
                    place = f"{self.artifacts}/{task}" if self.artifacts else None
                    return str(self.client.create_experiment(task, artifact_location=place, tags={TASK_TAG: task}))
        if found.lifecycle_stage == "deleted":
            self.client.restore_experiment(found.experiment_id)
        return str(found.experiment_id)

    def task_run(self, task: str, run_key: str, tags: Mapping[str, str] | None = None) -> str:
        """Id of the parent run of one run of a task; the run that already has this key is used again.

        Args:
            run_key: names the run of the task, for example Dagster's root run id; letters, digits, `_.:-`.
            tags: further tags, for example `{"dagster/run_id": ...}`; set on a run that exists, too.
        """
        if not run_key or not all(letter.isalnum() or letter in "_.:-" for letter in run_key):
            raise ValueError(f"run_key: expected letters, digits and _.:- only, found {run_key!r}")
        experiment = self.experiment(task)
        with self.locked("task_runs"):
            runs = self.client.search_runs(
                [experiment], f"tags.`{RUN_KEY_TAG}` = '{run_key}'", max_results=1, order_by=["attributes.start_time"]
            )
            if not runs:
                own = {TASK_TAG: task, RUN_KEY_TAG: run_key, **(tags or {})}
                return str(self.client.create_run(experiment, tags=own, run_name=f"{task} {run_key[:8]}").info.run_id)
        run_id = str(runs[0].info.run_id)
        self._log_batch(run_id, tags=dict(tags or {}))
        return run_id

    def log_attempt(
        self,
        parent: str,
        name: str,
        *,
        params: Mapping[str, Any] | None = None,
        metrics: Mapping[str, float] | None = None,
        metrics_by_epoch: Mapping[str, Sequence[float]] | None = None,
        config: Mapping[str, Any] | None = None,
        tables: Mapping[str, Mapping[str, Sequence[Any]]] | None = None,
        files: Mapping[str, Path] | None = None,
        tags: Mapping[str, str] | None = None,
        dataset: DatasetInput | None = None,
        hardware: str = "",
    ) -> str:
        """One attempt (frozen_baseline, rung_2, evaluation, package) as a finished run nested in `parent`.

        Args:
            params: the important settings, flat; nested ones are joined by dots.
            metrics_by_epoch: curves by name, one value per epoch, the first at step 1.
            config: the whole run configuration, kept as `config.json`.
            tables: by artifact name (`ledger.json`), columns by name.
            files: local files or folders by the name that they get among the run's artifacts (`report.html`).
            hardware: what it ran on, as a tag.

        Returns:
            The run's id. If logging fails, the run is marked FAILED and the error goes on.
        """
        experiment = self.client.get_run(parent).info.experiment_id
        own = {PARENT_TAG: parent, ATTEMPT_TAG: name, **({"playbook/hardware": hardware} if hardware else {})}
        run_id = str(self.client.create_run(experiment, tags={**own, **(tags or {})}, run_name=name).info.run_id)
        try:
            points = [*_points(metrics or {}), *_curve_points(metrics_by_epoch or {})]
            self._log_batch(run_id, metrics=points, params=flatten(params or {}))
            if dataset is not None:
                self.log_dataset(run_id, dataset)
            if config is not None:
                self.client.log_dict(run_id, dict(config), "config.json")
            for table, columns in (tables or {}).items():
                self.client.log_table(run_id, {column: list(cells) for column, cells in columns.items()}, table)
            self.log_files(run_id, files or {})
        except BaseException:
            self.client.set_terminated(run_id, status="FAILED")
            raise
        self.client.set_terminated(run_id)
        return run_id

    def log_dataset(self, run_id: str, dataset: DatasetInput) -> None:
        """Record which dataset version a run used; no data is read or copied."""
        from mlflow.entities import Dataset, InputTag
        from mlflow.entities import DatasetInput as Input

        entity = Dataset(
            name=dataset.name,
            digest=dataset.digest[:MAX_DIGEST],
            source_type="local" if "://" not in dataset.source else dataset.source.split(":", 1)[0],
            source=json.dumps({"uri": dataset.source}),
            profile=json.dumps(dict(dataset.profile)),
        )
        self.client.log_inputs(run_id, [Input(entity, [InputTag("mlflow.data.context", dataset.context)])])

    def log_files(self, run_id: str, files: Mapping[str, Path]) -> None:
        """Copy local files or folders to a run's artifacts, each under its given name.

        Raises:
            PlaybookError: a file does not exist.
        """
        for name, path in files.items():
            if not path.exists():
                raise PlaybookError(f"artifact {name}: expected a file at {path}, found none; write it before logging")
            target = PurePosixPath(name)
            folder = None if target.parent == PurePosixPath() else str(target.parent)
            with tempfile.TemporaryDirectory() as scratch:
                link = Path(scratch) / target.name  # gives the file its name without a copy
                link.symlink_to(path.resolve(), target_is_directory=path.is_dir())
                if path.is_dir():
                    self.client.log_artifacts(run_id, str(link), name)
                else:
                    self.client.log_artifact(run_id, str(link), folder)

    def finish(self, run_id: str, status: str = "FINISHED", metrics: Mapping[str, float] | None = None) -> None:
        """End a parent run (FINISHED, FAILED or KILLED) with the figures that sum it up."""
        self._log_batch(run_id, metrics=_points(metrics or {}))
        self.client.set_terminated(run_id, status=status)

    def _log_batch(
        self,
        run_id: str,
        metrics: Sequence[Metric] = (),
        params: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """As few requests as MLflow's limits allow."""
        from mlflow.entities import Param, RunTag

        left: dict[str, list[Any]] = {
            "metrics": list(metrics),
            "params": [Param(key, value) for key, value in (params or {}).items()],
            "tags": [RunTag(key, str(value)) for key, value in (tags or {}).items()],
        }
        while any(left.values()):
            # 800 metrics beside 100 params and 100 tags are 1,000 items, the most that a request may carry.
            sizes = {**BATCH, "metrics": 800}
            self.client.log_batch(run_id, **{kind: items[: sizes[kind]] for kind, items in left.items()})
            left = {kind: items[sizes[kind] :] for kind, items in left.items()}


def flatten(params: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested settings as flat text, keys joined by dots: `{"keep": {"min_gain": 0}}` gives `{"keep.min_gain": "0"}`."""
    flat: dict[str, str] = {}
    for key, value in params.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            text = value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
            flat[f"{prefix}{key}"] = text[:MAX_PARAM]
    return flat


def _points(metrics: Mapping[str, float], step: int = 0) -> list[Metric]:
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    return [Metric(name, float(value), now, step) for name, value in metrics.items()]


def _curve_points(curves: Mapping[str, Sequence[float]]) -> list[Metric]:
    return [
        point
        for name, values in curves.items()
        for step, value in enumerate(values, start=1)
        for point in _points({name: value}, step)
    ]
