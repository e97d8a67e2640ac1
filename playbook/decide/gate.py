"""The decision gate (1.3 to 1.6): one recommendation from the evidence, hard limits first, ties to fine-tuning.

1. A reference baseline that meets the target ends the task: `no_model` (1.8).
2. What a hard limit or a floor rules out is out, whatever its score.
3. Where knowledge is what a model lacks, it is looked up: prompting or retrieval, if that is left.
4. A model that can be prompted comes before training where it was seen to reach the target, and where labelled rows are
   few and it was not tried yet; not where answers must be fast or their control is high (`playbook.decide.asking`).
5. Of what is left, the path with the highest sum of weights. An answer that speaks for every path that is left is no
   difference between them and counts for none. A tie goes to fine-tuning where it takes part in it, else to the
   simpler path.
6. The task file may take another path, with a name and a reason, but none that is ruled out. To take no model is always
   allowed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from playbook.artifacts import PATHS, Decision, EvidenceRow, Path
from playbook.decide.asking import asked_first
from playbook.decide.contradictions import contradictions
from playbook.decide.cost import saved
from playbook.decide.evidence import evidence_rows
from playbook.decide.factors import BASE, CEILING, COMPUTE, CONTROL, PEOPLE, PLACE, RIGHTS, TIME, VOLUME
from playbook.decide.floors import rows_missing
from playbook.decide.limits import TRAINED, hard_limits
from playbook.decide.measured import WORDS, Measured, noisy, usable_reference
from playbook.errors import TaskFileError
from playbook.spec import TaskSpec
from playbook.spec.decision import Override

__all__ = ["Measured", "Weighed", "decide_path", "weigh"]


NEXT = "Until one of these changes, use the best reference if anything has to serve"
WAYS = {  # what would bring a path back, by the variable or factor that ruled it out
    VOLUME: "label more rows",
    BASE: "name a base that may be used",
    PLACE: "name a model or a place that may be used",
    RIGHTS: "name a base and data whose licences allow it",
    TIME: "allow more time",
    COMPUTE: "find more device-hours",
    CONTROL: "allow slower answers",
    PEOPLE: "find people who maintain it",
    CEILING: "try a better prompted model",
}


@dataclass(frozen=True)
class Weighed:
    """The evidence and what follows from it, before the task file's override."""

    path: Path
    why: str
    rows: tuple[EvidenceRow, ...]
    scores: Mapping[Path, float]  # of the paths that are left
    out: Mapping[Path, EvidenceRow]  # the first limit or floor that rules a path out


def weigh(spec: TaskSpec, measured: Measured) -> Weighed:
    """Ask every question and follow the rules up to the recommendation."""
    rows = (*hard_limits(spec), *evidence_rows(spec, measured))
    out = {path: row for row in reversed(rows) for path in row.rules_out}
    left = [path for path in PATHS if path not in out]
    counted = [row for row in rows if row.favours and not (len(left) > 1 and set(left) <= set(row.favours))]
    scores = {path: sum(row.weight for row in counted if path in row.favours) for path in left}
    path, why = _recommend(spec, measured, scores, out, counted)
    return Weighed(path, why, rows, scores, out)


def decide_path(spec: TaskSpec, measured: Measured) -> Decision:
    """Recommend a path, say why, and take it unless the task file overrides it.

    Raises:
        TaskFileError: the override takes a path that a hard limit or a floor rules out.
    """
    from playbook.decide.confidence import confidence

    found = weigh(spec, measured)
    override = spec.decision.override
    _refuse_ruled_out(spec, found, override)
    sure = confidence(spec, measured, found)
    met = usable_reference(spec, measured)
    return Decision(
        task=spec.task,
        path=override.path if override is not None else found.path,
        recommended=found.path,
        why=f"{found.why}{_before_training(spec, measured, found.path)} {sure.text}{_instead(found.path, override)}",
        overridden=f"{override.path} by {override.by}: {override.because}" if override is not None else "",
        evidence=found.rows,
        scores=dict(found.scores),
        open_questions=tuple(row.question for row in found.rows if row.source == "not answered"),
        confidence=sure.value,
        could_change=sure.could_change,
        findings=contradictions(spec, measured),
        saved=saved(measured.costs, spec.prices.currency, met) if met and measured.costs else "",
        costs=measured.costs,
        currency=spec.prices.currency,
        rows_per_second=measured.probe.rows_per_second if measured.probe else 0.0,
        training_seconds=measured.training_seconds,
        ratio=measured.ratio,
        training_interval=measured.training_interval,
        interval_from=measured.interval_from,
    )


