"""How likely each label is wrong, and how many of a queue's labels are: an estimate with its range (3.1).

A label that a model finds improbable may be wrong, or the text may be one on which labels differ. What tells the two
apart is how probabilities fall: doubt about a text fades with the distance from the border between two classes, a slip
of the labeller does not. So the labels are read as a mixture: with probability 1 - e the label is drawn from
the model's probabilities, sharpened or flattened by a temperature (Guo et al., ICML 2017) and weighted so that every
class keeps its share (Alexandari et al., ICML 2020: else a small class that the model cannot see would be taken for
slips); and with probability e it was changed into another one. Temperature and e are those that explain the labels
best. This is the forward model of
label noise (Patrini et al., CVPR 2017) with out-of-fold probabilities in place of a network, and with the lapse rate
that psychometric functions have for the same reason (Wichmann and Hill, Perception & Psychophysics 63 (2001)
1293-1313). The probability that a label is wrong is its share of the mixture (Bayes).

Labels are read in two ways, because the data does not say which is true:

- even: a wrong label is any other class;
- paired: it follows habits, which expectation maximisation finds from the disagreements themselves. Classes that are
  close by nature look like such habits.

The first says too little where two classes are mistaken for one another, the second too much where texts are
ambiguous. The estimate is the mean of both. The range reaches from the lower end of the lower to the upper end of the
higher, and `SHAPE` beyond them for errors of yet another kind. Labels that a person has looked at since are known to
be right or wrong, and teach both. docs/labels.md has what the estimate is worth on planted errors.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from playbook.artifacts import Figure

Floats = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]
TEMPERATURES = np.geomspace(0.25, 2.0, 13)
RATES = np.concatenate([[0.0], np.geomspace(0.002, 0.3, 20)])  # of wrong labels
LEARNING_RATE = 0.005  # at the least, while habits are learned: without any error there are none to learn
ROUNDS = 6  # of expectation maximisation
BALANCING = 8  # rounds that give every class its share
PRIOR_ROWS = 5.0  # of a class: that many errors, evenly over the other classes, are added to those that were found
SHAPE = 0.15
DRAWS, CONFIDENCE = 400, 0.95
TINY = 1e-12


@dataclass(frozen=True)
class Reading:
    """Probabilities of each label, right (`own`) and changed (`other`), by temperature: shape (rows, temperatures).

    `merit` is the log-likelihood, shape (temperatures, rates).
    """

    own: Floats
    other: Floats
    merit: Floats

    @property
    def best(self) -> tuple[int, int]:
        """Places of the temperature and the rate that explain the labels best."""
        temperature, rate = np.unravel_index(self.merit.argmax(), self.merit.shape)
        return int(temperature), int(rate)

    @property
    def wrong(self) -> Floats:
        """Probability that each label is wrong, shape (rows,)."""
        temperature, rate = self.best
        return _share(self.own[:, temperature], self.other[:, temperature], RATES[rate])

    def counts(self, rows: Numbers, random: np.random.Generator) -> Floats:
        """Draws of how many of the rows' labels are wrong, shape (draws,): uncertain in the parameters and by luck."""
        weight = np.exp(self.merit - self.merit.max()).ravel()
        drawn = random.choice(weight.size, DRAWS, p=weight / weight.sum())
        temperature, rate = np.unravel_index(drawn, self.merit.shape)
        chance = _share(self.own[rows][:, temperature], self.other[rows][:, temperature], RATES[rate][None])
        return (random.random(chance.shape) < chance).sum(axis=0).astype(np.float64)


@dataclass(frozen=True)
class Noise:
    """Both readings of the same labels."""

    even: Reading
    paired: Reading

    @property
    def wrong(self) -> Floats:
        """Estimated probability that each label is wrong, shape (rows,)."""
        return (self.even.wrong + self.paired.wrong) / 2

    def among(self, rows: Numbers, seed: int) -> Figure:
        """How many of the rows' labels are wrong, with the range."""
        random, value = np.random.default_rng([seed, 5]), float(self.wrong[rows].sum())
        drawn = [reading.counts(rows, random) for reading in (self.even, self.paired)]
        low = (1 - SHAPE) * min(np.quantile(one, 0.5 - CONFIDENCE / 2) for one in drawn)
        high = (1 + SHAPE) * max(np.quantile(one, 0.5 + CONFIDENCE / 2) for one in drawn)
        return Figure(value=value, low=min(float(low), value), high=max(min(float(high), float(len(rows))), value))


