"""`playbook relabel`: the data owner's edits of the relabel queue become corrections, and so a new dataset version.

What would touch the test split in any way (a row that is in it before or after, or one that a correction elsewhere
throws out of it) needs a detached SSH signature over the queue file by the data owner or the sign-off owner:
`ssh-keygen -Y sign -n playbook-relabel -f KEY FILE`.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from playbook.data.annotations import known_class, label_file, read_lines
from playbook.data.corrections import Correction, corrected, read_corrections, with_current_names, write_corrections
from playbook.data.prepare import divided
from playbook.data.read import read_rows
from playbook.data.relabel_queue import NEEDED
from playbook.data.row_names import RowNames
from playbook.data.sheets import unguarded
from playbook.data.sides import Sides, sides_of
from playbook.data.source_form import form_beside
from playbook.data.tables import LABEL, ROW_ID, SPLIT
from playbook.data.text import counted, shown
from playbook.errors import DataError, SignatureRefused
from playbook.names import normal_form
from playbook.settings import Settings
from playbook.store import Store
from playbook.taskfile import Task

NAMESPACE = "playbook-relabel"
NAMED = 10  # rows that a message names


@dataclass(frozen=True)
class Relabelled:
    """What a queue came to: labels changed, labels confirmed, rows left open, and where the corrections lie."""

    changed: int
    confirmed: int
    left_open: int
    touches_test: bool
    signed_by: str  # whose signature was verified, or ""
    corrections: Path


@dataclass(frozen=True)
class _Edit:
    row_id: str
    label: str  # as the queue has it
    new: str
    line: int

    @property
    def changes(self) -> bool:
        return normal_form(self.new) != normal_form(self.label)


@dataclass(frozen=True)
class Plan:
    """What a queue would do: labels that would change, rows that are confirmed, and rows of the test split it touches.

    `changes` has (row id, label now, new label), in the order of the file.
    """

    changes: tuple[tuple[str, str, str], ...]
    confirmed: tuple[str, ...]
    left_open: int
    test_rows: tuple[str, ...]
    corrections: Path

    @property
    def pairs(self) -> tuple[tuple[str, str, int], ...]:
        """(label now, new label, rows), most rows first."""
        counts = Counter((now, new) for _, now, new in self.changes)
        return tuple((now, new, n) for (now, new), n in sorted(counts.items(), key=lambda one: (-one[1], one[0])))


def queue_place(task: Task, places: Settings) -> Path:
    """Where the relabel queue of a task lies for its data owner."""
    return places.home / "reports" / f"{task.spec.task}-relabel-queue.csv"


def plan_queue(task: Task, queue_csv: Path, places: Settings) -> Plan:
    """What `apply_queue` would do with an edited queue; nothing is written.

    Raises:
        DataError: see `apply_queue`.
    """
    _corrections_file(task)
    return _planned(task, queue_csv, _content(queue_csv), "", places)[0]


def apply_queue(task: Task, queue_csv: Path, *, by: str, places: Settings, signature: Path | None = None) -> Relabelled:
    """Turn an edited queue into corrections; the next run prepares the new dataset version.

    Args:
        task: the task; `data.labels.corrections` names the file that is written, whole or not at all.
        queue_csv: the queue with `new_label` filled in where a row was looked at.
        by: who looked.
        places: of this installation; one caller at a time.
        signature: detached SSH signature over `queue_csv`, needed where the test split is touched.

    Raises:
        DataError: the task names no corrections file, or the queue has faults (all of them are listed).
        SignatureRefused: the test split is touched and no signature of an owner says that it may be.
        LogTampered: the decision log is not what was written; nothing is applied.
    """
    from filelock import FileLock

    if not normal_form(by):
        raise DataError("expected the name of who looked at the labels, found nothing; give one with --as NAME")
    lock = places.home / "data" / ".locks" / f"{task.spec.task}.corrections.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(lock):
        content = _content(queue_csv)
        plan, merged = _planned(task, queue_csv, content, normal_form(by), places)
        touched, target = plan.test_rows, plan.corrections
        signer = _verified(task, content, signature, touched) if touched else ""
        done = Relabelled(len(plan.changes), len(plan.confirmed), plan.left_open, bool(touched), signer, target)
        _record(task, places, done, content, normal_form(by))  # first: what is not on record is not applied
        write_corrections(target, merged)
    return done


def _planned(task: Task, queue_csv: Path, content: bytes, by: str, places: Settings) -> tuple[Plan, list[Correction]]:
    """What a queue would do, and the corrections with it."""
    edits, left_open = _edits(content, queue_csv, task)
    raw, target = read_rows(task), _corrections_file(task)
    names = RowNames(raw, task.spec.data)
    known = with_current_names(read_corrections(task), names)
    edits = _with_current_names(edits, names, queue_csv)
    _require_current(edits, corrected(raw, known, task), queue_csv)
    merged = _merged(edits, known, raw, by)
    sides = sides_of(Store(places.store, places.home / "cache" / "store"), task.spec.task)
    touched = _touched_test_rows(task, raw, (known, merged), edits, sides)
    changes = tuple((one.row_id, one.label, one.new) for one in edits if one.changes)
    confirmed = tuple(one.row_id for one in edits if not one.changes)
    return Plan(changes, confirmed, left_open, tuple(touched), target), merged


def _corrections_file(task: Task) -> Path:
    target = label_file(task, "corrections")
    if target is None:
        raise DataError(
            f"{task.path}: expected data.labels.corrections, a CSV that corrected labels are kept in, found none; name "
            "one (it need not be there yet) and run the command again"
        )
    return target


def _record(task: Task, places: Settings, done: Relabelled, content: bytes, by: str) -> None:
    """Put the review into the decision log."""
    from playbook.decide.log import open_decision_log

    title = f"{counted(done.changed, 'label')} corrected and {done.confirmed} confirmed by {by}"
    body = {"left_open": done.left_open, "touches_test": done.touches_test, "signed_by": done.signed_by}
    inputs = {"queue": hashlib.sha256(content).hexdigest()}
    open_decision_log(places, task.spec.task).append("relabel", title, by=by, inputs=inputs, body=body)


def _content(queue_csv: Path) -> bytes:
    """Read once: what is verified is what is applied."""
    try:
        return queue_csv.read_bytes()
    except OSError as error:
        raise DataError(
            f"{queue_csv}: expected an edited queue, found none that can be read ({error.strerror}); check the path"
        ) from None


def _edits(content: bytes, queue_csv: Path, task: Task) -> tuple[list[_Edit], int]:
    """Rows with a new label, and how many have none.

    Raises:
        DataError: the file is not a queue, names an unknown class or a row twice, or no label was filled in.
    """
    known = {normal_form(name): name for name in task.spec.labels}
    found: dict[str, _Edit] = {}
    faults, left_open = [], 0
    for line in read_lines(queue_csv, NEEDED, form_beside(task), content):
        row, label, new = (normal_form(unguarded(cell)) for cell in line.cells)
        if not new:
            left_open += 1
            continue
        try:
            new = known_class(queue_csv, line.number, new, known)
        except DataError as error:
            faults.append(str(error))
        if row in found:
            faults.append(f"{queue_csv}: line {line.number}: row {shown(row)} comes twice; keep one of the lines")
        found[row] = _Edit(row, label, new, line.number)
    if faults:
        raise DataError("\n".join(faults))
    if not found:
        raise DataError(
            f"{queue_csv}: expected a class in new_label of some rows, found none; fill it in and run again"
        )
    return list(found.values()), left_open


def _with_current_names(edits: Sequence[_Edit], names: RowNames, queue_csv: Path) -> list[_Edit]:
    """The same edits under the names that their rows have now."""
    faults = [f"line {one.line}: {said}" for one in edits if (said := names.unclear(one.row_id))]
    if faults:
        more = f"; and {len(faults) - NAMED} more" if len(faults) > NAMED else ""
        raise DataError(f"{queue_csv}: {'; '.join(faults[:NAMED])}{more}")
    return [replace(one, row_id=names.one(one.row_id)) for one in edits]


def _require_current(edits: Sequence[_Edit], rows: pd.DataFrame, queue_csv: Path) -> None:
    """Refuse a queue that has other labels than the rows have now."""
    now = _labels(rows)
    faults = [
        f"line {edit.line}: row {shown(edit.row_id)} "
        + ("is not in the source" if edit.row_id not in now else f"is {shown(now[edit.row_id]) or 'without label'} now")
        + f", the queue says {shown(edit.label) or 'no label'}"
        for edit in edits
        if normal_form(now.get(edit.row_id, "\0")) != edit.label
    ]
    if faults:
        more = f"; and {len(faults) - NAMED} more" if len(faults) > NAMED else ""
        raise DataError(
            f"{queue_csv}: expected rows of the source with the labels that they have now, found others: "
            f"{'; '.join(faults[:NAMED])}{more}. Run the task for a new queue and review these rows there"
        )


def _labels(rows: pd.DataFrame) -> dict[str, str]:
    ids = [normal_form(row) for row in rows[ROW_ID]]
    return dict(zip(reversed(ids), reversed(rows[LABEL].tolist()), strict=True))


def _merged(edits: Sequence[_Edit], known: Sequence[Correction], raw: pd.DataFrame, by: str) -> list[Correction]:
    """Corrections with the edits; of a row that was reviewed before, the last review counts. `was` is the source's."""
    source = _labels(raw)
    today = datetime.now(UTC).date().isoformat()
    new = {
        edit.row_id: Correction(edit.row_id, edit.new, by, today, normal_form(source[edit.row_id])) for edit in edits
    }
    return [*(one for one in known if one.row_id not in new), *new.values()]


