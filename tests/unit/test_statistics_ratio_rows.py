from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from report_samples import ORDINARY, spec_for

from benchmarks.planned_sizes import task
from benchmarks.populations import Population, population
from playbook.evaluate.round_verdict import rows_for_round
from playbook.evaluate.verdict import earned, needed_rows, task_difference
from playbook.spec.section import LimitName
from playbook.statistics.metric import target_metric
from playbook.statistics.ratio_intervals import LARGEST_SHARE, Scatter
from playbook.statistics.ratio_rows import rows_to_tell
from playbook.statistics.sample_size import FEWEST_DISCORDANT, rows_needed

DOCS = Path(__file__).parents[2] / "docs"
MIX = (0.6, 0.3, 0.1)
METRICS: tuple[tuple[LimitName, bool], ...] = (
    ("balanced_accuracy", False),
    ("macro_f1", False),
    ("precision", True),
    ("f1", True),
)  # and whether it is of the smallest class


def known(metric: LimitName, rarest: bool, mix: tuple[float, ...], gain: float, lost: float) -> tuple[Population, Any]:
    """A population whose true gain is known, and a task that asks for just that gain."""
    drawn_from = population(mix, 0.8, gain, lost)
    margin = drawn_from.true_difference(target_metric(task(metric, rarest, len(mix), 0.5)))
    return drawn_from, task(metric, rarest, len(mix), margin)


def counted(spec: Any, truth: Any) -> dict[str, int]:
    return dict(zip(spec.labels, np.bincount(truth, minlength=len(spec.labels)).tolist(), strict=True))


