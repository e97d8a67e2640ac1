"""Play 5: what the test split says, the suite around it, and the sign-off."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from playbook.artifacts.adapt import Transfer
from playbook.artifacts.artifact import Artifact, Figure, Part, Score
from playbook.artifacts.bases import Latency
from playbook.artifacts.rounds import RoundVerdict, Ship


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


class Comparison(Part):
    """One model on the test split beside the frozen baseline: references, baseline, controls, candidate."""

    name: str  # majority, tfidf, zero_shot, frozen, scratch, other_base, candidate
    test: Score
    over_frozen: Figure | None = None  # paired; None for the frozen baseline itself
    seconds: float | None = None  # of training


class ReferenceGain(Part):
    """The shown model beside the strongest simple reference on the test split; validation chose the reference."""

    name: str  # majority, tfidf, zero_shot
    model: Literal["candidate", "baseline"]  # whose gain it is
    test: Score  # of the reference
    gain: Figure  # of the model over the reference, paired
    text: str


class TransferVerdict(Part):
    """Does transfer help? Candidate minus control on the test split (B1)."""

    transfer: Transfer = "not measured"
    over_scratch: Figure | None = None
    over_other_base: Figure | None = None
    over_frozen: Figure | None = None
    minutes_per_point: float | None = None  # training minutes of the staircase per point over the frozen baseline
    text: str = ""


class CalibrationBin(Part):
    """Rows whose confidence lies in (low, high]: mean confidence and accuracy."""

    low: float
    high: float
    confidence: float
    accuracy: float
    rows: int


class Calibration(Part):
    """Expected calibration error before and after temperature scaling, in [0, 1]; the temperature is validation's."""

    temperature: float
    ece_before: float
    ece_after: float
    before: tuple[CalibrationBin, ...]
    after: tuple[CalibrationBin, ...]
    text: str


class SliceFigure(Part):
    """The shown model on one slice of the test split."""

    column: str
    value: str
    score: Score  # target's metric; n is the rows of the slice
    rest: float  # the metric on all other rows
    baseline: float | None = None  # the frozen baseline on the same slice
    p_value: float = 1.0  # of the difference from the rest, corrected for the number of slices (Holm)


class Slices(Part):
    """All slices, worst first; `left_out` were too small."""

    figures: tuple[SliceFigure, ...] = ()
    left_out: int = 0
    text: str = ""


class BehaviourExample(Part):
    """A failing case: the texts and the answers."""

    text: str
    changed: str
    expected: str
    told: str


class BehaviourTest(Part):
    """One behavioural test (CheckList, Ribeiro et al. 2020): failures of baseline and candidate among its cases."""

    name: str
    kind: Literal["invariance", "direction", "minimum_functionality"]
    cases: int
    failed_baseline: int
    failed_candidate: int | None
    allowed: float  # share of cases that may fail
    passed: bool  # the shown model
    shown: Literal["baseline", "candidate"] = "candidate"
    blocks: bool = True  # a failure stands against shipping; otherwise it is a known limit
    examples: tuple[BehaviourExample, ...] = ()


class ClassRegression(Part):
    """Of one class: rows that the other model had right and the candidate has wrong, and the reverse."""

    label: str
    rows: int
    broken: int
    mended: int
    net: Figure | None = None  # fixed minus broken, as a share of the rows; None without rows
    p_value: float | None = None  # of a net loss beyond the budget, corrected for the number of classes (Holm)
    over: bool = False  # such a loss is shown


class Regression(Part):
    """What the frozen baseline or the champion could do and the candidate cannot (5.4)."""

    against: Literal["frozen baseline", "champion"]
    version: str  # of the champion; empty for the baseline
    broken: int
    mended: int
    share: float  # broken of all rows
    allowed: float  # net loss, as a share of all rows
    net: Figure | None = None  # fixed minus broken, as a share of all rows
    per_class: tuple[ClassRegression, ...]
    passed: bool
    text: str


class Capability(Part):
    """What a set of rows with known answers says: could another model do more of it (5.4)?"""

    against: Literal["frozen baseline", "champion"]
    version: str  # of the champion; empty for the baseline
    rows: int
    before: float  # share right of the other model
    now: float  # share right of the shown model
    broken: int
    mended: int
    net: Figure  # fixed minus broken, as a share of the rows
    allowed: float  # net loss
    passed: bool
    text: str


