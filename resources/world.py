"""All resources of one installation in one object, made from the settings; each part is made when it is first used."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from playbook.settings import Settings
from playbook.store import Store

if TYPE_CHECKING:
    from playbook.decide.log import DecisionLog
    from playbook.operate.prediction_log import PredictionLog
    from resources.dvc import DatasetVersions
    from resources.gate import DataGate
    from resources.registry import Registry
    from resources.tracking import Tracking


class World:
    """Store, dataset versions, gate, tracking and registry of one installation."""

    def __init__(self, places: Settings) -> None:
        self.places = places

    @cached_property
    def store(self) -> Store:
        """Artefacts of the plays."""
        return Store(self.places.store, self.places.home / "cache" / "store")

    @cached_property
    def datasets(self) -> DatasetVersions:
        """DVC."""
        from resources.dvc import DatasetVersions

        return DatasetVersions(self.places)

    @cached_property
    def gate(self) -> DataGate:
        """Great Expectations."""
        from resources.gate import DataGate

        return DataGate(self.places.home)

    @cached_property
    def tracking(self) -> Tracking:
        """MLflow's runs."""
        from resources.tracking import Tracking

        return Tracking.from_settings(self.places)

    @cached_property
    def registry(self) -> Registry:
        """MLflow's registered models."""
        from resources.registry import Registry

        return Registry(self.tracking)

    def work(self, *parts: str) -> Path:
        """A local folder for unfinished work, made on first use."""
        folder = self.places.work.joinpath(*parts)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def decision_log(self, task: str) -> DecisionLog:
        """Every decision about a task, append-only, its head anchored in the store and in MLflow."""
        from playbook.decide.log import open_decision_log
        from resources.log_anchor import TrackingAnchor

        return open_decision_log(self.places, task, lambda lies: TrackingAnchor(self.tracking, task, lies))

    def prediction_log(self, task: str) -> PredictionLog:
        """Logged inputs, predictions and outcomes of a task."""
        from playbook.operate.prediction_log import open_prediction_log

        return open_prediction_log(self.places, task)

    def test_ledger(self, task: str) -> Path:
        """The record of all openings of a task's test split; it outlives an emptied store."""
        return self.places.ledgers / task / "test_openings.jsonl"
