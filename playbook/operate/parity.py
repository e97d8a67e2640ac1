"""Reload parity (B4): the packaged model, in a clean process, must answer as the trained one did.

The child starts isolated from the environment's Python settings and offline; texts go over as JSON, answers come back
as safetensors. What it proves is bound to the bundle's hash, and a model without that proof is not registered.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from playbook.errors import ParityError
from playbook.operate.bundle import bundle_hash
from playbook.settings import QUIET_ENVIRONMENT

MOST_ROWS = 200
SECONDS = 300
# -I ignores PYTHONPATH, so the child is told where this very package lies.
_START = (
    "import sys; sys.path.insert(0, sys.argv[1]); from playbook.operate.parity_child import main; main(sys.argv[2])"
)
_OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}


@dataclass(frozen=True)
class Parity:
    """Proof that a bundle answers as its training process did."""

    rows: int
    largest_difference: float  # of any probability
    same_labels: bool  # the likeliest class agrees in every row, near ties within the tolerance apart
    tolerance: float
    bundle_sha256: str


def check_parity(
    bundle: Path,
    texts: Sequence[str],
    expected: np.ndarray,
    tolerance: float,
    *,
    labels: Sequence[str] | None = None,
    rows: int = MOST_ROWS,
    scores: np.ndarray | None = None,
) -> Parity:
    """Load a bundle in a clean process and compare its answers.

    Args:
        bundle: folder of the bundle.
        texts: n texts; at most `rows` of them, evenly spread, are asked.
        expected: float (n, classes), the probabilities that the trained model gave.
        tolerance: largest difference of a probability that still counts as the same.
        labels: names of the columns of `expected`; the bundle must name the same ones in the same order.
        rows: the most that are asked.
        scores: (n,), how far the texts were from known rows when the rules for strangers were made; none without them.

    Raises:
        ParityError: no rows, other shapes, the bundle does not load, or an answer differs; with the figures.
    """
    if len(texts) == 0 or expected.ndim != 2 or len(expected) != len(texts):
        raise ParityError(
            f"{bundle}: expected one row of probabilities per text and at least one, found {len(texts)} texts and "
            f"answers of shape {expected.shape}; hand over the validation predictions"
        )
    before = bundle_hash(bundle)
    asked = np.unique(np.linspace(0, len(texts) - 1, min(rows, len(texts))).round().astype(int))
    answers, found_labels, found_scores = _ask(bundle, [texts[row] for row in asked])
    if labels is not None and tuple(found_labels) != tuple(labels):
        raise ParityError(
            f"{bundle}: expected classes {list(labels)}, found {found_labels} in the reloaded model; package it again"
        )
    parity = _compare(np.asarray(expected, dtype=np.float32)[asked], answers, tolerance, before)
    _check_scores(bundle, None if scores is None else scores[asked], found_scores, tolerance)
    if bundle_hash(bundle) != before:
        raise ParityError(f"{bundle}: the bundle changed while it was checked; package the model again")
    if not (parity.same_labels and parity.largest_difference <= tolerance):
        raise ParityError(
            f"{bundle}: expected probabilities within {tolerance:g} of the trained model's on {parity.rows} rows, "
            f"found a difference of {parity.largest_difference:.3g}, likeliest classes "
            f"{'the same' if parity.same_labels else 'different'}; the model is not registered: package it again, with "
            "the versions of torch and tokenizers that it was trained with"
        )
    return parity


def _check_scores(bundle: Path, expected: np.ndarray | None, found: np.ndarray | None, tolerance: float) -> None:
    """Refuse a bundle that sees inputs at another distance from known rows than the evaluation did."""
    if expected is None and found is None:
        return
    if expected is None or found is None or expected.shape != found.shape:
        raise ParityError(
            f"{bundle}: expected {'no' if expected is None else 'as many'} distances from known rows as the evaluation "
            f"has, found {'none' if found is None else found.shape}; package the model again"
        )
    largest = float(np.nan_to_num(np.abs(found - expected), nan=np.inf).max())
    if largest > tolerance:
        raise ParityError(
            f"{bundle}: expected distances from known rows within {tolerance:g} of the evaluation's, found a "
            f"difference of {largest:.3g}; the model is not registered: package it again, with the versions of torch "
            "and tokenizers that it was evaluated with"
        )


def _compare(expected: np.ndarray, answers: np.ndarray, tolerance: float, sha256: str) -> Parity:
    """Figures of a comparison; two (rows, classes) arrays. A NaN counts as an infinite difference."""
    if answers.shape != expected.shape:
        raise ParityError(f"expected answers of shape {expected.shape}, found {answers.shape}; package the model again")
    distances = np.abs(answers.astype(np.float64) - expected.astype(np.float64))
    largest = float(np.nan_to_num(distances, nan=np.inf).max())
    top_two = np.sort(expected, axis=1)[:, -2:]
    tied = top_two[:, -1] - top_two[:, 0] <= 2 * tolerance
    same = (answers.argmax(axis=1) == expected.argmax(axis=1)) | tied
    return Parity(len(expected), largest, bool(same.all()), tolerance, sha256)


def _ask(bundle: Path, texts: list[str]) -> tuple[np.ndarray, list[str], np.ndarray | None]:
    """Answers (rows, classes) of a child process, its class names, and distances from known rows where it has them."""
    from safetensors.numpy import load_file

    with tempfile.TemporaryDirectory(prefix="parity-") as scratch:
        folder = Path(scratch)
        request = {"bundle": str(bundle.resolve()), "texts": texts}
        (folder / "request.json").write_text(json.dumps(request), encoding="utf-8")
        _run_child(bundle, folder)
        try:
            answers = load_file(folder / "answers.safetensors")
            labels = json.loads((folder / "labels.json").read_text(encoding="utf-8"))
            return answers["probabilities"], [str(label) for label in labels], answers.get("scores")
        except (OSError, KeyError, ValueError) as error:
            raise ParityError(f"{bundle}: the clean process left no readable answers ({error}); try again") from None


def _run_child(bundle: Path, folder: Path) -> None:
    package_root = str(Path(__file__).resolve().parents[2])
    command = [sys.executable, "-I", "-c", _START, package_root, str(folder)]
    environment = {**os.environ, **QUIET_ENVIRONMENT, **_OFFLINE}
    try:
        done = subprocess.run(
            command, env=environment, cwd=folder, capture_output=True, text=True, timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise ParityError(
            f"{bundle}: expected answers within {SECONDS} s, found none; try again, or ask fewer rows"
        ) from None
    if done.returncode != 0:
        last = "\n".join(done.stderr.strip().splitlines()[-15:])
        raise ParityError(
            f"{bundle}: expected the bundle to load in a clean process, which ended with status {done.returncode}; the "
            f"model is not registered. It said:\n{last}"
        )
