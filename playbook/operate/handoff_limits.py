"""Known failure modes (6.2): where the model that is handed over is wrong, as measured, and where nobody knows."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from playbook.artifacts import BehaviourTest, DatasetVersion, Evaluation, LabelAudit
from playbook.evaluate import wording
from playbook.evaluate.markdown import markdown_list, markdown_table, markdown_text
from playbook.evaluate.report_content import class_rows, shown_name, shown_side
from playbook.evaluate.verdict import failing_classes
from playbook.operate.recipe import Recipe
from playbook.operate.reference import REFERENCE, load_reference

WORST = 10


def known_failure_modes(
    recipe: Recipe, dataset: DatasetVersion, evaluation: Evaluation, audit: LabelAudit | None, bundle: Path
) -> str:
    """The page as Markdown, from the evaluation's figures; texts of rows and tests are escaped."""
    sections = [
        f"# Known failure modes of {markdown_text(recipe.task)}",
        f"Measured by evaluation {evaluation.digest} on the test split of dataset version {dataset.number} "
        f"({dataset.dataset_hash}), {wording.size(evaluation.rows)}; shown is the {shown_name(evaluation)}. What is "
        "not on this page was not looked for.",
        f"## Worst classes\n\n{_classes(evaluation)}",
        f"## Worst slices\n\n{_slices(evaluation)}",
        f"## Behavioural tests that fail\n\n{_behaviour(evaluation)}",
        f"## What it no longer can\n\n{_regressions(evaluation)}",
        f"## Warnings of the evaluation\n\n{_warnings(evaluation)}",
        f"## Errors in the labels\n\n{_labels(dataset, audit)}",
        f"## Inputs unlike the training data\n\n{_unlike(recipe, bundle)}",
    ]
    return "\n\n".join(sections) + "\n"


def _classes(evaluation: Evaluation) -> str:
    failing = {figure.label for figure in failing_classes(shown_side(evaluation).per_class)}
    rows = [
        (
            row["figure"].label,
            *(wording.percent(value) for value in (row["figure"].recall, row["figure"].precision, row["figure"].f1)),
            row["figure"].support,
            "failing" if row["figure"].label in failing else "rare" if row["rare"] else "",
        )
        for row in class_rows(evaluation)[:WORST]
    ]
    return markdown_table(("class", "recall", "precision", "F1", "rows", ""), rows)


def _slices(evaluation: Evaluation) -> str:
    found = evaluation.slices
    if not found.figures:
        return markdown_text(found.text) or "No slice was measured: the task file names none (evaluation.slices)."
    rows = [
        (
            f"{one.column}: {one.value}",
            wording.score_range(one.score),
            wording.amount(one.rest, evaluation.metric),
            one.score.n,
        )
        for one in found.figures[:WORST]
    ]
    table = markdown_table(("slice", markdown_text(evaluation.metric), "all other rows", "rows"), rows)
    return f"{markdown_text(found.text)}\n\n{table}"


def _behaviour(evaluation: Evaluation) -> str:
    if not evaluation.behaviour:
        return "There are no behavioural tests (evaluation.behaviour in the task file)."
    failing = [test for test in evaluation.behaviour if _failed(test)]
    if not failing:
        return f"None of {len(evaluation.behaviour)}: no case fails."
    return "\n\n".join(_test(test) for test in failing)


def _failed(test: BehaviourTest) -> int:
    return test.failed_baseline if test.shown == "baseline" else test.failed_candidate or 0


def _test(test: BehaviourTest) -> str:
    state = "within what is allowed" if test.passed else "more than is allowed"
    head = (
        f"**{markdown_text(test.name)}**: {_failed(test)} of {test.cases} cases fail, {state} "
        f"({wording.percent(test.allowed, 0)})."
    )
    rows = [(one.text, one.changed, one.expected, one.told) for one in test.examples]
    return f"{head}\n\n{markdown_table(('text', 'changed to', 'expected', 'answered'), rows)}" if rows else head


def _regressions(evaluation: Evaluation) -> str:
    lines = [found.text for found in evaluation.regressions] + [able.text for able in evaluation.capabilities]
    for found in evaluation.regressions:
        worst = sorted(found.per_class, key=lambda one: (one.mended - one.broken, one.label))[:WORST]
        against = f"{found.against} {found.version}".strip()
        lines += [
            f"{one.label}: {one.broken} of {wording.size(one.rows)} that the {against} had right are wrong, "
            f"{one.mended} the other way round{f'; net {wording.difference(one.net)}' if one.net else ''}"
            for one in worst
            if one.broken
        ]
    return markdown_list(lines) if lines else "Nothing was compared."


def _warnings(evaluation: Evaluation) -> str:
    lines = [evaluation.transfer.text, *(shift.text for shift in evaluation.shifts)]
    lines += [f"Stood against shipping: {blocker.text}" for blocker in evaluation.blockers]
    if evaluation.calibration is not None:
        lines.append(evaluation.calibration.text)
    return markdown_list([line for line in lines if line]) or "None."


def _labels(dataset: DatasetVersion, audit: LabelAudit | None) -> str:
    lines = []
    if audit is not None and not audit.skipped:
        about = f", an estimated {audit.wrong.value:.0f} of them wrong" if audit.wrong else ""
        lines.append(f"{audit.suspects:,} of {audit.rows:,} training and validation labels are to be checked{about}.")
    else:
        lines.append("Labels were not audited.")
    if dataset.agreement is not None:
        kappa = dataset.agreement.kappa
        lines.append(
            f"Cohen's kappa of two annotators is {kappa.value:.2f} ({kappa.low:.2f} to {kappa.high:.2f}) on "
            f"{wording.size(dataset.agreement.rows)}."
        )
        lines += [f"{n} rows: {a} for one, {b} for the other" for a, b, n in dataset.agreement.disagreements[:WORST]]
    else:
        lines.append("Nobody knows how far two people would agree on these labels.")
    if dataset.quarantined:
        reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(dataset.quarantined.items()))
        lines.append(f"Rows set aside, so never trained on: {reasons}.")
    return markdown_list(lines)


def _unlike(recipe: Recipe, bundle: Path) -> str:
    lines = [
        f"It answers with one of {len(recipe.labels)} classes, whatever it is asked: a text of none of them gets an "
        "answer too.",
        f"Texts are cut after {recipe.pin.max_length} tokens.",
    ]
    path = bundle / REFERENCE
    if path.is_file():
        reference = load_reference(path)
        words, unknown = reference.figures.words, reference.figures.unknown > 0
        lines.append(
            f"The bundle's {REFERENCE} has what monitoring compares inputs with: {wording.size(len(reference))} of "
            f"validation and test, of {int(words.min())} to {int(words.max())} words, median "
            f"{float(np.median(words)):g}, {wording.percent(float(unknown.mean()))} of them with tokens that the base "
            "does not know. It says nothing of inputs of any other kind."
        )
    else:
        lines.append("The bundle holds no monitoring reference: inputs of another kind are not noticed by themselves.")
    return markdown_list(lines)
