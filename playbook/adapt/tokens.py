"""Texts as ragged token ids: one flat array and offsets, no padding anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Tokens:
    """Token ids of `n` texts: `ids` is int32 of shape (tokens,), `offsets` is int64 of shape (n + 1,)."""

    ids: np.ndarray
    offsets: np.ndarray

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @cached_property
    def lengths(self) -> np.ndarray:
        """Tokens per text, shape (n,)."""
        return np.diff(self.offsets)

    def take(self, rows: np.ndarray) -> Tokens:
        """The texts at `rows`, in that order."""
        pieces = [self.ids[self.offsets[row] : self.offsets[row + 1]] for row in rows]
        return ragged(pieces)


def ragged(pieces: Sequence[np.ndarray] | Sequence[Sequence[int]]) -> Tokens:
    """Join token id lists."""
    offsets = np.zeros(len(pieces) + 1, dtype=np.int64)
    np.cumsum([len(piece) for piece in pieces], out=offsets[1:])
    ids = np.concatenate([np.asarray(piece, dtype=np.int32) for piece in pieces]) if pieces else np.zeros(0, np.int32)
    return Tokens(ids.astype(np.int32, copy=False), offsets)


def tokenize(texts: Sequence[str], tokenizer_file: Path, max_length: int) -> Tokens:
    """Tokenise with the base's own tokenizer.json, special tokens included, cut at `max_length` tokens."""
    found = tokenizer_file.stat()
    tokenizer = _tokenizer(str(tokenizer_file), (found.st_ino, found.st_size, found.st_mtime_ns), max_length)
    return ragged([encoding.ids for encoding in tokenizer.encode_batch(list(texts))])


@lru_cache(maxsize=4)
def _tokenizer(file: str, stamp: tuple[int, int, int], max_length: int) -> Any:
    """A tokenizer ready for use, which takes long to read; `stamp` (inode, size, time) tells a changed file."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(file)
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_length=max_length)
    return tokenizer
