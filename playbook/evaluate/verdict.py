"""What to ship, in plain words: pure functions over figures (5.1, 5.7, B2).

The rule, in this order:

1. `candidate`: it meets every limit on the test split, the interval of its gain lies above zero, and the measured gain
   is at least what a true gain of the margin reaches with the promised power (`playbook.statistics.sample_size`).
2. `baseline`: the frozen baseline meets every limit.
3. `nothing`: neither; the text says what is missing and what to do.

A model that answers the same to every row never ships, whatever limits it meets.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from playbook.artifacts import ClassFigures, Ship, Side
from playbook.evaluate import wording
from playbook.evaluate.constant import always, never_ships, remedy
from playbook.evaluate.metrics import Labels
from playbook.evaluate.paired import (
    TOLERANCE,
    PairedDifference,
    discordance,
)
from playbook.spec import Limit, TaskSpec
from playbook.statistics.answers import Given, answers_of
from playbook.statistics.metric import is_met, target_metric
from playbook.statistics.ratio_rows import rows_to_tell
from playbook.statistics.sample_size import (
    OF_ALL_ROWS,
    Demand,
    least_gain,
    missing,
    rows_for_gain,
    rows_needed,
    rows_to_label,
    two_sided_z,
)

Confused = Sequence[Sequence[int]]
FAILING_RECALL = 0.5  # a class below it fails ...
FAILING_GAP = 0.3  # ... and so does one this far below the mean recall of all classes
FAILING = "Failing classes:"  # begins the last sentence of a verdict that has to name some
RARE_SHARE = 0.5  # a class is rare below this part of the rows that it would have in an even split


@dataclass(frozen=True)
class Resolution:
    """Whether the test split can show the margin: rows needed and rows there, both of the whole split, and why."""

    needed: int
    available: int
    discordance: float
    how: str
    limit: str = ""  # which limit could not be judged; empty where it is the gain that could not be seen

    @property
    def enough(self) -> bool:
        """Whether the split may be opened."""
        return self.available >= self.needed


@dataclass(frozen=True)
class Verdict:
    """What to ship, why, and what to do next."""

    ship: Ship
    text: str
    next_steps: tuple[str, ...]


def needed_rows(
    spec: TaskSpec,
    truth: Labels,
    baseline: Given,
    candidate: Given,
    test_rows: Mapping[str, int],
    margin: float | None = None,
) -> Resolution:
    """Rows the test split needs to show a gain of the margin, judged on validation before it is opened (B2).

    Accuracy: Connor (1987) with the discordance of the two models. Recall: likewise over the rows of its class, scaled
    to the whole split by the class's share of it. Other metrics, an approximation: those that are counted as ratios by
    `playbook.statistics.ratio_rows`, which asks too that the models can be told apart; those of probabilities by the
    paired standard error on validation, which shrinks with the square root of the rows, so that n = n_validation ((z_a
    + z_b) error / margin)^2. Never fewer than any gain of the margin needs (`rows_for_gain`). That every class has
    the rows without which nothing is said of it, the data gate asks (`sample_size.demands`).

    Args:
        spec: the task.
        truth: true classes of validation, shape (rows,).
        baseline: answers of the frozen baseline there, shape (rows,).
        candidate: answers of the candidate there, shape (rows,).
        test_rows: rows of the test split by class, from the dataset version; the split stays closed.
        margin: the gain that has to be seen; `target.margin` if not given.
    """
    target, rules, margin = spec.target, spec.evaluation, margin if margin is not None else spec.target.margin
    available = sum(test_rows.values())
    first, second = answers_of(baseline).classes, answers_of(candidate).classes
    apart = discordance(truth, first, second)
    asked = wording.margin(margin, target.metric)
    power = f"{wording.percent(rules.power, 0)} chance that a true gain of {asked} ships"
    if target.metric in OF_ALL_ROWS:
        needed = rows_needed(margin, apart, rules.confidence, rules.power)
        return Resolution(
            needed, available, apart, f"{power}, the models differing on {wording.percent(apart)} of rows"
        )
    if target.metric == "recall" and target.of_class is not None:
        own = truth == spec.labels.index(target.of_class)
        apart = discordance(truth[own], first[own], second[own])
        in_class = rows_needed(margin, apart, rules.confidence, rules.power)
        share = test_rows.get(target.of_class, 0) / max(available, 1) or max(float(own.mean()), 1 / max(len(truth), 1))
        how = f"{power} needs {wording.size(in_class)} of {target.of_class}, {wording.percent(share)} of the split"
        return Resolution(math.ceil(in_class / share - TOLERANCE), available, apart, how)
    scatter = target_metric(spec).scatter(truth, baseline, candidate)
    if scatter is not None:
        shown = task_difference(spec, truth, baseline, candidate).low
        scaled = rows_to_tell(scatter, margin, rules.confidence, rules.power, shown)
    else:
        error = task_difference(spec, truth, baseline, candidate).standard_error
        reach = (two_sided_z(rules.confidence) + NormalDist().inv_cdf(rules.power)) * error
        scaled = math.ceil(len(truth) * (max(reach, 0.0) / margin) ** 2)
    least = rows_for_gain(target, rules.confidence, rules.power, test_rows, margin)
    needed = max(scaled, least)
    how = f"{power}, scaled from the paired error on validation"
    if scatter is not None:
        how += " so that the models can be told apart, with room for how well validation knows it"
    return Resolution(needed, available, apart, f"{how} (approximate)")


def task_difference(spec: TaskSpec, truth: Labels, baseline: Given, candidate: Given) -> PairedDifference:
    """Gain of the candidate in the target's metric, with the confidence, resamples and seed of the task file."""
    return target_metric(spec).difference(truth, baseline, candidate)


