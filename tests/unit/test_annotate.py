"""`playbook annotate`: a blind sample for a second person, and the answers read back."""

from __future__ import annotations

import csv
import json
import threading
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner
from data_samples import rows, sample

from playbook.annotate import draw, read_back, sheet_place
from playbook.data.annotate import SHEET, kept_answers
from playbook.data.corrections import Correction, before_review, write_corrections
from playbook.data.prepare import prepare
from playbook.errors import DataError
from playbook.settings import Settings, settings
from playbook.taskfile import Task

OTHER = {"billing": "delivery", "delivery": "billing"}


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("PLAYBOOK_HOME", str(tmp_path / "home"))
    return settings()


def named(folder: Path, table: list[dict[str, str]] | None = None, **labels: Any) -> Task:
    found = {"second_annotator": "second.csv", "corrections": "corrections.csv", **labels}
    return sample(folder, rows(240) if table is None else table, labels=found)


def truth(folder: Path) -> dict[str, str]:
    with (folder / "rows.csv").open(encoding="utf-8", newline="") as stream:
        return {row["id"]: row["label"] for row in csv.DictReader(stream)}


def filled(
    sheet: Path,
    answers: dict[str, str],
    wrong: int = 0,
    only: int | None = None,
    encoding: str = "utf-8-sig",
    sep: str = ",",
) -> Path:
    """The sheet with labels, some of them another class, as a person or a spreadsheet saves it."""
    with sheet.open(encoding="utf-8-sig", newline="") as stream:
        table = list(csv.DictReader(stream))
    for at, row in enumerate(table[:only]):
        label = answers[row["row_id"].removeprefix("'")]
        row["label"] = OTHER[label] if at < wrong else label
    with sheet.open("w", encoding=encoding, newline="") as stream:
        writer = csv.DictWriter(stream, SHEET, delimiter=sep)
        writer.writeheader()
        writer.writerows(table)
    return sheet


def read_table(sheet: Path) -> list[dict[str, str]]:
    with sheet.open(encoding="utf-8-sig", newline="") as stream:
        return list(csv.DictReader(stream))


def test_the_sheet_is_blind_stratified_and_without_the_test_split(tmp_path: Path, places: Settings) -> None:
    table = rows(240)
    task = named(tmp_path, [row for row in table if row["label"] == "billing" or int(row["id"][1:]) < 80])
    place, page, count = draw(task, 60, places)
    assert place == sheet_place(task, places) and count == 60
    assert place.read_bytes().startswith(b"\xef\xbb\xbf")  # spreadsheets know UTF-8 by it
    sheet, labels = read_table(place), truth(tmp_path)
    assert tuple(sheet[0]) == SHEET and all(row["label"] == row["note"] == "" for row in sheet)
    (tmp_path / "second.csv").write_text("row_id,label\n", "utf-8")
    prepare(task, tmp_path / "out")
    test = set(pd.read_parquet(tmp_path / "out" / "test.parquet")["row_id"])
    assert not test & {row["row_id"] for row in sheet}
    counts = Counter(labels[row["row_id"]] for row in sheet)
    assert counts["billing"] / counts["delivery"] == pytest.approx(3, rel=0.25)
    order = [row["row_id"] for row in sheet]
    assert order != sorted(order)
    runs = sum(labels[one] != labels[two] for one, two in pairwise(order))
    assert runs > 10, "the order says nothing of the classes"
    said = page.read_text("utf-8")
    assert "`billing`: Money" in said and task.spec.question in said and not any(row in said for row in order)


def test_every_class_is_in_the_sample_where_there_is_room(tmp_path: Path, places: Settings) -> None:
    rare = [row for row in rows(240) if row["label"] == "billing" or int(row["id"][1:]) in (1, 3, 5, 7)]
    place, _, count = draw(named(tmp_path, rare), 20, places)
    labels = truth(tmp_path)
    assert count == 20 and {labels[row["row_id"]] for row in read_table(place)} == {"billing", "delivery"}


def test_answers_come_back_and_kappa_is_shown(tmp_path: Path, places: Settings) -> None:
    task = named(tmp_path)
    place, _, _ = draw(task, 60, places)
    done = read_back(task, filled(place, truth(tmp_path), wrong=4), "Eve", places)
    assert (done.new, done.known, done.left_open) == (60, 0, 0) and done.agreement is not None
    assert done.agreement.rows == 60 and done.agreement.kappa.value == pytest.approx(1 - 8 / 60, abs=0.02)
    assert done.agreement.kappa.low < done.agreement.kappa.value < done.agreement.kappa.high
    assert sum(count for *_, count in done.agreement.disagreements) == 4
    assert {who for _, who, _ in kept_answers(task).values()} == {"Eve"}
    again = read_back(task, place, "Eve", places)  # nothing is counted twice
    assert (again.new, again.known) == (0, 60)
    assert prepare(task, tmp_path / "out")["agreement"]["rows"] == 60


