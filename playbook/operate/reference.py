"""What windows of production are held against: rows that the model was never trained on (6.4).

The file travels inside the model bundle. It is one safetensors file; whatever is not a
number stands as JSON in its metadata. It holds figures, answers and true classes, and no text. The same reference gives
the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from playbook.artifacts import Score
from playbook.errors import ArtifactError
from playbook.operate.figures import SCRIPTS, RowFigures
from playbook.statistics.operating_point import Threshold

REFERENCE = "reference.safetensors"  # its name in a bundle
LEAST_ROWS = 20
_HEADER = "reference"
_KINDS = {"features": "f4", "words": "i4", "unknown": "f4", "letters": "i4", "probabilities": "f4", "truth": "i4"}
_FORM = 1


@dataclass(frozen=True, eq=False)
class Reference:
    """Rows of validation and test with the model's answers, in the order in which they came where that is known.

    Raises:
        ValueError: fewer than 20 rows, arrays that do not fit each other, no probabilities, or classes out of range.
    """

    figures: RowFigures
    probabilities: npt.NDArray[np.float32]  # (n, classes), as the model's bundle says and the prediction log keeps them
    truth: npt.NDArray[np.int32]  # (n,), class numbers
    labels: tuple[str, ...]
    temperature: float = 1.0  # that calibrates them; 1 where the bundle applies its temperature itself
    base_name: str = ""
    base_sha256: str = ""
    held_out: Score | None = None  # the target's metric of the model on the test split
    threshold: Threshold | None = None  # of the operating point; None: the likeliest class is answered

    def __post_init__(self) -> None:
        rows, classes = len(self.figures), len(self.labels)
        if rows < LEAST_ROWS:
            raise ValueError(
                f"expected a reference of at least {LEAST_ROWS} rows, found {rows}; a larger test split helps"
            )
        if self.truth.shape != (rows,) or self.truth.min() < 0 or self.truth.max() >= classes:
            raise ValueError(f"expected {rows} class numbers from 0 to {classes - 1}, found shape {self.truth.shape}")
        if not self.temperature > 0:
            raise ValueError(f"expected a temperature above 0, found {self.temperature}")
        checked_probabilities(self.probabilities, rows, classes)

    def __len__(self) -> int:
        return len(self.figures)

    def take(self, rows: npt.NDArray[np.integer[Any]]) -> Reference:
        """The rows at `rows`, in that order, as a reference of their own."""
        return Reference(
            self.figures.take(rows),
            self.probabilities[rows],
            self.truth[rows],
            self.labels,
            self.temperature,
            self.base_name,
            self.base_sha256,
            self.held_out,
            self.threshold,
        )

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the file's bytes."""
        return hashlib.sha256(_bytes(self)).hexdigest()


def checked_probabilities(probabilities: npt.NDArray[np.floating[Any]], rows: int, classes: int) -> None:
    """Refuse probabilities that do not fit.

    Raises:
        ValueError: another shape than (rows, classes), or rows that are negative, no numbers, or do not sum to 1.
    """
    if probabilities.shape != (rows, classes):
        raise ValueError(f"expected probabilities of shape {(rows, classes)}, found {probabilities.shape}")
    sums = probabilities.sum(axis=1, dtype=np.float64)
    if not np.isfinite(probabilities).all() or (rows and (probabilities.min() < 0 or np.abs(sums - 1).max() > 1e-3)):
        raise ValueError("expected probabilities that are not negative and sum to 1 in every row")


def save_reference(reference: Reference, path: Path) -> Path:
    """Write a reference; a reader sees the whole file or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    part.write_bytes(_bytes(reference))
    part.replace(path)
    return path


def load_reference(path: Path) -> Reference:
    """Read a reference.

    Raises:
        ArtifactError: no such file, or it is not a reference.
    """
    from safetensors import SafetensorError, safe_open

    remedy = "package the model again"
    if not path.is_file():
        raise ArtifactError(f"{path}: expected the reference that drift is measured against, found no file; {remedy}")
    try:
        with safe_open(str(path), framework="numpy") as file:
            header = json.loads((file.metadata() or {})[_HEADER])
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - a handle, no mapping
        return _from(header, arrays)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise ArtifactError(f"{path}: expected a reference, found {type(error).__name__}: {error}; {remedy}") from error


def _from(header: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> Reference:
    kinds = {name: array.dtype.str[1:] for name, array in arrays.items()}
    if header["form"] != _FORM or kinds != _KINDS or tuple(header["scripts"]) != SCRIPTS:
        raise ValueError(f"another form ({header['form']}) or other arrays ({kinds}) than this version reads")
    figures = RowFigures(*(arrays[name] for name in ("features", "words", "unknown", "letters")))
    return Reference(
        figures,
        arrays["probabilities"],
        arrays["truth"],
        tuple(map(str, header["labels"])),
        float(header["temperature"]),
        str(header["base_name"]),
        str(header["base_sha256"]),
        Score.model_validate(header["held_out"]) if header.get("held_out") else None,
        Threshold(int(header["threshold"][0]), float(header["threshold"][1])) if header.get("threshold") else None,
    )


def _bytes(reference: Reference) -> bytes:
    from safetensors.numpy import save

    figures = reference.figures
    arrays = {
        "features": figures.features,
        "words": figures.words,
        "unknown": figures.unknown,
        "letters": figures.letters,
        "probabilities": reference.probabilities,
        "truth": reference.truth,
    }
    header = {
        "form": _FORM,
        "scripts": SCRIPTS,
        "labels": reference.labels,
        "temperature": reference.temperature,
        "base_name": reference.base_name,
        "base_sha256": reference.base_sha256,
        "held_out": reference.held_out.model_dump(mode="json") if reference.held_out else None,
        "threshold": [reference.threshold.number, reference.threshold.value] if reference.threshold else None,
    }
    plain = {name: np.ascontiguousarray(array, dtype=f"<{_KINDS[name]}") for name, array in arrays.items()}
    # One entry of metadata: safetensors writes several in no fixed order.
    written: bytes = save(plain, metadata={_HEADER: json.dumps(header, sort_keys=True, ensure_ascii=False)})
    return written
