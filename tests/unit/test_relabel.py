"""From the edited queue to corrections: what is taken, what is refused, what needs a signature."""

from __future__ import annotations

import csv
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from data_samples import rows, sample

from playbook.data.corrections import read_corrections
from playbook.data.prepare import prepare
from playbook.data.relabel_queue import COLUMNS
from playbook.data.sheets import csv_text
from playbook.decide.log import DecisionLog
from playbook.errors import DataError, SignatureRefused
from playbook.relabel import NAMESPACE, apply_queue, queue_place
from playbook.settings import Settings, settings
from playbook.taskfile import Task, load_task

OWNERS = {"model": "ann@example.com", "data": "dora@example.com", "sign_off": "sam@example.com"}


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("PLAYBOOK_HOME", str(tmp_path / "home"))
    return settings()


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prepared")
    prepare(sample(folder, rows(120), labels={"corrections": "notes/corrections.csv"}), folder / "out")
    return folder


@pytest.fixture
def task(tmp_path: Path, prepared: Path) -> Task:
    """A prepared task with a corrections file that is not there yet."""
    shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
    return load_task(tmp_path / "sample.yaml")


def ids(folder: Path, split: str, label: str = "billing") -> list[str]:
    table = pd.read_parquet(folder / "out" / f"{split}.parquet")
    return table.loc[table["label"] == label, "row_id"].tolist()


def queue(folder: Path, *edits: tuple[str, str, str], name: str = "queue.csv") -> Path:
    """A queue file with (row id, label, new label)."""
    path = folder / name
    lines = [(row, "train", "text", label, "", "0.7", "0.1", "0.8", "", new, "") for row, label, new in edits]
    path.write_text(csv_text(COLUMNS, lines), "utf-8")
    return path


def kept(task: Task) -> dict[str, tuple[str, str, str]]:
    return {one.row_id: (one.was, one.label, one.by) for one in read_corrections(task)}


def test_edits_become_corrections_and_the_next_preparation_applies_them(
    tmp_path: Path, task: Task, places: Settings
) -> None:
    one, two, three = ids(tmp_path, "train")[:3]
    edited = queue(tmp_path, (one, "billing", "delivery"), (two, "billing", " billing "), (three, "billing", ""))
    done = apply_queue(task, edited, by="Dora", places=places)
    assert (done.changed, done.confirmed, done.left_open, done.touches_test) == (1, 1, 1, False)
    assert kept(task) == {one: ("billing", "delivery", "Dora"), two: ("billing", "billing", "Dora")}
    assert prepare(task, tmp_path / "after")["corrections"] == {"changed": 1, "confirmed": 1}
    after = pd.read_parquet(tmp_path / "after" / "train.parquet").set_index("row_id")
    assert after.loc[one, "label"] == "delivery"
    (entry,) = DecisionLog(places.decision_log("sample")).entries()
    assert entry.kind == "relabel" and entry.by == "Dora" and "1 label corrected" in entry.title


def test_what_a_queue_would_change_is_said_before_it_does(tmp_path: Path, task: Task, places: Settings) -> None:
    import json

    from click.testing import CliRunner

    from playbook.cli import main

    one, two, three, four = ids(tmp_path, "train")[:4]
    test = ids(tmp_path, "test")[0]
    edits = [(row, "billing", "delivery") for row in (one, two)] + [
        (three, "billing", "billing"),
        (four, "billing", ""),
    ]
    edited, file, run = queue(tmp_path, *edits), str(task.path), CliRunner()
    said = run.invoke(main, ["relabel", file, str(edited), "--as", "Dora"])
    assert said.exit_code == 0 and "2 labels changed, 1 confirmed, 1 left open" in said.output
    assert "2  billing -> delivery" in said.output and f"{one}: billing -> delivery" in said.output
    assert "nothing is changed yet" in said.output and "--yes" in said.output
    assert not kept(task) and not places.decision_log("sample").exists()
    plan = json.loads(run.invoke(main, ["relabel", file, str(edited), "--json"]).output)
    assert plan["applied"] is False and plan["pairs"] == [{"from": "billing", "to": "delivery", "rows": 2}]
    assert [row["row_id"] for row in plan["rows"]] == [one, two] and plan["test_rows"] == []
    touching = queue(tmp_path, (test, "billing", "delivery"), name="test.csv")
    assert json.loads(run.invoke(main, ["relabel", file, str(touching), "--json"]).output)["test_rows"] == [test]
    assert run.invoke(main, ["relabel", file, str(edited), "--yes"]).exit_code == 2, "who looked?"
    done = run.invoke(main, ["relabel", file, str(edited), "--as", "Dora", "--yes"])
    assert done.exit_code == 0 and "next: `playbook run" in done.output
    assert {row: new for row, (_, new, _) in kept(task).items()} == {one: "delivery", two: "delivery", three: "billing"}


