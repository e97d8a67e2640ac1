"""What the gate asks of the split: known rows stay, nothing leaks, fractions come out, a time is not ignored (3.3)."""

from __future__ import annotations

from playbook.data import audit as a
from playbook.data.audit import Audit
from playbook.data.audit_words import NAMED, leaking, listed
from playbook.data.page import alike_in_words
from playbook.data.rule import Condition, Rule
from playbook.data.split import how_cut
from playbook.data.tables import ROW_ID, SPLIT
from playbook.data.text import counted, shown
from playbook.taskfile import Task

_BETWEEN = "ExpectColumnValuesToBeBetween"
_IN_SET = "ExpectColumnValuesToBeInSet"
_APART = "set data.splits.across_splits to quarantine, or take one of the two rows out of its split"
_ON_PURPOSE = "to divide all rows again on purpose, empty the ledger (NAME.sides.txt beside the prepared folder)"


def split_rules(task: Task) -> tuple[Rule, ...]:
    """Every rule of the split, in the order in which they are read."""
    return (*_known(task), *_leaks(task), *_paraphrases(task), *_fractions(task), *_time(task), *_keys(task))


def _none(column: str) -> tuple[Condition, ...]:
    return (Condition("overall", _BETWEEN, {"column": column, "min_value": 0, "max_value": 0}),)


def _known(task: Task) -> tuple[Rule, ...]:
    dropped = Rule(
        "rows keep their ids",
        "warning",
        "a column of ids, where rows had ids when they were divided",
        lambda seen: "none is named: an edited text is a new row" if int(seen.overall[a.IDS_DROPPED].iloc[0]) else "so",
        "name the column in data.columns.id again, so that a row is known whatever becomes of its text",
        _none(a.IDS_DROPPED),
    )
    return (
        *((dropped,) if task.spec.data.columns.id is None else ()),
        Rule(
            "known rows keep their side",
            "error",
            "every row on the side where it was first seen",
            _moved,
            f"put the rows back where they were (the split column, or the file that they came in); {_ON_PURPOSE}",
            (Condition("rows", _IN_SET, {"column": a.MOVED, "value_set": [""]}),),
        ),
        Rule(
            "ids name the same rows",
            "error",
            "texts under the ids that they had",
            _renumbered,
            "ids that are numbers of lines name other rows once a line comes or goes: give every row an id of its own, "
            f"or take data.columns.id out, so that texts name their rows; {_ON_PURPOSE}",
            _none(a.RENUMBERED),
        ),
    )


def _moved(seen: Audit) -> str:
    rows = seen.rows[seen.rows[a.MOVED] != ""]
    if rows.empty:
        return "none moved"
    named = [
        f"{shown(row[ROW_ID])} was in {row[a.MOVED]}, is in {row[SPLIT]}" for row in rows.head(NAMED).to_dict("records")
    ]
    return f"{counted(len(rows), 'row')} moved: {listed(named, len(rows))}"


def _renumbered(seen: Audit) -> str:
    rows = seen.rows[seen.rows[a.RENUMBERED] != ""]
    if not int(seen.overall[a.RENUMBERED].iloc[0]):
        return "so"
    named = [
        f"the text of {shown(row[ROW_ID])} was in {row[a.RENUMBERED]} under another id, is in {row[SPLIT]}"
        for row in rows.head(NAMED).to_dict("records")
    ]
    return f"{counted(len(rows), 'row')} with the text of another one: {listed(named, len(rows))}"


def _leaks(task: Task) -> tuple[Rule, ...]:
    demands = (
        ("no exact copies across splits", a.EXACT_COPY_IN, "no text in two splits", _APART),
        (
            "no near copies across splits",
            a.NEAR_COPY_IN,
            f"no two texts of one class in two splits with a similarity of {alike_in_words(task.spec.data.splits)}",
            _APART,
        ),
        (
            "groups stay together",
            a.GROUP_IN_OTHER_SPLIT,
            "all rows of a group in one split",
            "divide by group (leave out the split column), or move the rows to one side",
        ),
    )
    return tuple(
        Rule(
            name,
            "error",
            expected,
            lambda seen, column=column: leaking(seen.rows, column),  # type: ignore[misc]
            remedy,
            (Condition("rows", _IN_SET, {"column": column, "value_set": [""]}),),
        )
        for name, column, expected, remedy in demands
    )


