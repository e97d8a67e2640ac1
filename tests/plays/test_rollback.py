"""Rollback of a real task: two versions in production one after the other, back by one command, and it stays so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from adapt_samples import pairs
from data_samples import write_csv
from play_runs import Place, make_place

from playbook.artifacts import PackagedModel
from playbook.decide.log import open_decision_log
from playbook.operate.handoff_package import read_package
from playbook.taskfile import load_task
from resources.registry import Registry
from resources.tracking import Tracking

pytestmark = [pytest.mark.story, pytest.mark.filterwarnings("ignore::dagster.BetaWarning")]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, database: Path, begun_store: Path) -> Place:
    """A task whose second version, from more data, is in production."""
    place = make_place(tmp_path_factory.mktemp("rollback"), database, begun=begun_store, max_rungs=1)
    first = place.run()
    assert first.code == 0 and first.status["model"]["version"] == "1.0.0", first.said
    write_csv(place.folder / "path.csv", pairs(960, 1))
    # A changed task is no longer what serves answers: an equally good model takes its place.
    place.document["question"] = "Do both words of this text agree with each other?"
    place.task()
    second = place.run()
    assert second.code == 0 and second.status["state"] == "shipped", second.said
    assert second.status["model"]["version"] != "1.0.0" and second.status["model"]["previous"] == "1.0.0"
    return place


def registry(place: Place) -> Registry:
    return Registry(Tracking.from_settings(place.places))


def aliases(place: Place) -> dict[str, str]:
    return registry(place).aliases("pairs")


def shown(place: Place) -> dict[str, Any]:
    found: dict[str, Any] = place.do("show", str(place.file), "--json").status["model"]
    return found


def moves(place: Place) -> list[tuple[str, Any, Any]]:
    entries = open_decision_log(place.places, "pairs").entries()
    return [(e.kind, e.inputs["from"], e.inputs["to"]) for e in entries if e.kind in ("promotion", "rollback")]


def test_every_promotion_is_on_record_and_in_the_changelog(place: Place) -> None:
    second = aliases(place)["champion"]
    assert aliases(place) == {"champion": second, "previous": "1.0.0"}
    assert moves(place) == [("promotion", "", "1.0.0"), ("promotion", "1.0.0", second)]
    listed = place.do("versions", str(place.file), "--json")
    assert listed.code == 0, listed.said
    versions = json.loads(listed.out)
    assert [(one["version"], one["aliases"]) for one in versions] == [(second, ["champion"]), ("1.0.0", ["previous"])]
    assert "over the frozen baseline, " in versions[1]["changelog"] and "over tfidf" in versions[1]["changelog"]
    assert "over 1.0.0" in versions[0]["changelog"] and "data version 2" in versions[0]["changelog"]
    page = (place.places.home / "reports" / "pairs-changelog.md").read_text("utf-8")
    assert page.index(f"## {second} (champion)") < page.index("## 1.0.0 (previous)")
    text = place.do("versions", str(place.file))
    assert f"{second} (champion)" in text.out and "pairs-changelog.md" in text.out


def test_the_refreshed_version_is_reproduced_from_the_first_one(place: Place) -> None:
    """Its recipe holds the recipe of the version that it was refreshed from: both are trained, none is taken over."""
    second = aliases(place)["champion"]
    package = place.places.home / "handoff" / "pairs" / f"pairs-{second}.zip"
    recipe = read_package(package).recipe
    assert (recipe.method, recipe.refreshed_from) == ("refresh", "1.0.0")
    done = place.command("reproduce", str(package), "--home", str(place.folder / "elsewhere"))
    assert done.code == 0 and f"SHA-256 {recipe.expected['model.safetensors']}" in done.out, done.said
    assert "training staircase of data version 1 (1 of 2)" in done.err
    assert "training refresh of data version 2 (2 of 2)" in done.err


def test_one_command_goes_back_and_running_again_stays_there(place: Place) -> None:
    second = aliases(place)["champion"]
    done = place.do("rollback", str(place.file), "--as", "team:c", "--reason", "complaints about <b>refunds</b>")
    assert done.code == 0 and f"champion went from version {second} back to 1.0.0" in done.out, done.said
    assert aliases(place) == {"champion": "1.0.0", "previous": second}
    assert moves(place)[-1] == ("rollback", second, "1.0.0")
    model = shown(place)
    assert (model["version"], model["previous"], model["packaged"]) == ("1.0.0", second, second)
    page = (place.places.home / "reports" / "pairs-changelog.md").read_text("utf-8")
    assert "complaints about" in page and "<b>" not in page
    again = place.run()
    assert again.code == 0 and "packaged_model: unchanged, not run again" in again.err, again.said
    assert aliases(place) == {"champion": "1.0.0", "previous": second} and len(moves(place)) == 3
    assert again.status["model"]["version"] == "1.0.0"


def test_packaging_again_does_not_bring_it_back_either(place: Place) -> None:
    """The store forgets the packaged model, as it does when code changes: the same bundle is found, not promoted."""
    packaged = place.current()["packaged_model"]
    manifest = Path(place.places.store) / "pairs" / "packaged_model" / packaged.play_key / "manifest.json"
    manifest.unlink()
    before = aliases(place)
    again = place.run()
    assert again.code == 0 and "is not promoted: team:c rolled back from" in again.err, again.said
    assert aliases(place) == before and len(moves(place)) == 3
    found = place.current()["packaged_model"]
    assert isinstance(found, PackagedModel) and found.alias == "challenger" and "not promoted" in found.reason
    assert found.version == before["previous"], "the same bundle is the same version"


def test_the_job_goes_forward_again(place: Place) -> None:
    from pipelines.factory import resources_of, task_definitions

    second, task = aliases(place)["previous"], load_task(place.file)
    definitions = task_definitions(task, place.places, resources_of(place.places))
    job = definitions.resolve_job_def("pairs_rollback_job")
    owner = task.spec.owners.sign_off
    config = {"ops": {"pairs_rollback": {"config": {"by": owner, "reason": "it was not the model", "to": second}}}}
    nobody = {"ops": {"pairs_rollback": {"config": {"by": "nobody", "reason": "it was not the model", "to": second}}}}
    with dg.DagsterInstance.ephemeral() as instance:
        assert not job.execute_in_process(instance=instance, run_config=nobody, raise_on_error=False).success
        assert aliases(place)["previous"] == second, "nobody moves anything"
        assert job.execute_in_process(instance=instance, run_config=config).success
        assert aliases(place) == {"champion": second, "previous": "1.0.0"}
        failed = job.execute_in_process(instance=instance, run_config=config, raise_on_error=False)
    assert not failed.success, "it is in production already"
    assert shown(place)["version"] == second


def test_refusals_say_why_and_change_nothing(place: Place) -> None:
    before, recorded = aliases(place), len(moves(place))
    for arguments, reason in (
        (("--to", "9.9.9"), "found 9.9.9"),
        (("--to", before["champion"]), "is in production already"),
        (("--reason", " "), "expected a reason of at least 3 words"),
        (("--as", "nobody"), "found 'nobody'; nobody else may decide this"),
    ):
        given = ("--as", "team:c", "--reason", "it was not that", *arguments)
        done = place.do("rollback", str(place.file), *given)
        assert done.code == 1 and reason in done.err and "Traceback" not in done.err, done.said
    assert aliases(place) == before and len(moves(place)) == recorded
