"""Times as files write them: one form for a column, decided by the column, and never guessed row by row."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner
from data_samples import rows, sample, write_csv

from playbook.cli import main
from playbook.data.clean import clean_rows
from playbook.data.prepare import prepare
from playbook.data.read import read_rows
from playbook.data.times import moments, read_times, unreadable
from playbook.errors import DataError, TaskFileError

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DAY = "2024-12-31"
EVENING = "2024-12-31T22:05:00"


@pytest.mark.parametrize(
    ("cells", "iso"),
    [
        (["2024-12-31", "2024/12/31", "2024.12.31", "20241231", "2025-W01-2"], [DAY] * 5),
        (["12/31/2024", "1/2/2025"], [DAY, "2025-01-02"]),
        (["31.12.2024", "1.2.2025"], [DAY, "2025-02-01"]),
        (["31/12/2024", "01/02/2025"], [DAY, "2025-02-01"]),
        (["31-12-2024", ""], [DAY, ""]),
        (["02/02/2025"], ["2025-02-02"]),  # the same either way
        (["12/31/2024 10:05 PM", "12/31/2024, 10:05:00\u202fpm"], [EVENING] * 2),
        (["2024-12-31 22:05", "2024-12-31T22:05:00", "2024-12-31 10:05 p.m."], [EVENING] * 3),
        (["12/31/2024 12:00 AM", "12/31/2024 12:30 PM"], ["2024-12-31T00:00:00", "2024-12-31T12:30:00"]),
        (["2024-12-31T22:05:00Z", "2024-12-31 23:05:00 +01:00", "2024-12-31T20:05:00-0200"], [f"{EVENING}+00:00"] * 3),
        (["2024-12-31T23:05:00+01:00[Europe/Berlin]", "2024-12-31 22:05 UTC"], [f"{EVENING}+00:00"] * 2),
        (["31 Dec 2024", "Dec 31, 2024", "December 31st, 2024", "31-Dec-2024", "Tue, 31 Dec 2024"], [DAY] * 5),
        (["Tue, 31 Dec 2024 22:05:00 GMT", "Tue Dec 31 22:05:00 +0000 2024"], [f"{EVENING}+00:00"] * 2),
        (["1735682700", "1735682700.0"], [f"{EVENING}+00:00"] * 2),
        (["1735682700000"], [f"{EVENING}+00:00"]),
        (["1735682700000000000"], [f"{EVENING}+00:00"]),
        (["202412312205", "2024123122", "20241231220500"], [EVENING, "2024-12-31T22:00:00", EVENING]),
        (["1735682700", "2024123122"], [f"{EVENING}+00:00", "2034-02-21T08:25:22+00:00"]),  # most are not dates
        (["9999-12-31T23:59:59Z", "9999-12-31"], ["9999-12-31T23:59:59+00:00", "9999-12-31"]),
    ],
)
def test_forms_that_are_understood(cells: list[str], iso: list[str]) -> None:
    found = read_times(cells)
    assert (found.iso, found.unread, found.fault) == (iso, (), "")


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        (["01/02/2025", "03/04/2025"], "no value says which is the day and which the month"),
        (["01.02.2025"], "data.columns.time_format, for example '%d.%m.%Y' or '%m.%d.%Y'"),
        (["31/12/2024", "12/31/2024"], "'31/12/2024' can only be day and month, '12/31/2024' only month and day"),
        (["yesterday", "10:00 PM", "45717", "1.73705E+12", "2024", "01.02.25"], "none of them has a form"),
    ],
)
def test_a_column_that_nobody_can_read_is_not_guessed(cells: list[str], said: str) -> None:
    found = read_times(cells)
    assert found.iso == [""] * len(cells) and found.unread == tuple(range(len(cells))) and said in found.fault


@pytest.mark.parametrize(
    ("cells", "unread"),
    [
        (["31.12.2024", "30.12.2024", "12/31/2024"], (2,)),
        (["31.12.2024", "30.12.2024", "2024-12-29"], (2,)),
        (["1735682700", "1735682701", "1735682700000"], (2,)),
        (["31.12.2024", "13.13.2024", "30.02.2024"], (1, 2)),
        (["2024-12-31", "2024-13-45", "2024-12-31T25:00:00"], (1, 2)),
    ],
)
def test_a_value_of_another_form_is_set_apart(cells: list[str], unread: tuple[int, ...]) -> None:
    assert read_times(cells).unread == unread


@pytest.mark.parametrize(
    ("time_format", "cell", "iso"),
    [
        ("%d/%m/%Y", "01/02/2025", "2025-02-01"),
        ("%m/%d/%Y", "01/02/2025", "2025-01-02"),
        ("%d.%m.%y %H:%M", "01.02.25 22:05", "2025-02-01T22:05:00"),
        ("%m/%d/%y %I:%M %p %z", "01/31/24 10:00 PM +0200", "2024-01-31T20:00:00+00:00"),
        ("%d/%b/%Y:%H:%M:%S %z", "01/Feb/2025:23:05:00 +0100", "2025-02-01T22:05:00+00:00"),
        ("epoch_s", "12345678", "1970-05-23T21:21:18+00:00"),
        ("epoch_ms", "12345678000", "1970-05-23T21:21:18+00:00"),
    ],
)
def test_the_task_file_can_name_the_form(time_format: str, cell: str, iso: str) -> None:
    found = read_times([cell, "", "no time"], time_format)
    assert found.iso == [iso, "", ""] and found.unread == (2,)


def test_every_order_and_clock_comes_back_to_the_same_moment() -> None:
    draw = random.Random(3)  # noqa: S311
    times = [datetime(1990, 1, 1) + timedelta(seconds=draw.randrange(10**9)) for _ in range(300)]
    formats = (
        "%Y-%m-%dT%H:%M:%S",
        "%d.%m.%Y %H:%M:%S",
        "%m/%d/%Y %I:%M:%S %p",
        "%d %B %Y %H:%M:%S",
        "%a, %d %b %Y %H:%M:%S",
    )
    for form in formats:
        assert list(read_times([one.strftime(form) for one in times]).values) == times, form
    seconds = [str(int(one.replace(tzinfo=UTC).timestamp())) for one in times]
    assert [one.replace(tzinfo=None) for one in read_times(seconds).values] == times  # type: ignore[union-attr,call-arg]


def test_of_a_file_every_value_has_to_be_a_time() -> None:
    assert moments(["12/31/2024", "", "1735682700"][:2], NOW, "f") == [datetime(2024, 12, 31, tzinfo=UTC), NOW]
    assert moments(["31.12.24"], NOW, "f", "%d.%m.%y") == [datetime(2024, 12, 31, tzinfo=UTC)]
    assert moments([DAY], NOW, "f", "%d.%m.%y") == [datetime(2024, 12, 31, tzinfo=UTC)]  # another file, another form
    with pytest.raises(DataError, match=r"found 'a' in row 1, 'b' in row 2, 'c' in row 3 and 1 more.*2025-10-03"):
        moments(["a", "b", "c", "d"], NOW, "f")
    with pytest.raises(DataError, match="which is the day"):
        moments(["01/02/2025"], NOW, "f")


def whens(folder: Path, values: list[str]) -> list[dict[str, str]]:
    return [{**row, "when": value} for row, value in zip(rows(len(values)), values, strict=True)]


def test_a_source_is_read_by_the_form_of_its_column(tmp_path: Path) -> None:
    days = [f"{1 + at % 28:02d}.03.2025" for at in range(40)]
    prepare(sample(tmp_path, whens(tmp_path, days)), tmp_path / "out")
    assert set(pd.read_parquet(tmp_path / "out" / "train.parquet")["time"].str[:8]) == {"2025-03-"}
    seconds = [str(1737050400 + 86400 * at) for at in range(40)]
    task = sample(tmp_path / "two", whens(tmp_path, seconds))
    fit, _ = clean_rows(read_rows(task), task.spec.data)
    assert fit["time"].tolist()[:2] == ["2025-01-16T18:00:00+00:00", "2025-01-17T18:00:00+00:00"]


def test_a_source_whose_times_cannot_be_read_says_so_and_nothing_of_classes(tmp_path: Path) -> None:
    task = sample(tmp_path, whens(tmp_path, [f"{1 + at % 12:02d}/{1 + at % 11:02d}/2025" for at in range(40)]))
    with pytest.raises(DataError, match=r"column 'when'.*'01/01/2025' in row 1, .* and .* more.*time_format") as caught:
        prepare(task, tmp_path / "out")
    assert "class" not in str(caught.value) and "3 Oct 2025" in str(caught.value)
    columns = {"text": "text", "label": "label", "id": "id", "time": "when", "time_format": "%d/%m/%Y"}
    table = whens(tmp_path, [f"{1 + at % 12:02d}/01/2025" for at in range(40)])
    prepare(sample(tmp_path, table, columns=columns), tmp_path / "out")
    assert set(pd.read_parquet(tmp_path / "out" / "train.parquet")["time"].str[:8]) == {"2025-01-"}


def test_one_row_of_another_form_costs_one_row(tmp_path: Path) -> None:
    days = ["31.12.2024", *["30.12.2024"] * 38, "12/31/2024"]
    task = sample(tmp_path, whens(tmp_path, days))
    fit, unfit = clean_rows(read_rows(task), task.spec.data)
    assert len(fit) == 39 and unfit["reason"].tolist() == ["unparsable time"]
    assert unfit["detail"].tolist() == ["12/31/2024 is not among day, month and year"]


def test_rows_that_production_added_keep_their_own_form(tmp_path: Path) -> None:
    columns = {"text": "text", "label": "label", "id": "id", "time": "when", "time_format": "%d/%m/%Y"}
    table = whens(tmp_path, ["01/02/2025"] * 20)
    task = sample(tmp_path, table, columns=columns, accumulated={"rows": "more.csv"})
    more = [{**row, "id": f"P{row['id']}", "when": "2025-05-06"} for row in rows(6, 8)]
    write_csv(tmp_path / "more.csv", more)
    fit, unfit = clean_rows(read_rows(task), task.spec.data)
    assert unfit.empty and fit["time"].tolist() == ["2025-02-01"] * 20 + ["2025-05-06"] * 6


def test_a_date_that_is_none_among_dates_without_marks_makes_them_no_milliseconds() -> None:
    found = read_times(["202412312205", "202501021530", "202502301200", ""])
    assert found.iso == [EVENING, "2025-01-02T15:30:00", "", ""]
    assert found.unread == (2,)


@pytest.mark.parametrize(
    "beyond", ["9999-12-31T23:59:59-05:00", "0001-01-01T00:00:00+05:00", "9999/12/31 23:00 -02:00"]
)
def test_a_moment_beyond_the_calendar_costs_its_row(beyond: str) -> None:
    assert read_times([DAY, beyond]).unread == (1,)


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("45292", "days since 1900, as spreadsheets count them"),
        ("1.7041032E+12", "has lost digits"),
        ("10:00 PM", "a time of day without a date"),
        ("31-Dec-24", "a year of two digits: name the form in data.columns.time_format"),
        ("0000-00-00 00:00:00", "stands for an absent time in some databases"),
        ("NULL", "is a word here: leave absent times blank"),
    ],
)
def test_what_a_column_may_be_is_said(cell: str, said: str) -> None:
    assert f"{cell!r} " in (told := unreadable([cell], read_times([cell]))) and said in told
    assert said not in unreadable(["soon"], read_times(["soon"]))


def test_seconds_that_the_task_file_calls_milliseconds_are_not_moments_of_1970() -> None:
    assert read_times(["1704103200", "1704103200000"], "epoch_ms").unread == (0,)
    assert read_times(["1704103200", "1704103200000"], "epoch_s").unread == (1,)
    assert read_times(["0", "5"], "epoch_s").unread == ()


def test_names_of_zones_are_read_where_the_task_file_names_the_form() -> None:
    found = read_times(["3/7/2024 10:00 UTC", "3/1/2024 10:00 EST"], "%d/%m/%Y %H:%M %Z")
    assert found.iso == ["2024-07-03T10:00:00+00:00", "2024-01-03T15:00:00+00:00"]


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"time": "when", "time_format": "%d.%m."}, "a strptime format of a whole date"),
        ({"time": "when", "time_format": "DD.MM.YYYY"}, "epoch_s, epoch_ms"),
        ({"time_format": "%d.%m.%Y"}, "name that one, too"),
    ],
)
def test_a_form_that_is_none_is_a_fault(tmp_path: Path, columns: dict[str, str], said: str) -> None:
    with pytest.raises(TaskFileError, match=said):
        sample(tmp_path, columns={"text": "text", "label": "label", **columns})


@pytest.mark.parametrize("form", ["%m/%d/%y %I:%M %p %z", "%Y-%m-%d %H:%M %z", "%d.%m.%Y %H:%M %Z"])
def test_a_form_may_have_a_zone(tmp_path: Path, form: str) -> None:
    task = sample(tmp_path, columns={"text": "text", "label": "label", "time": "when", "time_format": form})
    assert task.spec.data.columns.time_format == form


def test_the_command_line_reads_the_same_forms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLAYBOOK_HOME", str(tmp_path / "home"))
    task = sample(tmp_path)
    write_csv(tmp_path / "out.csv", [{"id": "R0001", "label": "billing"}])
    command = ["outcomes", str(task.path), str(tmp_path / "out.csv"), "--recorded-at"]
    assert CliRunner().invoke(main, [*command, "12/31/2024 10:05 PM"]).exit_code == 0
    refused = CliRunner().invoke(main, [*command, "01/02/2025"])
    assert refused.exit_code == 2 and "which is the day" in refused.stderr
