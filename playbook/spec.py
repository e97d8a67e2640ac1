"""The task file: every field that a team can write, with its meaning, its limits and its default.

Files are read by `playbook.taskfile.load_task`, which reports all faults together. Code is never named in a task file:
where there is a choice, it is one word of a closed list.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

SPLITS = ("train", "validation", "test")
Split = Literal["train", "validation", "test"]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
MetricName = Literal["accuracy", "macro_f1", "balanced_accuracy", "recall", "precision", "f1"]
PER_CLASS_METRICS = ("recall", "precision", "f1")


class Section(BaseModel):
    """A part of the task file: frozen, and an unknown field is a fault."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Limit(Section):
    """A metric that must reach a number. `recall`, `precision` and `f1` are of one class, which is then named."""

    metric: MetricName
    at_least: Fraction
    of_class: str | None = Field(None, description="The class that recall, precision or f1 speaks of.")

    @model_validator(mode="after")
    def _class_named(self) -> Limit:
        if (self.metric in PER_CLASS_METRICS) != (self.of_class is not None):
            raise ValueError(
                f"{self.metric}: of_class is required for {', '.join(PER_CLASS_METRICS)} and only for them"
            )
        return self

    @property
    def label(self) -> str:
        """How the metric is written in tables, for example `recall of refund`."""
        return f"{self.metric} of {self.of_class}" if self.of_class else self.metric


class Target(Limit):
    """The number that means success, written before anything is trained (1.1, 1.2)."""

    margin: float = Field(gt=0, le=0.5, description="Gain over the frozen baseline that is worth the added complexity.")
    limits: tuple[Limit, ...] = Field((), description="Further limits that hold beside the target.")

    @property
    def all_limits(self) -> tuple[Limit, ...]:
        """The target itself first, then the limits beside it."""
        return (Limit(metric=self.metric, at_least=self.at_least, of_class=self.of_class), *self.limits)


_EMAIL_OR_TEAM = re.compile(r"^(team:[A-Za-z0-9_.-]+|[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,})$")


class Owners(Section):
    """The three people behind every play: an e-mail address, or `team:name`."""

    model: str
    data: str
    sign_off: str

    @field_validator("model", "data", "sign_off")
    @classmethod
    def _address(cls, value: str) -> str:
        if not _EMAIL_OR_TEAM.match(value):
            raise ValueError("an e-mail address or team:name")
        return value


class Columns(Section):
    """Which column of the source plays which part."""

    text: str
    label: str
    id: str | None = Field(None, description="Unique row id; without one, the row's content names it.")
    group: str | None = Field(None, description="Rows of one group (customer, speaker) stay in one split.")
    time: str | None = Field(None, description="Date or time of the row.")
    keep: tuple[Annotated[str, Field(pattern=r"^[\w .-]+$")], ...] = Field(
        (), description="Further columns carried along, for slices: letters, digits, blanks, dots and dashes."
    )


class Source(Section):
    """Where rows come from: CSV, Parquet or JSON Lines, by local path (relative to the task file) or fsspec URL."""

    path: str | None = Field(None, description="One file with all rows.")
    train: str | None = Field(None, description="The team's own training file; validation is cut from it if not given.")
    validation: str | None = None
    test: str | None = None
    provenance: str = Field("not stated", description="Where the data comes from, for the dataset's page.")
    licence: str = Field("not stated", description="Licence of the data.")
    known_limits: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _one_way(self) -> Source:
        own_files = self.train is not None and self.test is not None
        own_any = any((self.train, self.validation, self.test))
        if (self.path is None and not own_files) or (self.path is not None and own_any):
            raise ValueError("either path (one file), or train and test (own files, validation optional)")
        return self

    @property
    def locations(self) -> dict[str, str]:
        """Every file of the source by role: `all`, or `train`, `validation`, `test`."""
        named = {"all": self.path, "train": self.train, "validation": self.validation, "test": self.test}
        return {role: place for role, place in named.items() if place is not None}


class Splits(Section):
    """How rows are divided. A row's split follows from its group and the seed alone, so it survives new data (3.3)."""

    column: str | None = Field(None, description="The team's own split column (train, validation or val, test).")
    validation: float = Field(0.15, gt=0, lt=0.5)
    test: float = Field(0.15, gt=0, lt=0.5, description="Not used where the source brings its own test file.")
    seed: int = Field(7, ge=0, lt=2**31)
    near_duplicate_similarity: float = Field(
        0.9, gt=0, le=1, description="Jaccard similarity of character 4-grams from which two texts are near duplicates."
    )
    across_splits: Literal["auto", "quarantine", "refuse"] = Field(
        "auto",
        description="A training row that is a (near) duplicate of a validation or test row: quarantine it, or refuse: "
        "leave it so that the gate turns red. auto: quarantine where playbook cuts the split, refuse where the team "
        "brings it.",
    )


class Gate(Section):
    """What the data must satisfy before anything is modelled (3.5, 3.6)."""

    min_rows: int = Field(200, ge=1)
    min_rows_per_class: int = Field(20, ge=1, description="In the training split.")
    warn_rows_per_class: int = Field(200, ge=1, description="Fewer training rows than this is a warning.")
    min_evaluation_rows_per_class: int = Field(5, ge=1, description="In validation and in test, each.")
    max_quarantined: Fraction = Field(0.1, description="Fraction of raw rows that may be quarantined.")
    split_tolerance: float = Field(0.05, gt=0, le=0.5, description="Allowed distance from the asked split fractions.")


