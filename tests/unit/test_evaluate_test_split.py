from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from report_samples import ORDINARY, dataset_for, spec_for

from playbook.artifacts import DatasetVersion
from playbook.errors import ArtifactError, GateRed
from playbook.evaluate.openings import read_ledger
from playbook.evaluate.row_marks import are_kept, marks_of
from playbook.evaluate.test_split import open_test_split
from playbook.store import Store

CHECKOUT = Path(__file__).resolve().parents[2]
ASSET = "dataset_version"


@pytest.fixture
def stored(tmp_path: Path) -> tuple[Store, DatasetVersion, Path]:
    store, source = Store(str(tmp_path / "store"), tmp_path / "cache"), tmp_path / "test.parquet"
    pd.DataFrame({"row_id": ["a", "b"], "text": ["x", "y"], "label": ["access", "fault"]}).to_parquet(source)
    dataset = store.put(ASSET, dataset_for(spec_for(ORDINARY), files={}), {"test": source})
    return store, dataset, tmp_path / "ledgers" / "demo.jsonl"


def on_reading_labels(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Do something when the split is read with its labels; ids and texts are hashed while it is closed."""
    read = pd.read_parquet

    def spy(path: Path, columns: list[str] | None = None) -> pd.DataFrame:
        if columns is None or "label" in columns:
            act()
        return read(path, columns=columns)

    monkeypatch.setattr(pd, "read_parquet", spy)


def test_every_opening_is_on_record_with_its_candidate(stored: tuple[Store, DatasetVersion, Path]) -> None:
    store, dataset, ledger = stored
    counts = []
    for digest in ("one", "two", "one"):
        rows = open_test_split(store, dataset, ASSET, digest, ledger)
        counts.append((rows.openings, rows.candidates))
    assert counts == [(1, 1), (2, 2), (3, 2)]
    assert rows.frame["label"].tolist() == ["access", "fault"]
    line = read_ledger(ledger)[0]
    assert set(line) == {
        "time", "task", "dataset", "dataset_hash", "test_sha256", "opened_for", "purpose", "user",
    }  # fmt: skip
    assert line["test_sha256"] == dataset.files["test"].sha256
    assert (line["task"], line["dataset"], line["opened_for"]) == ("demo", 3, "one")


def test_other_splits_are_counted_apart(stored: tuple[Store, DatasetVersion, Path]) -> None:
    store, dataset, ledger = stored
    ledger.parent.mkdir()
    ledger.write_text(json.dumps({"test_sha256": "other", "opened_for": "x"}) + "\n")
    assert open_test_split(store, dataset, ASSET, "one", ledger).openings == 1
    assert len(read_ledger(ledger)) == 2


def test_an_altered_split_is_not_opened(stored: tuple[Store, DatasetVersion, Path]) -> None:
    store, dataset, ledger = stored
    sealed = store.sealed_path(dataset, ASSET, "test")
    sealed.write_bytes(b"altered")
    with pytest.raises(ArtifactError, match="changed since it was written"):
        open_test_split(store, dataset, ASSET, "one", ledger)
    assert read_ledger(ledger) == []


def test_marks_then_the_line_are_on_disk_before_a_label_is_read(
    stored: tuple[Store, DatasetVersion, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, dataset, ledger = stored
    seen = []

    def die() -> None:
        marks = marks_of(ledger, dataset.files["test"].sha256)
        seen.append((len(read_ledger(ledger)), len(marks)))
        raise KeyboardInterrupt

    on_reading_labels(monkeypatch, die)
    with pytest.raises(KeyboardInterrupt):
        open_test_split(store, dataset, ASSET, "one", ledger)
    assert seen == [(1, 2)], "the line, and what recognises both rows: nobody has to know how it ended"


def test_who_dies_before_the_line_leaves_nothing_that_binds(
    stored: tuple[Store, DatasetVersion, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, dataset, ledger = stored
    monkeypatch.setattr(os, "write", lambda *_: 3)
    with pytest.raises(ArtifactError, match="stays closed"):
        open_test_split(store, dataset, ASSET, "one", ledger)
    monkeypatch.undo()
    assert are_kept(ledger, dataset.files["test"].sha256) and read_ledger(ledger) == []


def test_a_record_that_cannot_be_read_is_written_again_by_the_next_opening(
    stored: tuple[Store, DatasetVersion, Path],
) -> None:
    store, dataset, ledger = stored
    open_test_split(store, dataset, ASSET, "one", ledger)
    path = next(ledger.parent.glob("opened_rows/*.json"))
    whole = path.read_bytes()
    path.write_bytes(whole[:20])
    open_test_split(store, dataset, ASSET, "one", ledger)
    assert path.read_bytes() == whole


def test_a_red_gate_keeps_it_closed_and_off_the_record(stored: tuple[Store, DatasetVersion, Path]) -> None:
    store, dataset, ledger = stored
    red = dataset.model_copy(update={"gate": dataset_for(spec_for(ORDINARY), passed=False).gate})
    with pytest.raises(GateRed):
        open_test_split(store, red, ASSET, "one", ledger)
    assert not ledger.exists()


@pytest.mark.parametrize("obstacle", ["folder in its place", "file in place of its folder"])
def test_a_ledger_that_cannot_be_written_keeps_it_closed(
    stored: tuple[Store, DatasetVersion, Path], monkeypatch: pytest.MonkeyPatch, obstacle: str
) -> None:
    store, dataset, ledger = stored
    if obstacle == "folder in its place":
        ledger.mkdir(parents=True)
    else:
        ledger.parent.write_text("")
    on_reading_labels(monkeypatch, lambda: pytest.fail("the split was opened"))
    with pytest.raises(ArtifactError, match="stays closed"):
        open_test_split(store, dataset, ASSET, "one", ledger)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_ledger_keeps_it_closed(
    stored: tuple[Store, DatasetVersion, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, dataset, ledger = stored
    ledger.parent.mkdir()
    ledger.touch(mode=0o444)
    on_reading_labels(monkeypatch, lambda: pytest.fail("the split was opened"))
    with pytest.raises(ArtifactError, match="stays closed"):
        open_test_split(store, dataset, ASSET, "one", ledger)


def test_a_full_disk_keeps_it_closed(
    stored: tuple[Store, DatasetVersion, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, dataset, ledger = stored
    monkeypatch.setattr(os, "write", lambda *_: 3)
    on_reading_labels(monkeypatch, lambda: pytest.fail("the split was opened"))
    with pytest.raises(ArtifactError, match="stays closed"):
        open_test_split(store, dataset, ASSET, "one", ledger)


@pytest.mark.parametrize("cut", [slice(0, 20), slice(0, -1), slice(5, None)])
def test_an_edited_or_torn_ledger_keeps_it_closed(stored: tuple[Store, DatasetVersion, Path], cut: slice) -> None:
    store, dataset, ledger = stored
    open_test_split(store, dataset, ASSET, "one", ledger)
    ledger.write_text(ledger.read_text()[cut])
    with pytest.raises(ArtifactError, match="line 1: expected one JSON object"):
        open_test_split(store, dataset, ASSET, "two", ledger)


def _open_often(store: Store, dataset: DatasetVersion, ledger: Path, name: str) -> None:
    for _ in range(20):
        open_test_split(store, dataset, ASSET, name, ledger)


def test_processes_that_open_at_once_lose_no_line(stored: tuple[Store, DatasetVersion, Path]) -> None:
    store, dataset, ledger = stored
    context = multiprocessing.get_context("fork")
    children = [context.Process(target=_open_often, args=(store, dataset, ledger, f"c{at}")) for at in range(3)]
    for child in children:
        child.start()
    for child in children:
        child.join(60)
    assert [child.exitcode for child in children] == [0, 0, 0]
    assert len(read_ledger(ledger)) == 60


def test_nothing_else_opens_the_sealed_split() -> None:
    places = [CHECKOUT / part for part in ("playbook", "assets", "resources", "pipelines", "benchmarks")]
    sources = [path for place in places for path in place.rglob("*.py")]
    callers = {str(path.relative_to(CHECKOUT)) for path in sources if "sealed_path" in path.read_text(encoding="utf-8")}
    assert callers == {"playbook/store.py", "playbook/evaluate/test_split.py"}
