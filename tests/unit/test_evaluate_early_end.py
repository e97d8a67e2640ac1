from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from report_samples import ORDINARY, dataset_for, score, spec_for

from assets.terms import Terms
from playbook.artifacts import (
    Decision,
    EarlyEnd,
    FrozenBaseline,
    LockedTerms,
    ReferenceBaselines,
    Resemblance,
    ServedRules,
    TermChange,
    TooFewRows,
)
from playbook.data.tables import LABEL
from playbook.evaluate.as_served import AsServed
from playbook.evaluate.early_end import judge_claim
from playbook.evaluate.report_content import ReportInputs, warnings
from playbook.statistics.answers import answers_of

SPEC = spec_for(ORDINARY, at_least=0.85, limits=[{"metric": "macro_f1", "at_least": 0.8}])
UNLIKE = Resemblance(
    rows=(900, 200), auc=0.9, p_value=0.001, length_ratio=1.0, differs=True, text="Test is unlike the others."
)


def test_a_claim_is_confirmed_by_every_limit_with_room_to_spare() -> None:
    met = {"accuracy": score(0.91), "macro_f1": score(0.86, "macro_f1")}
    found = judge_claim(SPEC, "tfidf", score(0.93), met, openings=1)
    assert found.confirmed and found.missed == () and found.openings == 1
    assert "TF-IDF with logistic regression meets the target: accuracy 91.0 %" in found.text
    assert "93.0 % on validation" in found.text


@pytest.mark.parametrize(
    ("accuracy", "macro", "missed"),
    [(0.42, 0.86, ("accuracy",)), (0.91, 0.7, ("macro_f1",)), (0.851, 0.86, ("accuracy",)),
     (0.8, 0.7, ("accuracy", "macro_f1"))],
)  # fmt: skip
def test_a_claim_that_test_does_not_confirm_ends_nothing(
    accuracy: float, macro: float, missed: tuple[str, ...]
) -> None:
    scores = {"accuracy": score(accuracy), "macro_f1": score(macro, "macro_f1")}
    found = judge_claim(SPEC, "frozen_baseline", score(0.93), scores, openings=2, unlike=UNLIKE.text)
    assert not found.confirmed and found.missed == missed
    assert "met the target on validation only (93.0 % on validation)" in found.text
    assert "The task goes on. Test is unlike the others." in found.text
    assert not EarlyEnd(task="t", claim=found).ends and not EarlyEnd(task="t").ends


def test_a_failed_claim_comes_first_in_the_headline_and_a_difference_is_said_once() -> None:
    low = {"accuracy": score(0.42), "macro_f1": score(0.4, "macro_f1")}
    failed = judge_claim(SPEC, "tfidf", score(0.93), low, openings=1)
    dataset = dataset_for(SPEC)
    assert dataset.gate is not None
    gate = dataset.gate.model_copy(update={"resemblance": UNLIKE})
    dataset = dataset.model_copy(update={"gate": gate})
    decided = Decision(task="t", claim=failed)
    context = ReportInputs(SPEC, dataset, decision=decided, warnings=("A behavioural test failed.",))
    assert warnings(context) == [failed.text, UNLIKE.text, "A behavioural test failed."]
    both = judge_claim(SPEC, "tfidf", score(0.93), low, openings=1, unlike=UNLIKE.text)
    said = ReportInputs(SPEC, dataset, decision=decided.model_copy(update={"claim": both}))
    assert warnings(said) == [both.text]


def test_a_claim_whose_terms_changed_after_an_opening_is_refused_as_an_evaluation_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from assets import early_end

    change = TermChange(field="target.margin", locked="0.02", found="0.01")
    lock = LockedTerms(
        opening=1, opened_at="2026-11-02", opened_for="m", dataset=3, changed=(change,), fresh_rows=9, key="k"
    )
    monkeypatch.setattr(early_end, "terms_now", lambda play, dataset: Terms(lock))
    monkeypatch.setattr(early_end, "answer", lambda *_, **__: pytest.fail("the test split was asked"))
    said: list[str] = []
    kept: list[tuple[Any, ...]] = []
    task: Any = SimpleNamespace(spec=SPEC, called=lambda: "demo")
    play: Any = SimpleNamespace(task=task, report=said.append, decide=lambda *entry: kept.append(entry))
    model: Any = SimpleNamespace(name="f", digest="d")
    claim = early_end.confirm(play, dataset_for(SPEC), model, "frozen_baseline", score(0.93), AsServed(), {}, None)
    ((kind, title, inputs, body),) = kept
    assert (kind, inputs["model"], body["why"]) == ("early_end", "d", claim.text) and "may not be asked" in title
    assert claim.locked == lock and not claim.confirmed and claim.test == {}
    assert "meets the target on validation (93.0 %)" in claim.text
    assert "target.margin (locked: 0.02, now: 0.01)" in claim.text and claim.text in said[0]
    assert "Put the locked values back" in claim.next_steps[0] and "playbook waive demo" in claim.next_steps[2]
    assert EarlyEnd(task="t", claim=claim).ends, "nothing is trained for an evaluation that would be refused"


