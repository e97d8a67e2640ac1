"""Made-up results around an evaluation: everything that the whole report shows beside the test split itself."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from report_samples import HOSTILE, PIN, dataset_for, report_inputs, score

from playbook.artifacts import (
    Agreement,
    BaseCandidate,
    BaseSelection,
    BehaviourExample,
    BehaviourTest,
    Blocker,
    Calibration,
    CalibrationBin,
    ClassRegression,
    Closeness,
    Comparison,
    ControlRun,
    Controls,
    CostActual,
    Decision,
    EvidenceRow,
    Figure,
    Guideline,
    LabelAudit,
    Latency,
    LearningCurve,
    LearningPoint,
    OperatingPoint,
    PathCost,
    QueueReview,
    ReferenceBaselines,
    Regression,
    RiskPoint,
    Score,
    SeedSpread,
    Shift,
    Silence,
    SliceFigure,
    Slices,
    Speed,
    ThresholdFigures,
    TransferVerdict,
)
from playbook.evaluate.report import ReportInputs

LATENCY = (
    Latency(batch=1, p50_ms=4.2, p95_ms=6.8, per_second=230),
    Latency(batch=32, p50_ms=61, p95_ms=140.4, per_second=512),
)
WARNING = "Validation and test differ: a classifier tells them apart with AUC 0.83, accuracy is 6.1 points lower."
ALIKE = "No difference of test and production is seen beyond chance."


def figure(value: float, reach: float = 0.02) -> Figure:
    return Figure(value=value, low=value - reach, high=value + reach)


def decision(**changes: Any) -> Decision:
    evidence = (
        EvidenceRow(
            question="Do labelled rows suffice?",
            answer=f"720 a class {HOSTILE}",
            source="measured",
            favours=("fine_tune",),
            weight=2,
            why="enough for a head and some blocks",
        ),
        EvidenceRow(
            question="May texts leave the house?",
            answer="no",
            source="task file",
            rules_out=("prompt_or_retrieve",),
            why="privacy is a hard limit",
        ),
    )
    costs = (
        _cost("no_model", 0.0, 0.0),
        _cost("prompt_or_retrieve", 0.0, 41.5),
        _cost("fine_tune", 0.25, 12.4),
        _cost("from_scratch", 9.0, 310.0),
    )
    fields: dict[str, Any] = {
        "task": "demo",
        "why": "Labelled rows suffice and a pretrained base exists.",
        "evidence": evidence,
        "scores": {"fine_tune": 5.0, "from_scratch": 1.0, "no_model": 0.5},
        "open_questions": ("Who maintains it?",),
        "costs": costs,
        "training_seconds": 140.0,
    }
    return Decision(**(fields | changes))


def _cost(path: Any, hours: float, money: float) -> PathCost:
    return PathCost(
        path=path, device_hours=hours, money=money, iterations=(3, 8), inference_per_1000=0.0042, storage_gb=0.35,
        how="probe of 20 steps",
    )  # fmt: skip


def base_selection() -> BaseSelection:
    close = Closeness(tokens_per_word=1.31, unknown_share=0.002, features=41.7, measure="effective rank")
    shared: dict[str, Any] = {
        "licence": "apache-2.0",
        "closeness": close,
        "latency": LATENCY,
        "memory_mb": 190,
        "disk_mb": 87,
        "pretrained_on": "a billion pairs of sentences",
        "relevance": "general",
    }
    half = tuple(part.model_copy(update={"p50_ms": part.p50_ms / 2, "p95_ms": part.p95_ms / 2}) for part in LATENCY)
    return BaseSelection(
        task="demo",
        pin=PIN,
        chosen=0,
        runner_up=1,
        candidates=(
            BaseCandidate(
                name="tiny", pin=PIN, score=score(0.842), spread=0.011, transferability=0.61,
                transferability_method="LogME", parameters=22_713_216, **shared,
            ),
            BaseCandidate(
                name="tiny_three_layers", score=score(0.815), spread=0.014, transferability=0.55,
                transferability_method="LogME", parameters=17_389_056, **(shared | {"latency": half}),
            ),
            BaseCandidate(name=HOSTILE, licence="cc-by-nc-4.0", out="licence cc-by-nc-4.0 is not among those allowed"),
        ),
        probe_rows=(1000, 500),
        rule="best probe score; a close call goes to the more relevant base",
        why="tiny scores 2.7 points more than tiny_three_layers, 3.1 paired standard errors",
    )  # fmt: skip


def controls() -> Controls:
    runs = tuple(
        ControlRun(
            name=name, what=what, pin=pin, validation=score(value), ahead=figure(0.88 - value), epochs=12, steps=684,
            seconds=seconds, minutes_per_point=minutes,
        )
        for name, what, pin, value, seconds, minutes in (
            ("scratch", "all blocks and embeddings, from random weights", PIN, 0.74, 310.0, None),
            ("other_base", "two blocks unfrozen", PIN.model_copy(update={"name": "small"}), 0.85, 61.0, 0.4),
            ("seed_14", "the last rung kept, with seed 14", PIN, 0.876, 30.0, None),
        )
    )  # fmt: skip
    seeds = SeedSpread(
        metric="accuracy", values={"13": 0.88, "14": 0.876}, mean=0.878, deviation=0.0028,
        text="The gain over the frozen baseline is 14 times the spread over seeds.",
    )  # fmt: skip
    return Controls(
        task="demo", runs=runs, transfer="helps", verdict="ahead of random weights by 14 points", seeds=seeds,
        budget="684 steps of 64 rows",
    )  # fmt: skip


def label_audit() -> LabelAudit:
    points = tuple(
        LearningPoint(rows=rows, score=value, deviation=0.012, repeats=5)
        for rows, value in ((200, 0.61), (450, 0.7), (900, 0.76), (1800, 0.81), (3600, 0.84))
    )
    curve = LearningCurve(
        metric="accuracy",
        points=points,
        law="0.93 - 2.4 n^-0.36",
        parameters={"a": 0.93, "b": 2.4, "c": 0.36},
        rows_now=3600,
        gain_of_twice=Figure(value=0.021, low=0.012, high=0.03),
        verdict="data-limited",
        text="The curve still rises.",
    )
    return LabelAudit(
        task="demo",
        rows=4500,
        suspects=117,
        queued=117,
        wrong=Figure(value=70.2, low=38, high=99),
        suspects_by_class={"billing": 61, HOSTILE: 56},
        method="Out-of-fold predictions, read as a mixture of right and wrong labels.",
        review=QueueReview(planted=40, looked_at=80, found=29, reviewed=50, changed=31),
        curve=curve,
        text="Most are in billing.",
    )


def agreement() -> Agreement:
    return Agreement(
        rows=300,
        kappa=Figure(value=0.78, low=0.72, high=0.83),
        observed=0.83,
        per_class={"billing": 0.7, HOSTILE: 0.81},
        disagreements=(("billing", HOSTILE, 14),),
    )


def silence() -> Silence:
    def curve(worse: float) -> tuple[RiskPoint, ...]:
        return tuple(RiskPoint(threshold=1 - k / 10, answered=k / 10, error=worse * k / 100) for k in range(1, 11))

    return Silence(
        error=0.05, failure=0.05, threshold=0.62, rows=400, answered=300, wrong=9, strangers=0.01, strange=3,
        memory_mb=1.2, test_rows=900, test_strange=11,
        test_answered=Score(metric="answered", value=0.71, low=0.68, high=0.74, n=900),
        test_error=Score(metric="error among answered", value=0.041, low=0.025, high=0.057, n=639),
        curve=curve(0.9), validation_curve=curve(0.8),
        text="The model answers from 62.0 % confidence on and asks a person otherwise.",
    )  # fmt: skip


def operating_point() -> OperatingPoint:
    def at(threshold: float) -> ThresholdFigures:
        return ThresholdFigures(threshold=threshold, values={"accuracy": 0.9 - abs(threshold - 0.4) / 4})

    return OperatingPoint(
        of_class="refund", threshold=0.31, interval=(0.22, 0.44), rows=400, met=True,
        figures={"accuracy": Score(metric="accuracy", value=0.876, low=0.84, high=0.91, n=400)},
        at_argmax={"accuracy": 0.861}, curve=tuple(at(place / 10) for place in range(11)),
        text=f"{HOSTILE} is answered from a probability of 31.0 % on.",
    )  # fmt: skip


def calibration() -> Calibration:
    def bins(error: float) -> tuple[CalibrationBin, ...]:
        middles = [(at / 10, 0.05 + at / 10) for at in range(10)]
        return tuple(
            CalibrationBin(
                low=low, high=low + 0.1, confidence=middle, accuracy=max(0.0, middle - error), rows=20 + 9 * at
            )
            for at, (low, middle) in enumerate(middles)
        )

    return Calibration(
        temperature=1.62, ece_before=0.094, ece_after=0.018, before=bins(0.09), after=bins(0.02),
        text="The model is too sure of itself; temperature 1.62 fixes most of it.",
    )  # fmt: skip


def slices() -> Slices:
    figures = tuple(
        SliceFigure(
            column=column,
            value=value,
            score=Score(metric="accuracy", value=level, low=level - 0.05, high=min(level + 0.04, 1.0), n=rows),
            rest=0.92,
            baseline=level - 0.04,
            p_value=p,
        )
        for column, value, level, rows, p in (
            ("channel", "post", 0.79, 88, 0.0004),
            ("language", HOSTILE, 0.84, 120, 0.031),
            ("channel", "mail", 0.9, 400, 0.4),
            ("text length", "14 to 28 words", 0.93, 301, 1.0),
        )
    )
    return Slices(
        figures=figures,
        left_out=3,
        text="Worst where channel is post: 79.0 % against 92.0 % elsewhere. 3 smaller slices left out.",
    )


def behaviour() -> tuple[BehaviourTest, ...]:
    example = BehaviourExample(
        text=f"Where is my order? {HOSTILE}",
        changed=f"Where is my ordr?\n{HOSTILE}",
        expected="delivery",
        told=HOSTILE,
    )
    return (
        BehaviourTest(
            name="typos", kind="invariance", cases=200, failed_baseline=31, failed_candidate=24, allowed=0.1,
            passed=False, examples=(example,),
        ),
        BehaviourTest(
            name="says cancel", kind="direction", cases=40, failed_baseline=3, failed_candidate=1, allowed=0.05,
            passed=True,
        ),
    )  # fmt: skip


def regressions() -> tuple[Regression, ...]:
    classes = (
        ClassRegression(label="billing", rows=190, broken=14, mended=21, net=figure(0.037), p_value=1.0),
        ClassRegression(label=HOSTILE, rows=170, broken=2, mended=30),
    )
    return (
        Regression(
            against="frozen baseline", version="", broken=16, mended=51, share=0.018, allowed=0.05, per_class=classes,
            net=figure(0.039), passed=True, text="1.8 % of rows were right before and are wrong now.",
        ),
        Regression(
            against="champion", version="1.2.0", broken=70, mended=60, share=0.078, allowed=0.05, per_class=classes,
            net=figure(-0.078), passed=False, text="7.8 % of rows were right in 1.2.0 and are wrong now.",
        ),
    )  # fmt: skip


def shifts() -> tuple[Shift, ...]:
    return (
        Shift(
            name="validation and test", rows=(900, 900), auc=0.83, p_value=0.0002, class_mix=0.12,
            class_mix_p_value=0.001, length_ratio=1.34, score=figure(-0.061), differs=True,
            text=WARNING,
        ),
        Shift(
            name="test and production", rows=(900, 400), auc=0.52, p_value=0.31, class_mix=None, class_mix_p_value=None,
            length_ratio=1.0, score=None, differs=False, text=ALIKE,
        ),
    )  # fmt: skip


def suite_parts(**changes: Any) -> dict[str, Any]:
    """What `Evaluation` holds beside the two sides."""
    over = {"tfidf": -0.06, "majority": -0.58, "zero_shot": -0.21, "scratch": -0.11, "other_base": 0.01}
    comparisons = tuple(
        Comparison(name=name, test=score(0.86 + gain), over_frozen=figure(gain), seconds=2.0 * at)
        for at, (name, gain) in enumerate(over.items())
    )
    parts: dict[str, Any] = {
        "comparisons": comparisons,
        "transfer": TransferVerdict(
            transfer="helps", over_scratch=figure(0.16), over_other_base=figure(0.04), over_frozen=figure(0.05),
            minutes_per_point=0.6, text="The candidate is 16 points ahead of the same architecture from nothing.",
        ),
        "calibration": calibration(),
        "silence": silence(),
        "operating_point": operating_point(),
        "slices": slices(),
        "behaviour": behaviour(),
        "regressions": regressions(),
        "speed": (
            Speed(model="baseline", latency=LATENCY, cost_per_1000=0.0042, currency="EUR"),
            Speed(model="candidate", latency=LATENCY, cost_per_1000=0.0043, currency="EUR"),
        ),
        "shifts": shifts(),
        "blockers": (
            Blocker(what="shifted_test", text="Validation and test differ."),
            Blocker(what="behavioural_tests", text=f"typos fails on 12 % {HOSTILE}"),
        ),
        "production": score(0.88, n=400),
        "cost": CostActual(
            estimated_seconds=140, actual_seconds=203, ratio=1.45, estimated_money=0.12, actual_money=0.17,
            currency="EUR",
        ),
    }  # fmt: skip
    return parts | changes


def full_inputs(folder: Path, labels: tuple[str, ...], rows: int = 900, **changes: Any) -> ReportInputs:
    """Inputs of the whole report; `changes` are parts of the evaluation."""
    inputs = report_inputs(folder, labels, rows)
    assert inputs.evaluation is not None and inputs.candidate is not None
    dataset = dataset_for(
        inputs.spec,
        agreement=agreement(),
        guideline=Guideline(defined=labels[1:], with_edge_cases=labels[2:], missing=labels[:1]),
        corrections=12,
        production_rows=400,
    )
    references = ReferenceBaselines(
        task="demo", validation={"majority": score(0.27), "tfidf": score(0.79), "zero_shot": score(0.64)}
    )
    candidate = inputs.candidate.model_copy(
        update={"next_thing": "unfreeze one block more", "diagnoses": {"rung_1": "both losses fall"}}
    )
    return dataclasses.replace(
        inputs,
        dataset=dataset,
        references=references,
        decision=decision(),
        base=base_selection(),
        audit=label_audit(),
        controls=controls(),
        candidate=candidate,
        evaluation=inputs.evaluation.model_copy(update=suite_parts(**changes)),
        warnings=(WARNING, f"A behavioural test failed: {HOSTILE}."),
    )
