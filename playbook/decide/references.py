"""Reference baselines: what is possible without adapting a base (1.7), and whether that is already enough (1.8).

- `majority`: always the most frequent training class.
- `tfidf`: words and character sequences, sublinear TF-IDF, logistic regression, chosen by cross-validation on training
  rows (`playbook.decide.tfidf`).
- `zero_shot`: the pretrained base compares a text with the class descriptions (`playbook.decide.zero_shot`). Left out,
  with the reason, where no base can be read.

Deterministic: what is drawn at random follows the seed of the task file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from playbook.artifacts import Score, TfidfChoice
from playbook.data.tables import GROUP, LABEL, TEXT
from playbook.decide.tfidf import fit_tfidf, majority
from playbook.decide.zero_shot import Extract, zero_shot
from playbook.errors import DataError
from playbook.evaluate.as_served import AsServed, as_served
from playbook.spec import TaskSpec
from playbook.statistics.answers import Answers
from playbook.statistics.metric import metrics_of

if TYPE_CHECKING:
    import pandas as pd

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
class References:
    """Scores on validation by every limit, answers there, and the fitted predictors, each by name."""

    scores: Mapping[str, Score]  # of the target's own metric
    limits: Mapping[str, Mapping[str, Score]]  # name -> Limit.label -> score
    answers: Mapping[str, Answers]  # to the validation rows, as served
    served: Mapping[str, AsServed]  # temperature and threshold of each, fitted on those rows
    predictors: Mapping[str, TextPredictor]
    tfidf: TfidfChoice  # how it was chosen
    meets_target: str  # simplest reference that meets every limit, or ""
    left_out: Mapping[str, str] = field(default_factory=dict)  # name -> why there is no such reference


def fit_references(
    spec: TaskSpec,
    train: pd.DataFrame,
    validation: pd.DataFrame,
    extractor: Extract | None = None,
    *,
    no_base: str = "no base was given",
    tfidf: TfidfChoice | None = None,
) -> References:
    """Fit the references on train and score them on validation; `predictors` answer any other texts.

    They are scored as any model is, after the temperature and the threshold that suit them best on validation.
    `predictors` give probabilities before both.

    Args:
        spec: the task.
        train: rows with the columns of `playbook.data.tables`.
        validation: likewise.
        extractor: features of the pretrained base (`playbook.adapt.features.FeatureExtractor`), for `zero_shot`; None
            where no base can be read.
        no_base: why there is none, for `References.left_out`.
        tfidf: what an earlier call chose on the same rows, which is then not searched again.

    Raises:
        DataError: a split without rows, or a label that is not a class of the task.
    """
    truth = {name: _numbers(spec, frame, name) for name, frame in (("train", train), ("validation", validation))}
    texts = {"train": train[TEXT].tolist(), "validation": validation[TEXT].tolist()}
    groups = train[GROUP].tolist() if GROUP in train else None
    fitted, choice = fit_tfidf(spec, texts["train"], truth["train"], groups, tfidf)
    predictors: dict[str, TextPredictor] = {
        "majority": majority(truth["train"], len(spec.labels)),
        "tfidf": fitted,
    }
    if extractor is not None:
        predictors["zero_shot"] = zero_shot(spec, extractor)
    tables = {name: predictor.probabilities(texts["validation"]) for name, predictor in predictors.items()}
    served = {name: as_served(spec, truth["validation"], table) for name, table in tables.items()}
    answers = {name: served[name].answers(table) for name, table in tables.items()}
    limits = {name: _scores(spec, truth["validation"], given) for name, given in answers.items()}
    return References(
        scores={name: scores[spec.target.label] for name, scores in limits.items()},
        limits=limits,
        answers=answers,
        served=served,
        predictors=predictors,
        tfidf=choice,
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
        found = f"unknown labels: {unknown[:5]}" if unknown else "no rows"
        raise DataError(
            f"{split}: expected rows labelled with the classes of the task, found {found}; prepare it again"
        )
    return np.array([number[label] for label in frame[LABEL]], dtype=np.int64)
