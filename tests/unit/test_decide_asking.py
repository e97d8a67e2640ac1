"""When a model that can be prompted comes before training, and answers that contradict each other."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError
from test_decide_situations import decided, measured_of, situation, spec_of

from playbook.artifacts import Decision
from playbook.decide.gate import decide_path

AT_HAND = {"prompting_place": "region", "texts_may_leave": True, "control": "medium", "latency_ms": 2000,
           "bottleneck": "judgement", "novelty": "variant", "labels": "clean"}  # fmt: skip
FEW = {"rarest": 10, "all": 50, "classes": 5}


def asked(rows: dict[str, int] | None = None, **answers: Any) -> Decision:
    return decided(situation(**{**AT_HAND, **answers}) | ({"rows": rows} if rows else {}))


def test_a_prompted_model_that_reaches_the_target_leaves_nothing_to_train() -> None:
    found = asked(prompting_reaches=0.93)
    assert found.scores["fine_tune"] > found.scores["prompt_or_retrieve"], "it does not hang on the points"
    assert found.path == "prompt_or_retrieve" and "nothing needs training (performance ceiling)" in found.why
    assert asked(prompting_reaches=0.89).path == "fine_tune", "it falls short"


@pytest.mark.parametrize(
    "against", [{"latency_ms": 200}, {"control": "high"}, {"control": "high", "prompting_place": None}]
)
def test_fast_answers_and_high_control_leave_it_to_the_points(against: dict[str, Any]) -> None:
    against = {name: value for name, value in {**AT_HAND, "prompting_reaches": 0.93, **against}.items() if value}
    assert decided(situation(**against)).path == "fine_tune"


def test_a_model_on_own_premises_is_under_the_teams_control() -> None:
    found = asked(control="high", prompting_place="own_premises", prompting_reaches=0.93)
    assert found.path == "prompt_or_retrieve"
    (control,) = [row for row in found.evidence if row.question.startswith("Control need")]
    assert set(control.favours) == {"prompt_or_retrieve", "fine_tune", "from_scratch"}


def test_few_rows_are_no_reason_to_train_before_the_model_at_hand_was_tried() -> None:
    found = asked(FEW)
    assert found.path == "prompt_or_retrieve"
    assert "about 10 labelled rows for each class are few (data volume)" in found.why
    assert "decision.prompting_reaches" in found.why
    assert asked(FEW, prompting_reaches=0.75).path == "fine_tune", "it was tried and falls short"
    assert asked(FEW, rows_obtainable=5000).path == "fine_tune", "more can be had"
    assert asked(FEW, prompting_place="none").path == "fine_tune", "nothing to try"
    assert asked({"rarest": 20, "all": 8000, "classes": 5}).path == "fine_tune", "one rare class among many rows"


def test_noisy_labels_are_worth_fewer_rows_and_are_corrected_before_training() -> None:
    rows = {"rarest": 100, "all": 600, "classes": 6}
    assert asked(rows).path == "fine_tune"
    noisy = asked(rows, labels="noisy")
    assert noisy.path == "prompt_or_retrieve" and "100 labelled rows for each class with noisy labels" in noisy.why
    many = asked({"rarest": 9000, "all": 90_000, "classes": 6}, labels="noisy")
    assert many.path == "fine_tune" and "Correct the labels first" in many.why
    assert "Correct the labels" not in asked(labels="some_noise").why


def test_answers_faster_than_a_network_rule_out_a_model_on_other_machines() -> None:
    nobody = {"maintainers": 0}
    assert asked(**nobody).path == "prompt_or_retrieve"
    fast = asked(latency_ms=50, **nobody)
    assert fast.path == "no_model" and "allow slower answers" in fast.why
    assert asked(latency_ms=50, prompting_place="own_premises", **nobody).path == "prompt_or_retrieve"
    assert asked(latency_ms=50, bottleneck="knowledge", **nobody).path == "prompt_or_retrieve", "a search is fast"


@pytest.mark.parametrize(
    ("answers", "named"),
    [
        ({"prompting_reaches": 0.95, "prompting_place": "none"}, "prompting_reaches says"),
        ({"texts_may_leave": True, "residency": "own_premises"}, "texts_may_leave says"),
        ({"novelty": "known", "change": "capability"}, "novelty: known"),
        ({"pretrained_exists": False}, "pretrained_exists says"),
    ],
)
def test_answers_that_contradict_each_other_are_named(answers: dict[str, Any], named: str) -> None:
    (finding,) = asked(**answers).findings
    assert finding.startswith(f"decision: {named}")
    assert asked().findings == ()


def test_a_figure_of_a_model_that_is_not_there_speaks_for_no_path() -> None:
    found = asked(prompting_reaches=0.95, prompting_place="none")
    (row,) = [row for row in found.evidence if row.question.startswith("Performance ceiling")]
    assert found.path == "fine_tune" and row.favours == () and "there is no model to prompt" in row.why


def test_labels_called_noisy_that_agree_are_named() -> None:
    one = situation(**AT_HAND) | {"kappa": 0.9}
    (finding,) = decide_path(spec_of(one, labels="noisy"), measured_of(one)).findings
    assert "kappa of 0.90" in finding
    assert not decide_path(spec_of(one, labels="some_noise"), measured_of(one)).findings


@pytest.mark.parametrize("tried", [93, -0.1])
def test_what_prompting_reaches_is_in_the_targets_metric(tried: float) -> None:
    with pytest.raises(ValidationError, match=r"prompting_reaches: expected a value of \w+, the target's metric"):
        asked(prompting_reaches=tried)
