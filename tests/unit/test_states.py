"""Every state of a task, from the artefacts that come to it; no headline contradicts what is below it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from report_samples import score
from sign_off_samples import waiting

from playbook.artifacts import (
    Artifact,
    ClassFigures,
    DatasetVersion,
    Decision,
    EarlyEndClaim,
    Evaluation,
    GateCheck,
    GateVerdict,
    LockedTerms,
    PackagedModel,
    ReferenceBaselines,
    Rung,
    Side,
    SignOff,
    TermChange,
)
from playbook.plays import DATASET, DECISION, EVALUATION, FROZEN, PACKAGED, REFERENCES, SIGN_OFF
from playbook.states import HEADLINES, RED_GATE, SERVED, STATES, standing_of
from playbook.status import read_status
from playbook.summary import summary

FAULT = GateCheck(name="labels", passed=False, severity="error", expected="only a", found="b")


def dataset(passed: bool = True) -> DatasetVersion:
    gate = GateVerdict(passed=passed, dataset_hash="d", checks=() if passed else (FAULT,))
    return DatasetVersion(task="t", number=1, dataset_hash="d", gate=gate)


def side(value: float) -> Side:
    return Side(scores={"accuracy": score(value)}, per_class=(), confusion=())


def judged(ship: str, **fields: Any) -> Evaluation:
    given = {"task": "t", "metric": "accuracy", "target": 0.85, "verdict": f"ship {ship}", "ship": ship}
    return Evaluation.model_validate({**given, "baseline": side(0.8), "candidate": side(0.9), **fields})


def decided(path: str = "fine_tune") -> Decision:
    return Decision.model_validate({"task": "t", "path": path, "why": f"because of {path}"})


def approved(state: str) -> SignOff:
    return SignOff.model_validate({"task": "t", "state": state})


MODEL = PackagedModel(task="t", name="t", version="1.0.0")
GREEN = {DATASET: dataset()}
MET = {REFERENCES: ReferenceBaselines(task="t", meets_target="tfidf", reason="tfidf meets it"), DECISION: decided()}
CLAIM = EarlyEndClaim(baseline="tfidf", validation=score(0.9), confirmed=True)
NO_MODEL = decided("no_model")
CONFIRMED = NO_MODEL.model_copy(update={"claim": CLAIM})
REFUTED = NO_MODEL.model_copy(update={"claim": CLAIM.model_copy(update={"confirmed": False})})
JUDGED = {**GREEN, DECISION: decided()}
CASES: list[tuple[str, dict[str, Artifact], str]] = [
    ("not_run", {}, ""),
    ("not_run", {DATASET: DatasetVersion(task="t", status="skipped", reason="x")}, ""),
    ("gate_red", {DATASET: dataset(False)}, "labels: expected only a, found b"),
    ("in_progress", GREEN, ""),
    ("in_progress", {**GREEN, REFERENCES: MET[REFERENCES]}, ""),  # met on validation, and not yet asked of test
    ("in_progress", {**GREEN, **MET}, ""),  # asked of test, and not confirmed
    ("target_already_met", {**GREEN, **MET, DECISION: CONFIRMED}, "tfidf meets it"),
    ("other_path", {**GREEN, **MET, DECISION: REFUTED}, "because of no_model"),  # the task file overrides
    ("other_path", {**GREEN, **MET, DECISION: NO_MODEL}, "because of no_model"),
    ("other_path", {**GREEN, DECISION: decided("prompt_or_retrieve")}, "because of prompt_or_retrieve"),
    ("refused", {**JUDGED, EVALUATION: judged("nothing", refused=True)}, "ship nothing"),
    ("nothing_shipped", {**JUDGED, EVALUATION: judged("nothing", missed=("accuracy",))}, "ship nothing"),
    ("incumbent_stays", {**JUDGED, EVALUATION: judged("incumbent")}, "ship incumbent"),
    ("in_progress", {**JUDGED, EVALUATION: judged("candidate")}, "ship candidate"),
    ("awaiting_sign_off", {**JUDGED, EVALUATION: judged("candidate"), SIGN_OFF: approved("awaiting")}, ""),
    ("awaiting_sign_off", {**JUDGED, EVALUATION: judged("candidate"), SIGN_OFF: approved("void")}, ""),
    ("rejected", {**JUDGED, EVALUATION: judged("candidate"), SIGN_OFF: approved("rejected")}, ""),
    ("in_progress", {**JUDGED, EVALUATION: judged("candidate"), SIGN_OFF: approved("approved")}, ""),
]
for ship, shipped in (("candidate", "shipped"), ("baseline", "baseline_shipped")):
    done = {**JUDGED, EVALUATION: judged(ship), SIGN_OFF: approved("approved"), PACKAGED: MODEL}
    CASES.append((shipped, done, f"ship {ship}"))


@pytest.mark.parametrize(("state", "found", "reason"), CASES)
def test_states_follow_from_artefacts(state: str, found: dict[str, Artifact], reason: str) -> None:
    standing = standing_of(found)
    assert standing.state == state
    assert standing.headline.startswith(HEADLINES[standing.state].partition(":")[0])
    assert reason in standing.reason


def test_every_state_has_a_case_and_a_headline() -> None:
    assert {state for state, _, _ in CASES} == set(STATES) == set(HEADLINES)
    assert set(STATES) > SERVED


def test_the_headline_of_nothing_shipped_says_what_the_verdict_says() -> None:
    met = standing_of({**JUDGED, EVALUATION: judged("nothing")})
    assert met.headline == "NOTHING SHIPPED: the target is met, but not by the gain that was asked for"
    missed = standing_of({**JUDGED, EVALUATION: judged("nothing", missed=("accuracy",))})
    assert missed.headline == "NOTHING SHIPPED: the target is missed"
    alone = standing_of({**JUDGED, EVALUATION: judged("nothing", candidate=None, missed=("accuracy",))})
    assert alone.headline == "NOTHING SHIPPED: the target is missed"
    figures = [ClassFigures(label=label, precision=0, recall=0, f1=0, support=9) for label in ("a", "b")]
    same = side(0.9).model_copy(update={"per_class": tuple(figures), "confusion": ((9, 0), (1, 0))})
    constant = standing_of({**JUDGED, EVALUATION: judged("nothing", baseline=same, candidate=None)})
    assert constant.headline == "NOTHING SHIPPED: a constant answer meets the target, and is not a model"


def test_a_refusal_says_whether_the_split_is_open() -> None:
    change = TermChange(field="target.margin", locked="0.05", found="0.01")
    lock = LockedTerms(
        opening=1, opened_at="2026-01-01", opened_for="m", dataset=1, changed=(change,), fresh_rows=10, key="k"
    )
    terms = standing_of({**JUDGED, EVALUATION: judged("nothing", refused=True, locked=lock)})
    assert terms.headline == "NO ANSWER: what decides changed after the test split was opened"
    opened = standing_of({**JUDGED, EVALUATION: judged("nothing", refused=True, openings=1)})
    assert "stays closed" not in opened.headline and "not opened for it" in opened.headline


def test_what_was_made_of_older_data_is_not_shown_beside_new_data(tmp_path: Path) -> None:
    place = waiting(tmp_path)
    assert read_status(place.task, place.places)["verdict"] == "ship it"
    gate = GateVerdict(passed=True, dataset_hash="d2", checks=())
    newer = DatasetVersion(task="demo", number=2, dataset_hash="d2", play_key="k2", gate=gate)
    for asset in (FROZEN, "rung_1", EVALUATION):
        kind = place.store.current_data("demo", asset)
        assert kind == "", "an older home does not know; the evaluation's own hashes still tell"
        place.store.set_current("demo", asset, "k", data="d1")
    place.store.put(DATASET, newer, {})
    place.store.set_current("demo", DATASET, "k2", data="d2")
    status = read_status(place.task, place.places)
    assert status["dataset"]["version"] == 2 and status["state"] == "in_progress"
    assert status["verdict"] is None and status["frozen_baseline"]["validation"] is None and not status["rungs"]
    assert "IN PROGRESS" in summary(status)


@pytest.mark.parametrize("green", [True, False])
def test_what_was_skipped_behind_a_red_gate_is_yet_to_run_once_it_is_green(tmp_path: Path, green: bool) -> None:
    place = waiting(tmp_path)
    reason = f"{RED_GATE} 2: classes"
    skipped = Rung(task="demo", index=1, status="skipped", reason=reason, play_key="s1")
    place.store.put("rung_1", skipped, {})
    place.store.set_current("demo", "rung_1", "s1")
    gate = GateVerdict(passed=green, dataset_hash="d2", checks=())
    place.store.put(DATASET, DatasetVersion(task="demo", number=2, dataset_hash="d2", play_key="k2", gate=gate), {})
    place.store.set_current("demo", DATASET, "k2", data="d2")
    assert [rung["reason"] for rung in read_status(place.task, place.places)["rungs"]] == ([] if green else [reason])


@pytest.mark.parametrize("found", [1, 9])
def test_what_the_gate_let_pass_is_in_the_summary(tmp_path: Path, found: int) -> None:
    place = waiting(tmp_path)
    warning = FAULT.model_copy(update={"severity": "warning", "found": "'Biling' (3 rows)"})
    checks = tuple(warning.model_copy(update={"name": f"rule {number}"}) for number in range(found))
    gate = GateVerdict(passed=True, dataset_hash="d2", checks=(*checks, FAULT.model_copy(update={"passed": True})))
    place.store.put(DATASET, DatasetVersion(task="demo", number=2, dataset_hash="d2", play_key="k2", gate=gate), {})
    place.store.set_current("demo", DATASET, "k2", data="d2")
    said = summary(read_status(place.task, place.places))
    assert "rule 0: 'Biling' (3 rows)" in said and said.count("rule ") == min(found, 6)
    assert ("and 3 more warnings of the gate" in said) == (found == 9)
