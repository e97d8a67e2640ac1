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
    assert len(found.open_questions) == len(found.evidence) == 25
    assert all(row.source == "not answered" and row.why for row in found.evidence)


def test_every_field_of_the_section_is_a_question() -> None:
    answers = {
        "novelty": "variant", "rows_obtainable": 10, "device_hours": 2, "latency_ms": 50, "control": "high",
        "change": "capability", "bottleneck": "judgement", "pretrained_exists": True, "labels": "clean",
        "domain_shift": "mild", "texts_may_leave": True, "deadline_weeks": 40, "on_device": False, "maintainers": 1,
        "data_licence_allows_training": True, "base_licences_allow_use": True, "residency": "region",
        "training_place": "region", "prompting_place": "region", "weights_must_be_owned": False,
        "prompting_reaches": 0.7,
    }  # fmt: skip
    left = set(DecisionAnswers.model_fields) - set(answers)
    assert left == {
        "deadline",
        "deadline_hours",
        "phased",
        "derived_weights_owned",
        "override",
    }  # parts of other answers
    found = decide(**answers)
    measured_only = {"Is the target met", "Data volume", "enough labelled rows", "Throughput"}
    assert all(any(words in question for words in measured_only) for question in found.open_questions)
    for name in answers:
        fewer = {key: value for key, value in answers.items() if key != name}
        assert len(decide(**fewer).open_questions) == len(found.open_questions) + 1, name
    assert all(row.why for row in found.evidence)


def test_measurements_answer_by_themselves() -> None:
    spec = spec_that(device_hours=100)
    measured = Measured(
        ROWS, 0.9, NEAR, PROBE, references=REFERENCES, costs=path_costs(spec, WORK), training_seconds=60
    )
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
    assert found.scores["fine_tune"] == max(found.scores.values())


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
    ({"maintainers": 0}, {"maintainers": 3}, RULED),
    ({"maintainers": 2}, {"maintainers": 3}, {"from_scratch"}),
    ({"deadline_hours": 6}, {"deadline_weeks": 40}, RULED),
    ({"deadline_hours": 2}, {"deadline_weeks": 40}, RULED | PROMPT),
    ({"deadline_weeks": 1}, {"deadline_weeks": 10}, RULED),
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
    assert "no base has a licence that may be used" in row(under("apache-2.0"), "licences of the bases").why
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
    ({"domain_shift": "strong"}, "Domain shift", {"fine_tune"}),
    ({"domain_shift": "none"}, "Domain shift", {"prompt_or_retrieve", "fine_tune"}),
    ({"latency_ms": 50}, "Latency", {"no_model", "fine_tune", "from_scratch"}),
    ({"latency_ms": 5000}, "Latency", set()),
    ({"maintainers": 5}, "Team", set()),
    ({"prompting_reaches": 0.9}, "ceiling", {"prompt_or_retrieve"}),
    ({"prompting_reaches": 0.8}, "ceiling", {"fine_tune"}),
    ({"on_device": True}, "user's device", {"no_model", "fine_tune", "from_scratch"}),
    ({"rows_obtainable": 400}, "further labelled", {"fine_tune"}),
    ({"rows_obtainable": 4}, "further labelled", set()),
    ({"deadline_weeks": 10}, "Deadline", set()),
]


@pytest.mark.parametrize(("answers", "words", "favours"), WEIGHED)
def test_each_answer_speaks_for_its_paths(answers: dict[str, Any], words: str, favours: set[str]) -> None:
    found = decide(**answers)
    assert set(row(found, words).favours) == favours
    weight = row(found, words).weight
    assert (weight > 0) == bool(favours)
    everybody = set(found.scores) <= favours
    assert found.scores == {path: weight if path in favours and not everybody else 0 for path in found.scores}