class Data(Section):
    """The data of the task (Play 3)."""

    source: Source
    columns: Columns
    classes: dict[str, str] = Field(min_length=2, description="Every class with its description.")
    splits: Splits = Splits()
    gate: Gate = Gate()

    @field_validator("classes")
    @classmethod
    def _names(cls, value: dict[str, str]) -> dict[str, str]:
        blank = [name for name in value if not name.strip() or name != name.strip()]
        if blank:
            raise ValueError(f"class names without outer blanks, not {blank}")
        return value


class Base(Section):
    """The pretrained base, pinned (2.4): exactly one of `hub`, `folder` and `package`."""

    hub: str | None = Field(None, description="Model id on the Hugging Face hub; needs `revision`.")
    revision: str | None = Field(None, description="Commit hash on the hub.")
    folder: str | None = Field(None, description="Local folder, relative to the task file.")
    package: str | None = Field(None, description="Installed Python package that carries the model.")
    sha256: Sha256 = Field(description="SHA-256 of model.safetensors.")
    licence: str
    pretrained_on: str = Field("not stated", description="What the base was pretrained on.")
    max_length: int = Field(128, ge=8, le=8192, description="Tokens per text; longer texts are cut.")

    @model_validator(mode="after")
    def _one_place(self) -> Base:
        if sum(place is not None for place in (self.hub, self.folder, self.package)) != 1:
            raise ValueError("exactly one of hub, folder and package")
        if self.hub is not None and not re.fullmatch(r"[0-9a-f]{40}", self.revision or ""):
            raise ValueError("hub needs revision, a full commit hash of 40 hex digits")
        return self


class Keep(Section):
    """A rung is kept when its validation gain exceeds `min_gain` and `standard_errors` times its paired error."""

    min_gain: float = Field(0.0, ge=0, le=0.5)
    standard_errors: float = Field(1.0, ge=0, le=4)


class Adaptation(Section):
    """Freeze, then unfreeze (Play 4)."""

    max_rungs: int = Field(3, ge=0, le=48, description="At most this many blocks are unfrozen, one per rung.")
    learning_rate: float = Field(
        1e-3, gt=0, lt=1, description="Of the topmost unfrozen block; a tenth of the head's, which is new (4.3)."
    )
    head_learning_rate: float = Field(1e-2, gt=0, lt=1)
    block_decay: float = Field(0.7, gt=0, le=1, description="Factor on the learning rate per block further down.")
    weight_decay: float = Field(0.01, ge=0, lt=1)
    warmup: Fraction = Field(0.1, description="Fraction of all steps in which the learning rate rises.")
    epochs: int = Field(10, ge=1, le=1000, description="At most, per rung.")
    patience: int = Field(3, ge=1, description="Epochs without a better validation metric or loss before a rung stops.")
    batch_size: int = Field(64, ge=1, description="Rows per step, over all devices.")
    label_smoothing: float = Field(0.1, ge=0, lt=1)
    dropout: float = Field(0.1, ge=0, le=0.9, description="In unfrozen blocks.")
    class_weighting: Literal["none", "balanced"] = Field("none", description="Weight of classes in the loss (4.4).")
    keep: Keep = Keep()
    seed: int = Field(13, ge=0, lt=2**31)
    devices: int = Field(1, ge=1, le=1024, description="Processes of one machine that train together.")
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    precision: Literal["auto", "bf16", "float32"] = Field("auto", description="auto: bf16 where it is fast.")
    cache_activations: bool = Field(True, description="Compute frozen blocks once instead of in every step.")

    @model_validator(mode="after")
    def _rows_for_all(self) -> Adaptation:
        if self.batch_size < 2 * self.devices:
            raise ValueError(f"batch_size of at least two rows per device, {2 * self.devices}, not {self.batch_size}")
        return self


class Evaluation(Section):
    """Evaluation against the baseline (Play 5)."""

    confidence: float = Field(0.95, gt=0.5, lt=1)
    resamples: int = Field(2000, ge=200, le=100_000, description="Paired bootstrap resamples.")
    power: float = Field(0.8, gt=0, lt=1, description="Chance of seeing a gain of the margin that the split must give.")
    early_end_standard_errors: float = Field(
        1.0, ge=0, description="A baseline ends the task when validation minus this many errors still meets the target."
    )
    examples: int = Field(12, ge=0, le=200, description="Wrong answers shown in the report.")


class Package(Section):
    """The registered model (Play 6)."""

    alias: str = Field("champion", pattern=r"^[A-Za-z][\w-]*$")
    parity_rows: int = Field(200, ge=1, description="Rows on which the reloaded model must agree.")


class TaskSpec(Section):
    """One task: a sentence, a number, data and a base."""

    task: str = Field(
        pattern=r"^[a-z][a-z0-9_]{0,62}$", description="Name: lower case letters, digits and underscores."
    )
    question: str = Field(min_length=10, description="The task in one sentence (1.1).")
    modality: Literal["text"] = "text"
    target: Target
    owners: Owners
    data: Data
    base: Base
    adaptation: Adaptation = Adaptation()
    evaluation: Evaluation = Evaluation()
    package: Package = Package()

    @model_validator(mode="after")
    def _classes_known(self) -> TaskSpec:
        for limit in self.target.all_limits:
            if limit.of_class is not None and limit.of_class not in self.data.classes:
                known = list(self.data.classes)
                raise ValueError(f"target: of_class {limit.of_class!r} is none of data.classes {known}")
        return self

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names in a fixed order; a label's position here is its number everywhere."""
        return tuple(sorted(self.data.classes))
