from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from report_samples import ORDINARY, answers_to_probabilities, dataset_for, score, simulated, spec_for

from playbook.artifacts import ClassFigures, Side
from playbook.evaluate import wording
from playbook.evaluate.compare import evaluate, refused
from playbook.evaluate.paired import PairedDifference
from playbook.evaluate.verdict import decide, failing_classes, least_resolution, needed_rows, refuse
from playbook.spec import TaskSpec
from playbook.statistics.sample_size import rows_for_gain, rows_needed

CLEAR = PairedDifference(0.05, 0.03, 0.07, 0.01)


def figure(label: str, recall: float, support: int) -> ClassFigures:
    return ClassFigures(label=label, precision=0.9, recall=recall, f1=0.9, support=support)


def side(value: float, *figures: ClassFigures, **others: float) -> Side:
    scores = {"accuracy": score(value)} | {name.replace("_of_", " of "): score(v, name) for name, v in others.items()}
    shown = figures or (figure("access", 0.9, 100), figure("billing", 0.9, 100))
    return Side(scores=scores, per_class=shown, confusion=((90, 10), (4, 96)))


@pytest.fixture
def spec() -> TaskSpec:
    return spec_for(ORDINARY, at_least=0.85, margin=0.02)


def test_ships_a_candidate_that_earned_it(spec: TaskSpec) -> None:
    verdict = decide(spec, side(0.84), side(0.89), CLEAR)
    assert verdict.ship == "candidate"
    assert "89.0 % against 85 % asked, every limit met" in verdict.text
    assert "+5.0 points, reaches the margin of 2 points; the 95 % interval +3.0 to +7.0 excludes zero" in verdict.text


def test_a_gain_of_exactly_the_margin_counts(spec: TaskSpec) -> None:
    gain = PairedDifference(0.88 - 0.86, 0.001, 0.04, 0.01)
    assert decide(spec, side(0.86), side(0.88), gain).ship == "candidate"


@pytest.mark.parametrize(
    ("gain", "said"),
    [
        (PairedDifference(0.01, 0.002, 0.02, 0.005), "is under the margin"),
        (PairedDifference(0.03, -0.01, 0.07, 0.02), "includes zero"),
        (PairedDifference(-0.02, -0.03, -0.01, 0.005), "lies wholly below zero"),
    ],
)
def test_ships_the_simpler_baseline_where_the_gain_is_not_earned(
    spec: TaskSpec, gain: PairedDifference, said: str
) -> None:
    verdict = decide(spec, side(0.86), side(0.86 + gain.delta), gain)
    assert verdict.ship == "baseline"
    assert said in verdict.text
    assert verdict.next_steps == ()


def test_nothing_ships_on_a_limit_of_which_too_few_rows_say_anything() -> None:
    """The score may be as good as can be: on so few rows it is neither met nor missed."""
    spec = spec_for(ORDINARY, at_least=0.85, margin=0.02, limits=[{"metric": "macro_f1", "at_least": 0.5}])
    few = "too few rows of fault to say; 8 would do"

    def unsure(value: float) -> Side:
        made = side(value, macro_f1=0.98)
        scores = {**made.scores, "macro_f1": made.scores["macro_f1"].model_copy(update={"too_few": few})}
        return made.model_copy(update={"scores": scores})

    for candidate, gain, name in (
        (unsure(0.91), CLEAR, "candidate"),
        (unsure(0.86), PairedDifference(0.0, -0.01, 0.01, 0.005), "frozen baseline"),
        (None, None, "frozen baseline"),
    ):
        verdict = decide(spec, unsure(0.86), candidate, gain)
        assert verdict.ship == "nothing"
        assert f"whether the {name} meets macro_f1 cannot be said: there are {few}" in verdict.text
        assert verdict.next_steps


def test_a_candidate_that_misses_a_side_limit_does_not_ship() -> None:
    spec = spec_for(ORDINARY, limits=[{"metric": "recall", "of_class": "billing", "at_least": 0.8}])
    good, poor = side(0.86, recall_of_billing=0.85), side(0.91, recall_of_billing=0.7)
    verdict = decide(spec, good, poor, CLEAR)
    assert verdict.ship == "baseline"
    assert "The candidate misses recall of billing 70.0 % against 80 % asked, 10.0 points short" in verdict.text
    verdict = decide(spec, side(0.84, recall_of_billing=0.9), poor, CLEAR)
    assert verdict.ship == "nothing"
    assert "the better model, the candidate, misses recall of billing" in verdict.text


