"""Near duplicates: Jaccard similarity of the sets of character 4-grams, exact, without comparing all pairs.

Prefix filtering (Chaudhuri, Ganti and Kaushik 2006; Bayardo, Ma and Srikant 2007): with 4-grams ordered from rare to
frequent, two sets of similarity t or more share one of the first `size - ceil(t * size) + 1` 4-grams of each. Pairs
that do come out of a sparse matrix product and are then measured exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from playbook.data.text import comparison_words

GRAM = 4
ALPHABET = 2**16 - 1  # distinct characters that are told apart; rarer ones count as one
CHUNK_ROWS = 1024
CHUNK_PAIRS = 50_000
ROUNDING = 1e-9


class Pair(NamedTuple):
    """Positions of two texts and their similarity, from the threshold to 1."""

    left: int
    right: int
    similarity: float


def near_duplicates(left: Sequence[str], right: Sequence[str], similarity: float) -> list[Pair]:
    """All pairs of a text of `left` and one of `right` whose 4-gram sets have at least this Jaccard similarity."""
    if not left or not right:
        return []
    grams = _gram_matrix([comparison_words(text) for text in (*left, *right)])
    sizes = np.diff(grams.indptr)
    prefix = _prefixes(grams, sizes, similarity)
    split = len(left)
    right_prefix = prefix[split:].T.tocsr()
    found: list[Pair] = []
    for start in range(0, split, CHUNK_ROWS):
        rows, columns = (prefix[start : min(start + CHUNK_ROWS, split)] @ right_prefix).nonzero()
        found += _measured(grams, sizes, rows + start, columns + split, similarity)
    return [Pair(pair.left, pair.right - split, pair.similarity) for pair in sorted(found)]


def _codes(texts: list[str]) -> tuple[Any, Any]:
    """Every text as 16-bit character codes from 1 (0 fills up short texts), one after the other; and text lengths."""
    padded = [text.ljust(GRAM, "\0") for text in texts]
    lengths = np.array([len(text) for text in padded])
    points = np.frombuffer("".join(padded).encode("utf-32-le"), dtype=np.uint32)
    counts = np.bincount(points)
    alphabet = np.flatnonzero(counts)
    rank = np.zeros(len(counts), dtype=np.uint64)
    rank[alphabet[np.argsort(-counts[alphabet], kind="stable")]] = np.arange(len(alphabet), dtype=np.uint64)
    return np.minimum(rank, ALPHABET)[points], lengths


def _gram_matrix(texts: list[str]) -> Any:
    """One row per text, one column per 4-gram (rare ones first), 1 where the text has it; indices sorted."""
    from scipy.sparse import csr_matrix

    codes, lengths = _codes(texts)
    grams = codes[: len(codes) - GRAM + 1].copy()
    for offset in range(1, GRAM):
        grams = grams * np.uint64(2**16) + codes[offset : len(codes) - GRAM + 1 + offset]
    ends = np.cumsum(lengths)
    row = np.repeat(np.arange(len(texts)), lengths)
    position = np.arange(len(grams))
    inside = position + GRAM <= ends[row[: len(grams)]]
    _, columns = np.unique(grams[inside], return_inverse=True)
    keys = np.unique(row[: len(grams)][inside] * np.int64(columns.max() + 1) + columns)
    rows, columns = np.divmod(keys, columns.max() + 1)
    frequency = np.bincount(columns)
    order = np.empty(len(frequency), dtype=np.int64)
    order[np.argsort(frequency, kind="stable")] = np.arange(len(frequency))
    matrix = csr_matrix(
        (np.ones(len(rows), dtype=np.int32), (rows, order[columns])), shape=(len(texts), len(frequency))
    )
    matrix.sort_indices()
    return matrix


def _prefixes(grams: Any, sizes: Any, similarity: float) -> Any:
    """The rarest 4-grams of each row, as many as two similar rows cannot all differ in."""
    from scipy.sparse import csr_matrix

    length = sizes - np.ceil(similarity * sizes - ROUNDING).astype(np.int64) + 1
    place = np.arange(grams.nnz) - np.repeat(grams.indptr[:-1], sizes)
    kept = place < np.repeat(length, sizes)
    starts = np.concatenate([[0], np.cumsum(np.minimum(length, sizes))])
    return csr_matrix((grams.data[kept], grams.indices[kept], starts), shape=grams.shape)


def _measured(grams: Any, sizes: Any, rows: Any, columns: Any, similarity: float) -> list[Pair]:
    small, large = np.minimum(sizes[rows], sizes[columns]), np.maximum(sizes[rows], sizes[columns])
    possible = small >= similarity * large - ROUNDING
    rows, columns = rows[possible], columns[possible]
    found: list[Pair] = []
    for start in range(0, len(rows), CHUNK_PAIRS):
        left, right = rows[start : start + CHUNK_PAIRS], columns[start : start + CHUNK_PAIRS]
        common = np.asarray(grams[left].multiply(grams[right]).sum(axis=1)).ravel()
        jaccard = common / (sizes[left] + sizes[right] - common)
        near = jaccard >= similarity - ROUNDING
        found += map(Pair, left[near].tolist(), right[near].tolist(), jaccard[near].tolist())
    return found
