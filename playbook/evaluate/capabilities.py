"""A capability set: rows with known answers that must not get worse, whatever else a new model gains (5.4).

The task file names a CSV file (`evaluation.capabilities`). The model that would ship is compared with what is there now
on its rows, net of what it gains there (`playbook.statistics.net_change`): a loss beyond the tolerance blocks where the
whole interval shows it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from playbook.artifacts import Capability, canonical_hash
from playbook.data.annotations import known_class, read_lines
from playbook.data.formats import read_bytes
from playbook.data.source_form import form_beside
from playbook.data.text import clean_text, shown
from playbook.errors import DataError
from playbook.evaluate import wording
from playbook.evaluate.regression import exceeds, figure_of, net_text
from playbook.names import normal_form
from playbook.spec import TaskSpec
from playbook.statistics.net_change import net_change
from playbook.taskfile import Task

PLAIN = ("text", "label")  # column names where those of data.columns are not there
NAMED = 10  # faults that a message lists
FEWEST = 20  # rows under which hardly any loss could be shown


@dataclass(frozen=True)
class CapabilitySet:
    """Texts and their right classes, each of shape (rows,)."""

    texts: tuple[str, ...]
    truth: npt.NDArray[np.int64]


def capability_file(task: Task) -> Path | None:
    """Where the file lies, or None where the task names none."""
    named = task.spec.evaluation.capabilities
    return Path(task.resolve(named)) if named else None


def load_capabilities(task: Task) -> CapabilitySet | None:
    """The rows of the file, or None where the task names none.

    Raises:
        DataError: the file cannot be read, has too few rows, an empty text, a label that is not a class, or a text with
            two answers. Every fault is named with its line.
    """
    path = capability_file(task)
    if path is None:
        return None
    if not path.is_file():
        raise DataError(
            f"{path}: no such file; check evaluation.capabilities in the task file (paths are relative to it)"
        )
    known = {normal_form(name): name for name in task.spec.labels}
    number = {name: at for at, name in enumerate(task.spec.labels)}
    found: dict[str, int] = {}
    faults = []
    for line in read_lines(path, _columns(task, path), form_beside(task)):
        text = clean_text(line.cells[0])
        try:
            label = number[known_class(path, line.number, line.cells[1], known)]
        except DataError as error:
            faults.append(str(error))
            continue
        if not text:
            faults.append(f"{path}: line {line.number}: expected a text, found none; write one or take the line out")
        elif found.setdefault(text, label) != label:
            faults.append(f"{path}: line {line.number}: {shown(text)} has another answer above; keep one of them")
    if faults:
        more = f"\nand {len(faults) - NAMED} more" if len(faults) > NAMED else ""
        raise DataError("\n".join(faults[:NAMED]) + more)
    if len(found) < FEWEST:
        raise DataError(
            f"{path}: expected {FEWEST} texts with answers or more, found {len(found)}: on fewer no loss could be "
            "shown; add some, or take evaluation.capabilities out of the task file"
        )
    return CapabilitySet(tuple(found), np.array(list(found.values()), dtype=np.int64))


def capability_content(task: Task) -> str:
    """What the capability set says, in a few words: its size and a hash of its rows; blank without one.

    Order, quotes and line ends do not count, texts and answers do.

    Raises:
        DataError: as `load_capabilities`.
    """
    found = load_capabilities(task)
    if found is None:
        return ""
    answers = [task.spec.labels[at] for at in found.truth]
    digest = canonical_hash(sorted(zip(found.texts, answers, strict=True)))
    return f"{wording.size(len(answers), 'text')} with answers, SHA-256 {digest[:12]}"


def _columns(task: Task, path: Path) -> Sequence[str]:
    own = (task.spec.data.columns.text, task.spec.data.columns.label)
    found = read_bytes(str(path), path.read_bytes(), form_beside(task)).rows.columns
    return own if set(own) <= set(found) else PLAIN


def judge_capability(
    spec: TaskSpec,
    truth: npt.NDArray[np.int64],
    before: npt.NDArray[np.integer],
    now: npt.NDArray[np.integer],
    *,
    against: Literal["frozen baseline", "champion"],
    version: str = "",
) -> Capability:
    """What another model could do on the capability set beside the model that is shown.

    Args:
        spec: the task.
        truth: right classes, shape (rows,).
        before: answers of the other model, shape (rows,).
        now: answers of the shown model, shape (rows,).
        against: which model the other is.
        version: of the champion.
    """
    rules = spec.evaluation
    broken, fixed = (before == truth) & (now != truth), (before != truth) & (now == truth)
    net = net_change(int(fixed.sum()), int(broken.sum()), len(truth), rules.confidence)
    name = f"the {against}{f' {version}' if version else ''}"
    shares = [float(np.mean(answers == truth)) for answers in (before, now)]
    scores = " against ".join(wording.percent(share) for share in reversed(shares))
    said = net_text(net, name, rules.capability_tolerance)
    return Capability(
        against=against,
        version=version,
        rows=net.rows,
        before=shares[0],
        now=shares[1],
        broken=net.broken,
        mended=net.fixed,
        net=figure_of(net),
        allowed=rules.capability_tolerance,
        passed=not exceeds(net, rules.capability_tolerance),
        text=f"On the capability set, {scores} right: it {said}",
    )
