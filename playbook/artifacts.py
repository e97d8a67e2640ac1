"""What one play hands to the next: frozen, typed, hashed.

An artefact is a JSON manifest; tables lie beside it as Parquet, tensors as safetensors. `digest` is the hash of what
the artefact says (its files by SHA-256), not of when or how fast it was made: two runs that come to the same result
have the same digest, and what stands on it need not run again.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from playbook.errors import GateRed

Status = Literal["done", "skipped"]


def canonical_hash(value: Any) -> str:
    """SHA-256 of a JSON-compatible value in one canonical form."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


class Part(BaseModel):
    """A piece of an artefact."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class FileRef(Part):
    """A file beside a manifest: its name there and the SHA-256 of its bytes."""

    name: str
    sha256: str
    size: int


class Score(Part):
    """A metric on one split with its interval; `n` rows."""

    metric: str
    value: float
    low: float
    high: float
    n: int


class Artifact(Part):
    """Base of everything that plays exchange."""

    kind: ClassVar[str]
    # Fields that tell how a result was made, not what it is.
    circumstances: ClassVar[frozenset[str]] = frozenset({"seconds", "made_at", "hardware", "play_key", "mlflow_run_id"})

    task: str
    status: Status = "done"
    reason: str = ""  # why it was skipped, or what there is to say about a result
    files: dict[str, FileRef] = Field(default_factory=dict)
    play_key: str = ""  # hash of everything that went in; an unchanged play is recognised by it
    made_at: str = ""
    seconds: float = 0.0
    hardware: str = ""
    mlflow_run_id: str = ""

    @property
    def digest(self) -> str:
        """Hash of the content, files included."""
        content = self.model_dump(mode="json", exclude=set(self.circumstances))
        return canonical_hash({"kind": self.kind, **content})

    @property
    def skipped(self) -> bool:
        """Whether the play had nothing to do; `reason` says why."""
        return self.status == "skipped"


class ProblemStatement(Artifact):
    """The validated task file (Play 1)."""

    kind: ClassVar[str] = "problem_statement"
    spec: dict[str, Any] = Field(default_factory=dict)
    spec_hash: str = ""


class GateCheck(Part):
    """One expectation of the gate: what was expected, what was found, how to mend it."""

    name: str
    passed: bool
    severity: Literal["error", "warning"]
    expected: str
    found: str
    remedy: str = ""


class GateVerdict(Part):
    """The gate's answer for one dataset, bound to the hash that it looked at."""

    passed: bool
    dataset_hash: str
    checks: tuple[GateCheck, ...]

    @property
    def failures(self) -> tuple[GateCheck, ...]:
        """Checks that turned the gate red."""
        return tuple(c for c in self.checks if not c.passed and c.severity == "error")


class DatasetVersion(Artifact):
    """A dataset version with its gate verdict (Play 3).

    Files: `train`, `validation` (Parquet, columns of `playbook.data.tables`), `quarantine`, `profile` (JSON), `page`
    (Markdown). The test split is sealed: it is in `files` under `test` only for `playbook.evaluate.test_split`.
    """

    kind: ClassVar[str] = "dataset_version"
    number: int = 0
    dataset_hash: str = ""  # DVC's hash of the prepared folder
    changelog: str = ""
    labels: tuple[str, ...] = ()
    rows: dict[str, int] = Field(default_factory=dict)  # by split
    class_rows: dict[str, dict[str, int]] = Field(default_factory=dict)  # split -> class -> rows
    quarantined: dict[str, int] = Field(default_factory=dict)  # reason -> rows
    gate: GateVerdict | None = None

    def require_green(self) -> None:
        """Refuse unless the gate passed for exactly this data.

        Raises:
            GateRed: the gate is red, missing, or speaks of other data.
        """
        if self.gate is None or self.gate.dataset_hash != self.dataset_hash:
            raise GateRed(
                f"{self.task}: dataset version {self.number} carries no gate verdict for its data; "
                "materialise dataset_version again"
            )
        if not self.gate.passed:
            faults = "\n".join(
                f"  {c.name}: expected {c.expected}; found {c.found}. {c.remedy}" for c in self.gate.failures
            )
            raise GateRed(
                f"{self.task}: the gate is red for dataset version {self.number}, nothing is trained.\n{faults}"
            )


class ReferenceBaselines(Artifact):
    """What needs no pretrained base: majority class, TF-IDF with logistic regression (1.7). Scores on validation."""

    kind: ClassVar[str] = "reference_baselines"
    validation: dict[str, Score] = Field(default_factory=dict)  # majority, tfidf
    meets_target: str = ""  # name of the reference that already meets the target, if any


