"""The probability from which on a row is said to be of one class: chosen on validation to meet all limits (B8).

By default a row is answered with its likeliest class. A limit on one class (recall of 90 % with 2 % false positives)
often holds at another threshold only. The class is then answered from that probability on, below it the likeliest of
the other classes.

Of the thresholds at which every limit is met by a standard error or more, the one with the fewest wrong rows is taken:
a limit that is met exactly on validation holds on new rows half of the time, and one that is met with all the room
there is may make every answer the same. Where there is none, the worst limit gets the most room, in its standard
errors.

Of two classes without a limit on either, the likeliest class stays the answer where it meets every limit with room, and
where no other threshold is shown to do better: the best of many on a few hundred rows always looks better, and on new
rows is worse (by 0.5 points of accuracy with 300 rows of two even classes). Since it is the best of up to 200, its
paired gain has to be `SHOWN` standard errors rather than the 2 of a single comparison. Where nothing can be gained
(accuracy of calibrated probabilities, 100 to 10,000 rows, the rarer class 5 to 50 % of them), the best of all
thresholds was so far ahead in at most 4 % of simulated validations, and 2 standard errors ahead in up to 15 %. What is
gained with rare classes, in macro-F1 or balanced accuracy, is much more, and is taken where enough rows show it: with
5 % of 1,000 rows 4 points of balanced accuracy, averaged over validations with and without a threshold.

The threshold's uncertainty is that of a bootstrap over rows in which the threshold is chosen again in every
resample (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13); the limits at it are then read from
another resample, so that their intervals have the luck of the choice and that of the rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from playbook.statistics.answers import Answers
from playbook.statistics.metric import Metric
from playbook.statistics.values import Floats, worst_value

MOST_THRESHOLDS = 200
ROOM = 1.0  # standard errors by which a limit is to be met
SHOWN = 2.5  # standard errors above which a gain over the likeliest class is taken for one: the best of up to 200
EVEN = 0.5
RESAMPLES = 200
Probabilities = npt.NDArray[np.floating[Any]]
Labels = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Threshold:
    """Class `number` is answered where its probability is at least `value`."""

    number: int
    value: float


@dataclass(frozen=True, eq=False)
class ChosenPoint:
    """A threshold with its uncertainty.

    `thresholds` (candidates,) and `values` (limits, candidates) are the curve; `place` is the chosen candidate.
    `interval` is of the threshold, `intervals` are of the limits at it, in the order of the limits.
    """

    threshold: Threshold
    interval: tuple[float, float]
    thresholds: Floats
    values: Floats
    place: int
    intervals: tuple[tuple[float, float], ...]
    at_argmax: tuple[float, ...]  # the limits where every row is answered with its likeliest class


def decide(probabilities: Probabilities, threshold: Threshold | None = None) -> npt.NDArray[np.int64]:
    """The one function that makes classes of probabilities, shape (rows, classes) -> (rows,).

    Without a threshold the likeliest class, the first one on a tie.
    """
    if threshold is None:
        return np.asarray(probabilities.argmax(axis=1), np.int64)
    others = np.array(probabilities, np.float64)
    others[:, threshold.number] = -1.0
    chosen = probabilities[:, threshold.number] >= threshold.value
    return np.where(chosen, threshold.number, others.argmax(axis=1)).astype(np.int64)


def answers_at(probabilities: Probabilities, threshold: Threshold | None = None) -> Answers:
    """Decided classes beside their probabilities, as metrics take them."""
    return Answers(decide(probabilities, threshold), probabilities)


def choose_point(
    metrics: Sequence[Metric], number: int, truth: Labels, probabilities: Probabilities, seed: int = 0
) -> ChosenPoint | None:
    """The threshold of a class that meets all limits with the most room; None where no limit depends on classes.

    Args:
        metrics: the limits, bound to the classes; those of probabilities alone do not depend on a threshold.
        number: of the class.
        truth: true classes of validation, shape (rows,).
        probabilities: calibrated, of the same rows, shape (rows, classes).
        seed: of the bootstrap.

    Raises:
        ValueError: no rows.
    """
    asked = [metric for metric in metrics if not metric.needs_probabilities]
    if not asked:
        return None
    _require_rows(truth)
    random = np.random.default_rng(seed)
    drawn_rows = random.multinomial(len(truth), np.full(len(truth), 1 / len(truth)), size=2 * RESAMPLES)
    curve = _curve(asked, number, truth, probabilities, drawn_rows.astype(float))
    place, *places = [curve.place(at) for at in range(1 + RESAMPLES)]
    drawn = curve.thresholds[places]
    tail = (1 - asked[0].confidence) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail])
    there = curve.values[:, places, 1 + RESAMPLES + np.arange(RESAMPLES)]  # (limits, resamples)
    best, values = float(curve.thresholds[place]), curve.values[:, :, 0]
    return ChosenPoint(
        threshold=Threshold(number, best),
        interval=(min(float(low), best), max(float(high), best)),
        thresholds=curve.thresholds,
        values=values,
        place=place,
        intervals=tuple(
            (min(float(a), float(v)), max(float(b), float(v)))
            for (a, b), v in zip(np.quantile(there, [tail, 1 - tail], axis=1).T, values[:, place], strict=True)
        ),
        at_argmax=tuple(metric.value(truth, answers_at(probabilities)) for metric in asked),
    )


def best_threshold(
    metrics: Sequence[Metric], number: int, truth: Labels, probabilities: Probabilities
) -> Threshold | None:
    """The threshold of `choose_point` without its uncertainty, in a hundredth of the time."""
    asked = [metric for metric in metrics if not metric.needs_probabilities]
    if not asked:
        return None
    curve = _curve(asked, number, truth, probabilities, np.zeros((0, len(truth))))
    return Threshold(number, float(curve.thresholds[curve.place(0)]))


@dataclass(frozen=True, eq=False)
class _Curve:
    """Every candidate with what the limits come to there.

    Columns: the rows themselves, then each resample of them. `values` and `room`, which is in standard errors of a
    limit, have shape (limits, candidates, columns), `right` rows (candidates, columns).
    """

    metrics: Sequence[Metric]
    truth: Labels
    thresholds: Floats
    decided: Labels  # classes at each candidate, shape (candidates, rows)
    values: Floats
    room: Floats
    right: Floats
    likeliest: int | None  # the candidate at which every row gets its likeliest class, where that is to be left last
    errors: dict[tuple[int, int], float] = field(default_factory=dict)

    def place(self, column: int) -> int:
        """The candidate that is chosen on one column's rows, the likeliest class where none is shown to be better."""
        worst = self.room[:, :, column].min(axis=0)
        best, plain = _best(worst, self.right[:, column]), self.likeliest
        if plain is None or best == plain:
            return best
        limit = int(self.room[:, plain, column].argmin())
        before, after = self.values[limit, [plain, best], column]
        shown = self.metrics[limit].gain(before, after) > SHOWN * self._error(limit, best)
        return best if worst[plain] < ROOM and shown else plain

    def _error(self, limit: int, place: int) -> float:
        """Standard error of a candidate's gain over the likeliest class in one limit, paired."""
        if self.likeliest is None:
            return 0.0
        if (limit, place) not in self.errors:
            plain, other = (Answers(self.decided[at]) for at in (self.likeliest, place))
            self.errors[limit, place] = self.metrics[limit].difference(self.truth, plain, other).standard_error
        return self.errors[limit, place]


