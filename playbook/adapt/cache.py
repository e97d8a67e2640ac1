"""Activations below the first unfrozen block: computed once, or again in every step.

What is frozen does not change, so its output for a row is the same in every epoch of every rung. `ActivationCache`
runs the base once over all rows (bfloat16 or float32, inference mode, sorted by length) and keeps the output at each
boundary that a rung will start from in a memory-mapped file; one pass serves all rungs and the frozen baseline.
`Recomputed` gives the same answers the slow way, which is what the cache is tested against.

The idea is old (feature extraction, e.g. Donahue et al. 2014, "DeCAF"); here it moves up the staircase with the rungs.
"""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor

from playbook.adapt.encoder import Encoder, Span, spans_of
from playbook.adapt.tokens import Tokens

TOKENS_PER_CALL = 4096  # fewer lose matrix throughput, more lose the processor's cache
Report = Callable[[str], None]


class Activations(Protocol):
    """Where a rung gets what comes out of the frozen blocks."""

    def gather(self, rows: np.ndarray, boundary: int) -> tuple[Tensor, list[Span]]:
        """Packed (tokens, width) activations at `boundary` of `rows`, which are ordered by length, and their spans."""
        ...


def length_order(tokens: Tokens) -> np.ndarray:
    """Rows sorted by length, ties in their own order."""
    return np.argsort(tokens.lengths, kind="stable")


def chunks_of(lengths: np.ndarray, budget: int = TOKENS_PER_CALL) -> Iterator[slice]:
    """Consecutive rows of at most `budget` tokens together, at least one row each."""
    start, total = 0, 0
    for row, length in enumerate(lengths):
        if total + length > budget and row > start:
            yield slice(start, row)
            start, total = row, 0
        total += int(length)
    if start < len(lengths):
        yield slice(start, len(lengths))


def embed_rows(encoder: Encoder, tokens: Tokens, rows: np.ndarray, dtype: torch.dtype) -> tuple[Tensor, list[Span]]:
    """Embedding output of `rows` (ordered by length) and their spans."""
    packed = tokens.take(rows)
    spans = spans_of(packed.lengths)
    ids = torch.from_numpy(packed.ids).long().to(encoder.embeddings.word.device)
    return encoder.embeddings(ids, spans, dtype), spans


class Recomputed:
    """The uncached path: embeddings and frozen blocks run again for every batch."""

    def __init__(self, encoder: Encoder, tokens: Tokens, dtype: torch.dtype) -> None:
        self.encoder, self.tokens, self.dtype = encoder, tokens, dtype

    def gather(self, rows: np.ndarray, boundary: int) -> tuple[Tensor, list[Span]]:
        """See `Activations.gather`."""
        with torch.no_grad():
            hidden, spans = embed_rows(self.encoder, self.tokens, rows, self.dtype)
            return self.encoder.run(hidden, spans, 0, boundary), spans


class TokenIds:
    """Below the embeddings there is nothing to compute: where they are trained too, a step gets the ids themselves."""

    def __init__(self, tokens: Tokens) -> None:
        self.tokens = tokens

    def gather(self, rows: np.ndarray, boundary: int) -> tuple[Tensor, list[Span]]:
        """Token ids, int64 of shape (tokens,), and spans of `rows`, which are ordered by length."""
        packed = self.tokens.take(rows)
        return torch.from_numpy(packed.ids).long(), spans_of(packed.lengths)


class ActivationCache:
    """Memory-mapped activations of all rows at some boundaries, and the pooled features at the top."""

    def __init__(self, folder: Path) -> None:
        about = json.loads((folder / "about.json").read_text())
        self.folder, self.width = folder, int(about["width"])
        self.dtype = getattr(torch, about["dtype"])
        self.boundaries: list[int] = about["boundaries"]
        self.lengths = np.load(folder / "lengths.npy")
        self._starts = np.load(folder / "starts.npy")
        self._open: dict[int, Tensor] = {}

    @property
    def features(self) -> np.ndarray:
        """Pooled output of the whole frozen base, float32 of shape (rows, width)."""
        return np.load(self.folder / "features.npy")

    def gather(self, rows: np.ndarray, boundary: int) -> tuple[Tensor, list[Span]]:
        """See `Activations.gather`."""
        if boundary not in self._open:
            path = self.folder / f"boundary_{boundary}.bin"
            size = int(self.lengths.sum()) * self.width
            self._open[boundary] = torch.from_file(str(path), size=size, dtype=self.dtype).view(-1, self.width)
        lengths = self.lengths[rows]
        begin = np.repeat(self._starts[rows] - np.concatenate([[0], np.cumsum(lengths)[:-1]]), lengths)
        places = torch.from_numpy(begin + np.arange(int(lengths.sum())))
        return self._open[boundary].index_select(0, places), spans_of(lengths)


def build_cache(
    folder: Path, encoder: Encoder, tokens: Tokens, boundaries: Sequence[int], dtype: torch.dtype, report: Report
) -> ActivationCache:
    """Open the cache at `folder`, computing it first where it is missing. Safe against kills and a second process."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not (folder / "about.json").exists():
            part = folder.with_name(f"{folder.name}.{uuid.uuid4().hex}.part")
            part.mkdir()
            try:
                _fill(part, encoder, tokens, sorted(set(boundaries)), dtype, report)
                shutil.rmtree(folder, ignore_errors=True)
                part.rename(folder)
            finally:
                shutil.rmtree(part, ignore_errors=True)
    return ActivationCache(folder)


@torch.inference_mode()
def _fill(
    folder: Path, encoder: Encoder, tokens: Tokens, boundaries: list[int], dtype: torch.dtype, report: Report
) -> None:
    order = length_order(tokens)
    lengths = tokens.lengths[order]
    starts = np.zeros(len(order), dtype=np.int64)
    starts[order] = np.cumsum(lengths) - lengths
    features = np.zeros((len(order), encoder.width), dtype=np.float32)
    files = {boundary: (folder / f"boundary_{boundary}.bin").open("wb") for boundary in boundaries}
    try:
        for part in chunks_of(lengths):
            rows = order[part]
            hidden, spans = embed_rows(encoder, tokens, rows, dtype)
            for number, block in enumerate([*encoder.blocks, None]):
                if number in files:
                    files[number].write(hidden.cpu().contiguous().view(torch.uint8).numpy().tobytes())
                hidden = block(hidden, spans) if block is not None else hidden
            features[rows] = encoder.pool(hidden, spans).cpu().numpy()
            if part.stop * 4 // len(order) != part.start * 4 // len(order):
                report(f"frozen base: {part.stop} of {len(order)} rows")
    finally:
        for file in files.values():
            file.close()
    np.save(folder / "features.npy", features)
    np.save(folder / "lengths.npy", tokens.lengths)
    np.save(folder / "starts.npy", starts)
    about = {"width": encoder.width, "dtype": str(dtype).removeprefix("torch."), "boundaries": boundaries}
    (folder / "about.json").write_text(json.dumps(about))
