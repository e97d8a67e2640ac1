from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from metric_samples import paired_difference
from report_samples import ORDINARY, score, spec_for

from benchmarks.sample_size import larger
from playbook.artifacts import Side
from playbook.evaluate.limit_rows import rows_for_limits
from playbook.evaluate.verdict import decide, least_resolution, refuse
from playbook.spec import Limit, Target
from playbook.spec.section import LimitName
from playbook.statistics import sample_size
from playbook.statistics.least_rows import rows_for_mean
from playbook.statistics.metric import agresti_min, bind, metrics_of
from playbook.statistics.sample_size import (
    NEAR,
    chance_to_ship,
    demands,
    least_gain,
    missing,
    rows_for,
    rows_for_gain,
    rows_needed,
    rows_to_show,
)

MARGIN, LOST = 0.05, 0.04  # a true gain of the margin: 9 % of rows gained, 4 % lost


def connor(margin: float, discordance: float) -> int:
    """The size by Connor's formula, at 95 % confidence and a power of 80 %."""
    z_a, z_b, d, m = 1.959964, 0.841621, discordance, margin
    return math.ceil(((z_a * d**0.5 + z_b * (d - m * m) ** 0.5) / m) ** 2)


def test_rows_needed_begin_at_connors_size_and_its_limits() -> None:
    d, m = 0.1, 0.02
    assert connor(m, d) < rows_needed(m, d, 0.95, 0.8) < 1.1 * connor(m, d)
    assert rows_needed(m, 0.0, 0.95, 0.8) == rows_needed(m, m, 0.95, 0.8)
    assert rows_needed(m, 0.2, 0.95, 0.8) > rows_needed(m, 0.1, 0.95, 0.8) > rows_needed(0.04, 0.1, 0.95, 0.8)
    assert rows_needed(m, d, 0.95, 0.9) > rows_needed(m, d, 0.95, 0.8)
    with pytest.raises(ValueError, match="between 0 and 1"):
        rows_needed(0.0, 0.1, 0.95, 0.8)


HARD = ((0.02, 0.024, 0.95, 0.95), (0.05, 0.0, 0.95, 0.99), (0.02, 0.04, 0.95, 0.99), (0.005, 0.006, 0.95, 0.90))


def test_the_search_for_rows_ends_at_once_where_the_power_is_approached_from_below() -> None:
    """At these settings hardly any size has the promised power, or none has; the search went on and on."""
    grid = itertools.product((0.02, 0.05, 0.3), (1, 1.2, 2), (0.95,), (0.5, 0.8, 0.95, 0.99))
    settings = [*HARD, *((margin, times * margin, *rest) for margin, times, *rest in grid)]
    for margin, apart, confidence, power in settings:
        asked = []

        def counting(*of: float, asked: list[float] = asked) -> float:
            asked.append(of[0])
            assert len(asked) < 400, f"no end in sight: {of}"
            return chance_to_ship(*of)  # type: ignore[arg-type]

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sample_size, "chance_to_ship", counting)
            rows = rows_needed(margin, apart, confidence, power)
        chance = chance_to_ship(rows, margin, max(apart, margin), confidence, power)
        assert chance >= power - NEAR, (margin, apart, confidence, power, rows)


def test_the_gate_answers_for_a_task_that_promises_much() -> None:
    spec = spec_for(ORDINARY, margin=0.01, at_least=0.5)
    rules = spec.evaluation.model_copy(update={"power": 0.95, "confidence": 0.99})
    short = missing(spec.model_copy(update={"evaluation": rules}), {"access": 300, "billing": 300})
    assert short is not None and 1775 <= short.needed < 2 * 1775, "Connor's size is 1,775"


def test_what_larger_splits_promise_is_said_in_the_docs_by_exact_sums() -> None:
    said = (Path(__file__).parents[2] / "docs/sample_size.md").read_text(encoding="utf-8")
    assert larger(0.05, 0.05, 0.8) in said and "| 157 | 80.2 % | 75.6 % | 171 |" in said
    assert larger(0.02, 0.02, 0.9) in said and "| 526 | 90.2 % | 85.2 % | 544 |" in said
    without = chance_to_ship(870, 0.03, 0.1, 0.95, 0.8, step=0.0)
    assert f"{100 * without:.1f} % would if the rule did not take off half a row" in said, "computed, not typed in"


