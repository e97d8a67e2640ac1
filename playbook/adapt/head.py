"""The frozen baseline's head: multinomial logistic regression on pooled features, trained until it settles.

Strongly convex, so there is one answer and no learning rate to be lucky with: L-BFGS (Liu and Nocedal 1989) on the full
batch, the L2 strength chosen on validation, each strength started from the last stronger one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

L2_GRID = (1e-1, 3e-2, 1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5)
SETTLED = 1e-4  # largest entry of the gradient at which the head counts as settled (loss in nats)
MAX_ITERATIONS = 500


@dataclass(frozen=True)
class Head:
    """A linear head: `weight` (classes, width), `bias` (classes,), float32."""

    weight: torch.Tensor
    bias: torch.Tensor

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """Class probabilities, float32 of shape (rows, classes)."""
        logits = F.linear(torch.from_numpy(features), self.weight, self.bias)
        return logits.softmax(1).numpy()


@dataclass(frozen=True)
class FittedHead:
    """The chosen head with its strength, the metric of every strength, and the iterations it took to settle."""

    head: Head
    l2: float
    grid: dict[float, float]
    iterations: int


def fit_head(
    features: np.ndarray,
    labels: np.ndarray,
    classes: int,
    class_weight: np.ndarray,
    validate: Callable[[Head], tuple[float, float]],
    report: Callable[[str], None],
    sign: int = 1,
    strengths: Sequence[float] | None = None,
) -> FittedHead:
    """Fit every strength and keep the one that validates best; a tie goes to the stronger one.

    `features` is float32 (rows, width); `validate` maps a head to its (metric, log loss) on
    validation. The features are centred and scaled by one number for conditioning; the
    returned head takes them as they are. `sign` is -1 where a lower metric is better. `strengths` come strongest first
    and are those of L2_GRID if none are given.
    """
    centre, scale = features.mean(0), float(features.std()) or 1.0
    inputs = torch.from_numpy((features - centre) / scale)
    targets = torch.from_numpy(labels)
    weights = torch.from_numpy(class_weight.astype(np.float32))
    weight = torch.zeros(classes, features.shape[1], requires_grad=True)
    bias = torch.zeros(classes, requires_grad=True)
    best: tuple[tuple[float, float], float, Head] | None = None
    grid, iterations = {}, 0
    for l2 in strengths or L2_GRID:
        iterations += _settle(weight, bias, inputs, targets, weights, l2)
        plain = weight.detach() / scale
        head = Head(plain.clone(), bias.detach() - plain @ torch.from_numpy(centre))
        metric, loss = validate(head)
        grid[l2] = metric
        report(f"head with L2 {l2:g}: validation {metric:.4f}")
        merit = (sign * metric, -loss)
        if best is None or merit > best[0]:
            best = (merit, l2, head)
    assert best is not None
    return FittedHead(best[2], best[1], grid, iterations)


def strengths_near(l2: float) -> tuple[float, ...]:
    """The strength of L2_GRID that is nearest in ratio, and its neighbours, strongest first."""
    nearest = int(np.abs(np.log(np.array(L2_GRID) / l2)).argmin())
    return L2_GRID[max(nearest - 1, 0) : nearest + 2]


def _settle(
    weight: torch.Tensor,
    bias: torch.Tensor,
    inputs: torch.Tensor,
    targets: torch.Tensor,
    weights: torch.Tensor,
    l2: float,
) -> int:
    optimizer = torch.optim.LBFGS(
        [weight, bias],
        max_iter=MAX_ITERATIONS,
        history_size=20,
        tolerance_grad=SETTLED,
        tolerance_change=1e-9,
        line_search_fn="strong_wolfe",
    )

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        value = F.cross_entropy(F.linear(inputs, weight, bias), targets, weight=weights)
        value = value + 0.5 * l2 * weight.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    return int(optimizer.state[weight]["n_iter"])
