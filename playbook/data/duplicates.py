"""Near duplicates: Jaccard similarity of the sets of character 4-grams, exact, without comparing all pairs.

Texts are folded first (`playbook.data.folding`). Two are near duplicates from a similarity on that a task file names.
By default that is 0.9, or less where typos explain it: a typo changes up to five of the 4-grams, which is much of a
short text and little of a long one. So the threshold follows length: what two typos leave of the 4-grams, at least 0.5;
and below 0.9 no more than two edits (one in texts of up to 24 characters) may part the texts, none of them of a digit,
a Chinese character or an emoji, which mean something by themselves. Nor is it a typo where the words that part them are
all words of the data, about as frequent ("mein" and "dein", "now" and "not"), since a misspelling is rarer than what it
misspells; or where one denies the other ("possible" and "impossible").
An edit is a character put in, left out or replaced, or two neighbours swapped (optimal string alignment, after Damerau,
CACM 7 (1964) 171-176). docs/near_duplicates.md has what that finds, and how many innocent rows it sets aside.

Prefix filtering (Chaudhuri, Ganti and Kaushik 2006; Bayardo, Ma and Srikant 2007): with 4-grams ordered from rare to
frequent, two sets of similarity t or more share one of the first `size - ceil(t * size) + 1` 4-grams of each, and as
many of them as their overlap needs beyond the rest (Xiao and others, Efficient similarity joins, WWW 2008). Pairs that
do come out of a sparse matrix product and are then measured exactly.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple
from unicodedata import category

import numpy as np
import pandas as pd

from playbook.data.folding import SIGNS, folded
from playbook.data.text import comparison_key, comparison_words

GRAM = 4
ALPHABET = 2**16 - 1  # distinct characters that are told apart; rarer ones count as one
CHUNK_ROWS = 1024
CHUNK_PAIRS = 50_000
ROUNDING = 1e-9
ALIKE, LEAST_ALIKE = 0.9, 0.5  # default: near duplicates whatever parts them; and the least where it is typos
TYPOS, GRAMS_OF_A_TYPO = 2, 5
LEAST_TEXTS, LEAST_RATIO = 3, 0.1  # that have a word of the data, and as a share of those that have the other word
DENYING = (
    "un",
    "in",
    "im",
    "il",
    "ir",
    "dis",
    "non",
)  # before a word, make its contrary (English; "un" in German, too)
DENIALS = frozenset(("not", "no", "never", "t", "nt"))  # "can't" is read as "can t"
SHORT = 24  # characters of a text in which only one typo is forgiven


class Pair(NamedTuple):
    """Positions of two texts and their similarity, from the threshold to 1."""

    left: int
    right: int
    similarity: float


class Comparison:
    """Texts read once, to be compared in any two parts.

    Args:
        texts: as they are; they are folded here.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        # ":-)" has no word, and is another text than ":-(".
        self._words = [comparison_words(folded(text)) or comparison_key(text) for text in texts]
        self._grams: Any = _gram_matrix(self._words) if self._words else None

    def near(self, left: Sequence[int], right: Sequence[int], similarity: float | None = None) -> list[Pair]:
        """All near duplicates with one text among `left` and one among `right`, by position, in order.

        Args:
            left: positions of texts.
            right: positions of texts.
            similarity: from which two texts are near duplicates; None for the threshold that follows length.
        """
        if not len(left) or not len(right):
            return []
        ours, theirs = np.asarray(left, dtype=np.int64), np.asarray(right, dtype=np.int64)
        grams = self._grams[np.concatenate([ours, theirs])]
        sizes = np.diff(grams.indptr)
        least = _thresholds(sizes, similarity)
        prefix, lengths = _prefixes(grams, sizes, least)
        split, found = len(ours), list[Pair]()
        their_prefix = prefix[split:].T.tocsr()
        for start in range(0, split, CHUNK_ROWS):
            shared = (prefix[start : min(start + CHUNK_ROWS, split)] @ their_prefix).tocoo()
            rows, columns = shared.row + start, shared.col + split
            likely = _likely(sizes, lengths, least, rows, columns, shared.data)
            found += _measured(grams, sizes, least, rows[likely], columns[likely])
        pairs = sorted(Pair(int(ours[one]), int(theirs[two - split]), alike) for one, two, alike in found)
        return [pair for pair in pairs if similarity is not None or pair.similarity >= ALIKE or self._typos(pair)]

    def _typos(self, pair: Pair) -> bool:
        one, two = self._words[pair.left], self._words[pair.right]
        most = 1 if max(len(one), len(two)) <= SHORT else TYPOS
        return _whole(one) == _whole(two) and edits(one, two, most) <= most and not self._other_words(one, two)

    def _other_words(self, one: str, two: str) -> bool:
        """Whether words of the data part the texts, and not only the blanks between them."""
        left, right = Counter(one.split()), Counter(two.split())
        parted = [*(left - right), *(right - left)]
        if not parted or one.replace(" ", "") == two.replace(" ", ""):
            return False
        if _denied(parted):
            return True
        counts = [self._texts_with[word] for word in parted]
        return min(counts) >= max(LEAST_TEXTS, LEAST_RATIO * max(counts))

    @cached_property
    def _texts_with(self) -> Counter[str]:
        """In how many texts each word is."""
        return Counter(word for text in self._words for word in set(text.split()))


