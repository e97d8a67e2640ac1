"""The model card, from the facts of the evaluation report (5.3, 5.8).

Sections as Mitchell et al. propose (Model Cards for Model Reporting, FAT* 2019, arXiv:1810.03993), front matter as the
Hugging Face hub reads it (https://huggingface.co/docs/hub/model-cards), with the results as its `model-index`. Text of
the task file and of data is escaped. The same inputs give the same text.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

import yaml

from playbook.artifacts import BasePin, Evaluation
from playbook.evaluate import wording
from playbook.evaluate.markdown import markdown_list, markdown_table, markdown_text
from playbook.evaluate.report_content import (
    ReportInputs,
    class_rows,
    facts,
    opened,
    shown_model,
    shown_name,
    shown_side,
    warnings,
)
from playbook.evaluate.report_headline import headline
from playbook.evaluate.report_sections import model_comparison, speed_rows, transfer_view
from playbook.evaluate.suite import NO_BEHAVIOUR
from playbook.evaluate.verdict import failing_classes

WORST_SLICES = 8
CLOSED = "The test split was not opened."
USE = """```python
from pathlib import Path
from playbook.adapt.classifier import load_bundle

model = load_bundle(Path("."))
model.labels, model.predict_proba(["some text"])
```"""


def model_card(context: ReportInputs) -> str:
    """The card as Markdown: of what ships, or of what was looked at where nothing does."""
    spec, evaluation = context.spec, opened(context)
    box = headline(context)
    sections = [
        f"---\n{yaml.safe_dump(_front_matter(context), sort_keys=False, allow_unicode=True)}---",
        f"# {markdown_text(spec.task)}",
        f"{markdown_text(spec.question)}",
        f"**{markdown_text(box.title)}.** {markdown_text(box.text)}",
        f"## Model details\n\n{markdown_table(('part', 'value'), _details(context))}",
        f"## Intended use\n\n{_intended(context)}",
        f"## Training data\n\n{_data(context)}",
        f"## Evaluation\n\n{_evaluation(context, evaluation)}",
        f"## Where it fails\n\n{_failures(evaluation) if evaluation else CLOSED}",
        f"## Calibration\n\n{_calibration(evaluation)}",
        f"## Data like production\n\n{_shifts(evaluation)}",
        f"## Does transfer help?\n\n{_transfer(context)}",
        f"## Compute and cost\n\n{_cost(context, evaluation)}",
        f"## Limits and recommendations\n\n{markdown_list(_limits(context, evaluation))}",
        f"## How to check this card\n\n{_hashes(context)}",
        f"## How to use it\n\n{USE}",
    ]
    return "\n\n".join(sections) + "\n"


def _pin(context: ReportInputs) -> BasePin | None:
    models = (shown_model(context), context.frozen, context.base)
    return next((model.pin for model in models if model is not None and model.pin is not None), None)


def _front_matter(context: ReportInputs) -> dict[str, Any]:
    spec, pin, evaluation = context.spec, _pin(context), opened(context)
    front: dict[str, Any] = {"pipeline_tag": "text-classification"}
    if pin is not None:
        front |= {"base_model": pin.name} if pin.origin == "hub" else {}
        front |= {"license": pin.licence}
    front["tags"] = ["playbook", spec.task]
    if evaluation is not None:
        scores = shown_side(evaluation).scores
        metrics = [{"type": limit.metric, "name": limit.label, "value": round(scores[limit.label].value, 6)}
                   for limit in spec.target.all_limits]  # fmt: skip
        data = {"name": f"{spec.task}, version {context.dataset.number}", "type": spec.task, "split": "test"}
        result = {"task": {"type": "text-classification"}, "dataset": data, "metrics": metrics}
        front["model-index"] = [{"name": spec.task, "results": [result]}]
    return front


def _details(context: ReportInputs) -> list[tuple[str, str]]:
    spec, pin, model = context.spec, _pin(context), shown_model(context)
    rows = []
    if pin is not None:
        kept = f", lowest {pin.layers} blocks" if pin.layers else ""
        rows += [
            ("base", f"{pin.name} ({pin.origin}, revision {pin.revision}{kept})"),
            ("licence of the base", pin.licence),
            ("size", f"{pin.parameters:,} parameters, {pin.blocks} blocks, {pin.pooling} pooling"),
        ]
    if model is not None:
        of = f" of {pin.blocks}" if pin else ""
        rows.append(("adaptation", f"fresh head, {model.unfrozen}{of} blocks unfrozen"))
    rows.append(("owners", f"model {spec.owners.model}, data {spec.owners.data}, sign-off {spec.owners.sign_off}"))
    return rows


def _intended(context: ReportInputs) -> str:
    spec = context.spec
    classes = markdown_table(("class", "meaning"), [(name, spec.data.classes[name]) for name in spec.labels])
    outside = (
        f"It answers with one of the {len(spec.labels)} classes, whatever it is asked: texts that belong to none of "
        "them get an answer too.",
        f"Texts are cut after {(_pin(context) or spec.base).max_length} tokens.",
        "Nothing was measured on other languages, sources or times than those of the data below.",
    )
    return "\n\n".join(
        ("It answers the question above for one text at a time.", classes, "Out of scope:", markdown_list(outside))
    )


def _data(context: ReportInputs) -> str:
    dataset, source, audit = context.dataset, context.spec.data.source, context.audit
    splits = ", ".join(f"{count:,} {split}" for split, count in dataset.rows.items())
    rows = [
        ("version", f"{dataset.number}, hash {dataset.dataset_hash}"),
        ("rows", splits),
        ("provenance", source.provenance),
        ("licence", source.licence),
    ]
    if dataset.quarantined:
        rows.append(("quarantined", wording.size(sum(dataset.quarantined.values()))))
    if dataset.agreement is not None:
        kappa = dataset.agreement.kappa
        figures = f"{kappa.value:.2f} ({kappa.low:.2f} to {kappa.high:.2f}) on {wording.size(dataset.agreement.rows)}"
        rows.append(("agreement of annotators", f"Cohen's kappa {figures}"))
    if audit is not None and not audit.skipped:
        about = f", an estimated {audit.wrong.value:.0f} of them wrong" if audit.wrong else ""
        rows.append(("labels to check", f"{audit.suspects:,} of {audit.rows:,} training and validation rows{about}"))
        if audit.curve is not None:
            gain = wording.difference(audit.curve.gain_of_twice, audit.curve.metric)
            rows.append(("twice the rows", f"{audit.curve.verdict}, predicted gain {gain}"))
    return markdown_table(("part", "value"), rows)


def _evaluation(context: ReportInputs, evaluation: Evaluation | None) -> str:
    evaluated = context.spec.target.metric
    rows = [
        (
            row.name,
            wording.score_range(row.test) if row.test else "",
            wording.difference(row.over_frozen, evaluated) if row.over_frozen else "",
            wording.amount(row.validation.value, evaluated) if row.validation else "",
        )
        for row in model_comparison(context)
    ]
    head = (f"{context.spec.target.label}, test split", "over the frozen base", "validation")
    compared = markdown_table(("model", *(markdown_text(name) for name in head)), rows)
    if evaluation is None:
        return f"{CLOSED}\n\n{compared}"
    scores = shown_side(evaluation).scores
    limits = [
        (limit.label, wording.wanted(limit), wording.score_range(scores[limit.label]))
        for limit in context.spec.target.all_limits
    ]
    confidence = wording.percent(evaluation.confidence, 0)
    opened_times = wording.size(evaluation.openings, "time")
    return "\n\n".join(
        (
            f"On {wording.size(evaluation.rows)} of the test split, which was opened {opened_times}; {confidence} "
            "intervals in brackets. "
            f"Shown is the {_shown(evaluation)}.",
            markdown_table(("metric", "asked", "reached"), limits),
            *([markdown_text(evaluation.over_reference.text)] if evaluation.over_reference else []),
            compared,
        )
    )


def _shown(evaluation: Evaluation) -> str:
    return "frozen baseline" if shown_name(evaluation) == "baseline" else "candidate"


def _failures(evaluation: Evaluation) -> str:
    failing = {figure.label for figure in failing_classes(shown_side(evaluation).per_class)}
    classes = [
        (
            row["figure"].label,
            *(wording.percent(value) for value in (row["figure"].recall, row["figure"].precision, row["figure"].f1)),
            row["figure"].support,
            "failing" if row["figure"].label in failing else "rare" if row["rare"] else "",
        )
        for row in class_rows(evaluation)
    ]
    parts = [markdown_table(("class", "recall", "precision", "F1", "rows", ""), classes)]
    if evaluation.slices.text:
        parts.append(markdown_text(evaluation.slices.text))
    if evaluation.slices.figures:
        rows = [
            (
                f"{one.column}: {one.value}",
                wording.score_range(one.score),
                wording.amount(one.rest, one.score.metric),
                one.score.n,
            )
            for one in evaluation.slices.figures[:WORST_SLICES]
        ]
        parts.append(markdown_table(("slice", markdown_text(evaluation.metric), "all other rows", "rows"), rows))
    if evaluation.behaviour:
        parts.append(markdown_table(("behavioural test", "cases", "failed", "may fail", ""), _tests(evaluation)))
    else:
        parts.append(markdown_text(NO_BEHAVIOUR))
    parts += [markdown_text(found.text) for found in evaluation.regressions]
    parts += [markdown_text(able.text) for able in evaluation.capabilities]
    parts += [markdown_text(evaluation.incumbent.text)] if evaluation.incumbent else []
    return "\n\n".join(parts)


def _tests(evaluation: Evaluation) -> list[tuple[object, ...]]:
    return [
        (
            test.name,
            test.cases,
            test.failed_baseline if test.shown == "baseline" else test.failed_candidate,
            wording.percent(test.allowed, 0),
            "passed" if test.passed else "failed",
        )
        for test in evaluation.behaviour
    ]


def _calibration(evaluation: Evaluation | None) -> str:
    found = evaluation.calibration if evaluation else None
    if found is None:
        return "Not measured."
    errors = f"from {100 * found.ece_before:.1f} to {100 * found.ece_after:.1f} points"
    return (
        f"{markdown_text(found.text)} Expected calibration error with temperature {found.temperature:.2f}: {errors}. "
        "The bundle divides its logits by the temperature: what it answers is calibrated."
    )


def _shifts(evaluation: Evaluation | None) -> str:
    lines = [shift.text for shift in evaluation.shifts] if evaluation else []
    if evaluation is not None and evaluation.production is not None:
        score = evaluation.production
        lines.append(
            f"On {wording.size(score.n)} like those of production: {score.metric} {wording.score_range(score)}."
        )
    return markdown_list(lines) if lines else "Not measured."


def _transfer(context: ReportInputs) -> str:
    found = transfer_view(context)
    if found is None:
        return "Not measured."
    rows = [
        (name, wording.difference(figure, context.spec.target.metric), wording.told(figure))
        for name, figure in found.rows
    ]
    table = markdown_table(("beside", f"ahead by ({found.split})", "so it is"), rows)
    return f"{markdown_text(found.text or found.says)}\n\n{table}"


def _cost(context: ReportInputs, evaluation: Evaluation | None) -> str:
    hardware = context.hardware or (evaluation.hardware if evaluation else "")
    lines = [f"Hardware: {hardware}." if hardware else "Hardware: not recorded."]
    if evaluation is not None and evaluation.cost is not None:
        cost = evaluation.cost
        lines.append(
            f"All training: {wording.duration(cost.actual_seconds)}, {wording.money(cost.actual_money, cost.currency)} "
            f"(estimated {wording.duration_around(cost.estimated_seconds, cost.estimated_interval)}, "
            f"{wording.money(cost.estimated_money, cost.currency)})."
        )
    lines.append("Energy and emissions were not measured; they follow from the time and the hardware.")
    parts = [markdown_list(lines)]
    if evaluation is not None and evaluation.speed:
        rows = [
            (row["name"], row["batch"], row["p50"], row["p95"], row["per_second"], row["cost"])
            for row in speed_rows(evaluation.speed)
        ]
        parts.append(markdown_table(("model", "texts at once", "p50", "p95", "per second", "1,000 answers"), rows))
    return "\n\n".join(parts)


def _limits(context: ReportInputs, evaluation: Evaluation | None) -> Sequence[str]:
    lines = [*context.spec.data.source.known_limits, *warnings(context)]
    if evaluation is not None:
        lines += [f"Stands against shipping: {blocker.text}" for blocker in evaluation.blockers]
        lines += evaluation.next_steps
    if context.spec.sign_off.mode == "automatic":
        lines.append("Sign-off is automatic: no person looked at the result.")
    return lines or ["None beyond those above."]


def _hashes(context: ReportInputs) -> str:
    task = shlex.quote(context.called or context.spec.task)
    return (
        f"{markdown_table(('what', 'value'), facts(context))}\n\n"
        "SHA-256 of files, as `sha256sum` prints it; the model and the baseline are named by the hash of what their "
        "artefact says.\n\n"
        f"```sh\nplaybook show {task}\nplaybook log {task} --verify\n```"
    )
