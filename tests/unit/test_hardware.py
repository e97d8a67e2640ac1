"""Figures name the hardware that computed them, measured where they were computed, and the data of their model."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from report_samples import ORDINARY, spec_for

from assets.test_answers import Answered
from assets.window_figures import judge_window
from playbook.adapt import precision
from playbook.adapt.precision import describe_hardware, processor_model
from playbook.artifacts import ProductionWindow, TestAnswers


def test_a_processor_is_named_by_its_model_with_threads_and_arithmetic(monkeypatch: pytest.MonkeyPatch) -> None:
    said = describe_hardware(torch.device("cpu"), torch.float32)
    assert said == f"{processor_model()}, {torch.get_num_threads()} threads, float32"
    listed = Path("/proc/cpuinfo")
    if listed.is_file() and "model name" in listed.read_text("utf-8", "replace"):
        assert processor_model() in " ".join(listed.read_text("utf-8", "replace").split())
    processor_model.cache_clear()
    monkeypatch.setattr(precision, "Path", lambda place: Path("/nowhere"))
    monkeypatch.setattr("platform.processor", lambda: "")
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    assert processor_model() == "riscv64 processor"
    processor_model.cache_clear()


def test_answers_of_two_places_name_both() -> None:
    def answers(hardware: str) -> TestAnswers:
        return TestAnswers(task="demo", hardware=hardware)

    def found(**places: str) -> Answered:
        named: Any = {name: answers(hardware) for name, hardware in places.items()}
        return Answered(frame=SimpleNamespace(), answers=named, probabilities={}, openings=1, opened_for=1)  # type: ignore[arg-type]

    assert found(baseline="A, float32", candidate="A, float32", tfidf="B").hardware_of_models == "A, float32"
    assert found(baseline="A, float32", candidate="B, bfloat16").hardware_of_models == "B, bfloat16 and A, float32"


def test_a_days_figures_carry_hardware_and_the_data_of_the_model() -> None:
    play: Any = SimpleNamespace(task=SimpleNamespace(spec=spec_for(ORDINARY)))
    window = ProductionWindow(task="demo", day="2026-11-02")
    nothing = judge_window(play, window, None)
    assert nothing.hardware.startswith(processor_model()) and nothing.dataset_version == ""
    tags = {"playbook/dataset_version": "3", "playbook/dataset_hash": "d3.dir"}
    served: Any = SimpleNamespace(registered=SimpleNamespace(version="1.2.0", tags=tags), judge=None)
    found = judge_window(play, window, served)
    assert (found.model_version, found.dataset_version, found.dataset_hash) == ("1.2.0", "3", "d3.dir")
    assert found.hardware == nothing.hardware and found.digest == found.model_copy(update={"hardware": "x"}).digest
