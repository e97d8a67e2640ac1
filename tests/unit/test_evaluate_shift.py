from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from report_samples import ORDINARY, spec_for

from playbook.artifacts import Figure
from playbook.evaluate import shift
from playbook.evaluate.shift import Sample, compare_inputs, latest_rows, newcombe, sample_of
from playbook.spec import TaskSpec
from playbook.statistics.answers import answers_of

WIDTH = 12


def spec_with(p_value: float = 0.01, **target: Any) -> TaskSpec:
    document = spec_for(ORDINARY, **target).model_dump(mode="json")
    document["evaluation"] |= {"shift_p_value": p_value, "resamples": 200}
    return TaskSpec.model_validate(document)


def customers(random: np.random.Generator, count: int, moved: float = 0.0, accuracy: float = 0.8) -> Sample:
    """About six rows per customer, who all have a taste of their own: rows of one customer resemble each other."""
    sizes = random.integers(1, 12, count)
    owner = np.repeat(np.arange(count), sizes)
    taste = random.normal(0, 1, (count, WIDTH))
    features = taste[owner] + random.normal(0, 0.5, (len(owner), WIDTH))
    features[:, 0] += moved
    truth = (random.integers(0, 5, count)[owner] + random.choice(5, len(owner), p=[0.6, 0.1, 0.1, 0.1, 0.1])) % 5
    easy = random.random(count)[owner] * 0.5 + random.random(len(owner)) * 0.5
    predicted = np.where(easy < accuracy, truth, (truth + 1) % 5)
    names = [f"{random.integers(10**9)}-{number}" for number in range(count)]
    return Sample(features, ["some words here"] * len(owner), [names[at] for at in owner], truth, answers_of(predicted))


def ungrouped(sample: Sample) -> Sample:
    groups = [f"{group} {at}" for at, group in enumerate(sample.groups)]
    return Sample(sample.features, sample.texts, groups, sample.truth, sample.answers)


def test_false_alarms_are_as_many_as_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shift, "LEAST_PERMUTATIONS", 99)
    random, spec, pairs = np.random.default_rng(1), spec_with(0.1), 200
    alarms, inputs, naive = 0, 0, 0
    for pair in range(pairs):
        first, second = customers(random, 12), customers(random, 24)
        found = compare_inputs("validation and test", first, second, spec)
        alarms += found.differs
        inputs += found.p_value < 0.1
        if pair < 20:
            naive += compare_inputs("validation and test", ungrouped(first), ungrouped(second), spec).differs
    assert 0.03 <= alarms / pairs <= 0.16  # 0.10, three standard errors wide on either side
    assert 0.03 <= inputs / pairs <= 0.16
    assert naive >= 15  # rows taken as independent would nearly always raise an alarm


@pytest.mark.proof
def test_customers_with_rows_in_both_samples_raise_no_more_alarms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shift, "LEAST_PERMUTATIONS", 99)
    random, spec, pairs, alarms = np.random.default_rng(2), spec_with(0.1), 100, 0
    for _ in range(pairs):
        drawn = customers(random, 25)
        late = random.random(len(drawn.texts)) < 0.3
        parts = [
            Sample(drawn.features[part], ["word"] * int(part.sum()), list(np.array(drawn.groups)[part]),
                   drawn.truth[part], drawn.answers.take(part) if drawn.answers is not None else None)
            for part in (~late, late)
        ]  # fmt: skip
        alarms += compare_inputs("test and production", parts[0], parts[1], spec).differs
    assert 0.01 <= alarms / pairs <= 0.19


def test_moved_inputs_are_seen_and_measured() -> None:
    random = np.random.default_rng(3)
    found = compare_inputs("validation and test", customers(random, 60), customers(random, 100, moved=2.5), spec_with())
    assert found.differs
    assert found.p_value == pytest.approx(0.001)
    assert found.auc > 0.8
    assert found.text.startswith(
        f"Validation and test differ: a classifier tells them apart with AUC {found.auc:.2f} (0.5 would "
        "mean no difference), the class mix differs by"
    )