@pytest.mark.parametrize(("margin", "apart"), [(0.03, 0.10), (0.02, 0.024), (0.05, 0.13), (0.05, 0.05), (0.01, 0.05)])
def test_the_promise_is_kept_row_by_row_where_connors_size_falls_short(margin: float, apart: float) -> None:
    """Known truth: discordant rows and who has them right are drawn, and the rule is applied as it is written."""
    random, runs = np.random.default_rng(11), 4000

    def ships(rows: int) -> float:
        both = random.binomial(rows, apart, runs)
        gained = random.binomial(both, 0.5 + margin / (2 * apart))
        delta = (2 * gained - both) / rows
        error = np.sqrt(np.maximum(both / rows - delta**2, 0) / rows)
        low = [agresti_min(g, d - g, rows, 0.95)[0] for g, d in zip(gained, both, strict=True)]
        least = margin - 0.841621 * error - 0.5 / rows
        return float(np.mean((np.array(low) > 0) & (delta >= least - 1e-12) & (both >= 6)))

    rows = rows_needed(margin, apart, 0.95, 0.8)
    assert chance_to_ship(rows, margin, apart, 0.95, 0.8) >= 0.8
    assert chance_to_ship(connor(margin, apart), margin, apart, 0.95, 0.8) < 0.8
    assert ships(rows) == pytest.approx(chance_to_ship(rows, margin, apart, 0.95, 0.8), abs=0.025)


def test_the_least_gain_approaches_the_margin_with_the_rows() -> None:
    assert least_gain(0.05, 0.0, 0.8) == 0.05
    assert least_gain(0.05, 0.02, 0.8) == pytest.approx(0.05 - 0.8416 * 0.02, abs=1e-5)
    assert least_gain(0.05, 0.02, 0.5) == pytest.approx(0.05)
    assert least_gain(0.05, 0.02, 0.5, step=0.01) == pytest.approx(0.045), "less half a row"
    truth = np.array([0] * 40 + [1] * 10)
    limits = {"accuracy": None, "recall": "b", "false_positive_rate": "b", "macro_f1": None}
    steps = {}
    for metric, name in limits.items():
        bound = {"at_most": 0.5} if metric == "false_positive_rate" else {"at_least": 0.5}
        limit = Limit.model_validate({"metric": metric, "of_class": name, **bound})
        steps[metric] = bind(limit, ("a", "b")).difference(truth, 1 - truth, truth).step
    assert steps == {"accuracy": 1 / 50, "recall": 1 / 10, "false_positive_rate": 1 / 40, "macro_f1": 0.0}


@pytest.mark.parametrize(("threshold", "rows"), [(0.8, 16), (0.9, 35), (0.5, 4), (1.0, 0), (0.0, 0)])
def test_a_perfect_result_on_so_many_rows_reaches_the_threshold(threshold: float, rows: int) -> None:
    from playbook.evaluate.paired import wilson

    assert rows_to_show(threshold, 0.95) == rows
    if 0 < threshold < 1:
        assert wilson(rows, rows, 0.95)[0] >= threshold > wilson(rows - 1, rows - 1, 0.95)[0]


def drawn(random: np.random.Generator, rows: int, gain: float) -> tuple[Any, Any, Any]:
    """A test split from a population in which the second model is truly better by `gain`."""
    truth = random.integers(0, 5, rows)
    kind = random.choice(4, rows, p=[LOST + gain, LOST, 0.8, 0.2 - 2 * LOST - gain])
    wrong = (truth + 1) % 5
    return truth, np.where(np.isin(kind, (0, 3)), wrong, truth), np.where(np.isin(kind, (1, 3)), wrong, truth)


def shipped(rows: int, gain: float, runs: int = 200) -> float:
    """Share of test splits of a size on which the whole rule ships a candidate with such a true gain."""
    spec, random = spec_for(ORDINARY, margin=MARGIN, at_least=0.5), np.random.default_rng(rows)
    ships = 0
    for run in range(runs):
        truth, first, second = drawn(random, rows, gain)
        difference = paired_difference("accuracy", None, truth, first, second, 5, 0.95, 300, run)
        scores = [float(np.mean(answers == truth)) for answers in (first, second)]
        sides = [Side(scores={"accuracy": score(value)}, per_class=(), confusion=()) for value in scores]
        ships += decide(spec, sides[0], sides[1], difference).ship == "candidate"
    return ships / runs


