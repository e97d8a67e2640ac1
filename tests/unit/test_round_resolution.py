"""How many test rows a round needs: fewer only where a model can qualify by fixing what asked for the round."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from report_samples import ORDINARY, spec_for

from assets import rounds
from assets.incumbent import DATASET_TAG
from playbook.data.tables import LABEL
from playbook.evaluate.as_served import AsServed
from playbook.spec import TaskSpec
from playbook.statistics.operating_point import Threshold

ROWS = 300
OLD = frozenset(f"old-{number}" for number in range(300))
NEW = frozenset(f"new-{number}" for number in range(30))


def shares(wrong: range, known: int = len(ORDINARY)) -> np.ndarray:
    """Probabilities of a model that is wrong in some rows, shape (rows, classes); of unknown classes 0."""
    classes = len(ORDINARY)
    answers = np.arange(ROWS) % classes
    answers[list(wrong)] = (answers[list(wrong)] + 1) % classes
    out = np.full((ROWS, classes), 0.025)  # and 0.9: one
    out[np.arange(ROWS), answers] = 0.9
    out[:, known:] = 0.0
    return out


def rows_needed(
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    *asked_by: str,
    base_out: str = "",
    served_by: AsServed | None = None,
    known: int = len(ORDINARY),
    now: frozenset[str] | None = OLD,
    **target: Any,
) -> int:
    document = spec_for(ORDINARY).model_dump(mode="json")
    document["target"] |= {"margin": 0.06, "at_least": 0.5, "limits": [], **target}
    spec = TaskSpec.model_validate(document)
    labels = [ORDINARY[number % len(ORDINARY)] for number in range(ROWS)]
    pd.DataFrame({LABEL: labels}).to_parquet(place / "validation.parquet")
    columns = [f"p_{number}" for number in range(len(ORDINARY))]
    predictions = pd.DataFrame(shares(range(20, 48)), columns=columns).assign(**{LABEL: labels})
    predictions.to_parquet(place / "predictions.parquet")
    monkeypatch.setattr(rounds, "champion_on_validation", lambda *_: shares(range(40), known))
    monkeypatch.setattr(rounds, "champion_served", lambda *_: served_by or AsServed())
    served = SimpleNamespace(version="1.2.0", tags={DATASET_TAG: "before"})
    ids = {"before": OLD, "now": now}
    world = SimpleNamespace(
        store=SimpleNamespace(path=lambda one, asset, role: place / f"{role}.parquet"),
        registry=SimpleNamespace(versions=lambda task: [served]),
        datasets=SimpleNamespace(test_ids=lambda task, data: ids[data]),
    )
    play: Any = SimpleNamespace(task=SimpleNamespace(spec=spec), world=world)
    dataset = SimpleNamespace(dataset_hash="now", class_rows={"test": {"access": 300}})
    steps: Any = SimpleNamespace(dataset=dataset, model=SimpleNamespace(step="frozen_baseline"))
    current: Any = rounds.Round(served, asked_by, base_out)  # type: ignore[arg-type]
    return rounds.round_resolution(play, steps, current).needed


def test_only_what_a_model_can_fix_makes_fewer_rows_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def needed(*asked_by: str, **how: Any) -> int:
        return rows_needed(tmp_path, monkeypatch, *asked_by, **how)

    full, fewer = needed(), needed("task_changed")
    assert fewer < full / 4
    assert needed("better_base") == full, "the base of the model that serves is allowed: a gain has to be shown"
    assert needed("better_base", base_out="latency 40 ms over 3 ms") == fewer
    assert needed("new_class") == full, "the model that serves knows every class"
    assert needed("drift") == full, "the test split has no new rows to show a gain on"
    assert needed("drift", now=None) == full, "which rows are new is not known"
    assert needed("drift", now=OLD | NEW) == fewer


def test_a_class_that_the_incumbent_does_not_know_is_a_fix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = len(ORDINARY) - 1
    plain = rows_needed(tmp_path, monkeypatch, known=known)
    assert rows_needed(tmp_path, monkeypatch, "new_class", known=known) < plain


def test_the_incumbent_is_counted_as_it_serves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The version's own threshold makes its answers, whether or not the task has one now; 0.95 finds no row."""
    low, high = (AsServed(1.0, Threshold(0, value)) for value in (0.5, 0.95))
    precision = {"metric": "precision", "of_class": ORDINARY[0], "at_least": 0.9}
    for target in (precision, {}):
        needed = [rows_needed(tmp_path, monkeypatch, served_by=one, **target) for one in (low, high)]
        assert needed[0] != needed[1], target
