"""The base used zero-shot (1.7): a text is compared with the class descriptions of the task file, nothing is trained.

A class is represented by its name and description, text and class by the pooled features of the frozen base, and the
class whose features have the highest cosine similarity is the answer: dataless classification (Chang, Ratinov, Roth
and Srikumar, AAAI 2008) with the features of a pretrained encoder, as Radford et al. (2021) do with CLIP. Probabilities
are a softmax over the similarities times 20, the scale that sentence-transformers trains with
(`MultipleNegativesRankingLoss`, https://sbert.net/docs/package_reference/sentence_transformer/losses.html). It is
fixed, so nothing is fitted; they are not calibrated probabilities, and the answer does not depend on it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from playbook.spec import TaskSpec

SCALE = 20.0  # inverse temperature of the softmax over cosine similarities
TINY = 1e-12
Extract = Callable[[Sequence[str]], npt.NDArray[np.float32]]  # texts -> features, shape (texts, width)


@dataclass(frozen=True)
class ZeroShot:
    """Answers by similarity to the classes; `extract` is the frozen base, `classes` are unit vectors."""

    extract: Extract
    classes: npt.NDArray[np.float64]  # shape (classes, width)

    def probabilities(self, texts: Sequence[str]) -> npt.NDArray[np.float64]:
        """One figure per class that add up to 1, shape (texts, classes), classes in the order of `TaskSpec.labels`."""
        if not len(texts):
            return np.zeros((0, len(self.classes)))
        scaled = SCALE * _unit(self.extract(texts)) @ self.classes.T
        raised = np.exp(scaled - scaled.max(axis=1, keepdims=True))
        return np.asarray(raised / raised.sum(axis=1, keepdims=True))

    def predict(self, texts: Sequence[str]) -> npt.NDArray[np.int64]:
        """Most similar class of every text, shape (texts,); the first one on a tie."""
        return self.probabilities(texts).argmax(axis=1)


def class_texts(spec: TaskSpec) -> list[str]:
    """What stands for each class, in the order of `TaskSpec.labels`: its name as words, and its description."""
    return [f"{label.replace('_', ' ')}: {spec.data.classes[label]}" for label in spec.labels]


def zero_shot(spec: TaskSpec, extract: Extract) -> ZeroShot:
    """The base of `extract` as a classifier of the task's texts."""
    return ZeroShot(extract, _unit(extract(class_texts(spec))))


def _unit(features: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    wide = features.astype(np.float64)
    return np.asarray(wide / np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), TINY))
