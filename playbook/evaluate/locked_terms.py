"""Terms that are locked for a test split once it was opened (5.2): what decides a verdict may not be chosen after it.

Whoever has seen a result can always find a margin, a confidence or a limit under which it passes. So an opening records
the terms that it was judged by, and the same rows are judged by no other terms afterwards: target, limits, margin,
confidence, power, resamples, the room to spare of an early end, the budgets of harm with the rows of the capability
set, what a round asks for, what the classes mean, and how the split is drawn. This is pre-registration (Nosek et al.,
The preregistration revolution, PNAS 2018) for one split.

Which rows are the same: a split counts as opened where more than `REUSED` of its rows were read by openings under other
terms, in whichever file and under whatever name of the task (`playbook.evaluate.openings`). A row is recognised by its
text, or by its id with much the same text (`playbook.evaluate.row_marks`): so neither a dropped row nor a renumbered
file nor a renamed task makes another split of it, and a fresh text under an old number is fresh. A share that small is
allowed because a split that grows by fresh rows in each round keeps old ones; at one row in five, what was seen before
moves a score by a fifth of what it moved then.

A split that is drawn again, by another seed, group or split column, has hardly a row of the first one; but its rows
were there to be trained on, and whoever may draw until it fits has an answer for every margin. It is not a fresh split:
where the same task draws other test rows from a pool that an opening has read from (`DRAWN`), that opening binds.

Not a change: a class that is added (production brings new ones in rounds), where every older class means what it meant;
and a capability set where none was, which can only stand against shipping. An opening under a waiver locks nothing of
its own: the first terms stay the ones that were written before any result.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from playbook.artifacts import LockedTerms, TermChange, canonical_hash
from playbook.evaluate import wording
from playbook.evaluate.capabilities import capability_content
from playbook.evaluate.openings import CLASSES, PROGRESS, Opening, Rows, Warn, read_openings
from playbook.evaluate.row_marks import OpenedMarks
from playbook.spec import TaskSpec
from playbook.taskfile import Task

REUSED = 0.2  # most of a split's rows that openings under other terms may have read
WAIVED = "waived"  # field of a ledger line that was opened under a waiver
CAPABILITIES = "evaluation.capabilities"
DRAWN = 0.01  # share of a split's rows, read by an opening, that tells the same pool from another one
DRAWN_BY = ("data.splits.seed", "data.splits.column", "data.columns.group")  # which rows are the test rows
RULES = ("confidence", "power", "resamples", "early_end_standard_errors", "capability_tolerance")  # of `evaluation`


def terms_of_task(task: Task) -> dict[str, Any]:
    """What a verdict is decided by: the fields of the task file, and the rows of the capability set that it names.

    Raises:
        DataError: the capability set has faults.
    """
    content = capability_content(task)
    return {**terms_of(task.spec), **({CAPABILITIES: content} if content else {})}


def terms_of(spec: TaskSpec) -> dict[str, Any]:
    """The fields of the task file that decide a verdict, flat: name of the field -> value."""
    target = {f"target.{name}": value for name, value in spec.target.model_dump(mode="json").items()}
    rules = {f"evaluation.{name}": getattr(spec.evaluation, name) for name in RULES}
    harm = {f"evaluation.regression.{name}": value for name, value in spec.evaluation.regression.model_dump().items()}
    rounds = {f"retraining.{name}": getattr(spec.retraining, name) for name in ("margin", "tolerance")}
    data = spec.data
    drawn = dict(zip(DRAWN_BY, (data.splits.seed, data.splits.column, data.columns.group), strict=True))
    return {**target, **rules, **harm, **rounds, **drawn, CLASSES: dict(sorted(data.classes.items()))}


def locked_by(
    ledger: Path, test_sha256: str, terms: Mapping[str, Any], rows: Rows, warn: Warn = PROGRESS.warning
) -> LockedTerms | None:
    """The opening whose terms bind a split, where they are not the terms of now.

    Args:
        ledger: openings of the task; those under other names lie in the folders beside it.
        test_sha256: of the split's file.
        terms: of the task as it is, by `terms_of_task`.
        rows: marks of the split's rows by `row_marks`; asked only where another split was opened under other terms.
        warn: takes a sentence on every opening of another task whose rows are not known.

    Returns:
        None where no opening stands against these terms.

    Raises:
        ArtifactError: a ledger is damaged, or the rows of an opening of this task that may bind are no longer on
            record.
    """
    other = [
        one
        for one in read_openings(ledger, terms.get(CLASSES), test_sha256)
        if isinstance(one.line.get("terms"), dict)
        and not one.line.get(WAIVED)
        and changed_terms(one.line["terms"], terms)
    ]
    if not other:
        return None
    same = [one for one in other if one.test_sha256 == test_sha256]
    if same:
        return _lock(same[0], terms, fresh=None)
    here = rows()
    first = {one.split: one for one in reversed(other)}
    marks = {split: one.marks_if_known(warn) for split, one in first.items()}
    shared = {split for split, rows_read in marks.items() if OpenedMarks(rows_read).count(here)}
    redrawn = [one for one in other if one.split in shared and one.own and _is_drawn_again(one, terms)]
    if redrawn and OpenedMarks(m for one in redrawn for m in marks[one.split]).count(here) > DRAWN * len(here):
        return _lock(redrawn[0], terms, fresh=None)
    binding = [one for one in other if one.split in shared]
    opened = OpenedMarks(mark for split in shared for mark in marks[split]).count(here)
    if not binding or opened <= REUSED * len(here):
        return None
    return _lock(binding[0], terms, fresh=math.ceil(opened / REUSED) - len(here))


def changed_terms(locked: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[TermChange, ...]:
    """Fields that differ, each with both values; an added class is not a change.

    A field that an opening did not record was not locked by it: an earlier release knew fewer of them.
    """
    found = []
    for name, before in locked.items():
        after = now.get(name)
        if name == CLASSES and isinstance(before, dict) and isinstance(after, dict):
            after = {label: after.get(label) for label in before}
            found += [
                TermChange(field=f"{CLASSES}.{label}", locked=_said(before[label]), found=_said(after[label]))
                for label in before
                if before[label] != after[label]
            ]
        elif _plain(before) != _plain(after):
            found.append(TermChange(field=name, locked=_said(before), found=_said(after)))
    return tuple(found)


def refusal(lock: LockedTerms, name: str, owner: str) -> tuple[str, tuple[str, ...]]:
    """The verdict of a refused evaluation and its next steps: put back what was locked, fresh rows, or a waiver."""
    changed = wording.listing([f"{one.field} (locked: {one.locked}, now: {one.found})" for one in lock.changed])
    under = f" of the task {lock.task}, which asks the same of the same rows" if lock.task else ""
    text = (
        f"No answer under these terms: the test split was opened on {lock.opened_at} (opening {lock.opening}{under}, "
        f"for model {lock.opened_for[:12]}), and that locked them. What changed after it: {changed}."
    )
    put_back = "Put the locked values back into the task file; the stored result is then shown again."
    bring = (
        f"{'Bring' if lock.task else 'Or bring'} {wording.size(lock.fresh_rows, 'test row')} that no opening has read"
        f"{f', of the task {lock.task} either' if lock.task else ''}, so that at most {wording.percent(REUSED, 0)} of "
        "the test split was opened before."
    )
    drawn_again = any(one.field in DRAWN_BY for one in lock.changed)
    steps = (
        *([] if lock.task else [put_back]),
        *([] if drawn_again else [bring]),
        "Or let the sign-off owner waive it, on record and in every headline: "
        f"`playbook waive {name} locked_terms --as {owner} --reason TEXT --until DATE`.",
    )
    return text, steps


def _lock(one: Opening, terms: Mapping[str, Any], fresh: int | None) -> LockedTerms:
    line = one.line
    rows = int(line.get("rows") or 0)
    return LockedTerms(
        opening=one.number,
        task="" if one.own else one.task,
        opened_at=str(line.get("time", "")),
        opened_for=str(line.get("opened_for", "")),
        dataset=int(line.get("dataset") or 0),
        changed=changed_terms(line["terms"], terms),
        fresh_rows=max(1, math.ceil(rows / REUSED) - rows if fresh is None else fresh),
        key=canonical_hash({"locked": line["terms"], "found": terms, "at": line.get("time", "")}),
    )


def _is_drawn_again(one: Opening, terms: Mapping[str, Any]) -> bool:
    locked = one.line["terms"]
    return any(name in locked and locked[name] != terms.get(name) for name in DRAWN_BY)


def _plain(value: Any) -> Any:
    """A value without what is not set, so that a field that a later release adds is not a change."""
    if isinstance(value, Mapping):
        return {name: _plain(part) for name, part in value.items() if part is not None}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return value


def _said(value: Any) -> str:
    if value is None:
        return "none"
    return value if isinstance(value, str) else json.dumps(_plain(value), ensure_ascii=False)