def test_kappa_is_of_what_the_two_said_and_not_of_what_a_review_made_of_it(tmp_path: Path, places: Settings) -> None:
    table = [{**row, "split": ("train", "test")[at % 9 == 0]} for at, row in enumerate(rows(240))]
    files = {"second_annotator": "second.csv", "corrections": "corrections.csv"}
    task = sample(tmp_path, table, labels=files, splits={"column": "split"})
    place, _, _ = draw(task, 60, places)
    before = read_back(task, filled(place, truth(tmp_path), wrong=6), "Eve", places).agreement
    labels = truth(tmp_path)
    wrong = [row["row_id"] for row in read_table(place)[:6]]
    reviewed = [Correction(row, OTHER[labels[row]], "Ann", "2025-10-01", labels[row]) for row in wrong]
    write_corrections(tmp_path / "corrections.csv", reviewed)
    figures = prepare(task, tmp_path / "out")
    assert figures["corrections"]["changed"] == 6 and before is not None
    assert figures["agreement"] == before.model_dump(mode="json")
    again = read_back(task, place, "Eve", places).agreement
    assert again is not None and again.kappa == before.kappa


def test_a_row_that_had_no_class_before_its_review_says_nothing_of_agreement() -> None:
    one = Correction("a", "billing", "Ann", "2025-10-01", "")
    assert before_review({"a": "billing", "b": "delivery"}, [one], ["billing", "delivery"]) == {"b": "delivery"}


@pytest.mark.parametrize(("encoding", "sep"), [("utf-8-sig", ";"), ("utf-8", ","), ("utf-16", "\t")])
def test_a_sheet_that_a_spreadsheet_saved_in_its_own_way(
    tmp_path: Path, places: Settings, encoding: str, sep: str
) -> None:
    table = [{**row, "text": f'=SUM(1) für; {row["text"]}, "so"'} for row in rows(240)]
    task = named(tmp_path, table)
    place, _, _ = draw(task, 40, places)
    assert all(row["text"].startswith("'=") for row in read_table(place)), "no cell runs in a spreadsheet"
    done = read_back(task, filled(place, truth(tmp_path), encoding=encoding, sep=sep), "Eve", places)
    assert done.new == 40 and done.agreement is not None and done.agreement.kappa.value == 1


def test_a_sheet_in_an_old_encoding_says_what_to_do(tmp_path: Path, places: Settings) -> None:
    task = named(tmp_path, [{**row, "text": f"für {row['text']}"} for row in rows(240)])
    place, _, _ = draw(task, 10, places)
    with pytest.raises(DataError, match=r"expected UTF-8 text, found byte 0xfc .* save the file as UTF-8"):
        read_back(task, filled(place, truth(tmp_path), encoding="cp1252"), "Eve", places)


def test_part_of_a_sheet_is_read_and_the_next_sample_goes_on(tmp_path: Path, places: Settings) -> None:
    task = named(tmp_path)
    place, _, _ = draw(task, 40, places)
    first = {row["row_id"] for row in read_table(filled(place, truth(tmp_path), only=15))}
    with pytest.raises(DataError, match="found 15; read them first"):  # no answer is written over
        draw(task, 40, places)
    done = read_back(task, place, "Eve", places)
    assert (done.new, done.left_open) == (15, 25)
    kept = kept_answers(task)
    draw(task, 40, places)
    assert not {row["row_id"] for row in read_table(place)} & kept.keys() and len(first) == 40
    done = read_back(task, filled(place, truth(tmp_path)), "Eve", places)
    assert done.new == 40 and len(kept_answers(task)) == 55