def _refuse_ruled_out(spec: TaskSpec, found: Weighed, override: Override | None) -> None:
    if override is None or override.path == "no_model" or override.path not in found.out:
        return
    limit = found.out[override.path]
    raise TaskFileError(
        spec.task,
        [
            f"decision.override.path: expected a path that no limit and no floor rules out, found {override.path}; "
            f"{limit.question} {limit.answer}: {limit.why}. Change that answer or take another path"
        ],
    )


def _recommend(
    spec: TaskSpec,
    measured: Measured,
    scores: Mapping[Path, float],
    out: Mapping[Path, EvidenceRow],
    rows: Sequence[EvidenceRow],
) -> tuple[Path, str]:
    met = usable_reference(spec, measured)
    if met:
        return "no_model", f"No model: {met} meets the target already (performance ceiling)."
    if not scores:
        return "no_model", f"No path is left. {_ruled_out(out)} {_next(out)}"
    excluded = f" {_ruled_out(out)}" if out else ""
    if spec.decision.bottleneck == "knowledge" and "prompt_or_retrieve" in scores:
        looked_up = "what the model lacks is knowledge, and facts are better looked up than trained in"
        return "prompt_or_retrieve", f"Prompting or retrieval: {looked_up}.{excluded}"
    first = asked_first(spec, measured) if "prompt_or_retrieve" in scores and len(scores) > 1 else ""
    if first:
        return "prompt_or_retrieve", f"Prompting or retrieval: {first}.{excluded}"
    highest = max(scores.values())
    tied = [path for path in PATHS if scores.get(path) == highest]
    best: Path = "fine_tune" if "fine_tune" in tied else tied[0]
    return best, f"{_weighed(scores, tied, best)}{_carried(rows, best)}.{excluded}"


def _next(out: Mapping[Path, EvidenceRow]) -> str:
    """What to do where no path is left, by what ruled out each path on which something is prompted or trained."""
    ways = dict.fromkeys(WAYS[out[path].factor] for path in PATHS if path in out and path != "no_model")
    *others, last = ways
    return f"{NEXT}; {', '.join(others)}{', or ' if others else ''}{last}, and ask again."


def _before_training(spec: TaskSpec, measured: Measured, path: Path) -> str:
    """What comes before training: rows without which a path does not reach its floor, and labels that are wrong."""
    missing = rows_missing(spec, measured.class_rows, path) if measured.class_rows else 0
    text = f" Label {missing:,} further rows first: there are too few without them." if missing else ""
    if path in TRAINED and noisy(spec, measured):
        text += (
            " Correct the labels first: a model learns the noise too, and no figure measured on them can be trusted."
        )
    return text


def _weighed(scores: Mapping[Path, float], tied: Sequence[Path], best: Path) -> str:
    """The chosen path with its points beside those of the others."""
    name = WORDS[best].capitalize()
    if len(scores) == 1:
        return f"{name}, the only path left"
    others = sorted((path for path in scores if path not in tied), key=lambda path: -scores[path])
    text = f"{name}, with {scores[best]:g} point{'' if scores[best] == 1 else 's'}"
    if len(tied) > 1:
        text += " as many as " + " and ".join(WORDS[path] for path in tied if path != best)
        return text + ("; a tie goes to fine-tuning" if best == "fine_tune" else "; a tie goes to the simpler path")
    return text + f" against {scores[others[0]]:g} for {WORDS[others[0]]}" if others else text


def _carried(rows: Sequence[EvidenceRow], best: Path) -> str:
    """The heaviest answers for a path, each with its factor."""
    carried = sorted((row for row in rows if best in row.favours), key=lambda row: -row.weight)[:3]
    return ". Main reasons: " + "; ".join(f"{row.factor} ({row.why})" for row in carried) if carried else ""


def _instead(recommended: Path, override: Override | None) -> str:
    if override is None or override.path == recommended:
        return ""
    return f" Taken instead: {WORDS[override.path]}, by {override.by}, because: {override.because}"


def _ruled_out(out: Mapping[Path, EvidenceRow]) -> str:
    parts = [f"{WORDS[path]} ({out[path].factor}: {out[path].why})" for path in PATHS if path in out]
    return f"Ruled out: {'; '.join(parts)}."
