"""Does the test split resemble what a model learns from and is chosen by? Asked of the inputs alone, without labels.

A score on validation is a claim about rows like those of validation. Where the test split is unlike it, a baseline that
"already meets the target" on validation may be far from it on test, so the question is asked before anything is
trained. No label is read: the test split's labels stay sealed.

Features are latent semantic analysis of character n-grams (Deerwester and others, JASIS 41 (1990) 391-407: TF-IDF and a
truncated singular value decomposition, fitted on all rows without knowing their split), with length and share of
letters outside of ASCII beside them. They need no pretrained base and read any script. What tells the samples apart is
`playbook.statistics.two_samples`.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import numpy.typing as npt
import pandas as pd

from playbook.artifacts import Resemblance
from playbook.data.tables import GROUP, TEXT
from playbook.spec import TaskSpec
from playbook.statistics.two_samples import permuted, tell_apart

WIDTH = 64  # dimensions of the decomposition
MOST_ROWS = 1500  # of either sample: enough for an AUC of 0.55 to be told from chance
NGRAMS = (2, 4)  # characters, within words
LEAST_PERMUTATIONS = 499
MANY = 10**9


def resemblance(spec: TaskSpec, tables: dict[str, pd.DataFrame]) -> Resemblance | None:
    """The test split's inputs against those of training and validation; None where a side has no rows.

    Args:
        spec: the task; `evaluation.shift_p_value` and the seed are used.
        tables: prepared rows by split, columns of `playbook.data.tables`; only texts and groups are read.
    """
    known = pd.concat([tables["train"], tables["validation"]], ignore_index=True)
    test, random = tables["test"], np.random.default_rng(spec.data.splits.seed)
    if not len(known) or not len(test):
        return None
    parts = [_some(frame, random) for frame in (known, test)]
    texts = [str(text) for part in parts for text in part[TEXT]]
    member = np.repeat([False, True], [len(part) for part in parts])
    names = [str(name) or f"row {at}" for at, name in enumerate(pd.concat(parts)[GROUP].fillna(""))]
    _, group = np.unique(names, return_inverse=True)
    level = spec.evaluation.shift_p_value
    if arrangements(group, member) * level < 1:
        found = _unknown(texts, member, len(np.unique(group[member])), spec)
        return found.model_copy(update={"rows": (len(known), len(test))})
    draws = permuted(member, group, max(LEAST_PERMUTATIONS, math.ceil(4 / level)), random)
    auc, p_value = tell_apart(features_of(texts, spec.data.splits.seed), group, np.vstack([member, draws]), 0)
    words = np.array([len(text.split()) for text in texts], dtype=float)
    ratio = float(words[member].mean() / max(words[~member].mean(), 1e-9))
    found = Resemblance(
        rows=(len(known), len(test)), auc=auc, p_value=p_value, length_ratio=ratio, differs=p_value < level, text=""
    )
    return found.model_copy(update={"text": _in_words(found)})


def arrangements(group: npt.NDArray[np.int64], member: npt.NDArray[np.bool_]) -> int:
    """In how many ways groups that lie in one sample alone could have been dealt out, `MANY` at most.

    Many where a group lies in both samples: its rows change places.
    """
    share = np.bincount(group, weights=member) / np.bincount(group)
    mixed = (share > 0) & (share < 1)
    if mixed.any():
        return MANY
    return min(MANY, math.comb(len(share), int((share == 1).sum())))


def _unknown(texts: list[str], member: npt.NDArray[np.bool_], groups: int, spec: TaskSpec) -> Resemblance:
    """The answer where so few groups cannot show a difference: how far apart the rows are, and why that says little."""
    rows = np.arange(len(texts))
    auc, _ = tell_apart(features_of(texts, spec.data.splits.seed), rows, member[None, :], 0)
    words = np.array([len(text.split()) for text in texts], dtype=float)
    ratio = float(words[member].mean() / max(words[~member].mean(), 1e-9))
    noun = "group" if groups == 1 else "groups"
    said = (
        f"Whether the test split's inputs are like the others cannot be told: it has {groups} {noun} of rows, too few "
        f"to know a difference of the data from one of a few customers. Row by row a classifier tells them apart with "
        f"AUC {auc:.2f} (0.5 would mean no difference)."
    )
    return Resemblance(rows=(0, 0), auc=auc, p_value=1.0, length_ratio=ratio, differs=False, known=False, text=said)


def features_of(texts: list[str], seed: int) -> npt.NDArray[np.float64]:
    """What is looked at of each text, shape (texts, up to WIDTH + 2)."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    plain = np.array(
        [[math.log1p(len(text)), sum(not c.isascii() for c in text) / max(len(text), 1)] for text in texts]
    )
    try:
        # Sequences end with their word, and most words are read many times.
        within = cache(TfidfVectorizer(analyzer="char_wb", lowercase=False, ngram_range=NGRAMS).build_analyzer())
        reader = TfidfVectorizer(
            analyzer=lambda text: [part for word in text.split() for part in within(word)],
            sublinear_tf=True, min_df=2, dtype=np.float32,
        )  # fmt: skip
        table = reader.fit_transform(texts)
    except ValueError:  # no n-gram that two texts share
        return plain
    width = min(WIDTH, table.shape[1] - 1, len(texts) - 1)
    if width < 1:
        return plain
    latent = TruncatedSVD(width, random_state=seed, n_iter=3).fit_transform(table)
    return np.hstack([latent.astype(np.float64), plain])


def _some(frame: pd.DataFrame, random: np.random.Generator) -> pd.DataFrame:
    """At most MOST_ROWS of a table, drawn at random and in their order."""
    if len(frame) <= MOST_ROWS:
        return frame
    return frame.iloc[np.sort(random.choice(len(frame), MOST_ROWS, replace=False))]


def _in_words(found: Resemblance) -> str:
    size = f"a classifier tells them apart with AUC {found.auc:.2f} (0.5 would mean no difference)"
    if not 0.9 < found.length_ratio < 1 / 0.9:
        size += f"; test texts have {found.length_ratio:.1f} times as many words"
    if not found.differs:
        return f"No difference of the test split's inputs from the others is seen beyond chance: {size}."
    return (
        f"The test split's inputs are unlike those of training and validation: {size}. Scores on validation may not "
        "hold on test."
    )
