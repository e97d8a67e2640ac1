"""Rules of the staircase with numbers worked out by hand, and how often they keep a rung by chance."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from data_samples import task_document

import playbook.statistics.metric as statistics_metric
from playbook.adapt import staircase
from playbook.adapt.curve import best_epoch, diverged, stalled
from playbook.adapt.staircase import decide_rung, make_ledger, read_answers
from playbook.artifacts import Epoch, FrozenBaseline, Rung, Score
from playbook.spec import TaskSpec
from playbook.spec.adaptation import Keep
from playbook.statistics.best_of import chance_of_best
from playbook.statistics.resampling import resample_weights


def spec_with(resamples: int = 20_000, **keep: float) -> TaskSpec:
    document = task_document({"path": "rows.csv"})
    return TaskSpec.model_validate(
        {**document, "adaptation": {"keep": keep, "seed": 5}, "evaluation": {"resamples": resamples}}
    )


def probabilities(right: Any) -> np.ndarray:
    """Of rows of which the model gets some right; the true class alternates."""
    billing = np.arange(len(right)) % 2 == 1
    first = np.where(billing == np.asarray(right, bool), 0.8, 0.2)
    return np.stack([first, 1 - first], axis=1)


def predictions(right: Any) -> pd.DataFrame:
    """Those rows with their probabilities as a table."""
    first, second = probabilities(right).T
    labels = ["billing" if row % 2 else "delivery" for row in range(len(right))]
    return pd.DataFrame({"label": labels, "p_0": first, "p_1": second})


def models(gained: int, lost: int, rows: int = 100) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Answers before and after: `gained` rows become right, `lost` become wrong, the rest stay right."""
    before = [row >= gained for row in range(rows)]
    after = [not gained <= row < gained + lost for row in range(rows)]
    return predictions(before), predictions(after)


def error_of(gained: int, lost: int, rows: int = 100) -> float:
    """Standard error of a paired difference of proportions."""
    delta, apart = (gained - lost) / rows, (gained + lost) / rows
    return math.sqrt((apart - delta * delta) / rows)


@pytest.mark.parametrize(
    ("gained", "lost", "keep", "kept"),
    [
        (10, 2, {"standard_errors": 1.0}, True),  # gain 0.08, error 0.0337
        (10, 2, {"standard_errors": 2.5}, False),  # needed 0.0843
        (10, 2, {"standard_errors": 2.2}, True),  # needed 0.0742
        (10, 2, {"standard_errors": 1.0, "min_gain": 0.09}, False),
        (10, 2, {"standard_errors": 0.0, "min_gain": 0.08}, True),  # exactly the least gain counts
        (7, 3, {"standard_errors": 1.0}, True),  # gain 0.04, error 0.0314
        (5, 3, {"standard_errors": 1.0}, False),  # gain 0.02, error 0.0282
        (2, 10, {"standard_errors": 0.0}, False),  # a loss is never kept
        (0, 0, {"standard_errors": 0.0}, False),  # nor is nothing at all
        (4, 4, {"standard_errors": 0.0}, False),
    ],
)
def test_a_rung_is_kept_for_a_gain_beyond_its_error(gained: int, lost: int, keep: dict[str, float], kept: bool) -> None:
    before, after = models(gained, lost)
    found = decide_rung(spec_with(**keep), before, after)
    assert found.kept is kept
    assert found.gain == pytest.approx((gained - lost) / 100)
    assert found.error == pytest.approx(error_of(gained, lost), rel=0.03, abs=1e-9)
    assert found.reason.startswith("kept" if kept else "reverted")
    assert f"{found.gain:+.4f}" in found.reason and f"{found.error:.4f}" in found.reason
    assert f"{keep.get('standard_errors', 1.0):g} x paired standard error" in found.rule


def test_the_decision_is_about_the_committed_metric() -> None:
    """Two rows of billing gained and three of delivery lost: better in recall of billing, worse in accuracy."""
    before = predictions([row not in (1, 3) for row in range(100)])
    after = predictions([row not in (0, 2, 4) for row in range(100)])
    document = {**task_document({"path": "rows.csv"}), "adaptation": {"keep": {"standard_errors": 1.0}}}
    accuracy = decide_rung(TaskSpec.model_validate(document), before, after)
    assert (accuracy.kept, accuracy.gain) == (False, pytest.approx(-0.01))
    target = {"metric": "recall", "of_class": "billing", "at_least": 0.8, "margin": 0.02}
    target |= {"limits": [{"metric": "macro_f1", "at_least": 0.1}]}
    recall = decide_rung(TaskSpec.model_validate({**document, "target": target}), before, after)
    assert (recall.kept, recall.gain) == (True, pytest.approx(2 / 50))


