"""Play 1: the problem statement, the reference baselines, the decision."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from playbook.artifacts.artifact import Artifact, Part, Score
from playbook.artifacts.early_end import EarlyEndClaim, TooFewRows

Path = Literal["no_model", "prompt_or_retrieve", "fine_tune", "from_scratch"]
PATHS: tuple[Path, ...] = ("no_model", "prompt_or_retrieve", "fine_tune", "from_scratch")


class ProblemStatement(Artifact):
    """The validated task file (Play 1)."""

    kind: ClassVar[str] = "problem_statement"
    spec: dict[str, Any] = Field(default_factory=dict)
    spec_hash: str = ""


class TfidfChoice(Part):
    """How the TF-IDF reference was chosen, by cross-validation; `rows` is 0 where there were too few for it."""

    features: Literal["words", "words and characters"] = "words and characters"
    strength: float = 10.0  # inverse regularisation C
    class_weight: Literal["none", "balanced"] = "none"
    tried: dict[str, float] = Field(default_factory=dict)  # setting -> the target's metric out of fold
    rows: int = 0  # training rows that were looked at
    folds: int = 0


class ServedRules(Part):
    """What makes served answers of a model's probabilities; without a class every row gets its likeliest one."""

    temperature: float = 1.0
    of_class: str = ""  # answered from a probability of `decide_from` on
    decide_from: float = 0.0


class ReferenceBaselines(Artifact):
    """What a model has to beat: majority class, TF-IDF with logistic regression, the base zero-shot (1.7)."""

    kind: ClassVar[str] = "reference_baselines"
    circumstances: ClassVar[frozenset[str]] = Artifact.circumstances | {"measured"}
    validation: dict[str, Score] = Field(default_factory=dict)  # majority, tfidf, zero_shot
    served: dict[str, ServedRules] = Field(default_factory=dict)  # by reference, fitted on validation
    tfidf: TfidfChoice = TfidfChoice()
    meets_target: str = ""  # name of the reference that meets the target on validation, if any
    too_few: TooFewRows | None = None  # a limit that the test split is too small to judge that one by
    measured: dict[str, Score] = Field(default_factory=dict)  # limits on the model, of the one that meets the target
    left_out: dict[str, str] = Field(default_factory=dict)  # reference -> why it could not be made


class EvidenceRow(Part):
    """One question of the decision gate: who answered what, and which path it speaks for."""

    question: str
    answer: str
    source: Literal["task file", "measured", "not answered"]
    factor: str = ""  # one of the four variables or seven factors, or a hard limit (docs/decision.md)
    favours: tuple[Path, ...] = ()  # paths that the answer speaks for; empty: it decides nothing
    rules_out: tuple[Path, ...] = ()  # hard limits
    weight: float = 0.0
    why: str = ""


class PathCost(Part):
    """What one path would cost, before commitment (1.5). Money in the currency of the task file's prices.

    Hours, money and storage are for the most iterations. What the task file gives no price for is in `unpriced`, and
    `money` is the rest; it is None where nothing has a price.
    """

    path: Path
    device_hours: float
    hours_interval: tuple[float, float] | None = None  # as earlier estimates came out; None: no time was estimated
    money: float | None
    money_interval: tuple[float, float] | None = None  # with the device time at both ends
    unpriced: tuple[str, ...] = ()
    iterations: tuple[int, int]  # fewest and most
    inference_per_1000: float | None  # money per thousand requests, given as serving gives them; None: not priced
    storage_gb: float
    how: str  # what the figures follow from


class Decision(Artifact):
    """Which path is taken, and the evidence row by row (1.3 to 1.6).

    Measured throughput and what follows from it are circumstances: they differ from run to run, the path does not.
    """

    kind: ClassVar[str] = "decision"
    circumstances: ClassVar[frozenset[str]] = Artifact.circumstances | {
        "costs",
        "training_seconds",
        "ratio",
        "evidence",
        "rows_per_second",
        "saved",
        "confidence",
        "could_change",
        "training_interval",
        "interval_from",
        "findings",
    }
    path: Path = "fine_tune"  # taken: the recommendation, unless the task file overrides it
    recommended: Path = "fine_tune"
    why: str = ""
    overridden: str = ""  # by whom and why, where the task file overrides the recommendation
    evidence: tuple[EvidenceRow, ...] = ()
    scores: dict[str, float] = Field(default_factory=dict)  # path -> sum of weights; a path ruled out is absent
    open_questions: tuple[str, ...] = ()
    confidence: float | None = None  # 0 to 1, no probability: `playbook.decide.confidence` defines it
    findings: tuple[str, ...] = ()  # what somebody should look at, and that decides nothing by itself
    could_change: tuple[str, ...] = ()  # open fields of the task file, an answer to which would change the path
    claim: EarlyEndClaim | None = None  # of the reference that meets the target on validation, asked of test
    saved: str = ""  # what ending early saves, where a reference meets the target (1.8)
    costs: tuple[PathCost, ...] = ()
    currency: str = "EUR"
    rows_per_second: float = 0.0  # of the 20-step probe
    training_seconds: float = 0.0  # estimate for all training of one run of the task (frozen, rungs, controls)
    ratio: float = 1.0  # actual over estimate in earlier tasks, already multiplied in
    training_interval: tuple[float, float] | None = None  # seconds, as far as earlier estimates missed
    interval_from: str = ""  # what the interval follows from
