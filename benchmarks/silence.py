"""Is the promise of silence kept, and are strangers recognised? On Banking77 with twenty intents left out.

The features are those of the sample task's base. A head is trained on 3,000 queries of the 57 intents that remain,
another 1,000 choose its strength and its temperature. The rest, which nothing was chosen on, is split 200 times into
rows that choose the confidence threshold and rows on which its realised error is counted. Strangers are the queries of
the twenty intents, and texts that have nothing to do with a bank. One draw of twenty intents chooses the score that
serving uses; others prove it.
"""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.real_texts import ARCHIVE, FETCH, banking, rated
from benchmarks.rows import write_row
from benchmarks.silence_page import page
from playbook.evaluate.calibration import fit_temperature, scaled
from playbook.statistics.selective import guarantee, risk_curve
from playbook.statistics.strangers import NEAREST, Strangers, learn_strangers

LEFT_OUT, TRAINED, VALIDATED = 20, 3000, 1000
CHOOSING, PROVING = 1, (2, 3, 4)  # draws of intents
RESAMPLES, CALIBRATED = 200, 1000
ERRORS, FAILURE, LEVEL = (0.02, 0.05, 0.1), 0.05, 0.01
REFITS, REFIT_ROWS = 20, 1000
FOREIGN_ROWS = 500
MODULES = (
    "asyncio", "argparse", "decimal", "email", "html", "logging", "pathlib", "socket", "statistics", "tarfile",
    "threading", "unittest", "urllib.request", "zipfile", "fractions", "csv", "difflib", "heapq", "textwrap",
)  # fmt: skip
Floats = npt.NDArray[np.floating]
Score = Callable[[Floats, Floats], Floats]  # (features, logits) -> (rows,), large for strangers


@dataclass(frozen=True)
class Known:
    """The head of the intents that remain, and its rows: trained, validation, and the pool that nothing chose."""

    weight: Floats
    bias: Floats
    temperature: float
    trained: tuple[Floats, npt.NDArray[np.int64]]
    validation: tuple[Floats, npt.NDArray[np.int64]]
    pool: tuple[Floats, npt.NDArray[np.int64]]
    strangers: dict[str, Floats]

    def logits(self, features: Floats) -> Floats:
        """Shape (rows, classes)."""
        return features @ self.weight.T + self.bias

    def probabilities(self, features: Floats) -> Floats:
        """Calibrated, shape (rows, classes)."""
        return scaled(softmax(self.logits(features)), self.temperature)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder with banking77")
    parser.add_argument("--packages", type=Path, required=True, help=f"folder with {ARCHIVE}: {FETCH}")
    parser.add_argument("--cache", type=Path, help="file that keeps features from one run to the next (.npz)")
    parser.add_argument("--write", type=Path, help="page to write")
    arguments = parser.parse_args()
    features = features_of(arguments.data, arguments.packages, arguments.cache)
    draws = {seed: known_of(features, seed) for seed in (CHOOSING, *PROVING)}
    found = {
        "promise": [kept(draws[seed], seed, error) for seed in PROVING for error in ERRORS],
        "chosen": [chosen_too(draws[PROVING[0]], error) for error in ERRORS],
        "scores": {seed: separated(draws[seed]) for seed in draws},
        "served": [served(draws[seed], seed) for seed in PROVING],
    }
    for name, rows in found.items():
        write_row(benchmark=f"silence: {name}", figures=rows)
    if arguments.write:
        arguments.write.write_text(page(found), encoding="utf-8")


def features_of(data: Path, packages: Path, cache: Path | None) -> dict[str, npt.NDArray[np.generic]]:
    """Features of all texts by set, and `classes` of Banking77."""
    if cache is not None and cache.is_file():
        with np.load(cache, allow_pickle=False) as kept_before:
            return dict(kept_before)
    from benchmarks.real_texts import base_extractor

    texts, classes = banking(data)
    sets = {
        "banking": texts,
        "tickets of the sample task": _tickets(),
        "tweets": rated(packages, "tweets")[0][:FOREIGN_ROWS],
        "product reviews": rated(packages, "amazonReviewSnippets")[0][:FOREIGN_ROWS],
        "documentation of Python's library": _documentation(),
    }
    extractor = base_extractor()
    found = {name: extractor(rows) for name, rows in sets.items()} | {"classes": np.array(classes)}
    if cache is not None:
        np.savez(cache, **found)
    return found