def test_answers_are_read_by_label_and_column() -> None:
    truth, predicted = read_answers(predictions([True, True, False]), ("billing", "delivery"))
    assert truth.tolist() == [1, 0, 1] and predicted.classes.tolist() == [1, 0, 0]


def score(value: float) -> Score:
    return Score(metric="accuracy", value=value, low=value - 0.1, high=value, n=10)


def test_the_ledger_has_every_attempt_and_no_other() -> None:
    frozen = FrozenBaseline(task="t", validation=score(0.7), seconds=2.0)
    kept = Rung(task="t", index=1, unfrozen=1, validation=score(0.8), gain=0.1, gain_error=0.02, kept=True, seconds=5)
    reverted = kept.model_copy(
        update={"index": 2, "unfrozen": 2, "validation": score(0.79), "gain": -0.01, "kept": False, "reason": "no gain"}
    )
    skipped = Rung(task="t", status="skipped", index=3, reason="rung_2 did not help")
    rows = make_ledger(frozen, [kept, reverted, skipped])
    assert [(row.step, row.unfrozen, row.validation, row.gain, row.kept) for row in rows] == [
        ("frozen_baseline", 0, 0.7, 0.0, True),
        ("rung_1", 1, 0.8, 0.1, True),
        ("rung_2", 2, 0.79, -0.01, False),
    ]
    assert [row.seconds for row in rows] == [2.0, 5.0, 5.0]
    assert rows[1].gain_error == 0.02 and rows[2].reason == "no gain"
    assert [row.step for row in make_ledger(frozen, [])] == ["frozen_baseline"]


def curve(*points: tuple[float, float], metric: tuple[float, ...] = ()) -> list[Epoch]:
    values = metric or (0.5,) * len(points)
    return [
        Epoch(epoch=at, train_loss=train, validation_loss=validation, validation=values[at], seconds=1)
        for at, (train, validation) in enumerate(points)
    ]


def test_the_best_epoch_is_by_metric_then_by_loss_then_the_first() -> None:
    assert best_epoch(curve((1, 0.3), (1, 0.9), (1, 0.5), metric=(0.6, 0.8, 0.7))) == 1
    assert best_epoch(curve((1, 0.9), (1, 0.5), (1, 0.6), metric=(0.8, 0.8, 0.8))) == 1
    assert best_epoch(curve((1, 0.5), (1, 0.5), metric=(0.8, 0.8))) == 0


def test_validation_has_stalled_when_neither_metric_nor_loss_improves() -> None:
    falling = curve((1, 0.9), (1, 0.8), (1, 0.7))
    assert not stalled(falling, 1) and not stalled([], 1)
    still = curve((1, 0.9), (1, 0.8), (1, 0.85), (1, 0.9))
    assert [stalled(still[:length], 2) for length in (1, 2, 3, 4)] == [False, False, False, True]
    metric_only = curve((1, 0.5), (1, 0.6), (1, 0.7), metric=(0.5, 0.6, 0.7))
    assert not stalled(metric_only, 1)
    assert stalled(curve((1, 0.5), (1, 0.6), (1, 0.7), metric=(0.7, 0.6, 0.5)), 2)


def test_a_loss_that_is_no_number_is_neither_best_nor_lowest() -> None:
    broken = curve((1, 0.9), (1, 0.8), (1, math.nan), metric=(0.7, 0.8, 0.9))
    assert best_epoch(broken) == 1 and diverged(broken)
    assert diverged(curve((1, 0.5), (math.nan, 0.4))) and diverged(curve((1, math.inf))) and not diverged([])
    assert stalled(curve((1, 0.5), (1, math.nan), (1, math.nan), metric=(0.7, 0.6, 0.6)), 2)