class RecallChange(Part):
    """Recall of one class on the same rows; `before` is None where the incumbent does not know the class."""

    before: float | None
    after: float | None
    rows: int


class Incumbent(Part):
    """The model that serves, beside the one that would replace it, on the same test split (6.6)."""

    version: str
    score: Score  # of the incumbent
    delta: Figure  # what would ship minus the incumbent, on all rows, paired
    old_rows: int = 0  # rows that the incumbent's own test split had
    new_rows: int = 0
    forgetting: Figure | None = None  # delta on the old rows: negative is forgotten
    on_new: Figure | None = None  # delta on the new rows
    recall: dict[str, RecallChange] = Field(default_factory=dict)
    text: str = ""


class Speed(Part):
    """What an answer takes and costs on this hardware (5.5)."""

    model: Literal["baseline", "candidate"]
    latency: tuple[Latency, ...]  # batch 1 and 32
    cost_per_1000: float | None  # None: the task file gives no price for the hour of the machine that answers
    currency: str


class Shift(Part):
    """Two samples of inputs compared: does a classifier tell them apart, do classes, lengths and scores differ?"""

    name: Literal["validation and test", "test and production"]
    rows: tuple[int, int]
    auc: float  # of the classifier two-sample test; 0.5: not to be told apart
    p_value: float
    class_mix: float | None  # total variation distance of the classes, 0 to 1
    class_mix_p_value: float | None
    length_ratio: float  # mean words of the second over the first
    score: Figure | None  # second minus first in the target's metric, unpaired
    score_p_value: float | None = None
    differs: bool
    text: str  # one sentence, by how much


BlockerName = Literal[
    "regression_budget",
    "capability",
    "behavioural_tests",
    "production_slice",
    "shifted_test",
    "label_agreement",
    "negative_transfer",
    "incumbent",
]


class Blocker(Part):
    """What stands against shipping beside the target: a waiver with a reason, a name and an expiry may lift it."""

    what: BlockerName
    text: str


class TermChange(Part):
    """A term that is no longer as it was locked; both values in words."""

    field: str
    locked: str
    found: str


class LockedTerms(Part):
    """The opening whose terms bind a test split, and what the task file says otherwise now."""

    opening: int  # its line in the ledger
    task: str = ""  # whose ledger, where the rows were opened under another name
    opened_at: str
    opened_for: str
    dataset: int
    changed: tuple[TermChange, ...]
    fresh_rows: int  # test rows that no opening has read, and that would do
    key: str  # of these changes against that opening: what a waiver is for


class Waiver(Part):
    """A blocker lifted by somebody, with a reason, until a day (ISO date, inclusive)."""

    what: str
    by: str
    reason: str
    expires: str


class CostActual(Part):
    """The estimate beside what it came to (1.5)."""

    estimated_seconds: float
    estimated_interval: tuple[float, float] | None = None  # as earlier estimates came out
    actual_seconds: float
    ratio: float  # actual over the uncorrected estimate: for the next task
    estimated_money: float | None  # None: the task file gives no price for device time
    actual_money: float | None
    currency: str


class ThresholdFigures(Part):
    """The limits at one threshold, by `Limit.label`."""

    threshold: float
    values: dict[str, float]


class OperatingPoint(Part):
    """The probability from which on a class is answered, chosen on validation (B8)."""

    of_class: str
    threshold: float
    interval: tuple[float, float]  # of the threshold, by bootstrap
    rows: int  # of validation
    met: bool  # all limits, on validation
    figures: dict[str, Score] = Field(default_factory=dict)  # limits at the threshold; intervals include its choice
    at_argmax: dict[str, float] = Field(default_factory=dict)  # limits where the likeliest class is answered
    curve: tuple[ThresholdFigures, ...] = ()  # on validation
    text: str = ""


class RiskPoint(Part):
    """Where the surest rows are answered down to a confidence: share answered, and share of wrong ones among them."""

    threshold: float
    answered: float
    error: float