def test_ships_nothing_where_both_miss_and_says_what_to_do(spec: TaskSpec) -> None:
    lame = (figure("access", 0.4, 100), figure("billing", 0.95, 100))
    verdict = decide(
        spec,
        side(0.70),
        side(0.80, *lame),
        CLEAR,
        diagnosis="overfitting",
        train_rows={"access": 30, "billing": 90},
        confused={"baseline": [[9, 40], [0, 9]], "candidate": [[9, 17], [2, 9]]},
    )
    assert verdict.ship == "nothing"
    assert "the candidate, misses accuracy 80.0 % against 85 % asked, 5.0 points short" in verdict.text
    assert verdict.next_steps[0] == "Training curves: overfitting."
    assert "access (30 rows)" in verdict.next_steps[1]
    read = verdict.next_steps[2]
    assert "17 rows of the validation split that are access and were taken for billing" in read
    assert "Rows of the test split stay unread" in read and len(verdict.next_steps) == 3
    worse = decide(spec, side(0.8), side(0.7), PairedDifference(-0.1, -0.12, -0.08, 0.01))
    assert "the better model, the frozen baseline, misses accuracy 80.0 %" in worse.text


def test_target_met_by_an_unearned_gain_ships_nothing_and_says_so(spec: TaskSpec) -> None:
    verdict = decide(spec, side(0.848), side(0.853), PairedDifference(0.005, 0.001, 0.01, 0.002))
    assert verdict.ship == "nothing"
    assert "the candidate meets the target, but not by the gain that was asked for" in verdict.text
    assert "frozen baseline misses accuracy 84.8 % against 85 % asked, 0.2 points short" in verdict.text
    assert "more labelled rows serve it" in verdict.next_steps[0]
    assert not any("smaller margin" in step for step in verdict.next_steps), "never after the split is open"
    unsure = decide(spec, side(0.83), side(0.86), PairedDifference(0.03, -0.01, 0.07, 0.02))
    assert unsure.ship == "nothing"
    assert "more test rows" in unsure.next_steps[0]


def test_a_candidate_that_is_the_baseline_claims_no_gain(spec: TaskSpec) -> None:
    met, unmet = decide(spec, side(0.86), None, None), decide(spec, side(0.80), None, None)
    assert (met.ship, unmet.ship) == ("baseline", "nothing")
    assert all("no gain is claimed" in verdict.text and "interval" not in verdict.text for verdict in (met, unmet))
    assert "misses accuracy 80.0 %" in unmet.text


def constant(value: float) -> Side:
    return side(value).model_copy(update={"confusion": ((0, 100), (0, 900))})


def test_a_constant_answer_never_ships(spec: TaskSpec) -> None:
    alone = decide(spec, constant(0.9), None, None)
    assert alone.ship == "nothing"
    assert "the frozen baseline meets every limit, but answers 'billing' to every row" in alone.text
    assert "balanced_accuracy well above 0.2" in alone.next_steps[0]
    unearned = PairedDifference(0.01, -0.01, 0.03, 0.01)
    simpler = decide(spec, constant(0.9), side(0.91), unearned)
    assert simpler.ship == "nothing" and "the simpler frozen baseline meets every limit, but answers" in simpler.text
    assert decide(spec, constant(0.86), side(0.91), CLEAR).ship == "candidate"
    other = decide(spec, side(0.80), constant(0.9), CLEAR)
    assert other.ship == "nothing" and "the candidate meets every limit, but answers 'billing'" in other.text
    assert decide(spec, side(0.86), constant(0.9), CLEAR).ship == "baseline"
    assert "misses accuracy" in decide(spec, constant(0.8), None, None).text


def test_a_near_miss_is_written_with_enough_digits(spec: TaskSpec) -> None:
    assert "84.96 % against 85 % asked, 0.04 points short" in decide(spec, side(0.8496), None, None).text


