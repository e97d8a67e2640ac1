"""What the engine finds out by itself for the decision gate, and the rows of evidence that follow from it.

Weights are whole numbers: 1 for a hint, 2 for a strong one, 3 and 4 for what was tried and reaches the target. They are
a written rule, not fitted to anything. Thresholds and their sources stand at the constants.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from playbook.artifacts import Closeness, EvidenceRow, Path, PathCost, Score
from playbook.decide.factors import BASE, CEILING, COMPUTE, LABELS, VOLUME
from playbook.decide.floors import ROW_FLOORS, below_row_floor, rows_missing
from playbook.decide.limits import PROMPTED, TRAINED, answered, unanswered
from playbook.decide.probe import Probe
from playbook.spec import TaskSpec
from playbook.statistics.metric import is_met

ENOUGH_ROWS = 50  # of a class: from here on adapting a base is the usual choice (judgement)
NOISY_ROWS = 4  # noisy rows that are worth one clean row (judgement; more noise takes more rows: Rolnick et al. 2017)
ALMOST_PERFECT = 0.8  # kappa (Landis and Koch 1977)
SPLIT_WORDS, SHREDDED_WORDS = 1.6, 2.5  # tokens per word; 1.1 to 1.3 in a tokenizer's own language (Rust et al. 2021)
UNKNOWN_TOKENS = 0.02
COLLAPSED = 0.1  # effective rank, as a share
MODEL_FREE: tuple[Path, ...] = ("no_model", "prompt_or_retrieve")
FITTED = ("majority", "tfidf")  # references that learn from the training rows
WORDS: dict[Path, str] = {
    "no_model": "no model",
    "prompt_or_retrieve": "prompting or retrieval",
    "fine_tune": "fine-tuning",
    "from_scratch": "training from scratch",
}


@dataclass(frozen=True)
class Measured:
    """What the engine found out by itself; None or empty where it could not."""

    class_rows: Mapping[str, int] = field(default_factory=dict)  # training rows by class
    kappa: float | None = None  # agreement with the second annotator
    closeness: Closeness | None = None
    probe: Probe | None = None
    agreement: float | None = None  # share of rows to which both annotators gave one label
    base_problem: str = ""  # why no base could be read
    references: Mapping[str, Score] = field(default_factory=dict)  # on validation
    meets_target: str = ""  # simplest reference that meets the target
    costs: tuple[PathCost, ...] = ()
    training_seconds: float = 0.0  # of one run, corrected by `ratio`
    ratio: float = 1.0
    training_interval: tuple[float, float] | None = None
    interval_from: str = ""
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
    scores = _scores(measured)
    if not scores:
        return _open(CEILING, question, "no reference was scored")
    if measured.meets_target:
        answer = f"yes, by {measured.meets_target}: {scores}"
        if not usable_reference(spec, measured):
            return _found(CEILING, question, answer, "but it was fitted on rows that may not be trained on")
        return _found(CEILING, question, answer, "nothing needs to be adapted", ("no_model",), 3)
    why = f"no reference baseline is shown to meet the target ({scores})"
    return _found(CEILING, question, f"no: {scores}", why, rules_out=("no_model",))


def ceiling_row(spec: TaskSpec, measured: Measured) -> EvidenceRow:
    """What each path was seen to reach, against the target; what was not tried speaks for nothing."""
    question = "Performance ceiling: which path was seen to reach the target?"
    asked = f"{spec.target.label} of {spec.target.direction.replace('_', ' ')} {spec.target.bound:g} is required"
    labels, tried = _ceiling_of_labels(spec, measured), spec.decision.prompting_reaches
    if tried is None and spec.decision.prompting_place == "none":
        answer = f"{_scores(measured) or 'no reference was scored'}; {asked}"
        return _found(
            CEILING, question, answer, f"there is no model to prompt; what adapting reaches will be seen{labels}"
        )
    if tried is None:
        return _open(CEILING, question, f"left open in the task file: decision.prompting_reaches{labels}")
    answer = f"a prompted model reached {tried:g}; {asked}"
    if spec.decision.prompting_place == "none":
        return answered(CEILING, question, answer, f"but the task file says there is no model to prompt{labels}")
    if is_met(spec.target, tried):
        why = f"the prompted model that was tried reaches it{labels}"
        return answered(CEILING, question, answer, why, PROMPTED, 4)
    as_good = _reference_as_good(spec, measured, tried)
    if as_good and spec.decision.bottleneck != "knowledge":  # else it was asked, and nothing was looked up yet
        why = f"the prompted model that was tried is no better than {as_good}, which is simpler{labels}"
        return answered(CEILING, question, answer, why, ("fine_tune",), 2, PROMPTED)
    why = f"the prompted model that was tried does not reach it{labels}"
    return answered(CEILING, question, answer, why, ("fine_tune",), 2)


def _reference_as_good(spec: TaskSpec, measured: Measured, tried: float) -> str:
    """A reference that may be used and is as good as the prompted model that was tried, or ""."""
    sign = 1 if spec.target.direction == "at_least" else -1
    forbidden = FITTED if spec.decision.data_licence_allows_training is False else ()
    found = {name: sign * score.value for name, score in measured.references.items() if name not in forbidden}
    best = max(found, key=found.__getitem__, default="")
    return f"{best} ({sign * found[best]:.3f})" if best and found[best] >= sign * tried else ""


def _ceiling_of_labels(spec: TaskSpec, measured: Measured) -> str:
    """What no path can be shown to pass: two people agree on fewer rows than are to be right."""
    bound, agreed = spec.target.bound, measured.agreement
    if agreed is None or spec.target.metric not in ("accuracy", "micro_f1") or agreed >= bound:
        return ""
    return f"; two people agree on only {agreed:.2f} of the rows, and no path can be shown to pass that"


def noisy(spec: TaskSpec, measured: Measured) -> bool:
    """Whether two people disagree beyond the floor, or the team says so of labels that nobody labelled twice."""
    if measured.kappa is not None:
        return measured.kappa < spec.data.labels.min_kappa
    return spec.decision.labels == "noisy"


def few_rows(spec: TaskSpec, measured: Measured) -> str:
    """How few labelled rows there are for each class on average, with those that can be had; "" where they suffice."""
    if not measured.class_rows:
        return ""
    rows = sum(measured.class_rows.values()) + (spec.decision.rows_obtainable or 0)
    each = rows / max(1, len(spec.labels))
    many = NOISY_ROWS if noisy(spec, measured) else 1
    if each >= ENOUGH_ROWS * many:
        return ""
    told = f"about {each:,.0f} labelled rows for each class"
    return told + (f" with noisy labels, worth {each / many:,.0f} clean ones" if many > 1 else "")


def volume_row(spec: TaskSpec, measured: Measured) -> EvidenceRow:
    """Rows of the rarest class, and of all."""
    question = "Data volume: how many labelled training rows does the rarest class have?"
    if not measured.class_rows:
        return unanswered(VOLUME, question, "no rows were counted")
    rarest, fewest = min(measured.class_rows.items(), key=lambda item: (item[1], item[0]))
    total = sum(measured.class_rows.values())
    answer = f"{fewest:,} of {rarest}; {total:,} in {len(measured.class_rows)} classes"
    too_few = few_rows(spec, measured)
    if too_few:
        return _found(VOLUME, question, answer, f"{too_few}: a prompt needs them only for judging it", PROMPTED, 2)
    if fewest < ENOUGH_ROWS:
        few: tuple[Path, ...] = ("prompt_or_retrieve", "fine_tune")
        return _found(VOLUME, question, answer, f"fewer than {ENOUGH_ROWS} rows in the rarest class", few, 1)
    if "from_scratch" not in below_row_floor(spec, measured.class_rows):
        more = "" if rows_missing(spec, measured.class_rows, "from_scratch") == 0 else ", with those that can be had,"
        return _found(VOLUME, question, answer, f"enough{more} to learn without transfer as well", TRAINED, 2)
    return _found(
        VOLUME, question, answer, f"{ENOUGH_ROWS} or more rows per class are enough to adapt a base", ("fine_tune",), 2
    )


def floor_rows(spec: TaskSpec, measured: Measured) -> tuple[EvidenceRow, ...]:
    """Whether each path that has a floor of rows reaches it, counting those that can still be had."""
    found = []
    below = below_row_floor(spec, measured.class_rows)
    for path, floor in ROW_FLOORS[spec.modality].items():
        question = f"Are there enough labelled rows for {WORDS[path]}?"
        if not measured.class_rows:
            found.append(unanswered(VOLUME, question, "no rows were counted"))
            continue
        missing = rows_missing(spec, measured.class_rows, path)
        answer = f"{missing:,} are missing" if missing else "yes"
        if missing and path not in below:
            answer += f", {spec.decision.rows_obtainable or 0:,} can be had"
        least = f"{floor.rows:,} {'of every class' if floor.per_class else 'in all'} at least: {floor.source}"
        found.append(_found(VOLUME, question, answer, least, rules_out=(path,) if path in below else ()))
    return tuple(found)


def pretrained_row(spec: TaskSpec, measured: Measured) -> EvidenceRow:
    """Whether there is something to transfer from."""
    question = f"Does a pretrained model for {spec.modality} exist?"
    if measured.probe is not None:
        answer = f"yes: {measured.probe.blocks} blocks, read here"
        if measured.closeness is not None and domain_shift(measured.closeness) == "strong":
            return _found(BASE, question, answer, "there is something to transfer from, but it is far from the texts")
        return _found(BASE, question, answer, "there is something to transfer from", ("fine_tune",), 2)
    if measured.base_problem:
        return _found(BASE, question, "none that may be used", measured.base_problem, rules_out=("fine_tune",))
    said = spec.decision.pretrained_exists
    if said is None:
        return unanswered(BASE, question)
    if said:
        return answered(BASE, question, "yes", "there is something to transfer from", ("fine_tune",), 1)
    return answered(BASE, question, "no", "nothing to transfer from", rules_out=("fine_tune",))


def labels_row(spec: TaskSpec, measured: Measured) -> EvidenceRow:
    """Agreement of two people, or what the team says of its labels."""
    question = "Label cleanliness: do two people agree?"
    if measured.kappa is not None:
        floor, said = spec.data.labels.min_kappa, spec.decision.labels
        level = "noisy" if noisy(spec, measured) else "clean" if measured.kappa >= ALMOST_PERFECT else "some_noise"
        answer = f"kappa {measured.kappa:.2f}" + (f"; the team says {said}" if said not in (None, level) else "")
        if noisy(spec, measured):
            return _found(
                LABELS, question, answer, f"below the floor of {floor:g}: correct the labels first", MODEL_FREE, 2
            )
        if measured.kappa >= ALMOST_PERFECT:
            return _found(LABELS, question, answer, "almost perfect agreement can be learned from", TRAINED, 1)
        return _found(LABELS, question, answer, "a pretrained base tolerates some noise", ("fine_tune",), 1)
    said = spec.decision.labels
    if said is None:
        return unanswered(LABELS, question)
    meanings = {
        "clean": Speaks(TRAINED, 1, "clean labels can be learned from"),
        "some_noise": Speaks(("fine_tune",), 1, "a pretrained base tolerates some noise"),
        "noisy": Speaks(MODEL_FREE, 2, "a model learns the noise too: correct the labels first"),
    }
    return answered(LABELS, question, said, meanings[said].why, meanings[said].favours, meanings[said].weight)


def shift_row(spec: TaskSpec, measured: Measured) -> EvidenceRow:
    """Distance of the texts from the base, measured where it can be."""
    question = "Domain shift: how far are the texts from what the base knows?"
    meanings = {
        "none": Speaks(("prompt_or_retrieve", "fine_tune"), 1, "public models know such texts"),
        "mild": Speaks(("fine_tune",), 1, "adaptation closes a small distance"),
        "strong": Speaks(("fine_tune",), 1, "far from pretraining: adapt more blocks, or look for a closer base"),
    }
    if measured.class_rows and "from_scratch" not in below_row_floor(spec, measured.class_rows):
        far = "far from pretraining, and there are rows enough to learn without it"
        meanings["strong"] = Speaks(("from_scratch",), 2, far)
    found, said = measured.closeness, spec.decision.domain_shift
    if found is None:
        if said is None:
            return unanswered(BASE, question)
        return answered(BASE, question, said, meanings[said].why, meanings[said].favours, meanings[said].weight)
    level = domain_shift(found)
    answer = (
        f"{level}: {found.tokens_per_word:.2f} tokens per word, {found.unknown_share:.1%} unknown, "
        f"effective rank {found.features:.0%} of the maximum"
        + (f"; the team says {said}" if said and said != level else "")
    )
    return _found(BASE, question, answer, meanings[level].why, meanings[level].favours, meanings[level].weight)


def domain_shift(found: Closeness) -> str:
    """`none`, `mild` or `strong`, from tokens per word, unknown tokens and the effective rank of the features."""
    if found.tokens_per_word > SHREDDED_WORDS or found.unknown_share > UNKNOWN_TOKENS or found.features < COLLAPSED:
        return "strong"
    return "mild" if found.tokens_per_word > SPLIT_WORDS else "none"


def throughput_row(measured: Measured) -> EvidenceRow:
    """What one run takes here; it decides nothing by itself."""
    question = "Throughput of this machine: what does one run of all training take?"
    if measured.probe is None:
        return unanswered(COMPUTE, question, measured.base_problem or "no probe was run")
    rate = f"{measured.probe.rows_per_second:,.0f} rows/s with one block unfrozen"
    answer = f"{rate}; {seconds_told(measured.training_seconds, measured.training_interval)}"
    return _found(COMPUTE, question, answer, f"a probe of {measured.probe.steps} steps on {measured.probe.hardware}")


def seconds_told(seconds: float, interval: tuple[float, float] | None) -> str:
    """An estimate with its interval."""
    around = f" ({interval[0]:,.0f} to {interval[1]:,.0f})" if interval else ""
    return f"about {seconds:,.0f} s{around}"


def _scores(measured: Measured) -> str:
    return ", ".join(f"{name} {score.value:.3f}" for name, score in measured.references.items())


def _open(factor: str, question: str, why: str) -> EvidenceRow:
    return EvidenceRow(factor=factor, question=question, answer="not answered", source="not answered", why=why)


def _found(
    factor: str,
    question: str,
    answer: str,
    why: str,
    favours: tuple[Path, ...] = (),
    weight: float = 0.0,
    rules_out: tuple[Path, ...] = (),
) -> EvidenceRow:
    return EvidenceRow(
        factor=factor,
        question=question,
        answer=answer,
        source="measured",
        favours=favours,
        rules_out=rules_out,
        weight=weight if favours else 0.0,
        why=why,
    )
