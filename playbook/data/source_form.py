"""How the files of a task are written, as far as its task file says."""

from __future__ import annotations

from playbook.data.formats import Form
from playbook.spec import Data
from playbook.taskfile import Task


def form_of(data: Data) -> Form:
    """How the task file says that the source is written."""
    source = data.source
    return Form(source.encoding, source.delimiter, source.quoting, source.quote, settable=True)


def form_beside(task: Task) -> Form:
    """What that means for every other file: the encoding of the source is tried where one is not UTF-8."""
    return form_of(task.spec.data).hint()