def _curve(
    metrics: Sequence[Metric], number: int, truth: Labels, probabilities: Probabilities, resamples: Floats
) -> _Curve:
    _require_rows(truth)
    thresholds, likeliest = candidates(probabilities[:, number], truth == number), None
    if probabilities.shape[1] == 2 and all(metric.of_class is None for metric in metrics):
        thresholds = np.union1d(thresholds, [EVEN])
        likeliest = int(np.searchsorted(thresholds, EVEN))
    decided = _decided(probabilities, number, thresholds)
    weights = np.vstack([np.ones(len(truth)), resamples])
    values = np.stack([_known(metric, truth, decided, weights) for metric in metrics])
    errors = np.stack([_errors(metric, truth, decided) for metric in metrics])
    room = np.stack([metric.sign * (found - metric.limit.bound) for metric, found in zip(metrics, values, strict=True)])
    right = (decided == truth).astype(float) @ weights.T
    return _Curve(metrics, truth, thresholds, decided, values, room / errors[:, :, None], right, likeliest)


def _decided(probabilities: Probabilities, number: int, thresholds: Floats) -> npt.NDArray[np.int64]:
    """What `decide` says at each threshold, shape (thresholds, rows)."""
    others = decide(probabilities, Threshold(number, np.inf))
    from_on = thresholds.astype(probabilities.dtype)[:, None]  # as `decide` compares them
    return np.where(probabilities[:, number] >= from_on, number, others).astype(np.int64)


