"""Play 1: the decision gate, with what each path would cost."""

# Annotations are real types here: Dagster reads them to load each input as the artefact that it is.
import html
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import dagster as dg

from assets.code_versions import version_of
from assets.early_end import asked_of, reference_claim
from assets.factory import AssetMaker
from assets.play import Made, Play, remembered, require_green, result, skip
from assets.scope import FirstBase, first_base
from playbook.artifacts import (
    Closeness,
    DatasetVersion,
    Decision,
    EarlyEndClaim,
    EvidenceRow,
    PathCost,
    ProblemStatement,
    ReferenceBaselines,
)
from playbook.bases.table import points_of
from playbook.plays import DATASET, DECISION, PROBLEM, REFERENCES
from playbook.spec import TaskSpec

# Parts of the task file that answers, costs and paths follow from; limits are met or not by the references.
NOT_PRICED, NOT_MEASURED = "not priced", "not measured"
DECIDED_BY = {"task", "modality", "decision", "prices", "base", "bake_off", "adaptation", "data"}

if TYPE_CHECKING:
    import pandas as pd

    from playbook.decide.cost import Workload
    from playbook.decide.measured import Measured


def decision(maker: AssetMaker) -> dg.AssetsDefinition:
    """Which path is taken: no model, prompting or retrieval, fine-tuning, training from scratch."""
    options = maker.options(
        DECISION,
        play=1,
        owner=maker.task.spec.owners.model,
        part="decision",
        kinds={"pytorch"},
        upstream={"statement": PROBLEM, "dataset": DATASET, "references": REFERENCES},
    )

    @dg.asset(**options, description="The path that the answers and the measurements speak for, and its cost.")
    def decided(
        context: dg.AssetExecutionContext,
        statement: ProblemStatement,
        dataset: DatasetVersion,
        references: ReferenceBaselines,
    ) -> dg.Output[Decision]:
        play = maker.play(context, DECISION)
        require_green(dataset)
        if references.skipped:
            return result(play, skip(play, Decision, references.reason))
        base, claim = first_base(maker.task), reference_claim(play, dataset, references)
        inputs = _inputs(play, dataset, references, base, claim)
        done = remembered(play, Decision, inputs, lambda key: _decide(play, dataset, references, base, claim))
        inputs, body = decision_entry(play.task.spec, dataset, references, done)
        play.decide("decision", f"{done.path}: {done.why}", inputs, body, by=play.task.spec.owners.model)
        return result(play, done, decision_shown(done))

    return decided


