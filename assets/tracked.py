"""Every attempt becomes an MLflow run nested under the run of its task."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from assets.play import Play
from playbook.artifacts import DatasetVersion, Epoch


def parent_run(play: Play) -> str:
    """MLflow run of this run of the task."""
    tags = {"dagster/run_id": play.context.run.run_id, "playbook/question": play.task.spec.question[:250]}
    return play.world.tracking.task_run(play.task.spec.task, play.run_key, tags)


def log_attempt(
    play: Play,
    dataset: DatasetVersion,
    *,
    name: str = "",
    metrics: Mapping[str, float],
    params: Mapping[str, Any] | None = None,
    curve: Sequence[Epoch] = (),
    config: Path | None = None,
    tables: Mapping[str, Mapping[str, Sequence[Any]]] | None = None,
    files: Mapping[str, Path] | None = None,
    hardware: str = "",
) -> str:
    """Log one attempt with the dataset version it stood on; returns its run id."""
    from resources.log_anchor import HEAD_TAG
    from resources.tracking import DatasetInput

    tracking = play.world.tracking
    parent, log = parent_run(play), play.world.decision_log(play.task.spec.task)
    log.anchor()  # the experiment is there now
    head = log.head
    used = DatasetInput(
        name=play.task.spec.task,
        digest=dataset.dataset_hash,
        source=", ".join(play.task.resolve(place) for place in play.task.spec.data.source.locations.values()),
        profile={"version": dataset.number, "rows": dataset.rows},
    )
    run_id = tracking.log_attempt(
        parent,
        name or play.asset,
        params=params,
        metrics=metrics,
        metrics_by_epoch=curves(curve),
        config=json.loads(config.read_text(encoding="utf-8")) if config else None,
        tables=tables,
        files=files,
        tags={
            "playbook/dataset_version": str(dataset.number),
            "playbook/dataset_hash": dataset.dataset_hash,
            **({HEAD_TAG: f"{head.count} {head.sha256}"} if head.count else {}),
        },
        dataset=used,
        hardware=hardware,
    )
    tracking.finish(parent)  # a run that dies later leaves no parent that looks as if it went on
    return run_id


def curves(curve: Sequence[Epoch]) -> dict[str, list[float]]:
    """A training curve as one list per figure."""
    if not curve:
        return {}
    names = ("train_loss", "validation_loss", "validation", "seconds")
    return {name: [float(getattr(epoch, name)) for epoch in curve] for name in names}