def test_another_class_mix_is_seen_by_itself() -> None:
    random = np.random.default_rng(4)
    first, second = ungrouped(customers(random, 60)), ungrouped(customers(random, 60))
    flat = [
        Sample(np.zeros_like(sample.features), sample.texts, sample.groups, truth)
        for sample, truth in (
            (first, np.arange(len(first.texts)) % 5),
            (second, np.minimum(np.arange(len(second.texts)) % 10, 4)),
        )
    ]
    found = compare_inputs("validation and test", *flat, spec_with())
    assert found.class_mix is not None and found.class_mix == pytest.approx(0.4, abs=0.01)
    assert found.class_mix_p_value == pytest.approx(0.001)
    assert (found.auc, found.p_value, found.score) == (0.5, 1.0, None)
    assert found.differs
    assert "hardly tells them apart with AUC 0.50" in found.text
    assert f"the class mix differs by {100 * found.class_mix:.1f} points" in found.text


def test_a_lower_score_is_seen_and_said() -> None:
    random, spec = np.random.default_rng(5), spec_with()
    first, second = customers(random, 80, accuracy=0.9), customers(random, 80, accuracy=0.5)
    found = compare_inputs("test and production", first, second, spec)
    assert found.score is not None
    values = [float(np.mean(sample.truth == sample.answers.classes)) for sample in (first, second)]
    assert found.score.value == pytest.approx(values[1] - values[0])
    assert found.score.low < found.score.value < found.score.high < 0
    assert found.score_p_value == pytest.approx(0.001)
    assert f"accuracy is {100 * (values[0] - values[1]):.1f} points lower on production" in found.text
    recall = compare_inputs("test and production", first, second, spec_with(metric="macro_f1"))
    assert recall.score is not None and recall.score.high < 0


def test_no_difference_is_called_no_difference() -> None:
    random = np.random.default_rng(6)
    found = compare_inputs("validation and test", customers(random, 50), customers(random, 100), spec_with())
    assert not found.differs
    assert found.text.startswith("No difference of validation and test is seen beyond chance: a classifier tells them")
    assert 0.35 < found.auc < 0.65


def test_rows_without_labels_are_compared_by_their_inputs_alone() -> None:
    random = np.random.default_rng(7)
    first, second = customers(random, 20), customers(random, 20)
    blank = Sample(second.features, ["a much longer text of eight words here"] * len(second.texts), second.groups,
                   np.full(len(second.texts), -1), second.answers)  # fmt: skip
    found = compare_inputs("test and production", first, blank, spec_with())
    assert (found.class_mix, found.class_mix_p_value, found.score, found.score_p_value) == (None, None, None, None)
    assert found.length_ratio == pytest.approx(8 / 3)
    assert "texts have 2.7 times as many words" in found.text


def test_a_prepared_table_becomes_a_sample() -> None:
    frame = pd.DataFrame(
        {"text": ["a", "b", "c"], "label": ["fault", "", "access"], "group": ["g", "", ""], "time": ["", "", ""]}
    )
    found = sample_of(spec_with(), frame, np.zeros((3, 4)), np.array([0, 1, 2]))
    assert found.truth.tolist() == [4, -1, 0]
    assert len(set(found.groups)) == 3
    with pytest.raises(ValueError, match="features and answers of 3 rows"):
        sample_of(spec_with(), frame, np.zeros((2, 4)))


def test_the_latest_rows() -> None:
    frame = pd.DataFrame({"time": ["2025-03-01", "", "2025-01-01", "2025-02-01T10:00:00", "2025-02-01T09:00:00"]})
    assert latest_rows(frame, 0.4).tolist() == [True, False, False, True, False]
    assert latest_rows(frame, 0.01).sum() == 1


def test_newcombe_against_published_values() -> None:
    # Newcombe, Statistics in Medicine 17 (1998) 873-890, table II, method 10: 56/70 - 48/80 and 9/10 - 3/10.
    low, high = newcombe((48, 80), (56, 70), 0.95)
    assert (low, high) == (pytest.approx(0.0524, abs=1e-4), pytest.approx(0.3339, abs=1e-4))
    low, high = newcombe((3, 10), (9, 10), 0.95)
    assert (low, high) == (pytest.approx(0.1705, abs=1e-4), pytest.approx(0.8090, abs=1e-4))
    assert newcombe((0, 0), (1, 2), 0.95) == (-1, 1)