def _touched_test_rows(
    task: Task, raw: pd.DataFrame, both: tuple[Sequence[Correction], ...], edits: Sequence[_Edit], sides: Sides
) -> list[str]:
    """Ids of test rows that the edits name, or that come, go or change their label because of them.

    `both` are the corrections before and after; `sides` is added to, so that both divisions are the same.
    """
    before, after = (_test_rows(divided(task, raw, corrections, sides)[0]) for corrections in both)
    spoken_of = {edit.row_id for edit in edits} & (before.keys() | after.keys())
    moved = {row for row in before.keys() | after.keys() if before.get(row) != after.get(row)}
    return sorted(spoken_of | moved)


def _test_rows(rows: pd.DataFrame) -> dict[str, str]:
    test = rows[rows[SPLIT] == "test"]
    return dict(zip(test[ROW_ID], test[LABEL], strict=True))


def _verified(task: Task, content: bytes, signature: Path | None, touched: Sequence[str]) -> str:
    """Principal whose signature over the queue holds.

    Raises:
        SignatureRefused: there is none.
    """
    spec = task.spec
    rows = f"{', '.join(map(shown, touched[:NAMED]))}{f' and {len(touched) - NAMED} more' if touched[NAMED:] else ''}"
    what = f"{len(touched)} rows of the test split ({rows})" if len(touched) > 1 else f"row {rows} of the test split"
    if signature is None:
        raise SignatureRefused(
            f"the queue touches {what}: expected a signature of the data owner ({spec.owners.data}) or the sign-off "
            f"owner ({spec.owners.sign_off}), found none; leave new_label of these rows empty, or sign the file with "
            f"`ssh-keygen -Y sign -n {NAMESPACE} -f KEY FILE` and give the signature"
        )
    if spec.sign_off.allowed_signers is None:
        raise SignatureRefused(
            f"the queue touches {what}: expected sign_off.allowed_signers in the task file, the keys of those who may "
            "sign, found none; name the file"
        )
    from playbook.evaluate.ssh_signature import verify

    try:
        proof = signature.read_bytes()
    except OSError as error:
        raise SignatureRefused(f"{signature}: expected a signature file, found {type(error).__name__}") from None
    signers, reasons = Path(task.resolve(spec.sign_off.allowed_signers)), []
    revoked = Path(task.resolve(spec.sign_off.revoked_keys)) if spec.sign_off.revoked_keys else None
    for principal in dict.fromkeys((spec.owners.data, spec.owners.sign_off)):
        try:
            verify(content, proof, signers, principal, NAMESPACE, revoked)
        except SignatureRefused as refused:
            reasons.append(f"as {principal}: {refused}")
        else:
            return principal
    raise SignatureRefused(f"the queue touches {what}: its signature is refused. {'; '.join(reasons)}")
