from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from metric_samples import metric_value
from report_samples import ORDINARY, spec_for
from scipy.stats import fisher_exact

from playbook.errors import DataError
from playbook.evaluate.paired import holm
from playbook.evaluate.slices import slices
from playbook.spec import TaskSpec


def spec_with(keep: list[str], evaluation: dict[str, Any] | None = None, **target: Any) -> TaskSpec:
    document = spec_for(ORDINARY, **target).model_dump(mode="json")
    document["data"]["columns"]["keep"] = keep
    document["evaluation"] |= {"resamples": 300, **(evaluation or {})}
    return TaskSpec.model_validate(document)


def table(rows: int = 600, seed: int = 1) -> tuple[pd.DataFrame, Any, Any]:
    """Rows of three products and two channels; answers are right on 90 % of rows, whatever the slice."""
    random = np.random.default_rng(seed)
    truth = random.integers(0, 5, rows)
    predicted = np.where(random.random(rows) < 0.9, truth, (truth + 1) % 5)
    frame = pd.DataFrame(
        {
            "text": ["word " * int(length) for length in random.integers(3, 60, rows)],
            "kept_product": random.choice(["lamp", "hub", "plug"], rows),
            "kept_channel": random.choice(["mail", "chat"], rows),
        }
    )
    return frame, truth, predicted


def test_the_worst_slice_is_named_with_its_figures() -> None:
    frame, truth, predicted = table()
    hub = (frame["kept_product"] == "hub").to_numpy()
    predicted[hub & (np.arange(600) % 3 == 0)] = (truth[hub & (np.arange(600) % 3 == 0)] + 2) % 5
    found = slices(spec_with(["product", "channel"]), frame, truth, predicted, baseline=truth)
    worst = found.figures[0]
    assert (worst.column, worst.value) == ("product", "hub")
    assert worst.score.value == np.mean(truth[hub] == predicted[hub])
    assert worst.score.low < worst.score.value < worst.score.high
    assert worst.score.n == hub.sum()
    assert worst.rest == np.mean(truth[~hub] == predicted[~hub])
    assert worst.baseline == 1.0
    assert worst.p_value < 0.001
    assert found.text.startswith("Worst where product is hub: accuracy")
    assert f"{100 * worst.rest:.1f} % elsewhere" in found.text
    assert len(found.figures) == 3 + 2 + 3  # products, channels, terciles of the length
    values = [figure.score.value for figure in found.figures]
    assert values == sorted(values)


def test_where_nothing_differs_nothing_is_named() -> None:
    frame, truth, predicted = table(seed=2)
    found = slices(spec_with(["product", "channel"]), frame, truth, predicted)
    assert found.text == "None of 8 slices is worse than the other rows beyond chance."
    assert min(figure.p_value for figure in found.figures) > 0.05
    assert found.figures[0].baseline is None


def test_a_slice_that_is_better_is_not_called_worst() -> None:
    frame, truth, predicted = table(rows=900, seed=3)
    predicted[:] = np.where(np.arange(900) % 3 == 0, (truth + 1) % 5, truth)
    hub = (frame["kept_product"] == "hub").to_numpy()
    predicted[hub] = truth[hub]
    found = slices(spec_with(["product"]), frame, truth, predicted)
    best = found.figures[-1]
    assert (best.value, best.score.value) == ("hub", 1.0)
    assert best.p_value < 0.001
    assert found.text.startswith("Worst where product is ")
    assert "hub" not in found.text


def test_p_values_are_corrected_for_the_number_of_slices() -> None:
    frame, truth, predicted = table(seed=4)
    spec = spec_with(["channel"])
    found = slices(spec, frame, truth, predicted)
    right, alone = truth == predicted, []
    for figure in found.figures:
        if figure.column == "channel":
            rows = (frame["kept_channel"] == figure.value).to_numpy()
            counts = [[(right & part).sum(), (~right & part).sum()] for part in (rows, ~rows)]
            alone.append((figure.p_value, fisher_exact(counts).pvalue))
    assert len(alone) == 2
    assert all(corrected >= own for corrected, own in alone)
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]


