"""The activations cache: the same numbers as computing again, made once, whole or not at all."""

from __future__ import annotations

import multiprocessing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from adapt_samples import make_bench, opened, pairs, silent
from tiny_base import write_tiny_base

from playbook.adapt import cache as module
from playbook.adapt.cache import Recomputed, build_cache, chunks_of, length_order
from playbook.adapt.frozen import frozen_features
from playbook.adapt.rows import cache_folder
from playbook.adapt.tokens import tokenize

BOUNDARIES = (0, 1)
CHILDREN = multiprocessing.get_context("forkserver")  # imports torch once for all children
CHILDREN.set_forkserver_preload(["playbook.adapt.frozen", "transformers", "pytest"])
# Rows stand in other groups than when the cache was filled, and products of other shapes may round their last bit
# otherwise: eps of float32 is 1.2e-7 and of bfloat16 7.8e-3, on numbers up to about 4.
WITHIN = {torch.float32: 1e-5, torch.bfloat16: 4e-2}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    write_tiny_base(folder)
    return folder


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
def test_it_equals_computing_again_at_every_boundary(dtype: torch.dtype, base: Path, tmp_path: Path) -> None:
    encoder, tokens = opened(base)
    cache = build_cache(tmp_path / "cache", encoder, tokens, BOUNDARIES, dtype, silent)
    again = Recomputed(encoder, tokens, dtype)
    order = length_order(tokens)
    mixed = np.random.default_rng(5).permutation(len(tokens))[:23]
    for rows in (order, mixed[np.argsort(tokens.lengths[mixed], kind="stable")], order[7:8]):
        for boundary in BOUNDARIES:
            kept, spans = cache.gather(rows, boundary)
            computed, same_spans = again.gather(rows, boundary)
            assert spans == same_spans and kept.dtype == computed.dtype == dtype
            assert kept.shape == (tokens.lengths[rows].sum(), encoder.width)
            assert (kept - computed).abs().max() <= WITHIN[dtype]
            if boundary == 0 or len(rows) == len(tokens):  # embeddings alone, or the groups of the filling
                assert torch.equal(kept, computed)


def test_features_are_the_pooled_top(base: Path, tmp_path: Path) -> None:
    encoder, tokens = opened(base)
    cache = build_cache(tmp_path / "cache", encoder, tokens, BOUNDARIES, torch.float32, silent)
    order = length_order(tokens)
    for boundary in BOUNDARIES:
        hidden, spans = cache.gather(order, boundary)
        with torch.no_grad():
            pooled = encoder.pool(encoder.run(hidden, spans, boundary), spans).numpy()
        assert np.abs(cache.features[order] - pooled).max() < 1e-6
    assert cache.features.shape == (60, 32) and cache.features.dtype == np.float32


def test_small_chunks_give_the_same_answers(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder, tokens = opened(base)
    whole = build_cache(tmp_path / "whole", encoder, tokens, BOUNDARIES, torch.float32, silent)
    monkeypatch.setattr(module.chunks_of, "__defaults__", (40,))
    parts = build_cache(tmp_path / "parts", encoder, tokens, BOUNDARIES, torch.float32, silent)
    order = length_order(tokens)
    for boundary in BOUNDARIES:
        assert (parts.gather(order, boundary)[0] - whole.gather(order, boundary)[0]).abs().max() < 1e-5
    assert np.abs(parts.features - whole.features).max() < 1e-5


def test_chunks_cover_all_rows_within_the_budget() -> None:
    lengths = np.array([3, 3, 4, 50, 2, 2, 2])
    assert list(chunks_of(lengths, 10)) == [slice(0, 3), slice(3, 4), slice(4, 7)]
    assert list(chunks_of(lengths[:0], 10)) == []


def test_the_folder_depends_on_all_that_the_numbers_depend_on(base: Path, tmp_path: Path) -> None:
    _, tokens = opened(base)
    other = tokens.take(np.arange(59))
    seen = {
        cache_folder(tmp_path, pin, rows, boundaries, dtype)
        for pin in ("a", "b")
        for rows in (tokens, other)
        for boundaries in ((0, 1), (1,))
        for dtype in (torch.float32, torch.bfloat16)
    }
    assert len(seen) == 16
    same = tokenize([row["text"] for row in pairs(60, seed=3)], base / "tokenizer.json", 32)
    assert cache_folder(tmp_path, "a", same, (0, 1), torch.float32) in seen


def test_two_poolings_of_the_same_weights_share_nothing(tmp_path: Path) -> None:
    bench = make_bench(tmp_path, 40, 20)
    mean = frozen_features(bench.frozen(), silent).features
    other = replace(bench, pin=bench.pin.model_copy(update={"pooling": "cls"}))
    cls = frozen_features(other.frozen(), silent).features
    assert mean.shape == cls.shape and not np.allclose(mean, cls)
    assert np.array_equal(frozen_features(bench.frozen(), silent).features, mean)


def test_a_folder_without_its_last_file_is_made_again(base: Path, tmp_path: Path) -> None:
    encoder, tokens = opened(base)
    folder = tmp_path / "cache"
    build_cache(folder, encoder, tokens, BOUNDARIES, torch.float32, silent)
    (folder / "about.json").unlink()
    (folder / "boundary_1.bin").write_bytes(b"")
    again = build_cache(folder, encoder, tokens, BOUNDARIES, torch.float32, silent)
    assert len(again.gather(length_order(tokens), 1)[0]) == tokens.lengths.sum()
