"""What Dagster shows of a decision, and the first base where it can be read and where it cannot."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from data_samples import sample
from report_samples import ORDINARY, dataset_for, score, spec_for
from test_decide_cost import PROBE, WORK
from tiny_base import tiny_spec, write_tiny_base

from assets.adaptation import training_inputs
from assets.decision import decision_entry, decision_shown
from assets.scope import FirstBase, first_base, reference_extractor, reference_inputs, require_bases
from playbook.artifacts import BaseSelection, ReferenceBaselines
from playbook.decide.cost import Workload, path_costs
from playbook.decide.gate import decide_path
from playbook.decide.measured import Measured
from playbook.errors import PinMismatch
from playbook.spec import BakeOff, DecisionAnswers, Prices
from playbook.taskfile import Task


def test_evidence_and_costs_are_tables_that_no_text_can_leave() -> None:
    spec = spec_for(ORDINARY)
    source = spec.data.source.model_copy(update={"licence": "CC | <script>`x`</script>\n| own row"})
    spec = spec.model_copy(
        update={
            "data": spec.data.model_copy(update={"source": source}),
            "decision": DecisionAnswers(data_licence_allows_training=False),
        }
    )
    measured = Measured(probe=PROBE, references={"tfidf": score(0.5)}, costs=path_costs(spec, WORK))
    done = decide_path(spec, measured)
    shown = decision_shown(done)
    table = shown["evidence"].value.splitlines()
    assert len(table) == 2 + len(done.evidence)
    assert {line.count("|") for line in table} == {7}
    assert "<script>" not in shown["evidence"].value and "`" not in shown["evidence"].value
    assert "rules out fine&#95;tune, from&#95;scratch" in table[2]
    assert [line.split(" | ")[0] for line in shown["costs"].value.splitlines()[2:]] == [
        "| no&#95;model", "| prompt&#95;or&#95;retrieve", "| fine&#95;tune", "| from&#95;scratch",
    ]  # fmt: skip
    assert shown["path"] == done.path and shown["open_questions"] == len(done.open_questions)


def test_the_log_keeps_intervals_and_what_was_not_measured_or_priced() -> None:
    spec = spec_for(ORDINARY).model_copy(update={"prices": Prices(person_hour=60, serving_hour=1)})
    dataset = dataset_for(spec)

    def kept(measured: Measured) -> dict[str, Any]:
        done = decide_path(spec, measured)
        _, body = decision_entry(spec, dataset, ReferenceBaselines(task=spec.task), done)
        costs: dict[str, Any] = body["costs"]["fine_tune"]
        shown = decision_shown(done)["costs"].value.splitlines()[-2]
        return costs | {"shown": shown}

    known = kept(Measured(probe=PROBE, costs=path_costs(spec, WORK)))
    low, high = known["device hours between"]
    assert low < known["device hours"] < high and known["not priced"] == ["device time", "storage"]
    assert isinstance(known["1,000 answers"], float) and known["GB"] > 0
    bare = kept(Measured(costs=path_costs(spec, Workload(1000, 100))))
    assert bare["device hours"] == "not measured" and bare["1,000 answers"] == "not priced"
    assert "device hours between" not in bare and "| not measured | " in bare["shown"]


def test_a_base_that_cannot_be_loaded_ends_the_run_with_its_fault(tmp_path: Path) -> None:
    task = sample(tmp_path)
    with pytest.raises(PinMismatch, match="expected an installed package"):
        first_base(task)
    with pytest.raises(PinMismatch, match="expected an installed package"):
        require_bases(task)
    pin = write_tiny_base(tmp_path / "base")
    own = tiny_spec(tmp_path / "base")
    found = first_base(Task(task.spec.model_copy(update={"base": own}), task.path))
    assert found.pin == pin and found.folder == tmp_path / "base" and found.problem == ""
    assert any("is the only base" in one for one in found.findings)
    gone = own.model_copy(update={"folder": str(tmp_path / "gone")})
    later = task.spec.model_copy(update={"base": own, "bake_off": BakeOff(alternatives=(gone,))})
    with pytest.raises(PinMismatch, match="found no folder at"):
        require_bases(Task(later, task.path))
    altered = task.spec.model_copy(update={"base": own.model_copy(update={"sha256": "1" * 64})})
    with pytest.raises(PinMismatch, match="expected SHA-256 1111"):
        first_base(Task(altered, task.path))


def test_a_base_that_this_version_cannot_read_is_not_left_out(tmp_path: Path) -> None:
    """Its files are what the pin says, and its architecture is not supported."""
    task = sample(tmp_path)
    write_tiny_base(tmp_path / "base")
    config = json.loads((tmp_path / "base" / "config.json").read_text("utf-8"))
    (tmp_path / "base" / "config.json").write_text(json.dumps({**config, "model_type": "mystery"}), "utf-8")
    spec = task.spec.model_copy(update={"base": tiny_spec(tmp_path / "base")})
    play: Any = SimpleNamespace(task=Task(spec, task.path))
    with pytest.raises(PinMismatch, match="mystery"):
        reference_extractor(play)


def test_a_base_that_may_not_be_used_is_not_even_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from playbook.bases import derive

    task = sample(tmp_path)
    pin = write_tiny_base(tmp_path / "base")
    forbidden = tiny_spec(tmp_path / "base").model_copy(update={"licence": "cc-by-nc-4.0"})

    def asked(base: Any = forbidden, others: tuple[Any, ...] = (), **answers: Any) -> FirstBase:
        rules = BakeOff(licences=("mit",), alternatives=others)
        update = {"base": base, "bake_off": rules, "decision": DecisionAnswers(**answers)}
        return first_base(Task(task.spec.model_copy(update=update), task.path))

    second = asked(others=(tiny_spec(tmp_path / "base"),))
    assert second.pin == pin and second.problem == ""
    monkeypatch.setattr(derive, "base_on_disk", lambda *args: pytest.fail("it was fetched"))
    alone = asked()
    assert (alone.folder, alone.pin) == (None, None)
    assert alone.problem == "the base may not be used: licence cc-by-nc-4.0: expected one of mit"
    denied = asked(tiny_spec(tmp_path / "base"), base_licences_allow_use=False)
    assert denied.pin is None and "base_licences_allow_use: false" in denied.problem


def test_what_only_the_report_shows_trains_nothing_again(tmp_path: Path) -> None:
    spec = spec_for(ORDINARY)
    dataset, base = dataset_for(spec), FirstBase(pin=write_tiny_base(tmp_path / "base"))

    def inputs(**evaluation: Any) -> tuple[Any, Any]:
        changed = spec.model_copy(update={"evaluation": spec.evaluation.model_copy(update=evaluation)})
        play: Any = SimpleNamespace(task=SimpleNamespace(spec=changed))
        chosen = BaseSelection(task=spec.task, pin=base.pin)
        return reference_inputs(play.task, dataset, base), training_inputs(play, dataset, chosen)

    before = inputs()
    assert inputs(examples=3, calibration_bins=5, shift_p_value=0.02, behaviour="other.yaml", power=0.9) == before
    for change in ({"confidence": 0.9}, {"resamples": 999}):
        after = inputs(**change)
        assert after[0] != before[0] and after[1] != before[1]
    spare = inputs(early_end_standard_errors=2.0)
    assert spare[0] != before[0] and spare[1] == before[1], "what ends a task early trains nothing again"
