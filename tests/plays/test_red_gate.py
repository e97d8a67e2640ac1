"""A red gate after a green one: nothing is trained, then or later, and after fixing it goes on where it was."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from adapt_samples import pairs
from play_runs import Place, make_place

from playbook.artifacts import Artifact
from playbook.plays import modelling_assets
from playbook.taskfile import load_task

TRAINING = ("frozen_baseline", "rung_1")
SPLITS = {"train": (500, 1), "validation": (160, 2), "test": (160, 3)}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, database: Path) -> Place:
    """A team's own three files, green, trained up to the first rung."""
    tables = {split: pairs(*size) for split, size in SPLITS.items()}
    folder = tmp_path_factory.mktemp("brought")
    place = make_place(folder, database, tables, epochs=3)
    green = place.run("--until", "rung_1")
    assert green.code == 0 and green.status["gate"]["passed"], green.said
    assert {name for name, made in place.current().items() if not made.skipped} >= set(TRAINING)
    return place


def copied_row(place: Place) -> None:
    text = (place.folder / "test.csv").read_text("utf-8").splitlines()[1].split(",")[1]
    with (place.folder / "train.csv").open("a", encoding="utf-8") as stream:
        stream.write(f"leak-1,{text},same\n")


def missing_class(place: Place) -> None:
    path = place.folder / "validation.csv"
    lines = path.read_text("utf-8").splitlines()
    path.write_text("\n".join(line for line in lines if not line.endswith(",mixed")) + "\n", "utf-8")


def renamed_column(place: Place) -> None:
    path = place.folder / "train.csv"
    path.write_text(path.read_text("utf-8").replace("row_id,text,label", "row_id,text,labels", 1), "utf-8")


def empty_file(place: Place) -> None:
    (place.folder / "test.csv").write_bytes(b"")


LEAK = (copied_row, "no exact copies across splits", "leak-1")
OTHERS = [
    (missing_class, "rows per class in validation", "mixed has 0"),
    (renamed_column, "source_readable", "labels"),
    (empty_file, "source_readable", "test.csv"),
]


@contextmanager
def broken(place: Place, fault: Callable[[Place], None]) -> Iterator[dict[str, Artifact]]:
    """Put a fault into the team's files, yield the results of the green run before, and take the fault out again."""
    good, before = {split: (place.folder / f"{split}.csv").read_bytes() for split in SPLITS}, place.current()
    assert not any(before[name].skipped for name in TRAINING)
    fault(place)
    try:
        yield before
    finally:
        for split, content in good.items():
            (place.folder / f"{split}.csv").write_bytes(content)


def stopped(place: Place, attempts: list[str], check: str, named: str) -> None:
    """Run the broken place: the gate names the fault, here and later, and nothing is trained."""
    red = place.run()
    assert red.code == 3 and red.status["state"] == "gate_red", red.said
    failed = {found["name"]: found for found in red.status["gate"]["failed"] if found["severity"] == "error"}
    assert check in failed and named in failed[check]["found"], failed
    assert failed[check]["remedy"] and check in red.status["reason"]
    assert "epoch" not in red.err and "head with L2" not in red.err
    nothing_trained(place, attempts)
    shown = place.do("show", str(place.file))
    assert "STOPPED BY THE GATE: nothing was trained" in shown.out and check in shown.out and named in shown.out


@pytest.mark.parametrize(("fault", "check", "named"), OTHERS, ids=[fault[0].__name__ for fault in OTHERS])
def test_a_fault_in_the_data_stops_all_modelling(
    place: Place, fault: Callable[[Place], None], check: str, named: str
) -> None:
    with broken(place, fault) as before:
        try:
            stopped(place, place.attempts(), check, named)
            if fault is empty_file:  # a dataset without a version is refused by a later run of one asset, too
                assert "the gate is red" in place.materialise("rung_1")
        finally:
            for name, made in before.items():  # the catalogue as the green run left it, without another run
                place.store.set_current("pairs", name, made.play_key)


def test_nothing_is_trained_later_and_after_mending_it_goes_on_where_it_was(place: Place) -> None:
    (fault, check, named), attempts = LEAK, place.attempts()
    with broken(place, fault) as before:
        stopped(place, attempts, check, named)
        for asset in TRAINING:  # a later run of one asset alone, in which Dagster's blocking checks do not run
            said = place.materialise(asset)
            assert "the gate is red" in said and check in said, said
        nothing_trained(place, attempts)
        for asset in ("base_selection", "frozen_baseline"):  # even if everything else upstream were there and good
            place.store.set_current("pairs", asset, before[asset].play_key)
        assert "the gate is red" in place.materialise("rung_1") and place.attempts() == attempts

    mended = place.run("--until", "rung_1")
    assert mended.code == 0 and mended.status["gate"]["passed"]
    assert "rung_1: unchanged, not run again" in mended.err
    assert not any(place.current()[name].skipped for name in TRAINING)
    assert place.materialise("rung_1") == ""
    assert place.attempts() == attempts


def nothing_trained(place: Place, attempts: list[str]) -> None:
    current = place.current()
    later = modelling_assets(load_task(place.file).spec)
    assert {*TRAINING, "candidate", "evaluation", "packaged_model"} <= set(later) <= set(current)
    assert all(current[name].skipped for name in later)
    assert all(re.search(r"the gate is red for dataset version \d+", current[name].reason) for name in later)
    assert place.attempts() == attempts and place.ledger == []
    page = (place.places.home / "reports" / "pairs.html").read_text("utf-8")
    assert "Stopped by the data gate" in page and "Nothing was trained" in page
