"""The button: a job that asks for a retraining round (6.5)."""

# Annotations are real types here: Dagster reads those of the op's configuration.
from datetime import UTC, datetime

import dagster as dg

from playbook.operate.rounds import ask_by_hand, ask_for_round, cool_down_until
from playbook.settings import Settings
from playbook.taskfile import Task
from resources.world import World

SCHEDULE_TAG = "dagster/schedule_name"  # Dagster sets it on the runs of a schedule


def request_job_name(task: str) -> str:
    """Name of the job that asks for a round: the button."""
    return f"{task}_request_retrain_job"


def request_op_name(task: str) -> str:
    """Name of the op whose configuration says who asks, and why."""
    return f"{task}_ask_for_a_round"


class Request(dg.Config):
    """Who asks for a round, and why: an owner of the task file. The schedule asks in its own name."""

    by: str = ""
    reason: str = ""
    kind: str = "button"


def request_job(task: Task, places: Settings) -> dg.JobDefinition:
    """The job that puts a request for a round on record."""
    name = task.spec.task

    @dg.op(name=request_op_name(name))
    def ask(context: dg.OpExecutionContext, config: Request) -> None:
        log = World(places).decision_log(name)
        over = cool_down_until(log.entries(), task.spec.retraining.cool_down_days)
        today = datetime.now(UTC).date()
        # Its configuration alone is not evidence: anybody may type "schedule" on Dagster's page.
        by_schedule = config.kind == "schedule" and SCHEDULE_TAG in context.run.tags
        if by_schedule and over is not None and today < over:
            context.log.info(f"not asked for: cool-down until {over.isoformat()}")
            return
        if by_schedule:
            entry = ask_for_round(log, name, {"schedule": config.reason}, by="schedule")
        else:
            entry = ask_by_hand(log, task.spec, by=config.by, reason=config.reason)
        context.log.info(f"{entry.title}; entry {entry.index}, {entry.sha256[:12]}, of the decision log")

    @dg.job(
        name=request_job_name(name),
        description="Ask for a retraining round: the button. The sensor launches it.",
        executor_def=dg.in_process_executor,
    )
    def request() -> None:
        ask()

    return request