def test_the_chance_of_keeping_a_rung_without_a_gain_becomes_standard_errors() -> None:
    assert Keep(chance=0.16).errors_needed == pytest.approx(0.9945, abs=1e-4)
    assert Keep(chance=0.025).errors_needed == pytest.approx(1.96, abs=1e-3) and Keep(chance=0.5).errors_needed == 0
    assert Keep().chance_without_gain == 0.16, "the default"
    assert Keep(standard_errors=0.5).errors_needed == 0.5
    assert Keep(standard_errors=0.5).chance_without_gain == pytest.approx(0.3085, abs=1e-4)
    assert Keep(standard_errors=1.0).chance_without_gain == pytest.approx(0.1587, abs=1e-4)
    with pytest.raises(ValueError, match=r"chance or standard_errors, not both: chance 0.16 is 0.99"):
        Keep(chance=0.16, standard_errors=1.0)


def test_the_rule_says_its_chance_for_a_rung_and_for_the_staircase() -> None:
    found = decide_rung(spec_with(chance=0.05), *models(10, 2))
    assert found.kept, "a chance of 0.9 %"
    assert "in at most 5 % of cases, the choice of the best epoch counted (1.64 x paired standard error" in found.rule
    assert "kept with a chance of at most 5 %; so is any among up to 3" in found.rule
    assert "(paired standard error 0.033" in found.reason and "as large comes by chance in 1.6 % of" in found.reason
    assert not decide_rung(spec_with(chance=0.001), *models(10, 2)).kept
    older = decide_rung(spec_with(standard_errors=0.5), *models(10, 2)).rule
    assert "a chance of 31 % where one epoch is looked at, and more often where the best of several is" in older


@pytest.mark.parametrize(
    ("gained", "lost", "kept"), [(1, 0, False), (2, 0, False), (3, 0, True), (4, 1, False), (6, 1, True)]
)
def test_a_handful_of_rows_is_judged_exactly(gained: int, lost: int, kept: bool) -> None:
    """Chances of the sign test: 1/2, 1/4, 1/8, 6/32; from six rows that differ on, the bootstrap says it."""
    assert decide_rung(spec_with(chance=0.16), *models(gained, lost)).kept is kept
    assert decide_rung(spec_with(standard_errors=0.5), *models(gained, lost)).kept, "the older rule stays as it was"


def epochs_without_gain(rng: np.random.Generator, rows: int, apart: float, epochs: int) -> tuple[Any, list[Any]]:
    """Answers before and after each epoch, right or wrong: equally good, an epoch differs from the last in part."""
    differ, coin = rng.random(rows) < 2 * apart, rng.random((epochs + 1, rows)) < 0.5
    base = rng.random(rows) < 0.8
    after = [coin[1]]
    for new in coin[2:]:
        after.append(np.where(rng.random(rows) < 0.3, new, after[-1]))
    return np.where(differ, coin[0], base), [np.where(differ, answers, base) for answers in after]


def once(make: Callable[..., Any]) -> Callable[..., Any]:
    """Makes of the same answers the same thing: each rule asks for it again."""
    found: dict[Any, Any] = {}

    def made(*given: Any) -> Any:
        key = tuple(one.tobytes() if isinstance(one, np.ndarray) else one for one in given if type(one) is not TaskSpec)
        if key not in found:
            found[key] = make(*given)
        return found[key]

    return made


