"""Whether another base of the list is preferred to the one that serves, and how often by chance."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from adapt_samples import LABELS
from report_samples import PIN, spec_for

from assets.retrain import _better_base
from playbook.artifacts import BaseCandidate, BasePin, BaseSelection, BaseTrial, Evaluation, RoundVerdict
from playbook.bases import trial
from playbook.bases.bake_off import Measured, Rows
from playbook.bases.choice import Standing
from playbook.bases.probe import Slice
from playbook.bases.trial import try_bases
from playbook.decide.log import DecisionLog
from playbook.operate.policy import Facts, decide_retraining
from playbook.operate.rounds import ask_for_round, take_up
from playbook.plays import BASE, BASE_TRIAL, EVALUATION
from playbook.spec import Base, TaskSpec
from playbook.statistics.answers import answers_of
from playbook.statistics.metric import target_metric
from playbook.store import Store

SPEC = spec_for(LABELS)
TRUTH = np.arange(400) % 2
OTHER = PIN.model_copy(update={"name": "other", "weights_sha256": "7" * 64})
NOTHING = pd.DataFrame()


def standing(place: int, wrong: np.ndarray, **more: Any) -> Standing:
    predicted = TRUTH.copy()
    predicted[wrong] = 1 - predicted[wrong]
    known = {"relevance": "general", "tokens_per_word": 1.2, "unknown_share": 0.0, "latency_ms": 5.0, **more}
    score = target_metric(SPEC).score(TRUTH, predicted)
    return Standing(place=place, name=f"base{place}", score=score, answers=answers_of(predicted), **known)


def tried(
    monkeypatch: pytest.MonkeyPatch,
    standings: tuple[Standing, ...],
    *outs: str,
    pins: tuple[BasePin, ...] = (PIN, OTHER),
    spec: TaskSpec = SPEC,
) -> BaseTrial:
    """A trial whose measurements are given; the base that serves is the first."""
    slice_ = Slice(texts=(), labels=TRUTH)
    names = [pin.name for pin in pins]
    candidates = tuple(
        BaseCandidate(name=name, pin=pin, out=out)
        for name, pin, out in zip(names, pins, [*outs, *[""] * len(pins)][: len(pins)], strict=True)
    )
    monkeypatch.setattr(
        trial, "measure_bases", lambda *_: Measured(Rows(slice_, slice_), candidates, standings, "a laptop")
    )
    return try_bases(spec, (), PIN, NOTHING, NOTHING, lambda _: None)


def test_a_base_that_is_clearly_ahead_is_preferred(monkeypatch: pytest.MonkeyPatch) -> None:
    found = tried(monkeypatch, (standing(0, np.arange(120)), standing(1, np.arange(40))))
    assert found.preferred == OTHER and found.gain is not None
    assert found.gain.value == pytest.approx(0.2) and found.gain.low > 0
    assert found.why.startswith(f"other instead of {PIN.title}: +0.2000 (")
    assert (found.serving_weights, found.false_alarm_rate) == (PIN.weights_sha256, 0.025)


def test_a_close_call_moves_nothing_that_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bake-off would give it to the more relevant base; for a base that serves that is not a reason to change."""
    near = standing(1, np.arange(100, 202), relevance="same_domain")
    found = tried(monkeypatch, (standing(0, np.arange(100)), near))
    assert found.preferred is None and found.gain is not None
    assert "which may be chance" in found.why


def test_the_base_that_serves_stays_where_it_is_chosen_again(monkeypatch: pytest.MonkeyPatch) -> None:
    found = tried(monkeypatch, (standing(0, np.arange(40)), standing(1, np.arange(120))))
    assert found.preferred is None and "the rule of the bake-off chooses it again" in found.why


def test_a_base_that_is_out_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    found = tried(monkeypatch, (standing(1, np.arange(120)),), "disk 90 MiB: at most 20")
    assert found.preferred == OTHER and found.gain is None
    assert found.why.endswith("which is out: disk 90 MiB: at most 20")
    gone = tried(monkeypatch, (standing(0, np.arange(9)),), pins=(OTHER,))
    assert gone.why.endswith("which is out: it is no longer a base of the task file")