def test_rounding_never_contradicts_the_verdict(spec: TaskSpec) -> None:
    text = decide(spec, side(0.86), side(0.88), PairedDifference(0.0196, 0.0004, 0.04, 0.01)).text
    assert "+1.96 points, is under the margin of 2 points but within its reach: from +1.2 points on" in text
    assert "+0.04 to +4.00 excludes zero" in text
    assert wording.signed(-0.00001) == "+0.0"
    assert wording.interval(0.0, 0.02) == "+0.0 to +2.0"
    assert wording.points(-0.013) == "−1.3 points"
    assert wording.listing(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"
    assert wording.listing(["a"]) == "a"


def test_failing_classes_are_named_rare_ones_first(spec: TaskSpec) -> None:
    figures = (figure("access", 0.45, 400), figure("billing", 0.48, 20), figure("delivery", 0.95, 400))
    assert [f.label for f in failing_classes(figures)] == ["billing", "access"]
    verdict = decide(spec, side(0.86), side(0.91, *figures), CLEAR)
    assert verdict.ship == "candidate"
    assert verdict.text.endswith(
        "Failing classes: billing (recall 48 % of 20 rows) and access (recall 45 % of 400 rows)."
    )
    gap = (figure("access", 0.55, 100), figure("billing", 0.97, 100), figure("delivery", 0.99, 100))
    assert [f.label for f in failing_classes(gap)] == []
    assert [f.label for f in failing_classes((*gap, figure("fault", 0.98, 100)))] == ["access"]
    assert failing_classes((figure("access", 0.0, 0),)) == ()


def answers(rows: int, lost: float, gained: float) -> tuple[Any, Any, Any]:
    truth = np.arange(rows) % 5
    first, second = truth.copy(), truth.copy()
    first[: round(rows * gained)] = (truth[: round(rows * gained)] + 1) % 5
    second[rows - round(rows * lost) :] = (truth[rows - round(rows * lost) :] + 1) % 5
    return truth, first, second


def test_a_small_test_split_is_refused_with_the_size_that_would_do(spec: TaskSpec) -> None:
    truth, first, second = answers(1000, 0.04, 0.06)
    found = needed_rows(spec, truth, first, second, dict.fromkeys(ORDINARY, 60))
    assert found.discordance == pytest.approx(0.1)
    assert (found.needed, found.available) == (rows_needed(0.02, 0.1, 0.95, 0.8), 300)
    assert not found.enough
    assert needed_rows(spec, truth, first, second, dict.fromkeys(ORDINARY, 600)).enough
    verdict = refuse(spec, found)
    assert verdict.ship == "nothing"
    assert "300 rows in the test split cannot show the gain of 2 points" in verdict.text
    assert "2,035 rows would do" in verdict.text
    assert "label 11,567 more rows (of which 15% land in the test split)" in verdict.next_steps[0]  # 1,660 / 0.15
    evaluation = refused(spec, found)
    assert (evaluation.refused, evaluation.rows_needed, evaluation.openings) == (True, 2035, 0)
    assert evaluation.baseline is None


def test_recall_is_counted_in_rows_of_its_class() -> None:
    spec = spec_for(ORDINARY, metric="recall", of_class="fault")
    truth, first, second = answers(1000, 0.04, 0.06)
    test_rows = dict.fromkeys(ORDINARY, 240) | {"fault": 40}
    found = needed_rows(spec, truth, first, second, test_rows)
    assert found.needed == rows_needed(0.02, 0.1, 0.95, 0.8) * 25
    assert "2,035 rows of fault" in found.how
    assert not found.enough


def test_other_metrics_scale_the_paired_error() -> None:
    truth, first, second = answers(1000, 0.04, 0.06)
    found = needed_rows(spec_for(ORDINARY, metric="macro_f1"), truth, first, second, {"access": 1000})
    assert found.needed == pytest.approx(rows_needed(0.02, 0.1, 0.95, 0.8), rel=0.15)  # near accuracy: even classes
    even = dict.fromkeys(ORDINARY, 250)
    same = needed_rows(spec_for(ORDINARY, metric="macro_f1"), truth, first, first, even)
    assert rows_for_gain(spec_for(ORDINARY, metric="macro_f1").target, 0.95, 0.8, even) <= same.needed < found.needed


def test_evaluation_is_filled_and_predictions_are_written(tmp_path: Path) -> None:
    spec = spec_for(ORDINARY, limits=[{"metric": "macro_f1", "at_least": 0.6}])
    frame, probabilities = simulated(ORDINARY, 1500, 0.86, 0.91)
    evaluation = evaluate(spec, dataset_for(spec), frame, probabilities, tmp_path, openings=1)
    assert evaluation.ship == "candidate"
    assert evaluation.baseline is not None and evaluation.candidate is not None
    assert list(evaluation.candidate.scores) == ["accuracy", "macro_f1"]
    gain = evaluation.candidate.scores["accuracy"].value - evaluation.baseline.scores["accuracy"].value
    assert evaluation.delta == pytest.approx(gain)
    assert evaluation.interval[0] < gain < evaluation.interval[1]
    assert sum(map(sum, evaluation.candidate.confusion)) == evaluation.rows == 1500
    table = pd.read_parquet(tmp_path / "predictions.parquet")
    assert list(table) == ["row_id", "label", "baseline", "baseline_probability", "candidate", "candidate_probability"]
    assert (table["candidate"] == table["label"]).mean() == evaluation.candidate.scores["accuracy"].value
    again = evaluate(spec, dataset_for(spec), frame, probabilities, tmp_path, openings=1)
    assert again.digest == evaluation.digest


def test_evaluation_of_the_baseline_alone(tmp_path: Path) -> None:
    spec = spec_for(ORDINARY)
    frame, probabilities = simulated(ORDINARY, 400, 0.88, 0.9)
    only = {"baseline": probabilities["baseline"]}
    evaluation = evaluate(spec, dataset_for(spec), frame, only, tmp_path, openings=1)
    assert (evaluation.ship, evaluation.candidate, evaluation.delta) == ("baseline", None, 0.0)


def test_probabilities_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    spec = spec_for(ORDINARY)
    frame, probabilities = simulated(ORDINARY, 50, 0.88, 0.9)
    dataset = dataset_for(spec)
    with pytest.raises(ValueError, match=r"expected probabilities of shape \(50, 5\), found \(49, 5\)"):
        evaluate(spec, dataset, frame, {"baseline": probabilities["baseline"][:-1]}, tmp_path, openings=1)
    broken = answers_to_probabilities(np.zeros(50, dtype=np.int64), 5)
    broken[3, 2] = np.nan
    with pytest.raises(ValueError, match="not numbers"):
        evaluate(spec, dataset, frame, {"baseline": broken}, tmp_path, openings=1)
    with pytest.raises(ValueError, match="expected probabilities of baseline and candidate"):
        evaluate(spec, dataset, frame, {"candidate": probabilities["candidate"]}, tmp_path, openings=1)


def test_sixty_rows_and_a_margin_of_one_point_are_refused_with_a_size_that_does() -> None:
    spec = spec_for(ORDINARY, margin=0.01)
    truth, first, second = answers(1000, 0.02, 0.03)
    found = needed_rows(spec, truth, first, second, dict.fromkeys(ORDINARY, 12))
    assert (found.available, found.enough) == (60, False)
    assert found.needed == rows_needed(0.01, 0.05, 0.95, 0.8) == 4078
    refusal = refuse(spec, found)
    assert "60 rows in the test split cannot show the gain of 1 point" in refusal.text
    assert "4,078 rows would do" in refusal.text
    assert "label 26,787 more rows (of which 15% land in the test split)" in refusal.next_steps[0]
    enough = dict.fromkeys(ORDINARY, 816)  # 4,080 rows
    assert needed_rows(spec, truth, first, second, enough).enough
    # Even two models that agree on all of validation do not make sixty rows enough.
    assert needed_rows(spec, truth, first, first, dict.fromkeys(ORDINARY, 12)).needed > 500


def test_the_size_is_judged_before_anything_is_trained_and_for_every_limit() -> None:
    asked = {"margin": 0.03, "limits": [{"metric": "recall", "of_class": "fault", "at_least": 0.9}]}
    spec = spec_for(ORDINARY, **asked)
    few = dict.fromkeys(ORDINARY, 40)
    short = least_resolution(spec, few)  # 200 rows: even models that differ on no other row than the gain need more
    assert (short.needed, short.available, short.enough) == (rows_needed(0.03, 0.03, 0.95, 0.8), 200, False)
    rare = dict.fromkeys(ORDINARY, 300) | {"fault": 20}
    short = least_resolution(spec, rare)
    assert not short.enough
    assert (
        "35 rows of fault are the least on which a perfect model can be told apart from one that misses recall of fault"
        in (short.how)
    )
    assert short.needed == 2135  # 35 of 20 in 1,220
    assert least_resolution(spec, dict.fromkeys(ORDINARY, 300) | {"fault": 35}).enough


def test_where_the_team_brings_its_test_rows_all_new_ones_go_there() -> None:
    spec = spec_for(ORDINARY, margin=0.01)
    own = {"train": "a.csv", "test": "b.csv"}
    data = spec.data.model_copy(update={"source": spec.data.source.model_validate(own)})
    found = needed_rows(spec, *answers(1000, 0.02, 0.03), dict.fromkeys(ORDINARY, 12))
    steps = refuse(spec.model_copy(update={"data": data}), found).next_steps
    assert "label 4,018 more rows (in the test file)" in steps[0]


def test_a_low_power_is_no_way_around() -> None:
    with pytest.raises(ValueError, match=r"greater than or equal to 0\.5"):
        spec_for(ORDINARY).evaluation.model_validate({"power": 0.01})
    with pytest.raises(ValueError, match="confidence"):
        spec_for(ORDINARY).evaluation.model_validate({"confidence": 0.51})


def test_a_gain_that_too_few_rows_measured_ships_nothing(spec: TaskSpec) -> None:
    few = dataclasses.replace(CLEAR, too_few="too few rows of fault to say; 8 would do")
    assert decide(spec, side(0.84), side(0.89), CLEAR).ship == "candidate"
    assert decide(spec, side(0.84), side(0.89), few).ship == "nothing"


def test_a_split_that_was_opened_before_is_not_called_closed(spec: TaskSpec) -> None:
    found = needed_rows(spec, *answers(1000, 0.04, 0.06), dict.fromkeys(ORDINARY, 60))
    opened = refuse(spec, found, openings=1)
    assert "opened 1 time for another model, is not opened for this one" in opened.text
    assert not any("larger margin" in step for step in opened.next_steps), "the margin is locked"
    assert any("larger margin" in step for step in refuse(spec, found).next_steps)
