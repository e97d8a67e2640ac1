"""Rows of the prediction log, and the counts that its methods answer with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from playbook.names import normal_form


@dataclass(frozen=True)
class Prediction:
    """One answer of a model, as it is logged; the names in it (id, label, classes, columns) are kept in their
    normal form."""

    id: str
    time: datetime  # aware
    version: str  # semantic version of the model
    label: str
    probability: float
    probabilities: Mapping[str, float]  # by class
    text: str
    columns: Mapping[str, str] = field(default_factory=dict)  # of the input, besides id and text
    source: Literal["serve", "batch"] = "serve"
    logged_at: datetime | None = None  # None: now; retention counts from here
    silent: bool = False  # the model asked a person; `label` is what it would have answered

    def __post_init__(self) -> None:
        object.__setattr__(self, "id", normal_form(self.id))
        object.__setattr__(self, "label", normal_form(self.label))
        for name in ("probabilities", "columns"):
            object.__setattr__(self, name, {normal_form(key): value for key, value in getattr(self, name).items()})


@dataclass(frozen=True)
class Outcome:
    """What turned out to be true of a prediction; id and label are kept in their normal form."""

    id: str
    label: str
    recorded_at: datetime  # aware: when it became known
    source: str = "file"

    def __post_init__(self) -> None:
        object.__setattr__(self, "id", normal_form(self.id))
        object.__setattr__(self, "label", normal_form(self.label))


@dataclass(frozen=True)
class OutcomeCount:
    """What recorded outcomes were: each is new, repeated or changed. `unmatched` of them have no prediction (yet).

    `repeated`: the label that counts stays what it was. `changed`: it is another one now.
    """

    new: int = 0
    repeated: int = 0
    changed: int = 0
    unmatched: int = 0

    def __add__(self, other: OutcomeCount) -> OutcomeCount:
        return OutcomeCount(
            self.new + other.new,
            self.repeated + other.repeated,
            self.changed + other.changed,
            self.unmatched + other.unmatched,
        )


@dataclass(frozen=True)
class Purged:
    """Rows that retention deleted."""

    predictions: int
    outcomes: int
