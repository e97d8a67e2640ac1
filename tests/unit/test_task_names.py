"""A name belongs to one task file of an installation."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from click.testing import CliRunner
from data_samples import write_task

from playbook.cli import main
from playbook.errors import TaskFileError
from playbook.settings import Settings, settings
from playbook.task_names import claim_name, open_task, require_own_name
from playbook.taskfile import Task, load_task


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("PLAYBOOK_HOME", str(tmp_path / "home"))
    return settings()


def made(folder: Path) -> Task:
    folder.mkdir(parents=True, exist_ok=True)
    return write_task(folder, {"path": "rows.csv"})


def test_a_second_file_of_one_name_is_refused_with_both_paths(tmp_path: Path, places: Settings) -> None:
    first, second = made(tmp_path / "a"), made(tmp_path / "b")
    claim_name(first, places)
    for refuse in (lambda: claim_name(second, places), lambda: open_task(str(second.path), places)):
        with pytest.raises(TaskFileError) as error:
            refuse()
        assert str(first.path) in str(error.value)
        assert str(second.path) in str(error.value)
    assert open_task(str(first.path), places).path == first.path


def test_commands_refuse_it(tmp_path: Path, places: Settings) -> None:
    first, second = made(tmp_path / "a"), made(tmp_path / "b")
    claim_name(first, places)
    (tmp_path / "rows.csv").write_text("id,label\n1,x\n")
    commands = {
        "run": (), "show": (), "predict": (str(tmp_path / "rows.csv"),), "outcomes": (str(tmp_path / "rows.csv"),),
        "serve": (), "relabel": (), "log": (), "rollback": ("--as", "ann", "--reason", "a test"),
        "annotate": ("--rows", "2"),
    }  # fmt: skip
    for name, rest in commands.items():
        done = CliRunner().invoke(main, [name, str(second.path), *rest])
        assert done.exit_code == 2, name
        assert str(first.path) in done.stderr, name


def test_a_name_is_free_again_when_its_file_has_moved_or_is_called_otherwise(tmp_path: Path, places: Settings) -> None:
    first = made(tmp_path / "a")
    claim_name(first, places)
    moved = first.path.rename(tmp_path / "moved.yaml")
    claim_name(load_task(moved), places)
    second = made(tmp_path / "b")
    with pytest.raises(TaskFileError, match=r"moved\.yaml"):
        require_own_name(second, places)
    moved.write_text(moved.read_text().replace(f"task: {first.spec.task}", "task: another"))
    claim_name(second, places)
    require_own_name(second, places)


@pytest.mark.parametrize("content", ["task: [", "", "\udcff"])
def test_a_file_in_the_middle_of_an_edit_keeps_its_name(tmp_path: Path, places: Settings, content: str) -> None:
    first, second = made(tmp_path / "a"), made(tmp_path / "b")
    claim_name(first, places)
    first.path.write_text(content, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(TaskFileError, match="belongs to"):
        claim_name(second, places)


def test_a_claim_is_repeated_without_harm_and_lasts(tmp_path: Path, places: Settings) -> None:
    first = made(tmp_path / "a")
    for _ in range(2):
        claim_name(first, places)
    assert [path.name for path in (places.ledgers / first.spec.task).iterdir()] == ["task_file"]


def test_of_two_first_runs_at_once_one_has_the_name(tmp_path: Path, places: Settings) -> None:
    files = [made(tmp_path / str(number)) for number in range(8)]

    def claim(task: Task) -> bool:
        try:
            claim_name(task, places)
        except TaskFileError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(claim, files)) == 1


def test_a_task_files_path_has_no_control_characters(tmp_path: Path) -> None:
    with pytest.raises(TaskFileError, match=r"control characters, found U\+000A; rename"):
        load_task(tmp_path / "a\nb" / "task.yaml")
