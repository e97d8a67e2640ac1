"""A blind sample for a second person, and its answers read back (3.1): `playbook annotate`.

The sample is drawn from training and validation rows in proportion to the classes, every class at least once where the
sample has room, and comes in a random order without labels. The test split is left out: what the second person thinks
of its rows would be known before it is opened. Rows that are labelled twice already do not come again, so that the
next sample goes on where the last one ended.

Answers are read from the sheet that was given out, whole or in part, also after a spreadsheet saved it in its own way.
They are merged into the file that `data.labels.second_annotator` names: row id, label, who, when.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd

from playbook.artifacts import Agreement
from playbook.data.agreement import agreement
from playbook.data.annotations import known_class, label_file, read_lines, read_second_annotator
from playbook.data.corrections import Correction, before_review, read_corrections, with_current_names
from playbook.data.row_names import RowNames
from playbook.data.sheets import csv_text, guarded, unguarded, write_whole
from playbook.data.source_form import form_beside
from playbook.data.tables import LABEL, ROW_ID, SPLIT, TEXT
from playbook.data.text import clean_text, counted, shown
from playbook.errors import DataError
from playbook.names import normal_form
from playbook.taskfile import Task

SHEET = ("row_id", "text", "label", "note")
KEPT = ("row_id", "label", "by", "when")
CLASSES = "classes"  # ending of the page beside the sheet
NAMED = 10  # faults that a message names
CUT = 32_000  # characters: a spreadsheet keeps no more of a cell than 32,767


@dataclass(frozen=True)
class Read:
    """What a sheet came to: new answers, answers known before, rows left open, and the agreement of all of them."""

    new: int
    known: int
    left_open: int
    kept_in: Path
    agreement: Agreement | None
    aside: tuple[str, ...] = field(default=())  # rows that preparing has set aside since they were given out


def draw_sample(rows: pd.DataFrame, count: int, done: Sequence[str], seed: int) -> pd.DataFrame:
    """Rows to label, in a random order, without their labels: columns `row_id` and `text`.

    Args:
        rows: all prepared rows with their `split`.
        count: how many; fewer where there are no more.
        done: ids of rows that are labelled twice already.
        seed: of the draw.
    """
    open_rows = rows[rows[SPLIT].isin(("train", "validation")) & ~rows[ROW_ID].isin(set(done))]
    random = np.random.default_rng([seed, len(done)])
    shares = _shares(open_rows[LABEL].value_counts().sort_index(), min(count, len(open_rows)))
    chosen = [
        random.choice(np.flatnonzero(open_rows[LABEL] == label), number, replace=False)
        for label, number in shares.items()
    ]
    places = random.permutation(np.concatenate(chosen)) if chosen else np.zeros(0, dtype=int)
    return open_rows.iloc[places][[ROW_ID, TEXT]].reset_index(drop=True)


def _shares(counts: pd.Series, count: int) -> dict[str, int]:
    """Rows of each class: in proportion, by largest remainders, every class once where there is room for all."""
    least = (1 if count >= len(counts) else 0) * np.ones(len(counts), dtype=int)
    exact = counts.to_numpy() * count / max(int(counts.sum()), 1)
    found = np.maximum(np.floor(exact).astype(int), least)
    while found.sum() != count:
        step = 1 if found.sum() < count else -1
        able = found < counts.to_numpy() if step > 0 else found > least
        found[np.where(able, step * (exact - found), -np.inf).argmax()] += step
    return {str(label): int(number) for label, number in zip(counts.index, found, strict=True) if number}


def write_sheet(task: Task, sample: pd.DataFrame, place: Path, names: RowNames) -> Path:
    """Write the sheet, and beside it a page with the classes and their definitions; returns the page's path.

    The sheet begins with a byte order mark, by which spreadsheets know UTF-8. `names` are those of all rows.

    Raises:
        DataError: a sheet with answers lies there that were not read yet.
    """
    waiting = set(map(names.one, _answered(task, place))) - set(map(names.one, kept_answers(task)))
    if waiting:
        raise DataError(
            f"{place}: expected no answers that were not read yet, found {len(waiting)}; read them first "
            f"(playbook annotate TASK --read {place} --by NAME), or move the file away"
        )
    cells = [(row, text, "", "") for row, text in zip(sample[ROW_ID], sample[TEXT], strict=True)]
    write_whole(place, "\ufeff" + csv_text(SHEET, cells))
    page = place.with_name(f"{place.stem}-{CLASSES}.md")
    write_whole(page, _classes_page(task, len(sample)))
    return page


def _answered(task: Task, place: Path) -> set[str]:
    """Rows of a sheet that carry an answer; none where there is no sheet."""
    if not place.is_file():
        return set()
    lines = read_lines(place, ("row_id", "label"), form_beside(task))
    return {normal_form(unguarded(one.cells[0])) for one in lines if normal_form(one.cells[1])}


def _classes_page(task: Task, rows: int) -> str:
    guideline = label_file(task, "guideline")
    said = [f"# {task.spec.task}: {counted(rows, 'row')} to label", "", task.spec.question, ""]
    said += ["Write one of these names into `label`, exactly so; leave it empty where you cannot decide.", ""]
    said += [f"- `{name}`: {' '.join(text.split())}" for name, text in task.spec.data.classes.items()]
    if guideline is not None and guideline.is_file():
        said += ["", "---", "", guideline.read_text(encoding="utf-8")]
    return "\n".join(said) + "\n"


def read_sheet(task: Task, sheet: Path, rows: pd.DataFrame, aside: Sequence[str], by: str) -> Read:
    """Check a sheet's answers, merge them into the second annotator's file, and say how far the two agree.

    Args:
        task: the task.
        sheet: the sheet as it came back.
        rows: all prepared rows with their `split`.
        aside: ids of rows that preparing sets aside.
        by: who labelled.

    Raises:
        DataError: the task names no file for the answers, the sheet is of other rows, names no class or speaks against
            what is kept, or `by` is known to have given the labels. All faults are named, and nothing is written.
    """
    target = label_file(task, "second_annotator")
    if target is None:
        raise DataError(
            f"{task.path}: expected data.labels.second_annotator, a CSV that the second person's labels are kept in, "
            "found none; name one (it need not be there yet) and run the command again"
        )
    names = RowNames(rows, task.spec.data, aside)
    known = {names.one(row): answer for row, answer in kept_answers(task).items()}
    answers = _answers(task, sheet, rows, aside)
    reviewed = with_current_names(read_corrections(task), names)
    _require_second(task, by, sheet, answers.given, reviewed)
    faults = [
        f"row {shown(row)} is {shown(known[row][0])} by {shown(known[row][1]) or 'somebody'} so far, the sheet says "
        f"{shown(label)}"
        for row, label in answers.given.items()
        if row in known and known[row][0] != label and known[row][1] != normal_form(by)
    ]
    _refuse(sheet, f"expected one answer to each row, found another in {target}; correct one of the two", faults)
    today = datetime.now(UTC).date().isoformat()
    fresh = {row: label for row, label in answers.given.items() if row not in known or known[row][0] != label}
    merged = known | {row: (label, normal_form(by), today) for row, label in fresh.items()}
    if fresh:
        write_whole(target, csv_text(KEPT, [(row, *merged[row]) for row in sorted(merged)]))
    now = dict(zip(rows[ROW_ID], rows[LABEL], strict=True))
    first = before_review(now, reviewed, task.spec.labels)
    found = agreement(first, {row: label for row, (label, *_) in merged.items()}, task.spec.labels)
    return Read(len(fresh), len(answers.given) - len(fresh), answers.left_open, target, found, answers.aside)


@dataclass(frozen=True)
class _Answers:
    given: dict[str, str]
    left_open: int
    aside: tuple[str, ...]


def _answers(task: Task, sheet: Path, rows: pd.DataFrame, aside: Sequence[str]) -> _Answers:
    """Answers of a sheet; its rows must be training or validation rows of this task, with the texts that they have."""
    texts = dict(zip(rows[ROW_ID], rows[TEXT], strict=True))
    test = set(rows.loc[rows[SPLIT] == "test", ROW_ID])
    classes, gone = {normal_form(name): name for name in task.spec.labels}, set(aside)
    names = RowNames(rows[rows[SPLIT] != "test"], task.spec.data)  # no sheet names a test row
    given: dict[str, str] = {}
    faults, left_open, set_aside = [], 0, []
    for line in read_lines(sheet, ("row_id", "text", "label"), form_beside(task)):
        row, text = normal_form(unguarded(line.cells[0])), line.cells[1]
        row = row if row in texts else names.one(row)
        answer = unguarded(line.cells[2])
        if not normal_form(answer):
            left_open += 1
        elif row in given:
            faults.append(f"line {line.number}: row {shown(row)} comes twice")
        elif row in gone and row not in texts:
            set_aside.append(row)
        elif row not in texts:
            faults.append(f"line {line.number}: row {shown(row)} does not belong to this task")
        elif row in test:
            faults.append(f"line {line.number}: row {shown(row)} is in the test split, which stays closed")
        elif not _same_text(text, texts[row]):
            faults.append(f"line {line.number}: row {shown(row)} has another text in this task")
        else:
            try:
                given[row] = known_class(sheet, line.number, answer, classes)
            except DataError as error:
                faults.append(str(error).removeprefix(f"{sheet}: "))
    _refuse(sheet, "expected classes of this task for rows that were given out, found others", faults)
    return _Answers(given, left_open, tuple(set_aside))


def _same_text(cell: str, text: str) -> bool:
    """Whether a spreadsheet's cell can be the text: it may have cut it, and quotes guard formulas."""
    found, wanted = clean_text(unguarded(cell)), clean_text(text)
    return (
        found == wanted
        or clean_text(cell) == clean_text(guarded(text))
        or (len(found) >= CUT and wanted.startswith(found))
    )


