"""Is an input unlike the training data? A calibrated p-value from its nearest training rows (B9).

The score of an input is one minus its mean cosine similarity to the three nearest training rows of the class that is
answered, on features of the frozen base (deep nearest neighbours: Sun, Ming, Zhu and Li, Out-of-Distribution Detection
with Deep Nearest Neighbors, ICML 2022; here among the rows of the answered class, which separates near strangers
better, see docs/silence.md). Held out rows, which were not trained on, calibrate it: the share of them that is at least
as far away is a conformal p-value (Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World, 2005; for
outliers: Bates, Candès, Lei, Romano and Sesia, Testing for Outliers with Conformal p-Values, Annals of Statistics
2023). Of inputs like the held-out rows at most a share `level` has a p-value of `level` or less.

Kept are features of at most 20,000 training rows in half precision: 2 bytes times rows times width, 15 MB at a width of
384 where a task has that many.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from playbook.errors import ArtifactError

STRANGERS = "strangers.safetensors"  # its name in a bundle
NEAREST = 3
MOST_ROWS = 20_000
CALLED = 1024  # inputs that are compared at a time
_HEADER = "strangers"
_FORM = 1
_KINDS = {"rows": "f2", "classes": "i4", "scores": "f4"}
Floats = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True, eq=False)
class Strangers:
    """Known rows and how far held-out rows are from them.

    `rows` are unit vectors of shape (n, width), `classes` their classes (n,), `scores` those of the held-out rows in
    their order, (m,).

    Raises:
        ValueError: arrays that do not fit each other, none at all, or values that are not numbers.
    """

    rows: npt.NDArray[np.float16]
    classes: npt.NDArray[np.int32]
    scores: Floats

    def __post_init__(self) -> None:
        if self.rows.ndim != 2 or self.classes.shape != (len(self.rows),) or not len(self.rows):
            raise ValueError(f"expected rows and their classes, found {self.rows.shape} and {self.classes.shape}")
        if self.scores.ndim != 1 or not len(self.scores):
            raise ValueError(f"expected a score of every held-out row, found shape {self.scores.shape}")
        if not (np.isfinite(self.rows).all() and np.isfinite(self.scores).all()):
            raise ValueError("some features or scores are not numbers; the base's weights are broken")

    @cached_property
    def _rising(self) -> Floats:
        return np.sort(self.scores)

    @property
    def size_mb(self) -> float:
        """Megabytes that the rows take in memory."""
        return self.rows.nbytes / 1e6

    def score(self, features: Floats, answers: Numbers) -> Floats:
        """How far inputs are from the known rows of the class that they are answered with, in [0, 2], shape (inputs,).

        Args:
            features: of the frozen base, shape (inputs, width).
            answers: class numbers, shape (inputs,). A class without known rows is as far away as can be.
        """
        return _scores(self.rows, self.classes, features, answers)

    def p_values(self, scores: Floats) -> npt.NDArray[np.float64]:
        """Conformal p-values, shape as given: the share of held-out rows, the input included, that is as far away."""
        farther = len(self.scores) - np.searchsorted(self._rising, scores, side="left")
        found: npt.NDArray[np.float64] = (1.0 + farther.astype(np.float64)) / (1.0 + len(self.scores))
        return found

    def cut(self, level: float) -> float:
        """The score above which a p-value is at most `level`; infinite where there are too few held-out rows for it."""
        allowed = int(np.floor(level * (len(self.scores) + 1) + 1e-9))
        return float(self._rising[-allowed]) if 0 < allowed <= len(self.scores) else float("inf")


def kept_rows(rows: int, seed: int = 0) -> npt.NDArray[np.int64]:
    """Places of the training rows that are kept: all, or 20,000 at random, in rising order."""
    if rows <= MOST_ROWS:
        return np.arange(rows)
    return np.sort(np.random.default_rng(seed).permutation(rows)[:MOST_ROWS])


def learn_strangers(
    features: Floats, classes: Numbers, held_features: Floats, held_answers: Numbers, seed: int = 0
) -> Strangers:
    """Known rows from training rows, calibrated on held-out ones.

    Args:
        features: of the training rows, shape (n, width).
        classes: their true classes, shape (n,).
        held_features: of rows that were not trained on, shape (m, width).
        held_answers: what the model answers them with, shape (m,).
        seed: of the draw where there are more than 20,000 training rows.
    """
    order = kept_rows(len(features), seed)
    rows = _unit(features[order]).astype(np.float16)
    known = classes[order].astype(np.int32)
    return Strangers(rows, known, _scores(rows, known, held_features, held_answers))


def save_strangers(strangers: Strangers, path: Path) -> Path:
    """Write known rows and scores; the same ones give the same bytes."""
    from safetensors.numpy import save

    arrays = {"rows": strangers.rows, "classes": strangers.classes, "scores": strangers.scores}
    plain = {name: np.ascontiguousarray(array, dtype=f"<{_KINDS[name]}") for name, array in arrays.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    part.write_bytes(save(plain, metadata={_HEADER: json.dumps({"form": _FORM, "nearest": NEAREST}, sort_keys=True)}))
    part.replace(path)
    return path


def load_strangers(path: Path) -> Strangers:
    """Read known rows and scores.

    Raises:
        ArtifactError: no such file, or another kind of file.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="numpy") as file:
            header = json.loads((file.metadata() or {})[_HEADER])
            arrays = {name: file.get_tensor(name) for name in _KINDS}
        if header != {"form": _FORM, "nearest": NEAREST}:
            raise ValueError(f"another form than this version reads: {header}")
        return Strangers(arrays["rows"], arrays["classes"], arrays["scores"])
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise ArtifactError(
            f"{path}: expected features of known rows, found {type(error).__name__}: {error}; package the model again"
        ) from error


def _unit(features: Floats) -> Floats:
    lengths = np.linalg.norm(features.astype(np.float32), axis=1, keepdims=True)
    return np.asarray(features / np.maximum(lengths, 1e-12), np.float32)


def _scores(
    rows: npt.NDArray[np.float16], classes: npt.NDArray[np.int32], features: Floats, answers: Numbers
) -> Floats:
    found = np.full(len(features), 2.0, np.float32)
    for answer in np.unique(answers):
        own = rows[classes == answer].astype(np.float32)
        asked = np.flatnonzero(answers == answer)
        for start in range(0, len(asked) if len(own) else 0, CALLED):
            part = asked[start : start + CALLED]
            near = np.sort(_unit(features[part]) @ own.T, axis=1)[:, -NEAREST:]
            found[part] = 1 - near.mean(axis=1)
    return found
