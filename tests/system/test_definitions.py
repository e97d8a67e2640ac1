"""The code location as Dagster loads it: keys, groups, owners, kinds, tags, jobs and checks of every task."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import dagster as dg
import pytest
import yaml
from dagster import AssetsDefinition
from data_samples import sample

from assets.data import check_name
from pipelines.definitions import defs
from pipelines.tags import TASK_TAG
from playbook.data.rules import rules
from playbook.plays import asset_kinds
from playbook.settings import settings
from playbook.taskfile import Task, load_task

ROOT = settings().root
RUNGS = "rungs"  # as many as the task file allows, and what refreshes the model that they made


class Row(NamedTuple):
    """One asset: its play, whose it is, what it is made with, and what it reads; the rungs stand for all of them."""

    play: str
    owner: str
    kinds: set[str]
    upstream: set[str]


MODEL = {"dataset_version", "base_selection", "frozen_baseline"}
JUDGED = {*MODEL, RUNGS, "candidate", "evaluation"}
GRAPH = {
    "accumulated_rows": Row("3", "data", {"csv"}, set()),
    "problem_statement": Row("1", "model", {"yaml"}, {"accumulated_rows"}),
    "dataset_version": Row("3", "data", {"dvc", "parquet"}, {"accumulated_rows", "problem_statement"}),
    "reference_baselines": Row("1", "model", {"scikitlearn", "pytorch"}, {"problem_statement", "dataset_version"}),
    "decision": Row("1", "model", {"pytorch"}, {"problem_statement", "dataset_version", "reference_baselines"}),
    "base_selection": Row(
        "2", "model", {"huggingface", "pytorch"},
        {"problem_statement", "dataset_version", "reference_baselines", "decision"},
    ),
    "frozen_baseline": Row("4", "model", {"pytorch"}, MODEL - {"frozen_baseline"}),
    "early_end": Row("4", "sign_off", {"pytorch"}, {"dataset_version", "decision", "frozen_baseline"}),
    "label_audit": Row("3", "data", {"scikitlearn"}, MODEL),
    "rung_1": Row("4", "model", {"pytorch", "lightning"}, {*MODEL, "early_end"}),
    "rung_2": Row("4", "model", {"pytorch", "lightning"}, {*MODEL, "rung_1"}),
    "rung_3": Row("4", "model", {"pytorch", "lightning"}, {*MODEL, "rung_2"}),
    "refresh": Row("4", "model", {"pytorch", "lightning"}, MODEL),
    "candidate": Row("5", "model", {"pytorch"}, {"dataset_version", "frozen_baseline", RUNGS}),
    "controls": Row("4", "model", {"pytorch", "lightning"}, {*MODEL, RUNGS, "early_end", "candidate"}),
    "evaluation": Row(
        "5", "sign_off", {"html"},
        {*MODEL, RUNGS, "reference_baselines", "decision", "early_end", "label_audit", "candidate", "controls"},
    ),
    "sign_off": Row("5", "sign_off", {"json"}, JUDGED),
    "packaged_model": Row("6", "model", {"mlflow"}, {*JUDGED, "sign_off"}),
    "handoff": Row(
        "6", "model", {"markdown"},
        {"dataset_version", "frozen_baseline", RUNGS, "label_audit", "evaluation", "sign_off", "packaged_model"},
    ),
    "production_window": Row("6", "data", {"sql", "parquet"}, set()),
    "drift": Row("6", "data", {"numpy"}, {"production_window"}),
    "retrain_decision": Row("6", "model", {"json"}, {"drift"}),
    "base_trial": Row("6", "model", {"huggingface", "pytorch"}, {"dataset_version"}),
}  # fmt: skip
DAILY = {"production_window", "drift", "retrain_decision"}
WHOLE = {"job", "retrain_job"}  # jobs that run the whole task
SERVING = {"predict_job", "retention_job", "rollback_job", "monitor_job", "request_retrain_job", "try_bases_job"}
JOBS = {*WHOLE, "package_job", *SERVING}
BESIDE = {*DAILY, "base_trial"}  # assets that no run of the whole task makes


def rungs_of(task: Task) -> list[str]:
    return [f"rung_{index}" for index in range(1, task.spec.adaptation.max_rungs + 1)]


def names_of(task: Task) -> list[str]:
    """Every asset of a task in the order of the plays."""
    return [name for name in GRAPH if not name.startswith("rung_") or name in rungs_of(task)]


def runs_of(loaded: dg.Definitions, job: str) -> set[str]:
    """Names of the assets that a job materialises."""
    return {key.path[1] for key in loaded.resolve_job_def(job).asset_layer.executable_asset_keys}


def set_places(monkeypatch: pytest.MonkeyPatch, folder: Path, tasks: Path | None = None) -> None:
    """State under `folder`; task files of the project and of `tasks`."""
    for name in (
        "DAGSTER_HOME",
        "MLFLOW_TRACKING_URI",
        "PLAYBOOK_STORE",
        "PLAYBOOK_ROOT",
        "PLAYBOOK_TASKS",
        "PLAYBOOK_WEBHOOK",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PLAYBOOK_HOME", str(folder / "home"))
    if tasks is not None:
        monkeypatch.setenv("PLAYBOOK_TASKS", str(tasks))


@pytest.fixture(scope="module")
def added(tmp_path_factory: pytest.TempPathFactory) -> Task:
    """A task file outside the project."""
    return sample(tmp_path_factory.mktemp("tasks"))


@pytest.fixture(scope="module")
def loaded(added: Task, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.Definitions]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        set_places(monkeypatch, tmp_path_factory.mktemp("state"), added.path.parent)
        yield defs()


@pytest.fixture(scope="module")
def project() -> Task:
    return load_task(ROOT / "pipelines" / "tasks" / "tickets.yaml")


@pytest.fixture(params=["tickets", "sample"])
def task(request: pytest.FixtureRequest, project: Task, added: Task) -> Task:
    return {"tickets": project, "sample": added}[request.param]


def assets_of(loaded: dg.Definitions, task: Task) -> dict[str, AssetsDefinition]:
    """The assets of a task by name, one definition each."""
    mine = [asset for asset in loaded.assets or () if isinstance(asset, AssetsDefinition)]
    return {asset.key.path[1]: asset for asset in mine if asset.keys and asset.key.path[0] == task.spec.task}


def test_every_play_and_no_other(loaded: dg.Definitions, task: Task) -> None:
    found = assets_of(loaded, task)
    assert list(found) == names_of(task)
    assert list(asset_kinds(task.spec)) == [name for name in found if name not in BESIDE]


def test_nothing_but_tasks_in_the_code_location(loaded: dg.Definitions) -> None:
    graph = loaded.resolve_asset_graph()
    assert {key.path[0] for key in graph.get_all_asset_keys()} == {"tickets", "sample"}
    assert {job.name for job in loaded.resolve_all_job_defs()} - {"__ASSET_JOB"} == {
        f"{task}_{job}" for task in ("tickets", "sample") for job in JOBS
    }
    dg.Definitions.validate_loadable(loaded)


def test_what_runs_by_itself_is_switched_on(loaded: dg.Definitions) -> None:
    sensors = {sensor.name: sensor.default_status.value for sensor in loaded.sensors or ()}
    assert sensors == dict.fromkeys(("sample_sign_off", "sample_retrain", "tickets_retrain"), "RUNNING")
    schedules = {schedule.name: schedule.default_status.value for schedule in loaded.schedules or ()}  # type: ignore[union-attr]
    daily = [f"{task}_{name}" for task in ("tickets", "sample") for name in ("retention", "monitor_schedule")]
    # No task file asks for rounds at fixed times; only one of them names a second base to try.
    assert schedules == dict.fromkeys([*daily, "tickets_try_bases_schedule"], "RUNNING")
    tried = loaded.resolve_schedule_def("tickets_try_bases_schedule")
    assert (tried.cron_schedule, tried.job_name) == ("0 4 1 * *", "tickets_try_bases_job")


def test_a_schedule_of_rounds_and_a_webhook_add_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = sample(tmp_path / "tasks")
    document = yaml.safe_load(few.path.read_text())
    few.path.write_text(yaml.safe_dump({**document, "retraining": {"schedule": "0 4 * * 1"}}))
    set_places(monkeypatch, tmp_path, tmp_path / "tasks")
    monkeypatch.setenv("PLAYBOOK_WEBHOOK", "http://127.0.0.1:9/alerts")
    loaded = defs()
    asked = loaded.resolve_schedule_def("sample_retrain_schedule")
    assert (asked.cron_schedule, asked.job_name) == ("0 4 * * 1", "sample_request_retrain_job")
    alerts = {sensor.name for sensor in loaded.sensors or () if sensor.name.endswith("_alerts")}
    assert alerts == {"sample_alerts", "tickets_alerts"}
    dg.Definitions.validate_loadable(loaded)


def test_attributes(loaded: dg.Definitions, task: Task) -> None:
    for name, asset in assets_of(loaded, task).items():
        spec, row = asset.specs_by_key[asset.key], GRAPH[name]
        assert spec.group_name == task.spec.task, name
        assert list(spec.owners) == [getattr(task.spec.owners, row.owner)], name
        assert spec.kinds == {"python", *row.kinds}, name
        assert {key: value for key, value in spec.tags.items() if not key.startswith("dagster/")} == {"play": row.play}
        assert spec.code_version, name
        assert spec.description, name
        assert not spec.skippable, name  # a play with nothing to do says so instead of vanishing
        assert (spec.partitions_def is not None) == (name in DAILY), name


def test_order_of_the_plays(loaded: dg.Definitions, task: Task) -> None:
    for name, asset in assets_of(loaded, task).items():
        upstream = {key.path[1] for key in asset.asset_deps[asset.key]}
        assert all(key.path[0] == task.spec.task for key in asset.asset_deps[asset.key])
        rungs = {*rungs_of(task), "refresh"} if RUNGS in GRAPH[name].upstream else set()
        assert upstream == (GRAPH[name].upstream - {RUNGS}) | rungs, name


def test_the_gate_blocks(loaded: dg.Definitions, task: Task) -> None:
    graph = loaded.resolve_asset_graph()
    mine = [graph.get_check_spec(key) for key in graph.asset_check_keys if key.asset_key.path[0] == task.spec.task]
    gate = [spec for spec in mine if spec.asset_key.path[1] == "dataset_version"]
    assert all(spec.blocking for spec in gate)
    names = {check_name(rule.name) for rule in rules(task)}
    assert {spec.name for spec in gate} == names | {"source_readable", "every_expectation_evaluated"}
    assert len(gate) == len(names) + 2
    (other,) = [spec for spec in mine if spec not in gate]
    assert (other.asset_key.path[1], other.name, other.blocking) == ("drift", "no_drift", False)


def test_no_pools(loaded: dg.Definitions, task: Task) -> None:
    """A killed run of the command line would keep its slot and hold up the next one for ever; plays lock themselves."""
    assert {asset.op.pool for asset in assets_of(loaded, task).values()} == {None}


def test_each_job_takes_its_part_in_one_process(loaded: dg.Definitions, task: Task) -> None:
    name = task.spec.task
    for kind in WHOLE:
        assert runs_of(loaded, f"{name}_{kind}") == set(asset_kinds(task.spec))
    assert runs_of(loaded, f"{name}_package_job") == {"sign_off", "packaged_model", "handoff"}
    assert runs_of(loaded, f"{name}_monitor_job") == DAILY
    assert runs_of(loaded, f"{name}_try_bases_job") == {"base_trial"}
    for kind in JOBS:
        job = loaded.resolve_job_def(f"{name}_{kind}")
        assert job.executor_def.name == "in_process", kind
        assert job.description, kind
    main = loaded.resolve_job_def(f"{name}_job")
    assert {key.asset_key.path[0] for key in main.asset_layer.asset_graph.asset_check_keys} == {name}
    assert main.description == task.spec.question


def test_what_changes_a_task_runs_once_at_a_time(loaded: dg.Definitions, task: Task) -> None:
    """By the tag that dagster.yaml limits; nothing that production needs (a rollback, a day's figures) waits for it."""
    name = task.spec.task
    tagged = {kind for kind in JOBS if loaded.resolve_job_def(f"{name}_{kind}").tags.get(TASK_TAG) == name}
    assert tagged == {*WHOLE, "package_job"}


def test_rungs_follow_the_task_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = sample(tmp_path / "tasks")
    document = yaml.safe_load(few.path.read_text())
    few.path.write_text(yaml.safe_dump({**document, "adaptation": {"max_rungs": 1}}))
    set_places(monkeypatch, tmp_path, tmp_path / "tasks")
    assert [name for name in assets_of(defs(), few) if name.startswith("rung")] == ["rung_1"]


def test_a_faulty_task_file_leaves_the_others_usable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "broken.yaml").write_text("task: broken\nquestion: too few fields\n")
    set_places(monkeypatch, tmp_path, tmp_path)
    jobs = {job.name for job in defs().resolve_all_job_defs()}
    assert "tickets_job" in jobs
    assert "broken_job" not in jobs
    assert "broken.yaml" in caplog.text
    assert "target" in caplog.text


def test_one_module_is_named_everywhere() -> None:
    workspace = yaml.safe_load((ROOT / "workspace.yaml").read_text())["load_from"]
    assert len(workspace) == 1
    module = workspace[0]["python_module"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["dg"]["project"]
    assert module["module_name"] == project["code_location_target_module"] == "pipelines.definitions"
    assert module["location_name"] == project["code_location_name"]
    assert module["module_name"].split(".")[0] == project["root_module"]
    assert (ROOT / "workspace.yaml").parent / module["working_directory"] == ROOT
