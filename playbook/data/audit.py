"""Looking at a prepared folder with fresh eyes: every figure that the gate judges is computed again from its files.

Nothing that `prepare` wrote about its own work is believed, except how many raw rows there were, and which paraphrases
a sentence base found, which takes minutes; files may have been altered since, and splits may be the team's own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from playbook.artifacts import Resemblance
from playbook.data.agreement import rows_to_settle
from playbook.data.definitions import vague_classes
from playbook.data.fractions import fractions
from playbook.data.keys import RepeatedKey, repeated_keys
from playbook.data.labelling import agreement_of, guideline_of
from playbook.data.prepare import PROFILE, QUARANTINE
from playbook.data.resemblance import resemblance
from playbook.data.sides import PROTECTED, Sides, ledger_of, read_sides, text_group
from playbook.data.source_findings import SourceFindings, source_findings
from playbook.data.split import EXACT_ACROSS, NEAR_ACROSS, Compared, copies_elsewhere, how_cut, we_divide
from playbook.data.tables import GROUP, KEPT_PREFIX, LABEL, PREPARED_COLUMNS, REASON, ROW_ID, SPLIT, TEXT, TIME
from playbook.data.text import clean_text
from playbook.data.time_order import TimeOrder, time_order
from playbook.errors import DataError
from playbook.spec import SPLITS, TaskSpec
from playbook.spec.constant_answers import constant_answer
from playbook.statistics.sample_size import missing, short_of_class
from playbook.taskfile import Task

EXACT_COPY_IN = "exact_copy_in"  # more protected split with an exact copy of the row, or ''
NEAR_COPY_IN = "near_copy_in"  # the same for near duplicates
COPY_OF = "copy_of"  # row id of the closest copy, or ''
GROUP_IN_OTHER_SPLIT = "group_in_other_split"  # another split with rows of the row's group, or ''
DEFINED, EDGE_CASES = "defined", "edge_cases"  # whether the guideline has them for a class: yes or no
DESCRIBED = "described"  # whether the task file defines a class: yes or no
KAPPA, KAPPA_LOW, KAPPA_HIGH = "kappa", "kappa_low", "kappa_high"
LABELLED_TWICE, TO_SETTLE = "labelled_twice", "rows_to_settle"
MOVED = "known_in"  # the side that a known row was on before, where it is on another one now, or ''
RENUMBERED = "renumbered"  # rows whose id is known, and whose text is known of another row on another side
TIME_IGNORED, UNTIMED, OUT_OF_TIME = "time_ignored", "rows_without_time", "split_out_of_time"
IDS_DROPPED = "ids_no_longer_named"  # 1 where rows had ids once, and the task file names none now
PARAPHRASES = "paraphrases_on_two_sides"
KEYS = "keys_on_two_sides"  # values of repeated keys inside of texts
SHORT_OF_CLASS = "test_rows_lacking_of_class"
UNLIKE, LACKING, CONSTANT = "test_unlike", "test_rows_lacking", "constant_answer_meets_target"
NO_KAPPA = -2.0  # stands for a kappa that nobody can know, below every floor
FEW_TEXTS, FEW_TEXTS_SHARE = 5, 0.01  # rows whose edited text is that of a row on another side, by chance


@dataclass(frozen=True)
class Audit:
    """What was found in a prepared folder.

    Attributes:
        tables: the three splits as they lie there.
        rows: one row per prepared row, with its split and where it leaks to.
        classes: one row per class with its count in each split, and whether the guideline defines it and names edge
            cases.
        splits: one row per split with rows, fraction and the fraction asked for, and more of `playbook.data.fractions`.
        overall: one row: prepared, quarantined and raw rows, the quarantined fraction, rows unaccounted for, rows that
            a second person labelled too, kappa there with its interval, and the rows that would settle it.
        quarantined: reason -> rows.
        keys: kinds of keys inside of texts whose values are on two sides; none where rows have a group.
        paraphrases: how many were set aside and kept, and the first ones that were; empty where nobody asked.
        resemblance: the test split's inputs against the others; None where a split is empty.
        order: whether a split by time is one.
        source: what is wrong with ids, labels and times of the source; `overall` has a 1 for each.
    """

    tables: dict[str, pd.DataFrame]
    rows: pd.DataFrame
    classes: pd.DataFrame
    splits: pd.DataFrame
    overall: pd.DataFrame
    quarantined: dict[str, int]
    keys: tuple[RepeatedKey, ...] = ()
    paraphrases: dict[str, Any] = field(default_factory=dict)
    resemblance: Resemblance | None = None
    order: TimeOrder = field(default_factory=TimeOrder)
    source: SourceFindings = field(default_factory=SourceFindings)


def audit(task: Task, prepared: Path) -> Audit:
    """Examine a prepared folder.

    Raises:
        DataError: a file, also one of `data.labels`, is missing or not readable, or the columns that everything rests
            on are not there.
    """
    tables = {split: _table(prepared / f"{split}.parquet") for split in SPLITS}
    quarantine = _table(prepared / f"{QUARANTINE}.parquet")
    sides = read_sides(ledger_of(prepared, task.spec.task)) or Sides()
    rows = _with_sides(_leaks(_joined(tables), task), sides, task)
    alike = resemblance(task.spec, {split: rows[rows[SPLIT] == split] for split in SPLITS})
    raw, similar = _believed(prepared / PROFILE)
    overall = _with_agreement(_overall(rows, quarantine, raw), rows, quarantine, task)
    keys = () if task.spec.data.columns.group else tuple(repeated_keys(rows[TEXT].tolist(), rows[SPLIT].tolist()))
    source = source_findings(
        quarantine, rows[ROW_ID].tolist(), task.spec.labels, rows[TIME].tolist(), rows[GROUP].tolist()
    )
    order = time_order(rows, sides, task.spec.data)
    dropped = int(task.spec.data.columns.id is None and bool(sides.ids))
    overall = overall.assign(**source.counts, **{OUT_OF_TIME: [order.faults], IDS_DROPPED: [dropped]})
    return Audit(
        tables=tables,
        rows=rows,
        classes=_with_guideline(_classes(rows, task.spec.labels), task),
        splits=fractions(rows, quarantine, sides, task),
        overall=_with_split(_with_test_split(overall, rows, alike, task), rows, (keys, similar), task),
        quarantined={
            str(reason): int(n) for reason, n in quarantine.get(REASON, pd.Series(dtype=str)).value_counts().items()
        },
        keys=keys,
        paraphrases=similar,
        resemblance=alike,
        order=order,
        source=source,
    )


def required_columns(task: Task) -> tuple[str, ...]:
    """Columns that every prepared table of the task has."""
    return (*PREPARED_COLUMNS, *(KEPT_PREFIX + name for name in task.spec.data.columns.keep))


def _table(path: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(path)
    except FileNotFoundError:
        raise DataError(f"{path}: expected a prepared table, found no such file; prepare the data again") from None
    except (ValueError, OSError) as error:
        raise DataError(f"{path}: not readable as Parquet ({type(error).__name__}); prepare the data again") from None


def _believed(path: Path) -> tuple[int, dict[str, Any]]:
    """How many raw rows there were, and what was found of paraphrases."""
    try:
        profile = json.loads(path.read_text(encoding="utf-8"))
        return int(profile["raw_rows"]), dict(profile.get("splits", {}).get("paraphrases") or {})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: not a readable profile ({type(error).__name__}); prepare the data again") from None


def _joined(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """All rows with their split; a column that is absent, and a value that is null, become empty strings here."""
    parts = []
    for split, table in tables.items():
        columns = {
            name: table[name].astype("str").where(table[name].notna(), "") if name in table else ""
            for name in PREPARED_COLUMNS
        }
        parts.append(pd.DataFrame({**columns, SPLIT: split}, index=range(len(table)), dtype="str"))
    return pd.concat(parts, ignore_index=True)


def _leaks(rows: pd.DataFrame, task: Task) -> pd.DataFrame:
    found = {EXACT_ACROSS: {}, NEAR_ACROSS: {}}  # type: dict[str, dict[int, tuple[str, float, str]]]
    clean = rows.assign(**{TEXT: pd.Series(map(clean_text, rows[TEXT]), index=rows.index, dtype="str")})
    compared = Compared(clean, task.spec.data.splits.near_duplicate_similarity)
    for side in PROTECTED[1:]:
        for reason, hits in copies_elsewhere(clean, side, compared).items():
            found[reason] |= hits
    closest = found[NEAR_ACROSS] | found[EXACT_ACROSS]
    out = rows.copy()
    out[EXACT_COPY_IN] = [found[EXACT_ACROSS][i][2] if i in found[EXACT_ACROSS] else "" for i in rows.index]
    out[NEAR_COPY_IN] = [found[NEAR_ACROSS][i][2] if i in found[NEAR_ACROSS] else "" for i in rows.index]
    out[COPY_OF] = [closest[i][0] if i in closest else "" for i in rows.index]
    out[GROUP_IN_OTHER_SPLIT] = _group_elsewhere(rows)
    return out


def _group_elsewhere(rows: pd.DataFrame) -> list[str]:
    """For each row another split with rows of its group; groups made of the text itself are the copies' business."""
    real = [group != text_group(text) for group, text in zip(rows[GROUP], rows[TEXT], strict=True)]
    sides = rows.loc[real].groupby(GROUP)[SPLIT].agg(set).to_dict()
    return [
        next(iter(sorted(sides[group] - {split})), "") if own else ""
        for group, split, own in zip(rows[GROUP], rows[SPLIT], real, strict=True)
    ]