def _margin(spec: TaskSpec) -> str:
    return wording.margin(spec.target.margin, spec.target.metric)


def least_resolution(spec: TaskSpec, test_rows: Mapping[str, int]) -> Resolution:
    """Whether the split could answer at all, from row counts alone: asked before anything is trained, of every limit.

    Args:
        spec: the task.
        test_rows: rows of the test split by class, from the dataset version; the split stays closed.
    """
    short: Demand | None = missing(spec, test_rows)
    available = sum(test_rows.values())
    if short is None:
        return Resolution(0, available, 0.0, "every limit can be judged on a split of this size")
    how = f"{short.needed:,} {short.counted} are the least on which {short.why}; there are {short.available:,}"
    return Resolution(max(short.of_split, available + 1), available, 0.0, how, short.limit)


def refuse(spec: TaskSpec, resolution: Resolution, openings: int = 0) -> Verdict:
    """The verdict where the test split is too small for a comparison; it is not opened for it.

    Args:
        spec: the task.
        resolution: rows needed and rows there.
        openings: of this split before, for another model: its terms are locked then.
    """
    short = resolution.needed - resolution.available
    rows, where = rows_to_label(spec, short)
    asked = (
        f"whether {resolution.limit} is met" if resolution.limit else f"the gain of {_margin(spec)} that was asked for"
    )
    text = (
        f"No answer yet: {wording.size(resolution.available)} in the test split cannot show {asked}; "
        f"{wording.size(resolution.needed)} would do ({resolution.how}). "
    )
    text += stays_closed(openings)
    larger = "Or ask for a larger margin in the task file, if a smaller gain would not pay for the complexity anyway."
    steps = (
        f"Bring the test split to {wording.size(resolution.needed)}: label {wording.size(rows, 'more row')} ({where}).",
        *(() if openings or resolution.limit else (larger,)),
        "Until then, ship nothing on the strength of this comparison; the frozen baseline is the simpler choice.",
    )
    return Verdict("nothing", text, steps)


def stays_closed(openings: int) -> str:
    """What is said of a split that is not opened for a model; `openings` are those for other models."""
    if openings:
        return f"The split, opened {wording.size(openings, 'time')} for another model, is not opened for this one."
    return "The test split stays closed."


