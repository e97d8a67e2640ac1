"""The frozen probe: a logistic head on the features of a base, the same rows and the same strength for everybody.

Nothing is chosen on the validation rows, so the score needs no correction. How much it hangs on the training rows is
seen from bootstrap resamples of them, drawn within each class (Efron and Tibshirani 1993). One fit
serves all heads.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from playbook.artifacts import Score
from playbook.data.tables import LABEL, TEXT
from playbook.errors import DataError
from playbook.spec import TaskSpec
from playbook.statistics.answers import Answers
from playbook.statistics.metric import target_metric

L2 = 1e-3  # on standardised features, loss in nats per row; the middle of the frozen baseline's grid
SETTLED = 1e-4  # largest entry of the gradient
MAX_ITERATIONS = 300


@dataclass(frozen=True)
class Slice:
    """Texts and class numbers, shape (rows,), of the probe's rows of one split."""

    texts: list[str]
    labels: np.ndarray


@dataclass(frozen=True)
class Probe:
    """What the probe of one base found; `answers` are those to the validation slice."""

    score: Score
    answers: Answers
    resampled: tuple[float, ...]
    spread: float


def take_slice(spec: TaskSpec, frame: pd.DataFrame, rows: int) -> Slice:
    """At most `rows` rows of a prepared table, classes in proportion, drawn with the task's seed, in table order.

    Raises:
        DataError: a table without rows, or a label that is not a class of the task.
    """
    number = {label: place for place, label in enumerate(spec.labels)}
    unknown = sorted(set(frame[LABEL]) - set(number))
    if frame.empty or unknown:
        raise DataError(
            f"expected rows with the classes {list(number)}, found {unknown[:5] or 'no rows'}; prepare again"
        )
    labels = frame[LABEL].map(number).to_numpy(np.int64)
    chosen = stratified(labels, rows, spec.adaptation.seed)
    return Slice([str(text) for text in frame[TEXT].iloc[chosen]], labels[chosen])


def stratified(labels: np.ndarray, rows: int, seed: int) -> np.ndarray:
    """Places of `rows` of the labels, shape (rows,), sorted: every class in proportion, and at least one of each."""
    if rows >= len(labels):
        return np.arange(len(labels))
    rng = np.random.default_rng(seed)
    classes, counts = np.unique(labels, return_counts=True)
    share = counts * rows / len(labels)
    quota = np.maximum(np.floor(share).astype(int), 1)
    for at in np.argsort(-(share - np.floor(share)), kind="stable"):  # largest remainders first
        quota[at] += int(quota.sum() < rows and quota[at] < counts[at])
    places = [
        rng.permutation(np.flatnonzero(labels == label))[:most] for label, most in zip(classes, quota, strict=True)
    ]
    return np.sort(np.concatenate(places))


def probe_base(
    spec: TaskSpec, train: tuple[np.ndarray, np.ndarray], validation: tuple[np.ndarray, np.ndarray]
) -> Probe:
    """Fit the head on the training slice and on its resamples, and score each on the validation slice.

    `train` and `validation` are features, float32 (rows, width), and class numbers (rows,).
    """
    from playbook.adapt.rows import class_weights

    metric, classes = target_metric(spec), len(spec.labels)
    features, labels = train
    counted = class_weights(labels, classes, spec.adaptation.class_weighting)[labels].astype(np.float64)
    drawn = resample_within_classes(labels, spec.bake_off.resamples, spec.adaptation.seed)
    weights = np.concatenate([np.ones((1, len(labels))), drawn]) * counted
    answers = fit_and_answer(features, labels, classes, weights, validation[0])
    scores = [metric.value(validation[1], answer) for answer in answers[1:]]
    return Probe(metric.score(validation[1], answers[0]), answers[0], tuple(scores), float(np.std(scores, ddof=1)))


def resample_within_classes(labels: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """How often each row is drawn in each bootstrap resample, shape (resamples, rows); classes keep their sizes."""
    rng = np.random.default_rng([seed, 1])
    weights = np.zeros((resamples, len(labels)))
    for label in np.unique(labels):
        places = np.flatnonzero(labels == label)
        weights[:, places] = rng.multinomial(len(places), np.full(len(places), 1 / len(places)), size=resamples)
    return weights


def fit_and_answer(
    features: np.ndarray, labels: np.ndarray, classes: int, weights: np.ndarray, asked: np.ndarray
) -> list[Answers]:
    """Answers of logistic heads, one per row of `weights` (heads, rows), each fitted on the rows so weighted.

    One L-BFGS for all heads (Liu and Nocedal 1989): their losses do not mix, so each ends in its own minimum, and one
    matrix product serves all of them. Features are centred and scaled by one number, as for the frozen baseline.

    Returns:
        The answers of every head to the rows of `asked`.
    """
    import torch
    from torch.nn import functional as F

    heads, width = len(weights), features.shape[1]
    centre, scale = features.mean(0), float(features.std()) or 1.0
    inputs, targets = torch.from_numpy((features - centre) / scale), torch.from_numpy(labels)
    shares = torch.from_numpy((weights / weights.sum(1, keepdims=True)).astype(np.float32))
    weight = torch.zeros(heads * classes, width, requires_grad=True)
    bias = torch.zeros(heads * classes, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [weight, bias], max_iter=MAX_ITERATIONS, history_size=20, tolerance_grad=SETTLED, tolerance_change=1e-9,
        line_search_fn="strong_wolfe",
    )  # fmt: skip

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        logits = F.linear(inputs, weight, bias).view(len(labels), heads, classes).transpose(1, 2)
        rows = F.cross_entropy(logits, targets[:, None].expand(-1, heads), reduction="none")
        value = (rows * shares.T).sum() + 0.5 * L2 * weight.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    with torch.no_grad():
        logits = F.linear(torch.from_numpy((asked - centre) / scale), weight, bias)
    logits = logits.view(len(asked), heads, classes)
    said, probabilities = logits.argmax(2).numpy(), logits.softmax(2).numpy()
    return [Answers(said[:, head], probabilities[:, head]) for head in range(heads)]