def test_later_reviews_are_merged_and_the_last_one_counts(tmp_path: Path, task: Task, places: Settings) -> None:
    one, two = ids(tmp_path, "train")[:2]
    apply_queue(task, queue(tmp_path, (one, "billing", "delivery")), by="Dora", places=places)
    again = queue(tmp_path, (one, "delivery", "billing"), (two, "billing", "delivery"))
    apply_queue(task, again, by="Eve", places=places)
    assert kept(task) == {one: ("billing", "billing", "Eve"), two: ("billing", "delivery", "Eve")}


def test_a_queue_that_speaks_of_other_labels_is_refused(tmp_path: Path, task: Task, places: Settings) -> None:
    one = ids(tmp_path, "train")[0]
    edited = queue(tmp_path, (one, "billing", "delivery"))
    apply_queue(task, edited, by="Dora", places=places)
    with pytest.raises(DataError, match=rf"line 2: row {one} is delivery now, the queue says billing"):
        apply_queue(task, edited, by="Dora", places=places)
    assert kept(task) == {one: ("billing", "delivery", "Dora")}


@pytest.mark.parametrize(
    ("edits", "said"),
    [
        ([("R9999", "billing", "delivery")], "row R9999 is not in the source"),
        ([("R0000", "billing", "misc"), ("R0002", "billing", "x")], r"line 2: expected one of .*misc.*\n.*line 3: .*x"),
        ([("R0000", "billing", "delivery"), ("R0000", "billing", "billing")], "line 3: row R0000 comes twice"),
        ([("R0000", "billing", "")], "expected a class in new_label of some rows, found none"),
    ],
)
def test_faults_of_a_queue_are_named_and_nothing_is_written(
    tmp_path: Path, task: Task, places: Settings, edits: list[tuple[str, str, str]], said: str
) -> None:
    with pytest.raises(DataError, match=said):
        apply_queue(task, queue(tmp_path, *edits), by="Dora", places=places)
    assert not (tmp_path / "notes").exists() and not places.decision_log("sample").exists()


def test_a_file_that_is_no_queue_is_refused(tmp_path: Path, task: Task, places: Settings) -> None:
    (tmp_path / "other.csv").write_text("a,b\n1,2\n", "utf-8")
    with pytest.raises(DataError, match=r"other\.csv: expected the columns row_id, label, new_label, found a, b"):
        apply_queue(task, tmp_path / "other.csv", by="Dora", places=places)
    with pytest.raises(DataError, match=r"gone\.csv: expected an edited queue, found none that can be read"):
        apply_queue(task, tmp_path / "gone.csv", by="Dora", places=places)
    with pytest.raises(DataError, match="expected the name of who looked"):
        apply_queue(task, tmp_path / "other.csv", by=" ", places=places)


def test_a_task_without_a_place_for_corrections_is_refused(tmp_path: Path, places: Settings) -> None:
    task = sample(tmp_path)
    with pytest.raises(DataError, match=r"expected data\.labels\.corrections"):
        apply_queue(task, queue(tmp_path, ("R0000", "billing", "delivery")), by="Dora", places=places)


def test_row_ids_that_look_like_formulas_survive_the_spreadsheet(tmp_path: Path, places: Settings) -> None:
    table = [{**row, "id": f"=R{at}"} for at, row in enumerate(rows())]
    task = sample(tmp_path, table, labels={"corrections": "corrections.csv"})
    prepare(task, tmp_path / "out")
    one = ids(tmp_path, "train")[0]
    edited = queue(tmp_path, (one, "billing", "delivery"))
    with edited.open(encoding="utf-8", newline="") as stream:
        assert next(csv.DictReader(stream))["row_id"] == f"'{one}"
    apply_queue(task, edited, by="=Dora", places=places)
    assert kept(task) == {one: ("billing", "delivery", "=Dora")}
    assert f"'{one},delivery,'=Dora" in (tmp_path / "corrections.csv").read_text("utf-8")


def test_the_queue_has_one_place(task: Task, places: Settings) -> None:
    assert queue_place(task, places) == places.home / "reports" / "sample-relabel-queue.csv"


# The test split


def test_rows_of_the_test_split_need_a_signature(tmp_path: Path, task: Task, places: Settings) -> None:
    row = ids(tmp_path, "test")[0]
    for new in ("delivery", "billing"):  # confirming is looking, too
        with pytest.raises(
            SignatureRefused, match=rf"touches row {row} of the test split: expected a signature of the"
        ):
            apply_queue(task, queue(tmp_path, (row, "billing", new)), by="Dora", places=places)
    assert not (tmp_path / "notes").exists()


