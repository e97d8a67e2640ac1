"""The decision log as the command line reads it: held against every anchor, the store's and MLflow's."""

from __future__ import annotations

from playbook.authority import no_reason, not_allowed, owner_named, plain_text
from playbook.decide.log import Entry
from playbook.errors import ApprovalRefused
from playbook.settings import Settings
from playbook.taskfile import Task
from resources.world import World


def verified_entries(task: Task, places: Settings) -> tuple[Entry, ...]:
    """Every decision, oldest first.

    Raises:
        LogTampered: the log is not what was written, or is gone, shorter or another than an anchor says.
    """
    return World(places).decision_log(task.spec.task).entries()


def accept_loss(task: Task, places: Settings, *, by: str, reason: str) -> Entry:
    """Go on without a log that is lost, on record.

    Raises:
        ApprovalRefused: by nobody who may, without a reason, or nothing is lost.
    """
    owners, refused = task.spec.owners, f"{task.spec.task}: no loss is accepted"
    reasons = not_allowed(owners, "accept_loss", by) + no_reason(reason, "--reason")
    if reasons:
        raise ApprovalRefused(refused, reasons)
    log = World(places).decision_log(task.spec.task)
    try:
        return log.accept_loss(by=owner_named(owners, by), reason=plain_text(reason))
    except ValueError as error:
        raise ApprovalRefused(refused, [str(error)]) from None
