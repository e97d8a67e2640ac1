"""Reference baselines: what is possible without adapting a base (1.7), and whether that is already enough (1.8).

- `majority`: always the most frequent training class.
- `tfidf`: word 1- and 2-grams, sublinear TF-IDF, logistic regression (scikit-learn). The strength C is chosen
  from a small grid by the target's metric on the validation split, as the strength of the frozen head is, so that both
  are chosen alike. Texts without words (no spaces, or symbols only) are read as character 1- to 3-grams.
- `zero_shot`: the pretrained base compares a text with the class descriptions (`playbook.decide.zero_shot`). Left out,
  with the reason, where no base can be read.

Deterministic: nothing is drawn at random.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from playbook.artifacts import Score
from playbook.data.tables import LABEL, TEXT
from playbook.decide.zero_shot import Extract, zero_shot
from playbook.errors import DataError
from playbook.spec import TaskSpec
from playbook.statistics.answers import Answers, answers_of
from playbook.statistics.metric import metrics_of, target_metric

if TYPE_CHECKING:
    import pandas as pd

STRENGTHS = (1.0, 10.0, 100.0)  # inverse regularisation C
MANY_ROWS = 1000  # from here on a term must occur in two texts
Numbers = npt.NDArray[np.int64]
Probabilities = npt.NDArray[np.float64]


class TextPredictor(Protocol):
    """A fitted reference that answers any texts."""

    def probabilities(self, texts: Sequence[str]) -> Probabilities:
        """One figure per class, shape (texts, classes), classes in the order of `TaskSpec.labels`."""
        ...

    def predict(self, texts: Sequence[str]) -> Numbers:
        """Most probable class of every text, shape (texts,)."""
        ...


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


@dataclass(frozen=True)
class References:
    """Scores on validation by every limit, answers there, and the fitted predictors, each by name."""

    scores: Mapping[str, Score]  # of the target's own metric
    limits: Mapping[str, Mapping[str, Score]]  # name -> Limit.label -> score
    answers: Mapping[str, Answers]  # to the validation rows
    predictors: Mapping[str, TextPredictor]
    strengths: Mapping[str, float]  # C -> the target's metric on validation
    meets_target: str  # simplest reference that meets every limit, or ""
    left_out: Mapping[str, str] = field(default_factory=dict)  # name -> why there is no such reference


def fit_references(
    spec: TaskSpec,
    train: pd.DataFrame,
    validation: pd.DataFrame,
    extractor: Extract | None = None,
    *,
    no_base: str = "no base was given",
) -> References:
    """Fit the references on train and score them on validation; `predictors` answer any other texts.

    Args:
        spec: the task.
        train: rows with the columns of `playbook.data.tables`.
        validation: likewise.
        extractor: features of the pretrained base (`playbook.adapt.features.FeatureExtractor`), for `zero_shot`; None
            where no base can be read.
        no_base: why there is none, for `References.left_out`.

    Raises:
        DataError: a split without rows, or a label that is no class of the task.
    """
    truth = {name: _numbers(spec, frame, name) for name, frame in (("train", train), ("validation", validation))}
    texts = {"train": train[TEXT].tolist(), "validation": validation[TEXT].tolist()}
    tfidf, strengths = _fit_tfidf(spec, texts, truth)
    predictors: dict[str, TextPredictor] = {"majority": _majority(spec, truth["train"]), "tfidf": tfidf}
    if extractor is not None:
        predictors["zero_shot"] = zero_shot(spec, extractor)
    answers = {name: answers_of(predictor.probabilities(texts["validation"])) for name, predictor in predictors.items()}
    limits = {name: _scores(spec, truth["validation"], given) for name, given in answers.items()}
    return References(
        scores={name: scores[spec.target.label] for name, scores in limits.items()},
        limits=limits,
        answers=answers,
        predictors=predictors,
        strengths=strengths,
        meets_target=next((name for name, scores in limits.items() if meets_target(spec, scores, answers[name])), ""),
        left_out={} if extractor is not None else {"zero_shot": no_base},
    )


def meets_target(spec: TaskSpec, scores: Mapping[str, Score], answers: Answers) -> bool:
    """Whether validation scores, by `Limit.label`, end the task early: every limit is met with room to spare.

    A model whose answers to validation are all one class never ends a task, whatever it scores.

    Room to spare is `evaluation.early_end_standard_errors` standard errors of the score.
    """
    spare = spec.evaluation.early_end_standard_errors
    return not answers.constant and all(metric.met(scores[metric.label], spare) for metric in metrics_of(spec))


def _scores(spec: TaskSpec, truth: Numbers, answers: Answers) -> dict[str, Score]:
    return {metric.label: metric.score(truth, answers) for metric in metrics_of(spec)}


def _numbers(spec: TaskSpec, frame: pd.DataFrame, split: str) -> Numbers:
    number = {label: at for at, label in enumerate(spec.labels)}
    unknown = sorted({str(label) for label in frame[LABEL]} - set(number))
    if unknown or not len(frame):
        found = f"labels that are none: {unknown[:5]}" if unknown else "no rows"
        raise DataError(
            f"{split}: expected rows labelled with the classes of the task, found {found}; prepare it again"
        )
    return np.array([number[label] for label in frame[LABEL]], dtype=np.int64)


def _majority(spec: TaskSpec, truth: Numbers) -> Predictor:
    counts = np.bincount(truth, minlength=len(spec.labels))
    return Predictor(counts / counts.sum())


def _fit_tfidf(
    spec: TaskSpec, texts: Mapping[str, list[str]], truth: Mapping[str, Numbers]
) -> tuple[Predictor, dict[str, float]]:
    """The best of the grid, the stronger regularisation on a tie, and the metric of each strength."""
    from sklearn.linear_model import LogisticRegression

    metric = target_metric(spec)
    prior = _majority(spec, truth["train"])
    if len(set(truth["train"].tolist())) == 1:
        return prior, {}
    features, table = _features(texts["train"])
    weight = None if spec.adaptation.class_weighting == "none" else "balanced"  # equal to `resample`, all rows at once
    best, strengths = prior, dict[str, float]()
    model = LogisticRegression(class_weight=weight, max_iter=500, warm_start=True)
    for strength in STRENGTHS:  # each fit starts from the one before: half the time for 77 classes
        model.set_params(C=strength).fit(table, truth["train"])
        fitted = Predictor(prior.prior, features, deepcopy(model))
        value = metric.value(truth["validation"], fitted.probabilities(texts["validation"]))
        if all(metric.gain(known, value) > 0 for known in strengths.values()):
            best = fitted
        strengths[f"{strength:g}"] = value
    return best, strengths


def _features(texts: list[str]) -> tuple[Any, Any]:
    """Fitted vectoriser and the table of the given texts, shape (texts, terms)."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    rare = 2 if len(texts) >= MANY_ROWS else 1
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=rare, dtype=np.float32)
    try:
        return words, words.fit_transform(texts)
    except ValueError:  # no vocabulary: no words of two letters in these texts
        characters = TfidfVectorizer(analyzer="char", ngram_range=(1, 3), sublinear_tf=True, dtype=np.float32)
        return characters, characters.fit_transform(texts)