def test_a_true_gain_of_the_margin_ships_as_often_as_promised_on_small_and_large_splits() -> None:
    rows = rows_needed(MARGIN, 2 * LOST + MARGIN, 0.95, 0.8)
    assert 0.72 <= shipped(rows, MARGIN) <= 0.88  # 0.80, three standard errors wide; the old rule shipped half
    assert 0.72 <= shipped(4 * rows, MARGIN) <= 0.88
    assert shipped(rows // 2, MARGIN) < 0.65


@pytest.mark.proof
def test_no_gain_and_half_a_margin_seldom_ship() -> None:
    rows = rows_needed(MARGIN, 2 * LOST + MARGIN, 0.95, 0.8)
    assert shipped(rows, 0.0) <= 0.07  # 0.025
    assert shipped(4 * rows, MARGIN / 2) < 0.1


def test_a_false_positive_rate_counts_the_rows_of_the_other_classes() -> None:
    limits = [{"metric": "false_positive_rate", "of_class": "fault", "at_most": 0.02}]
    spec = spec_for(ORDINARY, margin=0.05, limits=limits)
    short = missing(spec, {"fault": 900, "billing": 100})
    assert short is not None and (short.needed, short.available) == (189, 100)  # 0 of 189: Wilson's upper end is 2 %
    assert short.counted == "rows of other classes than fault" and short.of_split == 1890
    assert missing(spec, {"fault": 900, "billing": 189}) is None


MIX = {"access": 120, "billing": 60, "fault": 20}


@pytest.mark.parametrize(
    ("metric", "of_class", "bound"),
    [("balanced_accuracy", None, 0.9), ("macro_f1", None, 0.93), ("roc_auc", None, 0.95), ("roc_auc", "fault", 0.97)],
)
def test_the_fewest_rows_of_a_limit_are_where_the_interval_of_a_perfect_model_reaches_it(
    metric: LimitName, of_class: str | None, bound: float
) -> None:
    limit = Limit(metric=metric, of_class=of_class, at_least=bound)
    needed = rows_for(limit, 0.95, MIX)
    assert needed is not None and 60 < needed < 400

    def low(rows: int) -> float:
        counts = [round(rows * count / 200) for count in MIX.values()]
        truth = np.repeat([0, 1, 2], counts)
        return bind(limit, tuple(MIX)).score(truth, np.eye(3)[truth]).low

    more, fewer = round(1.08 * needed), round(0.92 * needed)
    assert low(more) >= bound > low(fewer), "rows of a class are whole: within some rows of it"


def test_every_limit_has_a_demand_or_is_left_to_validation() -> None:
    limits = [
        {"metric": "macro_f1", "at_least": 0.97},
        {"metric": "balanced_accuracy", "at_least": 0.9},
        {"metric": "roc_auc", "at_least": 0.9},
        {"metric": "log_loss", "at_most": 0.3},
        {"metric": "average_precision", "at_least": 0.9},
        {"metric": "latency_p95_ms", "at_most": 20.0},
    ]
    spec = spec_for(tuple(MIX), margin=0.05, at_least=0.5, limits=limits)
    judged = {one.limit for one in demands(spec, MIX)}
    assert judged == {"", "accuracy", "macro_f1", "balanced_accuracy", "roc_auc", "average_precision"}
    short = missing(spec, MIX)
    assert short is not None and short.limit == "macro_f1" and short.needed > short.available == 200
    said = refuse(spec, least_resolution(spec, MIX))
    assert "cannot show whether macro_f1 is met" in said.text and "perfect model" in said.text
    assert not any("margin" in step for step in said.next_steps)


RARE = {**dict.fromkeys(ORDINARY, 180), "fault": 5}


@pytest.mark.parametrize(
    ("metric", "of_class", "least"),
    [
        ("macro_f1", None, 8), ("balanced_accuracy", None, 8), ("roc_auc", None, 8), ("average_precision", None, 20),
        ("roc_auc", "fault", 8), ("average_precision", "fault", 20), ("recall", "fault", 5), ("f1", "fault", 5),
    ],
)  # fmt: skip
def test_a_class_too_rare_for_an_interval_is_found_before_anything_is_trained(
    metric: LimitName, of_class: str | None, least: int
) -> None:
    """After the split was opened, nothing could be claimed of such a limit, however large the gain."""
    limit = {"metric": metric, "at_least": 0.3, **({"of_class": of_class} if of_class else {})}
    spec = spec_for(ORDINARY, margin=0.3, at_least=0.5, limits=[limit])
    spec = spec.model_copy(update={"evaluation": spec.evaluation.model_copy(update={"resamples": 200})})
    few = [one for one in demands(spec, RARE) if one.counted == "rows of fault"]
    assert max(one.needed for one in few) == least
    truth = np.repeat([ORDINARY.index(label) for label in RARE], list(RARE.values()))
    given = np.eye(len(ORDINARY))[truth]
    score = metrics_of(spec)[1].score(truth, given)
    assert bool(score.too_few) is (missing(spec, RARE) is not None) is (least > 5)
    more = {**RARE, "fault": least}
    assert (
        missing(spec, more) is None
        and not metrics_of(spec)[1]
        .score(
            np.append(truth, [ORDINARY.index("fault")] * (least - 5)),
            np.vstack([given, np.eye(len(ORDINARY))[[ORDINARY.index("fault")] * (least - 5)]]),
        )
        .too_few
    )
    if least > 5:
        said = refuse(spec, least_resolution(spec, RARE)).text
        assert f"{least} rows of fault are the least on which anything can be said of" in said


def test_a_ranking_of_one_class_demands_nothing_and_an_empty_split_is_an_even_mix() -> None:
    assert rows_for_mean("roc_auc", 0.9, [50], 1.96) == 0, "no number of rows ranks a class against nothing"
    ranked = Limit(metric="roc_auc", at_least=0.9)
    assert rows_for(ranked, 0.95, {"access": 50, "fault": 0}) == 0
    assert rows_for_mean("balanced_accuracy", 0.9, [50], 1.96) == 35, "the recall of the class that is there"
    limit, many = Limit(metric="balanced_accuracy", at_least=0.9), dict.fromkeys(map(str, range(77)), 1)
    empty = rows_for(limit, 0.95, dict.fromkeys(many, 0))
    assert empty == rows_for(limit, 0.95, many) != rows_for(limit, 0.95, {"a": 1, "b": 1})


def seen(metric: LimitName, rows: int, gained_in: int, share: float, runs: int = 150) -> float:
    """How often a gain ships in that a share of one class is put right, all other rows of both models being right."""
    spec, random = spec_for(ORDINARY, metric=metric, margin=0.04, at_least=0.95), np.random.default_rng(rows)
    limit, ships = spec.target.all_limits[0], 0
    for run in range(runs):
        truth = random.choice(3, rows, p=[0.6, 0.3, 0.1])
        wrong = (truth == gained_in) & (random.random(rows) < share)
        gain = bind(limit, tuple(MIX), seed=run).difference(truth, np.where(wrong, (truth + 1) % 3, truth), truth)
        ships += gain.low > 0 and gain.delta >= least_gain(0.04, gain.standard_error, 0.8, gain.step)
    return ships / runs


def test_a_gain_in_a_mean_over_classes_is_not_seen_on_fewer_rows_than_the_bound() -> None:
    balanced = spec_for(ORDINARY, metric="balanced_accuracy", margin=0.04, at_least=0.95).target
    needed = rows_for_gain(balanced, 0.95, 0.8, MIX)
    assert needed == 96, "12 % of the largest class"
    assert seen("balanced_accuracy", needed, 0, 0.12) <= 0.87, "the cheapest of all models: no more than promised"
    assert seen("balanced_accuracy", needed // 2, 0, 0.12) < 0.55
    assert seen("balanced_accuracy", needed, 1, 0.12) < 0.6, "the same gain in a smaller class is harder to see"
    f1 = spec_for(ORDINARY, metric="macro_f1", margin=0.04, at_least=0.95).target
    few = rows_for_gain(f1, 0.95, 0.8, MIX)
    assert 20 < few < 160
    assert seen("macro_f1", few, 0, 0.105) <= 0.87  # 10.5 % of the largest class: 4 points of macro-F1
    assert rows_for_gain(f1, 0.95, 0.8, {str(at): 9 for at in range(30)}) == 6, "one class of thirty is 3 points"


def test_a_gain_in_a_ranking_or_a_loss_has_no_bound_before_there_are_answers() -> None:
    for metric, bound in (("roc_auc", {"at_least": 0.9}), ("average_precision", {"at_least": 0.9})):
        assert rows_for_gain(Target(metric=metric, margin=0.02, **bound), 0.95, 0.8, MIX) == 1  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("metric", "bound"), [("log_loss", {"at_most": 0.05}), ("average_precision", {"at_least": 0.994})]
)
def test_limits_without_a_bound_are_judged_on_validation(metric: str, bound: dict[str, float]) -> None:
    """Known truth: at the size that is named, the interval of the same kind of answers is as wide as there is room."""
    spec = spec_for(ORDINARY, margin=0.05, at_least=0.5, limits=[{"metric": metric, **bound}])
    spec = spec.model_copy(update={"evaluation": spec.evaluation.model_copy(update={"resamples": 200})})
    random = np.random.default_rng(7)

    def answers(rows: int) -> tuple[Any, Any]:
        truth = random.integers(0, len(spec.labels), rows)
        scores = np.exp(random.normal(0, 1, (rows, len(spec.labels))) + 3.0 * np.eye(len(spec.labels))[truth])
        return truth, scores / scores.sum(axis=1, keepdims=True)

    truth, given = answers(500)
    found = rows_for_limits(spec, truth, given, {"access": 5})
    assert found.limit == metric and not found.enough and "approximate" in found.how
    assert rows_for_limits(spec, truth, given, {"access": found.needed}).enough
    bound_to = metrics_of(spec)[1]
    wide = [bound_to.standard_error(bound_to.score(*answers(max(found.needed, 30)))) for _ in range(6)]
    room = abs(bound_to.limit.bound - (0.0 if metric == "log_loss" else 1.0))
    assert 0.5 < 1.96 * float(np.mean(wide)) / room < 1.6
