"""`playbook approve`, `reject`, `waive` and `log` as somebody types them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sign_off_samples import (
    ANNA,
    ANSWERS,
    OWNER,
    TODAY,
    Waiting,
    make_keys,
    needs_ssh_keygen,
    signed_place,
    waiting,
)

from playbook import cli_decisions
from playbook.artifacts import Blocker, PackagedModel
from playbook.cli import PlaybookGroup, show
from playbook.evaluate.approval import current_state
from playbook.plays import PACKAGED, SIGN_OFF
from playbook.states import HEADLINES
from playbook.status import read_status
from playbook.summary import summary

BUDGET = Blocker(what="regression_budget", text="7 % of the rows that were right are wrong now")
TYPED = [part for short, text in ANSWERS.items() for part in (f"--answer-{short}", text)]


@pytest.fixture
def place(tmp_path: Path) -> Waiting:
    return waiting(tmp_path)


def typed(place: Waiting, command: str, *arguments: str, stdin: str = "") -> Result:
    names = ("approve", "reject", "waive", "log")
    commands = {name: getattr(cli_decisions, name) for name in names}
    group = PlaybookGroup(commands={**commands, "show": show})
    environment: dict[str, Any] = {"PLAYBOOK_HOME": str(place.folder / "home"), "PLAYBOOK_STORE": None}
    done = CliRunner().invoke(
        group, [command, str(place.folder / "demo.yaml"), *arguments], input=stdin, env=environment
    )
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


def test_approve_shows_the_case_records_it_and_says_what_comes_next(place: Waiting) -> None:
    done = typed(place, "approve", "--as", ANNA, *TYPED)
    assert done.exit_code == 0, done.output
    for shown in ("verdict   ship it", "to ship   candidate (rung_1)", str(place.report)):
        assert shown in done.stderr
    assert f"approved by {ANNA}: ship rung_1" in done.stdout and "`playbook run" in done.stdout
    assert current_state(place.case()).state == "approved"


def test_missing_answers_are_asked_for_at_a_terminal_and_never_made_up(
    place: Waiting, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = typed(place, "approve", "--as", ANNA, *TYPED[:2])
    assert done.exit_code == 1 and "--answer-failures" in done.stderr and "--answer-production" in done.stderr
    assert place.log.entries() == ()
    monkeypatch.setattr(cli_decisions, "_at_a_terminal", lambda: True)
    done = typed(place, "approve", "--as", ANNA, *TYPED[:2], stdin="ok\nthe rare ones, seldom\nit does, by slice\n")
    assert done.exit_code == 0, done.output
    assert list(current_state(place.case()).answers.values()) == [
        ANSWERS["gain"],
        "the rare ones, seldom",
        "it does, by slice",
    ]


def test_a_refusal_ends_with_status_1_and_all_reasons(place: Waiting) -> None:
    place.report.write_text("edited", "utf-8")
    done = typed(place, "approve", "--as", OWNER)
    assert done.exit_code == 1 and "expected the sign-off owner" in done.stderr
    assert "the published report demo.html changed" in done.stderr and "--answer-gain" in done.stderr


def test_a_key_is_for_signed_mode_only(place: Waiting) -> None:
    done = typed(place, "approve", "--as", ANNA, "--key", "id_ed25519")
    assert done.exit_code == 2 and "no signature is asked for" in done.stderr


def test_reject_records_the_reason(place: Waiting) -> None:
    done = typed(place, "reject", "--as", ANNA, "--reason", "fails on refunds")
    assert done.exit_code == 0 and f"rejected by {ANNA}: fails on refunds" in done.stdout
    assert current_state(place.case()).state == "rejected"
    assert typed(place, "reject", "--as", OWNER, "--reason", "x").exit_code == 1


def test_waive_then_approve(tmp_path: Path) -> None:
    place = waiting(tmp_path, "recorded", BUDGET)
    blocked = typed(place, "approve", "--as", ANNA, *TYPED)
    assert blocked.exit_code == 1 and "blocker   regression_budget: 7 %" in blocked.stderr
    until = str(TODAY.replace(year=TODAY.year + 70))  # the command line takes today's date
    done = typed(
        place, "waive", "regression_budget", "--as", ANNA, "--reason", "known since last May", "--until", until
    )
    assert done.exit_code == 0 and f"waived by {ANNA} until {until}: known since last May" in done.stdout
    assert "playbook approve" in done.stdout
    assert typed(place, "waive", "slices", "--as", ANNA, "--reason", "x", "--until", until).exit_code == 1
    assert typed(place, "approve", "--as", ANNA, *TYPED).exit_code == 0
    assert current_state(place.case()).waivers[0].reason == "known since last May"


def test_log_prints_verifies_and_writes_the_page(place: Waiting) -> None:
    typed(place, "approve", "--as", ANNA, *TYPED)
    typed(place, "reject", "--as", ANNA, "--reason", "no \x1b[31m<script>alert(1)</script>")
    done = typed(place, "log")
    assert done.exit_code == 0 and "\x1b" not in done.stdout
    assert f"sign-off [evaluation {place.case().now.evaluation[:12]}]: approved by {ANNA}" in done.stdout
    assert "2 decisions, chain verified." in done.stdout
    page = (place.folder / "home" / "reports" / "demo-decisions.html").read_text("utf-8")
    assert ANNA in page and "<script>alert" not in page
    entries = json.loads(typed(place, "log", "--json").stdout)
    assert [entry["kind"] for entry in entries] == ["sign_off", "rejection"]
    assert f"2 entries, unbroken; the last one is {entries[-1]['sha256']}" in typed(place, "log", "--verify").stdout


@pytest.mark.parametrize("options", [[], ["--json"], ["--verify"]])
def test_log_names_the_broken_line(place: Waiting, options: list[str]) -> None:
    typed(place, "reject", "--as", ANNA, "--reason", "hardly better than before")
    path = place.log.storage.path
    path.write_text(path.read_text("utf-8").replace("hardly", "surely"), "utf-8")
    done = typed(place, "log", *options)
    assert done.exit_code == 1 and "line 1" in done.stderr and done.stdout == ""


@needs_ssh_keygen
def test_a_statement_signed_elsewhere_comes_back(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    keys = make_keys(tmp_path / "keys")
    place = signed_place(tmp_path / "place", keys)
    statement = tmp_path / "statement.json"
    assert typed(place, "approve", "--as", ANNA, *TYPED).exit_code == 2, "no way of signing named"
    done = typed(place, "approve", "--as", ANNA, *TYPED, "--write-statement", str(statement))
    assert done.exit_code == 0 and "ssh-keygen -Y sign" in done.stdout and place.log.entries() == ()
    command = ["ssh-keygen", "-Y", "sign", "-f", str(keys / "anna"), "-n", "playbook-sign-off", str(statement)]
    subprocess.run(command, check=True, capture_output=True)
    done = typed(place, "approve", "--as", ANNA, "--signature", f"{statement}.sig")
    assert done.exit_code == 0, done.output
    assert current_state(place.case()).state == "approved"
    other = typed(
        place, "approve", "--as", ANNA, *TYPED[:-1], "quite another answer", "--signature", f"{statement}.sig"
    )
    assert other.exit_code == 1 and "altered after it was signed" in other.stderr
    stranger = typed(place, "approve", "--as", ANNA, *TYPED, "--key", str(keys / "eve"))
    assert stranger.exit_code == 1 and "wrong key" in stranger.stderr
    assert typed(place, "approve", "--as", ANNA, *TYPED, "--key", str(keys / "anna")).exit_code == 0


def test_reject_says_what_goes_on_being_served(place: Waiting) -> None:
    evaluation = place.case().bound.evaluation
    release = {"name": "demo", "version": "1.0.0", "registry_version": "1", "alias": "champion"}
    made = PackagedModel(task="demo", play_key="k", evaluation=evaluation.digest, **release)
    place.put(PACKAGED, made)
    done = typed(place, "reject", "--as", ANNA, "--reason", "fails on refunds")
    assert "models:/demo@champion goes on serving it" in done.stdout
    assert "delete_registered_model_alias" in done.stdout
    place.put(PACKAGED, made.model_copy(update={"evaluation": "another"}))
    assert "goes on serving" not in typed(place, "reject", "--as", ANNA, "--reason", "fails on them still").stdout


def test_show_reads_the_log(place: Waiting) -> None:
    place.put(SIGN_OFF, current_state(place.case()).model_copy(update={"play_key": "k"}))
    typed(place, "approve", "--as", ANNA, *TYPED)
    status = read_status(place.task, place.places)
    assert status["state"] == "awaiting_sign_off"
    assert f"`playbook run {place.task.called()}` takes it up" in status["sign_off"]["awaits"]
    place.put(SIGN_OFF, current_state(place.case()).model_copy(update={"play_key": "l"}))
    assert "takes it up" not in read_status(place.task, place.places)["sign_off"]["awaits"]
    typed(place, "reject", "--as", ANNA, "--reason", "fails on refunds")
    status = read_status(place.task, place.places)
    assert status["state"] == "rejected" and "fails on refunds" in summary(status)
    place.log.storage.path.write_text("edited\n", "utf-8")
    done = typed(place, "show")
    assert done.exit_code == 1 and "no entry of the log" in done.stderr


def test_a_failed_run_has_no_headline_of_success(place: Waiting) -> None:
    status = {**read_status(place.task, place.places), "state": "shipped", "headline": HEADLINES["shipped"]}
    assert "SHIPPED" in summary(status)
    assert "SHIPPED" not in summary({**status, "failure": "x"}) and "FAILED" in summary({**status, "failure": "x"})


def test_a_file_that_cannot_be_written_is_one_line(place: Waiting) -> None:
    (place.folder / "home" / "reports" / "demo-decisions.html").mkdir()
    done = typed(place, "log")
    assert done.exit_code == 1 and "IsADirectoryError" in done.stderr and "check that the path" in done.stderr