def _classes(rows: pd.DataFrame, labels: tuple[str, ...]) -> pd.DataFrame:
    counts = {split: rows.loc[rows[SPLIT] == split, LABEL].value_counts() for split in SPLITS}
    columns = {split: [int(counts[split].get(label, 0)) for label in labels] for split in SPLITS}
    return pd.DataFrame({LABEL: list(labels), **columns})


def we_cut(task: Task) -> bool:
    """Whether any side of the division is ours: all of them, or validation out of the team's own training file."""
    data = task.spec.data
    return we_divide(data) or (how_cut(data) == "files" and data.source.validation is None)


def _with_sides(rows: pd.DataFrame, sides: Sides, task: Task) -> pd.DataFrame:
    """Where the ledger knows a row, or the text of a row with an id, on another side than the one it lies on."""
    data = task.spec.data
    moved = sides.moved(rows, data)
    elsewhere = [""] * len(rows) if data.columns.id is None else sides.of_texts_elsewhere(rows)
    columns = {MOVED: moved, RENUMBERED: ["" if row else text for row, text in zip(moved, elsewhere, strict=True)]}
    return rows.assign(**{name: pd.Series(found, index=rows.index, dtype="str") for name, found in columns.items()})


def _with_split(
    overall: pd.DataFrame, rows: pd.DataFrame, alike: tuple[tuple[RepeatedKey, ...], dict[str, Any]], task: Task
) -> pd.DataFrame:
    """What may be wrong with the split as a whole: ids that name other rows now, a time that it ignores; and what rows
    on two sides have in common: keys inside of texts, paraphrases."""
    keys, paraphrases = alike
    renumbered = int((rows[RENUMBERED] != "").sum())
    few = max(FEW_TEXTS, round(FEW_TEXTS_SHARE * len(rows)))
    timed, by = int((rows[TIME] != "").sum()), task.spec.data.splits.by
    return overall.assign(
        **{
            RENUMBERED: [renumbered if renumbered > few else 0],
            TIME_IGNORED: [timed if by is None and we_cut(task) else 0],
            UNTIMED: [len(rows) - timed if by == "time" and we_cut(task) else 0],
            PARAPHRASES: [int(paraphrases.get("kept", 0))],
            KEYS: [sum(key.across for key in keys)],
        }
    )


