"""A task whose target is not a fraction, or is better the lower it is: verdict, page and card are in its own unit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from report_samples import ORDINARY, dataset_for, simulated, spec_for

from playbook.artifacts import Evaluation, Score
from playbook.evaluate.compare import evaluate
from playbook.evaluate.model_card import model_card
from playbook.evaluate.report import render_report
from playbook.evaluate.report_content import ReportInputs
from playbook.evaluate.suite import headline_warnings
from playbook.spec import TaskSpec


def evaluated(spec: TaskSpec, folder: Path) -> tuple[Evaluation, ReportInputs]:
    frame, sides = simulated(ORDINARY, 900, 0.8, 0.9)
    done = evaluate(spec, dataset_for(spec), frame, sides, folder, openings=1)
    return done, ReportInputs(spec=spec, dataset=dataset_for(spec), evaluation=done, test_frame=frame)


def spec_of(**target: Any) -> TaskSpec:
    return spec_for(ORDINARY, **{"at_least": None, **target})


def test_a_log_loss_is_told_in_nats_and_less_is_better(tmp_path: Path) -> None:
    limits = [{"metric": "false_positive_rate", "of_class": "fault", "at_most": 0.05}]
    spec = spec_of(metric="log_loss", at_most=0.6, margin=0.05, limits=limits)
    done, inputs = evaluated(spec, tmp_path)
    assert done.ship == "candidate" and done.direction == "at_most" and done.delta > 0.05
    assert done.baseline is not None and done.candidate is not None
    lost = done.baseline.scores["log_loss"].value - done.candidate.scores["log_loss"].value
    assert done.delta == pytest.approx(lost)
    assert f"log_loss {done.candidate.scores['log_loss'].value:.3f} against at most 0.6 asked" in done.verdict
    assert "nats, reaches the margin of 0.05 nats" in done.verdict
    page = render_report(inputs)
    assert "at most 0.6" in page and "at most 5\u00a0%" in page and "margin 0.05 nats" in page
    assert "at most 0.6" in model_card(inputs)


def test_a_missed_limit_from_above_says_how_far_it_is_over(tmp_path: Path) -> None:
    spec = spec_of(
        metric="false_positive_rate", of_class="fault", at_most=0.005, limits=[{"metric": "macro_f1", "at_least": 0.5}]
    )
    done, _ = evaluated(spec, tmp_path)
    assert done.ship == "nothing"
    assert "against at most 0.5 % asked" in done.verdict and "points over" in done.verdict


def test_production_over_a_target_from_above_is_a_warning(tmp_path: Path) -> None:
    spec = spec_of(metric="log_loss", at_most=0.6, margin=0.05)
    done, _ = evaluated(spec, tmp_path)
    worse = Score(metric="log_loss", value=0.8, low=0.7, high=0.9, n=120)
    said, *_ = headline_warnings(done.model_copy(update={"production": worse}))
    assert "log_loss is 0.800 (0.700 to 0.900), over the target of 0.6; the whole interval lies over it" in said
    better = done.model_copy(update={"production": worse.model_copy(update={"value": 0.5})})
    assert not any("log_loss" in warning for warning in headline_warnings(better))
