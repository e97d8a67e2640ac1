"""TF-IDF with logistic regression, as strong as its kind is cheaply: the reference that a model has to beat (1.7).

Features (words, or words and character sequences), the strength C, and class weights are chosen by cross-validation on
training rows, so that its score on validation is one of rows that chose nothing. Folds keep groups together and
classes in proportion. The choice goes step by step, features first, then C, then weights, each by the target's metric
over the pooled out-of-fold answers; the simpler one wins a tie. It looks at no more than `SEARCH_ROWS` rows; the chosen
model is then fitted on all of them.

Class weights are tried where the metric gives rare classes more weight than their rows have: balanced accuracy,
macro-F1, and recall or F1 of a class. For other metrics the task file's `adaptation.class_weighting` holds.

Deterministic: folds and subsample follow the seed of the task file.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from playbook.artifacts import TfidfChoice
from playbook.data.learning_curve import nested_order
from playbook.data.text_features import FeatureKind, text_features
from playbook.spec import TaskSpec
from playbook.statistics.metric import Metric, target_metric

STRENGTHS = (1.0, 3.0, 10.0, 30.0)  # inverse regularisation C, ascending: each fit starts from the one before
FIRST = 10.0  # C with which the features are compared
KINDS: tuple[FeatureKind, ...] = ("words", "words and characters")
FOLDS = 3
SEARCH_ROWS = 2000  # 77 classes: about twice the seconds of the fit on all 8,500 rows
WEIGHTED_METRICS = ("balanced_accuracy", "macro_f1", "recall", "f1")
STEP, MOST_STEPS = 1e-5, 500  # of the solver; it sees mean losses, and 1e-4 stops before the first step at C = 100
Numbers = npt.NDArray[np.int64]
Probabilities = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Predictor:
    """A reference fitted on counts; `model` and `features` are scikit-learn objects, None for the majority class."""

    prior: Probabilities  # shape (classes,)
    features: Any = None
    model: Any = None

    def probabilities(self, texts: Sequence[str]) -> Probabilities:
        """One probability per class, shape (texts, classes), classes in the order of `TaskSpec.labels`."""
        if self.model is None:
            return np.tile(self.prior, (len(texts), 1))
        found = np.zeros((len(texts), len(self.prior)))
        if len(texts):
            found[:, self.model.classes_] = self.model.predict_proba(self.features.transform(texts))
        return found

    def predict(self, texts: Sequence[str]) -> Numbers:
        """Most probable class of every text, shape (texts,); the first one on a tie."""
        return self.probabilities(texts).argmax(axis=1)


def majority(truth: Numbers, classes: int) -> Predictor:
    """Always the most frequent class; its probabilities are the shares of the classes."""
    counts = np.bincount(truth, minlength=classes)
    return Predictor(counts / counts.sum())


def fit_tfidf(
    spec: TaskSpec,
    texts: list[str],
    truth: Numbers,
    groups: Sequence[str] | None = None,
    chosen: TfidfChoice | None = None,
) -> tuple[Predictor, TfidfChoice]:
    """Choose and fit the reference on training rows.

    Args:
        spec: the task.
        texts: of the training rows.
        truth: their class numbers, shape (rows,).
        groups: rows of one group are kept in one fold; None where there are none.
        chosen: what an earlier call chose, which is then not searched again.
    """
    from threadpoolctl import threadpool_limits

    prior = majority(truth, len(spec.labels))
    if len(np.unique(truth)) == 1:
        return prior, chosen or TfidfChoice()
    with threadpool_limits(1):
        choice = chosen or choose_tfidf(spec, texts, truth, groups)
        features, table = text_features(texts, choice.features)
        model = _head(choice.class_weight).set_params(C=choice.strength).fit(table, truth)
    return Predictor(prior.prior, features, model), choice


def choose_tfidf(spec: TaskSpec, texts: list[str], truth: Numbers, groups: Sequence[str] | None = None) -> TfidfChoice:
    """Features, C and class weights by cross-validation; the middle of each where rows are too few to try."""
    own = "none" if spec.adaptation.class_weighting == "none" else "balanced"
    rows = np.sort(nested_order(truth, np.random.default_rng(spec.adaptation.seed))[:SEARCH_ROWS])
    folds = list(_folds(truth[rows], [groups[at] for at in rows] if groups is not None else None, spec.adaptation.seed))
    plain = TfidfChoice(class_weight=own)
    if not folds:
        return plain
    metric = target_metric(spec)
    search = _Search(metric, [texts[at] for at in rows], truth[rows], folds)
    first = {kind: search.scores(kind, own, (FIRST,))[FIRST] for kind in KINDS}
    kind = _best(metric, first)
    by_strength = search.scores(kind, own, [one for one in STRENGTHS if one != FIRST]) | {FIRST: first[kind]}
    by_strength = {one: by_strength[one] for one in STRENGTHS}
    strength = _best(metric, by_strength)
    tried = {f"{kind}, C {c:g}": value for c, value in by_strength.items()}
    tried |= {f"{one}, C {FIRST:g}": value for one, value in first.items() if one != kind}
    weight = own
    if spec.target.metric in WEIGHTED_METRICS:
        other = "balanced" if own == "none" else "none"
        by_weight = {own: by_strength[strength], other: search.scores(kind, other, (strength,))[strength]}
        weight = _best(metric, {name: by_weight[name] for name in ("none", "balanced")})
        tried[f"{kind}, C {strength:g}, weights {other}"] = by_weight[other]
    return plain.model_copy(
        update={
            "features": kind,
            "strength": strength,
            "class_weight": weight,
            "tried": tried,
            "rows": len(rows),
            "folds": len(folds),
        }
    )


@dataclass
class _Search:
    """Out-of-fold scores of settings, on the rows that are looked at."""

    metric: Metric
    texts: list[str]
    truth: Numbers
    folds: list[tuple[Numbers, Numbers]]
    tables: dict[str, list[tuple[Any, Any]]] = field(default_factory=dict)  # kind -> each fold's seen and held rows

    def scores(self, kind: FeatureKind, weight: str, strengths: Sequence[float]) -> dict[float, float]:
        """The target's metric over the pooled out-of-fold answers, by C."""
        classes = len(self.metric.labels)
        answers = {strength: np.zeros((len(self.truth), classes)) for strength in strengths}
        for (seen, held), (table, asked) in zip(self.folds, self._tables(kind), strict=True):
            head, truth = _head(weight), self.truth[seen]
            for strength in strengths:
                if len(np.unique(truth)) == 1:
                    answers[strength][held] = np.eye(classes)[truth[0]]
                else:
                    head.set_params(C=strength).fit(table, truth)
                    answers[strength][np.ix_(held, head.classes_)] = head.predict_proba(asked)
        return {strength: self.metric.value(self.truth, found) for strength, found in answers.items()}

    def _tables(self, kind: FeatureKind) -> list[tuple[Any, Any]]:
        if kind not in self.tables:
            self.tables[kind] = []
            for seen, held in self.folds:
                features, table = text_features([self.texts[at] for at in seen], kind)
                self.tables[kind].append((table, features.transform([self.texts[at] for at in held])))
        return self.tables[kind]


def _folds(truth: Numbers, groups: Sequence[str] | None, seed: int) -> Iterator[tuple[Numbers, Numbers]]:
    """Training and held-out rows of each fold; nothing where there are too few rows or groups for them."""
    from sklearn.model_selection import StratifiedGroupKFold

    own = np.array([str(at) for at in range(len(truth))]) if groups is None or len(set(groups)) < FOLDS else groups
    if np.bincount(truth).max() < FOLDS or len(set(own)) < FOLDS:
        return
    cut = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a class with fewer rows than folds is missing from some of them
        yield from cut.split(np.zeros((len(truth), 1)), truth, own)


def _head(weight: str) -> Any:
    from sklearn.linear_model import LogisticRegression

    asked = "balanced" if weight == "balanced" else None
    return LogisticRegression(class_weight=asked, max_iter=MOST_STEPS, tol=STEP, warm_start=True)


def _best(metric: Metric, scores: Mapping[Any, float]) -> Any:
    """The name of the best score; the first one on a tie."""
    return max(scores, key=lambda name: metric.sign * scores[name])
