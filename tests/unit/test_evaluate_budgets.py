from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import dagster as dg
import numpy as np
import pandas as pd
import pytest
from report_samples import ORDINARY, answers_to_probabilities, dataset_for, score, spec_for

from assets import early_end, scope
from assets.budgets import require_budgets
from playbook.artifacts import DatasetVersion, Decision, FrozenBaseline, Score
from playbook.data.tables import LABEL, ROW_ID, TEXT
from playbook.evaluate.budgets import over_budget, time_reference
from playbook.evaluate.compare import evaluate
from playbook.evaluate.early_end import judge_claim
from playbook.spec import TaskSpec
from playbook.statistics.answers import answers_of


def spec_with(**limits: float) -> TaskSpec:
    return spec_for(ORDINARY, limits=[{"metric": name, "at_most": most} for name, most in limits.items()])


def measured(**figures: float) -> dict[str, Score]:
    return {name: Score(metric=name, value=value, low=value, high=value, n=1) for name, value in figures.items()}


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


def test_a_claim_names_every_limit_on_the_model_and_is_not_confirmed_over_one() -> None:
    spec = spec_with(latency_p95_ms=50, memory_mb=90)
    met = {"accuracy": score(0.95)}
    found = judge_claim(spec, "tfidf", score(0.95), met, openings=1, measured=measured(latency_p95_ms=20.0))
    assert found.confirmed and found.test["latency_p95_ms"].value == 20.0
    assert "Limits on the model: latency_p95_ms 20.0 ms against at most 50 ms asked" in found.text
    assert "memory_mb was not measured (at most 90 asked): judge it on what is put into service." in found.text
    slow = judge_claim(spec, "tfidf", score(0.95), met, openings=1, measured=measured(latency_p95_ms=61.0))
    assert (slow.confirmed, slow.missed) == (False, ("latency_p95_ms",))
    assert "Limits on the model" not in judge_claim(spec_for(ORDINARY), "tfidf", score(0.95), met, openings=1).text


def test_the_time_of_a_references_answers_is_measured_where_it_is_asked() -> None:
    def slow(texts: object) -> None:
        time.sleep(0.003)

    assert time_reference(spec_with(memory_mb=9), slow, ["a"]) == {}
    assert 3 <= time_reference(spec_with(latency_p95_ms=1), slow, ["a"])["latency_p95_ms"].value < 300


def play_of(spec: TaskSpec, folder: Path) -> Any:
    return SimpleNamespace(task=SimpleNamespace(spec=spec), report=lambda text: None, work=lambda key: folder)


@pytest.mark.parametrize(("milliseconds", "asked"), [(61.0, False), (20.0, True)])
def test_a_frozen_baseline_over_a_limit_asks_no_test_split(
    milliseconds: float, asked: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, truth = spec_with(latency_p95_ms=50), np.arange(400) % 5
    claims: list[Any] = []

    def confirm(*given: Any) -> Any:
        claims.append(given[-2])
        return judge_claim(spec, "frozen_baseline", score(0.99), {"accuracy": score(0.99)}, openings=1)

    answers = answers_of(answers_to_probabilities(truth, 5))
    replaced = {
        "incumbent_of": lambda *given: None, "terms_now": lambda *given: SimpleNamespace(key="t"), "confirm": confirm,
        "_validation": lambda *given: (truth, answers), "trained_model": lambda *given: None,
        "validation_table": lambda *given: (truth, answers.probabilities), "asset_of": lambda model: "frozen_baseline",
        "measured_model": lambda *given: measured(latency_p95_ms=milliseconds),
        "remembered": lambda play, kind, inputs, make: make("key").artifact,
    }  # fmt: skip
    for name, function in replaced.items():
        monkeypatch.setattr(early_end, name, function)
    play = play_of(spec, tmp_path)
    play.world = SimpleNamespace(store=SimpleNamespace(path=lambda *given: tmp_path))
    found = early_end._asked(
        play, DatasetVersion(task="demo", number=1), Decision(task="demo"), FrozenBaseline(task="demo")
    )
    assert found.ends is asked and bool(claims) is asked
    if asked:
        assert claims[0]["latency_p95_ms"].value == milliseconds
    else:
        assert "meets the target on validation, but is over a limit: latency_p95_ms: 61.0 ms against" in found.reason


def test_a_reference_over_a_limit_ends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("playbook.evaluate.budgets.time_reference", lambda *given: measured(latency_p95_ms=2.0))
    found: Any = SimpleNamespace(meets_target="tfidf", predictors={"tfidf": SimpleNamespace(probabilities=None)})
    frame = pd.DataFrame({TEXT: ["a"]})
    meets, why, _ = scope._within_budgets(play_of(spec_with(latency_p95_ms=1), tmp_path), found, frame)
    assert meets == "" and "tfidf meets the target on validation, but not every limit on the model." in why
    assert scope._within_budgets(play_of(spec_with(latency_p95_ms=3), tmp_path), found, frame)[0] == "tfidf"


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