def _refuse(sheet: Path, said: str, faults: Sequence[str]) -> None:
    if faults:
        more = f"; and {len(faults) - NAMED} more" if len(faults) > NAMED else ""
        raise DataError(f"{sheet}: {said}: {'; '.join(faults[:NAMED])}{more}. Nothing was kept")


def _require_second(task: Task, by: str, sheet: Path, given: Mapping[str, str], reviewed: Sequence[Correction]) -> None:
    """The second person is another one than whoever gave or corrected the labels, as far as that is known."""
    who = normal_form(by)
    if not who:
        raise DataError("expected the name of who labelled, found nothing; give one with --by NAME")
    if who.casefold() in {normal_form(name).casefold() for name in task.spec.data.labels.labelled_by}:
        raise DataError(
            f"{shown(who)} gave the labels of this task (data.labels.labelled_by): expected another person, for two "
            "who are one always agree; have somebody else label the sheet"
        )
    own = [one.row_id for one in reviewed if one.row_id in given and one.by.casefold() == who.casefold()]
    if own:
        raise DataError(
            f"{sheet}: {shown(who)} corrected or confirmed the label of {', '.join(map(shown, own[:NAMED]))} before: "
            "expected another person's answer there; empty these cells, and run again. Nothing was kept"
        )


def kept_answers(task: Task) -> dict[str, tuple[str, str, str]]:
    """What the second annotator's file has: row id -> label, who, when; nothing where there is no file yet."""
    path = label_file(task, "second_annotator")
    if path is None or not path.is_file() or not path.stat().st_size:
        return {}
    form = form_beside(task)
    labels = read_second_annotator(path, task.spec.labels, form)
    try:
        lines = read_lines(path, ("by", "when"), form)
        ids = [normal_form(unguarded(line.cells[0])) for line in read_lines(path, 1, form)]
        who = {
            row: (normal_form(unguarded(line.cells[0])), line.cells[1]) for row, line in zip(ids, lines, strict=True)
        }
    except DataError:  # a file of before: row id and label alone
        who = {}
    return {row: (label, *who.get(row, ("", ""))) for row, label in labels.items()}