def decide(
    spec: TaskSpec,
    baseline: Side,
    candidate: Side | None,
    difference: PairedDifference | None,
    *,
    diagnosis: str = "",
    train_rows: Mapping[str, int] | None = None,
    confused: Mapping[str, Confused] | None = None,
) -> Verdict:
    """What to ship.

    Args:
        spec: the task.
        baseline: the frozen baseline on the test split.
        candidate: the candidate there, or None where the candidate is the frozen baseline itself.
        difference: candidate minus baseline in the target's metric; goes with `candidate`.
        diagnosis: what the training curves say.
        train_rows: training rows by class, for advice on data.
        confused: confusion on validation of `baseline` and `candidate`, shape (classes, classes), rows: true class. The
            advice is to read rows there: whoever reads rows of the test split has none to judge the next model on.
    """
    if candidate is None or difference is None:
        verdict = _only_baseline(spec, baseline)
    else:
        verdict = _two_models(spec, baseline, candidate, difference)
    shown = candidate if candidate is not None and verdict.ship != "baseline" else baseline
    if verdict.ship != "nothing" and (few := unsure(spec, shown)):
        name = "frozen baseline" if shown is baseline else "candidate"
        said = f"whether the {name} meets {wording.listing(list(few))} cannot be said: there are {few[next(iter(few))]}"
        held = "" if difference is None else f" {_gain_text(spec, difference)}"
        verdict = Verdict("nothing", f"Ship nothing: {said}.{held}", ("Bring the test split to these rows.",))
    text = name_failing(verdict.text, shown)
    steps = verdict.next_steps
    if verdict.ship == "nothing":
        name = "baseline" if shown is baseline else "candidate"
        steps = (*steps, *_advice(diagnosis, shown, train_rows or {}, (confused or {}).get(name, ())))
    return Verdict(verdict.ship, text, steps)


def missed(spec: TaskSpec, side: Side) -> tuple[Limit, ...]:
    """Limits that a model does not reach on the test split."""
    return tuple(limit for limit in spec.target.all_limits if not is_met(limit, side.scores[limit.label].value))


def unsure(spec: TaskSpec, side: Side) -> dict[str, str]:
    """Limits that a model neither meets nor misses, as the rows are too few to rely on its score, and which rows."""
    scores = {limit.label: side.scores[limit.label] for limit in spec.target.all_limits}
    return {label: score.too_few for label, score in scores.items() if score.too_few}


def _only_baseline(spec: TaskSpec, baseline: Side) -> Verdict:
    target, gaps = spec.target, missed(spec, baseline)
    why = "Nothing that was tried beyond the frozen base was kept, so no gain is claimed."
    if not gaps and (same := always(baseline)):
        text = f"Ship nothing: {never_ships('the frozen baseline', same)}. {why}"
        return Verdict("nothing", text, (remedy(spec, same),))
    if not gaps:
        reached = wording.against(baseline.scores[target.label].value, target)
        return Verdict("baseline", f"Ship the frozen baseline: {target.label} {reached}, every limit met. {why}", ())
    text = f"Ship nothing: the frozen baseline misses {wording.misses(gaps, baseline.scores)}. {why}"
    return Verdict("nothing", text, ())


def _two_models(spec: TaskSpec, baseline: Side, candidate: Side, gain: PairedDifference) -> Verdict:
    target, label = spec.target, spec.target.label
    held, gaps, base_gaps = _gain_text(spec, gain), missed(spec, candidate), missed(spec, baseline)
    wins = not gaps and earned(spec, gain)
    if wins and not always(candidate):
        reached = wording.against(candidate.scores[label].value, target)
        return Verdict("candidate", f"Ship the candidate: {label} {reached}, every limit met. {held}", ())
    if not base_gaps and not always(baseline):
        reached = wording.against(baseline.scores[label].value, target)
        other = f" The candidate misses {wording.misses(gaps, candidate.scores)}." if gaps else ""
        text = f"Ship the simpler frozen baseline: {label} {reached}, every limit met. {held}{other}"
        return Verdict("baseline", text, ())
    if wins or not base_gaps:
        same = always(candidate if wins else baseline)
        reason = never_ships("the candidate" if wins else "the simpler frozen baseline", same)
        return Verdict("nothing", f"Ship nothing: {reason}. {held}", (remedy(spec, same),))
    if not gaps:
        text = (
            f"Ship nothing yet: the candidate meets the target, but not by the gain that was asked for. {held} "
            f"The frozen baseline misses {wording.misses(base_gaps, baseline.scores)}."
        )
        return Verdict("nothing", text, _unearned(spec, gain))
    better, name, open_gaps = (candidate, "candidate", gaps)
    if target_metric(spec).gain(candidate.scores[label].value, baseline.scores[label].value) > 0:
        better, name, open_gaps = (baseline, "frozen baseline", base_gaps)
    text = f"Ship nothing: the better model, the {name}, misses {wording.misses(open_gaps, better.scores)}. {held}"
    return Verdict("nothing", text, ())


def smallest_gain(spec: TaskSpec, gain: PairedDifference) -> float:
    """The measured gain from which on a candidate ships, given how precisely its gain was measured."""
    return least_gain(spec.target.margin, gain.standard_error, spec.evaluation.power, gain.step)