@pytest.mark.proof
def test_chance_alone_seldom_prefers_another_base(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three bases that are alike: at most 2.5 % of trials may prefer another than the one that serves."""
    rng, times, preferred = np.random.default_rng(5), 150, 0
    third = OTHER.model_copy(update={"name": "third", "weights_sha256": "8" * 64})
    quick = SPEC.model_copy(update={"evaluation": SPEC.evaluation.model_copy(update={"resamples": 250})})
    for _ in range(times):
        alike = tuple(standing(place, np.flatnonzero(rng.random(len(TRUTH)) < 0.2)) for place in range(3))
        preferred += tried(monkeypatch, alike, pins=(PIN, OTHER, third), spec=quick).preferred is not None
    assert preferred <= 9, "of 150, 4 are expected at most; more than nine come by chance once in a hundred times"


# --- what the policy makes of it


class World:
    """A store with results of a task."""

    def __init__(self, folder: Path) -> None:
        self.store = Store(str(folder / "store"), folder / "cache")

    def put(self, asset: str, artifact: Any) -> Any:
        made = self.store.put(asset, artifact, {})
        self.store.set_current("demo", asset, made.play_key)
        return made


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def asks(world: World, done: Any = None, pin: BasePin = PIN) -> str:
    play: Any = SimpleNamespace(world=world, task=SimpleNamespace(spec=SPEC))
    champion: Any = SimpleNamespace(pin=pin, registered=SimpleNamespace(version="1.0.0"))
    return _better_base(play, champion, done)


def preferring(made_at: str = "2026-05-01T04:00:00+00:00") -> BaseTrial:
    return BaseTrial(
        task="demo", play_key="k", made_at=made_at, serving_weights=PIN.weights_sha256, dataset_hash="d1",
        preferred=OTHER, why="other instead of it", false_alarm_rate=0.025,
    )  # fmt: skip


def test_a_trial_that_prefers_another_base_fires_its_trigger(world: World) -> None:
    assert asks(world) == ""
    world.put(BASE_TRIAL, preferring().model_copy(update={"preferred": None}))
    assert asks(world) == ""
    world.put(BASE_TRIAL, preferring())
    said = asks(world)
    assert said == "other instead of it (a trial prefers another base without cause in 2.5% of cases at most)"
    assert asks(world, pin=OTHER) == "", "it was tried beside another model's base"
    spec = SPEC.model_copy(update={"base": Base(folder="x", sha256="0" * 64, licence="MIT")})
    assert decide_retraining(spec, Facts(day=date(2026, 5, 2), version="1.0.0", better_base=said)).triggers == {
        "better_base": said
    }


def test_what_a_round_has_tried_is_not_asked_for_again(world: World, tmp_path: Path) -> None:
    world.put(BASE_TRIAL, preferring())
    log = DecisionLog(tmp_path / "log" / "decisions.jsonl")
    asked = ask_for_round(log, "demo", {"better_base": "other"}, by="playbook")
    begun = take_up(log, "demo", [asked], "a round", {})
    assert asks(world, begun) == "", "a round has begun since"
    world.put(BASE_TRIAL, preferring("2099-01-01T04:00:00+00:00"))
    assert asks(world, begun) != ""
    kept = RoundVerdict(incumbent="1.0.0", margin=0.01, tolerance=0.01)
    world.put(EVALUATION, Evaluation(task="demo", play_key="k", dataset_hash="d1", ship="incumbent", round=kept))
    world.put(BASE, BaseSelection(task="demo", play_key="k", pin=OTHER))
    assert asks(world, begun) == "", "a round on these very rows has tried that base, and the champion stayed"
    world.put(BASE, BaseSelection(task="demo", play_key="l", pin=PIN))
    assert asks(world, begun) != ""