FEW = TooFewRows(limit="log_loss", needed=812, available=300, how="on fewer it could not be told")


@pytest.mark.parametrize(("name", "ends"), [("frozen_baseline", True), ("tfidf", False)])
def test_a_split_that_is_too_small_for_a_limit_is_asked_for_no_baseline(
    name: str, ends: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from assets import early_end

    monkeypatch.setattr(early_end, "terms_now", lambda play, dataset: Terms())
    monkeypatch.setattr(early_end, "answer", lambda *_, **__: pytest.fail("the test split was asked"))
    monkeypatch.setattr(
        early_end, "reference_model", lambda play, dataset, name, tfidf: SimpleNamespace(name=name, digest="d")
    )
    said: list[str] = []
    kept: list[str] = []
    task = SimpleNamespace(spec=SPEC)
    play: Any = SimpleNamespace(task=task, report=said.append, decide=lambda kind, *rest: kept.append(kind))
    if name == "frozen_baseline":
        model: Any = SimpleNamespace(name=name, digest="d")
        claim = early_end.confirm(play, dataset_for(SPEC), model, name, score(0.93), AsServed(), {}, FEW)
    else:
        references = ReferenceBaselines(
            task="t", validation={name: score(0.93)}, served={name: ServedRules()}, meets_target=name, too_few=FEW
        )
        found = early_end.reference_claim(play, dataset_for(SPEC), references)
        assert found is not None
        claim = found
    assert kept == ["early_end"]
    assert claim.too_few == FEW and not claim.confirmed and claim.test == {} and claim.text in said[0]
    assert "300 rows in the test split cannot show whether log_loss is met; 812 rows would do (on fewer" in claim.text
    assert ("nothing is unfrozen" in claim.text) is ends and ("the task goes on" in claim.text) is not ends
    assert claim.next_steps[0].startswith("Bring the test split to 812 rows")
    if ends:
        assert EarlyEnd(task="t", claim=claim).ends, "nothing is trained for an evaluation that would be refused"


@pytest.mark.parametrize(("rows", "asked"), [(3, False), (4000, True)])
def test_the_size_is_judged_for_every_limit_before_anything_is_unfrozen(
    rows: int, asked: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from assets import early_end

    spec = spec_for(ORDINARY, at_least=0.85, limits=[{"metric": "log_loss", "at_most": 1.2}])
    truth = np.arange(400) % len(spec.labels)
    sure = np.where(np.random.default_rng(3).random((400, 1)) < 0.08, 0.001, 0.99)  # of what is true: losses scatter
    others = (1 - sure) / (len(spec.labels) - 1)
    answers = answers_of(np.where(np.eye(len(spec.labels))[truth] > 0, sure, others))
    opened: list[str] = []

    def split(*given: Any, **more: Any) -> Any:
        opened.append("opened")
        numbers = np.array(spec.labels)[truth]
        return SimpleNamespace(
            frame=pd.DataFrame({LABEL: numbers}), probabilities={"baseline": answers.probabilities}, openings=1
        )

    replaced = {
        "incumbent_of": lambda *given: None, "terms_now": lambda *given: Terms(), "answer": split,
        "_validation": lambda *given: (truth, answers),
        "validation_table": lambda *given: (truth, answers.probabilities),
        "trained_model": lambda *given: SimpleNamespace(name="baseline", digest="m"),
        "asset_of": lambda model: "frozen_baseline", "measured_model": lambda *given: {},
        "remembered": lambda play, kind, inputs, make: make("key").artifact,
    }  # fmt: skip
    for name, function in replaced.items():
        monkeypatch.setattr(early_end, name, function)
    play: Any = SimpleNamespace(
        task=SimpleNamespace(spec=spec), report=lambda text: None, work=lambda key: tmp_path,
        decide=lambda *given: None, world=SimpleNamespace(store=SimpleNamespace(path=lambda *given: tmp_path)),
    )  # fmt: skip
    dataset = dataset_for(spec).model_copy(update={"class_rows": {"test": {spec.labels[0]: rows}}})
    found = early_end._asked(play, dataset, Decision(task="t"), FrozenBaseline(task="t"))
    assert found.ends and bool(opened) is asked, "a split that is too small ends it too, but stays closed"
    if not asked:
        assert "cannot show whether log_loss is met" in found.reason and "label" in found.reason
