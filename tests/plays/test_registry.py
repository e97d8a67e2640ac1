"""The model registry: what is registered, promoted and rolled back, and what is refused."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from play_runs import copy_database
from release_samples import LABELS, approve, binding, last, make_release

from playbook.decide.log import DecisionLog
from playbook.errors import ArtifactError, LogTampered, ParityError, PromotionRefused
from playbook.operate.bundle import bundle_hash
from playbook.operate.versions import Identity
from playbook.spec.target import Owners
from resources.model_folder import serving_requirements
from resources.registry import Registered, Registry
from resources.tracking import Tracking

OLA = "ola@example.org"
OWNERS = Owners(model=OLA, data="team:data", sign_off="anna@example.org")
WHY = "answers too slowly"


@pytest.fixture(scope="module")
def tracking(tmp_path_factory: pytest.TempPathFactory, database: Path) -> Tracking:
    home = tmp_path_factory.mktemp("home")
    copy_database(database, home)
    return Tracking(f"sqlite:///{home / 'mlflow' / 'mlflow.db'}", home)


@pytest.fixture
def registry(tracking: Tracking) -> Registry:
    return Registry(tracking)


@pytest.fixture
def log(tmp_path: Path) -> DecisionLog:
    return DecisionLog(tmp_path / "log" / "decisions.jsonl")


def shipped(registry: Registry, log: DecisionLog, folder: Path, weights: bytes, **changes: Any) -> Registered:
    """A version that was approved, registered and promoted, as packaging does it."""
    release = make_release(registry.tracking, folder, weights, **changes)
    entry = approve(log, binding(release.name, release.weights_sha256, release.identity.dataset_hash, str(weights)))
    made = registry.register(dataclasses.replace(release, decision=entry))
    return registry.promote(made.name, made.version, "champion", log)


def pointed(registry: Registry, name: str) -> dict[str, str]:
    return registry.aliases(name)


# --- registered


def test_registering_makes_a_challenger_and_nothing_serves_it(registry: Registry, tmp_path: Path) -> None:
    release = make_release(registry.tracking, tmp_path, gain="accuracy +0.02", tags={"playbook/by": "anna"})
    made = registry.register(release)
    assert (made.version, made.registry_version, made.reused) == ("1.0.0", "1", False)
    assert pointed(registry, release.name) == {"challenger": "1.0.0"}
    tags = made.own_tags
    assert tags["bundle_sha256"] == bundle_hash(release.bundle) and tags["dataset_hash"] == "data"
    assert tags["weights_sha256"] == release.weights_sha256 and tags["report_sha256"] == "e" * 64
    assert (tags["version"], tags["source"], tags["dataset_version"], tags["by"]) == ("1.0.0", "rung_2", "3", "anna")
    assert tags["changelog"] == "first version: rung_2 on data version 3; accuracy +0.02"
    assert registry.tracking.client.get_model_version(release.name, "1").run_id == release.run_id


def test_the_logged_folder_is_whole_and_holds_no_pickle(registry: Registry, tmp_path: Path) -> None:
    from mlflow.models import Model

    release = make_release(registry.tracking, tmp_path)
    registry.register(release)
    source = registry.tracking.client.get_model_version_by_alias(release.name, "challenger").source
    folder = Path(source.removeprefix("file://"))
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} <= {"", ".json", ".yaml", ".txt", ".py", ".safetensors", ".typed", ".md"}
    assert (folder / "code" / "playbook" / "operate" / "bundle.py").is_file()
    assert not list(folder.rglob("__pycache__"))
    assert bundle_hash(folder / "artifacts" / "bundle") == bundle_hash(release.bundle)
    model = Model.load(str(folder))
    assert [(column.name, column.type.name) for column in model.signature.inputs] == [("text", "string")]
    outputs = [(column.name, column.type.name, column.required) for column in model.signature.outputs]
    assert outputs == [
        ("label", "string", True),
        ("probability", "double", True),
        *((f"probability_{label}", "double", True) for label in LABELS),
        ("answer", "string", False),  # null where a person is asked
        ("ask_a_person", "boolean", True),
        ("reason", "string", True),
    ]
    assert model.metadata is None or "python_model" not in model.metadata
    assert Path(model.flavors["python_function"]["model_code_path"]).name == "serving_model.py"
    requirements = (folder / "requirements.txt").read_text().split()
    assert requirements == serving_requirements()
    assert all("==" in line and "+" not in line for line in requirements)


def test_what_a_version_was_made_with_stays_as_it_is(registry: Registry, tmp_path: Path) -> None:
    first = make_release(
        registry.tracking, tmp_path, tags={"playbook/by": "anna"}, description="first", decision="a" * 64
    )
    before = registry.register(first)
    again = dataclasses.replace(
        first, tags={"playbook/by": "ben"}, description="second", decision="b" * 64, report_sha256="f" * 64
    )
    for _ in range(2):
        found = registry.register(again)
        assert found.reused and found.registry_version == before.registry_version
    after = registry.find(tmp_path.name, "1.0.0")
    added = {name: text for name, text in after.tags.items() if name not in before.tags}
    assert {**after.tags, **before.tags} == dict(after.tags) and after.description == "first"
    assert list(added) == [f"playbook/approved.{'b' * 12}"]
    said = json.loads(added[f"playbook/approved.{'b' * 12}"])
    assert said == {"decision": "b" * 64, "report_sha256": "f" * 64, "playbook/by": "ben"}
    assert len(registry.versions(tmp_path.name)) == 1


def test_versions_say_what_changed_and_none_is_overwritten(registry: Registry, tmp_path: Path) -> None:
    identities = [
        Identity("task", "data", "base"),
        Identity("task", "data", "base"),
        Identity("task", "data 2", "base"),
        Identity("task 2", "data 2", "base"),
    ]
    for number, identity in enumerate(identities):
        registry.register(make_release(registry.tracking, tmp_path, weights=bytes([number]), identity=identity))
    refreshed = {"identity": Identity("task", "data 3", "base"), "refreshed_from": "1.0.1", "source": "refresh"}
    made = registry.register(make_release(registry.tracking, tmp_path, b"refresh", dataset_version=4, **refreshed))
    assert made.own_tags["changelog"] == "refreshed from 1.0.1: data version 4 instead of 3"
    versions = registry.versions(tmp_path.name)
    assert [one.version for one in versions] == ["1.0.0", "1.0.1", "1.0.2", "1.1.0", "2.0.0"]
    assert len({one.bundle_sha256 for one in versions}) == 5
    lines = {note.version: note.line for note in registry.notes(tmp_path.name)}
    assert lines["1.1.0"] == (
        "rung_2 retrained since 1.0.1: data version 3 instead of 3; no version served when it was made, so there is "
        "no delta over 1.0.1"
    )
    assert lines["2.0.0"].startswith("rung_2 retrained since 1.1.0: another task definition")
    with pytest.raises(ValueError, match=r"expected one of versions 1\.0\.0, .*found 7\.0\.0"):
        registry.register(make_release(registry.tracking, tmp_path, b"other", refreshed_from="7.0.0"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bundle_sha256": "0" * 64}, "expected parity to be proven for bundle"),
        ({"rows": 0}, "on 0 rows"),
        ({"same_labels": False}, "answer the same"),
        ({"largest_difference": 0.5}, r"a difference of 0\.5"),
        ({"largest_difference": float("nan")}, "a difference of nan"),
    ],
)
def test_nothing_is_registered_without_parity(
    registry: Registry, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    release = make_release(registry.tracking, tmp_path)
    unproven = dataclasses.replace(release, parity=dataclasses.replace(release.parity, **changes))
    with pytest.raises(ParityError, match=message):
        registry.register(unproven)
    assert registry.versions(tmp_path.name) == [] and pointed(registry, tmp_path.name) == {}


# --- promoted


def test_a_promotion_moves_all_aliases_and_is_on_record(registry: Registry, log: DecisionLog, tmp_path: Path) -> None:
    first = shipped(registry, log, tmp_path, b"1")
    assert pointed(registry, first.name) == {"champion": "1.0.0"}
    second = shipped(registry, log, tmp_path, b"2", identity=Identity("task", "data 2", "base"))
    assert pointed(registry, first.name) == {"champion": "1.1.0", "previous": "1.0.0"}
    entry = last(log)
    assert (entry.kind, entry.key, entry.title) == ("promotion", "champion", "1.1.0 is champion in place of 1.0.0")
    assert (entry.inputs["from"], entry.inputs["to"]) == ("1.0.0", "1.1.0")
    assert entry.inputs["to_bundle"] == second.bundle_sha256 and entry.inputs["from_bundle"] == first.bundle_sha256
    assert entry.inputs["decision"] == second.own_tags["decision"]
    before = log.entries()
    registry.promote(first.name, "1.1.0", "champion", log)
    assert log.entries() == before and pointed(registry, first.name) == {"champion": "1.1.0", "previous": "1.0.0"}


def test_a_promotion_that_was_cut_off_is_finished_without_a_second_entry(
    registry: Registry, log: DecisionLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped(registry, log, tmp_path, b"1")
    with monkeypatch.context() as patch:
        patch.setattr(Registry, "_move", lambda *_: (_ for _ in ()).throw(OSError("killed")))
        with pytest.raises(OSError, match="killed"):
            shipped(registry, log, tmp_path, b"2")
    assert pointed(registry, tmp_path.name) == {"champion": "1.0.0", "challenger": "1.0.1"}
    recorded = len(log.entries())
    registry.promote(tmp_path.name, "1.0.1", "champion", log)
    assert pointed(registry, tmp_path.name) == {"champion": "1.0.1", "previous": "1.0.0"}
    assert len(log.entries()) == recorded


@pytest.mark.parametrize(
    ("bound", "message"),
    [
        (None, r"found no entry \(none named\)"),
        ({"weights": "0" * 64}, "is for another model: expected trained weights"),
        ({"dataset": "other"}, "expected dataset data, found other"),
        ({"task": "another"}, "expected task"),
    ],
)
def test_a_version_without_its_own_approval_is_not_promoted(
    registry: Registry, log: DecisionLog, tmp_path: Path, bound: dict[str, str] | None, message: str
) -> None:
    release = make_release(registry.tracking, tmp_path)
    right = binding(release.name, release.weights_sha256)
    entry = approve(log, right.model_copy(update=bound)) if bound else ""
    made = registry.register(dataclasses.replace(release, decision=entry))
    with pytest.raises(PromotionRefused, match=message):
        registry.promote(made.name, made.version, "champion", log)
    assert pointed(registry, made.name) == {"challenger": "1.0.0"}
    assert "promotion" not in {one.kind for one in log.entries()}
    approved = approve(log, right)
    registry.promote(made.name, made.version, "champion", log, approval=approved)
    assert pointed(registry, made.name) == {"champion": "1.0.0"}


def test_a_rejection_a_broken_log_and_changed_bytes_stand_against_it(
    registry: Registry, log: DecisionLog, tmp_path: Path
) -> None:
    release = make_release(registry.tracking, tmp_path)
    right = binding(release.name, release.weights_sha256)
    entry = approve(log, right)
    made = registry.register(dataclasses.replace(release, decision=entry))
    bundle = Path(str(registry._source(made)).removeprefix("file://")) / "artifacts" / "bundle" / "model.safetensors"
    bundle.write_bytes(b"x")
    with pytest.raises(PromotionRefused, match="changed after it was registered"):
        registry.promote(made.name, made.version, "champion", log)
    bundle.write_bytes(b"w")
    log.append("rejection", "no", by="anna", inputs=right.model_dump(mode="json"))
    with pytest.raises(PromotionRefused, match="it was rejected since, by anna"):
        registry.promote(made.name, made.version, "champion", log)
    file = tmp_path / "log" / "decisions.jsonl"
    file.write_bytes(file.read_bytes().replace(b"ship it", b"ship at"))
    with pytest.raises(LogTampered):
        registry.promote(made.name, made.version, "champion", log)
    assert pointed(registry, made.name) == {"challenger": "1.0.0"}


# --- rolled back


def test_a_rollback_and_what_it_takes_to_come_back(registry: Registry, log: DecisionLog, tmp_path: Path) -> None:
    name = shipped(registry, log, tmp_path, b"1").name
    second = shipped(registry, log, tmp_path, b"2")
    before, now = registry.rollback(name, "champion", log, OWNERS, by=OLA, reason="answers too slowly")
    assert (before.version, now.version) == ("1.0.1", "1.0.0")
    assert pointed(registry, name) == {"champion": "1.0.0", "previous": "1.0.1"}
    entry = last(log)
    assert (entry.kind, entry.by, entry.body["reason"]) == ("rollback", OLA, "answers too slowly")
    assert (entry.inputs["from"], entry.inputs["to"]) == ("1.0.1", "1.0.0")
    with pytest.raises(
        PromotionRefused, match=r"ola@example.org rolled back from 1\.0\.1 to 1\.0\.0 after this approval"
    ):
        registry.promote(name, "1.0.1", "champion", log)
    assert pointed(registry, name)["champion"] == "1.0.0"
    bound = binding(name, second.own_tags["weights_sha256"], evaluation="e2")
    by_rule = approve(log, bound, mode="automatic", by="playbook")
    with pytest.raises(PromotionRefused, match="an approval by rule does not overrule a person"):
        registry.promote(name, "1.0.1", "champion", log, approval=by_rule)
    younger = approve(log, bound)
    registry.promote(name, "1.0.1", "champion", log, approval=younger)
    assert pointed(registry, name) == {"champion": "1.0.1", "previous": "1.0.0"}


def test_a_version_that_was_superseded_does_not_come_back_by_itself(
    registry: Registry, log: DecisionLog, tmp_path: Path
) -> None:
    name = shipped(registry, log, tmp_path, b"1").name
    shipped(registry, log, tmp_path, b"2")
    with pytest.raises(PromotionRefused, match=r"1\.0\.1 took its place since"):
        registry.promote(name, "1.0.0", "champion", log)


def test_a_rollback_that_is_repeated_goes_further_back(registry: Registry, log: DecisionLog, tmp_path: Path) -> None:
    for weights in (b"1", b"2", b"3"):
        name = shipped(registry, log, tmp_path, weights).name
    for place in ("1.0.1", "1.0.0"):
        assert registry.rollback(name, "champion", log, OWNERS, by=OLA, reason=WHY)[1].version == place
    with pytest.raises(PromotionRefused, match=r"before 1\.0\.0 that nobody rolled back from: ola@example\.org rolled"):
        registry.rollback(name, "champion", log, OWNERS, by=OLA, reason=WHY)
    assert pointed(registry, name)["champion"] == "1.0.0", "the bad version does not come back"
    with pytest.raises(PromotionRefused, match=r"expected the sign-off owner anna@example\.org, found 'ola@example"):
        registry.rollback(name, "champion", log, OWNERS, by=OLA, reason=WHY, to="1.0.2")
    registry.rollback(name, "champion", log, OWNERS, by=OWNERS.sign_off, reason="it was the network", to="1.0.2")
    assert pointed(registry, name)["champion"] == "1.0.2" and last(log).body["reinstates"]
    registry.rollback(name, "champion", log, OWNERS, by=OLA, reason=WHY)
    assert pointed(registry, name)["champion"] == "1.0.0", "a way back, and not to 1.0.1, which was rolled back from"
    with pytest.raises(PromotionRefused, match="that nobody rolled back from"):
        registry.rollback(name, "champion", log, OWNERS, by=OLA, reason=WHY)


@pytest.mark.parametrize("by", ["nobody", "", "eve@example.org"])
def test_a_stranger_rolls_nothing_back(registry: Registry, log: DecisionLog, tmp_path: Path, by: str) -> None:
    name = shipped(registry, log, tmp_path, b"1").name
    shipped(registry, log, tmp_path, b"2")
    before = log.entries()
    with pytest.raises(PromotionRefused, match="expected the model owner ola@example"):
        registry.rollback(name, "champion", log, OWNERS, by=by, reason=WHY)
    assert pointed(registry, name)["champion"] == "1.0.1" and log.entries() == before


def test_what_cannot_be_rolled_back_to(registry: Registry, log: DecisionLog, tmp_path: Path) -> None:
    def refused(message: str, **changes: Any) -> None:
        given = {"by": OLA, "reason": WHY, **changes}
        entries, aliases = len(log.entries()), pointed(registry, tmp_path.name)
        with pytest.raises(PromotionRefused, match=message):
            registry.rollback(tmp_path.name, "champion", log, OWNERS, **given)
        assert (len(log.entries()), pointed(registry, tmp_path.name)) == (entries, aliases)

    refused("nothing is in production")
    shipped(registry, log, tmp_path, b"1")
    refused("no version was in production before")
    registry.register(make_release(registry.tracking, tmp_path, b"never approved"))
    refused(r"the decision log knows no promotion of 1\.0\.1", to="1.0.1")
    refused(r"expected one of versions 1\.0\.0, 1\.0\.1, found 7\.0\.0", to="7.0.0")
    refused(r"1\.0\.0 is in production already", to="1.0.0")
    for filler in ("", ".", "x", "ok", "slow slow slow"):
        refused("expected a reason of at least 3 words", reason=filler)
    with pytest.raises(ArtifactError, match=r"found 7\.0\.0; nothing was changed"):
        registry.point(tmp_path.name, "champion", "7.0.0")


def test_a_damaged_version_is_not_rolled_back_to(registry: Registry, log: DecisionLog, tmp_path: Path) -> None:
    first = shipped(registry, log, tmp_path, b"1")
    shipped(registry, log, tmp_path, b"2")
    folder = Path(str(registry._source(first)).removeprefix("file://")) / "artifacts" / "bundle"
    (folder / "model.safetensors").write_bytes(b"x")
    with pytest.raises(PromotionRefused, match="changed after it was registered"):
        registry.rollback(first.name, "champion", log, OWNERS, by=OLA, reason=WHY)
    shutil.rmtree(folder.parent)
    with pytest.raises(PromotionRefused, match=r"found another or none; .* register the model again"):
        registry.rollback(first.name, "champion", log, OWNERS, by=OLA, reason=WHY)
    shutil.rmtree(folder.parents[1])
    with pytest.raises(ArtifactError, match="found another or none"):
        registry.fetch_bundle(first, tmp_path / "fetched")
    assert pointed(registry, first.name)["champion"] == "1.0.1"


def test_every_line_has_the_delta_over_the_version_that_served(
    registry: Registry, log: DecisionLog, tmp_path: Path
) -> None:
    """Also after a rollback, where the version before is not the latest one."""
    data = [Identity("task", f"data {number}", "base") for number in range(4)]
    shipped(registry, log, tmp_path, b"1", identity=data[0])
    shipped(registry, log, tmp_path, b"2", identity=data[1], replaces="1.0.0", gain="+0.02 over 1.0.0")
    registry.rollback(tmp_path.name, "champion", log, OWNERS, by="anna@example.org", reason=WHY)
    third = shipped(registry, log, tmp_path, b"3", identity=data[2], replaces="1.0.0", gain="+0.03 over 1.0.0")
    assert third.version == "1.2.0"
    assert third.own_tags["changelog"] == (
        "rung_2 retrained since 1.0.0: data version 3 instead of 3; +0.03 over 1.0.0"
    )
    later = {"refreshed_from": "1.2.0", "replaces": "1.2.0", "gain": "+0.01 over 1.2.0"}
    fourth = shipped(registry, log, tmp_path, b"4", identity=data[3], **later)
    assert fourth.own_tags["changelog"].startswith("refreshed from 1.2.0: ")
    assert fourth.own_tags["changelog"].endswith("; +0.01 over 1.2.0")
    alone = registry.register(make_release(registry.tracking, tmp_path, b"5", identity=data[2]))
    assert alone.own_tags["changelog"].endswith("no version served when it was made, so there is no delta over 1.2.1")


def test_the_changelog_has_every_version_and_every_move(registry: Registry, log: DecisionLog, tmp_path: Path) -> None:
    name = shipped(registry, log, tmp_path, b"1", tags={"playbook/signed_off_by": "<anna>"}).name
    shipped(registry, log, tmp_path, b"2", gain="accuracy +0.0100 (+0.0010 to +0.0190) over the frozen baseline")
    registry.rollback(name, "champion", log, OWNERS, by=OLA, reason="<b>much too slow</b>")
    page = registry.changelog(name, log)
    assert page.index("## 1.0.1 (previous)") < page.index("## 1.0.0 (champion)")
    assert "+0.0100 (+0.0010 to +0.0190) over the frozen baseline" in page
    assert "signed off by: &lt;anna&gt;" in page and "<b>" not in page
    assert page.count("| promotion |") == 2 and page.count("| rollback |") == 1