def test_small_slices_are_left_out_and_counted() -> None:
    frame, truth, predicted = table()
    frame.loc[:9, "kept_product"] = ""
    found = slices(spec_with(["product"]), frame, truth, predicted)
    assert found.left_out == 1
    assert "1 smaller slice left out" in found.text
    spec = spec_with(["product"], {"min_slice_rows": 10})
    kept = slices(spec, frame, truth, predicted)
    assert "(empty)" in {figure.value for figure in kept.figures}
    assert kept.left_out == 0


def test_recall_needs_rows_of_its_class_and_other_metrics_are_permuted() -> None:
    frame, truth, predicted = table(rows=500, seed=5)
    hub = (frame["kept_product"] == "hub").to_numpy()
    predicted[hub] = np.where(truth[hub] == 2, 0, predicted[hub])
    recall = spec_with(["product"], {"min_slice_rows": 20}, metric="recall", of_class="cancellation")
    found = slices(recall, frame, truth, predicted)
    assert (found.figures[0].value, found.figures[0].score.value) == ("hub", 0.0)
    assert found.figures[0].p_value < 1e-4
    strict = spec_with(["product"], {"min_slice_rows": 90}, metric="recall", of_class="cancellation")
    few = slices(strict, frame, truth, predicted)
    assert few.figures == ()
    assert few.left_out == 6
    f1 = slices(spec_with(["product"], metric="macro_f1"), frame, truth, predicted)
    assert f1.figures[0].value == "hub"
    assert f1.figures[0].p_value == pytest.approx(6 / 2001)  # the least that 2,000 permutations can say, of six slices
    assert f1.figures[0].score.value == pytest.approx(metric_value("macro_f1", None, truth[hub], predicted[hub], 5))
    rest = [figure.p_value for figure in f1.figures if figure.column == "text length"]
    assert min(rest) > 0.05


def test_columns_with_many_values_need_to_be_named() -> None:
    frame, truth, predicted = table()
    frame["kept_agent"] = [f"agent {at % 30}" for at in range(600)]
    unnamed = slices(spec_with(["agent"], {"min_slice_rows": 5}), frame, truth, predicted)
    assert {figure.column for figure in unnamed.figures} == {"text length"}
    named = slices(spec_with(["agent"], {"min_slice_rows": 5, "slices": ["agent"]}), frame, truth, predicted)
    assert sum(figure.column == "agent" for figure in named.figures) == 30
    with pytest.raises(DataError, match="names 'shop', which the prepared rows do not have"):
        slices(spec_with(["agent", "shop"], {"slices": ["shop"]}), frame, truth, predicted)
    with pytest.raises(ValueError, match=r"\['shop'\] is not in data.columns.keep"):
        spec_with(["agent"], {"slices": ["shop"]})


def test_the_same_rows_give_the_same_slices() -> None:
    frame, truth, predicted = table()
    spec = spec_with(["product", "channel"], metric="macro_f1")
    assert slices(spec, frame, truth, predicted) == slices(spec, frame, truth, predicted)


def test_one_bad_slice_of_many_can_still_be_told_by_permutation() -> None:
    frame, truth, predicted = table(2000)
    frame["kept_agent"] = [f"agent {row % 100}" for row in range(2000)]
    bad = np.arange(2000) % 100 == 7
    predicted[bad] = (truth[bad] + 1) % 5
    spec = spec_with(["agent"], {"min_slice_rows": 10, "slices": ["agent"], "resamples": 200}, metric="macro_f1")
    found = slices(spec, frame, truth, predicted)
    worst, number = found.figures[0], len(found.figures)
    assert number == 103
    assert worst.value == "agent 7"
    assert worst.p_value == pytest.approx(number / (1 + 40 * number))  # with 2,000 permutations it could not be told
    assert worst.p_value < 0.05 < number / 2001
