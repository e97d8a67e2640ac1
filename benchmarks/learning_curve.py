"""How often does the learning curve's interval hold? The figures behind docs/learning_curve.md.

Each trial takes n training rows and a validation split of a set, measures the curve as the product does, and predicts
the gain of twice the rows. Then n further rows, held back so far, join the training rows, a new frozen baseline is
trained as the product trains it, and both baselines answer all rows that are left.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from benchmarks.labelled_sets import TITLES, add_arguments, labelled
from benchmarks.rows import write_row
from playbook.adapt.fewer_rows import heads_with_fewer_rows
from playbook.adapt.frozen import FrozenFeatures, validated_by
from playbook.adapt.head import Head, fit_head
from playbook.adapt.rows import RungData
from playbook.data.learning_curve import CurveHeads, CurveRows, CurveRules, default_repeats, learning_curve
from playbook.spec import Limit
from playbook.statistics.answers import answers_of
from playbook.statistics.metric import Metric, bind

SIZES = {"reviews": (800, 230), "tickets": (1500, 350), "tweets": (1000, 250), "banking": (2000, 500),
         "films": (1200, 300), "editorials": (1000, 250)}  # fmt: skip
# Classes, width, distance of centres, training rows, validation rows.
MADE = {"3 classes": (3, 80, 0.18, 400, 150), "8 classes": (8, 120, 0.22, 1000, 250), "flat": (4, 40, 0.55, 600, 150)}
MADE_ROWS, WORTH, SEED = 8000, 0.01, 100
METRIC = Limit(metric="accuracy", at_least=0.5)
Numbers = npt.NDArray[np.int64]
Rows = tuple[npt.NDArray[np.float32], Numbers]


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_arguments(parser)
    parser.add_argument("--trials", type=int, default=20, help="of each set")
    parser.add_argument("--rows", type=Path, help="file that keeps finished trials (JSON lines)")
    parser.add_argument("--write", type=Path, help="page to write")
    arguments = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    for name, shape in MADE.items():
        _trials(name, lambda seed, shape=shape: made(seed, *shape[:3]), shape[3:], arguments)
    for name in arguments.sets:
        found = labelled(name, arguments)
        _trials(TITLES[name], lambda seed, found=found: (found.features, found.labels), SIZES[name], arguments)
    if arguments.write:
        from benchmarks.learning_curve_page import page

        arguments.write.write_text(page(_kept(arguments.rows)), encoding="utf-8")


def _trials(name: str, rows: Callable[[int], Rows], sizes: tuple[int, ...], arguments: argparse.Namespace) -> None:
    done = {(one["set"], one["seed"]) for one in _kept(arguments.rows)}
    for seed in range(SEED, SEED + arguments.trials):
        if (name, seed) in done:
            continue
        found = {"set": name, "seed": seed, **trial(rows(seed), sizes[0], sizes[1], seed)}
        write_row(benchmark="learning curve", **found)
        if arguments.rows:
            import json

            with arguments.rows.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(found) + "\n")


def _kept(path: Path | None) -> list[dict[str, Any]]:
    import json

    if path is None or not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def made(seed: int, classes: int, width: int, distance: float) -> Rows:
    """Rows around the centres of their classes: the classes' rows are new in every trial, the centres are not."""
    centres = np.random.default_rng([7, classes, width]).normal(size=(classes, width)) * distance
    random = np.random.default_rng([seed, 9])
    labels = random.integers(0, classes, MADE_ROWS)
    return (centres[labels] + random.normal(size=(MADE_ROWS, width))).astype(np.float32), labels.astype(np.int64)


def trial(rows: Rows, train: int, validation: int, seed: int) -> dict[str, Any]:
    """One prediction, and what came."""
    features, labels = rows
    order = np.random.default_rng([seed, 3]).permutation(len(labels))
    cuts = np.cumsum([train, validation, train])
    now, judged, more, new = np.split(order, cuts)
    metric = bind(METRIC, tuple(f"class {at}" for at in range(int(labels.max()) + 1)))
    first, l2 = baseline(features, labels, now, judged, metric)
    found = FrozenFeatures(features, RungData(np.ones(1), labels, now, judged), pd.DataFrame(), "")
    fewer = heads_with_fewer_rows(found, metric, "none", l2)
    repeats = default_repeats(8, train, len(metric.labels))
    rules = CurveRules(METRIC, metric.labels, 6, repeats, WORTH, 13)
    heads = CurveHeads(answers_of(first.probabilities(features[judged])), lambda chosen: answers_of(fewer(chosen)))
    curve = learning_curve(CurveRows(labels, now, judged), rules, heads)
    assert curve is not None
    second, _ = baseline(features, labels, np.concatenate([now, more]), judged, metric)
    gain = curve.curve.gain_of_twice

    def came(of: Numbers) -> float:
        both = ((one.probabilities(features[of]).argmax(1) == labels[of]).mean() for one in (first, second))
        before, after = both
        return float(after - before)

    return {
        "train": train, "validation": validation, "new": len(new), "value": gain.value, "low": gain.low,
        "high": gain.high, "again": curve.outlook.again, "verdict": curve.curve.verdict, "came": came(new),
        "came_on_validation": came(judged), "seconds": curve.curve.seconds,
    }  # fmt: skip


def baseline(
    features: npt.NDArray[np.float32], labels: Numbers, rows: Numbers, judged: Numbers, metric: Metric
) -> tuple[Head, float]:
    """The product's frozen baseline on some rows: its head and its strength, chosen on validation."""
    found = FrozenFeatures(features, RungData(np.ones(1), labels, rows, judged), pd.DataFrame(), "")
    classes = len(metric.labels)
    ones = np.ones(classes, np.float32)
    validate = validated_by(found, metric)
    fitted = fit_head(features[rows], labels[rows], classes, ones, validate, lambda said: None)
    return fitted.head, fitted.l2


if __name__ == "__main__":
    main()
