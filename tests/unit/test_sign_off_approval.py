"""Who may approve what, and what makes an approval void: in this run and in any later one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from sign_off_samples import (
    ANNA,
    ANSWERS,
    BASE_FILE,
    OWNER,
    TODAY,
    Waiting,
    by,
    make_keys,
    needs_ssh_keygen,
    public,
    signed_place,
    waiting,
)

from playbook.artifacts import Blocker
from playbook.errors import ApprovalRefused, LogTampered, SignatureRefused
from playbook.evaluate.approval import QUESTIONS, approve, open_case, reject, settle, statement_of, waive
from playbook.evaluate.sign_off_state import Statement, current_state

BUDGET = Blocker(what="regression_budget", text="7 % of the rows that were right are wrong now")
LABELS = Blocker(what="label_agreement", text="kappa 0.5, asked for 0.7")


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def place(tmp_path: Path) -> Waiting:
    return waiting(tmp_path)


def refusal(work: Callable[[], object]) -> tuple[str, ...]:
    with pytest.raises(ApprovalRefused) as caught:
        work()
    return caught.value.reasons


def test_without_a_decision_it_says_who_has_to_do_what(place: Waiting) -> None:
    state = current_state(place.case())
    assert state.state == "awaiting" and state.by == ""
    assert (
        f"{ANNA}: `playbook approve {place.task.called()} --as {ANNA}`" in state.awaits
        and "--reason TEXT`" in state.awaits
    )


def test_a_recorded_approval_has_answers_name_time_and_binding(place: Waiting) -> None:
    entry = approve(place.case(), ANNA, ANSWERS)
    state = current_state(place.case())
    assert state.state == "approved" and state.mode == "recorded" and not state.same_person
    assert state.answers == {QUESTIONS[short]: text for short, text in ANSWERS.items()}
    assert (state.by, state.at, state.log_entry) == (ANNA, entry.time, entry.sha256)
    assert state.binding == place.case().now
    assert approve(place.case(), f" {ANNA.upper()} ", ANSWERS) == entry, "said twice, on record once"


def test_only_the_sign_off_owner_with_three_answers_approves(place: Waiting) -> None:
    assert refusal(lambda: approve(place.case(), OWNER, ANSWERS)) == (
        f"expected the sign-off owner {ANNA}, found {OWNER!r}; nobody else may decide this",
    )
    for short, question in QUESTIONS.items():
        (said,) = refusal(lambda short=short: approve(place.case(), ANNA, {**ANSWERS, short: " \x07 "}))  # type: ignore[misc]
        assert said == f"not answered: {question} (--answer-{short})"
    assert len(refusal(lambda: approve(place.case(), OWNER, {}))) == 4, "all reasons at once"
    assert place.log.entries() == ()


def test_the_same_person_is_recorded_openly(place: Waiting) -> None:
    place.write_task(model=ANNA.capitalize())
    entry = approve(place.case(), ANNA, ANSWERS)
    state = current_state(place.case())
    assert state.same_person and "who is the model owner too" in state.reason and "too" in entry.title


def test_a_rule_approves_and_says_that_nobody_looked(place: Waiting) -> None:
    place.write_task({"mode": "automatic"})
    state = settle(place.case())
    assert state.state == "approved" and state.mode == "automatic" and state.by == "playbook"
    assert state.reason == "approved by rule; no person looked" and not state.answers
    assert settle(place.case()) == state and len(place.log.entries()) == 1
    assert "no person looked" in place.log.entries()[0].title


def test_a_rule_neither_approves_over_a_blocker_nor_over_a_rejection(tmp_path: Path) -> None:
    place = waiting(tmp_path, "automatic", BUDGET)
    state = settle(place.case())
    assert state.state == "awaiting" and "regression_budget stands against it" in state.reason
    assert f"`playbook waive {place.task.called()} regression_budget" in state.awaits and place.log.entries() == ()
    waive(place.case(), "regression_budget", ANNA, "known since last May", "2026-12-24")
    assert settle(place.case()).state == "approved"
    reject(place.case(), ANNA, "not so fast")
    assert settle(place.case()).state == "rejected"
    approve(place.case(), ANNA, ANSWERS)
    assert settle(place.case()).mode == "recorded" and settle(place.case()).state == "approved"


def test_a_rejection_holds_until_an_approval_that_overrules_it(place: Waiting) -> None:
    first = approve(place.case(), ANNA, ANSWERS)
    assert "nobody else" in refusal(lambda: reject(place.case(), OWNER, "it is worse"))[0]
    assert "expected a reason" in refusal(lambda: reject(place.case(), ANNA, "  "))[0]
    reject(place.case(), ANNA, "fails on <b>refunds</b>")
    state = current_state(place.case())
    assert state.state == "rejected" and state.reason == f"rejected by {ANNA}: fails on <b>refunds</b>"
    place.log.append("sign_off", first.title, by=ANNA, inputs=first.inputs, body=first.body)
    assert current_state(place.case()).state == "void", "the old approval, copied, does not overrule the rejection"
    approve(place.case(), ANNA, ANSWERS)
    assert current_state(place.case()).state == "approved"


@pytest.mark.parametrize("mode", ["automatic", "recorded"])
def test_nothing_is_approved_where_nothing_ships(place: Waiting, mode: str) -> None:
    place.write_task({"mode": mode})
    place.evaluate(ship="nothing", verdict="the gain is too small")
    assert "nothing is to be shipped: the gain is too small" in refusal(lambda: approve(place.case(), ANNA, ANSWERS))
    place.evaluate(ship="nothing", refused=True, verdict="60 rows cannot show it")
    assert "60 rows cannot show it" in refusal(lambda: approve(place.case(), ANNA, ANSWERS))[0]
    assert settle(place.case()).state == "awaiting" and place.log.entries() == ()


def test_without_an_evaluation_there_is_nothing_to_sign_off(place: Waiting) -> None:
    place.evaluate(status="skipped", reason="target already met by tfidf")
    said = refusal(lambda: open_case(place.task, place.places))
    assert "target already met by tfidf" in said[0]


def test_a_blocker_needs_a_waiver_that_has_not_run_out(tmp_path: Path) -> None:
    place = waiting(tmp_path, "recorded", BUDGET, LABELS)
    waive(place.case(), "regression_budget", ANNA, "will be fixed next month", "2026-12-24")
    (said,) = refusal(lambda: approve(place.case(), ANNA, ANSWERS))
    assert (
        said.startswith("label_agreement stands against it: kappa 0.5")
        and f"playbook waive {place.task.called()} label_" in said
    )
    waive(place.case(), "label_agreement", ANNA, "second round is ordered", "2026-11-30")
    approve(place.case(), ANNA, ANSWERS)
    state = current_state(place.case())
    assert state.state == "approved" and [w.what for w in state.waivers] == ["label_agreement", "regression_budget"]
    last_day, after = TODAY.replace(day=30), TODAY.replace(day=30) + timedelta(days=1)
    assert current_state(place.case(last_day)).state == "approved"
    late = current_state(place.case(after))
    assert late.state == "awaiting" and "no waiver holds today for label_agreement" in late.reason
    assert "label_agreement stands against it" in refusal(lambda: approve(place.case(after), ANNA, ANSWERS))[0]


def test_a_waiver_names_a_blocker_an_owner_a_reason_and_a_day(tmp_path: Path) -> None:
    place = waiting(tmp_path, "recorded", BUDGET)
    case = place.case()
    assert "known: regression_budget" in refusal(lambda: waive(case, "slices", ANNA, "they are rare", "2026-12-24"))[0]
    assert "nobody else" in refusal(lambda: waive(case, "regression_budget", OWNER, "they are rare", "2026-12-24"))[0]
    assert "expected a reason" in refusal(lambda: waive(case, "regression_budget", ANNA, "", "2026-12-24"))[0]
    for day in ("2026-11-21", "2020-01-01", "soon", "2026-02-30"):
        assert "--until" in refusal(lambda day=day: waive(case, "regression_budget", ANNA, "they are rare", day))[0]  # type: ignore[misc]
    assert place.log.entries() == ()
    waive(case, "regression_budget", ANNA, "they are rare", "2026-12-24")
    place.evaluate(weights=b"another model")
    said = refusal(lambda: approve(place.case(), ANNA, ANSWERS))
    assert "regression_budget stands against it" in said[0], "a waiver is for one evaluation"


def edit_report(place: Waiting) -> None:
    place.report.write_text(place.report.read_text("utf-8").replace("rung", "best"), "utf-8")


def change_weights(place: Waiting) -> None:
    place.file("rung_1", "weights").write_bytes(b"swapped")


def change_data(place: Waiting) -> None:
    place.file("dataset_version", "test").write_bytes(b"easier rows")


def change_base(place: Waiting) -> None:
    (place.folder / "base" / BASE_FILE).write_bytes(b"another base")


TAMPERED = [
    (edit_report, "the report changed", "the published report demo.html changed since the evaluation"),
    (change_weights, "the trained weights changed", "the weights of rung_1 changed since the evaluation"),
    (change_data, "the test split changed", "the test split of dataset version 1 changed since the evaluation"),
    (change_base, "the weights of the base changed", "the weights of the base changed since the evaluation"),
]
NAMES = [tampered[0].__name__ for tampered in TAMPERED]


@pytest.mark.parametrize(("tamper", "void", "refused"), TAMPERED, ids=NAMES)
@pytest.mark.parametrize("mode", ["automatic", "recorded"])
def test_what_changed_since_makes_an_approval_void(
    tmp_path: Path, mode: str, tamper: Callable[[Waiting], None], void: str, refused: str
) -> None:
    place = waiting(tmp_path, mode)
    if mode == "recorded":
        approve(place.case(), ANNA, ANSWERS)
    assert settle(place.case()).state == "approved"
    tamper(place)
    for _ in range(2):  # in this run and in a later one: nothing is remembered between
        state = settle(place.case())
        assert state.state == "void" and state.reason.startswith(f"{void} since it was signed off: expected "), state
    (said,) = refusal(lambda: approve(place.case(), ANNA, ANSWERS))
    assert said.startswith(refused)


@pytest.mark.parametrize(("tamper", "void", "refused"), TAMPERED, ids=NAMES)
def test_what_was_changed_before_is_not_approved(
    tmp_path: Path, tamper: Callable[[Waiting], None], void: str, refused: str
) -> None:
    place = waiting(tmp_path, "automatic")
    tamper(place)
    state = settle(place.case())
    assert state.state == "awaiting" and state.reason.startswith(refused) and place.log.entries() == ()


def test_new_data_ask_for_a_new_approval_and_say_what_changed(place: Waiting) -> None:
    approve(place.case(), ANNA, ANSWERS)
    evaluation, report = place.case().bound.evaluation, place.report.read_bytes()
    place.evaluate("d2", weights=b"trained on d2")
    state = current_state(place.case())
    assert state.state == "awaiting" and "is for another evaluation" in state.reason
    assert "the dataset changed since it was signed off: expected d1, found d2" in state.reason
    place.put("evaluation", evaluation)
    place.render(report)
    state = current_state(place.case())
    assert state.state == "void" and "the dataset changed since it was signed off: expected d1" in state.reason


def test_an_edited_line_of_the_log_is_detected_and_stops_every_decision(place: Waiting) -> None:
    approve(place.case(), ANNA, {**ANSWERS, "gain": "hardly worth it"})
    path = place.log.storage.path
    path.write_text(path.read_text("utf-8").replace("hardly", "surely"), "utf-8")
    state = current_state(place.case())
    assert state.state == "void" and "line 1" in state.reason
    for work in (
        lambda: approve(place.case(), ANNA, ANSWERS),
        lambda: reject(place.case(), ANNA, "it is worse"),
        lambda: statement_of(place.case(), ANNA, ANSWERS),
    ):
        with pytest.raises(LogTampered, match="line 1"):
            work()


def test_an_approval_of_somebody_who_is_no_longer_the_owner_does_not_count(place: Waiting) -> None:
    approve(place.case(), ANNA, ANSWERS)
    place.write_task(sign_off="eve@example.org")
    state = current_state(place.case())
    assert state.state == "awaiting" and f"approved by {ANNA}, but the sign-off owner" in state.reason


def test_an_entry_that_is_no_statement_approves_nothing(place: Waiting) -> None:
    entry = approve(place.case(), ANNA, ANSWERS)
    place.log.append("sign_off", "approved", by=ANNA, inputs=entry.inputs, body={"statement": "yes"})
    assert current_state(place.case()).state == "void"
    empty = json.loads(json.dumps(entry.body))
    empty["statement"]["answers"] = {}
    place.log.append("sign_off", "approved", by=ANNA, inputs=entry.inputs, body=empty)
    state = current_state(place.case())
    assert state.state == "awaiting" and "does not answer the three questions" in state.reason


@needs_ssh_keygen
class TestSigned:
    def test_the_owners_signature_is_verified_whenever_it_is_read(self, tmp_path: Path, keys: Path) -> None:
        place = signed_place(tmp_path, keys)
        entry = approve(place.case(), ANNA, ANSWERS, by(keys / "anna"))
        state = current_state(place.case())
        assert state.state == "approved" and state.mode == "signed" and state.key.startswith("SHA256:")
        assert "BEGIN SSH SIGNATURE" in str(entry.body["signature"])
        place.signers.write_text(f'{ANNA} valid-before="20200101" {public(keys / "anna")}\n', "utf-8")
        expired = current_state(place.case())
        assert expired.state == "void" and "has expired" in expired.reason
        place.signers.unlink()
        assert "expected an allowed-signers file" in current_state(place.case()).reason

    def test_wrong_keys_are_refused(self, tmp_path: Path, keys: Path) -> None:
        place = signed_place(tmp_path, keys)
        with pytest.raises(SignatureRefused, match="is not in the allowed-signers file"):
            approve(place.case(), ANNA, ANSWERS, by(keys / "eve"))
        with pytest.raises(SignatureRefused, match=f"listed for the model owner {OWNER}, who may not sign off"):
            approve(place.case(), ANNA, ANSWERS, by(keys / "max"))
        assert "expected a signature" in refusal(lambda: approve(place.case(), ANNA, ANSWERS))[0]
        assert place.log.entries() == ()

    def test_the_model_owners_own_key_under_the_other_name_is_refused(self, tmp_path: Path, keys: Path) -> None:
        place = signed_place(tmp_path, keys)
        place.signers.write_text(f"{ANNA} {public(keys / 'max')}\n{OWNER} {public(keys / 'max')}\n", "utf-8")
        with pytest.raises(SignatureRefused, match="listed for the model owner"):
            approve(place.case(), ANNA, ANSWERS, by(keys / "max"))

    def test_one_person_in_both_roles_is_refused(self, tmp_path: Path, keys: Path) -> None:
        place = signed_place(tmp_path, keys)
        place.write_task(model=ANNA.upper().replace("EXAMPLE.ORG", "example.org"))
        assert (
            "is the model owner; name somebody else"
            in refusal(lambda: approve(place.case(), ANNA, ANSWERS, by(keys / "anna")))[0]
        )

    @pytest.mark.parametrize(("tamper", "void", "refused"), TAMPERED, ids=NAMES)
    def test_what_changed_since_makes_it_void(
        self, tmp_path: Path, keys: Path, tamper: Callable[[Waiting], None], void: str, refused: str
    ) -> None:
        place = signed_place(tmp_path, keys)
        approve(place.case(), ANNA, ANSWERS, by(keys / "anna"))
        tamper(place)
        state = current_state(place.case())
        assert state.state == "void" and void in state.reason
        said = refusal(lambda: approve(place.case(), ANNA, ANSWERS, by(keys / "anna")))
        assert said[0].startswith(refused)

    def test_a_signature_does_not_carry_over_to_another_statement(self, tmp_path: Path, keys: Path) -> None:
        """A chain that was rewritten as a whole looks unbroken; the signature still shows what was signed."""
        place = signed_place(tmp_path, keys, BUDGET)
        waive(place.case(), "regression_budget", ANNA, "known since last May", "2026-11-22")
        entry = approve(place.case(), ANNA, ANSWERS, by(keys / "anna"))
        forged = json.loads(json.dumps(entry.body))
        forged["statement"]["waivers"][0]["expires"] = "2099-01-01"
        place.log.storage.path.unlink()
        place.log.storage.head.unlink()
        place.log.append("sign_off", entry.title, by=ANNA, inputs=entry.inputs, body=forged)
        (anchors,) = (tmp_path / "home").rglob("decision_log")
        assert "decisions, the last of them" in current_state(place.case()).reason, "the store's anchor shows it first"
        shutil.rmtree(anchors)
        state = current_state(place.case())
        assert state.state == "void" and "altered after it was signed" in state.reason
        forged["signature"] = ""
        place.log.append("sign_off", entry.title, by=ANNA, inputs=entry.inputs, body=forged)
        assert "expected an SSH signature" in current_state(place.case()).reason

    def test_a_recorded_approval_is_not_enough_where_a_signature_is_asked_for(self, tmp_path: Path, keys: Path) -> None:
        place = waiting(tmp_path)
        approve(place.case(), ANNA, ANSWERS)
        place.write_task({"mode": "signed", "allowed_signers": "allowed_signers"})
        state = current_state(place.case())
        assert state.state == "awaiting" and "is recorded, the task file asks for signed" in state.reason
        assert "--key FILE" in state.awaits

    def test_a_statement_is_the_same_text_each_time(self, tmp_path: Path, keys: Path) -> None:
        place = signed_place(tmp_path, keys)
        text = statement_of(place.case(), ANNA, ANSWERS).text
        assert statement_of(place.case(), ANNA, ANSWERS).text == text == Statement.model_validate_json(text).text
        assert ANSWERS["gain"] in text.decode() and place.case().now.report in text.decode()


def test_a_waiver_that_was_shortened_counts_with_its_new_day(tmp_path: Path) -> None:
    place = waiting(tmp_path, "recorded", Blocker(what="regression_budget", text="7 % are wrong now"))
    waive(place.case(), "regression_budget", ANNA, "they are rare", (TODAY + timedelta(days=30)).isoformat())
    approve(place.case(), ANNA, ANSWERS)
    later = TODAY + timedelta(days=10)
    assert current_state(place.case(later)).state == "approved"
    waive(place.case(), "regression_budget", ANNA, "only until then", (TODAY + timedelta(days=5)).isoformat())
    assert current_state(place.case()).state == "approved"
    assert "no waiver holds today for regression_budget" in current_state(place.case(later)).reason