def earned(spec: TaskSpec, gain: PairedDifference) -> bool:
    """Whether a gain ships: told from zero by an interval that can be relied on, and as large as a true gain of the
    margin may measure."""
    return not gain.too_few and gain.low > 0 and gain.delta >= smallest_gain(spec, gain) - TOLERANCE


def _gain_text(spec: TaskSpec, gain: PairedDifference) -> str:
    metric, asked = spec.target.metric, _margin(spec)
    interval = (
        f"{wording.percent(spec.evaluation.confidence, 0)} interval {wording.interval(gain.low, gain.high, metric)}"
    )
    margin, least = spec.target.margin, smallest_gain(spec, gain)
    if gain.delta >= margin - TOLERANCE:
        compared = f"reaches the margin of {asked}"
    elif gain.delta >= least - TOLERANCE:
        cases = f"{100 * spec.evaluation.power:.0f} of 100"
        compared = (
            f"is under the margin of {asked} but within its reach: from {wording.points(least, metric=metric)} on a "
            f"gain ships here, so that a true gain of the margin ships in {cases} cases"
        )
    else:
        compared = f"is under the margin of {asked}; {wording.points(least, metric=metric)} would ship here"
    zero = "excludes" if gain.low > 0 else "lies wholly below" if gain.high < 0 else "includes"
    figure = wording.beside(gain.delta, margin, metric)
    few = f" There are {gain.too_few}." if gain.too_few else ""
    return f"The candidate's gain over the frozen baseline, {figure}, {compared}; the {interval} {zero} zero.{few}"


def _unearned(spec: TaskSpec, gain: PairedDifference) -> tuple[str, ...]:
    if gain.delta >= smallest_gain(spec, gain) - TOLERANCE:
        return ("Bring more test rows: the gain is large enough, but its interval still includes zero.",)
    return (
        "Bring the frozen baseline itself over the target: more labelled rows serve it as well as the candidate.",
        "Target and margin stay as they are for this test split, which is open. Another margin needs new test rows.",
    )


def failing_classes(figures: tuple[ClassFigures, ...]) -> tuple[ClassFigures, ...]:
    """Classes of low recall, rare ones first, then the worst: under a half, or 30 points under the mean of all."""
    present = [figure for figure in figures if figure.support]
    if not present:
        return ()
    mean = float(np.mean([figure.recall for figure in present]))
    failing = [f for f in present if f.recall < FAILING_RECALL or f.recall < mean - FAILING_GAP]
    return tuple(sorted(failing, key=lambda f: (not is_rare(f, figures), f.recall, f.label)))


def is_rare(figure: ClassFigures, figures: tuple[ClassFigures, ...]) -> bool:
    """Whether a class has less than half of the rows that it would have if all classes were alike."""
    return figure.support < RARE_SHARE * sum(f.support for f in figures) / len(figures)


def name_failing(text: str, shown: Side) -> str:
    """A verdict with the failing classes of the model that it shows as its last sentence, where there are any."""
    return " ".join(part for part in (text, _failing_text(failing_classes(shown.per_class))) if part)


def _failing_text(failing: tuple[ClassFigures, ...]) -> str:
    named = [f"{f.label} (recall {wording.percent(f.recall, 0)} of {wording.size(f.support)})" for f in failing]
    return f"{FAILING} {wording.listing(named)}." if named else ""


def _advice(diagnosis: str, side: Side, train_rows: Mapping[str, int], confused: Confused) -> tuple[str, ...]:
    """Next steps from the curves' diagnosis, from the data, and from what is confused on validation."""
    steps = [f"Training curves: {diagnosis.rstrip('.')}."] if diagnosis else []
    few = [
        f"{f.label} ({wording.size(train_rows[f.label])})"
        for f in failing_classes(side.per_class)
        if f.label in train_rows
    ]
    if few:
        steps.append(f"Label more rows of the failing classes, now in training: {wording.listing(few)}.")
    counts, labels = np.array(confused), [f.label for f in side.per_class]
    if counts.size:
        np.fill_diagonal(counts, 0)
    if counts.size and counts.max():
        true, told = np.unravel_index(int(counts.argmax()), counts.shape)
        steps.append(
            f"Read the {wording.size(int(counts.max()))} of the validation split that are {labels[true]} and were "
            f"taken for {labels[told]}: is the labelling guideline clear about the two? Rows of the test split stay "
            "unread."
        )
    return tuple(steps)
