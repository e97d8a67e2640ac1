"""The decision gate: hard limits first, then weights, ties to fine-tuning; each answer both ways."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from pydantic import ValidationError
from report_samples import ORDINARY, score, spec_for
from test_decide_cost import PROBE, WORK

from playbook.artifacts import Closeness, Decision, EvidenceRow
from playbook.decide.cost import path_costs
from playbook.decide.gate import decide_path
from playbook.decide.measured import Measured, domain_shift
from playbook.errors import TaskFileError
from playbook.spec import DecisionAnswers, TaskSpec

ROWS = dict.fromkeys(ORDINARY, 200)
NEAR = Closeness(tokens_per_word=1.2, unknown_share=0.0, features=0.6, measure="m")
REFERENCES = {"majority": score(0.3), "tfidf": score(0.7), "zero_shot": score(0.5)}
RULED = {"fine_tune", "from_scratch"}
PROMPT = {"prompt_or_retrieve"}


def spec_that(rest: dict[str, Any] | None = None, **answers: Any) -> TaskSpec:
    return TaskSpec.model_validate(spec_for(ORDINARY).model_dump(mode="json") | {"decision": answers} | (rest or {}))


def decide(rest: dict[str, Any] | None = None, measured: Measured | None = None, **answers: Any) -> Decision:
    return decide_path(spec_that(rest, **answers), measured or Measured())


def row(found: Decision, words: str) -> EvidenceRow:
    (only,) = [row for row in found.evidence if words in row.question]
    return only


def test_an_empty_section_leaves_every_question_open_and_ties_go_to_fine_tuning() -> None:
    found = decide()
    assert found.path == found.recommended == "fine_tune"
    assert set(found.scores.values()) == {0} and "a tie goes to fine-tuning" in found.why
    assert len(found.open_questions) == len(found.evidence) == 22
    assert all(row.source == "not answered" and row.why for row in found.evidence)


def test_every_field_of_the_section_is_a_question() -> None:
    answers = {
        "novelty": "variant", "rows_obtainable": 10, "device_hours": 2, "latency_ms": 50, "control": "high",
        "change": "capability", "bottleneck": "judgement", "pretrained_exists": True, "labels": "clean",
        "domain_shift": "mild", "texts_may_leave": True, "deadline_weeks": 40, "on_device": False, "maintainers": 1,
        "data_licence_allows_training": True, "base_licences_allow_use": True, "residency": "region",
        "training_place": "region", "prompting_place": "region", "weights_must_be_owned": False,
    }  # fmt: skip
    left = set(DecisionAnswers.model_fields) - set(answers)
    assert left == {"deadline", "phased", "derived_weights_owned", "override"}  # parts of other answers
    found = decide(**answers)
    measured_only = {"Is the target met", "Data volume", "Throughput"}
    assert all(any(words in question for words in measured_only) for question in found.open_questions)
    for name in answers:
        fewer = {key: value for key, value in answers.items() if key != name}
        assert len(decide(**fewer).open_questions) == len(found.open_questions) + 1, name
    assert all(row.why for row in found.evidence)


def test_measurements_answer_by_themselves() -> None:
    spec = spec_that(device_hours=100)
    measured = Measured(ROWS, 0.9, NEAR, PROBE, "", REFERENCES, costs=path_costs(spec, WORK), training_seconds=60)
    found = decide_path(spec, measured)
    assert found.recommended == "fine_tune" and found.training_seconds == 60
    assert found.rows_per_second == pytest.approx(1 / 0.003)
    for words, part in (
        ("rarest class", "200 of access; 1,000 in 5 classes"),
        ("two people agree", "kappa 0.90"),
        ("Domain shift", "none: 1.20 tokens per word"),
        ("pretrained model for text", "6 blocks"),
        ("Throughput", "333 rows/s"),
        ("target met", "tfidf 0.700"),
        ("Compute budget", "100; fine-tuning"),
    ):
        assert part in row(found, words).answer
    assert "against" in found.why and found.scores["fine_tune"] == max(found.scores.values())


def test_a_reference_that_meets_the_target_ends_the_task() -> None:
    spec = spec_that(bottleneck="judgement", novelty="variant", control="high")
    measured = Measured(ROWS, references=REFERENCES, meets_target="tfidf", costs=path_costs(spec, WORK))
    found = decide_path(spec, measured)
    assert found.recommended == "no_model" and "tfidf meets the target" in found.why
    assert "The target is met without fine-tuning, by tfidf. That saves 3 to 8 iterations" in found.saved
    assert decide_path(spec, Measured(ROWS, references=REFERENCES)).saved == ""


def test_a_fitted_reference_does_not_count_where_nothing_may_be_fitted() -> None:
    measured = Measured(ROWS, references=REFERENCES, meets_target="tfidf")
    found = decide(measured=measured, data_licence_allows_training=False)
    assert found.recommended != "no_model" or "meets the target" not in found.why
    assert row(found, "target met").favours == ()
    untrained = Measured(ROWS, references=REFERENCES, meets_target="zero_shot")
    assert decide(measured=untrained, data_licence_allows_training=False).recommended == "no_model"


OWN = {"weights_must_be_owned": True, "derived_weights_owned": True}
# An answer that breaks the limit, one that keeps it, and what the first rules out.
LIMITS: list[tuple[dict[str, Any], dict[str, Any], set[str]]] = [
    ({"data_licence_allows_training": False}, {"data_licence_allows_training": True}, RULED),
    ({"base_licences_allow_use": False}, {"base_licences_allow_use": True}, {"fine_tune"}),
    ({"residency": "own_premises", "training_place": "region"}, {"residency": "own_premises"}, RULED),
    (
        {"residency": "region", "training_place": "elsewhere"},
        {"residency": "region", "training_place": "region"},
        RULED,
    ),
    ({"residency": "region", "prompting_place": "elsewhere"}, {"residency": "anywhere"}, PROMPT),
    ({"texts_may_leave": False, "prompting_place": "region"}, {"texts_may_leave": True}, PROMPT),
    ({"texts_may_leave": False, "prompting_place": "elsewhere"}, {"prompting_place": "own_premises"}, PROMPT),
    (OWN | {"derived_weights_owned": False}, OWN, {"fine_tune"}),
    (OWN | {"prompting_place": "elsewhere"}, OWN | {"prompting_place": "own_premises"}, PROMPT),
    ({"prompting_place": "none"}, {"prompting_place": "region"}, PROMPT),
    ({"on_device": True, "prompting_place": "region"}, {"on_device": True}, PROMPT),
    ({"pretrained_exists": False}, {"pretrained_exists": True}, {"fine_tune"}),
]


@pytest.mark.parametrize(("broken", "kept", "out"), LIMITS)
def test_a_hard_limit_rules_a_path_out_whatever_its_score(
    broken: dict[str, Any], kept: dict[str, Any], out: set[str]
) -> None:
    strong = {"novelty": "variant", "bottleneck": "judgement", "control": "high", "labels": "clean"}
    found = decide(**strong, **broken)
    assert out & set(found.scores) == set() and found.recommended not in out
    assert "Ruled out" in found.why
    assert set(decide(**strong, **kept).scores) == {"no_model", "prompt_or_retrieve", "fine_tune", "from_scratch"}
    assert decide(**strong, **kept).recommended == "fine_tune"


def test_licences_of_the_bases_are_compared_with_the_rule() -> None:
    def under(*licences: str) -> Decision:
        return decide({"bake_off": {"licences": list(licences)}})

    assert "fine_tune" not in under("apache-2.0").scores
    assert "no base has one" in row(under("apache-2.0"), "licences of the bases").why
    assert "fine_tune" in under("apache-2.0", "mit").scores  # the base says MIT


def test_nothing_is_left_when_all_is_ruled_out() -> None:
    found = decide(data_licence_allows_training=False, prompting_place="none")
    assert found.recommended == "no_model" and set(found.scores) == {"no_model"}


WEIGHED: list[tuple[dict[str, Any], str, set[str]]] = [
    ({"novelty": "known"}, "novelty", {"prompt_or_retrieve", "fine_tune"}),
    ({"novelty": "new"}, "novelty", RULED),
    ({"control": "low"}, "Control", {"prompt_or_retrieve"}),
    ({"control": "high"}, "Control", RULED),
    ({"change": "behaviour"}, "capability", {"prompt_or_retrieve"}),
    ({"change": "capability"}, "capability", RULED),
    ({"bottleneck": "knowledge"}, "bottleneck", {"prompt_or_retrieve"}),
    ({"bottleneck": "judgement"}, "bottleneck", {"fine_tune"}),
    ({"labels": "noisy"}, "two people", {"no_model", "prompt_or_retrieve"}),
    ({"labels": "clean"}, "two people", RULED),
    ({"domain_shift": "strong"}, "Domain shift", RULED),
    ({"domain_shift": "none"}, "Domain shift", {"prompt_or_retrieve", "fine_tune"}),
    ({"latency_ms": 50}, "Latency", {"no_model", "fine_tune", "from_scratch"}),
    ({"latency_ms": 5000}, "Latency", set()),
    ({"maintainers": 0}, "Team", {"no_model", "prompt_or_retrieve"}),
    ({"maintainers": 1}, "Team", {"fine_tune"}),
    ({"maintainers": 5}, "Team", RULED),
    ({"on_device": True}, "user's device", {"no_model", "fine_tune", "from_scratch"}),
    ({"rows_obtainable": 400}, "further labelled", {"fine_tune"}),
    ({"rows_obtainable": 4}, "further labelled", set()),
    ({"deadline_weeks": 10}, "Deadline", {"fine_tune"}),
    ({"deadline_weeks": 1}, "Deadline", {"no_model", "prompt_or_retrieve"}),
]


@pytest.mark.parametrize(("answers", "words", "favours"), WEIGHED)
def test_each_answer_speaks_for_its_paths(answers: dict[str, Any], words: str, favours: set[str]) -> None:
    found = decide(**answers)
    assert set(row(found, words).favours) == favours
    weight = row(found, words).weight
    assert (weight > 0) == bool(favours)
    assert found.scores == {path: weight if path in favours else 0 for path in found.scores}


def test_measured_rows_agreement_and_distance_go_both_ways() -> None:
    def favours(words: str, **measured: Any) -> set[str]:
        return set(row(decide(measured=Measured(**measured)), words).favours)

    assert favours("rarest", class_rows={"a": 3, "b": 500}) == {"prompt_or_retrieve"}
    assert favours("rarest", class_rows={"a": 20, "b": 500}) == {"prompt_or_retrieve", "fine_tune"}
    assert favours("rarest", class_rows={"a": 80, "b": 500}) == {"fine_tune"}
    assert favours("rarest", class_rows={"a": 10**6, "b": 500}) == RULED
    assert favours("two people", kappa=0.4) == {"no_model", "prompt_or_retrieve"}
    assert favours("two people", kappa=0.7) == {"fine_tune"}
    assert favours("two people", kappa=0.95) == RULED
    assert favours("target met", references=REFERENCES) == RULED | {"prompt_or_retrieve"}
    assert favours("pretrained model", probe=PROBE) == {"fine_tune"}
    for changes, level in (
        ({}, "none"),
        ({"tokens_per_word": 2.0}, "mild"),
        ({"tokens_per_word": 3.0}, "strong"),
        ({"unknown_share": 0.1}, "strong"),
        ({"features": 0.05}, "strong"),
    ):
        assert domain_shift(NEAR.model_copy(update=changes)) == level


def test_the_compute_budget_is_compared_with_the_estimate() -> None:
    def favours(hours: float) -> set[str]:
        spec = spec_that({"adaptation": {"max_rungs": 2, "epochs": 5}}, device_hours=hours)
        measured = Measured(probe=PROBE, costs=path_costs(spec, WORK))
        return set(row(decide_path(spec, measured), "Compute budget").favours)

    spec = spec_that({"adaptation": {"max_rungs": 2, "epochs": 5}})
    tuned, scratch = (cost.device_hours for cost in path_costs(spec, WORK)[2:])
    assert favours(tuned * 0.3) == {"no_model", "prompt_or_retrieve"}  # under three of eight iterations
    assert favours(tuned * 0.5) == {"fine_tune"}
    assert favours(max(tuned, scratch) * 1.1) == RULED
    assert row(decide(device_hours=1), "Compute budget").favours == ()  # nothing to compare with


def test_a_fifth_of_the_time_is_kept_and_phases_are_considered() -> None:
    # Three iterations of 16 hours by one person are 1.2 weeks: they fit into four fifths of 1.6 weeks, not of 1.4.
    assert "fit" in row(decide(deadline_weeks=1.6), "Deadline").why
    late = row(decide(deadline_weeks=1.4, phased=True), "Deadline")
    assert late.favours == ("no_model", "prompt_or_retrieve") and "deliver the best reference first" in late.why
    assert "is not answered" in row(decide(deadline_weeks=1.4), "Deadline").why
    spec = spec_that(deadline=date(2025, 6, 30))
    today = row(decide_path(spec, Measured(today=date(2025, 6, 2))), "Deadline")
    assert today.answer.startswith("4.0 weeks, 3.2 of them")
    assert row(decide_path(spec, Measured(today=date(2025, 8, 1))), "Deadline").answer.startswith("0.0 weeks")


def test_an_override_is_taken_and_stays_on_record() -> None:
    override = {"path": "prompt_or_retrieve", "by": "anna@example.org", "because": "The vendor is under contract."}
    found = decide(bottleneck="judgement", override=override)
    assert (found.path, found.recommended) == ("prompt_or_retrieve", "fine_tune")
    assert found.overridden == "prompt_or_retrieve by anna@example.org: The vendor is under contract."
    plain = decide(bottleneck="judgement")
    assert plain.overridden == "" and "Taken instead" not in plain.why
    instead = " Taken instead: prompting or retrieval, by anna@example.org, because: The vendor is under contract."
    assert found.why == plain.why + instead


def test_an_override_does_not_lift_a_hard_limit() -> None:
    override = {"path": "fine_tune", "by": "anna@example.org", "because": "We want to do it anyway."}
    with pytest.raises(TaskFileError, match="no hard limit rules out, found fine_tune; Does the licence of the data"):
        decide(data_licence_allows_training=False, override=override)


@pytest.mark.parametrize(
    "answers",
    [
        {"novelty": "somewhat"},
        {"rows_obtainable": -1},
        {"deadline": "2025-01-01", "deadline_weeks": 3},
        {"override": {"path": "magic", "by": "x", "because": "because I can"}},
        {"override": {"path": "no_model", "by": "x", "because": "short"}},
        {"override": {"path": "no_model", "by": "eve@example.org", "because": "A table will do for now."}},
        {"override": {"path": "no_model", "by": "anna@example.org", "because": "because because"}},
        {"colour": "blue"},
    ],
)
def test_answers_outside_the_closed_lists_are_faults(answers: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        spec_that(**answers)


def test_the_path_does_not_follow_from_how_fast_the_machine_is() -> None:
    slow = Measured(ROWS, 0.9, NEAR, PROBE, "", REFERENCES, training_seconds=60, ratio=2.0)
    quick = Measured(ROWS, 0.9, NEAR, PROBE, "", REFERENCES, training_seconds=6)
    assert decide(measured=slow).digest == decide(measured=quick).digest