@cache
def shares_kept(
    chances: tuple[float, ...], apart: float, epochs: int, trials: int, resamples: int
) -> dict[float, tuple[float, float]]:
    """Of so many pairs of models that are equally good, the share kept by each chance and by the older rule.

    A share `apart` of 400 rows tells two models from each other. The older rule is asked where epochs are chosen.
    """
    rng, rows = np.random.default_rng(4), 400
    specs = {
        (chance, rule): spec_with(resamples=resamples, **{rule: value})
        for chance in chances
        for rule, value in (("chance", chance), ("standard_errors", z_of(chance)))
        if epochs > 1 or rule == "chance"
    }
    kept = dict.fromkeys(specs, 0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(staircase, "as_served", once(staircase.as_served))
        for module in (staircase, statistics_metric):
            patch.setattr(module, "resample_weights", once(resample_weights))
        for _ in range(trials):
            before, after = epochs_without_gain(rng, rows, apart, epochs)
            best = max(range(epochs), key=lambda epoch: int(after[epoch].sum()))
            tables, given = (predictions(before), predictions(after[best])), [probabilities(one) for one in after]
            for name, spec in specs.items():
                kept[name] += decide_rung(spec, *tables, given).kept
    return {
        chance: (kept[chance, "chance"] / trials, kept.get((chance, "standard_errors"), 0) / trials)
        for chance in chances
    }


@pytest.mark.parametrize("chance", [0.05, 0.31])
@pytest.mark.parametrize(("apart", "epochs"), [pytest.param(0.01, 1, marks=pytest.mark.proof), (0.05, 1), (0.05, 10)])
def test_a_rung_without_a_gain_is_kept_at_most_as_often_as_the_task_file_says(
    chance: float, apart: float, epochs: int
) -> None:
    trials = 60
    kept, older = shares_kept((0.05, 0.31), apart, epochs, trials, resamples=200)[chance]
    noise = 2 * math.sqrt(chance * (1 - chance) / trials)
    assert kept < chance + noise
    if apart == 0.05:
        assert kept > chance / 2 - noise, "nor is it needlessly strict"
    if epochs > 1:
        assert older > 1.5 * chance, "the older rule does not count the epochs that were looked at"


@pytest.mark.proof
@pytest.mark.parametrize("chance", [0.05, 0.16, 0.31])
@pytest.mark.parametrize(("apart", "epochs"), [(0.01, 1), (0.05, 1), (0.05, 10)])
def test_the_chance_of_keeping_holds_over_many_pairs(chance: float, apart: float, epochs: int) -> None:
    trials = 250
    kept, older = shares_kept((0.05, 0.16, 0.31), apart, epochs, trials, resamples=400)[chance]
    noise = 2 * math.sqrt(chance * (1 - chance) / trials)
    assert kept < chance + noise
    if apart == 0.05:
        assert kept > chance / 2 - noise
    if epochs > 1:
        assert older > 1.5 * chance


def z_of(chance: float) -> float:
    return Keep(chance=chance).errors_needed


def test_a_true_gain_is_seen_among_many_epochs() -> None:
    before, after = models(20, 4)
    many = [models(20, 4 + lost)[1][["p_0", "p_1"]].to_numpy() for lost in (0, 1, 2, 3, 4, 5)]
    assert decide_rung(spec_with(chance=0.05), before, after, many).kept
    assert decide_rung(spec_with(chance=0.05), before, after, many).reason.count("as the best of 6 epochs,") == 1


def answers_after(gained: int, lost: int) -> pd.DataFrame:
    """Of 200 rows, of which half were wrong and half right before: `gained` become right, `lost` wrong."""
    return predictions([row < gained or row >= 100 + lost for row in range(200)])


def test_another_epoch_with_a_larger_gain_does_not_make_the_chance_smaller() -> None:
    """With an operating point the epoch that is kept need not be the one with the largest gain as served."""
    before, kept, other = answers_after(0, 0), answers_after(52, 48), answers_after(70, 30)
    given = [table[["p_0", "p_1"]].to_numpy() for table in (kept, other)]
    alone, among = (decide_rung(spec_with(chance=0.16), before, kept, epochs) for epochs in ((), given))
    assert alone.gain == among.gain == pytest.approx(0.02) and alone.error == pytest.approx(0.05, abs=0.001)
    assert not alone.kept and not among.kept
    assert alone.chance == pytest.approx(0.36, abs=0.03) and among.chance > alone.chance


def test_every_further_model_makes_the_best_gain_likelier_by_chance() -> None:
    random = np.random.default_rng(3)
    gains = np.array([0.02, 0.09, -0.01, 0.02, -0.9])
    drawn = gains + random.normal(0, 0.05, (4000, 5))
    chances = [chance_of_best(gains[:models], drawn[:, :models], 200) for models in range(1, 6)]
    assert chances[0] == pytest.approx(0.345, abs=0.02)
    assert chances == sorted(chances) and chances[3] > chances[0] + 0.2
    assert chances[4] == chances[3], "a model that is clearly worse is left out"
    assert chance_of_best(np.array([0.02, math.nan]), drawn[:, :2], 200) == 1.0, "nothing can be known"
