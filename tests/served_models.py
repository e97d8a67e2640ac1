"""An installation with registered models that take no training: tiny, of random weights, each with other answers."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from data_samples import task_document
from play_runs import copy_database
from tiny_base import write_tiny_base, write_tiny_weights

from playbook.operate.parity import check_parity
from playbook.operate.prediction_log import PredictionLog, open_prediction_log
from playbook.operate.versions import Identity
from playbook.settings import Settings, child_environment, settings
from playbook.taskfile import Task, load_task
from resources.registry import Registered, Registry, Release
from resources.tracking import Tracking

LABELS = ("billing", "delivery")
TEXTS = ("refund my order please", "password reset", "the parcel never came", "log in")


@dataclass(frozen=True)
class ServedPlace:
    """State and task file of one installation."""

    folder: Path
    task: Task

    @property
    def environment(self) -> dict[str, str]:
        """For child processes."""
        mine = ("PLAYBOOK_", "MLFLOW_TRACKING_URI", "DAGSTER_HOME")
        base = {name: value for name, value in child_environment().items() if not name.startswith(mine)}
        return {**base, "PLAYBOOK_HOME": str(self.folder / "home"), "PLAYBOOK_THREADS": "1", "OMP_NUM_THREADS": "1"}

    @property
    def places(self) -> Settings:
        """Of this process."""
        with pytest.MonkeyPatch.context() as patch:
            for name in [name for name in os.environ if name.startswith(("PLAYBOOK_", "MLFLOW_TRACKING", "DAGSTER_"))]:
                patch.delenv(name)
            patch.setenv("PLAYBOOK_HOME", str(self.folder / "home"))
            return settings()

    @property
    def registry(self) -> Registry:
        """Of its models."""
        return Registry(Tracking.from_settings(self.places))

    @property
    def log(self) -> PredictionLog:
        """Of its predictions."""
        return open_prediction_log(self.places, "sample")

    def point(self, version: str) -> None:
        """Let the champion be another version."""
        self.registry.point("sample", "champion", version)

    def command(self, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        """`playbook` in a process of its own."""
        command = [sys.executable, "-m", "playbook.cli", *arguments]
        environment = {**self.environment, **more}
        return subprocess.run(
            command, env=environment, cwd=self.folder, capture_output=True, text=True, check=False, timeout=300
        )


def served_place(folder: Path, database: Path, serving: Mapping[str, Any] | None = None) -> ServedPlace:
    """An installation without models; `database` is an empty one of MLflow."""
    copy_database(database, folder / "home")
    document = {**task_document({"path": "rows.csv"}), "serving": dict(serving or {})}
    path = folder / "sample.yaml"
    path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    return ServedPlace(folder, load_task(path))


def register(place: ServedPlace, seed: int, labels: tuple[str, ...] = LABELS) -> Registered:
    """Register a model whose answers follow from the seed; the first one becomes the champion."""
    from playbook.adapt.classifier import load_bundle, save_bundle

    work = place.folder / f"model-{seed}"
    base = work / "base"
    base.mkdir(parents=True)
    pin = write_tiny_base(base)
    save_bundle(work / "bundle", base, pin, labels, write_tiny_weights(base / "trained.safetensors", len(labels), seed))
    expected = load_bundle(work / "bundle").predict_proba(TEXTS)
    registry = place.registry
    tracking = registry.tracking
    run_id = tracking.log_attempt(tracking.task_run("sample", f"run-{seed}"), "package")
    made = registry.register(
        Release(
            name="sample",
            bundle=work / "bundle",
            parity=check_parity(work / "bundle", TEXTS, expected, 1e-5, labels=labels),
            labels=labels,
            identity=Identity("task", "data", "base"),
            run_id=run_id,
            source="rung_1",
            dataset_version=1,
            report_sha256="e" * 64,
            example=TEXTS[0],
        )
    )
    if registry.at_alias("sample", "champion") is None:
        place.point(made.version)
    return made
