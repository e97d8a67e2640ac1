"""The decision gate (1.3 to 1.6): one recommendation from the evidence, hard limits first, ties to fine-tuning.

1. A reference baseline that meets the target ends the task: `no_model` (1.8).
2. What a hard limit rules out is out, whatever its score.
3. Of what is left, the path with the highest sum of weights. A tie goes to fine-tuning where it takes part in it, else
   to the simpler path.
4. The task file may take another path, with a name and a reason, but none that is ruled out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from playbook.artifacts import PATHS, Decision, EvidenceRow, Path
from playbook.decide.cost import saved
from playbook.decide.evidence import evidence_rows
from playbook.decide.limits import hard_limits
from playbook.decide.measured import Measured, usable_reference
from playbook.errors import TaskFileError
from playbook.spec import TaskSpec
from playbook.spec.decision import Override

__all__ = ["Measured", "decide_path"]

NAMES: dict[Path, str] = {
    "no_model": "no model",
    "prompt_or_retrieve": "prompting or retrieval",
    "fine_tune": "fine-tuning",
    "from_scratch": "training from scratch",
}


def decide_path(spec: TaskSpec, measured: Measured) -> Decision:
    """Recommend a path, say why, and take it unless the task file overrides it.

    Raises:
        TaskFileError: the override takes a path that a hard limit rules out.
    """
    rows = (*hard_limits(spec), *evidence_rows(spec, measured))
    out = {path: row for row in reversed(rows) for path in row.rules_out}  # the first limit that rules a path out
    scores = {path: sum(row.weight for row in rows if path in row.favours) for path in PATHS if path not in out}
    met = usable_reference(spec, measured)
    recommended, why = _recommend(scores, out, rows, met)
    override = spec.decision.override
    if override is not None and override.path in out:
        limit = out[override.path]
        raise TaskFileError(
            spec.task,
            [
                f"decision.override.path: expected a path that no hard limit rules out, found {override.path}; "
                f"{limit.question} {limit.answer}: {limit.why}. Change that answer or take another path"
            ],
        )
    return Decision(
        task=spec.task,
        path=override.path if override is not None else recommended,
        recommended=recommended,
        why=why + _instead(recommended, override),
        overridden=f"{override.path} by {override.by}: {override.because}" if override is not None else "",
        evidence=rows,
        scores=scores,
        open_questions=tuple(row.question for row in rows if row.source == "not answered"),
        saved=saved(measured.costs, spec.prices.currency, met) if met and measured.costs else "",
        costs=measured.costs,
        currency=spec.prices.currency,
        rows_per_second=measured.probe.rows_per_second if measured.probe else 0.0,
        training_seconds=measured.training_seconds,
        ratio=measured.ratio,
    )


def _recommend(
    scores: Mapping[Path, float], out: Mapping[Path, EvidenceRow], rows: Sequence[EvidenceRow], met: str
) -> tuple[Path, str]:
    if met:
        return "no_model", f"No model: {met} meets the target already."
    if not scores:
        return "no_model", "No path is left: " + _ruled_out(out)
    highest = max(scores.values())
    tied = [path for path in PATHS if scores.get(path) == highest]
    best: Path = "fine_tune" if "fine_tune" in tied else tied[0]
    others = sorted((path for path in scores if path not in tied), key=lambda path: -scores[path])
    text = f"{NAMES[best].capitalize()}, with {highest:g} points"
    if len(tied) > 1:
        text += " as many as " + " and ".join(NAMES[path] for path in tied if path != best)
        text += "; a tie goes to fine-tuning" if best == "fine_tune" else "; a tie goes to the simpler path"
    elif others:
        text += f" against {scores[others[0]]:g} for {NAMES[others[0]]}"
    carried = sorted((row for row in rows if best in row.favours), key=lambda row: -row.weight)[:3]
    if carried:
        text += ". It is carried most by: " + "; ".join(row.why for row in carried)
    return best, text + ". " + _ruled_out(out) if out else text + "."


def _instead(recommended: Path, override: Override | None) -> str:
    if override is None or override.path == recommended:
        return ""
    return f" Taken instead: {NAMES[override.path]}, by {override.by}, because: {override.because}"


def _ruled_out(out: Mapping[Path, EvidenceRow]) -> str:
    parts = [f"{NAMES[path]}, because {out[path].why}" for path in PATHS if path in out]
    return f"Ruled out: {'; '.join(parts)}."
