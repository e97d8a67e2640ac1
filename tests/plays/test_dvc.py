"""Dataset versions through DVC, in throw-away projects."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import fsspec
import pandas as pd
import pytest
import yaml
from data_samples import rows, sample, task_document, write_csv, write_task

import playbook
from playbook.artifacts import DatasetVersion
from playbook.data.versions import read_versions
from playbook.errors import DataError, StorageError
from playbook.plays import DATASET
from playbook.settings import Settings, child_environment, settings
from playbook.store import Store
from playbook.taskfile import Task, load_task
from resources import dvc as module
from resources.dvc import DatasetVersions, PreparedDataset

CHECKOUT = Path(playbook.__file__).resolve().parents[1]
DVC_YAML = {
    "stages": {
        "prepare": {
            "foreach": {"sample": {"file": "pipelines/tasks/sample.yaml", "raw": "data/sample/raw/rows.csv"}},
            "do": {
                "cmd": "python -m playbook.data.prepare ${item.file} --out data/${key}/prepared",
                "params": [{"${item.file}": ["task", "data"]}],
                "deps": ["playbook/data", "${item.raw}"],
                "outs": ["data/${key}/prepared"],
            },
        }
    }
}


def project(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A project in a folder, with the committed DVC configuration and one stage."""
    root = folder / "project"
    root.mkdir()
    monkeypatch.setenv("PLAYBOOK_ROOT", str(root))
    monkeypatch.setenv("PLAYBOOK_HOME", str(folder / "home"))
    for name in ("PLAYBOOK_DVC_REMOTE", "PLAYBOOK_TASKS"):
        monkeypatch.delenv(name, raising=False)
    shutil.copytree(CHECKOUT / "playbook", root / "playbook", ignore=shutil.ignore_patterns("__pycache__"))
    (root / ".dvc").mkdir()
    shutil.copyfile(CHECKOUT / ".dvc" / "config", root / ".dvc" / "config")
    shutil.copyfile(CHECKOUT / ".dvcignore", root / ".dvcignore")
    (root / "dvc.yaml").write_text(yaml.safe_dump(DVC_YAML), "utf-8")
    return settings()


def with_task(places: Settings) -> Task:
    """The project's task, with its rows."""
    write_csv(places.root / "data" / "sample" / "raw" / "rows.csv", rows())
    return write_task(places.root / "pipelines" / "tasks", {"path": "../../data/sample/raw/rows.csv"})


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A new project."""
    return project(tmp_path, monkeypatch)


@pytest.fixture
def task(places: Settings) -> Task:
    """The project's task."""
    return with_task(places)


@dataclass(frozen=True)
class Original:
    """A project whose data was prepared once, to be copied; with what came of it and what was logged."""

    folder: Path
    found: PreparedDataset
    lines: list[str]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Original:
    """The original, prepared from another working folder than its own."""
    folder, lines = tmp_path_factory.mktemp("original"), list[str]()
    with pytest.MonkeyPatch.context() as monkeypatch:
        task = with_task(project(folder, monkeypatch))
        monkeypatch.chdir("/")
        return Original(folder, DatasetVersions().prepare(task, lines.append), lines)


@pytest.fixture
def prepared(places: Settings, original: Original) -> Task:
    """The project's task, whose data was prepared already; for tests of what comes then."""
    shutil.copytree(original.folder / "project", places.root, dirs_exist_ok=True)
    shutil.copytree(original.folder / "home", places.home, dirs_exist_ok=True)
    return load_task(next((places.root / "pipelines" / "tasks").glob("*.yaml")))


def repro(root: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "dvc", "repro"],
        cwd=root,
        env=child_environment(),
        capture_output=True,
        text=True,
        check=True,
    )


def locked(root: Path) -> str:
    lock = yaml.safe_load((root / "dvc.lock").read_text("utf-8"))
    return str(lock["stages"]["prepare@sample"]["outs"][0]["md5"])