def _paraphrases(task: Task) -> tuple[Rule, ...]:
    asked = task.spec.data.splits.paraphrases
    if asked is None:
        return ()

    def found(seen: Audit) -> str:
        named = [
            f"{shown(one['row'])} in {one['split']} says what {shown(one['like'])} says in {one['in']}"
            for one in seen.paraphrases.get("named", [])
        ]
        kept, aside = int(seen.paraphrases.get("kept", 0)), int(seen.paraphrases.get("set_aside", 0))
        return f"{counted(kept, 'row')}: {listed(named, kept)}" if kept else f"none; {counted(aside, 'row')} set aside"

    return (
        Rule(
            "no paraphrases across splits",
            "error",
            f"no two texts of one class in two splits with a cosine similarity of {asked.similarity:g} or more",
            found,
            _APART,
            _none(a.PARAPHRASES),
        ),
    )


def _fractions(task: Task) -> tuple[Rule, ...]:
    if not a.we_cut(task):
        return ()

    def far(seen: Audit) -> str:
        rows = seen.splits.to_dict("records")
        return ", ".join(
            f"{r[SPLIT]} {r['fraction']:.1%} (asked {r['asked']:.1%}, {r['tolerance']:.1%} may be missing or over)"
            for r in rows
        )

    return (
        Rule(
            "split fractions",
            "warning" if how_cut(task.spec.data) == "time" else "error",
            "fractions as near to what the task file asks for as number and size of groups allow",
            far,
            "large groups weigh on one side, or the prepared files were altered: prepare the data again; "
            f"{_ON_PURPOSE}, or allow a wider data.gate.split_tolerance",
            (Condition("splits", _BETWEEN, {"column": "beyond", "max_value": 0}),),
        ),
        Rule(
            "split fractions asked for now",
            "warning",
            "fractions that the task file asks for now",
            far,
            f"known rows stay, new ones go where rows are lacking; put the fractions back, or, {_ON_PURPOSE}",
            (Condition("splits", _BETWEEN, {"column": "beyond_now", "max_value": 0}),),
        ),
    )


def _time(task: Task) -> tuple[Rule, ...]:
    data = task.spec.data
    if data.columns.time is None or not a.we_cut(task):
        return ()
    if data.splits.by == "time":
        return (
            Rule(
                "every row has a time",
                "warning",
                "a time in every row, by which it is divided",
                lambda seen: f"{counted(int(seen.overall[a.UNTIMED].iloc[0]), 'row')} without one, in train",
                "fill in the times at the source",
                _none(a.UNTIMED),
            ),
            Rule(
                "newest rows are test",
                "warning",
                "test rows that are newer than all others, and validation rows before them",
                lambda seen: seen.order.text,
                "known rows stay where they are. Give times of day where all rows are of one date, or set "
                f"data.splits.by to class; {_ON_PURPOSE}",
                _none(a.OUT_OF_TIME),
            ),
        )
    return (
        Rule(
            "time is not ignored",
            "warning",
            "a split by time where rows have one, or the word that it does not matter",
            lambda seen: (
                f"{counted(int(seen.overall[a.TIME_IGNORED].iloc[0]), 'row')} with a {shown(str(data.columns.time))}, "
                "divided without it"
                if int(seen.overall[a.TIME_IGNORED].iloc[0])
                else "so"
            ),
            "a model is used on rows that come later: set data.splits.by to time for new data, so that the newest rows "
            "are test, or to class where age does not matter",
            _none(a.TIME_IGNORED),
        ),
    )


def _keys(task: Task) -> tuple[Rule, ...]:
    if task.spec.data.columns.group is not None:
        return ()

    def found(seen: Audit) -> str:
        named = [
            f"{key.across} of {key.values} repeated values such as {shown(key.example)} ({shown(key.kind)}) are in "
            f"texts of two splits, in {key.rows} rows"
            for key in seen.keys[:NAMED]
        ]
        return listed(named, len(seen.keys)) or "none"

    return (
        Rule(
            "no keys in texts on two sides",
            "warning",
            "no number of a customer, order or account in texts of two splits",
            found,
            "rows of one customer belong on one side: put the key into a column of its own and name it in "
            "data.columns.group",
            _none(a.KEYS),
        ),
    )
