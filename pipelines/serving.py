"""Serving: batch predictions and retention as Dagster jobs."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg

from pipelines.answers import predict_file
from playbook.settings import Settings
from playbook.taskfile import Task

RETENTION_CRON = "17 3 * * *"  # UTC


class PredictConfig(dg.Config):
    """Which file is scored."""

    input: str
    output: str = ""  # beside the input, if not given
    id_column: str = ""  # data.columns.id of the task file, if not given


def predict_job_name(task: str) -> str:
    """Name of the job that scores a file."""
    return f"{task}_predict_job"


def retention_job_name(task: str) -> str:
    """Name of the job that deletes what is past its time."""
    return f"{task}_retention_job"


def serving_definitions(task: Task, places: Settings, assets: Sequence[dg.AssetsDefinition]) -> dg.Definitions:
    """What this module adds to a task's definitions."""
    retention = _retention_job(task, places)
    schedule = dg.ScheduleDefinition(
        name=f"{task.spec.task}_retention",
        job=retention,
        cron_schedule=RETENTION_CRON,
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=f"Predictions are kept for {task.spec.serving.retention_days} days.",
    )
    return dg.Definitions(jobs=[_predict_job(task, places), retention], schedules=[schedule])


def _predict_job(task: Task, places: Settings) -> dg.JobDefinition:
    name = task.spec.task

    @dg.op(name=f"{name}_predict", description="Score a file with the champion and log the predictions.")
    def predict(context: dg.OpExecutionContext, config: PredictConfig) -> None:
        given = Path(config.input)
        done = predict_file(
            task, places, given, Path(config.output) if config.output else None, config.id_column or None
        )
        count = done.count
        metadata: dict[str, str | int] = {"rows": done.rows, "model_version": done.version, "output": str(done.output)}
        counted = {"logged": count.logged, "repeated": count.repeated, "lost": count.lost}
        context.add_output_metadata({**metadata, **counted, "not_chosen": count.not_chosen})

    @dg.job(
        name=predict_job_name(name),
        description="Score a file with the champion and log the predictions.",
        executor_def=dg.in_process_executor,
    )
    def score() -> None:
        predict()

    return score


def _retention_job(task: Task, places: Settings) -> dg.JobDefinition:
    name, days = task.spec.task, task.spec.serving.retention_days

    @dg.op(name=f"{name}_retention", description=f"Delete predictions that were logged more than {days} days ago.")
    def purge(context: dg.OpExecutionContext) -> None:
        from playbook.operate.prediction_log import open_prediction_log

        log = open_prediction_log(places, name)
        try:
            gone = log.purge(datetime.now(UTC) - timedelta(days=days))
        finally:
            log.close()
        context.add_output_metadata({"predictions": gone.predictions, "outcomes": gone.outcomes})

    @dg.job(
        name=retention_job_name(name),
        description=f"Delete predictions that were logged more than {days} days ago.",
        executor_def=dg.in_process_executor,
    )
    def retain() -> None:
        purge()

    return retain