def test_the_shell_and_the_resource_agree(places: Settings, prepared: Task, original: Original) -> None:
    first, root = original.found, original.folder / "project"
    assert first.folder == root / "data" / "sample" / "prepared"
    assert (first.number, first.changed) == (1, True)
    assert first.dataset_hash == locked(root) and first.dataset_hash.endswith(".dir")
    assert any("train" in line for line in original.lines)
    assert str(root) not in (root / "dvc.lock").read_text("utf-8")
    assert "up to date" in repro(places.root).stdout
    shutil.rmtree(places.root / "data" / "sample" / "prepared")
    shutil.rmtree(places.root / ".dvc" / "cache")
    (places.root / "dvc.lock").unlink()
    repro(places.root)
    assert locked(places.root) == first.dataset_hash
    again = DatasetVersions().prepare(prepared)
    assert again.folder == places.root / "data" / "sample" / "prepared"
    assert replace(again, folder=first.folder, changed=True) == first and not again.changed


def test_versions_count_up_and_name_the_rows_that_changed(places: Settings, prepared: Task) -> None:
    task, raw = prepared, places.root / "data" / "sample" / "raw" / "rows.csv"
    first = DatasetVersions().prepare(task)
    write_csv(raw, [*rows(), {**rows()[0], "id": "NEW", "text": "quite another matter, said the new customer"}])
    second = DatasetVersions().prepare(task)
    assert (second.number, second.changed) == (2, True) and second.dataset_hash != first.dataset_hash
    assert "+1 -0 (billing +1)" in second.changelog
    write_csv(raw, rows())
    third = DatasetVersions().prepare(task)
    assert (third.number, third.dataset_hash, third.changed) == (1, first.dataset_hash, False)
    record = read_versions(places.root / "data" / "sample" / "versions.yaml")
    assert [version.hash for version in record] == [first.dataset_hash, second.dataset_hash]


def test_only_the_data_section_prepares_again(places: Settings, prepared: Task) -> None:
    task = prepared
    document = task_document({"path": "../../data/sample/raw/rows.csv"})
    task.path.write_text(yaml.safe_dump({**document, "adaptation": {"learning_rate": 0.01}}), "utf-8")
    lines: list[str] = []
    DatasetVersions().prepare(load_task(task.path), lines.append)
    assert len(lines) == 1 and lines[0].startswith("dataset version 1")
    document["data"]["splits"] = {"seed": 8}
    task.path.write_text(yaml.safe_dump(document), "utf-8")
    assert DatasetVersions().prepare(load_task(task.path)).number == 2


