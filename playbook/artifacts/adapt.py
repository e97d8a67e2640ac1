"""Play 4 and the candidate: models on the staircase, and the controls."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from playbook.artifacts.artifact import Artifact, Figure, Part, Score
from playbook.artifacts.bases import BasePin

Transfer = Literal["helps", "does nothing", "hurts", "not measured"]


class Epoch(Part):
    """One epoch of a training curve."""

    epoch: int
    train_loss: float
    validation_loss: float
    validation: float  # committed metric
    seconds: float
    lower_is_better: bool = False  # of the committed metric

    @property
    def merit(self) -> float:
        """The committed metric with the sign that makes more better."""
        return -self.validation if self.lower_is_better else self.validation


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


class Training(Artifact):
    """A finished training, before anybody judges it. Files: as `Adapted` has them, and `result` (JSON).

    Stored under what the weights depend on, so that another limit or confidence finds it again.
    """

    kind: ClassVar[str] = "training"


class FrozenBaseline(Adapted):
    """Whole base frozen, a fresh head trained until it settled (4.1)."""

    kind: ClassVar[str] = "frozen_baseline"
    l2: float = 0.0  # chosen on validation
    l2_grid: dict[str, float] = Field(default_factory=dict)  # strength -> validation metric

    @property
    def step(self) -> str:
        """Name of its asset."""
        return "frozen_baseline"


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

    @property
    def step(self) -> str:
        """Name of its asset."""
        return f"rung_{self.index}"


class Refresh(Rung):
    """The champion trained further on data that has grown (6.6): the same blocks, from its own checkpoint."""

    kind: ClassVar[str] = "refresh"
    version: str = ""  # of the champion that it started from

    @property
    def step(self) -> str:
        """Name of its asset."""
        return "refresh"


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

    `model` is the digest of the chosen Adapted artefact; `source` is `frozen_baseline`, `rung_K` or `refresh`.
    """

    kind: ClassVar[str] = "candidate"
    circumstances: ClassVar[frozenset[str]] = Artifact.circumstances | {"ledger"}
    source: str = ""
    model: str = ""
    ledger: tuple[LedgerRow, ...] = ()
    referee: str = ""  # the refreshed champion beside the model retrained from the base, where there is one
    diagnosis: str = ""
    diagnoses: dict[str, str] = Field(default_factory=dict)  # step -> what its curve says (4.7)
    next_thing: str = ""  # the next thing to do, from the last curve
    rates: str = ""  # finding: learning rates above that of training from scratch, with the remedy (4.3)


class ControlRun(Part):
    """One control: what was trained with the candidate's budget, and how far the candidate is ahead of it.

    Its files in the artefact: `weights_NAME`, `predictions_NAME`, `config_NAME` (as `Adapted` has them).
    """

    name: str  # scratch, other_base, seed_14
    what: str
    pin: BasePin | None = None
    validation: Score
    ahead: Figure  # candidate minus control on validation, paired
    epochs: int = 0
    steps: int = 0
    rising: bool = False  # at its best in the last epoch of its budget: more training may have made it better
    seconds: float = 0.0
    minutes_per_point: float | None = None  # extra training minutes of the candidate per point that it is ahead
    curve: tuple[Epoch, ...] = ()
    hardware: str = ""  # names the arithmetic, which answers need


class SeedSpread(Part):
    """The last rung kept, trained with several seeds: validation scores and their spread."""

    metric: str
    values: dict[str, float]  # seed -> score
    mean: float
    deviation: float
    text: str


class Controls(Artifact):
    """Is it transfer that helps? The same budget without it, and another base (4.6, B1). Figures on validation."""

    kind: ClassVar[str] = "controls"
    circumstances: ClassVar[frozenset[str]] = Artifact.circumstances | {"runs"}
    pin: BasePin | None = None  # the candidate's base, whose architecture `scratch` has
    runs: tuple[ControlRun, ...] = ()
    transfer: Transfer = "not measured"
    verdict: str = ""
    seeds: SeedSpread | None = None
    budget: str = ""  # in words: steps, epochs, rows