def decision_entry(
    spec: TaskSpec, dataset: DatasetVersion, references: ReferenceBaselines, done: Decision
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the log keeps of a decision: what it stands on, and the answers, figures and baselines themselves (1.9)."""
    given = spec.decision.model_dump(mode="json", exclude_none=True)
    baselines = {
        name: {"metric": score.metric, "value": score.value, "low": score.low, "high": score.high, "rows": score.n}
        for name, score in references.validation.items()
    }
    body: dict[str, Any] = {
        "recommended": done.recommended,
        "confidence": done.confidence,
        "answers": given,
        "open questions": list(done.open_questions),
        "could change the path": list(done.could_change),
        "figures": {row.question: row.answer for row in done.evidence if row.source == "measured"},
        "points": dict(done.scores),
        "baselines": baselines,
        "prices": spec.prices.model_dump(mode="json", exclude_none=True),
        "costs": {cost.path: _cost_kept(cost) for cost in done.costs},
        "findings": list(done.findings),
    }
    if done.overridden:
        body["overridden"] = done.overridden
    inputs = {"data": dataset.dataset_hash, "references": references.digest, "decision": done.digest}
    return inputs, {name: value for name, value in body.items() if value not in (None, [], {})}


def _cost_kept(cost: PathCost) -> dict[str, Any]:
    """A path's cost as the log keeps it: every estimate with its interval, and what nobody priced or measured."""
    kept: dict[str, Any] = {"device hours": NOT_MEASURED if _unmeasured(cost) else _rounded(cost.device_hours)}
    if cost.hours_interval is not None:
        kept["device hours between"] = [_rounded(end) for end in cost.hours_interval]
    kept["money"] = NOT_PRICED if cost.money is None else round(cost.money, 2)
    if cost.money_interval is not None:
        kept["money between"] = [round(end, 2) for end in cost.money_interval]
    per = cost.inference_per_1000
    kept |= {"1,000 answers": NOT_PRICED if per is None else _rounded(per), "GB": _rounded(cost.storage_gb)}
    return {**kept, **({"not priced": list(cost.unpriced)} if cost.unpriced else {})}


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")


def _unmeasured(cost: PathCost) -> bool:
    """Whether a path takes device time of which nobody knows how much; 0 would say that it takes none."""
    return cost.device_hours == 0 and "device time" in cost.unpriced


def decision_shown(done: Decision) -> dict[str, Any]:
    """Metadata: the path, the evidence row by row, the cost of every path."""
    from playbook.decide.measured import seconds_told

    rows = [(row.factor, row.question, row.answer, row.source, _speaks(row), row.why) for row in done.evidence]
    return {
        "path": done.path,
        "recommended": done.recommended,
        "why": done.why,
        "overridden": done.overridden or "-",
        **({"claim": done.claim.text} if done.claim else {}),
        **({"saved": done.saved} if done.saved else {}),
        "scores": dg.MetadataValue.json(done.scores),
        "evidence": _table(("factor", "question", "answer", "source", "favours", "why"), rows),
        "costs": _table(
            ("path", "device-hours", f"{done.currency}", "not priced", "iterations", "per 1,000 requests", "GB", "how"),
            [_cost_row(cost) for cost in done.costs],
        ),
        "open_questions": len(done.open_questions),
        "confidence": "-" if done.confidence is None else done.confidence,
        "could_change_the_path": ", ".join(done.could_change) or "-",
        **({"findings": dg.MetadataValue.md(points_of(done.findings))} if done.findings else {}),
        "training_estimated": seconds_told(done.training_seconds, done.training_interval),
        "earlier_ratio": done.ratio,
    }


def _inputs(
    play: Play,
    dataset: DatasetVersion,
    references: ReferenceBaselines,
    base: FirstBase,
    claim: EarlyEndClaim | None,
) -> dict[str, Any]:
    """What the decision depends on. Earlier tasks' ratios are left out: an estimate stays as it was made."""
    spec, deadline = play.task.spec, play.task.spec.decision.deadline
    return {
        "data": dataset.model_copy(update={"gate": None}).digest,  # what the gate says moves no path, once it is green
        "references": references.digest,
        "claim": [claim.model_dump(mode="json", exclude={"openings"}), asked_of(play)] if claim else None,
        "task": spec.model_dump(mode="json", include=DECIDED_BY),
        "base": base.pin.model_dump(mode="json") if base.pin else base.problem,
        "findings": base.findings,
        "weeks_left": (deadline - _today()).days // 7 if deadline else None,
        "code": version_of("decision"),
    }


def _decide(
    play: Play,
    dataset: DatasetVersion,
    references: ReferenceBaselines,
    base: FirstBase,
    claim: EarlyEndClaim | None,
) -> Made:
    from playbook.decide.gate import decide_path
    from playbook.decide.measured import seconds_told

    done = decide_path(play.task.spec, _measured(play, dataset, references, base, claim))
    play.report(f"{done.path}: {done.why}")
    if done.training_seconds:
        told = seconds_told(done.training_seconds, done.training_interval)
        play.report(f"all training of one run is estimated at {told}, {done.interval_from}")
    ends = bool(done.saved) and done.path == "no_model"  # an override goes on although the target is met
    reason = f"target already met by {references.meets_target}" if ends else ""
    findings = (*done.findings, *base.findings)
    for finding in findings:
        play.warn(finding)
    return Made(done.model_copy(update={"reason": reason, "claim": claim, "findings": findings}))


def _measured(
    play: Play,
    dataset: DatasetVersion,
    references: ReferenceBaselines,
    base: FirstBase,
    claim: EarlyEndClaim | None,
) -> "Measured":
    import pandas as pd

    from playbook.decide.cost import path_costs, run_seconds
    from playbook.decide.measured import Measured
    from playbook.decide.ratios import past_spread

    spec, spread = play.task.spec, past_spread(play.world.places.cost_ratios)
    train = pd.read_parquet(play.world.store.path(dataset, DATASET, "train"))
    closeness, work, problem = _of_base(play, dataset, base, train)
    whole = sum(run_seconds(spec, work).values())
    return Measured(
        class_rows=dataset.class_rows.get("train", {}),
        kappa=dataset.agreement.kappa.value if dataset.agreement else None,
        agreement=dataset.agreement.observed if dataset.agreement else None,
        closeness=closeness,
        probe=work.probe,
        base_problem=problem,
        references=references.validation,
        meets_target=claim.baseline if claim is not None and claim.confirmed else "",
        costs=path_costs(spec, work, spread),
        training_seconds=round(whole * spread.ratio, 1),
        training_interval=spread.around(whole) if whole else None,
        interval_from=spread.told,
        ratio=spread.ratio,
        today=_today(),
    )


def _of_base(
    play: Play, dataset: DatasetVersion, base: FirstBase, train: "pd.DataFrame"
) -> "tuple[Closeness | None, Workload, str]":
    """Closeness of the data to the base, the workload with its throughput, and why the base could not be read."""
    from playbook.adapt.features import FeatureExtractor
    from playbook.bases.latency import seconds_of_one
    from playbook.data.tables import TEXT
    from playbook.decide.cost import Workload
    from playbook.decide.probe import measure_closeness, probe_training

    spec, counts = play.task.spec, dataset.class_rows.get("train", {})
    work = Workload(len(train), dataset.rows.get("validation", 0), class_rows=counts)
    if base.folder is None or base.pin is None:
        return None, work, base.problem
    play.report("a training probe of 20 steps, how close the texts are to the base, what one answer takes")
    probe = probe_training(spec, base.folder, base.pin, train)
    extract, texts = FeatureExtractor(base.folder, base.pin, spec.adaptation), train[TEXT].tolist()
    tokenizer = base.folder / "tokenizer.json"
    closeness = measure_closeness(texts, tokenizer, extract, spec.adaptation.seed)
    return closeness, replace(work, pin=base.pin, probe=probe, answer_seconds=seconds_of_one(extract, texts)), ""


def _today() -> date:
    return datetime.now(UTC).date()


def _speaks(row: EvidenceRow) -> str:
    if row.rules_out:
        return f"rules out {', '.join(row.rules_out)}"
    return f"{', '.join(row.favours)} ({row.weight:g})" if row.favours else "-"


def _cost_row(cost: PathCost) -> tuple[str, ...]:
    fewest, most = cost.iterations
    count = str(most) if fewest == most else f"{fewest} to {most}"
    hours = NOT_MEASURED if _unmeasured(cost) else f"{cost.device_hours:.3g}"
    if cost.hours_interval is not None:
        hours += f" ({cost.hours_interval[0]:.3g} to {cost.hours_interval[1]:.3g})"
    money = NOT_PRICED if cost.money is None else f"{cost.money:,.2f}"
    if cost.money is not None and cost.money_interval is not None:
        money += f" ({cost.money_interval[0]:,.2f} to {cost.money_interval[1]:,.2f})"
    answers = NOT_PRICED if cost.inference_per_1000 is None else f"{cost.inference_per_1000:.3g}"
    return (
        cost.path,
        hours,
        money,
        ", ".join(cost.unpriced) or "-",
        count,
        answers,
        f"{cost.storage_gb:.3g}",
        cost.how,
    )


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> dg.MarkdownMetadataValue:
    """A Markdown table; texts of the task file are escaped, so that they cannot leave their cell."""
    lines = [columns, ["---"] * len(columns), *rows]
    return dg.MetadataValue.md("\n".join("| " + " | ".join(_cell(text) for text in line) + " |" for line in lines))


def _cell(text: str) -> str:
    flat = html.escape(" ".join(text.split()))
    for character in "\\`*_[]|":
        flat = flat.replace(character, f"&#{ord(character)};")
    return flat