def test_a_correction_that_throws_a_row_out_of_the_test_split_needs_one_too(tmp_path: Path, places: Settings) -> None:
    table = rows(120)
    task = sample(tmp_path, table)
    prepare(task, tmp_path / "out")
    train, test = ids(tmp_path, "train")[0], ids(tmp_path, "test")[0]
    text = next(row["text"] for row in table if row["id"] == test)
    table = [{**row, "text": text} if row["id"] == train else row for row in table]
    task = sample(tmp_path, table, labels={"corrections": "corrections.csv"})  # a copy: quarantined, not in train
    with pytest.raises(SignatureRefused, match=rf"touches row {test} of the test split"):
        apply_queue(task, queue(tmp_path, (train, "billing", "delivery")), by="Dora", places=places)


needs_ssh = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="needs OpenSSH's ssh-keygen")


@pytest.fixture
def signing(tmp_path: Path) -> Callable[[str, Path], Path]:
    """Signs a file as one of three people; the allowed-signers file knows the two owners and the model owner."""
    people = []
    for name in OWNERS.values():
        key = tmp_path / "keys" / name
        key.parent.mkdir(exist_ok=True)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
        people.append(f"{name} {key.with_name(f'{name}.pub').read_text('utf-8').strip()}")
    (tmp_path / "signers").write_text("\n".join(people) + "\n", "utf-8")

    def sign(name: str, path: Path, namespace: str = NAMESPACE) -> Path:
        command = ["ssh-keygen", "-Y", "sign", "-q", "-n", namespace, "-f", str(tmp_path / "keys" / name), str(path)]
        subprocess.run(command, check=True, capture_output=True)
        return path.with_name(f"{path.name}.sig")

    return sign


def signed_task(folder: Path, signers: bool = True) -> Task:
    import yaml

    sample(folder, rows(120))
    document = yaml.safe_load((folder / "sample.yaml").read_text("utf-8"))
    document["owners"] = OWNERS
    document["data"]["labels"] = {"corrections": "corrections.csv"}
    if signers:
        document["sign_off"] = {"mode": "signed", "allowed_signers": "signers"}
    (folder / "sample.yaml").write_text(yaml.safe_dump(document), "utf-8")
    task = load_task(folder / "sample.yaml")
    prepare(task, folder / "out")
    return task


@needs_ssh
@pytest.mark.parametrize("owner", ["data", "sign_off"])
def test_an_owners_signature_opens_the_test_labels(
    tmp_path: Path, places: Settings, signing: Callable[[str, Path], Path], owner: str
) -> None:
    task = signed_task(tmp_path)
    row = ids(tmp_path, "test")[0]
    edited = queue(tmp_path, (row, "billing", "delivery"))
    done = apply_queue(task, edited, by="Dora", places=places, signature=signing(OWNERS[owner], edited))
    assert done.touches_test and done.signed_by == OWNERS[owner] and kept(task)[row][1] == "delivery"


@needs_ssh
def test_signatures_that_prove_nothing_are_refused(
    tmp_path: Path, places: Settings, signing: Callable[..., Path]
) -> None:
    task = signed_task(tmp_path)
    row, other = ids(tmp_path, "test")[:2]
    edited = queue(tmp_path, (row, "billing", "delivery"))
    for signature in (
        signing(OWNERS["model"], edited),  # the model owner has no say in what he is measured by
        signing(OWNERS["data"], queue(tmp_path, (other, "billing", "delivery"), name="other.csv")),
        signing(OWNERS["data"], queue(tmp_path, (row, "billing", "delivery"), name="purpose.csv"), "file"),
        tmp_path / "gone.sig",
    ):
        with pytest.raises(SignatureRefused):
            apply_queue(task, edited, by="Dora", places=places, signature=signature)
    assert not (tmp_path / "corrections.csv").exists()


@needs_ssh
def test_a_revoked_key_opens_nothing(tmp_path: Path, places: Settings, signing: Callable[[str, Path], Path]) -> None:
    import yaml

    document = yaml.safe_load(signed_task(tmp_path).path.read_text("utf-8"))
    document["sign_off"]["revoked_keys"] = "revoked"
    (tmp_path / "sample.yaml").write_text(yaml.safe_dump(document), "utf-8")
    edited = queue(tmp_path, (ids(tmp_path, "test")[0], "billing", "delivery"))
    signature = signing(OWNERS["data"], edited)
    (tmp_path / "revoked").write_bytes((tmp_path / "keys" / f"{OWNERS['data']}.pub").read_bytes())
    with pytest.raises(SignatureRefused, match="revokes; sign with another key"):
        apply_queue(load_task(tmp_path / "sample.yaml"), edited, by="Dora", places=places, signature=signature)
    assert not (tmp_path / "corrections.csv").exists()


@needs_ssh
def test_a_signature_without_known_keys_is_refused(
    tmp_path: Path, places: Settings, signing: Callable[[str, Path], Path]
) -> None:
    task = signed_task(tmp_path, signers=False)
    edited = queue(tmp_path, (ids(tmp_path, "test")[0], "billing", "delivery"))
    with pytest.raises(SignatureRefused, match=r"expected sign_off\.allowed_signers"):
        apply_queue(task, edited, by="Dora", places=places, signature=signing(OWNERS["data"], edited))
