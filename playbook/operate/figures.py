"""Simple figures of every input, beside its features: what drift is looked for in (6.4).

No text is kept. Of each row there are the features of the frozen base, its length in words, the share of its tokens
that the tokenizer does not know, and its letters by script (Unicode's character names: `LATIN SMALL LETTER A`).
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from playbook.adapt.features import FeatureExtractor

SCRIPTS = (
    "LATIN", "CYRILLIC", "GREEK", "ARABIC", "HEBREW", "DEVANAGARI", "BENGALI", "TAMIL", "THAI", "GEORGIAN", "ARMENIAN",
    "HANGUL", "CJK", "HIRAGANA", "KATAKANA", "OTHER",
)  # fmt: skip
WORD_MARKS = (
    "##",
    "\u2581",
    "\u0120",
    "\u010a",
    "</w>",
)  # of WordPiece, SentencePiece, byte-level BPE (blank, line), BPE


@dataclass(frozen=True, eq=False)
class RowFigures:
    """Figures of `n` inputs.

    `features` is float32 of shape (n, width), `words` int32 (n,), `unknown` float32 (n,), a share of tokens, and
    `letters` int32 (n, scripts), counts in the order of `SCRIPTS`.
    """

    features: npt.NDArray[np.float32]
    words: npt.NDArray[np.int32]
    unknown: npt.NDArray[np.float32]
    letters: npt.NDArray[np.int32]

    def __post_init__(self) -> None:
        rows = len(self.features)
        shapes = (self.features.ndim, self.words.shape, self.unknown.shape, self.letters.shape)
        if shapes != (2, (rows,), (rows,), (rows, len(SCRIPTS))):
            raise ValueError(f"expected features (n, width) and figures of as many rows, found {shapes}")
        if not np.isfinite(self.features).all():
            raise ValueError("some features are not numbers; the base's weights are broken")

    def __len__(self) -> int:
        return len(self.features)

    def take(self, rows: npt.NDArray[np.integer[Any]]) -> RowFigures:
        """The inputs at `rows`, in that order."""
        return RowFigures(self.features[rows], self.words[rows], self.unknown[rows], self.letters[rows])

    @property
    def script(self) -> int:
        """Place in `SCRIPTS` of the script that has most letters; the first where there is no letter."""
        return int(self.letters.sum(axis=0).argmax())

    def foreign(self, script: int) -> npt.NDArray[np.float64]:
        """Share of each row's letters that are of another script than this place of `SCRIPTS`; 0 without letters."""
        total = self.letters.sum(axis=1)
        return (total - self.letters[:, script]) / np.maximum(total, 1)


def row_figures(texts: Sequence[str], extractor: FeatureExtractor) -> RowFigures:
    """Figures of texts, with the features of the extractor's frozen base."""
    return RowFigures(
        features=extractor(texts),
        words=np.array([len(text.split()) for text in texts], np.int32),
        unknown=unknown_share(texts, extractor),
        letters=letter_counts(texts),
    )


def unknown_share(texts: Sequence[str], extractor: FeatureExtractor) -> npt.NDArray[np.float32]:
    """Share of each text's tokens, special ones left out, that stand for something the vocabulary does not have.

    That is the tokenizer's unknown token. Where it has none, as in byte-level BPE, or falls back to bytes, it is the
    pieces of a single byte or character: strange words fall apart into them.
    """
    file = extractor.folder / "tokenizer.json"
    found = file.stat()
    special, unknown = _kinds(str(file), (found.st_ino, found.st_size, found.st_mtime_ns))
    tokens = extractor.tokens(texts)
    owner = np.repeat(np.arange(len(tokens)), tokens.lengths)
    counted = ~_marked(special, tokens.ids)
    total = np.bincount(owner[counted], minlength=len(tokens))
    strange = np.bincount(owner[counted & _marked(unknown, tokens.ids)], minlength=len(tokens))
    return (strange / np.maximum(total, 1)).astype(np.float32)


def letter_counts(texts: Sequence[str]) -> npt.NDArray[np.int32]:
    """Letters of each text by script, int32 of shape (texts, scripts)."""
    counts = np.zeros((len(texts), len(SCRIPTS)), np.int32)
    for at, text in enumerate(texts):
        if text.isascii():
            counts[at, 0] = sum(map(str.isalpha, text))
            continue
        for sign in text:
            place = _script(sign)
            if place is not None:
                counts[at, place] += 1
    return counts


@lru_cache(maxsize=65536)
def _script(sign: str) -> int | None:
    """Place of a letter's script in `SCRIPTS`; None for anything that is not a letter."""
    if not sign.isalpha():
        return None
    first = unicodedata.name(sign, "OTHER").replace("FULLWIDTH ", "").replace("HALFWIDTH ", "").split()[0]
    return SCRIPTS.index(first) if first in SCRIPTS else len(SCRIPTS) - 1


def _marked(kind: npt.NDArray[np.integer[Any]], ids: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.bool_]:
    return np.isin(ids, kind)


@lru_cache(maxsize=4)
def _kinds(file: str, stamp: tuple[int, int, int]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Ids of special tokens and of tokens for the unknown; `stamp` (inode, size, time) tells a changed file."""
    document = json.loads(Path(file).read_text(encoding="utf-8"))
    model = document["model"]
    vocabulary = _vocabulary(model.get("vocab") or {})
    added = {token["content"]: int(token["id"]) for token in document.get("added_tokens", ()) if token.get("special")}
    known = _unknown_id(model, vocabulary | added)
    unknown = set() if known is None else {known}
    if not unknown or model.get("byte_fallback"):
        unknown |= {number for piece, number in vocabulary.items() if _single(piece)}
    special = set(added.values()) - unknown
    return np.array(sorted(special), np.int64), np.array(sorted(unknown), np.int64)


def _vocabulary(vocabulary: Any) -> dict[str, int]:
    """Pieces and their ids; Unigram models list pieces with their scores, the others map."""
    if isinstance(vocabulary, dict):
        return {str(piece): int(number) for piece, number in vocabulary.items()}
    return {str(entry[0]): number for number, entry in enumerate(vocabulary)}


def _unknown_id(model: dict[str, Any], known: dict[str, int]) -> int | None:
    if isinstance(model.get("unk_id"), int):
        return int(model["unk_id"])
    return known.get(str(model["unk_token"])) if model.get("unk_token") else None


def _single(piece: str) -> bool:
    """Whether a piece stands for one byte (`<0x0A>`) or one character."""
    if piece.startswith("<0x") and piece.endswith(">"):
        return True
    for mark in WORD_MARKS:
        piece = piece.removeprefix(mark).removesuffix(mark)
    return len(piece) == 1
