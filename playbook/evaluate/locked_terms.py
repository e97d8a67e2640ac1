"""Terms that are locked for a test split once it was opened (5.2): what decides a verdict may not be chosen after it.

Whoever has seen a result can always find a margin, a confidence or a limit under which it passes. So an opening records
the terms that it was judged by, and the same rows are judged by no other terms afterwards: target, limits, margin,
confidence, power, the room to spare of an early end, the budgets of harm, what a round asks for, and what the classes
mean. This is pre-registration (Nosek et al., The
preregistration revolution, PNAS 2018) for one split.

Which rows are the same: a split counts as opened where more than `REUSED` of its rows were read by openings under other
terms. A row is recognised by its id and by the hash of its text, whichever is known, so neither a dropped row nor a
renumbered file makes another split of it. A share that small is allowed because a split that grows by fresh rows in
each round keeps old ones; at one row in five, what was seen before moves a score by a fifth of what it moved then.

Not a change: a class that is added (production brings new ones in rounds), where every older class means what it meant.
An opening under a waiver locks nothing of its own: the first terms stay the ones that were written before any result.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from playbook.artifacts import LockedTerms, TermChange, canonical_hash
from playbook.evaluate import wording
from playbook.evaluate.row_marks import marks_of
from playbook.evaluate.test_split import read_ledger
from playbook.spec import TaskSpec

REUSED = 0.2  # most of a split's rows that openings under other terms may have read
WAIVED = "waived"  # field of a ledger line that was opened under a waiver
CLASSES = "data.classes"
RULES = ("confidence", "power", "early_end_standard_errors", "capability_tolerance")  # of `evaluation`


def terms_of(spec: TaskSpec) -> dict[str, Any]:
    """What a verdict is decided by, flat: name of the field in the task file -> value."""
    target = {f"target.{name}": value for name, value in spec.target.model_dump(mode="json").items()}
    rules = {f"evaluation.{name}": getattr(spec.evaluation, name) for name in RULES}
    harm = {f"evaluation.regression.{name}": value for name, value in spec.evaluation.regression.model_dump().items()}
    rounds = {f"retraining.{name}": getattr(spec.retraining, name) for name in ("margin", "tolerance")}
    return {**target, **rules, **harm, **rounds, CLASSES: dict(sorted(spec.data.classes.items()))}


def locked_by(
    ledger: Path, test_sha256: str, terms: Mapping[str, Any], rows: Callable[[], list[list[str]]]
) -> LockedTerms | None:
    """The opening whose terms bind a split, where they are not the terms of now.

    Args:
        ledger: openings of the task.
        test_sha256: of the split's file.
        terms: of the task file as it is, by `terms_of`.
        rows: marks of the split's rows by `row_marks`; asked only where another split was opened under other terms.

    Returns:
        None where no opening stands against these terms.

    Raises:
        ArtifactError: the ledger is damaged, or the rows of an opening that may bind are no longer on record.
    """
    other = [
        (number, line)
        for number, line in enumerate(read_ledger(ledger), start=1)
        if isinstance(line.get("terms"), dict) and not line.get(WAIVED) and changed_terms(line["terms"], terms)
    ]
    if not other:
        return None
    same = [(number, line) for number, line in other if line.get("test_sha256") == test_sha256]
    if same:
        return _lock(*same[0], terms, fresh=None)
    here = rows()
    seen: set[str] = set()
    binding = []
    for number, line in other:
        marks = marks_of(ledger, str(line.get("test_sha256", "")))
        if any(mark in marks for row in here for mark in row):
            binding.append((number, line))
            seen |= marks
    opened = sum(any(mark in seen for mark in row) for row in here)
    if not binding or opened <= REUSED * len(here):
        return None
    return _lock(*binding[0], terms, fresh=math.ceil(opened / REUSED) - len(here))


def changed_terms(locked: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[TermChange, ...]:
    """Fields that differ, each with both values; an added class is no change.

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
    text = (
        f"No answer under these terms: the test split was opened on {lock.opened_at} (opening {lock.opening}, for "
        f"model {lock.opened_for[:12]}), and that locked them. What changed after it: {changed}."
    )
    steps = (
        "Put the locked values back into the task file; the stored result is then shown again.",
        f"Or bring {wording.size(lock.fresh_rows, 'test row')} that no opening has read, so that at most "
        f"{wording.percent(REUSED, 0)} of the test split was opened before.",
        "Or let the sign-off owner waive it, on record and in every headline: "
        f"`playbook waive {name} locked_terms --as {owner} --reason TEXT --until DATE`.",
    )
    return text, steps


def _lock(number: int, line: Mapping[str, Any], terms: Mapping[str, Any], fresh: int | None) -> LockedTerms:
    rows = int(line.get("rows") or 0)
    return LockedTerms(
        opening=number,
        opened_at=str(line.get("time", "")),
        opened_for=str(line.get("opened_for", "")),
        dataset=int(line.get("dataset") or 0),
        changed=changed_terms(line["terms"], terms),
        fresh_rows=max(1, math.ceil(rows / REUSED) - rows if fresh is None else fresh),
        key=canonical_hash({"locked": line["terms"], "found": terms, "at": line.get("time", "")}),
    )


def _plain(value: Any) -> Any:
    """A value without what is not set, so that a field that a later release adds is no change."""
    if isinstance(value, Mapping):
        return {name: _plain(part) for name, part in value.items() if part is not None}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return value


def _said(value: Any) -> str:
    if value is None:
        return "none"
    return value if isinstance(value, str) else json.dumps(_plain(value), ensure_ascii=False)
