"""What twice the rows would add, from the steps of a learning curve, with an interval that holds (3.10).

Learning curves mostly follow a power law, score(n) = a - b n^-c (Cortes et al., NIPS 1993; Viering and Loog, IEEE TPAMI
45 (2023) 7799-7819). Then the steps from one size to the next follow from two numbers: the gain G of the next doubling,
and c, by which each doubling adds 2^-c times what the one before added. Neither is fitted alone: for every c of a grid,
G has a normal distribution given the measured steps, and the c's count by how well they explain the steps, times a
prior. c may be below zero, because curves of few rows can still grow faster.

What is not known, and goes into the interval:

- the validation rows: steps are differences on the same rows, and the covariance of all steps comes from a bootstrap
  over rows and series;
- which rows were drawn: the score at all rows is of one sample, whose deviation is seen between subsamples;
- the law: a step counts the less, the farther back it lies (`MISFIT` of its size per step);
- the rows to come: the next rows are a sample, too.

The interval is of the gain in the score on new rows like these. Measured again on a small validation split, the gain
scatters by the split's own noise besides. It does not know of data of another kind, or of a base that is adapted.

`MISFIT`, `SAMPLE` and the prior were chosen on made-up features and on product reviews; docs/learning_curve.md has how
often the interval holds on data that nothing was chosen on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
EXPONENTS = np.linspace(-0.5, 1.6, 86)  # 0 is not among them
MEAN_EXPONENT, SPREAD_EXPONENT = 0.4, 0.35  # of the prior
MISFIT = 0.2  # of a step's size, for each step that lies between it and the next one
SAMPLE = 0.6  # of the variance between samples, for the present rows and for the next ones
DRAWS = 4000
SMALLEST = 1e-8  # variance of a step


@dataclass(frozen=True)
class Steps:
    """A measured curve: mean scores by size, more being better, and how well the steps between them are known.

    `sizes` and `scores` have shape (sizes,), `noise` is the covariance of the steps, (sizes - 1, sizes - 1); `between`
    is the deviation of a score between samples of all rows, `highest` the best that the metric can be, and `sign` -1
    where the metric was turned.
    """

    sizes: Floats
    scores: Floats
    noise: Floats
    between: float
    highest: float
    sign: int


@dataclass(frozen=True)
class Outlook:
    """Gain of twice the rows: its mean, and draws of gain and exponent, each of shape (draws,)."""

    steps: Steps
    gain: float
    exponent: float
    gains: Floats
    exponents: Floats

    @property
    def again(self) -> float:
        """By how much a gain that is measured on the same validation rows misses that on new rows, 95 of 100 times."""
        return 1.96 * float(np.sqrt(np.atleast_2d(self.steps.noise)[-1, -1]))

    @property
    def ratio(self) -> float:
        """What a doubling adds, in parts of the one before."""
        return float(2**-self.exponent)

    def expected(self, rows: npt.ArrayLike) -> Floats:
        """The metric along the mean law, which goes through the score at all rows; shape (rows,)."""
        return self._along(rows, np.array([self.gain]), np.array([self.exponent]))[0]

    def drawn(self, rows: npt.ArrayLike) -> Floats:
        """The metric along every draw, shape (draws, rows)."""
        return self._along(rows, self.gains, self.exponents)

    def _along(self, rows: npt.ArrayLike, gains: Floats, exponents: Floats) -> Floats:
        n = np.atleast_1d(np.asarray(rows, dtype=np.float64)) / self.steps.sizes[-1]
        part = (1 - n[None] ** -exponents[:, None]) / (1 - 2.0 ** -exponents[:, None])
        return self.steps.sign * (self.steps.scores[-1] + gains[:, None] * part)


def outlook(steps: Steps, seed: int) -> Outlook:
    """What the steps say of twice the rows; deterministic by `seed`."""
    taken = np.diff(steps.scores)
    back = np.arange(len(taken), 0, -1)  # steps between each and the next one
    variance = (MISFIT * back * taken) ** 2 + SMALLEST
    variance[-1] += SAMPLE * steps.between**2
    inverse = np.linalg.inv(np.atleast_2d(steps.noise) + np.diag(variance))
    share = steps.sizes / steps.sizes[-1]
    fall = share[None] ** -EXPONENTS[:, None]
    shape = -np.diff(fall, axis=1) / (1 - 2.0 ** -EXPONENTS[:, None])  # steps in units of the next gain
    precision = np.einsum("ci,ij,cj->c", shape, inverse, shape)
    mean = shape @ inverse @ taken / precision
    left = taken - mean[:, None] * shape
    merit = -0.5 * np.einsum("ci,ij,cj->c", left, inverse, left) - 0.5 * np.log(precision)
    merit -= 0.5 * ((EXPONENTS - MEAN_EXPONENT) / SPREAD_EXPONENT) ** 2
    weight = np.exp(merit - merit.max())
    random = np.random.default_rng([seed, 3])
    chosen = random.choice(len(EXPONENTS), DRAWS, p=weight / weight.sum())
    spread = np.sqrt(1 / precision[chosen] + SAMPLE * steps.between**2)
    gains = np.minimum(random.normal(mean[chosen], spread), steps.highest - steps.scores[-1])
    exponent = float(weight @ EXPONENTS / weight.sum())
    return Outlook(steps, float(gains.mean()), exponent or SMALLEST, gains, EXPONENTS[chosen])
