"""Play 2: pinned bases, and the bake-off that chose one."""

from __future__ import annotations

from typing import ClassVar, Literal

from playbook.artifacts.artifact import Artifact, Figure, Part, Score


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
    config_sha256: str = ""  # of config.json: activation, norms and the like; empty in pins of earlier versions
    layers: int | None = None  # blocks kept of a truncated base; the pinned weights are then the truncated ones

    @property
    def title(self) -> str:
        """Its name, with what was kept of a truncated one."""
        return self.name if self.layers is None else f"{self.name}, {self.layers} block{'s'[: self.layers > 1]}"


class Latency(Part):
    """Time of one call, milliseconds, and texts per second."""

    batch: int
    p50_ms: float
    p95_ms: float
    per_second: float
    waited: float = 0.0  # share of the time that calls waited for a processor; it is not in the other figures
    fastest_ms: float = 0.0  # the quickest call: what is left of the time when nothing else disturbs the machine


class Closeness(Part):
    """How close a base is to the texts of the task (2.2)."""

    tokens_per_word: float
    unknown_share: float  # of tokens
    features: float  # the measure on the features
    measure: str  # its name and source


class BaseCandidate(Part):
    """One candidate of the bake-off. `out` says why it was out before its score was seen; it then has none."""

    name: str
    pin: BasePin | None = None
    licence: str = ""
    pretrained_on: str = ""
    relevance: str = ""
    relevance_reason: str = ""
    out: str = ""
    score: Score | None = None  # frozen probe on the validation slice
    resampled: tuple[float, ...] = ()  # the probe's score on each resample
    spread: float = 0.0  # their standard deviation
    transferability: float | None = None
    transferability_method: str = ""
    closeness: Closeness | None = None
    latency: tuple[Latency, ...] = ()  # batch 1 and 32
    memory_mb: float = 0.0
    disk_mb: float = 0.0
    parameters: int = 0
    seconds: float = 0.0


class BaseTrial(Artifact):
    """Whether a base of the task's list would now do better than the one that serves (6.5). It touches no model.

    Measured times are circumstances of it, as in a bake-off.
    """

    kind: ClassVar[str] = "base_trial"
    circumstances: ClassVar[frozenset[str]] = Artifact.circumstances | {"candidates", "why"}
    serving: str = ""  # title of the base that the champion stands on
    serving_weights: str = ""  # SHA-256 of its weights
    dataset_hash: str = ""  # of the rows that were tried
    preferred: BasePin | None = None  # None: the base that serves stays
    gain: Figure | None = None  # of the preferred base's probe over the serving one's; None where that one is out
    false_alarm_rate: float = 0.0  # chance that one trial prefers another base although none is better
    candidates: tuple[BaseCandidate, ...] = ()  # in the order of the task file
    rule: str = ""
    why: str = ""


class BaseSelection(Artifact):
    """The chosen base and the table that it was chosen from (Play 2). Files: `plot` (PNG, score against latency).

    Candidates, the reason in words and the plot carry measured times, so they are circumstances of the choice.
    """

    kind: ClassVar[str] = "base_selection"
    circumstances: ClassVar[frozenset[str]] = Artifact.circumstances | {"candidates", "why", "files", "findings"}
    pin: BasePin | None = None
    chosen: int = 0  # place among the task's bases
    runner_up: int | None = None
    runner_up_pin: BasePin | None = None
    candidates: tuple[BaseCandidate, ...] = ()  # in the order of the task file
    findings: tuple[str, ...] = ()  # what somebody should look at: licences, claims, a base without a rival
    probe_rows: tuple[int, int] = (0, 0)  # train and validation rows of the probe
    rule: str = ""
    why: str = ""