def test_measured_rows_agreement_and_distance_go_both_ways() -> None:
    def favours(words: str, **measured: Any) -> set[str]:
        return set(row(decide(measured=Measured(**measured)), words).favours)

    assert favours("rarest", class_rows={"a": 3, "b": 500}) == {"prompt_or_retrieve", "fine_tune"}
    assert favours("rarest", class_rows={"a": 20, "b": 500}) == {"prompt_or_retrieve", "fine_tune"}
    assert favours("rarest", class_rows={"a": 80, "b": 500}) == {"fine_tune"}
    assert favours("rarest", class_rows={"a": 10**6, "b": 500}) == RULED
    assert favours("two people", kappa=0.4) == {"no_model", "prompt_or_retrieve"}
    assert favours("two people", kappa=0.7) == {"fine_tune"}
    assert favours("two people", kappa=0.95) == RULED
    unmet = row(decide(measured=Measured(references=REFERENCES)), "target met")
    assert unmet.favours == () and unmet.rules_out == ("no_model",), "no point that all others get"
    assert favours("pretrained model", probe=PROBE) == {"fine_tune"}
    for changes, level in (
        ({}, "none"),
        ({"tokens_per_word": 2.0}, "mild"),
        ({"tokens_per_word": 3.0}, "strong"),
        ({"unknown_share": 0.1}, "strong"),
        ({"features": 0.05}, "strong"),
    ):
        assert domain_shift(NEAR.model_copy(update=changes)) == level


def test_the_compute_budget_is_a_floor_at_the_low_end_of_the_estimate() -> None:
    plan = {"adaptation": {"max_rungs": 2, "epochs": 5}}

    def out(hours: float) -> set[str]:
        spec = spec_that(plan, device_hours=hours)
        return set(row(decide_path(spec, Measured(probe=PROBE, costs=path_costs(spec, WORK))), "budget").rules_out)

    tuned, scratch = (cost.hours_interval for cost in path_costs(spec_that(plan), WORK)[2:])
    assert tuned is not None and scratch is not None
    assert out(tuned[0] * 0.3) == RULED  # under three of eight iterations, even if all goes well
    assert out(tuned[0] * 0.5) == {"from_scratch"}
    assert out(scratch[0] * 0.5) == set()
    assert row(decide(device_hours=1), "Compute budget").rules_out == ()  # nothing to compare with


def test_a_fifth_of_the_time_is_kept_and_phases_are_considered() -> None:
    # Three iterations of 16 hours by one person are 1.2 weeks: they fit into four fifths of 1.6 weeks, not of 1.4.
    assert row(decide(deadline_weeks=1.6), "Deadline").rules_out == ()
    late = row(decide(deadline_weeks=1.4, phased=True), "Deadline")
    assert late.rules_out == ("fine_tune", "from_scratch") and "deliver the best reference first" in late.why
    assert "is still open" in row(decide(deadline_weeks=1.4), "Deadline").why
    two = row(decide(deadline_weeks=1.4, maintainers=3), "Deadline")
    assert two.rules_out == (), "three people do the same work sooner"
    spec = spec_that(deadline=date(2025, 6, 30))
    today = row(decide_path(spec, Measured(today=date(2025, 6, 2))), "Deadline")
    assert today.answer.startswith("4.0 weeks, 3.2 weeks of them")
    passed = row(decide_path(spec, Measured(today=date(2025, 8, 1))), "Deadline")
    assert passed.answer == "it has passed" and passed.rules_out == (), "an old task file goes on"


def test_device_time_counts_towards_the_deadline() -> None:
    spec = spec_that(deadline_weeks=4)
    slow = tuple(
        cost.model_copy(update={"device_hours": 8000.0, "hours_interval": (4000.0, 16_000.0)})
        for cost in path_costs(spec, WORK)
    )
    assert row(decide_path(spec, Measured(probe=PROBE, costs=slow)), "Deadline").rules_out == (
        "fine_tune",
        "from_scratch",
    )


