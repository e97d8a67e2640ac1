"""The sign-off and packaging in Dagster, and the sensor: results of the plays before them lie in the store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from sign_off_samples import ANNA, ANSWERS, Waiting, waiting

from assets.factory import AssetMaker
from assets.packaging import packaged_model, require_approved
from assets.sign_off import sign_off
from pipelines.sensors import package_job, sign_off_sensor
from playbook.artifacts import PackagedModel, SignOff
from playbook.errors import LogTampered
from playbook.evaluate.approval import approve, current_state, reject
from playbook.plays import PACKAGED, SIGN_OFF
from resources.artifact_io import ArtifactIOManager
from resources.world import World

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning", "ignore::dagster.PreviewWarning")


@pytest.fixture
def place(tmp_path: Path) -> Waiting:
    return waiting(tmp_path)


def definitions(place: Waiting) -> tuple[dg.Definitions, list[Any]]:
    """The two assets, with what is before them as names only: nothing there is ever run."""
    world = World(place.places)
    maker = AssetMaker(place.task, world)

    def there(key: dg.AssetKey) -> dg.AssetsDefinition:
        @dg.asset(key=key, io_manager_key="artifacts")
        def before() -> None:
            raise AssertionError("this is never run")

        return before

    mine = [sign_off(maker), packaged_model(maker)]
    read = {key for asset in mine for key in asset.asset_deps[asset.key]} - {asset.key for asset in mine}
    assets = [*(there(key) for key in sorted(read)), *mine]
    job = package_job(place.task, assets)
    sensor = sign_off_sensor(place.task, place.places, job)
    resources = {"artifacts": ArtifactIOManager(world)}
    return dg.Definitions(assets=assets, jobs=[job], sensors=[sensor] if sensor else [], resources=resources), assets


def run(place: Waiting, *names: str) -> tuple[dg.ExecuteInProcessResult, str]:
    """Run the packaging job, or some of its assets; the result and what it failed with."""
    parts, _ = definitions(place)
    chosen = [dg.AssetKey(["demo", name]) for name in names] or None
    with dg.DagsterInstance.ephemeral() as instance:
        done = parts.resolve_job_def("demo_package_job").execute_in_process(
            instance=instance, raise_on_error=False, asset_selection=chosen
        )
    said = [event.step_failure_data.error for event in done.all_events if event.is_step_failure]
    return done, "".join(error.to_string() for error in said if error is not None)


def current(place: Waiting) -> tuple[SignOff, PackagedModel | None]:
    approval = place.store.current("demo", SIGN_OFF, SignOff)
    assert approval is not None
    return approval, place.store.current("demo", PACKAGED, PackagedModel)


def shown(done: dg.ExecuteInProcessResult, asset: str) -> dict[str, Any]:
    events = [event for event in done.all_events if event.is_step_materialization and event.asset_key]
    return {
        name: value.value
        for event in events
        if event.asset_key is not None and event.asset_key.path[-1] == asset
        for name, value in event.materialization.metadata.items()
    }


def test_the_job_has_both_assets_and_no_more(place: Waiting) -> None:
    parts, _ = definitions(place)
    dg.Definitions.validate_loadable(parts)
    assert [sensor.name for sensor in parts.get_repository_def().sensor_defs] == ["demo_sign_off"]
    job = parts.resolve_job_def("demo_package_job")
    assert {key.path[-1] for key in job.asset_layer.executable_asset_keys} == {SIGN_OFF, PACKAGED}


def test_what_waits_is_shown_and_everything_below_is_skipped(place: Waiting) -> None:
    done, failed = run(place)
    assert done.success, failed
    approval, packaged = current(place)
    assert approval.state == "awaiting" and shown(done, SIGN_OFF)["state"] == "awaiting"
    assert f"demo.yaml --as {ANNA}`" in shown(done, SIGN_OFF)["awaits"]
    assert packaged is not None and packaged.skipped and packaged.reason.startswith("awaiting sign-off; waiting for ")
    made = approval.made_at, approval.digest
    run(place)
    assert (current(place)[0].made_at, current(place)[0].digest) == made, "an equal state is kept, not made again"
    reject(place.case(), ANNA, "fails on refunds")
    done, _ = run(place)
    approval, packaged = current(place)
    assert done.success and approval.state == "rejected"
    assert packaged is not None and packaged.skipped and "rejected by" in packaged.reason


def test_a_changed_file_makes_the_state_void_and_nothing_is_packaged(place: Waiting) -> None:
    approve(place.case(), ANNA, ANSWERS)
    place.report.write_text("edited", "utf-8")
    done, failed = run(place)
    assert done.success, failed
    approval, packaged = current(place)
    assert approval.state == "void" and "the report changed since it was signed off" in shown(done, SIGN_OFF)["reason"]
    assert packaged is not None and packaged.skipped and packaged.reason.startswith("void (the report changed")


@pytest.mark.parametrize(
    ("asset", "role", "reason"),
    [
        ("rung_1", "weights", "the trained weights changed"),
        ("dataset_version", "train", "the train split changed"),
        ("", "", "the report changed"),
    ],
)
def test_packaging_alone_refuses_what_changed_after_the_approval(
    place: Waiting, asset: str, role: str, reason: str
) -> None:
    approve(place.case(), ANNA, ANSWERS)
    assert run(place, SIGN_OFF)[0].success and current(place)[0].state == "approved"
    (place.file(asset, role) if asset else place.report).write_bytes(b"something else")
    done, failed = run(place, PACKAGED)
    assert not done.success and f"not packaged, the sign-off does not hold: void ({reason}" in failed
    assert current(place)[1] is None


def test_packaging_alone_refuses_over_a_broken_log_and_a_later_rejection(place: Waiting) -> None:
    approve(place.case(), ANNA, ANSWERS)
    run(place, SIGN_OFF)
    approval, whole = current(place)[0], place.log.storage.path.read_bytes()
    require_approved(place.case(), approval)
    place.log.storage.path.write_bytes(whole.replace(b"3 points", b"9 points"))
    with pytest.raises(dg.Failure, match="line 1"):
        require_approved(place.case(), approval)
    place.log.storage.path.write_bytes(whole)
    reject(place.case(), ANNA, "on second thoughts")
    with pytest.raises(dg.Failure, match="on second thoughts") as caught:
        require_approved(place.case(), approval)
    assert not caught.value.allow_retries
    approve(place.case(), ANNA, {**ANSWERS, "gain": "yes after all"})
    with pytest.raises(dg.Failure, match="materialise sign_off again"):
        require_approved(place.case(), approval)
    require_approved(place.case(), current_state(place.case()))


def test_the_sensor_asks_for_one_run_per_decision(place: Waiting) -> None:
    parts, assets = definitions(place)
    sensor = sign_off_sensor(place.task, place.places, package_job(place.task, assets))
    assert sensor is not None and sensor.default_status is dg.DefaultSensorStatus.RUNNING and parts

    def tick(cursor: str | None) -> Any:
        assert sensor is not None
        with dg.build_sensor_context(cursor=cursor) as context:
            return sensor(context)

    assert isinstance(tick(None), dg.SkipReason)
    place.log.append("evaluation", "test split: gain +0.03", by="playbook")
    first = tick(None)
    assert first.run_requests in (None, []) and first.cursor == place.log.entries()[-1].sha256
    entry = approve(place.case(), ANNA, ANSWERS)
    second = tick(first.cursor)
    (request,) = second.run_requests
    assert request.run_key == f"sign-off-demo-{entry.sha256}" and request.tags["playbook/task"] == "demo"
    assert not tick(second.cursor).run_requests, "nothing new"
    assert tick(None).run_requests, "a lost cursor: still not materialised"
    run(place, SIGN_OFF)
    assert not tick(None).run_requests, "materialised already, by hand"
    reject(place.case(), ANNA, "it is worse")
    assert tick(second.cursor).run_requests[0].tags["playbook/trigger"] == "rejection"
    place.log.storage.path.write_bytes(place.log.storage.path.read_bytes().replace(b"3 points", b"9 points"))
    with pytest.raises(LogTampered):
        tick(second.cursor)


def test_in_automatic_mode_nobody_is_waited_for(tmp_path: Path) -> None:
    place = waiting(tmp_path, "automatic")
    parts, assets = definitions(place)
    assert sign_off_sensor(place.task, place.places, package_job(place.task, assets)) is None and parts
    done, failed = run(place, SIGN_OFF)
    assert done.success, failed
    approval = current(place)[0]
    assert approval.state == "approved" and "no person looked" in shown(done, SIGN_OFF)["reason"]
