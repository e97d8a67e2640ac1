"""The code location as Dagster loads it: keys, groups, owners, kinds, tags, jobs and checks of every task."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster import AssetsDefinition
from data_samples import sample

from assets.data import check_name
from pipelines.definitions import defs
from playbook.data.rules import rules
from playbook.settings import settings
from playbook.taskfile import Task, load_task

ROOT = settings().root
RUNGS = "rungs"  # as many as the task file allows
PLAYS = {
    "problem_statement": "1",
    "dataset_version": "3",
    "reference_baselines": "1",
    "decision": "1",
    "base_selection": "2",
    "frozen_baseline": "4",
    "label_audit": "3",
    RUNGS: "4",
    "candidate": "5",
    "controls": "4",
    "evaluation": "5",
    "sign_off": "5",
    "packaged_model": "6",
}
KINDS = {
    "problem_statement": {"yaml"},
    "dataset_version": {"dvc", "parquet"},
    "reference_baselines": {"scikitlearn", "pytorch"},
    "decision": {"pytorch"},
    "base_selection": {"huggingface", "pytorch"},
    "frozen_baseline": {"pytorch"},
    "label_audit": {"scikitlearn"},
    RUNGS: {"pytorch", "lightning"},
    "candidate": {"pytorch"},
    "controls": {"pytorch", "lightning"},
    "evaluation": {"html"},
    "sign_off": {"json"},
    "packaged_model": {"mlflow"},
}
UPSTREAM = {
    "problem_statement": set(),
    "dataset_version": {"problem_statement"},
    "reference_baselines": {"problem_statement", "dataset_version"},
    "decision": {"problem_statement", "dataset_version", "reference_baselines"},
    "base_selection": {"problem_statement", "dataset_version", "reference_baselines", "decision"},
    "frozen_baseline": {"dataset_version", "base_selection"},
    "label_audit": {"dataset_version", "base_selection", "frozen_baseline"},
    "rung_1": {"dataset_version", "base_selection", "frozen_baseline"},
    "rung_2": {"dataset_version", "base_selection", "frozen_baseline", "rung_1"},
    "rung_3": {"dataset_version", "base_selection", "frozen_baseline", "rung_2"},
}
LATER = {  # beside the rungs
    "candidate": {"dataset_version", "frozen_baseline"},
    "controls": {"dataset_version", "base_selection", "frozen_baseline", "candidate"},
    "evaluation": {
        "dataset_version", "reference_baselines", "decision", "base_selection", "frozen_baseline", "label_audit",
        "candidate", "controls",
    },
    "sign_off": {"dataset_version", "base_selection", "frozen_baseline", "candidate", "evaluation"},
    "packaged_model": {"dataset_version", "base_selection", "frozen_baseline", "candidate", "evaluation", "sign_off"},
}  # fmt: skip
NOT_BUILT = {"adapter", "handoff", "production_window", "drift", "retrain_decision"}


def rungs_of(task: Task) -> list[str]:
    return [f"rung_{index}" for index in range(1, task.spec.adaptation.max_rungs + 1)]


def names_of(task: Task) -> list[str]:
    """Every asset of a task in the order of the plays."""
    return [name for play in PLAYS for name in (rungs_of(task) if play == RUNGS else [play])]


def play_of(name: str) -> str:
    return RUNGS if name.startswith("rung_") else name


def set_places(monkeypatch: pytest.MonkeyPatch, folder: Path, tasks: Path | None = None) -> None:
    """State under `folder`; task files of the project and of `tasks`."""
    for name in ("DAGSTER_HOME", "MLFLOW_TRACKING_URI", "PLAYBOOK_STORE", "PLAYBOOK_ROOT", "PLAYBOOK_TASKS"):
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


def test_every_play_that_is_built_and_no_other(loaded: dg.Definitions, task: Task) -> None:
    found = assets_of(loaded, task)
    assert list(found) == names_of(task)
    assert not NOT_BUILT & set(found)


def test_nothing_but_tasks_in_the_code_location(loaded: dg.Definitions) -> None:
    graph = loaded.resolve_asset_graph()
    assert {key.path[0] for key in graph.get_all_asset_keys()} == {"tickets", "sample"}
    assert {job.name for job in loaded.resolve_all_job_defs()} - {"__ASSET_JOB"} == {
        f"{task}_{job}" for task in ("tickets", "sample") for job in ("job", "package_job")
    }
    assert not loaded.schedules
    assert [sensor.name for sensor in loaded.sensors or ()] == ["sample_sign_off"], "tickets signs off by rule"
    dg.Definitions.validate_loadable(loaded)


def test_attributes(loaded: dg.Definitions, task: Task) -> None:
    for name, asset in assets_of(loaded, task).items():
        spec = asset.specs_by_key[asset.key]
        owners = task.spec.owners
        others = {"dataset_version": owners.data, "label_audit": owners.data}
        others |= {"evaluation": owners.sign_off, "sign_off": owners.sign_off}
        owner = others.get(name, owners.model)
        assert spec.group_name == task.spec.task, name
        assert list(spec.owners) == [owner], name
        assert spec.kinds == {"python", *KINDS[play_of(name)]}, name
        assert {key: value for key, value in spec.tags.items() if not key.startswith("dagster/")} == {
            "play": PLAYS[play_of(name)]
        }
        assert spec.code_version, name
        assert spec.description, name
        assert not spec.skippable, name  # a play with nothing to do says so instead of vanishing


def test_order_of_the_plays(loaded: dg.Definitions, task: Task) -> None:
    for name, asset in assets_of(loaded, task).items():
        upstream = {key.path[1] for key in asset.asset_deps[asset.key]}
        assert all(key.path[0] == task.spec.task for key in asset.asset_deps[asset.key])
        expected = UPSTREAM[name] if name in UPSTREAM else LATER[name] | set(rungs_of(task))
        assert upstream == expected, name


def test_the_gate_blocks(loaded: dg.Definitions, task: Task) -> None:
    checks = [spec for item in loaded.asset_checks or () for spec in item.check_specs]  # type: ignore[union-attr]
    mine = [spec for spec in checks if spec.asset_key.path[0] == task.spec.task]
    assert {spec.asset_key.path[1] for spec in mine} == {"dataset_version"}
    assert all(spec.blocking for spec in mine)
    names = {check_name(rule.name) for rule in rules(task)}
    assert {spec.name for spec in mine} == names | {"source_readable", "every_expectation_evaluated"}
    assert len(mine) == len(names) + 2


def test_no_pools(loaded: dg.Definitions, task: Task) -> None:
    """A killed run of the command line would keep its slot and hold up the next one for ever; plays lock themselves."""
    assert {asset.op.pool for asset in assets_of(loaded, task).values()} == {None}


def test_job_takes_the_whole_task_in_one_process(loaded: dg.Definitions, task: Task) -> None:
    job = loaded.resolve_job_def(f"{task.spec.task}_job")
    names = {key.path[1] for key in job.asset_layer.executable_asset_keys}
    assert names == set(names_of(task))
    assert {key.asset_key.path[0] for key in job.asset_layer.asset_graph.asset_check_keys} == {task.spec.task}
    assert job.executor_def.name == "in_process"
    assert job.tags["playbook/task"] == task.spec.task
    assert job.description == task.spec.question


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
