"""Play 3: a dataset version with its gate verdict, and whether its labels can be believed."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from playbook.artifacts.artifact import Artifact, Figure, Part
from playbook.errors import GateRed


class GateCheck(Part):
    """One expectation of the gate: what was expected, what was found, how to fix it."""

    name: str
    passed: bool
    severity: Literal["error", "warning"]
    expected: str
    found: str
    remedy: str = ""


class Resemblance(Part):
    """The test split's inputs against those of training and validation, without labels."""

    rows: tuple[int, int]  # of training and validation together, and of test
    auc: float  # of the classifier two-sample test; 0.5: not to be told apart
    p_value: float
    length_ratio: float  # mean words of test texts over those of the others
    differs: bool
    known: bool = True  # false: too few groups to tell a difference from that of a few customers
    text: str  # one sentence, by how much

    @property
    def alike(self) -> bool:
        """Whether nothing stands against taking the test split for one like the others."""
        return self.known and not self.differs


class GateVerdict(Part):
    """The gate's answer for one dataset, bound to the hash that it looked at."""

    passed: bool
    dataset_hash: str
    checks: tuple[GateCheck, ...]
    resemblance: Resemblance | None = None  # None: a split without rows, or a verdict of an earlier version

    @property
    def failures(self) -> tuple[GateCheck, ...]:
        """Checks that turned the gate red."""
        return tuple(c for c in self.checks if not c.passed and c.severity == "error")


class Agreement(Part):
    """Agreement with the second annotator on the rows that both labelled: Cohen's kappa (1960), in [-1, 1]."""

    rows: int
    kappa: Figure
    observed: float  # share of rows with equal labels
    chance: float = 0.0  # share that two people with these habits reach by chance
    worth: float = 1.0  # of a row for the interval, see `playbook.data.agreement.rows_worth`
    per_class: dict[str, float]  # kappa of each class against the rest
    disagreements: tuple[tuple[str, str, int], ...]  # first label, second label, rows; most frequent first


class Guideline(Part):
    """Which classes the labelling guideline defines, and for which it names edge cases (3.2)."""

    defined: tuple[str, ...]
    with_edge_cases: tuple[str, ...]
    missing: tuple[str, ...]


class DatasetVersion(Artifact):
    """A dataset version with its gate verdict (Play 3).

    Files: `train`, `validation` (Parquet, columns of `playbook.data.tables`), `quarantine`, `profile` (JSON), `page`
    (Markdown), `sides` (text, see `playbook.data.sides`). The test split is sealed: it is in `files` under `test` only
    for `playbook.evaluate.test_split`.
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
    agreement: Agreement | None = None
    guideline: Guideline | None = None
    corrections: int = 0  # labels that `playbook relabel` corrected in this version
    production_rows: int = 0  # rows of the production-like file; `production` is then among the files

    def require_green(self) -> None:
        """Refuse unless the gate passed for exactly this data.

        Raises:
            GateRed: the gate is red, missing, or is about other data.
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


class LearningPoint(Part):
    """Validation score of a head on part of the training rows: mean and standard deviation over subsamples."""

    rows: int
    score: float
    deviation: float
    repeats: int


class LearningCurve(Part):
    """Score against training rows on cached features, with the fitted law and what it says of twice the rows (3.10)."""

    metric: str
    points: tuple[LearningPoint, ...]
    law: str  # the formula with its fitted numbers
    parameters: dict[str, float]
    rows_now: int
    gain_of_twice: Figure  # predicted gain from twice the rows
    verdict: Literal["data-limited", "plateau", "unclear"]
    text: str
    seconds: float = 0.0


class QueueReview(Part):
    """What is known of the queue's precision beside the estimate: from planted errors, and from what was changed."""

    planted: int = 0  # planted errors outside the test split
    looked_at: int = 0  # first entries looked at: twice the planted errors
    found: int = 0  # planted errors among them
    reviewed: int = 0  # entries of earlier queues that came back from the data owner
    changed: int = 0  # of them, with another label


class LabelAudit(Artifact):
    """Labels to check and the worth of more data, both from the frozen features (3.1, 3.10).

    Files: `queue` (CSV: row_id, split, text, label, suggested, probability_wrong, probability_of_label,
    probability_of_suggested, second_annotator, new_label, note), `plot` (PNG of the learning curve).
    """

    kind: ClassVar[str] = "label_audit"
    circumstances: ClassVar[frozenset[str]] = Artifact.circumstances | {"curve"}
    rows: int = 0  # train and validation rows looked at; test stays closed
    suspects: int = 0  # labels to check that nobody has reviewed yet
    queued: int = 0  # rows in the queue: the suspects; in audits of before there was an estimate, further rows, too
    wrong: Figure | None = None  # how many of the suspects are estimated to be wrong, with a range
    suspects_by_class: dict[str, int] = Field(default_factory=dict)
    method: str = ""
    review: QueueReview = QueueReview()
    curve: LearningCurve | None = None
    text: str = ""
