"""Fifteen situations of a plain table, each with the path that is sensible, and the factor that has to be named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from report_samples import score, spec_for

from playbook.artifacts import PATHS, Closeness, Decision, PathCost
from playbook.decide.factors import FACTORS, RIGHTS, VARIABLES
from playbook.decide.gate import decide_path
from playbook.decide.measured import Measured
from playbook.decide.probe import Probe
from playbook.spec import TaskSpec

SITUATIONS: list[dict[str, Any]] = yaml.safe_load(
    (Path(__file__).parent.parent / "decision_situations.yaml").read_text(encoding="utf-8")
)
NAMES = [one["situation"] for one in SITUATIONS]
READS = {
    "close": Closeness(tokens_per_word=1.25, unknown_share=0.001, features=0.5, measure="rank"),
    "far": Closeness(tokens_per_word=3.4, unknown_share=0.12, features=0.3, measure="rank"),
}
PROBE = Probe(20, 640, 6, frozen_seconds=0.001, training_seconds=0.003, losses=(1.6, 1.1), hardware="x", seconds=5)


def spec_of(one: dict[str, Any], **changes: Any) -> TaskSpec:
    labels = tuple(f"class_{at}" for at in range(one["rows"]["classes"]))
    spec = spec_for(labels, at_least=one["target"]).model_dump(mode="json")
    return TaskSpec.model_validate(spec | {"decision": one["answers"] | changes})


def measured_of(one: dict[str, Any]) -> Measured:
    """What would have been measured in a situation."""
    rows, hours, read = one["rows"], one.get("hours", {}), READS.get(one["base"])
    rest = (rows["all"] - rows["rarest"]) // (rows["classes"] - 1)
    counts = {f"class_{at}": rest if at else rows["rarest"] for at in range(rows["classes"])}
    assert min(counts.values()) == rows["rarest"], "the rarest class is the rarest"
    costs = tuple(
        PathCost(
            path=path, device_hours=three / 3 * 8, hours_interval=(three / 6 * 8, three / 3 * 16) if three else None,
            money=None, iterations=(3, 8), inference_per_1000=None, storage_gb=0.5, how="",
        )
        for path in PATHS
        for three in [hours.get(path, 0.0)]
    )  # fmt: skip
    return Measured(
        class_rows=counts,
        kappa=one.get("kappa"),
        closeness=read,
        probe=PROBE if read else None,
        references={"tfidf": score(one["reference"])},
        meets_target=one.get("meets_target", ""),
        costs=costs,
    )


def decided(one: dict[str, Any]) -> Decision:
    return decide_path(spec_of(one), measured_of(one))


@pytest.mark.parametrize("one", SITUATIONS, ids=NAMES)
def test_the_sensible_path_is_taken_for_the_decisive_reason(one: dict[str, Any]) -> None:
    found, expected = decided(one), one["expected"]
    assert (found.path, found.recommended) == (expected["path"], expected["path"]), found.why
    assert expected["decisive"] in found.why, "the reason names what decides"
    deciding = [row for row in found.evidence if row.factor == expected["decisive"]]
    rival, path = expected["instead_of"], expected["path"]
    assert any(
        rival in row.rules_out or (path in row.favours and rival not in row.favours and row.weight >= 2)
        for row in deciding
    ), "and that is what speaks against the other path"


def test_the_table_has_fifteen_situations_and_covers_every_path_and_most_factors() -> None:
    assert len(SITUATIONS) == 15 == len(set(NAMES))
    assert {one["expected"]["path"] for one in SITUATIONS} == {
        "no_model", "prompt_or_retrieve", "fine_tune", "from_scratch"
    }  # fmt: skip
    decisive = {one["expected"]["decisive"] for one in SITUATIONS}
    assert decisive <= {*VARIABLES, *FACTORS, RIGHTS} and len(decisive) >= 8
    assert all(one["expected"]["because"].count(".") == 1 for one in SITUATIONS)


@pytest.mark.parametrize("one", SITUATIONS, ids=NAMES)
def test_no_point_goes_to_every_path_that_is_left(one: dict[str, Any]) -> None:
    found = decided(one)
    if len(found.scores) < 2:
        return
    left = set(found.scores)
    counted = [row for row in found.evidence if row.favours and not left <= set(row.favours)]
    assert found.scores == {path: sum(row.weight for row in counted if path in row.favours) for path in left}


def test_every_question_belongs_to_a_variable_a_factor_or_a_hard_limit() -> None:
    found = decided(SITUATIONS[0])
    assert {row.factor for row in found.evidence} == {*VARIABLES, *FACTORS, RIGHTS}


@pytest.mark.parametrize("one", SITUATIONS, ids=NAMES)
def test_the_way_out_of_a_floor_is_what_lifts_it(one: dict[str, Any]) -> None:
    """A floor holds by its own answer: with another one, the path that it took is back among those that are left."""
    lifted = {
        "time to delivery": {"deadline_hours": 5000},
        "people": {"maintainers": 3},
        "compute budget": {"device_hours": 100_000},
    }.get(one["expected"]["decisive"])
    if lifted is None:
        return
    assert "fine_tune" not in decided(one).scores
    assert "fine_tune" in decide_path(spec_of(one, **lifted), measured_of(one)).scores


def situation(**answers: Any) -> dict[str, Any]:
    """Two thousand rows, a base that is close, a reference below the target."""
    rows, hours = {"rarest": 400, "all": 2000, "classes": 5}, {"fine_tune": 0.5, "from_scratch": 60}
    return {"rows": rows, "target": 0.9, "reference": 0.7, "base": "close", "hours": hours, "answers": answers}


@pytest.mark.parametrize(
    "limit",
    [
        {"texts_may_leave": False, "prompting_place": "elsewhere"},
        {"residency": "own_premises", "training_place": "own_premises", "prompting_place": "region"},
        {"on_device": True, "prompting_place": "own_premises"},
        {"weights_must_be_owned": True, "derived_weights_owned": True, "prompting_place": "elsewhere"},
        {"prompting_place": "none"},
    ],
)
def test_no_limit_on_where_a_model_is_prompted_stands_against_looking_up_facts(limit: dict[str, Any]) -> None:
    assert decided(situation(bottleneck="knowledge", **limit)).path == "prompt_or_retrieve"
    assert decided(situation(bottleneck="judgement", **limit)).path == "fine_tune", "the limit holds elsewhere"


def test_a_prompted_model_that_is_no_better_than_a_reference_is_out() -> None:
    few = situation(prompting_reaches=0.25, prompting_place="region") | {
        "rows": {"rarest": 6, "all": 30, "classes": 5}, "reference": 0.3
    }  # fmt: skip
    found = decided(few)
    assert found.path == "no_model" and "no better than tfidf (0.300)" in found.why
    better = few | {"answers": {**few["answers"], "prompting_reaches": 0.6}}
    assert decided(better).path == "prompt_or_retrieve"
    searching = few | {"answers": {**few["answers"], "bottleneck": "knowledge"}}
    assert decided(searching).path == "prompt_or_retrieve", "nothing was looked up yet"


def test_rows_that_are_only_promised_are_to_be_labelled_first() -> None:
    few = situation(rows_obtainable=5000, prompting_place="none") | {"rows": {"rarest": 6, "all": 30, "classes": 5}}
    assert decided(few).path == "fine_tune" and "Label 10 further rows first" in decided(few).why
    bare = situation(rows_obtainable=600_000, pretrained_exists=False, prompting_place="none") | {"base": "none"}
    assert decided(bare).path == "from_scratch"
    assert "Label 498,000 further rows first" in decided(bare).why
    assert "enough, with those that can be had, to learn" in decided(bare).why
    assert "Label" not in decided(situation(rows_obtainable=5000)).why


def test_where_no_path_is_left_the_ways_out_are_those_of_what_rules_out() -> None:
    late = decided(situation(deadline_hours=1, prompting_place="region")).why
    assert "allow more time, or label more rows, and ask again" in late and "name a base" not in late
    away = decided(situation(residency="own_premises", training_place="elsewhere", prompting_place="elsewhere")).why
    assert "name a model or a place that may be used, and ask again" in away
