"""Play 6: the registered model, its handoff, and what production says of it."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from playbook.artifacts.artifact import Artifact, Figure, Part, Score

Trigger = Literal[
    "metric",
    "metric_differs",
    "drift",
    "new_labels",
    "new_class",
    "task_changed",
    "better_base",
    "schedule",
    "button",
]


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
    sign_off: str = ""  # digest of the sign-off that it stands on
    parity_rows: int = 0
    largest_difference: float = 0.0
    changelog: str = ""  # what changed, and by how much: one line


class Handoff(Artifact):
    """The handoff package (6.2). Files: `zip`."""

    kind: ClassVar[str] = "handoff"
    version: str = ""  # of the model that it hands over
    documents: dict[str, str] = Field(default_factory=dict)  # name in the package -> SHA-256
    weights_sha256: str = ""  # what reproducing has to come to


class ProductionWindow(Artifact):
    """The prediction log's rows of one window, ending with `day` (6.4).

    Files: `rows` and `outcomes`, those that became known in the window (Parquet: id, day, label, probability, outcome,
    version, one `p_CLASS` per class), and `figures` (safetensors: what is looked at of the inputs, in place of texts).
    """

    kind: ClassVar[str] = "production_window"
    day: str = ""  # ISO date, the last of the window
    first_day: str = ""
    rows: int = 0
    outcomes: int = 0  # rows with a true label
    lost: int = 0  # predictions that could not be logged so far, as far as is known
    model_version: str = ""  # that answered its newest row
    versions: dict[str, int] = Field(default_factory=dict)  # model version -> rows


class DriftFigure(Part):
    """One figure of a window beside its threshold."""

    name: str
    value: float
    threshold: float | None = None  # above it (or below, where `low` is set) is an alarm; None: it is only shown
    low: float | None = None
    usual: float | None = None  # where it lies without drift, from the reference
    alarm: bool = False
    p_value: float | None = None


class Drift(Artifact):
    """Figures of one window against thresholds of a permutation test (6.4, B5)."""

    kind: ClassVar[str] = "drift"
    day: str = ""
    rows: int = 0
    judged: bool = False  # false: too few rows, see `reason`
    alarm: bool = False  # any figure over its threshold; so calibrated that this is a false alarm at the stated rate
    false_alarm_rate: float = 0.0
    p_value: float | None = None  # of the window: the smallest of its figures', corrected for how many there are
    figures: tuple[DriftFigure, ...] = ()
    detectable: float | None = None  # share of rows of an unknown kind that would be seen four times in five
    estimate: Figure | None = None  # of the target's metric, without labels
    live: Score | None = None  # the target's metric on rows with outcomes
    live_per_class: dict[str, Score] = Field(default_factory=dict)  # recall
    model_version: str = ""
    dataset_version: str = ""  # number of the data that this model version was made from
    dataset_hash: str = ""
    text: str = ""


class RetrainDecision(Artifact):
    """Whether the policy fired on a day, and why or why not (6.5)."""

    kind: ClassVar[str] = "retrain_decision"
    day: str = ""
    fired: bool = False
    triggers: dict[Trigger, str] = Field(default_factory=dict)  # what was found by those that hold
    held_back: str = ""  # why nothing fires although a trigger holds
    checked: dict[Trigger, str] = Field(default_factory=dict)  # what was found by all that were looked at
    false_alarms: dict[Trigger, str] = Field(default_factory=dict)  # how often each holds without cause
    new_labels: int = 0
    log_entry: str = ""  # of the decision log, where it fired


class Accumulation(Artifact):
    """Labelled rows that production added to the dataset (3.7, 6.6)."""

    kind: ClassVar[str] = "accumulated_rows"
    rows: int = 0  # in the file of accumulated rows
    added: int = 0  # by this round
    by_class: dict[str, int] = Field(default_factory=dict)
    new_classes: dict[str, int] = Field(default_factory=dict)  # added to the label set -> rows
    unknown: dict[str, int] = Field(default_factory=dict)  # labels that are not classes of the task -> rows
    left_out: dict[str, int] = Field(default_factory=dict)  # why labelled rows did not join -> rows
    triggers: tuple[str, ...] = ()  # entries of the decision log that this round answers