class Silence(Part):
    """When the model that would ship asks a person, chosen on validation, and what that came to on test (B9)."""

    error: float  # asked for: highest share of wrong answers among answered rows
    failure: float  # asked for: chance that the threshold breaks this
    threshold: float | None = None  # confidence from which on it answers; None: nothing can be promised
    rows: int = 0  # of validation, on which the threshold was chosen
    answered: int = 0  # of these
    wrong: int = 0  # of the answered ones
    rows_needed: int | None = None  # validation rows that would probably do, where nothing can be promised
    strangers: float = 0.0  # p-value from which down an input counts as unlike the training data; 0: not looked at
    strange: int = 0  # rows of validation that count as strangers
    memory_mb: float = 0.0  # of the known rows that serving compares with
    test_rows: int = 0
    test_strange: int = 0
    test_answered: Score | None = None  # share of test rows that is answered
    test_error: Score | None = None  # share of wrong answers among these, with an exact interval
    curve: tuple[RiskPoint, ...] = ()  # on test
    validation_curve: tuple[RiskPoint, ...] = ()
    text: str = ""


class Evaluation(Artifact):
    """Test-set delta over the frozen baseline and what to ship (Play 5). Files: `report`
    (HTML), `card` (Markdown), `predictions`."""

    kind: ClassVar[str] = "evaluation"
    circumstances: ClassVar[frozenset[str]] = Artifact.circumstances | {"speed", "cost"}
    refused: bool = False  # the split cannot resolve the margin; the test split stayed closed
    locked: LockedTerms | None = None  # why it was refused, where its terms changed after the split was opened
    waived: Waiver | None = None  # by whose leave it is judged by terms that changed after an opening
    rows_needed: int = 0
    rows: int = 0
    metric: str = ""
    target: float = 0.0
    direction: Literal["at_least", "at_most"] = "at_least"  # which side of it is asked for
    margin: float = 0.0
    baseline: Side | None = None
    candidate: Side | None = None
    delta: float = 0.0
    interval: tuple[float, float] = (0.0, 0.0)
    confidence: float = 0.95
    openings: int = 0  # of this test split so far, on record
    opened_for: int = 0  # models that it was opened for
    dataset_hash: str = ""  # of the data that it is about
    baseline_digest: str = ""  # of the frozen baseline that it compares with
    comparisons: tuple[Comparison, ...] = ()
    over_reference: ReferenceGain | None = None  # None where no reference answered
    transfer: TransferVerdict = TransferVerdict()
    calibration: Calibration | None = None
    operating_point: OperatingPoint | None = None  # of the model that is shown, where it has one
    silence: Silence | None = None  # where the task file asks for it
    slices: Slices = Slices()
    behaviour: tuple[BehaviourTest, ...] = ()
    regressions: tuple[Regression, ...] = ()
    capabilities: tuple[Capability, ...] = ()  # of evaluation.capabilities, where the task file names them
    incumbent: Incumbent | None = None  # where another version serves
    round: RoundVerdict | None = None  # likewise: what the decision to replace it, or not, stands on
    speed: tuple[Speed, ...] = ()
    shifts: tuple[Shift, ...] = ()
    production: Score | None = None  # what ships (or the candidate) on rows like those of production, where labelled
    blockers: tuple[Blocker, ...] = ()
    cost: CostActual | None = None
    candidate_digest: str = ""  # of the model that was evaluated
    missed: tuple[str, ...] = ()  # limits that the candidate (the baseline, where it is alone) does not reach on test
    ship: Ship = "nothing"
    verdict: str = ""
    next_steps: tuple[str, ...] = ()

    @property
    def ships(self) -> bool:
        """Whether a model goes from this result into production."""
        return self.ship in ("candidate", "baseline")


class Binding(Part):
    """What an approval covers, by SHA-256 (B3): anything changed since makes it void."""

    task: str
    ship: Ship
    dataset: str  # DVC's hash of the prepared folder
    splits: dict[str, str]  # split -> hash of its file
    base: str  # weights of the pinned base
    weights: str  # trained tensors of the model that ships
    report: str
    evaluation: str  # digest of the artefact


class SignOff(Artifact):
    """The approval, bound to hashes (5.6, B3)."""

    kind: ClassVar[str] = "sign_off"
    state: Literal["approved", "awaiting", "rejected", "void"] = "awaiting"
    mode: Literal["automatic", "recorded", "signed"] = "recorded"
    binding: Binding | None = None
    by: str = ""
    at: str = ""
    answers: dict[str, str] = Field(default_factory=dict)  # question -> answer
    same_person: bool = False  # the sign-off owner is the model owner, openly
    log_entry: str = ""  # hash of the entry in the decision log
    key: str = ""  # fingerprint of the SSH key that signed; empty where nobody did
    waivers: tuple[Waiver, ...] = ()
    awaits: str = ""  # in words: who has to do what
