"""The frozen baseline's head against scikit-learn's logistic regression."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from adapt_samples import silent
from sklearn.linear_model import LogisticRegression
from torch.nn import functional as F

from playbook.adapt import head as module
from playbook.adapt.head import L2_GRID, SETTLED, Head, fit_head
from playbook.adapt.rows import class_weights

CLASSES, WIDTH = 4, 12
ONES = np.ones(CLASSES, np.float32)


def sample(rows: int = 300, seed: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Overlapping classes of unequal size, on features far from zero and of no unit scale."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(CLASSES, rows, p=[0.5, 0.25, 0.2, 0.05])
    labels[:CLASSES] = range(CLASSES)
    centres = rng.normal(size=(CLASSES, WIDTH))
    return (3 + 0.4 * (centres[labels] + rng.normal(size=(rows, WIDTH)))).astype(np.float32), labels


def alike(head: Head) -> tuple[float, float]:
    return 0.5, 0.5


def fit_one(monkeypatch: pytest.MonkeyPatch, l2: float, weights: np.ndarray = ONES) -> module.FittedHead:
    monkeypatch.setattr(module, "L2_GRID", (l2,))
    features, labels = sample()
    return fit_head(features, labels, CLASSES, weights, alike, silent)


# It stops at a gradient of SETTLED, so what is left to go grows as the curvature, l2, shrinks.
@pytest.mark.parametrize(("l2", "within"), [(1e-1, 2e-3), (1e-2, 5e-3), (1e-3, 5e-2)])
@pytest.mark.parametrize("weighting", ["none", "balanced"])
def test_it_equals_scikit_learn(l2: float, within: float, weighting: str, monkeypatch: pytest.MonkeyPatch) -> None:
    features, labels = sample()
    weights = class_weights(labels, CLASSES, weighting)
    fitted = fit_one(monkeypatch, l2, weights)
    scaled = (features - features.mean(0)) / features.std()
    # Theirs is C sum(w_i loss_i) + |W|^2 / 2, ours sum(w_i loss_i) / sum(w_i) + l2 |W|^2 / 2.
    strength = 1 / (float(weights[labels].sum()) * l2)
    balanced = "balanced" if weighting == "balanced" else None
    theirs = LogisticRegression(C=strength, class_weight=balanced, tol=1e-8, max_iter=5000).fit(scaled, labels)
    expected = theirs.predict_proba(scaled)
    assert np.abs(fitted.head.probabilities(features) - expected).max() < within
    assert np.abs(fitted.head.weight.numpy() * features.std() - theirs.coef_).max() < within
    assert 0.3 < expected.max(1).mean() < 0.99, "an easy problem would prove nothing"


@pytest.mark.parametrize("l2", [L2_GRID[0], L2_GRID[-1]])
def test_it_settles(l2: float, monkeypatch: pytest.MonkeyPatch) -> None:
    features, labels = sample()
    fitted = fit_one(monkeypatch, l2)
    assert 0 < fitted.iterations < module.MAX_ITERATIONS
    centre, scale = features.mean(0), float(features.std())
    weight = (fitted.head.weight * scale).requires_grad_()
    bias = (fitted.head.bias + fitted.head.weight @ torch.from_numpy(centre)).detach().requires_grad_()
    inputs = torch.from_numpy((features - centre) / scale)
    loss = F.cross_entropy(F.linear(inputs, weight, bias), torch.from_numpy(labels))
    (loss + 0.5 * l2 * weight.square().sum()).backward()
    assert weight.grad is not None and bias.grad is not None
    assert max(float(weight.grad.abs().max()), float(bias.grad.abs().max())) < 2 * SETTLED


def test_class_weights_by_hand() -> None:
    labels = np.array([0, 0, 0, 0, 1, 1])
    assert class_weights(labels, 2, "none").tolist() == [1.0, 1.0]
    assert class_weights(labels, 2, "balanced").tolist() == [0.75, 1.5]
    assert np.array_equal(class_weights(labels, 2, "resample"), class_weights(labels, 2, "balanced"))
    balanced = class_weights(labels, 2, "balanced")
    assert balanced[labels].mean() == pytest.approx(1)
    assert np.isfinite(class_weights(labels, 3, "balanced")).all(), "a class without rows is not a division by zero"


def test_balanced_weights_help_the_rare_class(monkeypatch: pytest.MonkeyPatch) -> None:
    features, labels = sample()
    rare = labels == 3

    def recall(weighting: str) -> float:
        head = fit_one(monkeypatch, 1e-1, class_weights(labels, CLASSES, weighting)).head
        return float((head.probabilities(features).argmax(1)[rare] == 3).mean())

    assert recall("none") < recall("balanced")


def test_the_strength_that_validates_best_is_kept() -> None:
    features, labels = sample(120)
    others, truth = sample(400, seed=2)
    scores: dict[float, tuple[float, float]] = {}

    def validate(head: Head) -> tuple[float, float]:
        found = head.probabilities(others)
        loss = float(-np.log(found[np.arange(len(truth)), truth]).mean())
        scores[L2_GRID[len(scores)]] = (float((found.argmax(1) == truth).mean()), loss)
        return scores[L2_GRID[len(scores) - 1]]

    fitted = fit_head(features, labels, CLASSES, ONES, validate, silent)
    assert fitted.grid == {l2: metric for l2, (metric, _) in scores.items()}
    assert fitted.l2 == max(scores, key=lambda l2: (scores[l2][0], -scores[l2][1]))
    assert scores[fitted.l2] == (
        float((fitted.head.probabilities(others).argmax(1) == truth).mean()), scores[fitted.l2][1],
    )  # fmt: skip


def test_ties_go_to_the_lower_loss_and_then_to_the_stronger() -> None:
    features, labels = sample(60)
    assert list(L2_GRID) == sorted(L2_GRID, reverse=True)
    assert fit_head(features, labels, CLASSES, ONES, alike, silent).l2 == L2_GRID[0]
    losses = iter([0.9, 0.4, 0.6, 0.4, *[0.8] * 5])
    found = fit_head(features, labels, CLASSES, ONES, lambda head: (0.5, next(losses)), silent)
    assert found.l2 == L2_GRID[1]


def test_the_same_input_gives_the_same_head() -> None:
    features, labels = sample()
    one, two = (fit_head(features, labels, CLASSES, ONES, alike, silent).head for _ in range(2))
    assert torch.equal(one.weight, two.weight) and torch.equal(one.bias, two.bias)


def test_features_that_do_not_differ_are_no_division_by_zero() -> None:
    _, labels = sample(60)
    head = fit_head(np.ones((60, WIDTH), np.float32), labels, CLASSES, ONES, alike, silent).head
    found = head.probabilities(np.ones((1, WIDTH), np.float32))[0]
    assert found == pytest.approx(np.bincount(labels) / 60, abs=1e-3)
