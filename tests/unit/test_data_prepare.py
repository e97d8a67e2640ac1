from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pytest
from data_samples import SCRIPT, banking77, rows, sample

from playbook.data import prepare as module
from playbook.data.audit import audit
from playbook.data.prepare import _swap, main, prepare
from playbook.data.tables import PREPARED_COLUMNS
from playbook.data.versions import read_versions, record_version, rows_by_split
from playbook.errors import DataError

FILES = {"train.parquet", "validation.parquet", "test.parquet", "quarantine.parquet", "profile.json", "page.md"}


def bytes_of(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    task = sample(tmp_path)
    prepare(task, tmp_path / "one")
    command = [sys.executable, "-m", "playbook.data.prepare", str(task.path), "--out", str(tmp_path / "two")]
    root = str(Path(module.__file__).parents[2])
    environment = {**os.environ, "PYTHONHASHSEED": "12", "PYTHONPATH": root, "TZ": "Asia/Tokyo", "LC_ALL": "C"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert set(bytes_of(tmp_path / "one")) == FILES
    assert bytes_of(tmp_path / "one") == bytes_of(tmp_path / "two")
    assert "train" in done.stdout and not done.stderr


def test_tables_have_the_columns_of_the_contract(tmp_path: Path) -> None:
    task = sample(tmp_path)
    figures = prepare(task, tmp_path / "out")
    for split, count in figures["rows"].items():
        table = pd.read_parquet(tmp_path / "out" / f"{split}.parquet")
        assert tuple(table.columns) == (*PREPARED_COLUMNS, "kept_channel")
        assert len(table) == count > 0
    assert figures == json.loads((tmp_path / "out" / "profile.json").read_text("utf-8"))
    assert sum(figures["rows"].values()) + figures["quarantined_rows"] == figures["raw_rows"] == 240


def test_a_text_from_the_data_cannot_write_the_page(tmp_path: Path) -> None:
    table = rows(60)
    table[0]["label"] = f"{SCRIPT}|# x"
    task = sample(tmp_path, table, classes={"billing": f"a | b {SCRIPT}\n# no", "delivery": "*x*"})
    prepare(task, tmp_path / "out")
    page = (tmp_path / "out" / "page.md").read_text("utf-8")
    assert SCRIPT not in page and "&lt;script&gt;" in page
    assert "\n# no" not in page and "\\*x\\*" in page and "a \\| b" in page
    for title in ("Source", "Classes", "Splits", "Quarantine", "Known limits"):
        assert f"## {title}" in page


def test_a_failed_or_killed_write_leaves_the_old_folder_or_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = sample(tmp_path)
    prepare(task, tmp_path / "out")
    before = bytes_of(tmp_path / "out")
    sample(tmp_path, rows(100))

    def full_disk(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(module, "_swap", full_disk)
    with pytest.raises(OSError, match="no space"):
        prepare(task, tmp_path / "out")
    assert bytes_of(tmp_path / "out") == before
    assert not list(tmp_path.glob(".out.*"))


def test_what_dead_processes_left_is_swept_away(tmp_path: Path) -> None:
    old, young = tmp_path / ".out.1.part", tmp_path / ".out.2.part"
    old.mkdir()
    young.mkdir()
    os.utime(old, (time.time() - 7200,) * 2)
    prepare(sample(tmp_path), tmp_path / "out")
    assert young.exists() and not old.exists()


def test_no_fit_row_at_all_is_an_error_that_says_why(tmp_path: Path) -> None:
    task = sample(tmp_path, [{**row, "label": "refund"} for row in rows(30)])
    with pytest.raises(DataError, match=r"found none of 30: 30 with unknown label .*'refund'"):
        prepare(task, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_command_line_ends_with_the_status_of_the_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    task = sample(tmp_path)
    assert main([str(task.path), "--out", str(tmp_path / "out"), "--raw", f"all={tmp_path / 'rows.csv'}"]) == 0
    (tmp_path / "rows.csv").write_text("", "utf-8")
    assert main([str(task.path), "--out", str(tmp_path / "out")]) == 1
    assert "expected rows, found an empty file" in capsys.readouterr().err
    assert main([str(tmp_path / "gone.yaml"), "--out", str(tmp_path / "out")]) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_the_audit_of_a_prepared_folder_finds_nothing(tmp_path: Path) -> None:
    task = sample(tmp_path)
    figures = prepare(task, tmp_path / "out")
    seen = audit(task, tmp_path / "out")
    for column in ("exact_copy_in", "near_copy_in", "group_in_other_split"):
        assert (seen.rows[column] == "").all()
    assert seen.classes.set_index("label")["train"].to_dict() == figures["class_rows"]["train"]
    assert seen.overall["unaccounted"][0] == 0 and seen.splits["fraction"].sum() == pytest.approx(1)


def test_the_audit_refuses_a_folder_with_files_missing(tmp_path: Path) -> None:
    task = sample(tmp_path)
    prepare(task, tmp_path / "out")
    (tmp_path / "out" / "profile.json").write_text("{}", "utf-8")
    with pytest.raises(DataError, match="not a readable profile"):
        audit(task, tmp_path / "out")
    (tmp_path / "out" / "test.parquet").unlink()
    with pytest.raises(DataError, match="expected a prepared table, found no such file"):
        audit(task, tmp_path / "out")


def tables(folder: Path) -> dict[str, Path]:
    return {split: folder / f"{split}.parquet" for split in ("train", "validation", "test")}


def test_versions_are_numbered_once_per_hash_and_say_what_changed(tmp_path: Path) -> None:
    record = tmp_path / "versions.yaml"
    table = rows(240)
    figures = prepare(sample(tmp_path, table), tmp_path / "one")
    first, standing = record_version(record, "a.dir", figures)
    assert (first.number, standing) == (1, "new") and first.changelog.startswith("first version: ")
    kept = pd.read_parquet(tmp_path / "one" / "train.parquet")["row_id"].tolist()
    relabelled = {kept[0]: {"label": "delivery"}, kept[1]: {"text": "something else entirely was written here"}}
    changed = [{**row, **relabelled.get(row["id"], {})} for row in table if row["id"] != kept[2]]
    changed.append(
        {**table[0], "id": "NEW", "text": "a brand new message about money", "customer": table[0]["customer"]}
    )
    figures = prepare(sample(tmp_path, changed), tmp_path / "two")
    rows_now, rows_then = rows_by_split(tables(tmp_path / "two")), rows_by_split(tables(tmp_path / "one"))
    second, _ = record_version(record, "b.dir", figures, rows_now, rows_then)
    assert second.number == 2
    assert " -1 (" in second.changelog and "1 edited" in second.changelog and "+1" in second.changelog
    assert record_version(record, "a.dir", figures) == (first, "known")
    third, _ = record_version(record, "c.dir", figures, rows_now, rows_now)
    assert third.changelog == "same rows, other columns or description"
    assert read_versions(record) == (first, second, third)
    assert not list(tmp_path.glob(".versions*"))


def test_versions_without_the_old_rows_say_net_figures(tmp_path: Path) -> None:
    record = tmp_path / "versions.yaml"
    figures = prepare(sample(tmp_path, rows(240)), tmp_path / "one")
    record_version(record, "a.dir", figures)
    figures = prepare(sample(tmp_path, rows(200)), tmp_path / "two")
    version, _ = record_version(record, "b.dir", figures)
    assert "net (" in version.changelog and "train -" in version.changelog


@pytest.mark.parametrize(
    "text", ["- number: one\n", "{", "- {number: 2, hash: a, changelog: '', rows: {}, quarantined: 0}\n"]
)
def test_an_altered_record_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "versions.yaml").write_text(text, "utf-8")
    with pytest.raises(DataError, match="restore"):
        read_versions(tmp_path / "versions.yaml")


@pytest.mark.proof
def test_banking77_is_prepared_and_copies_across_its_authors_split_are_found(tmp_path: Path) -> None:
    figures = prepare(banking77(tmp_path, splits={"across_splits": "quarantine"}), tmp_path / "out")
    assert figures["rows"]["test"] == 3_080  # the authors' test split stays whole
    aside = pd.read_parquet(tmp_path / "out" / "quarantine.parquet")
    reasons = aside["reason"].value_counts()
    assert reasons["exact duplicate across splits"] == 28
    assert 35 <= reasons["near duplicate across splits"] <= 55  # 45, read one by one: typos, words put in, "can"/"may"
    assert (aside.loc[aside["reason"].str.contains("across"), "split"] != "test").all()
    assert sum(figures["rows"].values()) + len(aside) == 13_083 and len(aside) < 150
    assert reasons["same text, different labels"] == 2


def test_two_that_put_their_folder_in_place_at_once_leave_one_whole_folder(tmp_path: Path) -> None:
    parts = [tmp_path / f".out.{number}.part" for number in range(400)]
    for part in parts:
        part.mkdir()
        (part / "profile.json").write_text("{}", encoding="utf-8")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda part: _swap(part, tmp_path / "out"), parts))
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["profile.json"]
