"""What the champion answers to validation in a round: asked once, and scored by its own temperature and threshold."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from report_samples import ORDINARY, dataset_for, spec_for

from assets import champion_answers, refresh
from assets.champion_answers import champion_on_validation
from assets.play import Play
from playbook.data.tables import LABEL, TEXT
from playbook.operate.answering import AnsweringRules, save_rules
from playbook.plays import DATASET
from playbook.store import Store

KNOWN = ORDINARY[1:]  # the task has grown by the first class since
TABLE = np.array([[0.0, 0.7, 0.2, 0.05, 0.05], [0.0, 0.1, 0.2, 0.3, 0.4]])


@pytest.fixture
def play(tmp_path: Path) -> Play:
    def work(task: str, asset: str, key: str = "") -> Path:
        folder = tmp_path / "work" / asset / key
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    world: Any = SimpleNamespace(store=Store(str(tmp_path / "store"), tmp_path / "cache"), work=work)
    context: Any = SimpleNamespace(log=SimpleNamespace(info=lambda text: None))
    task: Any = SimpleNamespace(spec=spec_for(ORDINARY))
    return Play(context, world, task, "refresh")


def test_it_is_asked_once_by_whichever_play_comes_first(
    play: Play, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    validation, asked = tmp_path / "validation.parquet", []
    pd.DataFrame({TEXT: ["one", "two"], LABEL: ORDINARY[:2]}).to_parquet(validation)
    dataset = play.world.store.put(DATASET, dataset_for(play.task.spec, files={}), {"validation": validation})

    def answer(texts: list[str]) -> np.ndarray:
        asked.append(texts)
        return TABLE[:, 1:]

    model = SimpleNamespace(load=lambda folder: SimpleNamespace(labels=KNOWN, predict_proba=answer))
    monkeypatch.setattr(champion_answers, "champion_model", lambda *_: model)
    at: Any = SimpleNamespace(version="1.2.0", bundle_sha256="b")
    first = champion_on_validation(play, dataset, at)
    again = champion_on_validation(Play(play.context, play.world, play.task, "evaluation"), dataset, at)
    assert asked == [["one", "two"]]
    assert np.array_equal(first, TABLE) and np.array_equal(again, TABLE)


@pytest.mark.parametrize(("decide_from", "classes"), [(0.0, [1, 4]), (0.25, [1, 3])])
def test_a_refresh_has_to_beat_the_champion_as_it_serves(
    play: Play, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, decide_from: float, classes: list[int]
) -> None:
    """Fitted to rows of a class that it does not know, its temperature would run away and even its answers out."""
    monkeypatch.setattr(refresh, "champion_on_validation", lambda *_: TABLE)
    if decide_from:
        save_rules(AnsweringRules(of_class=ORDINARY[3], decide_from=decide_from), tmp_path)
    start: Any = SimpleNamespace(bundle=tmp_path)
    found = refresh._answers_before(play, *(None, None), start)  # type: ignore[arg-type]
    assert found.classes.tolist() == classes
    assert found.probabilities == pytest.approx(TABLE, abs=1e-6)
