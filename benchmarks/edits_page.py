"""docs/splits.md, written from what `benchmarks.edits` found."""

from __future__ import annotations

from typing import Any


def page(found: dict[str, Any]) -> str:
    """The page as Markdown."""
    return f"""# Splits: where a row goes, and why it stays there

Written by `python -m benchmarks.edits --write docs/splits.md`; do not edit.

## A row never changes side

The side of every row is kept in a ledger, from the day on which the row was first seen: `data/NAME/NAME.sides.txt`
beside the prepared folder (any other task: under `<home>/data/NAME/`). **Commit it, as you commit `versions.yaml`.** It
holds hashes of ids, groups and texts and no word of the data, about {_size(found)} bytes a row.

- A row is recognised by its id if `data.columns.id` names one, else by its text. A new row of a known group goes where
  the group is. Without ids, an edited text is a new row: name a column of ids if you have one.
- If you bring the split yourself, in files or in a column, row 70 of train and row 70 of test are two rows, called
  `train/70` and `test/70` (by your own word for the side, in a column) while both are there. Files may come to share
  ids, or cease to: no row moves. Corrections, second labels, sheets and queues may use either form of a name; one that
  could mean two rows is refused, and both are named.
- Edited texts, other labels, another seed, other shares, rows that go and come back, a group column or a threshold that
  is added later: no known row moves. A row that was set aside as a duplicate comes back to its side.
- Changed shares in the task file cause a warning: known rows stay, new ones go where rows are lacking.
- A group on two sides (a customer that was corrected, a group column that came later): the part with fewer rows is set
  aside with a reason. With `data.splits.across_splits: refuse` it stays and the gate is red.
- If a split column or a file of your own puts a known row on another side, the gate is red and names the rows and both
  sides. It is also red if ids belong to other rows than before, as line numbers do once a line is added or removed.
- To divide all rows again on purpose, empty the ledger (leave the empty file there). The next version's changelog says
  how many rows moved; scores before and after are of different test splits.
- A dataset version from before there was a ledger becomes its first content: no row moves on an upgrade.
- A ledger that lost lines, or is older than the prepared folder, is filled up from that folder. One that is lost is
  founded again: on what the store kept since the last run, on the prepared folder and on the versions that DVC still
  has. If the original shares are no longer known, the actual ones count as such.
- The ledger of another task is refused: ids of two tasks can be alike. If you rename a task, rename its ledger, and
  write the new name into it.
- If a task file no longer names the column of ids although rows had ids, the gate warns.
- If two branches of version control put a row on different sides, the more protected side counts: test before
  validation before train.

`dvc.yaml` names the ledger as an output that is kept while the stage runs (`persist: true`), and not cached, since
version control has it. A `dvc.yaml` without that works as well.

## Where new rows go

`data.splits.by: class` (the default): every side gets its share of each class, to the row where rows have no groups,
else as far as groups allow. Groups are placed one after the other, the larger ones first, each on the side that lacks
its rows most (`playbook.data.placing`, after Sechidis and others, 2011). All rows together weigh more than one class:
with many classes of a few groups each, a side gets its share of rows before its share of every class.

`data.splits.by: time`: the newest rows are test, those before them validation. A group that spans times goes by its
newest row, so that nothing in training is younger than the cut; a row without a time is training's. The cuts are fixed
when rows are first divided, and kept in the ledger: rows that come later go by the same dates, so newer ones join test
and older ones training. The test split grows with time (a warning says when it is far from its share); empty the ledger
to move on to later dates. Rows that were divided by class before `by: time` was asked for stay where they are, and a
warning says so, as where all rows are of one or two dates and no cut can be made. Rows that production added
(`data.accumulated`) are placed by class in either case: a round of retraining has to learn from them. Where rows have a
time and the task file says nothing, the gate warns.

The gate compares fractions with what number and size of groups allow: what placing such groups could reach (in the
worst of several orders, where there are few), and 3.3 standard deviations of a draw group by group, but never more than
half of the fraction asked for (or 5 %, if that is more). `data.gate.split_tolerance` sets it by hand.

## Rows moved under twelve kinds of edits

Prepared, edited, prepared again. "By hash" is the rule without memory, by which a side follows from the hash of group
or text, the seed and the shares. In brackets: moves from or to test.

{_table(found)}
"""


def _size(found: dict[str, Any]) -> str:
    return f"{max(one['ledger']['bytes'] / one['ledger']['rows'] for one in found.values()):.0f}"


def _table(found: dict[str, Any]) -> str:
    head = "| edit |" + "".join(f" {name}: known rows | moved | by hash |" for name in found)
    lines = [head, "| --- |" + " ---: |" * (3 * len(found))]
    for edit in next(iter(found.values()))["edits"]:
        cells = []
        for one in found.values():
            seen = one["edits"][edit]
            cells += [f"{seen['known']:,}", f"**{seen['moved']}**", f"{seen['peer']:,} ({seen['peer_with_test']:,})"]
        lines.append(f"| {edit} | " + " | ".join(cells) + " |")
    return "\n".join(lines)