def _require_rows(truth: Labels) -> None:
    if not len(truth):
        raise ValueError("expected validation rows to choose a threshold on, found none")


def candidates(probabilities: npt.NDArray[np.floating[Any]], own: npt.NDArray[np.bool_]) -> Floats:
    """Thresholds between the distinct probabilities of a class, at most 200 of them, in rising order.

    Where there are more, those are left out that do worst. Just below a row of the class the recall is what it is at
    any threshold down to the next such row, with the fewest rows of other classes beside it; just above a row of
    another class it is the other way round. So thresholds are taken at rows of the class and at rows of the others,
    all of them where they are few, else spread over their ranks. The steps are even in the arcsine of the rank's root,
    which is even in standard errors of a share: denser at both ends, where recall is high and false positives are few.

    Args:
        probabilities: of the class, shape (rows,).
        own: whether a row is of the class, shape (rows,).
    """
    distinct = np.unique(probabilities.astype(np.float64))
    between = (distinct[1:] + distinct[:-1]) / 2
    found = np.concatenate([[distinct[0] / 2], between, [(distinct[-1] + 1) / 2]])
    if len(found) > MOST_THRESHOLDS:
        place = np.searchsorted(distinct, probabilities.astype(np.float64))  # of the threshold just below each row
        below, above = np.unique(place[own]), np.unique(place[~own] + 1)
        room = MOST_THRESHOLDS - 2
        half = room // 2
        most_below = max(half, room - len(above))
        chosen = [_spread(below, most_below), _spread(above, room - min(len(below), most_below))]
        found = found[np.unique(np.concatenate([[0, len(found) - 1], *chosen]))]
    return np.unique(found)


def _spread(places: npt.NDArray[np.intp], most: int) -> npt.NDArray[np.intp]:
    """At most so many of the places, both ends among them; see `candidates`."""
    if len(places) <= most:
        return places
    shares = np.sin(np.linspace(0, np.pi / 2, most)) ** 2
    return places[(shares * (len(places) - 1)).round().astype(int)]


def _known(metric: Metric, truth: Labels, decided: Labels, weights: Floats) -> Floats:
    found = metric.values_of_many(truth, decided, weights)
    return np.where(np.isnan(found), worst_value(metric.name), found)


def _errors(metric: Metric, truth: Labels, decided: Labels) -> Floats:
    """Standard error of a limit at its bound at each threshold, shape (thresholds,).

    Of what is not a share of rows, that of as many rows as there are.
    """
    counted = metric.proportion(truth, decided)
    if counted is not None:
        rows = np.broadcast_to(counted[0].sum(axis=-1), len(decided))
    elif metric.of_class is not None:
        rows = ((truth == metric.of_class) | (decided == metric.of_class)).sum(axis=1)
    else:
        rows = np.full(len(decided), len(truth))
    some = np.maximum(rows, 1)
    bound = np.minimum(np.maximum(metric.limit.bound, 0.5 / some), 1 - 0.5 / some)
    found = np.sqrt(bound * (1 - bound) / some)
    return np.where(found == 0, 1.0, found)


def _best(worst: Floats, right: Floats) -> int:
    """The candidate with enough room and the most right rows, else that with the most room; of several the middle."""
    enough = worst >= ROOM
    judged = np.where(enough, right, -1.0) if enough.any() else worst
    best = np.flatnonzero(judged >= judged.max() - 1e-9)
    return int(best[len(best) // 2])
