"""What Dagster shows of a decision, and the first base where it can be read and where it cannot."""

from __future__ import annotations

from pathlib import Path

from data_samples import sample
from report_samples import ORDINARY, score, spec_for
from test_decide_cost import PROBE, WORK
from tiny_base import tiny_spec, write_tiny_base

from assets.decision import decision_shown
from assets.scope import first_base
from playbook.decide.cost import path_costs
from playbook.decide.gate import decide_path
from playbook.decide.measured import Measured
from playbook.spec import DecisionAnswers
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
    assert {line.count("|") for line in table} == {6}
    assert "<script>" not in shown["evidence"].value and "`" not in shown["evidence"].value
    assert "rules out fine&#95;tune, from&#95;scratch" in table[2]
    assert [line.split(" | ")[0] for line in shown["costs"].value.splitlines()[2:]] == [
        "| no&#95;model", "| prompt&#95;or&#95;retrieve", "| fine&#95;tune", "| from&#95;scratch",
    ]  # fmt: skip
    assert shown["path"] == done.path and shown["open_questions"] == len(done.open_questions)


def test_the_first_base_is_found_or_its_problem_is_said(tmp_path: Path) -> None:
    task = sample(tmp_path)
    missing = first_base(task)
    assert missing.folder is None and missing.pin is None and "installed package" in missing.problem
    pin = write_tiny_base(tmp_path / "base")
    spec = task.spec.model_copy(update={"base": tiny_spec(tmp_path / "base")})
    found = first_base(Task(spec, task.path))
    assert found.pin == pin and found.folder == tmp_path / "base" and found.problem == ""
