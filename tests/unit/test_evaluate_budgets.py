from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import dagster as dg
import numpy as np
import pandas as pd
import pytest
from report_samples import ORDINARY, answers_to_probabilities, dataset_for, spec_for
from served_models import write_tiny_weights
from tiny_base import write_tiny_base

from assets.budgets import require_budgets
from playbook.adapt.classifier import save_bundle
from playbook.artifacts import Score
from playbook.data.tables import LABEL, ROW_ID, TEXT
from playbook.evaluate.budgets import measure_budgets, over_budget, size_mb
from playbook.evaluate.compare import evaluate
from playbook.spec import TaskSpec


def spec_with(**limits: float) -> TaskSpec:
    return spec_for(ORDINARY, limits=[{"metric": name, "at_most": most} for name, most in limits.items()])


def measured(**figures: float) -> dict[str, Score]:
    return {name: Score(metric=name, value=value, low=value, high=value, n=1) for name, value in figures.items()}


def test_a_model_is_measured_in_a_clean_process(tmp_path: Path) -> None:
    pin = write_tiny_base(tmp_path / "base")
    weights = write_tiny_weights(tmp_path / "weights.safetensors", 3)
    folder = tmp_path / "bundle"
    save_bundle(folder, tmp_path / "base", pin, ("a", "b", "c"), weights, "float32")
    spec = spec_with(latency_p95_ms=1e6, size_mb=1e6, memory_mb=1e6)
    found = measure_budgets(spec, folder, ["my order is late", "reset"])
    assert set(found) == {"latency_p95_ms", "size_mb", "memory_mb"}
    assert found["size_mb"].value == size_mb(folder)
    assert 0 < found["latency_p95_ms"].value < 1000 and 0 < found["memory_mb"].value < 2000
    assert measure_budgets(spec_for(ORDINARY), folder, []) == {}


def test_what_is_over_its_limit_is_named_with_figure_limit_and_remedy() -> None:
    spec = spec_with(latency_p95_ms=50, size_mb=90)
    assert over_budget(spec.target.budgets, measured(latency_p95_ms=50.0, size_mb=12.5)) == ()
    (said,) = over_budget(spec.target.budgets, measured(latency_p95_ms=61.25, size_mb=12.5))
    assert said.startswith("latency_p95_ms: 61.2 ms against at most 50 ms asked, 11.2 ms over; choose a smaller base")


def test_a_model_over_a_limit_is_not_shipped_however_good_it_is(tmp_path: Path) -> None:
    spec, rows = spec_with(latency_p95_ms=50), 400
    truth = np.random.default_rng(1).integers(0, 5, rows)
    labels = [spec.labels[at] for at in truth]
    frame = pd.DataFrame({ROW_ID: [f"r{at}" for at in range(rows)], TEXT: ["a"] * rows, LABEL: labels})
    sides = {"baseline": answers_to_probabilities((truth + (np.arange(rows) % 4 == 0)) % 5, 5),
             "candidate": answers_to_probabilities(truth, 5)}  # fmt: skip
    fast = {name: measured(latency_p95_ms=20.0) for name in sides}
    slow = {name: measured(latency_p95_ms=61.0) for name in sides}
    given: dict[str, Any] = {"openings": 1}
    shipped = evaluate(spec, dataset_for(spec), frame, sides, tmp_path, measured=fast, **given)
    assert shipped.ship == "candidate" and shipped.candidate is not None
    assert shipped.candidate.scores["latency_p95_ms"].value == 20.0
    refused = evaluate(spec, dataset_for(spec), frame, sides, tmp_path, measured=slow, **given)
    assert refused.ship == "nothing"
    assert "latency_p95_ms 61.0 ms against at most 50 ms asked, 11.0 ms over" in refused.verdict


def test_a_package_over_a_limit_is_refused(tmp_path: Path) -> None:
    pd.DataFrame({TEXT: ["reset my password"] * 3}).to_parquet(tmp_path / "validation.parquet")
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "model.safetensors").write_bytes(b"0" * 3 * 2**20)
    store = SimpleNamespace(path=lambda *_: tmp_path / "validation.parquet")
    world, task = SimpleNamespace(store=store), SimpleNamespace(spec=spec_with(size_mb=2))
    play = cast("Any", SimpleNamespace(task=task, world=world))
    with pytest.raises(
        dg.Failure, match=r"size_mb: 3\.0 MB against at most 2 MB asked, 1\.0 MB over; choose a smaller"
    ):
        require_budgets(play, dataset_for(spec_with()), tmp_path / "bundle")
    play.task.spec = spec_with(size_mb=4)
    assert require_budgets(play, dataset_for(spec_with()), tmp_path / "bundle")["size_mb"].value == 3.0