def _tickets() -> list[str]:
    import random
    import sys

    from benchmarks.rows import ROOT

    sys.path.insert(0, str(ROOT / "data" / "tickets"))
    import generate

    drawn = random.Random(21)  # noqa: S311 - repeatable on purpose
    return [row.text for row in generate.clean_tickets(drawn, generate.make_customers(drawn), FOREIGN_ROWS)]


def _documentation() -> list[str]:
    """First paragraphs of docstrings, of 30 to 200 characters."""
    import importlib

    found = []
    for name in MODULES:
        members = vars(importlib.import_module(name))
        docs = (inspect.getdoc(members[member]) for member in sorted(members) if callable(members[member]))
        found += [" ".join(doc.split("\n\n")[0].split()) for doc in docs if doc]
    return [text for text in dict.fromkeys(found) if 30 < len(text) < 200][:FOREIGN_ROWS]


def known_of(features: dict[str, npt.NDArray[np.generic]], seed: int) -> Known:
    """A draw of twenty intents that are left out, and the head of the others."""
    random = np.random.default_rng(seed)
    rows, classes = np.asarray(features["banking"], np.float32), features["classes"].astype(str)
    names = random.permutation(np.unique(classes))
    strange = np.isin(classes, names[:LEFT_OUT])
    inside = random.permutation(np.flatnonzero(~strange))
    truth = np.unique(classes[~strange], return_inverse=True)[1]
    number = np.full(len(classes), -1)
    number[~strange] = truth
    parts = np.split(inside, [TRAINED, TRAINED + VALIDATED])
    trained, validation, pool = ((rows[part], number[part].astype(np.int64)) for part in parts)
    weight, bias = head(trained, validation)
    temperature = fit_temperature(validation[1], softmax(validation[0] @ weight.T + bias))
    others = {
        name: np.asarray(found, np.float32) for name, found in features.items() if name not in ("banking", "classes")
    }
    strangers = {"intents left out": rows[strange], **others}
    return Known(weight, bias, temperature, trained, validation, pool, strangers)


def head(
    trained: tuple[Floats, npt.NDArray[np.int64]], validation: tuple[Floats, npt.NDArray[np.int64]]
) -> tuple[Floats, Floats]:
    """The product's frozen baseline: weight and bias, the strength chosen on validation."""
    from playbook.adapt.head import Head, fit_head

    features, truth = validation

    def validate(one: Head) -> tuple[float, float]:
        table = one.probabilities(features)
        loss = float(-np.log(np.maximum(table[np.arange(len(truth)), truth], 1e-12)).mean())
        return float((table.argmax(1) == truth).mean()), loss

    classes = int(trained[1].max()) + 1
    found = fit_head(trained[0], trained[1], classes, np.ones(classes), validate, lambda said: None).head
    return found.weight.numpy(), found.bias.numpy()


def softmax(logits: Floats) -> Floats:
    """Probabilities, shape (rows, classes)."""
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)


