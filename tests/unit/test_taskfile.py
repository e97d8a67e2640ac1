"""Task files: every fault at once with its line, every shipped file valid, and the commands around them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result
from data_samples import task_document

import playbook
from playbook.cli import main
from playbook.errors import TaskFileError
from playbook.settings import settings
from playbook.spec import TaskSpec, untouched
from playbook.taskfile import Task, find_tasks, json_schema, load_task, locate_task
from playbook.template import write_template

CHECKOUT = Path(playbook.__file__).resolve().parents[1]
SHIPPED = sorted([*(CHECKOUT / "pipelines" / "tasks").rglob("*.y*ml"), *(CHECKOUT / "tests" / "tasks").rglob("*.y*ml")])

FAULTY = """\
task: My Task
question: short
target:
  metric: acuracy
  at_least: 1.5
owners: {model: nobody, data: team:data, sign_off: team:c}
data:
  source: {path: rows.csv, train: train.csv}
  columns:
    text: text
    lable: label
  classes: {" a": first}
base:
  package: some_base
  sha256: 123
  licence: MIT
adaptation:
  epochs: many
  max_rungs: -1
colour: blue
"""
# line, field, what the message says
FAULTS = [
    (1, "task", '"My Task"'),
    (2, "question", "10 characters"),
    (4, "target.metric", "'accuracy', 'balanced_accuracy'"),
    (5, "target.at_least", "less than or equal to 1"),
    (3, "target.margin", "missing"),
    (6, "owners.model", "an e-mail address or team:name"),
    (8, "data.source", "either path (one file), or train and test"),
    (9, "data.columns.label", "missing"),
    (11, "data.columns.lable", "no such field"),
    (12, "data.classes", "at least 2"),
    (15, "base.sha256", "found 123"),
    (18, "adaptation.epochs", '"many"; allowed: a valid integer'),
    (19, "adaptation.max_rungs", "found -1; allowed: greater than or equal to 0"),
    (20, "colour", "no such field"),
]


@pytest.fixture(autouse=True)
def own_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLAYBOOK_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PLAYBOOK_ROOT", str(CHECKOUT))
    monkeypatch.delenv("PLAYBOOK_TASKS", raising=False)


def write(path: Path, document: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(document if isinstance(document, str) else yaml.safe_dump(document, sort_keys=False), "utf-8")
    return path


def command(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


def test_all_faults_are_reported_together_with_line_and_field(tmp_path: Path) -> None:
    with pytest.raises(TaskFileError) as caught:
        load_task(write(tmp_path / "bad.yaml", FAULTY))
    message = str(caught.value)
    for line, field, said in FAULTS:
        found = [fault for fault in caught.value.faults if fault.startswith(f"line {line}, {field}: ")]
        assert len(found) == 1 and said in found[0], (line, field, message)
    assert len(caught.value.faults) == len(FAULTS)
    assert message.startswith(f"{tmp_path / 'bad.yaml'}: {len(FAULTS)} faults\n")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"target": {"metric": "recall", "at_least": 0.8, "margin": 0.1}}, "of_class is required"),
        ({"target": {"metric": "f1", "of_class": "x", "at_least": 0.8, "margin": 0.1}}, "'x' is not in data.classes"),
        (
            {"target": {"metric": "accuracy", "of_class": "billing", "at_least": 0.8, "margin": 0.1}},
            "and for nothing else",
        ),
        ({"base": {"sha256": "0" * 64, "licence": "MIT"}}, "exactly one of hub, folder and package"),
        ({"base": {"hub": "a/b", "sha256": "0" * 64, "licence": "MIT"}}, "40 hex digits"),
        ({"target": {"metric": "accuracy", "at_least": float("nan"), "margin": 0.1}}, "finite number"),
    ],
)
def test_rules_across_fields(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    path = write(tmp_path / "task.yaml", {**task_document({"path": "rows.csv"}), **change})
    with pytest.raises(TaskFileError, match=re.escape(said)):
        load_task(path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("task: [unclosed", "not readable as YAML"),
        ("- a\n- b\n", "expected a mapping"),
        ("", "expected a mapping"),
        ("task: !!python/object/apply:os.system ['true']\n", "not readable as YAML"),
        ("1: a\ntask: x\n", "1"),
    ],
)
def test_what_is_no_task_file_says_so(tmp_path: Path, content: str, said: str) -> None:
    with pytest.raises(TaskFileError, match=re.escape(said)):
        load_task(write(tmp_path / "odd.yaml", content))
    with pytest.raises(TaskFileError, match="no such file"):
        load_task(tmp_path / "absent.yaml")


def test_bytes_that_are_no_text_are_a_fault(tmp_path: Path) -> None:
    (tmp_path / "task.yaml").write_bytes(b"task: \xff\xfe")
    with pytest.raises(TaskFileError, match="line 1: expected text in UTF-8, found byte 0xff; save the file as UTF-8"):
        load_task(tmp_path / "task.yaml")


def test_task_files_are_shipped() -> None:
    assert {path.stem for path in SHIPPED} >= {"tickets", "banking77"}


@pytest.mark.parametrize("path", SHIPPED, ids=[path.stem for path in SHIPPED])
def test_every_shipped_task_file_is_valid_and_says_how_to_run_it(path: Path) -> None:
    task = load_task(path)
    assert task.spec.task == path.stem
    assert f"playbook run {path.stem}" in path.read_text(
        "utf-8"
    ) or f"playbook run {path.relative_to(CHECKOUT)}" in path.read_text("utf-8")
    assert "TODO" not in path.read_text("utf-8")


def test_what_init_writes_only_lacks_what_is_marked(tmp_path: Path) -> None:
    done = command("init", "letters", "--folder", str(tmp_path / "new"))
    assert done.exit_code == 0 and str(tmp_path / "new" / "letters.yaml") in done.stdout
    text = (tmp_path / "new" / "letters.yaml").read_text("utf-8")
    document = yaml.safe_load(text)
    assert text.count("TODO") == 5 and document["task"] == "letters"
    with pytest.raises(TaskFileError) as refused:
        load_task(tmp_path / "new" / "letters.yaml")
    assert [fault.split(":")[0] for fault in refused.value.faults] == ["line 6, question", "line 35, data.classes"]
    assert command("run", str(tmp_path / "new" / "letters.yaml")).exit_code == 2
    filled = text.replace(untouched.QUESTION, "Which team should answer this letter?")
    filled = filled.replace(untouched.CLASSES["first"], "Letters about money.").replace(
        "second: TODO", "second: The rest."
    )
    assert isinstance(load_task(write(tmp_path / "filled.yaml", filled)).spec, TaskSpec)
    schema = re.search(r"\$schema=file://(\S+)", text)
    assert schema is not None and Path(schema[1]).is_file()
    again = command("init", "letters", "--folder", str(tmp_path / "new"))
    assert again.exit_code == 2 and "nothing was overwritten" in again.stderr
    assert (tmp_path / "new" / "letters.yaml").read_text("utf-8") == text
    for name in ("Letters", "../letters", "1st", ""):
        with pytest.raises(TaskFileError, match="lower case letters"):
            write_template(name, tmp_path / "new")


def test_the_schema_for_editors_is_up_to_date() -> None:
    kept = (CHECKOUT / "playbook" / "task.schema.json").read_text("utf-8")
    assert json.loads(kept) == json_schema(), "run `playbook schema > playbook/task.schema.json`"
    assert json.loads(command("schema").stdout) == json_schema()
    assert set(json_schema()["required"]) == {"task", "question", "target", "owners", "data", "base"}


def test_tasks_of_the_project_and_of_the_environment_are_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = {**task_document({"path": "rows.csv"}), "task": "mine"}
    one = write(tmp_path / "one" / "whatever.yaml", document)
    two = write(tmp_path / "two" / "broken.yml", "task: [")
    monkeypatch.setenv("PLAYBOOK_TASKS", f"{one.parent}:{two.parent}")
    assert {
        "tickets": CHECKOUT / "pipelines" / "tasks" / "tickets.yaml",
        "mine": one,
        "broken": two,
    }.items() <= find_tasks(settings()).items()
    listed = command("tasks")
    assert listed.exit_code == 0 and re.search(rf"^mine +{re.escape(str(one))}$", listed.stdout, re.MULTILINE)
    assert json.loads(command("tasks", "--json").stdout)["mine"] == str(one)
    assert locate_task("mine", settings()) == one
    assert locate_task(str(one), settings()) == one

    write(tmp_path / "two" / "again.yaml", document)
    again = command("tasks")
    assert again.exit_code == 2 and "'mine' is taken by" in again.stderr


@pytest.mark.parametrize("verb", ["run", "show"])
def test_bad_arguments_end_with_status_two(tmp_path: Path, verb: str) -> None:
    bad = write(tmp_path / "bad.yaml", FAULTY)
    for argument, said in (
        (str(bad), f"{len(FAULTS)} faults"),
        ("nosuch", "no such task; known:"),
        ("no.yaml", "no such file"),
    ):
        done = command(verb, argument)
        assert done.exit_code == 2 and said in done.stderr and done.stdout == ""
        assert "Traceback" not in done.stderr
    assert not (tmp_path / "home").exists(), "nothing was started"


def test_an_unknown_asset_ends_with_status_two(tmp_path: Path) -> None:
    path = write(tmp_path / "sample.yaml", task_document({"path": "rows.csv"}))
    done = command("run", str(path), "--until", "rung_9")
    assert done.exit_code == 2 and "found 'rung_9'; allowed: accumulated_rows, problem_statement" in done.stderr
    assert not (tmp_path / "home").exists()
    assert command("run").exit_code == 2 and command("sing").exit_code == 2


def test_a_task_that_never_ran_is_shown_as_such(tmp_path: Path) -> None:
    path = write(tmp_path / "sample.yaml", task_document({"path": "rows.csv"}))
    shown = json.loads(command("show", str(path), "--json").stdout)
    assert shown["state"] == "not_run" and shown["dataset"] is None and shown["model"] is None
    assert "NOT RUN YET" in command("show", str(path)).stdout


def test_a_task_is_called_by_its_name_only_where_that_finds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PLAYBOOK_TASKS", raising=False)
    known = load_task(CHECKOUT / "pipelines" / "tasks" / "tickets.yaml")
    assert known.called() == known.spec.task
    copy = tmp_path / "my tickets.yaml"
    copy.write_text(known.path.read_text("utf-8"), "utf-8")
    assert Task(known.spec, copy).called() == f"'{copy}'"
    monkeypatch.chdir(tmp_path)
    assert Task(known.spec, copy).called() == "'my tickets.yaml'"
    monkeypatch.setenv("PLAYBOOK_TASKS", str(tmp_path))  # the name is claimed twice now: only the path is sure
    assert Task(known.spec, copy).called() == "'my tickets.yaml'"


def test_what_is_no_file_is_no_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLAYBOOK_TASKS", str(tmp_path))
    before = find_tasks(settings())
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "dangling.yaml").symlink_to(tmp_path / "gone.yaml")
    assert find_tasks(settings()) == before
    with pytest.raises(TaskFileError, match="or give the path of a task file"):
        locate_task("dangling", settings())


@pytest.mark.parametrize("threads", ["many", "0", "-1", "1.5"])
def test_threads_that_are_no_number_end_with_status_two(threads: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLAYBOOK_THREADS", threads)
    done = CliRunner().invoke(main, ["tasks"])
    assert done.exit_code == 2 and f"PLAYBOOK_THREADS: expected a whole number from 1, found {threads!r}" in done.stderr
