"""Ids that name rows, and those that do not: repeated ones, a wrong column, digits that were lost on the way."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from data_samples import rows, sample, write_csv, write_task

from playbook.data.audit import audit
from playbook.data.clean import clean_rows
from playbook.data.identity import require_ids, spoilt_ids, texts_by_id
from playbook.data.prepare import prepare
from playbook.data.read import read_rows
from playbook.data.rules import rules
from playbook.errors import DataError


def test_an_id_on_copies_and_an_id_on_two_texts_are_told_apart(tmp_path: Path) -> None:
    table = rows(240)
    table[7] |= {"id": "R0000", "text": table[0]["text"].upper(), "label": table[0]["label"]}  # a copy
    table[8] |= {"id": "R0001"}
    table[9] |= {"id": "R0001"}
    table[10] |= {"id": "R0002", "text": table[2]["text"], "label": table[3]["label"]}  # one text, two labels
    task = sample(tmp_path, table)
    fit, unfit = clean_rows(read_rows(task), task.spec.data)
    assert len(fit) + len(unfit) == 240
    said = [(row["row_id"], row["reason"]) for row in unfit.to_dict("records")]
    assert sorted(said) == [
        ("R0000", "repeated row id"),
        ("R0001", "row id of another text"),
        ("R0001", "row id of another text"),
        ("R0002", "same text, different labels"),
        ("R0002", "same text, different labels"),
    ]
    assert "R0001" in fit["row_id"].tolist() and fit["row_id"].is_unique
    prepare(task, tmp_path / "out")
    seen = audit(task, tmp_path / "out")
    (rule,) = [one for one in rules(task) if one.name == "ids of the source"]
    assert rule.found(seen) == (
        "1 comes again with the same text (R0000); 1 comes again with another text (R0001): the first row of each is "
        "kept, 3 are set aside"
    )
    assert seen.overall["repeated_ids"][0] == 1


def test_a_column_of_other_things_than_rows_is_no_id(tmp_path: Path) -> None:
    columns = {"text": "text", "label": "label", "id": "customer"}
    with pytest.raises(DataError, match=r"column .customer.: expected an id of its own.*C\d+ on \d+.*group"):
        prepare(sample(tmp_path, rows(240), columns=columns), tmp_path / "out")


def test_a_file_that_was_written_twice_is_no_wrong_column(tmp_path: Path) -> None:
    task = sample(tmp_path, [*rows(60), *rows(60)])
    fit, unfit = clean_rows(read_rows(task), task.spec.data)
    assert len(fit) == 60 and set(unfit["reason"]) == {"repeated row id"}


def test_own_files_that_count_from_one_each_are_no_conflict(tmp_path: Path) -> None:
    write_csv(tmp_path / "train.csv", [{**row, "id": str(at)} for at, row in enumerate(rows(120))])
    write_csv(tmp_path / "test.csv", [{**row, "id": str(at)} for at, row in enumerate(rows(40, 3))])
    task = write_task(tmp_path, {"train": "train.csv", "test": "test.csv"})
    _, unfit = clean_rows(read_rows(task), task.spec.data)
    assert unfit.empty


@pytest.mark.parametrize(
    ("ids", "said"),
    [
        (["123.0", "124.0", ""], "123.0, 124.0 are whole numbers as decimals: elsewhere the first one is called 123"),
        (["1.2345E+18", "12345"], "1.2345E+18 are powers of ten: their last digits are lost"),
        (["1,23457E+18"], "powers of ten"),
        (["1234567890123450000", "2234567890123450000", "3234567890123450000"], "end in zeros after 15 digits"),
        (["007", "008"], ""),
        (["1234567890123456789", "2234567890123450000", "3234567890123450000"], ""),
        (["1e10", "4e12", "deadbeef"], ""),  # hexadecimal
        (["1.10", "1.20", "v2.0"], ""),
        (["1000000000000000"], ""),
    ],
)
def test_digits_that_were_lost_are_seen(ids: list[str], said: str) -> None:
    assert (said in spoilt_ids(ids)) if said else not spoilt_ids(ids)


def test_long_ids_beside_an_absent_one_lost_their_digits_in_a_column_of_decimals(tmp_path: Path) -> None:
    table = pd.DataFrame(rows(60)).assign(id=[(2**60) + 7919 * number for number in range(60)])
    exact = table["id"].astype("Int64").where(table.index != 3)
    for ids, lost in ((exact, False), (exact.astype("float64"), True)):
        table.assign(id=ids).to_parquet(tmp_path / "rows.parquet")
        task = write_task(tmp_path, {"path": "rows.parquet"})
        assert ("the last digits are lost" in spoilt_ids(read_rows(task)["row_id"].tolist())) is lost
    snowflakes = [str((1_735_682_700_000 + 37 * number) << 22) for number in range(50)]  # each is exact as a float
    assert not spoilt_ids(snowflakes)
    assert not spoilt_ids(["9" * 400, "1" * 18, "3" * 5000])


def test_the_gate_shows_ids_that_a_spreadsheet_spoilt(tmp_path: Path) -> None:
    task = sample(tmp_path, [{**row, "id": f"{at}.0"} for at, row in enumerate(rows(240))])
    prepare(task, tmp_path / "out")
    seen = audit(task, tmp_path / "out")
    (rule,) = [one for one in rules(task) if one.name == "ids as they were given"]
    assert "whole numbers as decimals" in rule.found(seen) and seen.overall["spoilt_ids"][0] == 1


def test_ids_with_leading_zeros_stay_as_they_are(tmp_path: Path) -> None:
    task = sample(tmp_path, [{**row, "id": f"{at:03d}"} for at, row in enumerate(rows(12))])
    assert read_rows(task)["row_id"].tolist()[:2] == ["000", "001"]


def test_texts_differ_as_copies_do_not() -> None:
    assert texts_by_id(["a", "a", "b", "b", ""], ["Hi there", "hi there!", "one", "two", "x"]) == {"b": 2}
    assert require_ids(["a", "a", "b", "c", "d"], ["x1", "x2", "x3", "x4", "x5"], "id") == {"a": 2}
    with pytest.raises(DataError, match="1 of 1 ids on several texts"):
        require_ids(["a", "a"], ["one", "two"], "id")


def test_no_finding_without_a_column_of_ids(tmp_path: Path) -> None:
    task = sample(tmp_path, rows(60), columns={"text": "text", "label": "label"})
    assert not [rule.name for rule in rules(task) if rule.name in ("ids of the source", "ids as they were given")]
    prepare(task, tmp_path / "out")
    assert pd.read_parquet(tmp_path / "out" / "train.parquet")["row_id"].is_unique