@pytest.mark.parametrize(
    ("metric", "rarest"), [pytest.param(*one, marks=pytest.mark.proof) for one in METRICS[:3]] + [*METRICS[3:]]
)
def test_a_true_gain_of_the_margin_ships_where_the_split_is_called_large_enough(
    metric: LimitName, rarest: bool
) -> None:
    """Known truth. On half of the size most splits were called large enough and few candidates shipped."""
    drawn_from, spec = known(metric, rarest, MIX, 0.06, 0.004)
    random = np.random.default_rng(3)
    scatter = target_metric(spec).scatter(*drawn_from.draw(random, 100_000))
    assert scatter is not None
    rows = rows_to_tell(scatter, spec.target.margin, 0.95, 0.8)

    def called(rows: int, runs: int = 60) -> float:
        splits = [(drawn_from.draw(random, rows), drawn_from.draw(random, rows)[0]) for _ in range(runs)]
        return float(np.mean([needed_rows(spec, *seen, counted(spec, test)).enough for seen, test in splits]))

    def ships(rows: int, runs: int = 400) -> float:
        return float(
            np.mean([earned(spec, task_difference(spec, *drawn_from.draw(random, rows))) for _ in range(runs)])
        )

    assert called(rows // 2) <= 0.05 and called(2 * rows) >= 0.9
    assert 0.72 <= ships(rows) <= 0.9 and 0.74 <= ships(2 * rows) <= 0.88, "80 % within chance"


def test_what_the_variance_is_made_of_is_that_of_the_difference() -> None:
    drawn_from, spec = known("macro_f1", False, (0.5, 0.3, 0.2), 0.05, 0.03)
    truth, first, second = drawn_from.draw(np.random.default_rng(1), 500)
    metric = target_metric(spec)
    found, gain = metric.scatter(truth, first, second), metric.difference(truth, first, second)
    assert found is not None and found.rows == 500
    assert found.seen + found.added == pytest.approx(gain.standard_error**2)
    # How well it is known, by the bootstrap instead of the jackknife.
    random, drawn = np.random.default_rng(2), []
    for _ in range(400):
        rows = random.integers(0, 500, 500)
        one = metric.scatter(truth[rows], first[rows], second[rows])
        assert one is not None
        drawn.append((np.sqrt(one.seen / found.seen), np.sqrt(one.seen / one.added * found.added / found.seen)))
    assert np.std(drawn, axis=0) == pytest.approx([found.seen_error, found.told_error], rel=0.25)
    assert target_metric(spec_for(ORDINARY)).scatter(truth, first, second) is None, "accuracy is counted exactly"
    assert metric.scatter(truth[:0], first[:0], second[:0]) is None


def test_on_the_size_that_is_named_the_models_can_be_told_apart() -> None:
    """With a variance that is known for sure: the share that was assumed is just what may be."""
    sure = Scatter(rows=1000, seen=1e-4, added=4e-5, step=1e-4, seen_error=0.0, told_error=0.0)
    rows = rows_to_tell(sure, 0.2, 0.95, 0.8)
    seen, added = sure.seen * 1000 / rows, sure.added * (1000 / rows) ** 2
    assert added / (seen + added) == pytest.approx(LARGEST_SHARE, rel=0.01)
    unsure = replace(sure, seen_error=0.1, told_error=0.1)
    assert rows_to_tell(unsure, 0.2, 0.95, 0.8) > 1.2 * rows, "room for how well it is known"
    wide = Scatter(rows=1000, seen=1e-4, added=0.0, step=1e-3, seen_error=0.0, told_error=0.0)
    assert rows_to_tell(wide, 0.01, 0.95, 0.8) == pytest.approx(7.85 * 0.1 / 0.01**2, rel=0.01), "as for normal gains"
    less_known = replace(wide, seen_error=0.1, told_error=0.1)
    assert rows_to_tell(less_known, 0.01, 0.95, 0.9) > rows_to_tell(less_known, 0.01, 0.95, 0.8) > 1.1 * 7850
    assert rows_to_tell(wide, 0.9, 0.95, 0.8) >= FEWEST_DISCORDANT


def test_models_that_answer_alike_on_validation_have_a_size_too() -> None:
    spec = spec_for(ORDINARY, metric="balanced_accuracy", margin=0.05)
    truth = np.arange(500) % 5
    same = (truth + (np.arange(500) % 7 == 0)) % 5
    few = np.where(np.arange(500) == 7, truth, same)
    for second in (same, few):
        found = needed_rows(spec, truth, same, second, dict.fromkeys(ORDINARY, 20))
        assert 100 < found.needed < 5000 and not found.enough


def test_a_round_asks_too_whether_the_models_can_be_told_apart() -> None:
    drawn_from, spec = known("balanced_accuracy", False, MIX, 0.06, 0.004)
    truth, incumbent, contender = drawn_from.draw(np.random.default_rng(5), 200)
    found = rows_for_round(spec, truth, incumbent, contender, dict.fromkeys(spec.labels, 70))
    error = task_difference(spec, truth, incumbent, contender).standard_error
    margin = spec.target.margin / 2
    assert found.needed > 200 * (2.8 * error / margin) ** 2 or found.needed > 400
    assert not found.enough


@pytest.mark.parametrize("page", ["sample_size.md", "rounds.md"])
def test_every_heading_of_a_generated_page_occurs_once(page: str) -> None:
    lines = (DOCS / page).read_text(encoding="utf-8").splitlines()
    headings = Counter(line for line in lines if line.startswith("#"))
    assert headings and set(headings.values()) == {1}


def test_sizes_of_the_page_of_rounds_are_those_that_are_named_now() -> None:
    said = re.findall(
        r"^\| [^|]+ \| ([\d.]+) points \| ([\d.]+) % \| ([\d,]+) \|",
        (DOCS / "rounds.md").read_text(encoding="utf-8"), re.MULTILINE,
    )  # fmt: skip
    assert len(said) == 24
    for margin, apart, rows in set(said):
        # The page rounds the margin and the share to a tenth of a point: the size lies between those of their ends.
        m, d, half = float(margin) / 100, float(apart) / 100, 0.0005
        least, most = (rows_needed(m + side * half, d - side * half, 0.95, 0.8) for side in (1, -1))
        assert least <= int(rows.replace(",", "")) <= most, (margin, apart, rows)
    assert ("3.0", "7.0", f"{rows_needed(0.03, 0.07, 0.95, 0.8):,}") in said, "made up, so that nothing was rounded"
