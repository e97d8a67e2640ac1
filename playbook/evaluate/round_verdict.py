"""Whether the model that serves is replaced (6.6, 5.7): decided against that model, on the same test rows.

The rule, in this order:

1. The contender is what validation chose among the refreshed champion, the model trained from the base, and the frozen
   baseline. It qualifies where it misses no limit that the incumbent meets and no limit on the model itself (latency,
   size, memory: they are measured on the contenders only), does not answer the same to every row, and
   - it is better: the interval of its gain over the incumbent lies above zero, and the measured gain is at least what
     a true gain of the round's margin reaches with the promised power (`least_gain`); or
   - it is not worse and fixes what fired: the lower end of that interval is above minus the round's tolerance, and
     every trigger that a model can answer is answered, by an interval above zero wherever there is a figure.
2. Where it qualifies, the frozen baseline is asked the same. Where that qualifies too and the contender's gain over it
   does not earn its complexity, the baseline is shipped.
3. Otherwise the incumbent stays.

The baseline is asked only after the contender has qualified, so that two questions in this order are answered at the
stated confidence without a correction (a fixed-sequence procedure: Maurer, Hothorn and Lehmacher 1995, in Biometrie in
der chemisch-pharmazeutischen Industrie 6). "Not worse" is a test of non-inferiority by the confidence interval (Piaggio
et al., JAMA 308 (2012) 2594-2604); its tolerance is the round's margin, unless the task file says otherwise: what a
better model would not be replaced for is not missed in an equal one.

The size of the split is judged before it is opened (`rows_for_round`): a true gain of the margin, or that nothing of
the tolerance is lost, must be seen with the power of the task file.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from playbook.artifacts import Contender, Figure, Fix, RoundVerdict, Side, Trigger
from playbook.evaluate import wording
from playbook.evaluate.constant import always
from playbook.evaluate.incumbent import LEAST_ROWS, difference_on
from playbook.evaluate.metrics import Labels
from playbook.evaluate.verdict import Resolution, Verdict, earned, needed_rows, stays_closed, task_difference
from playbook.spec import UNBOUNDED, Limit, TaskSpec
from playbook.statistics.answers import Given
from playbook.statistics.least_rows import least_of_each
from playbook.statistics.metric import TOLERANCE, PairedDifference, bind, is_met
from playbook.statistics.sample_size import least_gain, rows_to_label

# Answered by a gain on rows that are new.
ON_NEW: tuple[Trigger, ...] = ("metric", "metric_differs", "drift", "new_labels")
# What a model can answer at all; `fixable` says what of it counts in one round.
FIXABLE: tuple[Trigger, ...] = (*ON_NEW, "new_class", "task_changed", "better_base")
NAMES = {"candidate": "candidate", "baseline": "frozen baseline"}


@dataclass(frozen=True)
class Serving:
    """The incumbent on the test split: its answers and scores, what it knows, and what asked for a round.

    `answers` are as `Metric.value` takes them; `old` says which rows its own test split had, None where that is not
    known.
    """

    version: str
    answers: Given
    side: Side
    known: tuple[str, ...]  # its classes
    old: npt.NDArray[np.bool_] | None = None
    asked_by: tuple[Trigger, ...] = ()
    base_out: str = ""  # why the task's bases no longer allow its own

    def new_classes(self, labels: Sequence[str]) -> list[str]:
        """Classes of the task that it does not know."""
        return [label for label in labels if label not in self.known]


def round_margin(spec: TaskSpec) -> float:
    """Gain over the incumbent from which on a round replaces it."""
    return spec.retraining.margin if spec.retraining.margin is not None else spec.target.margin / 2


def round_tolerance(spec: TaskSpec) -> float:
    """By how much a model that replaces the incumbent because it fixes something must not be worse."""
    return spec.retraining.tolerance if spec.retraining.tolerance is not None else round_margin(spec)


def fixable(asked_by: Sequence[Trigger], *, base_out: bool, new_classes: bool) -> tuple[Trigger, ...]:
    """What a model that replaces the incumbent without being better has to fix.

    A better base is fixed only where the incumbent's own is out: as long as the task allows that one, the other base
    has to show a gain. A new class that the incumbent knows by now asks for nothing.

    Args:
        asked_by: what asked for the round.
        base_out: whether the task's bases no longer allow the incumbent's.
        new_classes: whether the task has classes that the incumbent does not know.
    """
    answered = {*ON_NEW, "task_changed", *(["new_class"] if new_classes else [])}
    found = tuple(trigger for trigger in asked_by if trigger in answered)
    return (*found, "better_base") if base_out else found


def may_fix(asked_by: Sequence[Trigger], *, base_out: bool, new_classes: bool, new_rows: int) -> bool:
    """Whether a contender can qualify by fixing what asked for the round; known before the test split is opened.

    All of it has to be fixed, so too few new rows rule this out where one of the triggers is answered on new rows.

    Args:
        asked_by: what asked for the round.
        base_out: whether the task's bases no longer allow the incumbent's.
        new_classes: whether the task has classes that the incumbent does not know.
        new_rows: rows of the test split that the incumbent's own did not have; 0 where that is not known.
    """
    asked = fixable(asked_by, base_out=base_out, new_classes=new_classes)
    return bool(asked) and (new_rows >= LEAST_ROWS or not set(asked) & set(ON_NEW))


def rows_for_round(
    spec: TaskSpec,
    truth: Labels,
    incumbent: Given,
    contender: Given,
    test_rows: Mapping[str, int],
    *,
    fixes: bool = False,
) -> Resolution:
    """Rows that the test split needs to decide a round, judged on validation before it is opened (B2).

    What has to be seen is a gain of the round's margin. Where validation shows more, the lower end of its interval
    takes the margin's place: a new class makes two models differ in many rows and all in one direction, which fewer
    rows can tell. Where a model can qualify by fixing what asked for the round, it is enough to see that nothing of the
    tolerance is lost, which the gain that validation measured makes easier: the distance between the two is planned
    for.

    Args:
        spec: the task.
        truth: true classes of validation, shape (rows,).
        incumbent: answers of the model that serves there, as `Metric.value` takes them.
        contender: answers of what validation chose.
        test_rows: rows of the test split by class; the split stays closed.
        fixes: whether a model can qualify by fixing what asked for the round (`may_fix`).
    """
    seen, tolerance = task_difference(spec, truth, incumbent, contender), round_tolerance(spec)
    shown = _tenths(seen.low)
    gain = max(round_margin(spec), shown)
    measured = max(0.0, _tenths(seen.delta))
    planned = min(max(gain, tolerance + measured) if fixes else gain, 0.5)
    found = needed_rows(spec, truth, incumbent, contender, test_rows, margin=planned)
    if planned <= gain:
        return found
    metric = spec.target.metric
    how = (
        f"{wording.percent(spec.evaluation.power, 0)} chance to show that a model which gains the "
        f"{wording.margin(measured, metric)} of validation does not lose {wording.margin(tolerance, metric)}, the "
        f"models differing on {wording.percent(found.discordance)} of rows"
    )
    return replace(found, how=how)


def _tenths(fraction: float) -> float:
    """A difference cut to a tenth of a point, as the sentence says it."""
    return math.floor(1000 * fraction + TOLERANCE) / 1000


def refuse_round(
    spec: TaskSpec, version: str, resolution: Resolution, openings: int = 0
) -> tuple[Verdict, RoundVerdict]:
    """The verdict where the test split is too small for a round: it is not opened for it, and the incumbent serves on.

    Args:
        spec: the task.
        version: of the incumbent.
        resolution: rows needed and rows there.
        openings: of this split before, for another model.
    """
    rows, where = rows_to_label(spec, resolution.needed - resolution.available)
    asked = f"whether {resolution.limit} is met" if resolution.limit else "whether another model is better"
    text = (
        f"Version {version} stays: {wording.size(resolution.available)} in the test split cannot tell {asked}; "
        f"{wording.size(resolution.needed)} would do ({resolution.how}). {stays_closed(openings)}"
    )
    label = f"Label {wording.size(rows, 'more row')} ({where}); the next round takes them up."
    found = RoundVerdict(incumbent=version, margin=round_margin(spec), tolerance=round_tolerance(spec))
    return Verdict("incumbent", text, (label,)), found


def decide_round(
    spec: TaskSpec, serving: Serving, truth: Labels, answers: Mapping[str, Given], sides: Mapping[str, Side]
) -> tuple[Verdict, RoundVerdict]:
    """What a round ships, by the rule above, in words and as figures.

    Args:
        spec: the task.
        serving: the incumbent.
        truth: true classes of the test split, shape (rows,).
        answers: `baseline`, and `candidate` unless validation chose the frozen baseline; as `Metric.value` takes them.
        sides: their scores.
    """
    names = [name for name in ("candidate", "baseline") if name in answers]
    contenders = [_contender(spec, serving, truth, answers[name], sides[name], name) for name in names]
    first, simpler = contenders[0], contenders[-1]
    stale = set() if serving.new_classes(spec.labels) else {"new_class"}
    found = RoundVerdict(
        incumbent=serving.version,
        asked_by=tuple(trigger for trigger in serving.asked_by if trigger in FIXABLE and trigger not in stale),
        margin=round_margin(spec),
        tolerance=round_tolerance(spec),
        contenders=tuple(contenders),
        why="not shown",
    )
    if not first.qualifies:
        return _kept(spec, serving, found, sides[first.name]), found
    taken, over = first, None
    if simpler is not first:
        over = task_difference(spec, truth, answers["baseline"], answers["candidate"])
        taken = simpler if simpler.qualifies and not earned(spec, over) else first
    found = found.model_copy(update={"ship": taken.name, "why": "better" if taken.better else "fixes"})
    return _replaced(spec, found, taken, over), found


def _contender(spec: TaskSpec, serving: Serving, truth: Labels, answers: Given, side: Side, name: str) -> Contender:
    gain = task_difference(spec, truth, serving.answers, answers)
    parts = {"on_old": serving.old, "on_new": None if serving.old is None else ~serving.old}
    on = {part: difference_on(spec, truth, serving.answers, answers, rows) for part, rows in parts.items()}
    least = least_gain(round_margin(spec), gain.standard_error, spec.evaluation.power, gain.step)
    return Contender(
        name="candidate" if name == "candidate" else "baseline",
        over=_figure(gain),
        least=least,
        **{part: _figure(found) if found is not None else None for part, found in on.items()},
        fixes=tuple(_fixes(spec, serving, truth, answers, on["on_new"])),
        misses=tuple(limit.label for limit in spec.target.all_limits if _stands_against(limit, serving.side, side)),
        always=always(side),
        too_few=gain.too_few,
        better=not gain.too_few and gain.low > 0 and gain.delta >= least - TOLERANCE,
        not_worse=not gain.too_few and gain.low > -round_tolerance(spec),
    )


def _stands_against(limit: Limit, incumbent: Side, side: Side) -> bool:
    """Whether a contender misses a limit that may not be missed: one on the model itself, or one the incumbent meets.

    A limit on the model is not measured on the incumbent, so the contender's own figure decides.
    """
    if is_met(limit, side.scores[limit.label].value):
        return False
    return limit.is_budget or is_met(limit, incumbent.scores[limit.label].value)


def _fixes(
    spec: TaskSpec, serving: Serving, truth: Labels, answers: Given, on_new: PairedDifference | None
) -> list[Fix]:
    """What asked for the round and can be answered by a model, each with whether this one answers it."""
    found, new = [], bool(serving.new_classes(spec.labels))
    for trigger in fixable(serving.asked_by, base_out=bool(serving.base_out), new_classes=new):
        if trigger in ON_NEW:
            text, shown = "too few new rows to say", False
            if on_new is not None:
                text = f"{wording.difference(_figure(on_new), spec.target.metric)} on rows that are new"
                text += f", {on_new.too_few}" if on_new.too_few else ""
                shown = on_new.low > 0 and not on_new.too_few
            found.append(Fix(trigger=trigger, fixed=shown, text=text))
        elif trigger == "new_class":
            found.append(_new_classes(spec, serving, truth, answers))
        elif trigger == "task_changed":
            found.append(Fix(trigger=trigger, fixed=True, text="it is trained on the task as it is defined now"))
        elif trigger == "better_base":
            text = f"its base is allowed, that of version {serving.version} is out ({serving.base_out})"
            found.append(Fix(trigger=trigger, fixed=True, text=text))
    return found


def _new_classes(spec: TaskSpec, serving: Serving, truth: Labels, answers: Given) -> Fix:
    """Whether every class that the incumbent does not know is found, its gain in recall told from zero."""
    texts, fixed = [], True
    for label in serving.new_classes(spec.labels):
        rules = spec.evaluation
        recall = bind(
            Limit(metric="recall", at_least=0.0, of_class=label), spec.labels, confidence=rules.confidence,
            resamples=rules.resamples, seed=spec.adaptation.seed,
        )  # fmt: skip
        gain = recall.difference(truth, serving.answers, answers)
        rows = int((truth == spec.labels.index(label)).sum())
        fixed = fixed and gain.low > 0 and rows >= least_of_each("recall")
        texts.append(f"{label}: recall {wording.percent(gain.delta)} of {wording.size(rows)}")
    return Fix(trigger="new_class", fixed=fixed, text=f"new classes: {wording.listing(texts, 5)}")


def _figure(gain: PairedDifference) -> Figure:
    return Figure(value=gain.delta, low=gain.low, high=gain.high)


def _replaced(spec: TaskSpec, found: RoundVerdict, taken: Contender, over: PairedDifference | None) -> Verdict:
    name, version = NAMES[taken.name], found.incumbent
    text = f"Ship the {name} in place of version {version}: {_beside(spec, taken)}"
    if found.why == "better":
        text += (
            f", where {wording.margin(found.margin, spec.target.metric)} were asked of a round{_reach(spec, taken)}."
        )
    else:
        text += (
            f", which is not worse by the tolerance of {wording.margin(found.tolerance, spec.target.metric)}, and it "
            f"fixes what asked for the round ({_listed(taken.fixes)})."
        )
    if over is not None and taken.name == "baseline":
        text += (
            f" It is the simpler one: the candidate's gain over it, "
            f"{wording.difference(_figure(over), spec.target.metric)}, does not earn "
            f"{wording.margin(spec.target.margin, spec.target.metric)}."
        )
    return Verdict(taken.name, text, ())


def _reach(spec: TaskSpec, taken: Contender) -> str:
    """Why a measured gain under the margin is one of the margin, where it is."""
    if taken.over.value >= round_margin(spec) - TOLERANCE:
        return ""
    least = wording.points(taken.least) if spec.target.metric not in UNBOUNDED else f"{taken.least:.3g}"
    cases = f"{100 * spec.evaluation.power:.0f} of 100"
    return f"; from {least} on a gain counts here, so that a true gain of that margin is seen in {cases} cases"


def _kept(spec: TaskSpec, serving: Serving, found: RoundVerdict, side: Side) -> Verdict:
    """Why the incumbent stays: what the contender fell short of, and what still asks for a better model."""
    first = found.contenders[0]
    name = NAMES[first.name]
    own = tuple(limit for limit in spec.target.budgets if limit.label in first.misses)
    met = [label for label in first.misses if label not in {limit.label for limit in own}]
    reasons = [f"the {name} misses {wording.listing(met)}, which it meets"] if met else []
    reasons += [f"the {name} misses {wording.misses(own, side.scores)}"] if own else []
    reasons += [f"the {name} answers {first.always!r} to every row, which is not a model"] if first.always else []
    if not first.better:
        worse = not first.not_worse and first.fixes and not first.too_few
        reasons.append(
            f"{_beside(spec, first)}, where {wording.margin(found.margin, spec.target.metric)} were asked of a round"
            + (", and it could be worse by more than the tolerance" if worse else "")
            + (f", and there are {first.too_few}" if first.too_few else "")
        )
    open_ones = [fix for fix in first.fixes if not fix.fixed]
    if open_ones and first.not_worse:
        reasons.append(f"it does not fix what asked for the round ({_listed(open_ones)})")
    text = f"Keep version {found.incumbent}, which serves: {'; '.join(reasons)}."
    return Verdict("incumbent", text, _next_steps(spec, serving, found))


def _next_steps(spec: TaskSpec, serving: Serving, found: RoundVerdict) -> tuple[str, ...]:
    version = found.incumbent
    steps = [f"Version {version} goes on serving; nothing has to be signed."]
    asked = [trigger.replace("_", " ") for trigger in found.asked_by if trigger != "better_base"]
    if asked:
        listed = wording.listing(asked, 6)
        steps.append(f"What asked for the round is still there ({listed}): label more rows like those that are new.")
    if serving.base_out:
        steps.append(
            f"The task no longer allows the base of version {version}. A model on an allowed base replaces it as soon "
            "as it qualifies; until then, train it on more rows, or allow the old base again."
        )
    elif "better_base" in found.asked_by:
        asks = wording.margin(found.margin, spec.target.metric)
        steps.append(
            f"Another base did better in the bake-off. The task still allows the base of version {version}, so a model "
            f"on the other base has to gain {asks} on the test split to replace it."
        )
    return tuple(steps)


def _beside(spec: TaskSpec, one: Contender) -> str:
    parts = [
        f"the {NAMES[one.name]} is {wording.difference(one.over, spec.target.metric)} in {spec.target.label} beside it"
    ]
    if one.on_old is not None:
        parts.append(f"{wording.difference(one.on_old, spec.target.metric)} on the rows that it was tested on")
    if one.on_new is not None:
        parts.append(f"{wording.difference(one.on_new, spec.target.metric)} on those that are new")
    return ", ".join(parts)


def _listed(fixes: tuple[Fix, ...] | list[Fix]) -> str:
    return "; ".join(f"{fix.trigger.replace('_', ' ')}: {fix.text}" for fix in fixes)