def test_rows_that_can_be_had_lift_the_floor_of_rows() -> None:
    few = dict.fromkeys(ORDINARY, 5)
    assert {"fine_tune", "from_scratch"} & set(decide(measured=Measured(few)).scores) == set()
    enough = decide(measured=Measured(few), rows_obtainable=15)
    assert "fine_tune" in enough.scores and "from_scratch" not in enough.scores
    assert "15 of them are needed for fine-tuning" in row(enough, "further labelled").why
    assert "from_scratch" in decide(measured=Measured(few), rows_obtainable=500_000).scores


def test_knowledge_goes_to_retrieval_whatever_the_points() -> None:
    strong = {"novelty": "variant", "control": "high", "latency_ms": 50, "labels": "clean"}
    found = decide(measured=Measured(ROWS, references=REFERENCES), bottleneck="knowledge", **strong)
    assert found.path == "prompt_or_retrieve" and found.scores["fine_tune"] > found.scores["prompt_or_retrieve"]
    searched = decide(measured=Measured(ROWS), bottleneck="knowledge", prompting_place="none", **strong)
    assert searched.path == "prompt_or_retrieve", "a search needs no model that is prompted"
    away = {"residency": "own_premises", "prompting_place": "elsewhere"}
    here = decide(measured=Measured(ROWS), bottleneck="knowledge", **away, **strong)
    assert here.path == "prompt_or_retrieve", "nor does it send a text to one that may not have it"


def test_labels_that_two_people_cannot_agree_on_are_a_ceiling() -> None:
    found = decide(measured=Measured(ROWS, agreement=0.8), prompting_reaches=0.6)
    assert "two people agree on only 0.80 of the rows" in row(found, "ceiling").why
    assert "two people" not in row(decide(measured=Measured(ROWS, agreement=0.9), prompting_reaches=0.6), "ceiling").why


def test_each_open_question_lowers_the_confidence_and_what_could_turn_the_path_is_named() -> None:
    from test_decide_situations import SITUATIONS, measured_of, spec_of

    def sure(one: dict[str, Any], **changes: Any) -> Decision:
        return decide_path(spec_of(one, **changes), measured_of(one))

    assert decide().confidence is not None and decide().confidence < 0.4
    for one in SITUATIONS:
        found = sure(one)
        for name in one["answers"]:
            fewer = sure(one, **{name: None})
            if len(fewer.open_questions) > len(found.open_questions):
                assert fewer.confidence < found.confidence, (one["situation"], name)
    desk = SITUATIONS[0]
    allowed = {"data_licence_allows_training": True, "base_licences_allow_use": True}
    assert set(sure(desk).could_change) == set(allowed)
    settled = sure(desk, **allowed)
    assert settled.could_change == () and "no single answer to the others would change the path" in settled.why
    assert settled.confidence - sure(desk).confidence == pytest.approx(2 / len(settled.evidence), abs=0.002)
    assert "Confidence middling" in settled.why and "Confidence low" in sure(desk).why


def test_no_model_may_always_be_taken() -> None:
    override = {"path": "no_model", "by": "anna@example.org", "because": "The project has been stopped."}
    assert decide(measured=Measured(ROWS, references=REFERENCES), override=override).path == "no_model"


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
    with pytest.raises(
        TaskFileError, match="no limit and no floor rules out, found fine_tune; Does the licence of the data"
    ):
        decide(data_licence_allows_training=False, override=override)


@pytest.mark.parametrize(
    "answers",
    [
        {"novelty": "somewhat"},
        {"rows_obtainable": -1},
        {"deadline": "2025-01-01", "deadline_weeks": 3},
        {"deadline_hours": 8, "deadline_weeks": 3},
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
    same: dict[str, Any] = {"class_rows": ROWS, "kappa": 0.9, "closeness": NEAR, "probe": PROBE}
    slow = Measured(**same, references=REFERENCES, training_seconds=60, ratio=2.0, training_interval=(30, 120))
    quick = Measured(**same, references=REFERENCES, training_seconds=6)
    assert decide(measured=slow).digest == decide(measured=quick).digest