def near_duplicates(left: Sequence[str], right: Sequence[str], similarity: float | None = None) -> list[Pair]:
    """All near duplicates with one text of `left` and one of `right`, by their positions there (see `Comparison`)."""
    if not left or not right:
        return []
    split = len(left)
    pairs = Comparison([*left, *right]).near(range(split), range(split, split + len(right)), similarity)
    return [Pair(pair.left, pair.right - split, pair.similarity) for pair in pairs]


def edits(one: str, two: str, most: int) -> int:
    """Edits between two texts (optimal string alignment); `most + 1` where there are more than `most`."""
    if abs(len(one) - len(two)) > most:
        return most + 1
    start = next((at for at, (a, b) in enumerate(zip(one, two, strict=False)) if a != b), min(len(one), len(two)))
    one, two = one[start:], two[start:]
    while one and two and one[-1] == two[-1]:
        one, two = one[:-1], two[:-1]
    before, last = [0] * (len(two) + 1), list(range(len(two) + 1))
    for i, a in enumerate(one, 1):
        row = [i]
        for j, b in enumerate(two, 1):
            row.append(min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (a != b)))
            if i > 1 and j > 1 and a == two[j - 2] and one[i - 2] == b:
                row[j] = min(row[j], before[j - 2] + 1)
        if min(row) > most:
            return most + 1
        before, last = last, row
    return min(last[-1], most + 1)


def _denied(parted: Sequence[str]) -> bool:
    """Whether of the words that part two texts one denies the other: "able" and "unable", "can" and "can't"."""
    if len(parted) == 1:
        return parted[0] in DENIALS
    short, long = sorted(parted, key=len)[:2]
    return len(parted) == 2 and (long in {before + short for before in DENYING} or long in (f"{short}nt", "cant"))


def _whole(text: str) -> str:
    """The characters that mean something by themselves: digits, Chinese characters and emoji."""
    return "".join(
        one
        for one in text
        if one.isdigit()
        or "\u3400" <= one <= "\u9fff"
        or (one > "\u2190" and one not in SIGNS and category(one) == "So")
    )


def _thresholds(sizes: Any, similarity: float | None) -> Any:
    """The least similarity of each text with another; of two texts the larger one counts, that of the longer text."""
    if similarity is not None:
        return np.full(len(sizes), similarity)
    changed = TYPOS * GRAMS_OF_A_TYPO
    return np.clip((sizes - changed) / (sizes + changed), LEAST_ALIKE, ALIKE)


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
    columns, different = pd.factorize(grams[inside])
    keys = np.sort(row[: len(grams)][inside] * np.int64(len(different)) + columns)
    keys = keys[np.concatenate([[True], np.diff(keys) > 0])]
    rows, columns = np.divmod(keys, len(different))
    frequency = np.bincount(columns)
    order = np.empty(len(frequency), dtype=np.int64)
    order[np.argsort(frequency, kind="stable")] = np.arange(len(frequency))
    matrix = csr_matrix(
        (np.ones(len(rows), dtype=np.int32), (rows, order[columns])), shape=(len(texts), len(frequency))
    )
    matrix.sort_indices()
    return matrix


def _prefixes(grams: Any, sizes: Any, least: Any) -> tuple[Any, Any]:
    """The rarest 4-grams of each row, as many as two similar rows cannot all differ in; and how many that is."""
    from scipy.sparse import csr_matrix

    length = np.minimum(sizes - np.ceil(least * sizes - ROUNDING).astype(np.int64) + 1, sizes)
    place = np.arange(grams.nnz) - np.repeat(grams.indptr[:-1], sizes)
    kept = place < np.repeat(length, sizes)
    starts = np.concatenate([[0], np.cumsum(length)])
    return csr_matrix((grams.data[kept], grams.indices[kept], starts), shape=grams.shape), length


def _overlap(sizes: Any, least: Any, rows: Any, columns: Any) -> Any:
    """4-grams that two rows must share to be near duplicates."""
    wanted = np.maximum(least[rows], least[columns])
    return wanted / (1 + wanted) * (sizes[rows] + sizes[columns]) - ROUNDING


def _likely(sizes: Any, lengths: Any, least: Any, rows: Any, columns: Any, shared: Any) -> Any:
    """Which pairs can still be near duplicates, by the 4-grams that their prefixes share."""
    rest = np.maximum(sizes[rows] - lengths[rows], sizes[columns] - lengths[columns])
    reach = np.minimum(shared + rest, np.minimum(sizes[rows], sizes[columns]))
    return reach >= _overlap(sizes, least, rows, columns)


def _measured(grams: Any, sizes: Any, least: Any, rows: Any, columns: Any) -> list[Pair]:
    found: list[Pair] = []
    for start in range(0, len(rows), CHUNK_PAIRS):
        left, right = rows[start : start + CHUNK_PAIRS], columns[start : start + CHUNK_PAIRS]
        common = np.asarray(grams[left].multiply(grams[right]).sum(axis=1)).ravel()
        near = common >= _overlap(sizes, least, left, right)
        jaccard = common / (sizes[left] + sizes[right] - common)
        found += map(Pair, left[near].tolist(), right[near].tolist(), jaccard[near].tolist())
    return found