def test_samples_that_do_not_fit_are_refused() -> None:
    sample = customers(np.random.default_rng(8), 5)
    narrow = Sample(sample.features[:, :3], sample.texts, sample.groups, sample.truth)
    empty = Sample(sample.features[:0], [], [], sample.truth[:0])
    for other in (narrow, empty):
        with pytest.raises(ValueError, match="two samples with features of one width"):
            compare_inputs("validation and test", sample, other, spec_with())


def test_the_same_samples_give_the_same_answer() -> None:
    random = np.random.default_rng(9)
    first, second = customers(random, 30), customers(random, 40)
    found = compare_inputs("validation and test", first, second, spec_with())
    assert found == compare_inputs("validation and test", first, second, spec_with())
    assert compare_inputs("validation and test", first, second, spec_with(0.02)).auc == found.auc


def answered(truth: list[int], predicted: list[int]) -> Sample:
    rows = len(truth)
    groups = [f"{truth}{predicted} {at}" for at in range(rows)]
    return Sample(np.zeros((rows, 2)), ["a word"] * rows, groups, np.array(truth), answers_of(np.array(predicted)))


@pytest.mark.parametrize("metric", ["recall", "f1"])
def test_a_class_without_rows_in_one_sample_has_no_score_there(metric: str) -> None:
    spec = spec_with(metric=metric, of_class="fault")  # the last of five classes
    first = answered([4, 4, 4, 0, 1] * 20, [4, 4, 0, 0, 1] * 20)
    second = answered([0, 1, 2, 3] * 25, [0, 1, 2, 3] * 25)
    found = compare_inputs("test and production", first, second, spec)
    assert (found.score, found.score_p_value) == (None, None)
    assert f"{metric} of fault" not in found.text
    known = compare_inputs("test and production", first, answered([4, 0] * 50, [4, 0] * 50), spec)
    assert known.score is not None and known.score.value > 0.15
    assert known.score.low <= known.score.value <= known.score.high


def test_permutations_in_which_nothing_is_known_count_for_neither_side() -> None:
    spec = spec_with(metric="recall", of_class="fault")
    rare = answered([4] + [0] * 39, [4] + [0] * 39), answered([4] + [1] * 39, [0] + [1] * 39)
    found = compare_inputs("test and production", *rare, spec)
    assert found.score is not None and found.score.value == -1.0
    assert found.score_p_value == 1.0  # two rows, one in each sample: every such permutation is as far apart


def test_what_is_within_chance_is_called_so() -> None:
    random = np.random.default_rng(3)
    found = compare_inputs("validation and test", customers(random, 60), customers(random, 100, moved=2.5), spec_with())
    assert found.differs and found.class_mix_p_value is not None and found.class_mix_p_value >= 0.01
    assert f"the class mix differs by {100 * (found.class_mix or 0):.1f} points (within chance)" in found.text
    told = found.model_copy(update={"class_mix_p_value": 0.001, "score": Figure(value=0.0, low=-0.1, high=0.1)})
    text = shift._in_words(told, spec_with())
    assert "points and accuracy is the same on test (within chance)" in text
    assert "0.0 points" not in text


def test_counting_row_by_row_is_the_same_as_all_at_once() -> None:
    random = np.random.default_rng(12)
    place, member = random.integers(0, 7, 50), random.random((20, 50)) < 0.4
    expected = member.astype(float) @ (place[:, None] == np.arange(7))
    assert np.array_equal(shift._counts(member, place, 7), expected)
    group = np.repeat(np.arange(10), 5)
    drawn = shift._resampled_cells(place, group, 7, 4000, 1)
    assert set(drawn.sum(axis=1)) == {50.0}  # ten groups of five rows are drawn, whichever they are
    assert drawn.mean(axis=0) == pytest.approx(np.bincount(place, minlength=7), abs=0.3)
    by_group = np.stack([np.bincount(place[group == at], minlength=7) for at in range(10)])
    assert drawn.var(axis=0) == pytest.approx(10 * by_group.var(axis=0), rel=0.15)