def answered(
    known: Known, rows: npt.NDArray[np.int64], scores: Floats, cut: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Confidence of rows of the pool (-1 for strangers), and whether they are right."""
    table = known.probabilities(known.pool[0][rows])
    sure = np.where(scores[rows] > cut, -1.0, table.max(axis=1).astype(np.float64))
    return sure, table.argmax(axis=1) == known.pool[1][rows]


def kept(known: Known, seed: int, error: float) -> dict[str, float]:
    """Of 200 splits of the pool: how often the realised error stays under the stated one, and how much is answered."""
    features, truth = known.pool
    table = known.probabilities(features)
    distances = learn_strangers(*known.trained, features, table.argmax(axis=1))
    random = np.random.default_rng([seed, int(1000 * error)])
    sure, right = table.max(axis=1).astype(np.float64), table.argmax(axis=1) == truth
    realised, naive, shares, nothing = [], [], [], 0
    for _ in range(RESAMPLES):
        order = random.permutation(len(truth))
        chosen, rest = order[:CALIBRATED], order[CALIBRATED:]
        cut = Strangers(distances.rows, distances.classes, distances.scores[chosen]).cut(LEVEL)
        confidence = np.where(distances.scores > cut, -1.0, sure)
        found = guarantee(confidence[chosen], right[chosen], error, FAILURE)
        curve = risk_curve(confidence[chosen], right[chosen])
        allowed = curve.threshold[curve.wrong <= error * curve.answered]
        naive.append(_realised(confidence[rest], right[rest], float(allowed.min()) if len(allowed) else 2.0)[0])
        nothing += found.threshold is None
        wrong, share = _realised(confidence[rest], right[rest], 2.0 if found.threshold is None else found.threshold)
        realised.append(wrong)
        shares.append(share)
    return {
        "draw": seed,
        "error": error,
        "kept": float(np.mean(np.array(realised) <= error)),
        "naive": float(np.mean(np.array(naive) <= error)),
        "mean_error": float(np.mean(realised)),
        "answered": float(np.mean(shares)),
        "nothing": float(nothing / RESAMPLES),
        "all_wrong": float(1 - right.mean()),
        "rows": float(len(truth) - CALIBRATED),
    }


def _realised(
    confidence: npt.NDArray[np.float64], right: npt.NDArray[np.bool_], threshold: float
) -> tuple[float, float]:
    """Error among answered rows (0 where none is) and their share."""
    these = confidence >= threshold
    return (float((~right[these]).mean()) if these.any() else 0.0), float(these.mean())


def chosen_too(known: Known, error: float) -> dict[str, float]:
    """The same where the rows that choose the threshold have chosen the head's strength and its temperature, too."""
    features, truth = known.pool
    random = np.random.default_rng(int(1000 * error) + 7)
    realised = []
    for _ in range(REFITS):
        order = random.permutation(len(truth))
        trained, chosen, rest = np.split(order, [REFIT_ROWS, REFIT_ROWS + CALIBRATED])
        if len(np.unique(truth[trained])) <= truth.max():
            continue
        weight, bias = head((features[trained], truth[trained]), (features[chosen], truth[chosen]))
        tables = [softmax(features[part] @ weight.T + bias) for part in (chosen, rest)]
        temperature = fit_temperature(truth[chosen], tables[0])
        first, second = (scaled(table, temperature) for table in tables)
        found = guarantee(first.max(axis=1).astype(np.float64), first.argmax(axis=1) == truth[chosen], error, FAILURE)
        right, sure = second.argmax(axis=1) == truth[rest], second.max(axis=1).astype(np.float64)
        realised.append(_realised(sure, right, 2.0 if found.threshold is None else found.threshold)[0])
    return {
        "error": error,
        "refits": float(len(realised)),
        "kept": float(np.mean(np.array(realised) <= error)),
        "mean_error": float(np.mean(realised)),
    }


def scores_of(known: Known) -> dict[str, Score]:
    """Scores by name; the product's is `nearest of the answered class`."""
    features, truth = known.trained
    means = np.stack([features[truth == at].mean(0) for at in range(truth.max() + 1)])
    inner, outer = (_precision(rows) for rows in (features - means[truth], features - features.mean(0)))
    unit = _unit(features)
    distances = learn_strangers(features, truth, known.validation[0], known.logits(known.validation[0]).argmax(1))

    def probability(rows: Floats, logits: Floats) -> Floats:
        return -softmax(logits).max(axis=1)

    def energy(rows: Floats, logits: Floats) -> Floats:
        top = logits.max(axis=1)
        return -(top + np.log(np.exp(logits - top[:, None]).sum(axis=1)))

    def mahalanobis(rows: Floats, logits: Floats) -> Floats:
        ours, theirs = rows @ inner, means @ inner
        return ((ours**2).sum(1)[:, None] - 2 * ours @ theirs.T + (theirs**2).sum(1)).min(axis=1)

    def relative(rows: Floats, logits: Floats) -> Floats:
        return mahalanobis(rows, logits) - (((rows - features.mean(0)) @ outer) ** 2).sum(axis=1)

    def neighbours(rows: Floats, logits: Floats) -> Floats:
        return 1 - np.sort(_unit(rows) @ unit.T, axis=1)[:, -NEAREST:].mean(axis=1)

    def own(rows: Floats, logits: Floats) -> Floats:
        return distances.score(rows.astype(np.float32), logits.argmax(axis=1))

    return {
        "maximum probability": probability,
        "energy": energy,
        "Mahalanobis": mahalanobis,
        "relative Mahalanobis": relative,
        "nearest rows": neighbours,
        "nearest rows of the answered class": own,
        "probability and nearest rows": _together(known, probability, neighbours),
        "probability and nearest of the class": _together(known, probability, own),
    }


def _together(known: Known, first: Score, second: Score) -> Score:
    """The sum of two scores, each in spreads of validation's."""
    rows = known.validation[0]
    scales = [(found.mean(), found.std()) for found in (one(rows, known.logits(rows)) for one in (first, second))]

    def both(rows: Floats, logits: Floats) -> Floats:
        parts = (one(rows, logits) for one in (first, second))
        return np.sum([(part - mean) / spread for part, (mean, spread) in zip(parts, scales, strict=True)], axis=0)

    return both


def _precision(rows: Floats) -> Floats:
    """Square root of the inverse covariance, shrunk by 5 % towards a multiple of the identity."""
    covariance = np.cov(rows.T, bias=True)
    width = len(covariance)
    shrunk = 0.95 * covariance + 0.05 * np.trace(covariance) / width * np.eye(width)
    return np.linalg.cholesky(np.linalg.inv(shrunk))


def _unit(rows: Floats) -> Floats:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def separated(known: Known) -> dict[str, dict[str, float]]:
    """ROC-AUC of every score against the pool, by kind of stranger."""
    from sklearn.metrics import roc_auc_score

    inside = known.pool[0]
    found: dict[str, dict[str, float]] = {}
    for name, score in scores_of(known).items():
        ours = score(inside, known.logits(inside))
        for kind, rows in known.strangers.items():
            theirs = score(rows, known.logits(rows))
            truth = np.concatenate([np.zeros(len(ours)), np.ones(len(theirs))])
            found.setdefault(name, {})[kind] = float(roc_auc_score(truth, np.concatenate([ours, theirs])))
    return found


def served(known: Known, seed: int) -> dict[str, float | dict[str, float]]:
    """What is answered at 5 % error, everything chosen on validation: of the pool, and of each kind of stranger."""
    table = known.probabilities(known.validation[0])
    distances = learn_strangers(*known.trained, known.validation[0], table.argmax(axis=1))
    cut = distances.cut(LEVEL)
    sure = np.where(distances.scores > cut, -1.0, table.max(axis=1).astype(np.float64))
    found = guarantee(sure, table.argmax(axis=1) == known.validation[1], 0.05, FAILURE)
    threshold = 2.0 if found.threshold is None else found.threshold

    def share(rows: Floats) -> dict[str, float]:
        answers = known.probabilities(rows)
        far = distances.score(rows.astype(np.float32), answers.argmax(axis=1)) > cut
        half = answers.max(axis=1) > 0.5
        return {
            "flagged": float(far.mean()),
            "over_half": float(half.mean()),
            "answered": float((~far & (answers.max(axis=1) >= threshold)).mean()),
        }

    groups = {"queries of known intents": known.pool[0], **known.strangers}
    right = known.probabilities(known.pool[0]).argmax(axis=1) == known.pool[1]
    answers = known.probabilities(known.pool[0])
    far = distances.score(known.pool[0].astype(np.float32), answers.argmax(axis=1)) > cut
    wrong, _ = _realised(np.where(far, -1.0, answers.max(axis=1).astype(np.float64)), right, threshold)
    return {
        "draw": float(seed),
        "threshold": threshold,
        "temperature": known.temperature,
        "error": wrong,
        "memory_mb": distances.size_mb,
        **{name: share(rows) for name, rows in groups.items()},
    }


if __name__ == "__main__":
    main()