class BasePin(Part):
    """A base nailed down (2.4)."""

    name: str
    origin: Literal["hub", "folder", "package"]
    revision: str
    weights_sha256: str
    tokenizer_sha256: str
    licence: str
    parameters: int
    blocks: int
    width: int
    pooling: Literal["mean", "cls"]
    max_length: int


class BaseSelection(Artifact):
    """The chosen base (Play 2)."""

    kind: ClassVar[str] = "base_selection"
    pin: BasePin | None = None


class Epoch(Part):
    """One epoch of a training curve."""

    epoch: int
    train_loss: float
    validation_loss: float
    validation: float  # committed metric
    seconds: float


class Adapted(Artifact):
    """A model on the staircase.

    Files: `weights` (safetensors: trained tensors only; the rest is the pinned base), `predictions` (Parquet: row_id,
    label, one probability per class, on validation), `config` (JSON: the whole run configuration, 4.8).
    """

    circumstances: ClassVar[frozenset[str]] = Artifact.circumstances | {"curve"}
    pin: BasePin | None = None
    unfrozen: int = 0
    validation: Score | None = None
    curve: tuple[Epoch, ...] = ()


class FrozenBaseline(Adapted):
    """Whole base frozen, a fresh head trained until it settled (4.1)."""

    kind: ClassVar[str] = "frozen_baseline"
    l2: float = 0.0  # chosen on validation
    l2_grid: dict[str, float] = Field(default_factory=dict)  # strength -> validation metric
    meets_target: bool = False


class Rung(Adapted):
    """One more block unfrozen, from the checkpoint of the last rung kept (4.2).

    Where `kept` is false, `started_from` says which artefact the staircase stands on.
    """

    kind: ClassVar[str] = "rung"
    circumstances: ClassVar[frozenset[str]] = Adapted.circumstances | {"resumed"}
    index: int = 0
    started_from: str = ""  # digest of the checkpoint that it started from
    kept: bool = False
    gain: float = 0.0
    gain_error: float = 0.0  # paired standard error of the gain
    rule: str = ""
    stopped: str = ""  # why training ended
    resumed: int = 0  # epochs that an earlier, interrupted attempt had finished


class LedgerRow(Part):
    """One attempt on the staircase."""

    step: str
    unfrozen: int
    validation: float
    gain: float
    gain_error: float
    kept: bool
    seconds: float
    reason: str


class Candidate(Artifact):
    """What validation chose, with the ledger of all attempts (Play 5's trigger).

    `model` is the digest of the chosen Adapted artefact; `source` is `frozen_baseline` or `rung_K`.
    """

    kind: ClassVar[str] = "candidate"
    circumstances: ClassVar[frozenset[str]] = Artifact.circumstances | {"ledger"}
    source: str = ""
    model: str = ""
    ledger: tuple[LedgerRow, ...] = ()
    diagnosis: str = ""


class ClassFigures(Part):
    """Per class figures of one model."""

    label: str
    precision: float
    recall: float
    f1: float
    support: int


class Side(Part):
    """One model on the test split."""

    scores: dict[str, Score]  # by Limit.label, target first
    per_class: tuple[ClassFigures, ...]
    confusion: tuple[tuple[int, ...], ...]  # rows: true class, columns: predicted


Ship = Literal["candidate", "baseline", "nothing"]


class Evaluation(Artifact):
    """Test-set delta over the frozen baseline and what to ship (Play 5). Files: `report` (HTML), `predictions`."""

    kind: ClassVar[str] = "evaluation"
    refused: bool = False  # the split cannot resolve the margin; the test split stayed closed
    rows_needed: int = 0
    rows: int = 0
    metric: str = ""
    target: float = 0.0
    margin: float = 0.0
    baseline: Side | None = None
    candidate: Side | None = None
    delta: float = 0.0
    interval: tuple[float, float] = (0.0, 0.0)
    confidence: float = 0.95
    openings: int = 0
    dataset_hash: str = ""  # of the data that it speaks of
    baseline_digest: str = ""  # of the frozen baseline that it compares with
    ship: Ship = "nothing"
    verdict: str = ""
    next_steps: tuple[str, ...] = ()


class PackagedModel(Artifact):
    """A registered model version (Play 6)."""

    kind: ClassVar[str] = "packaged_model"
    circumstances: ClassVar[frozenset[str]] = Artifact.circumstances | {"registry_version"}
    name: str = ""
    version: str = ""  # semantic
    registry_version: str = ""
    alias: str = ""
    source: str = ""
    bundle_sha256: str = ""
    evaluation: str = ""  # digest of the evaluation that it stands on
    parity_rows: int = 0
    largest_difference: float = 0.0
