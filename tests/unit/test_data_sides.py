"""A row never changes side: the ledger, under every edit that a data owner makes."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from data_samples import rows, sample, write_csv, write_task

from playbook.data.audit import RENUMBERED, audit
from playbook.data.founding import founded_on, tables_of
from playbook.data.prepare import main, prepare
from playbook.data.read import read_source
from playbook.data.rules import rules
from playbook.data.sides import Sides, ledger_of, read_sides, write_sides
from playbook.errors import DataError
from playbook.taskfile import Task

COLUMNS = {"text": "text", "label": "label", "id": "id", "time": "when"}


@dataclass
class Dataset:
    """A dataset as its owner has it: rows, and what the task file says of them."""

    rows: list[dict[str, str]]
    data: dict[str, Any] = field(default_factory=lambda: {"columns": dict(COLUMNS), "splits": {"by": "class"}})

    def task(self, folder: Path) -> Task:
        return sample(folder, self.rows, **self.data)


def where(folder: Path) -> dict[str, str]:
    """Side of every row, also of those that were set aside as duplicates."""
    found = {}
    for name in ("train", "validation", "test", "quarantine"):
        table = pd.read_parquet(folder / f"{name}.parquet")
        sides = table["split"] if name == "quarantine" else [name] * len(table)
        found |= {row: side for row, side in zip(table["row_id"], sides, strict=True) if side}
    return found


def edited(one: Dataset) -> None:
    for row in one.rows[::3]:
        row["text"] = f"{row['text']} and something quite new to say {row['id']}"


def relabelled(one: Dataset) -> None:
    for row in one.rows[::4]:
        row["label"] = "delivery" if row["label"] == "billing" else "billing"


def other_seed(one: Dataset) -> None:
    one.data["splits"] = {"seed": 99, "by": "class"}


def other_shares(one: Dataset) -> None:
    one.data["splits"] = {"test": 0.3, "validation": 0.2, "by": "class"}


def other_columns(one: Dataset) -> None:
    names = {"id": "number", "text": "what", "label": "label", "when": "at", "channel": "channel", "customer": "who"}
    one.rows[:] = [{names[name]: row[name] for name in reversed(list(row))} for row in one.rows]
    one.data["columns"] = {"text": "what", "label": "label", "id": "number", "time": "at"}


def other_order(one: Dataset) -> None:
    random.Random(5).shuffle(one.rows)  # noqa: S311


def more_rows(one: Dataset) -> None:
    one.rows[:0] = [{**row, "id": f"N{row['id']}"} for row in rows(150, seed=77)]


def fewer_rows(one: Dataset) -> None:
    del one.rows[::2]


def group_later(one: Dataset) -> None:
    one.data["columns"] = {**COLUMNS, "group": "customer"}


def other_threshold(one: Dataset) -> None:
    one.data["splits"] = {"near_duplicate_similarity": 0.3, "by": "class"}


def by_time(one: Dataset) -> None:
    one.data["splits"] = {"by": "time"}


def everything(one: Dataset) -> None:
    for change in (edited, relabelled, fewer_rows, more_rows, other_order):
        change(one)
    one.data["splits"] = {"seed": 3, "test": 0.25, "by": "class"}


EDITS = (edited, relabelled, other_seed, other_shares, other_columns, other_order, more_rows, fewer_rows, group_later,
         other_threshold, by_time, everything)  # fmt: skip


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.__name__)
def test_an_edit_moves_no_row(tmp_path: Path, edit: Callable[[Dataset], None]) -> None:
    one = Dataset(rows(120))
    prepare(one.task(tmp_path), tmp_path / "out")
    before = where(tmp_path / "out")
    assert set(before.values()) == {"train", "validation", "test"}
    edit(one)
    prepare(one.task(tmp_path), tmp_path / "out")
    after = where(tmp_path / "out")
    common = before.keys() & after.keys()
    assert len(common) >= 60
    assert {row: after[row] for row in common} == {row: before[row] for row in common}


def test_rows_that_come_back_come_back_to_their_side(tmp_path: Path) -> None:
    one = Dataset(rows(180))
    prepare(one.task(tmp_path), tmp_path / "out")
    first = where(tmp_path / "out")
    prepare(Dataset(rows(180)[:90] + more()).task(tmp_path), tmp_path / "out")
    second = where(tmp_path / "out")
    prepare(one.task(tmp_path), tmp_path / "out")
    assert where(tmp_path / "out") == first
    third = Dataset([*rows(180), *more()])
    third.data["splits"] = {"seed": 1, "by": "class"}
    prepare(third.task(tmp_path), tmp_path / "out")
    assert where(tmp_path / "out") == {**second, **first}


def more() -> list[dict[str, str]]:
    return [{**row, "id": f"M{row['id']}"} for row in rows(90, seed=5)]


def test_a_duplicate_that_was_set_aside_keeps_its_side_when_it_comes_back(tmp_path: Path) -> None:
    table = rows(180)
    one = Dataset(table)
    prepare(one.task(tmp_path), tmp_path / "out")
    first = where(tmp_path / "out")
    train = next(row for row in table if first[row["id"]] == "train")
    test = next(row for row in table if first[row["id"]] == "test" and row["label"] == train["label"])
    kept, train["text"] = train["text"], f"{test['text']}!"
    prepare(one.task(tmp_path), tmp_path / "out")
    aside = pd.read_parquet(tmp_path / "out" / "quarantine.parquet")
    assert aside["row_id"].tolist() == [train["id"]]
    train["text"] = kept
    prepare(one.task(tmp_path), tmp_path / "out")
    assert where(tmp_path / "out") == first


def test_rows_without_ids_are_known_by_their_text_also_when_ids_come_later(tmp_path: Path) -> None:
    one = Dataset(rows(180))
    one.data["columns"] = {"text": "text", "label": "label", "keep": ["channel"]}
    prepare(one.task(tmp_path), tmp_path / "out")
    texts = by_text(tmp_path / "out")
    relabelled(one)
    other_order(one)
    one.data["splits"] = {"seed": 12}
    prepare(one.task(tmp_path), tmp_path / "out")
    assert by_text(tmp_path / "out") == texts
    one.data["columns"] = dict(COLUMNS)
    prepare(one.task(tmp_path), tmp_path / "out")
    assert by_text(tmp_path / "out") == texts
    edited(one)
    prepare(one.task(tmp_path), tmp_path / "out")
    assert sorted(by_text(tmp_path / "out").values()) == sorted(texts.values())


def by_text(folder: Path) -> dict[str, str]:
    found = {}
    for split in ("train", "validation", "test"):
        found |= dict.fromkeys(pd.read_parquet(folder / f"{split}.parquet")["text"], split)
    return found


def test_ids_and_groups_that_are_named_at_once_move_no_row_that_is_known_by_its_text(tmp_path: Path) -> None:
    one = Dataset(rows(180))
    one.data["columns"] = {"text": "text", "label": "label"}
    prepare(one.task(tmp_path), tmp_path / "out")
    before = by_text(tmp_path / "out")
    one.data["columns"] = {**COLUMNS, "group": "customer"}
    one.data["splits"] = {"by": "class", "seed": 12}
    prepare(one.task(tmp_path), tmp_path / "out")
    after = by_text(tmp_path / "out")  # groups on two sides are set aside
    assert len(after) > 60 and all(before[text] == side for text, side in after.items())
    (aside,) = set(pd.read_parquet(tmp_path / "out" / "quarantine.parquet")["reason"])
    assert aside == "group on two sides"


@pytest.mark.parametrize("back", [False, True], ids=["to decimals", "from decimals"])
def test_ids_that_a_table_made_decimals_of_are_known(tmp_path: Path, back: bool) -> None:
    one = Dataset(rows(180))
    forms = [f"{at + 1000}" for at in range(180)], [f"{at + 1000}.0" for at in range(180)]
    for row, name in zip(one.rows, forms[back], strict=True):
        row["id"] = name
    prepare(one.task(tmp_path), tmp_path / "out")
    before = {name.removesuffix(".0"): side for name, side in where(tmp_path / "out").items()}
    for row, name in zip(one.rows, forms[not back], strict=True):
        row |= {"id": name, "text": f"{row['text']} and more of it {name}"}
    prepare(one.task(tmp_path), tmp_path / "out")
    assert {name.removesuffix(".0"): side for name, side in where(tmp_path / "out").items()} == before


def test_new_rows_of_a_known_group_go_where_the_group_is(tmp_path: Path) -> None:
    one = Dataset(rows(240))
    one.data["columns"] = {**COLUMNS, "group": "customer"}
    prepare(one.task(tmp_path), tmp_path / "out")
    before = where(tmp_path / "out")
    groups = {row["customer"]: before[row["id"]] for row in one.rows}
    new = [{**row, "id": f"N{row['id']}"} for row in rows(240, seed=8)]
    prepare(Dataset([*new, *one.rows[::2]], one.data).task(tmp_path), tmp_path / "out")
    after = where(tmp_path / "out")
    assert all(after[row["id"]] == groups[row["customer"]] for row in new if row["customer"] in groups)


def test_a_known_row_whose_group_is_elsewhere_now_is_set_aside_and_named(tmp_path: Path) -> None:
    one = Dataset(rows(240))
    one.data["columns"] = {**COLUMNS, "group": "customer"}
    prepare(one.task(tmp_path), tmp_path / "out")
    before = where(tmp_path / "out")
    size = pd.Series([row["customer"] for row in one.rows]).value_counts()
    test = next(row for row in one.rows if before[row["id"]] == "test" and size[row["customer"]] == 1)
    other = next(row["customer"] for row in one.rows if before[row["id"]] == "train" and size[row["customer"]] >= 4)
    test["customer"] = other
    prepare(one.task(tmp_path), tmp_path / "out")
    assert where(tmp_path / "out") == before
    aside = pd.read_parquet(tmp_path / "out" / "quarantine.parquet")
    assert aside[["row_id", "reason"]].to_numpy().tolist() == [[test["id"], "group on two sides"]]
    assert f"group {other} has" in aside["detail"][0] and "rows in train, 1 here" in aside["detail"][0]
    one.data["splits"] = {"across_splits": "refuse", "by": "class"}
    prepare(one.task(tmp_path), tmp_path / "out")
    assert where(tmp_path / "out") == before
    seen = audit(one.task(tmp_path), tmp_path / "out")
    assert test["id"] in set(seen.rows.loc[seen.rows["group_in_other_split"] != "", "row_id"])


def found_by(task: Task, folder: Path, name: str) -> tuple[bool, str]:
    """Whether a rule of one condition holds, and what it says."""
    seen = audit(task, folder)
    rule = next(rule for rule in rules(task) if rule.name == name)
    column = rule.conditions[0].settings["column"]
    frame = seen.rows if rule.conditions[0].frame == "rows" else seen.overall
    return bool(frame[column].isin(["", 0]).all()), rule.found(seen)


def test_a_split_column_that_moves_a_known_row_is_red_and_names_both_sides(tmp_path: Path) -> None:
    table = [{**row, "part": ("train", "train", "val", "test")[at // 2 % 4]} for at, row in enumerate(rows(240))]
    data = {"columns": dict(COLUMNS), "splits": {"column": "part"}}
    task = sample(tmp_path, table, **data)
    prepare(task, tmp_path / "out")
    table[0]["part"], table[6]["part"] = "test", "train"
    prepare(sample(tmp_path, table, **data), tmp_path / "out")
    holds, said = found_by(task, tmp_path / "out", "known rows keep their side")
    assert not holds
    assert (
        "2 rows moved" in said and "R0000 was in train, is in test" in said and "R0006 was in test, is in train" in said
    )
    prepare(sample(tmp_path, table, **data), tmp_path / "out")  # saying it again makes it no better
    assert not found_by(task, tmp_path / "out", "known rows keep their side")[0]
    ledger_of(tmp_path / "out", "sample").write_text("", "utf-8")  # the owner's word
    prepare(sample(tmp_path, table, **data), tmp_path / "out")
    assert found_by(task, tmp_path / "out", "known rows keep their side")[0]


def test_a_file_that_moves_a_known_row_is_red(tmp_path: Path) -> None:
    table = rows(240)
    write_csv(tmp_path / "train.csv", table[:180])
    write_csv(tmp_path / "test.csv", table[180:])
    task = write_task(tmp_path, {"train": "train.csv", "test": "test.csv"}, columns=COLUMNS)
    prepare(task, tmp_path / "out")
    write_csv(tmp_path / "train.csv", [*table[:180], *table[200:]])
    write_csv(tmp_path / "test.csv", table[180:200])
    prepare(task, tmp_path / "out")
    holds, said = found_by(task, tmp_path / "out", "known rows keep their side")
    assert not holds and "40 rows moved" in said and "R0200 was in test, is in " in said


def test_ids_that_are_numbers_of_lines_are_found_out(tmp_path: Path) -> None:
    def numbered(table: list[dict[str, str]]) -> list[dict[str, str]]:
        return [{**row, "id": str(at)} for at, row in enumerate(table)]

    task = Dataset(numbered(rows(240))).task(tmp_path)
    prepare(task, tmp_path / "out")
    assert found_by(task, tmp_path / "out", "ids name the same rows") == (True, "so")
    task = Dataset(numbered(rows(240)[1:])).task(tmp_path)
    prepare(task, tmp_path / "out")
    holds, said = found_by(task, tmp_path / "out", "ids name the same rows")
    assert not holds and re.search(r"the text of \d+ was in \w+ under another id, is in \w+", said)
    assert (audit(task, tmp_path / "out").rows[RENUMBERED] != "").sum() > 30


def test_a_version_from_before_the_ledger_keeps_its_sides(tmp_path: Path) -> None:
    one = Dataset(rows(180))
    prepare(one.task(tmp_path), tmp_path / "out")
    rng = random.Random(2)  # noqa: S311
    every = pd.concat([pd.read_parquet(tmp_path / "out" / f"{s}.parquet") for s in ("train", "validation", "test")])
    sides = [rng.choice(["train", "train", "validation", "test"]) for _ in range(len(every))]
    for split in ("train", "validation", "test"):  # as an earlier rule may have divided them
        every[[side == split for side in sides]].to_parquet(tmp_path / "out" / f"{split}.parquet", index=False)
    ledger_of(tmp_path / "out", "sample").unlink()
    before = where(tmp_path / "out")
    edited(one)
    more_rows(one)
    prepare(one.task(tmp_path), tmp_path / "out")
    after = where(tmp_path / "out")
    assert {row: after[row] for row in before} == before and len(after) == 330


def test_the_ledger_holds_no_id_and_no_text_and_is_small(tmp_path: Path) -> None:
    one = Dataset(rows(180))
    one.data["columns"] = {**COLUMNS, "group": "customer"}
    prepare(one.task(tmp_path), tmp_path / "out")
    text = ledger_of(tmp_path / "out", "sample").read_text("utf-8")
    assert re.fullmatch(r"(?:#[^\n]*\n|sample\n|\[\w+(?: \w+)?\]\n|(?:\w+=[\d.]+ ?)+\n|[0-9a-f]{12}\n)+", text)
    assert len(text) < 180 * 45
    prepare(one.task(tmp_path), tmp_path / "again")
    assert ledger_of(tmp_path / "out", "sample").read_text("utf-8") == text


def test_the_digest_of_sides_belongs_to_the_version_and_to_nothing_else(tmp_path: Path) -> None:
    one = Dataset(rows(180))
    first = prepare(one.task(tmp_path), tmp_path / "out")["splits"]["sides"]
    prepare(Dataset([*rows(180), *more()]).task(tmp_path), tmp_path / "out")
    assert prepare(one.task(tmp_path), tmp_path / "out")["splits"]["sides"] == first  # what else is known is no matter
    fewer_rows(one)
    assert prepare(one.task(tmp_path), tmp_path / "out")["splits"]["sides"] != first


def test_whoever_is_killed_leaves_the_old_ledger_or_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = Dataset(rows(180))
    prepare(one.task(tmp_path), tmp_path / "out")
    ledger, before = ledger_of(tmp_path / "out", "sample"), where(tmp_path / "out")
    old = ledger.read_bytes()
    more_rows(one)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("playbook.data.sides.os.fsync", killed)
    with pytest.raises(KeyboardInterrupt):
        prepare(one.task(tmp_path), tmp_path / "out")
    assert ledger.read_bytes() == old and where(tmp_path / "out") == before
    monkeypatch.undo()
    monkeypatch.setattr("playbook.data.prepare._swap", killed)
    with pytest.raises(KeyboardInterrupt):
        prepare(one.task(tmp_path), tmp_path / "out")
    new = ledger.read_bytes()
    assert new != old and where(tmp_path / "out") == before
    monkeypatch.undo()
    prepare(one.task(tmp_path), tmp_path / "out")
    assert ledger.read_bytes() == new and not list(tmp_path.glob(".*part"))


def test_an_altered_ledger_is_refused(tmp_path: Path) -> None:
    one = Dataset(rows(180))
    prepare(one.task(tmp_path), tmp_path / "out")
    ledger = ledger_of(tmp_path / "out", "sample")
    for text in ("[id nowhere]\n" + "a" * 12, "loose words", "[shares]\ntest=much\n", "\xff"):
        ledger.write_bytes(text.encode("latin-1"))
        with pytest.raises(DataError, match="restore"):
            prepare(one.task(tmp_path), tmp_path / "out")


def test_a_merge_of_two_ledgers_is_read_with_the_more_protected_side(tmp_path: Path) -> None:
    path = tmp_path / "x.sides.txt"
    write_sides(path, Sides(ids={"a" * 12: "train"}, texts={"b" * 12: ("test", "train")}, cuts={"test": "2025-10-01"}))
    path.write_text(path.read_text("utf-8") + "[id test]\n" + "a" * 12 + "\n", "utf-8")
    found = read_sides(path)
    assert found is not None and found.ids == {"a" * 12: "test"} and found.texts == {"b" * 12: ("test", "train")}
    assert found.cuts == {"test": "2025-10-01"} and read_sides(tmp_path / "none") is None


def test_a_ledger_is_founded_on_the_newest_version_first(tmp_path: Path) -> None:
    one = Dataset(rows(180))
    task = one.task(tmp_path)
    prepare(task, tmp_path / "old")
    table = pd.read_parquet(tmp_path / "old" / "train.parquet")
    (tmp_path / "new").mkdir()
    table.to_parquet(tmp_path / "new" / "test.parquet", index=False)
    sides = founded_on([tables_of(tmp_path / "new"), tables_of(tmp_path / "old")], task.spec.data)
    every = pd.concat([table, pd.read_parquet(tmp_path / "old" / "validation.parquet")])
    assert set(sides.known(every[: len(table)], task.spec.data)) == {"test"}
    assert set(sides.known(every[len(table) :], task.spec.data)) == {"validation"}


def test_a_record_of_versions_without_their_sides_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    task = Dataset(rows(180)).task(tmp_path)
    version = "- {number: 1, hash: a, changelog: '', rows: {}, quarantined: 0}\n"
    (tmp_path / "versions.yaml").write_text(version, "utf-8")
    for said in (True, False):  # then there is a ledger
        assert main([str(task.path), "--out", str(tmp_path / "out")]) == 0
        assert ("as if they were seen for the first time" in capsys.readouterr().err) == said


def test_a_ledger_that_was_cut_off_between_lines_moves_no_row(tmp_path: Path) -> None:
    columns = {"text": "text", "label": "label"}
    prepare(sample(tmp_path, rows(120), columns=columns), tmp_path / "out")
    before = {text: side for side in ("train", "validation", "test") for text in texts_of(tmp_path / "out", side)}
    ledger = tmp_path / "sample.sides.txt"
    lines = ledger.read_text(encoding="utf-8").splitlines(keepends=True)
    ledger.write_text("".join(lines[:10]), encoding="utf-8")
    prepare(sample(tmp_path, rows(120), columns=columns, splits={"by": "class", "seed": 99}), tmp_path / "out")
    after = {text: side for side in ("train", "validation", "test") for text in texts_of(tmp_path / "out", side)}
    assert after == before
    assert set(lines) <= set(ledger.read_text(encoding="utf-8").splitlines(keepends=True))


def texts_of(folder: Path, side: str) -> list[str]:
    return pd.read_parquet(folder / f"{side}.parquet", columns=["text"])["text"].tolist()


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("[id test]\nhello world!\n", "line 2 is not a line of a ledger"),
        ("<<<<<<< HEAD\n[id test]\n0084e4e5d324\n=======\n>>>>>>> other\n", "keep the lines of both"),
    ],
)
def test_what_is_no_mark_is_named(tmp_path: Path, written: str, said: str) -> None:
    ledger = tmp_path / "sample.sides.txt"
    ledger.write_text(written, encoding="utf-8")
    with pytest.raises(DataError, match=said):
        read_sides(ledger)


def test_a_ledger_that_an_editor_gave_a_mark_of_its_encoding_is_read(tmp_path: Path) -> None:
    prepare(sample(tmp_path, rows(60)), tmp_path / "out")
    ledger = tmp_path / "sample.sides.txt"
    before = read_sides(ledger)
    ledger.write_text("\ufeff" + ledger.read_text(encoding="utf-8"), encoding="utf-8")
    assert read_sides(ledger) == before


def test_the_ledger_of_another_task_is_refused_although_its_ids_are_alike(tmp_path: Path) -> None:
    one = Dataset(rows(90))
    prepare(one.task(tmp_path), tmp_path / "out")
    ledger = ledger_of(tmp_path / "out", "sample")
    own = ledger.read_text("utf-8")
    assert "[task]\nsample\n" in own
    ledger.write_text(own.replace("[task]\nsample\n", "[task]\nanother\n"), "utf-8")
    with pytest.raises(DataError, match="expected the ledger of sample, found that of another"):
        prepare(one.task(tmp_path), tmp_path / "out")
    ledger.write_text(own.replace("[task]\nsample\n", ""), "utf-8")  # from before the name was noted
    prepare(one.task(tmp_path), tmp_path / "out")
    assert ledger.read_text("utf-8") == own


def test_a_lost_ledger_and_other_shares_at_once_are_a_warning_and_no_red_gate(tmp_path: Path) -> None:
    one = Dataset(rows(240))
    one.data["gate"] = {}
    prepare(one.task(tmp_path), tmp_path / "out")
    ledger_of(tmp_path / "out", "sample").unlink()
    one.data["splits"] = {"by": "class", "test": 0.3}
    task = one.task(tmp_path)
    prepare(task, tmp_path / "out")
    splits = audit(task, tmp_path / "out").splits
    assert (splits["beyond"] == 0).all() and (splits["beyond_now"] > 0).any()


def test_two_preparations_of_one_folder_wait_for_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both read the ledger, and what one of them writes the other one would not know."""
    first, second = Dataset(rows(90)), Dataset(rows(180)[90:])
    tasks = [first.task(tmp_path / "a"), second.task(tmp_path / "b")]
    inside: list[int] = []
    seen: list[int] = []

    def slowly(*arguments: object) -> object:
        inside.append(1)
        seen.append(len(inside))
        time.sleep(0.05)
        inside.pop()
        return read_source(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr("playbook.data.prepare.read_source", slowly)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda task: prepare(task, tmp_path / "out"), tasks))
    assert seen == [1, 1]
    known = read_sides(ledger_of(tmp_path / "out", "sample"))
    assert known is not None and len(known.ids) == 180


def test_a_column_of_ids_that_is_named_no_more_is_said(tmp_path: Path) -> None:
    one = Dataset(rows(90))
    prepare(one.task(tmp_path), tmp_path / "out")
    del one.data["columns"]["id"]
    task = one.task(tmp_path)
    prepare(task, tmp_path / "out")
    assert found_by(task, tmp_path / "out", "rows keep their ids") == (
        False,
        "none is named: an edited text is a new row",
    )
    assert "rows keep their ids" in [rule.name for rule in rules(task) if rule.severity == "warning"]
