"""Monitoring's figures in MLflow: one run per task and model version, a step per day."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from resources.tracking import Tracking

RUN_TAG = "playbook/monitoring"  # task and model version that a run is about


def log_day(tracking: Tracking, task: str, version: str, day: str, figures: Mapping[str, float]) -> str:
    """Log the figures of one day under its date; returns the id of the monitoring run.

    A day that is logged again adds a point of the same step: MLflow keeps both and shows the newer one.
    """
    from mlflow.entities import Metric

    run_id = _run(tracking.uri, task, version) or _make_run(tracking, task, version)
    when = date.fromisoformat(day)
    moment = int(datetime.combine(when, time(), UTC).timestamp() * 1000)
    metrics = [Metric(_name(name), float(value), moment, when.toordinal()) for name, value in sorted(figures.items())]
    tracking.client.log_batch(run_id, metrics=metrics)
    return run_id


_KNOWN: dict[tuple[str, str, str], str] = {}


def _run(uri: str, task: str, version: str) -> str:
    return _KNOWN.get((uri, task, version), "")


def _make_run(tracking: Tracking, task: str, version: str) -> str:
    """The monitoring run of a model version, made when it is first asked for."""
    with tracking.locked("monitoring"):
        experiment = tracking.experiment(task)
        about = f"{task} {version}"
        found = tracking.client.search_runs([experiment], f"tags.`{RUN_TAG}` = '{about}'", max_results=1)
        if found:
            run_id = str(found[0].info.run_id)
        else:
            run = tracking.client.create_run(experiment, run_name=f"monitoring {version}", tags={RUN_TAG: about})
            run_id = str(run.info.run_id)
    _KNOWN[tracking.uri, task, version] = run_id
    return run_id


@lru_cache(maxsize=256)
def _name(figure: str) -> str:
    """A figure's name as MLflow allows it."""
    return "".join(sign if sign.isalnum() or sign in "_-. /" else "_" for sign in figure)
