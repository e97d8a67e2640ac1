"""The sign-off of a real run, signed with SSH keys: who may, what makes it void, at once and in later runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from adapt_samples import pairs
from data_samples import write_csv
from play_runs import Place, make_place
from sign_off_samples import make_keys, needs_ssh_keygen, public

from playbook.artifacts import PackagedModel, SignOff

pytestmark = [pytest.mark.story, needs_ssh_keygen, pytest.mark.filterwarnings("ignore::dagster.BetaWarning")]
OWNER, MODEL_OWNER = "team:c", "team:a"  # as `make_place` names them
ANSWERS = (
    *("--answer-gain", "yes, half the errors"),
    *("--answer-failures", "only mixed words"),
    *("--answer-production", "no slice yet"),
)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, database: Path, begun_store: Path, keys: Path) -> Place:
    """A task in signed mode that has come as far as it can without its sign-off owner."""
    place = make_place(tmp_path_factory.mktemp("signed"), database, begun=begun_store, max_rungs=1)
    place.document["sign_off"] = {"mode": "signed", "allowed_signers": "allowed_signers"}
    people = f"{OWNER} {public(keys / 'anna')}\n{MODEL_OWNER} {public(keys / 'max')}\n"
    (place.folder / "allowed_signers").write_text(people, "utf-8")
    place.task()
    waits = place.run()
    assert waits.code == 4 and waits.status["state"] == "awaiting_sign_off", waits.said
    assert f"{place.file.name} --as {OWNER}" in waits.status["sign_off"]["awaits"]
    return place


def approve(place: Place, key: Path, by: str = OWNER) -> tuple[int, str]:
    done = place.do("approve", str(place.file), "--as", by, *ANSWERS, "--key", str(key))
    return done.code, done.said


def state(place: Place) -> tuple[SignOff, PackagedModel]:
    current = place.current()
    approval, packaged = current["sign_off"], current["packaged_model"]
    assert isinstance(approval, SignOff) and isinstance(packaged, PackagedModel)
    return approval, packaged


def stored(place: Place, asset: str, role: str) -> Path:
    return place.store.path(place.current()[asset], asset, role)


def test_nothing_is_packaged_while_it_waits(place: Place) -> None:
    approval, packaged = state(place)
    assert approval.state == "awaiting" and packaged.skipped and "awaiting sign-off" in packaged.reason
    assert "packaged_model" not in place.attempts()


def test_the_wrong_people_and_keys_are_refused(place: Place, keys: Path) -> None:
    for key, by, reason in (
        ("eve", OWNER, "is not in the allowed-signers file"),
        ("max", OWNER, f"listed for the model owner {MODEL_OWNER}"),
        ("max", MODEL_OWNER, f"expected the sign-off owner {OWNER}"),
    ):
        code, said = approve(place, keys / key, by)
        assert code == 1 and reason in said
    assert place.do("show", str(place.file), "--json").status["state"] == "awaiting_sign_off"


def test_an_edited_report_is_not_signed_off(place: Place, keys: Path) -> None:
    report = place.places.report("pairs")
    whole = report.read_bytes()
    report.write_bytes(whole.replace(b"<h1", b"<h1 hidden"))
    code, said = approve(place, keys / "anna")
    report.write_bytes(whole)
    assert code == 1 and "the published report pairs.html changed since the evaluation" in said


def test_with_the_owners_signature_it_ships(place: Place, keys: Path) -> None:
    code, said = approve(place, keys / "anna")
    assert code == 0 and f"approved by {OWNER}" in said
    before = place.attempts()
    done = place.run()
    assert done.code == 0 and done.status["state"] == "shipped", done.said
    approval, packaged = state(place)
    assert approval.state == "approved" and approval.mode == "signed" and not approval.same_person
    assert packaged.sign_off == approval.digest and packaged.version == "1.0.0"
    assert place.attempts() == sorted([*before, "packaged_model"]), "nothing was trained again"


@pytest.mark.parametrize(
    ("asset", "role", "reason"),
    [
        ("candidate's", "weights", "the trained weights changed since it was signed off"),
        ("dataset_version", "train", "the train split changed since it was signed off"),
        ("", "", "the report changed since it was signed off"),
    ],
)
def test_a_later_run_refuses_what_was_changed(place: Place, asset: str, role: str, reason: str) -> None:
    source = place.current()["candidate"].source if asset == "candidate's" else asset  # type: ignore[attr-defined]
    path = stored(place, source, role) if source else place.places.report("pairs")
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    try:
        packaging = place.materialise("packaged_model")
        assert "not packaged, the sign-off does not hold: void" in packaging and reason in packaging
        assert place.materialise("sign_off") == ""
        approval, _ = state(place)
        assert approval.state == "void" and reason in approval.reason
    finally:
        path.write_bytes(whole)
    assert place.materialise("sign_off") == "" and state(place)[0].state == "approved", "what was put back holds again"


def test_an_edited_line_of_the_log_stops_everything(place: Place) -> None:
    path = place.places.decision_log("pairs")
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"mixed words", b"nothing bad"))
    try:
        assert "line" in (broken := place.do("log", str(place.file), "--verify")).err and broken.code == 1
        assert place.run().code == 1
        assert "the sign-off does not hold: void" in place.materialise("packaged_model")
    finally:
        path.write_bytes(whole)
    assert place.run().status["state"] == "shipped"


def test_new_data_wait_for_a_new_sign_off(place: Place) -> None:
    write_csv(place.folder / "path.csv", pairs(960, 1))
    # What serves no longer answers a changed task: an equally good model would take its place.
    place.document["question"] = "Do both words of this text agree with each other?"
    place.task()
    done = place.run()
    assert done.code == 4 and done.status["state"] == "awaiting_sign_off", done.said
    approval, packaged = state(place)
    assert "is for another evaluation" in approval.reason and "the dataset changed" in approval.reason
    assert packaged.skipped