def _overall(rows: pd.DataFrame, quarantine: pd.DataFrame, raw: int) -> pd.DataFrame:
    total = len(rows) + len(quarantine)
    return pd.DataFrame(
        {
            "prepared": [len(rows)],
            "quarantined": [len(quarantine)],
            "raw": [raw],
            "quarantined_fraction": [len(quarantine) / total if total else 0.0],
            "unaccounted": [raw - total],
        }
    )


def _with_guideline(classes: pd.DataFrame, task: Task) -> pd.DataFrame:
    found = guideline_of(task)

    def whether(of: tuple[str, ...]) -> pd.Series:
        return pd.Series(["yes" if label in of else "no" for label in classes[LABEL]], index=classes.index, dtype="str")

    vague = vague_classes(task.spec.data.classes)
    described = tuple(label for label in task.spec.labels if label not in vague)
    columns = {DEFINED: found.defined, EDGE_CASES: found.with_edge_cases, DESCRIBED: described}
    return classes.assign(**{name: whether(of) for name, of in columns.items()})


def _with_agreement(overall: pd.DataFrame, rows: pd.DataFrame, quarantine: pd.DataFrame, task: Task) -> pd.DataFrame:
    found = agreement_of(task, rows, quarantine[ROW_ID].tolist())
    if found is None:
        unknown = {KAPPA: NO_KAPPA, KAPPA_LOW: NO_KAPPA, KAPPA_HIGH: 1.0}
        return overall.assign(**unknown, **{LABELLED_TWICE: 0, TO_SETTLE: 0})
    needed = rows_to_settle(found, task.spec.data.labels.min_kappa) or 0
    ends = {KAPPA: found.kappa.value, KAPPA_LOW: found.kappa.low, KAPPA_HIGH: found.kappa.high}
    return overall.assign(**ends, **{LABELLED_TWICE: found.rows, TO_SETTLE: needed})


def _with_test_split(overall: pd.DataFrame, rows: pd.DataFrame, alike: Resemblance | None, task: Task) -> pd.DataFrame:
    """Whether the test split is like the others, and how many rows it lacks to answer what the task file asks."""
    counts = rows.loc[rows[SPLIT] == "test", LABEL].value_counts()
    by_class = {label: int(counts.get(label, 0)) for label in task.spec.labels}
    short = missing(task.spec, by_class)
    lacking = 0 if short is None else short.needed - short.available
    short_of = sum(one.needed - one.available for one in short_of_class(task.spec, by_class))
    constant = int(constant_on_test(task.spec, {str(label): int(n) for label, n in counts.items()}) is not None)
    unlike = int(alike is not None and not alike.alike)
    found = {UNLIKE: [unlike], LACKING: [lacking], CONSTANT: [constant], SHORT_OF_CLASS: [short_of]}
    return overall.assign(**found)


def constant_on_test(spec: TaskSpec, counts: Mapping[str, int]) -> str | None:
    """A class that meets the target and every limit if it is the answer to all test rows; None without rows.

    Args:
        spec: the task.
        counts: test rows by class.
    """
    total = sum(counts.values())
    shares = {label: count / total for label, count in counts.items()} if total else None
    return constant_answer(spec.target.all_limits, spec.labels, shares)