def read_noise(probabilities: Floats, given: Numbers, reviewed: Numbers | None = None) -> Noise:
    """Both readings.

    Args:
        probabilities: of models that have not seen the row, shape (rows, classes).
        given: labels as they were given, class numbers, shape (rows,).
        reviewed: labels that a person found since, -1 where nobody looked, shape (rows,).
    """
    known = np.full(len(given), -1) if reviewed is None else reviewed
    logs = np.log(np.maximum(probabilities, 1e-9))
    classes = probabilities.shape[1]
    even = np.full((classes, classes), 1 / max(classes - 1, 1))
    np.fill_diagonal(even, 0.0)
    return Noise(_reading(logs, given, known, even), _paired(logs, given, known))


def _paired(logs: Floats, given: Numbers, known: Numbers) -> Reading:
    at, likeliest, classes = np.arange(len(given)), logs.argmax(axis=1), logs.shape[1]
    weight = np.exp(logs[at, likeliest]) - np.exp(logs[at, given])
    found = np.zeros((classes, classes))
    np.add.at(found, (likeliest, given), weight)
    for last in range(ROUNDS - 1, -1, -1):
        habits = _habits(found)
        reading = _reading(logs, given, known, habits)
        if not last:
            break
        temperature, rate = reading.best
        only = TEMPERATURES[temperature : temperature + 1]
        truth = next(_sharpened(logs, only, _shares(given, classes))) * habits[:, given].T
        truth /= np.maximum(truth.sum(axis=1, keepdims=True), TINY)
        truth[known >= 0] = np.eye(classes)[known[known >= 0]]
        own, other = reading.own[:, temperature], reading.other[:, temperature]
        found = np.zeros((classes, classes))
        np.add.at(found.T, given, truth * _share(own, other, max(RATES[rate], LEARNING_RATE))[:, None])
    return reading


def _habits(found: Floats) -> Floats:
    """Which class an error turns each class into, rows of one, from how often it was found."""
    classes = len(found)
    habits = found + PRIOR_ROWS / max(classes - 1, 1)
    np.fill_diagonal(habits, 0.0)
    return habits / np.maximum(habits.sum(axis=1, keepdims=True), TINY)


def _reading(logs: Floats, given: Numbers, known: Numbers, habits: Floats) -> Reading:
    own = np.empty((len(given), len(TEMPERATURES)))
    other, at, into = np.empty_like(own), np.arange(len(given)), habits[:, given].T
    seen, changed = known >= 0, (known >= 0) & (known != given)
    for column, table in enumerate(_sharpened(logs, TEMPERATURES, _shares(given, logs.shape[1]))):
        own[:, column] = table[at, given]
        other[:, column] = np.einsum("rc,rc->r", table, into)
        other[changed, column] = table[changed, known[changed]] * habits[known[changed], given[changed]]
    own[changed], other[seen & ~changed] = 0.0, 0.0
    merit = np.array([np.log((1 - rate) * own + rate * other + TINY).sum(axis=0) for rate in RATES]).T
    return Reading(own, other, merit)


def _shares(given: Numbers, classes: int) -> Floats:
    return np.bincount(given, minlength=classes) / len(given)


def _sharpened(logs: Floats, temperatures: Floats, shares: Floats) -> Iterator[Floats]:
    """Probabilities at each temperature, of which every class has its share, shape (rows, classes)."""
    for temperature in temperatures:
        table = np.exp((logs - logs.max(axis=1, keepdims=True)) / temperature)
        table /= table.sum(axis=1, keepdims=True)
        for _ in range(BALANCING):
            table *= shares / np.maximum(table.mean(axis=0), TINY)
            table /= np.maximum(table.sum(axis=1, keepdims=True), TINY)
        yield table


def _share(own: Floats, other: Floats, rate: Floats | float) -> Floats:
    wrong = rate * other
    return np.asarray(wrong / ((1 - rate) * own + wrong + TINY))
