"""What the engine finds out by itself for the decision gate, and the rows of evidence that follow from it.

Weights are whole numbers: 1 for a hint, 2 for a strong one, 3 for what was tried. They are a written rule, not fitted
to anything. Thresholds and their sources stand at the constants.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from playbook.artifacts import PATHS, Closeness, EvidenceRow, Path, PathCost, Score
from playbook.decide.limits import PROMPTED, TRAINED, answered, unanswered
from playbook.decide.probe import Probe
from playbook.spec import TaskSpec

FEW_ROWS = 8  # of a class: from here on a pretrained sentence encoder learns from them (SetFit: Tunstall et al. 2022)
ENOUGH_ROWS = 50  # of a class: from here on adapting a base is the usual choice
ROWS_FOR_SCRATCH = 1_000_000  # labelled texts from which random weights need not be far behind
ALMOST_PERFECT = 0.8  # kappa (Landis and Koch 1977)
SPLIT_WORDS, SHREDDED_WORDS = 1.6, 2.5  # tokens per word; 1.1 to 1.3 in a tokenizer's own language (Rust et al. 2021)
UNKNOWN_TOKENS = 0.02
COLLAPSED = 0.1  # effective rank, as a share
MODEL_FREE: tuple[Path, ...] = ("no_model", "prompt_or_retrieve")
FITTED = ("majority", "tfidf")  # references that learn from the training rows


@dataclass(frozen=True)
class Measured:
    """What the engine found out by itself; None or empty where it could not."""

    class_rows: Mapping[str, int] = field(default_factory=dict)  # training rows by class
    kappa: float | None = None  # agreement with the second annotator
    closeness: Closeness | None = None
    probe: Probe | None = None
    base_problem: str = ""  # why no base could be read
    references: Mapping[str, Score] = field(default_factory=dict)  # on validation
    meets_target: str = ""  # simplest reference that meets the target
    costs: tuple[PathCost, ...] = ()
    training_seconds: float = 0.0  # of one run, corrected by `ratio`
    ratio: float = 1.0
    today: date | None = None  # needed where the task file names the day of the deadline


@dataclass(frozen=True)
class Speaks:
    """What one answer of a closed list speaks for."""

    favours: tuple[Path, ...]
    weight: float
    why: str


def usable_reference(spec: TaskSpec, measured: Measured) -> str:
    """The reference that meets the target, or "": also where it was fitted on rows that may not be trained on."""
    forbidden = spec.decision.data_licence_allows_training is False and measured.meets_target in FITTED
    return "" if forbidden else measured.meets_target


def references_row(spec: TaskSpec, measured: Measured) -> EvidenceRow:
    """Whether a reference baseline meets the target already (1.8)."""
    question = "Is the target met without adapting a model?"
    scores = ", ".join(f"{name} {score.value:.3f}" for name, score in measured.references.items())
    if not scores:
        return EvidenceRow(
            question=question, answer="not measured", source="not answered", why="no reference was scored"
        )
    if measured.meets_target:
        answer = f"yes, by {measured.meets_target}: {scores}"
        if not usable_reference(spec, measured):
            return _found(question, answer, "but it was fitted on rows that may not be trained on")
        return _found(question, answer, "nothing needs to be adapted", ("no_model",), 3)
    others = tuple(path for path in PATHS if path != "no_model")
    return _found(question, f"no: {scores}", "no reference baseline is shown to meet the target", others, 3)


def volume_row(measured: Measured) -> EvidenceRow:
    """Rows of the rarest class."""
    question = "Data volume: how many labelled training rows does the rarest class have?"
    if not measured.class_rows:
        return unanswered(question, "no rows were counted")
    rarest, fewest = min(measured.class_rows.items(), key=lambda item: (item[1], item[0]))
    total = sum(measured.class_rows.values())
    answer = f"{fewest:,} of {rarest}; {total:,} in {len(measured.class_rows)} classes"
    if fewest < FEW_ROWS:
        return _found(question, answer, f"fewer than {FEW_ROWS} examples teach a class badly", PROMPTED, 2)
    if fewest < ENOUGH_ROWS:
        few: tuple[Path, ...] = ("prompt_or_retrieve", "fine_tune")
        return _found(question, answer, f"enough to adapt a base, but under {ENOUGH_ROWS}", few, 1)
    if total >= ROWS_FOR_SCRATCH:
        return _found(question, answer, "enough to learn without transfer as well", TRAINED, 2)
    return _found(question, answer, "enough to adapt a base, too few to train one", ("fine_tune",), 2)


def pretrained_row(spec: TaskSpec, measured: Measured) -> EvidenceRow:
    """Whether there is something to transfer from."""
    question = f"Does a pretrained model for {spec.modality} exist?"
    if measured.probe is not None:
        answer = f"yes, {measured.probe.blocks} blocks, read here"
        return _found(question, answer, "there is something to transfer from", ("fine_tune",), 2)
    said = spec.decision.pretrained_exists
    if said is None:
        return unanswered(question, measured.base_problem)
    if said:
        why = f"the base of the task file could not be read: {measured.base_problem}" if measured.base_problem else ""
        return answered(question, "yes", why or "there is something to transfer from", ("fine_tune",), 1)
    return answered(question, "no", "nothing to transfer from", ("from_scratch",), 2, rules_out=("fine_tune",))


def labels_row(spec: TaskSpec, measured: Measured) -> EvidenceRow:
    """Agreement of two people, or what the team says of its labels."""
    question = "Label cleanliness: do two people agree?"
    if measured.kappa is not None:
        answer, floor = f"kappa {measured.kappa:.2f}", spec.data.labels.min_kappa
        if measured.kappa < floor:
            return _found(question, answer, f"below the floor of {floor:g}: the labels come first", MODEL_FREE, 2)
        if measured.kappa >= ALMOST_PERFECT:
            return _found(question, answer, "almost perfect agreement can be learned from", TRAINED, 1)
        return _found(question, answer, "a pretrained base bears some noise", ("fine_tune",), 1)
    said = spec.decision.labels
    if said is None:
        return unanswered(question)
    meanings = {
        "clean": Speaks(TRAINED, 1, "clean labels can be learned from"),
        "some_noise": Speaks(("fine_tune",), 1, "a pretrained base bears some noise"),
        "noisy": Speaks(MODEL_FREE, 2, "noisy labels teach their noise: mend them first"),
    }
    return answered(question, said, meanings[said].why, meanings[said].favours, meanings[said].weight)


def shift_row(spec: TaskSpec, measured: Measured) -> EvidenceRow:
    """Distance of the texts from the base, measured where it can be."""
    question = "Domain shift: how far are the texts from what the base knows?"
    meanings = {
        "none": Speaks(("prompt_or_retrieve", "fine_tune"), 1, "public models know such texts"),
        "mild": Speaks(("fine_tune",), 1, "adaptation closes a small distance"),
        "strong": Speaks(TRAINED, 1, "far from pretraining: adapt more blocks, or look for a closer base"),
    }
    found, said = measured.closeness, spec.decision.domain_shift
    if found is None:
        if said is None:
            return unanswered(question)
        return answered(question, said, meanings[said].why, meanings[said].favours, meanings[said].weight)
    level = domain_shift(found)
    answer = (
        f"{level}: {found.tokens_per_word:.2f} tokens per word, {found.unknown_share:.1%} unknown, "
        f"effective rank {found.features:.0%} of what it can be"
        + (f"; the team says {said}" if said and said != level else "")
    )
    return _found(question, answer, meanings[level].why, meanings[level].favours, meanings[level].weight)


def domain_shift(found: Closeness) -> str:
    """`none`, `mild` or `strong`, from tokens per word, unknown tokens and the effective rank of the features."""
    if found.tokens_per_word > SHREDDED_WORDS or found.unknown_share > UNKNOWN_TOKENS or found.features < COLLAPSED:
        return "strong"
    return "mild" if found.tokens_per_word > SPLIT_WORDS else "none"


def throughput_row(measured: Measured) -> EvidenceRow:
    """What one run takes here; it decides nothing by itself."""
    question = "Throughput of this machine: what does one run of all training take?"
    if measured.probe is None:
        return unanswered(question, measured.base_problem or "no probe was run")
    rate = f"{measured.probe.rows_per_second:,.0f} rows/s with one block unfrozen"
    answer = f"{rate}; about {measured.training_seconds:,.0f} s"
    return _found(question, answer, f"a probe of {measured.probe.steps} steps on {measured.probe.hardware}")


def _found(question: str, answer: str, why: str, favours: tuple[Path, ...] = (), weight: float = 0.0) -> EvidenceRow:
    return EvidenceRow(
        question=question, answer=answer, source="measured", favours=favours, weight=weight if favours else 0.0, why=why
    )
