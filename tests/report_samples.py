"""Made-up artefacts of a whole task, for the tests of Play 5 and its report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from playbook.artifacts import (
    BasePin,
    Candidate,
    DatasetVersion,
    Epoch,
    FileRef,
    FrozenBaseline,
    GateCheck,
    GateVerdict,
    LedgerRow,
    ReferenceBaselines,
    Rung,
    Score,
)
from playbook.evaluate.compare import evaluate
from playbook.evaluate.report import ReportInputs
from playbook.spec import TaskSpec

HASH = "a3f5" * 8
HOSTILE = "<script>window.hacked=1</script> $x_1$ & co"
FIVE = ("access", "billing", "cancellation", "delivery", HOSTILE)
ORDINARY = ("access", "billing", "cancellation", "delivery", "fault")

PIN = BasePin(
    name="tiny",
    origin="package",
    revision="0.1.0",
    weights_sha256="5" * 64,
    tokenizer_sha256="6" * 64,
    licence="Apache-2.0",
    parameters=22_713_216,
    blocks=6,
    width=384,
    pooling="mean",
    max_length=128,
)


def spec_for(labels: tuple[str, ...], **target: Any) -> TaskSpec:
    if target.get("metric") in ("recall", "false_positive_rate"):  # alone, a constant answer would meet them
        target = {"limits": [{"metric": "macro_f1", "at_least": 0.01}]} | target
    return TaskSpec.model_validate(
        {
            "task": "demo",
            "question": "Which team should answer this ticket first?",
            "target": {"metric": "accuracy", "at_least": 0.85, "margin": 0.02} | target,
            "owners": {"model": "team:ml", "data": "team:data", "sign_off": "anna@example.org"},
            "data": {
                "source": {"path": "x.csv"},
                "columns": {"text": "text", "label": "category"},
                "classes": dict.fromkeys(labels, "a class"),
            },
            "base": {"folder": "base", "sha256": "0" * 64, "licence": "MIT"},
        }
    )


def dataset_for(spec: TaskSpec, passed: bool = True, **changes: Any) -> DatasetVersion:
    checks = (
        GateCheck(name="rows", passed=passed, severity="error", expected="at least 200", found="12", remedy="add rows"),
        GateCheck(name="balance", passed=False, severity="warning", expected="200 each", found="40 of <b>x</b>"),
    )
    fields: dict[str, Any] = {
        "task": spec.task,
        "number": 3,
        "dataset_hash": HASH,
        "play_key": "k1",
        "changelog": "rows of October <i>added</i>",
        "labels": spec.labels,
        "rows": {"train": 3600, "validation": 900, "test": 900},
        "class_rows": {"train": dict.fromkeys(spec.labels, 40), "test": dict.fromkeys(spec.labels, 180)},
        "quarantined": {"exact duplicate": 31},
        "files": {"test": FileRef(name="test.parquet", sha256="b" * 64, size=3)},
        "gate": GateVerdict(passed=passed, dataset_hash=HASH, checks=checks),
    }
    return DatasetVersion(**(fields | changes))


def answers_to_probabilities(answers: npt.NDArray[np.int64], classes: int) -> npt.NDArray[np.float64]:
    table = np.full((len(answers), classes), 0.1 / max(classes - 1, 1))
    table[np.arange(len(answers)), answers] = 0.9
    return table


def simulated(
    labels: tuple[str, ...], rows: int, baseline: float, candidate: float, seed: int = 1
) -> tuple[pd.DataFrame, dict[str, npt.NDArray[np.float64]]]:
    """A test split and two models of the given accuracies that mostly err on the same rows."""
    random, names = np.random.default_rng(seed), tuple(sorted(labels))
    truth = random.integers(0, len(names), rows)
    ease, wrong = random.random(rows), (truth + random.choice([1, 2], rows)) % len(names)
    text = (
        "My order has not arrived, <b>nobody</b> answers <script>window.hacked=2</script><img src=x onerror=alert(1)>"
    )
    frame = pd.DataFrame(
        {"row_id": [f"r{at:05d}" for at in range(rows)], "text": text, "label": [names[at] for at in truth]}
    )
    sides = {"baseline": baseline, "candidate": candidate}
    return frame, {
        name: answers_to_probabilities(np.where(ease < accuracy, truth, wrong), len(names))
        for name, accuracy in sides.items()
    }


def score(value: float, metric: str = "accuracy", n: int = 900) -> Score:
    return Score(metric=metric, value=value, low=value - 0.02, high=min(value + 0.02, 1.0), n=n)


def staircase() -> tuple[FrozenBaseline, tuple[Rung, ...], Candidate]:
    curve = tuple(
        Epoch(epoch=e, train_loss=1 / e, validation_loss=1 / e + 0.1, validation=0.8, seconds=1) for e in range(1, 9)
    )
    frozen = FrozenBaseline(task="demo", pin=PIN, validation=score(0.84))
    rungs = tuple(
        Rung(
            task="demo", pin=PIN, index=at, unfrozen=at, validation=score(value), curve=curve, kept=kept, gain=gain,
            gain_error=0.008, rule="gain over 1 standard error",
        )
        for at, value, gain, kept in ((1, 0.88, 0.04, True), (2, 0.881, 0.001, False))
    )  # fmt: skip
    skipped = Rung(task="demo", status="skipped", index=3, reason="rung_2 did not help")
    ledger = tuple(
        LedgerRow(
            step=f"rung_{r.index}", unfrozen=r.unfrozen, validation=r.validation.value if r.validation else 0,
            gain=r.gain, gain_error=r.gain_error, kept=r.kept, seconds=3.0, reason=r.rule,
        )
        for r in rungs
    )  # fmt: skip
    candidate = Candidate(task="demo", source="rung_1", model="c" * 64, ledger=ledger, diagnosis="mild overfitting")
    return frozen, (*rungs, skipped), candidate


def report_inputs(
    folder: Path,
    labels: tuple[str, ...] = FIVE,
    rows: int = 900,
    baseline: float = 0.86,
    candidate: float = 0.91,
    **target: Any,
) -> ReportInputs:
    spec = spec_for(labels, **target)
    dataset = dataset_for(spec)
    frame, probabilities = simulated(labels, rows, baseline, candidate)
    evaluation = evaluate(spec, dataset, frame, probabilities, folder, openings=2, diagnosis="mild overfitting")
    frozen, rungs, chosen = staircase()
    return ReportInputs(
        spec=spec,
        dataset=dataset,
        references=ReferenceBaselines(task="demo", validation={"majority": score(0.27), "tfidf": score(0.79)}),
        frozen=frozen,
        rungs=rungs,
        candidate=chosen,
        evaluation=evaluation,
        test_frame=frame,
        predictions=pd.read_parquet(folder / "predictions.parquet"),
        hardware="2 cores",
        versions={"torch": "2.13.0"},
    )