def test_two_at_once_lose_no_answer(tmp_path: Path, places: Settings) -> None:
    task = named(tmp_path)
    sheets = []
    for name in ("one.csv", "two.csv"):
        place, _, _ = draw(task, 80, places, tmp_path / name)
        sheets.append(filled(place, truth(tmp_path), only=40) if name == "one.csv" else place)
    table = read_table(sheets[1])
    with sheets[1].open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, SHEET)
        writer.writeheader()
        writer.writerows({**row, "label": truth(tmp_path)[row["row_id"]]} for row in table[40:])
    threads = [threading.Thread(target=read_back, args=(task, sheet, "Eve", places)) for sheet in sheets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(kept_answers(task)) == 80


def test_faults_are_named_and_nothing_is_kept(tmp_path: Path, places: Settings) -> None:
    task = named(tmp_path / "mine")
    other = named(tmp_path / "other", [{**row, "text": f"other {row['text']}"} for row in rows(240, seed=7)])
    place, _, _ = draw(other, 30, places, tmp_path / "theirs.csv")
    with pytest.raises(DataError, match=r"has another text in this task.*Nothing was kept"):
        read_back(task, filled(place, truth(tmp_path / "other")), "Eve", places)
    place, _, _ = draw(task, 30, places, tmp_path / "mine.csv")
    text = filled(place, truth(tmp_path / "mine")).read_text("utf-8-sig")
    lines = text.splitlines()
    spoilt = {
        "misspelt": (lines[1].replace(",billing,", ",biling,").replace(",delivery,", ",delivry,"), "did you mean"),
        "elsewhere": (f"R9999{lines[1][5:]}", "row R9999 does not belong to this task"),
        "twice": (lines[2], "comes twice"),
    }
    for line, said in spoilt.values():
        place.write_text("\n".join([lines[0], line, *lines[2:]]) + "\n", "utf-8")
        with pytest.raises(DataError, match=said):
            read_back(task, place, "Eve", places)
    assert not (tmp_path / "mine" / "second.csv").exists()


def test_rows_of_the_test_split_are_refused(tmp_path: Path, places: Settings) -> None:
    task = named(tmp_path)
    prepare(sample(tmp_path, rows(240)), tmp_path / "out")
    row = pd.read_parquet(tmp_path / "out" / "test.parquet").iloc[0]
    sheet = tmp_path / "sheet.csv"
    sheet.write_text(f"row_id,text,label\n{row['row_id']},{row['text']},billing\n", "utf-8")
    with pytest.raises(DataError, match="in the test split, which stays closed"):
        read_back(task, sheet, "Eve", places)


def test_who_labelled_first_cannot_be_second(tmp_path: Path, places: Settings) -> None:
    task = named(tmp_path, labelled_by=["Dora Lang"])
    place, _, _ = draw(task, 20, places)
    filled(place, truth(tmp_path))
    with pytest.raises(DataError, match=r"gave the labels of this task \(data.labels.labelled_by\)"):
        read_back(task, place, " dora  lang ", places)
    row = read_table(place)[0]["row_id"]
    label = truth(tmp_path)[row]
    write_corrections(tmp_path / "corrections.csv", [Correction(row, label, "Eve", "2026-01-01", label)])
    with pytest.raises(DataError, match=rf"Eve corrected or confirmed the label of {row}"):
        read_back(task, place, "Eve", places)
    assert read_back(task, place, "Finn", places).new == 20


def test_another_persons_answer_is_not_written_over(tmp_path: Path, places: Settings) -> None:
    task = named(tmp_path)
    place, _, _ = draw(task, 20, places)
    read_back(task, filled(place, truth(tmp_path)), "Eve", places)
    filled(place, truth(tmp_path), wrong=1)
    with pytest.raises(DataError, match="by Eve so far, the sheet says"):
        read_back(task, place, "Finn", places)
    changed = read_back(task, place, "Eve", places)  # one's own mind may be changed
    assert (changed.new, changed.known) == (1, 19)


def test_a_file_without_names_is_kept_and_added_to(tmp_path: Path, places: Settings) -> None:
    task = named(tmp_path)
    (tmp_path / "second.csv").write_text("ticket;label\nR0000;billing\nR0002;billing\n", "utf-8")
    place, _, _ = draw(task, 30, places)
    assert not {"R0000", "R0002"} & {row["row_id"] for row in read_table(place)}
    read_back(task, filled(place, truth(tmp_path)), "Eve", places)
    kept = kept_answers(task)
    assert len(kept) == 32 and kept["R0000"] == ("billing", "", "")


def test_the_commands(tmp_path: Path, places: Settings) -> None:
    from playbook.cli import main

    named(tmp_path)
    file, run = str(tmp_path / "sample.yaml"), CliRunner()
    assert run.invoke(main, ["annotate", file]).exit_code == 2
    drawn = run.invoke(main, ["annotate", file, "--rows", "60", "--json"])
    assert drawn.exit_code == 0 and json.loads(drawn.output)["rows"] == 60
    sheet = filled(Path(json.loads(drawn.output)["sheet"]), truth(tmp_path), wrong=3, only=12)
    assert run.invoke(main, ["annotate", file, "--read", str(sheet)]).exit_code == 2
    read = run.invoke(main, ["annotate", file, "--read", str(sheet), "--by", "Eve"])
    assert read.exit_code == 0 and "12 answers kept" in read.output and "48 left open" in read.output
    assert "on 12 rows; the lower end must reach 0.6" in read.output and "fewer than the 50 rows" in read.output
    as_json = json.loads(run.invoke(main, ["annotate", file, "--read", str(sheet), "--by", "Eve", "--json"]).output)
    assert as_json["known"] == 12 and as_json["agreement"]["rows"] == 12


def test_a_task_without_a_place_for_the_answers(tmp_path: Path, places: Settings) -> None:
    task = sample(tmp_path)
    place, _, _ = draw(task, 20, places)
    with pytest.raises(DataError, match=r"expected data\.labels\.second_annotator"):
        read_back(task, filled(place, truth(tmp_path)), "Eve", places)


def test_a_sheet_that_is_not_there_is_named(tmp_path: Path, places: Settings) -> None:
    task = sample(tmp_path, rows(20))
    with pytest.raises(DataError, match="expected the sheet that was given out and filled in, found no such file"):
        read_back(task, tmp_path / "gone.csv", "Cleo", places)
