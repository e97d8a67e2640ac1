"""Paraphrases across splits (3.3): the same matter in other words, which no comparison of letters sees.

An option of the task file, `data.splits.paraphrases`: a sentence base of its own, pinned like any base, embeds all
texts when they are prepared. A row whose text has a cosine similarity from the named one on with a text of its class on
a more protected side is set aside, as near duplicates are. The base belongs to the data and not to the candidates of
the task, so that another candidate leaves the dataset as it is. Embeddings are computed in 32 bits.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from playbook.data.sides import PROTECTED
from playbook.data.split import brought_sides
from playbook.data.tables import DETAIL, LABEL, REASON, ROW_ID, SPLIT, TEXT
from playbook.spec import Adaptation, Base
from playbook.taskfile import Task

PARAPHRASE = "paraphrase across splits"
CHUNK_ROWS = 1024
Features = npt.NDArray[np.float32]


def without_paraphrases(task: Task, rows: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any] | None]:
    """The rows without paraphrases of a more protected side, those set aside, and what was found, for the profile.

    Rows that `data.splits.across_splits` keeps stay, and are counted as `kept`. Nothing is done where the task file
    does not ask for it.

    Raises:
        PinMismatch: the base is not there, or is another one.
    """
    splits = task.spec.data.splits
    if splits.paraphrases is None or rows.empty:
        return rows, rows[:0], None
    features = embedded(task, splits.paraphrases.base, rows[TEXT].tolist())
    found = _found(rows, features, splits.paraphrases.similarity)
    brought = brought_sides(task.spec.data, rows)
    kept_sides = {"quarantine": set(), "refuse": set(PROTECTED), "auto": brought}[splits.across_splits]
    aside = {i: hit for i, hit in found.items() if hit[2] not in kept_sides}
    hit = rows.index.isin(list(aside))
    details = [f"{aside[i][1]:.2f} like row {aside[i][0]} in {aside[i][2]}" for i in rows.index[hit]]
    left = rows[hit].copy()
    left[REASON] = pd.Series(PARAPHRASE, index=left.index, dtype="str")
    left[DETAIL] = pd.Series(details, index=left.index, dtype="str")
    kept = [
        {"row": str(rows[ROW_ID][i]), "split": str(rows[SPLIT][i]), "like": name, "in": side}
        for i, (name, _, side) in found.items()
        if i not in aside
    ]
    figures = {"set_aside": len(aside), "kept": len(kept), "named": kept[:5]}
    return rows[~hit].reset_index(drop=True), left.reset_index(drop=True), figures


def embedded(task: Task, base: Base, texts: list[str]) -> Features:
    """Features of length one, shape (texts, width), of a pinned base."""
    from playbook.adapt.features import FeatureExtractor
    from playbook.bases.derive import base_on_disk
    from playbook.bases.pin import pin_base
    from playbook.settings import settings

    folder = base_on_disk(base, task.resolve, settings().derived_bases)
    numbers = Adaptation(accelerator=task.spec.adaptation.accelerator, precision="float32")
    features = FeatureExtractor(folder, pin_base(base, folder), numbers)(texts)
    length = np.linalg.norm(features, axis=1, keepdims=True)
    return np.asarray(features / np.maximum(length, 1e-9), dtype=np.float32)


def _found(rows: pd.DataFrame, features: Features, similarity: float) -> dict[int, tuple[str, float, str]]:
    """Index of a row -> the closest row on a more protected side, how alike it is, and its side; test first."""
    found: dict[int, tuple[str, float, str]] = {}
    side = rows[SPLIT].to_numpy(dtype=object)
    _, label = np.unique(rows[LABEL].to_numpy(dtype=object).astype(str), return_inverse=True)
    names = rows[ROW_ID].tolist()
    gone = np.zeros(len(rows), dtype=bool)
    for mine in PROTECTED[1:]:
        for other in PROTECTED[: PROTECTED.index(mine)]:
            ours, theirs = np.flatnonzero((side == mine) & ~gone), np.flatnonzero((side == other) & ~gone)
            if not len(ours) or not len(theirs):
                continue
            for start in range(0, len(ours), CHUNK_ROWS):
                part = ours[start : start + CHUNK_ROWS]
                alike = np.where(label[part][:, None] == label[theirs], features[part] @ features[theirs].T, -1.0)
                best = alike.argmax(axis=1)
                near = alike[np.arange(len(part)), best]
                for at in np.flatnonzero(near >= similarity).tolist():
                    found[int(rows.index[part[at]])] = (names[theirs[best[at]]], float(near[at]), other)
                    gone[part[at]] = True
    return found