def test_the_dataset_is_stored_at_the_remote(
    places: Settings, prepared: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(places.root / ".playbook" / "dvc-remote")
    digest = DatasetVersions().prepare(prepared).dataset_hash
    stored = Path("files") / "md5" / digest[:2] / digest[2:]
    assert (places.root / ".playbook" / "dvc-remote" / stored).is_file()
    monkeypatch.setenv("PLAYBOOK_DVC_REMOTE", str(tmp_path / "elsewhere"))
    DatasetVersions().prepare(prepared)
    assert (tmp_path / "elsewhere" / stored).is_file()


def test_a_remote_that_takes_nothing_is_an_error(
    prepared: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way", "utf-8")
    monkeypatch.setenv("PLAYBOOK_DVC_REMOTE", str(tmp_path / "file" / "remote"))
    with pytest.raises(StorageError, match=r"cannot be stored at DVC remote .*PLAYBOOK_DVC_REMOTE"):
        DatasetVersions().prepare(prepared)


@pytest.mark.parametrize("inside", [True, False])
def test_faults_of_the_data_come_through_in_their_own_words(
    places: Settings, task: Task, tmp_path: Path, inside: bool
) -> None:
    chosen = task if inside else sample(tmp_path / "outside")
    raw = Path(chosen.resolve(chosen.spec.data.source.path or ""))
    write_csv(raw, [{("labels" if k == "label" else k): v for k, v in row.items()} for row in rows(30)])
    with pytest.raises(DataError) as caught:
        DatasetVersions().prepare(chosen)
    message = str(caught.value)
    assert "column 'label' (label) is missing; did you mean 'labels'?" in message
    assert "Traceback" not in message and "dvc" not in message.lower().replace("test_dvc", "")
    raw.write_text("", "utf-8")
    with pytest.raises(DataError, match="expected rows, found an empty file"):
        DatasetVersions().prepare(chosen)
    raw.unlink()
    with pytest.raises(DataError, match=r"rows\.csv"):
        DatasetVersions().prepare(chosen)


def test_a_task_outside_the_project_has_a_stage_of_its_own(places: Settings, prepared: Task, tmp_path: Path) -> None:
    names = {"billing": "a ${money} matter", "delivery": "parcels", "a name of a class " * 9 + "x": "long"}
    outside = sample(tmp_path / "out side ${x}", classes=names)
    found = DatasetVersions().prepare(outside)
    folder = places.home / "data" / "sample"
    assert found.folder == folder / "prepared" and found.number == 1
    made = (folder / "dvc.yaml").stat().st_mtime_ns
    lines: list[str] = []
    again = DatasetVersions().prepare(outside, lines.append)
    assert (again.dataset_hash, again.changed, len(lines)) == (found.dataset_hash, False, 1)
    assert (folder / "dvc.yaml").stat().st_mtime_ns == made
    digest = found.dataset_hash
    assert (places.home / "dvc-remote" / "files" / "md5" / digest[:2] / digest[2:]).is_file()
    assert DatasetVersions().prepare(prepared).folder.is_relative_to(places.root)


def test_a_remote_source_is_prepared_from_a_copy(places: Settings, original: Original, tmp_path: Path) -> None:
    local = original.folder / "project" / "data" / "sample"  # the same rows, prepared where they lie
    fsspec.filesystem("memory").put_file(str(local / "raw" / "rows.csv"), "/dvc/rows.csv")
    remote = write_task(tmp_path / "remote", {"path": "memory://dvc/rows.csv"})
    found = DatasetVersions().prepare(remote)
    table = (found.folder / "train.parquet").read_bytes()
    assert table == (local / "prepared" / "train.parquet").read_bytes()
    assert json.loads((places.home / "data" / "sample" / "raw" / "snapshot.json").read_text("utf-8"))["all"]["sha256"]


def test_an_altered_prepared_folder_is_made_again(prepared: Task) -> None:
    found = DatasetVersions().prepare(prepared)
    (found.folder / "test.parquet").write_bytes(b"altered")
    again = DatasetVersions().prepare(prepared)
    assert again.dataset_hash == found.dataset_hash
    assert (found.folder / "test.parquet").read_bytes() != b"altered"


def test_another_process_at_work_is_waited_for_and_then_named(
    places: Settings, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PATIENCE", 1.0)
    busy = {
        "read": {},
        "write": {str(places.root / "data" / "sample" / "prepared"): {"pid": os.getppid(), "cmd": "dvc"}},
    }
    lock = places.root / ".dvc" / "tmp" / "rwlock"
    lock.parent.mkdir(parents=True)
    lock.write_text(json.dumps(busy), "utf-8")
    with pytest.raises(StorageError, match="another DVC process has held the repository"):
        DatasetVersions().prepare(task)
    lock.unlink()
    assert DatasetVersions().prepare(task).number == 1


def test_the_projects_own_dvc_yaml_names_files_that_exist() -> None:
    stages = yaml.safe_load((CHECKOUT / "dvc.yaml").read_text("utf-8"))["stages"]
    for entry in stages["prepare"]["foreach"].values():
        assert not Path(entry["file"]).is_absolute() and not Path(entry["raw"]).is_absolute()
    for dep in stages["generate_tickets"]["deps"]:
        assert (CHECKOUT / dep).exists(), dep


# Files that say something about labels, and production-like rows


def with_label_files(folder: Path, where: str = "") -> Task:
    """A task with every file that preparing reads, beside it or in `where`."""
    table = rows()
    home = folder / where
    write_csv(home / "second.csv", [{"id": row["id"], "label": row["label"]} for row in table[:40]])
    write_csv(home / "live.csv", [{**row, "id": f"L{at}"} for at, row in enumerate(rows(20, seed=9))])
    (home / "guide.md").write_text("# billing\nMoney.\n", "utf-8")
    named = {
        "second_annotator": f"{where}second.csv",
        "guideline": f"{where}guide.md",
        "corrections": "corrections.csv",
    }
    return sample(folder, table, labels=named, production={"path": f"{where}live.csv"})


def test_a_change_of_any_file_that_is_read_makes_a_new_version(places: Settings, tmp_path: Path) -> None:
    task = with_label_files(tmp_path / "own")
    assert DatasetVersions().prepare(task).number == 1
    (tmp_path / "own" / "guide.md").write_text("# billing\nMoney.\n\n# delivery\nParcels.\n", "utf-8")
    assert DatasetVersions().prepare(task).number == 2
    label = rows()[1]["label"]
    (tmp_path / "own" / "corrections.csv").write_text(
        f"row_id,label,by,when,was\nR0001,billing,ann,x,{label}\n", "utf-8"
    )
    third = DatasetVersions().prepare(task)
    assert third.number == 3 and "1 relabelled; labels corrected +1 (now 1)" in third.changelog
    with (tmp_path / "own" / "live.csv").open("a", encoding="utf-8") as stream:
        stream.write("L99,quite another matter entirely,,C9,2025-01-01,chat\n")
    fourth = DatasetVersions().prepare(task)
    assert fourth.number == 4 and (fourth.folder / "production.parquet").is_file()
    assert DatasetVersions().prepare(task).number == 4


def test_a_label_file_that_is_not_there_is_named(places: Settings, tmp_path: Path) -> None:
    task = with_label_files(tmp_path / "own")
    (tmp_path / "own" / "guide.md").unlink()
    with pytest.raises(DataError, match=r"guide\.md: no such file; check .*data\.labels"):
        DatasetVersions().prepare(task)


def test_a_stage_of_the_project_depends_on_all_that_it_reads(places: Settings, task: Task) -> None:
    document = task_document({"path": "../../data/sample/raw/rows.csv"}, labels={"guideline": "guide.md"})
    task.path.write_text(yaml.safe_dump(document), "utf-8")
    guide = task.path.with_name("guide.md")
    guide.write_text("# billing\nMoney.\n", "utf-8")
    with pytest.raises(
        DataError, match=r"dvc\.yaml: expected prepare@sample to depend on .* no dependency on .*guide\.md"
    ):
        DatasetVersions().prepare(load_task(task.path))
    stages = yaml.safe_load((places.root / "dvc.yaml").read_text("utf-8"))
    stages["stages"]["prepare"]["do"]["deps"].append("pipelines/tasks/guide.md")
    (places.root / "dvc.yaml").write_text(yaml.safe_dump(stages), "utf-8")
    assert DatasetVersions().prepare(load_task(task.path)).number == 1


def test_the_sample_tasks_stage_depends_on_its_label_files() -> None:
    stages = yaml.safe_load((CHECKOUT / "dvc.yaml").read_text("utf-8"))["stages"]
    item = stages["prepare"]["foreach"]["tickets"]
    assert {"second_annotator", "guideline", "corrections"} <= set(item)
    assert all(f"${{item.{part}}}" in stages["prepare"]["do"]["deps"] for part in item if part != "file")
    assert (CHECKOUT / item["guideline"]).is_file() and (CHECKOUT / item["corrections"]).is_file()


# Sides: a row never changes side, whatever becomes of versions, caches and checkouts


def sides_in(folder: Path) -> dict[str, str]:
    found = {}
    for split in ("train", "validation", "test"):
        found |= dict.fromkeys(pd.read_parquet(folder / f"{split}.parquet", columns=["row_id"])["row_id"], split)
    return found


def other_rows(prefix: str, seed: int) -> list[dict[str, str]]:
    return [{**row, "id": f"{prefix}{row['id']}", "customer": f"{prefix}{row['customer']}"} for row in rows(90, seed)]


@pytest.mark.parametrize(
    "declared",
    [
        pytest.param(True, id="ledger is an output"),
        pytest.param(False, id="dvc.yaml of before", marks=pytest.mark.proof),
    ],
)
def test_data_that_goes_and_comes_back_moves_nothing(places: Settings, declared: bool) -> None:
    if declared:
        stages = yaml.safe_load(yaml.safe_dump(DVC_YAML))
        stages["stages"]["prepare"]["do"]["outs"] = WITH_LEDGER
        (places.root / "dvc.yaml").write_text(yaml.safe_dump(stages), "utf-8")
    task, raw = with_task(places), places.root / "data" / "sample" / "raw" / "rows.csv"
    first, other, seen, numbers = rows(), other_rows("B", 5), dict[str, str](), []
    for step, table in enumerate((first, other, first, [*first[:60], *other, *other_rows("C", 6)])):
        write_csv(raw, table)
        document = task_document({"path": "../../data/sample/raw/rows.csv"}, splits={"seed": 7 if step < 3 else 8})
        task.path.write_text(yaml.safe_dump(document), "utf-8")
        found = DatasetVersions().prepare(load_task(task.path))
        now = sides_in(found.folder)
        assert all(now[row] == seen.get(row, now[row]) for row in now), step
        seen |= now
        numbers.append(found.number)
    assert numbers == [1, 2, 1, 3]
    again: list[str] = []
    DatasetVersions().prepare(load_task(task.path), again.append)
    assert len(again) == 1  # nothing ran


WITH_LEDGER = [
    {"data/${key}/prepared": {"persist": True}},
    {"data/${key}/${key}.sides.txt": {"persist": True, "cache": False}},
]


def test_a_clone_and_an_emptied_home_know_the_sides(
    places: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = with_task(places)
    before = sides_in(DatasetVersions().prepare(task).folder)
    shutil.rmtree(places.home)
    changed = [{**row, "text": f"{row['text']} as of today {row['id']}"} for row in rows()]
    write_csv(places.root / "data" / "sample" / "raw" / "rows.csv", changed)
    assert sides_in(DatasetVersions().prepare(task).folder) == before
    clone = tmp_path / "clone"
    for name in ("dvc.yaml", "dvc.lock", "data/sample/versions.yaml", "data/sample/sample.sides.txt"):  # what git has
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(places.root / name, clone / name)
    for folder in (".dvc", "pipelines", "playbook"):
        shutil.copytree(places.root / folder, clone / folder, ignore=shutil.ignore_patterns("cache", "tmp"))
    write_csv(clone / "data" / "sample" / "raw" / "rows.csv", [*changed[1:], *other_rows("N", 4)])
    monkeypatch.setenv("PLAYBOOK_ROOT", str(clone))
    monkeypatch.setenv("PLAYBOOK_HOME", str(tmp_path / "elsewhere"))
    there = sides_in(DatasetVersions().prepare(load_task(clone / "pipelines" / "tasks" / "sample.yaml")).folder)
    assert {row: there[row] for row in before if row in there} == {row: before[row] for row in before if row in there}
    assert len(there) > 300


@pytest.mark.parametrize(
    "left", ["remote", *(pytest.param(one, marks=pytest.mark.proof) for one in ("prepared folder", "cache"))]
)
def test_a_version_of_before_the_ledger_founds_it(places: Settings, prepared: Task, left: str) -> None:
    home = places.root / "data" / "sample"
    before = sides_in(home / "prepared")
    (home / "sample.sides.txt").unlink()
    if left != "prepared folder":
        shutil.rmtree(home / "prepared")
    if left != "cache":
        shutil.rmtree(places.root / ".dvc" / "cache")
    document = task_document({"path": "../../data/sample/raw/rows.csv"}, splits={"seed": 5, "test": 0.3})
    prepared.path.write_text(yaml.safe_dump(document), "utf-8")  # other shares and another seed: all would move
    lines: list[str] = []
    found = DatasetVersions().prepare(load_task(prepared.path), lines.append)
    assert sides_in(found.folder) == before
    assert any("founded on the sides of the versions on record" in line for line in lines)


def test_a_lost_ledger_comes_back_from_the_store(places: Settings, prepared: Task) -> None:
    home = places.root / "data" / "sample"
    ledger = home / "sample.sides.txt"
    before = ledger.read_bytes()
    store = Store(places.store, places.home / "cache" / "store")
    kept = store.put(DATASET, DatasetVersion(task="sample", labels=("a", "b"), play_key="1"), {"sides": ledger})
    store.set_current("sample", DATASET, kept.play_key)
    ledger.unlink()
    for folder in (home / "prepared", places.root / ".dvc" / "cache", places.root / ".playbook"):
        shutil.rmtree(folder)
    path = prepared.path
    path.write_text(path.read_text("utf-8").replace("  splits:", "  splits:\n    seed: 99"), "utf-8")
    lines: list[str] = []
    DatasetVersions().prepare(load_task(path), lines.append)
    assert any("sample.sides.txt: was not there" in line for line in lines)
    assert ledger.read_bytes() == before


def test_sides_that_nobody_has_any_more_are_said(places: Settings, prepared: Task) -> None:
    home = places.root / "data" / "sample"
    (home / "sample.sides.txt").unlink()
    for folder in (home / "prepared", places.root / ".dvc" / "cache", places.root / ".playbook"):
        shutil.rmtree(folder)
    lines: list[str] = []
    DatasetVersions().prepare(prepared, lines.append)
    assert any("all rows are divided as if they were seen for the first time" in line for line in lines)
    assert (home / "sample.sides.txt").is_file()
