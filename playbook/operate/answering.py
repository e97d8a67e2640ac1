"""What a packaged model answers, and when it asks a person instead (B9).

`answering.json` in the bundle holds the rules that the evaluation found: the operating point of one class where the
task has one, the confidence from which on the model answers, and the p-value from which down an input counts as unlike
the training data. A bundle without it answers every text that is not blank with its likeliest class, as bundles of
earlier releases do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from playbook.artifacts import Part
from playbook.data.text import is_blank
from playbook.errors import ArtifactError, DataError
from playbook.evaluate import wording
from playbook.statistics.operating_point import Threshold, decide
from playbook.statistics.strangers import STRANGERS, Strangers, load_strangers

if TYPE_CHECKING:
    from playbook.adapt.classifier import TextClassifier

RULES = "answering.json"  # its name in a bundle


class AnsweringRules(Part):
    """When a model asks a person; by default never."""

    error: float | None = None  # highest share of wrong answers that was asked for; None: the model answers everything
    failure: float = 0.0
    threshold: float | None = None  # confidence from which on it answers; None where `error` is given: never
    strangers: float = 0.0  # p-value from which down an input is a stranger; 0: not looked at
    of_class: str = ""  # answered where its probability is at least `decide_from`; "": the likeliest class is
    decide_from: float = 0.0


@dataclass(frozen=True)
class Answers:
    """Answers to texts: class numbers (texts,), probabilities (texts, classes), and where a person is asked and why.

    `reasons` has one sentence for every text that a person is asked about, and nothing for the others.
    """

    classes: npt.NDArray[np.int64]
    probabilities: npt.NDArray[np.floating[Any]]
    ask: npt.NDArray[np.bool_]
    reasons: tuple[str, ...]


class AnsweringModel:
    """A model with its rules.

    Args:
        model: gives probabilities, and features of its frozen base.
        rules: of the bundle.
        strangers: known rows, where the rules look at inputs.
    """

    def __init__(self, model: TextClassifier, rules: AnsweringRules, strangers: Strangers | None = None) -> None:
        if rules.strangers > 0 and strangers is None:
            raise ArtifactError(f"expected {STRANGERS} beside rules that look at inputs; package the model again")
        if rules.of_class and rules.of_class not in model.labels:
            raise ArtifactError(f"expected a threshold of one of {model.labels}, found {rules.of_class!r}")
        self.model, self.rules, self.labels = model, rules, model.labels
        named = model.labels.index(rules.of_class) if rules.of_class else None
        self.threshold = None if named is None else Threshold(named, rules.decide_from)
        self._strangers = strangers if rules.strangers > 0 else None

    def answer(self, texts: Sequence[str]) -> Answers:
        """Answers to texts that are not blank.

        Raises:
            DataError: a text is blank; there is nothing to answer.
        """
        blank = [row for row, text in enumerate(texts) if is_blank(text)]
        if blank:
            raise DataError(f"expected texts with something in them, found blank ones in rows {_some(blank)}")
        probabilities, scores = self.raw(texts)
        classes = decide(probabilities, self.threshold)
        known = self._strangers
        p_values = np.ones(len(texts)) if known is None or scores is None else known.p_values(scores)
        sure = probabilities[np.arange(len(texts)), classes].astype(np.float64)
        reasons = tuple(
            self._reason(float(one), float(p_value), self.labels[answer])
            for one, p_value, answer in zip(sure, p_values, classes, strict=True)
        )
        return Answers(classes, probabilities, np.array([bool(reason) for reason in reasons], bool), reasons)

    def raw(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray | None]:
        """Probabilities (texts, classes), and how far inputs are from known rows (texts,) where the rules look at them.

        No rule is applied: blank texts are answered, too.
        """
        if self._strangers is None:
            return self.model.predict_proba(texts), None
        probabilities, features = self.model.predict_with_features(texts)
        return probabilities, self._strangers.score(features, decide(probabilities, self.threshold))

    def _reason(self, sure: float, p_value: float, label: str) -> str:
        """Why a person is asked; nothing where the model answers."""
        rules = self.rules
        if rules.error is None:
            return ""
        error = wording.asked(rules.error)
        if rules.threshold is None:
            return f"A person answers every text: no confidence promises at most {error} wrong answers."
        if p_value <= rules.strangers:
            return f"The text is unlike the training data (p = {p_value:.3g})."
        if sure < rules.threshold:
            return (
                f"The model is {wording.percent(sure)} sure of {label}. It answers from "
                f"{wording.percent(rules.threshold)} on, so that at most {error} of its answers are wrong."
            )
        return ""


def save_rules(rules: AnsweringRules, bundle: Path) -> Path:
    """Write the rules into a bundle."""
    path = bundle / RULES
    path.write_text(rules.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return path


def load_rules(bundle: Path) -> AnsweringRules:
    """The rules of a bundle; those of one without any let the model answer everything.

    Raises:
        ArtifactError: the file is damaged, or was written by a later release.
    """
    path = bundle / RULES
    if not path.is_file():
        return AnsweringRules()
    try:
        return AnsweringRules.model_validate_json(path.read_bytes())
    except ValidationError as error:
        found = error.errors()[0]["msg"]
        raise ArtifactError(f"{path}: expected rules for answers, found: {found}; package the model again") from None


def load_answering(bundle: Path) -> AnsweringModel:
    """A bundle's model with its rules.

    Raises:
        ArtifactError: a file of the rules is missing or damaged.
    """
    from playbook.adapt.classifier import load_bundle

    rules = load_rules(bundle)
    strangers = load_strangers(bundle / STRANGERS) if rules.strangers > 0 else None
    return AnsweringModel(load_bundle(bundle), rules, strangers)


def _some(rows: list[int]) -> str:
    return f"{', '.join(map(str, rows[:10]))}{' and more' if len(rows) > 10 else ''}"
