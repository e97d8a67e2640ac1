"""Pages of the handoff package: its index with the command that reproduces the model, and how it is run (6.2)."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING

from playbook.evaluate.markdown import markdown_list, markdown_table, markdown_text
from playbook.operate.handoff_package import sha256_of

if TYPE_CHECKING:
    from playbook.operate.handoff import HandoffInputs

WHAT = {
    "MANIFEST.json": "SHA-256 of every document, and of what they describe",
    "CHANGELOG.md": "every version: what changed, and by how much",
    "dataset.md": "where the data comes from, how it is divided, its limits",
    "decision_log.html": "every decision, as a page",
    "decision_log.jsonl": "the same, with the chain of hashes",
    "deployment.md": "how to serve, watch and roll back",
    "evaluation_report.html": "what the test split says",
    "known_failure_modes.md": "where it is wrong",
    "model_card.md": "the model in short",
    "recipe.json": "everything that makes the model again",
    "run_configuration.json": "the configuration of every training step, as logged",
    "task.yaml": "the task file",
}


def reproduce_command(given: HandoffInputs) -> str:
    """The one command, to be run where the zip lies."""
    package = shlex.quote(f"{given.name}.zip")
    remote = f" --remote {shlex.quote(given.remote)}" if given.remote else ""
    return f"playbook reproduce {package}{remote}"


def readme(given: HandoffInputs, documents: Mapping[str, str]) -> str:
    """The index; `documents` maps names to SHA-256."""
    recipe, model = given.recipe, given.model
    rows = [(name, WHAT.get(name, ""), sha256) for name, sha256 in sorted(documents.items())]
    described = [
        ("dataset", f"version {given.dataset.number}", given.dataset.dataset_hash),
        *((f"{split} split", "Parquet", sha256) for split, sha256 in recipe.data.files.items()),
        ("base", recipe.pin.title, recipe.pin.weights_sha256),
        ("evaluation", "digest of the artefact", given.evaluation.digest),
        ("report", "of this evaluation", sha256_of(given.report)),
        ("sign-off", f"{given.approval.by}, {given.approval.at}", given.approval.log_entry),
        ("bundle", f"registered as version {model.version}", model.bundle_sha256),
        *((name, "in the bundle" if not name.startswith("weights") else "trained tensors", sha256)
          for name, sha256 in recipe.expected.items()),
    ]  # fmt: skip
    ships = f"{model.source}, {recipe.unfrozen} of {recipe.pin.blocks} blocks unfrozen"
    return "\n\n".join(
        (
            f"# {markdown_text(recipe.task)} {model.version}",
            f"{markdown_text(given.task.spec.question)}",
            f"{markdown_text(given.evaluation.verdict)}",
            f"What ships: {markdown_text(ships)}. {markdown_text(model.changelog)}",
            "## Reproduce it\n\nWith this zip in the working folder and the repository installed (`pip install -e .` "
            "in its checkout), this trains the model again from the dataset version at the DVC remote and says whether "
            "weights, temperature and rules for answers are the same, bit for bit:"
            f"\n\n```sh\n{reproduce_command(given)}\n```\n\n{_needs(given)}",
            f"## Documents\n\n{markdown_table(('document', 'what it says', 'SHA-256'), rows)}",
            f"## What they describe\n\n{markdown_table(('what', 'which', 'hash'), described)}",
        )
    ) + "\n"  # fmt: skip


def _needs(given: HandoffInputs) -> str:
    recipe, then = given.recipe, given.recipe.circumstances
    base = recipe.base
    if base.hub:
        where = f"the hub's {base.hub} at {base.revision}, or its local cache"
    elif base.package:
        where = f"the installed package {base.package}"
    else:
        kept = "kept at the DVC remote beside the data, or given" if base.sha256 in given.bases else "to be given"
        where = f"a folder with model.safetensors of SHA-256 {base.sha256}, {kept} by --base"
    packages = ", ".join(f"{name} {version}" for name, version in sorted(then.versions.items()))
    lines = [
        f"Base: {where}.",
        f"Trained on {then.hardware} with {packages}: on other hardware or versions the last bits may differ, and then "
        "the command says what differs.",
        f"Code: package playbook {given.code.get('playbook', '')}, training code {given.code.get('adapt', '')}.",
    ]
    return markdown_list(lines)


def deployment(given: HandoffInputs) -> str:
    """How the model is served, versioned, watched, retrained and rolled back, and who owns what."""
    name, spec = given.called, given.task.spec
    sections = [
        f"# Running {markdown_text(spec.task)} {given.model.version}",
        f"Bundle {given.model.bundle_sha256}, dataset {given.dataset.dataset_hash}, evaluation "
        f"{given.evaluation.digest}, sign-off {given.approval.log_entry}.",
        f"## Serve\n\n{_serve(given)}",
        f"## Versions\n\n{_versions(given)}",
        f"## Roll back\n\n```sh\nplaybook rollback {name} --as NAME --reason TEXT\n```\n\n"
        + markdown_list(
            (
                f"NAME is one of the owners below. The alias {spec.package.alias} goes back to the version that was "
                "promoted before the one in place; --to VERSION names another one that was in production. A server of "
                "playbook serve follows the alias.",
                "Repeated, it goes further back, never to a version that was rolled back from: only the sign-off owner "
                "puts such a version back, with --to.",
                f"In Dagster it is the job {spec.task}_rollback_job. Either way it is an entry of the decision log.",
                "Running the pipeline again does not undo a rollback: that takes a new approval, or a rollback to it.",
            )
        ),
        f"## What is logged\n\n{_logged(given)}",
        f"## What is watched\n\n{_watched(given)}",
        f"## What brings it back to the data\n\n{_triggers(given)}",
        f"## Who owns what\n\n{_owners(given)}",
    ]
    return "\n\n".join(sections) + "\n"


def _serve(given: HandoffInputs) -> str:
    name, spec = given.called, given.task.spec
    uri = f"models:/{given.model.name}@{spec.package.alias}"
    columns = ", ".join(["label", "probability", *(f"probability_{label}" for label in given.recipe.labels)])
    commands = f"```sh\nplaybook serve {name}\nmlflow models serve -m {uri} --env-manager local\n"
    commands += f"playbook predict {name} FILE\nplaybook outcomes {name} FILE\n```"
    lines = (
        "playbook serve listens on 127.0.0.1, follows the alias and keeps the prediction log; put an authenticating "
        "proxy in front of it. mlflow models serve is plain MLflow: no prediction log, the alias is read at its start.",
        f"Asked with a column text; answered with columns {columns}.",
        f"Arithmetic: {given.recipe.precision}, wherever it answers.",
        "playbook predict scores a file in batch; playbook outcomes joins true labels by id when they are known.",
    )
    return f"{commands}\n\n{markdown_list(lines)}"


def _versions(given: HandoffInputs) -> str:
    alias = given.task.spec.package.alias
    return markdown_list(
        (
            "Major: classes or target changed. Minor: retrained on other data or another base. Patch: a refresh.",
            f"{alias} is in production, previous was there before, challenger is registered and not promoted.",
            "Only a version whose approval in the decision log covers exactly its weights and data is promoted. No "
            "version is overwritten.",
            f"playbook versions {given.called} lists all of them.",
        )
    )


def _logged(given: HandoffInputs) -> str:
    serving = given.task.spec.serving
    redact = serving.redact
    rows = [
        ("share of predictions", f"{serving.log_share:.0%}, chosen by the id's hash"),
        ("kept for", f"{serving.retention_days} days"),
        ("columns not kept", ", ".join(redact.columns) or "none"),
        ("patterns replaced", ", ".join(redact.patterns) or "none"),
        ("what", "id, time, input or its redacted form, probabilities, model version"),
        ("where", "PLAYBOOK_PREDICTION_LOG, a database URL; SQLite under the project's home if it is not set"),
    ]
    return markdown_table(("serving in the task file", "value"), rows)


def _watched(given: HandoffInputs) -> str:
    plan = given.task.spec.monitoring
    rows = [
        ("window", f"{plan.window_days} days up to and with each day, since {plan.since.isoformat()}"),
        ("inputs and predictions", "against the reference in the bundle, by a permutation test of each window"),
        ("false alarms", f"{plan.false_alarm_rate:g} of windows without drift, {plan.resamples} resamples"),
        ("judged from", f"{plan.min_rows} rows on; the live metric from {plan.min_outcomes} true labels on"),
    ]
    return markdown_table(("monitoring in the task file", "value"), rows)


def _triggers(given: HandoffInputs) -> str:
    from playbook.evaluate.round_verdict import round_margin, round_tolerance
    from playbook.operate.policy import sure_enough

    spec = given.task.spec
    plan, target = spec.retraining, spec.target
    below = plan.metric_below if plan.metric_below is not None else target.bound
    side = "above" if target.direction == "at_most" else "below"
    drift = f"alarms in {plan.drift.alarms} of the last {plan.drift.windows} windows" if plan.drift else "never"
    drift += f", each with p at most {sure_enough(spec):.2g}" if plan.drift else ""
    differs = "never" if plan.metric_differs is None else f"by more than {plan.metric_differs:g}"
    rows = [
        ("metric", f"{target.label}: the live interval lies wholly {side} {below:g}"),
        ("live metric and test differ", differs),
        ("drift", drift),
        ("new labels", f"{plan.new_labels} rows" if plan.new_labels is not None else "never"),
        ("new class", f"{plan.new_class_rows} outcomes of a class that the task does not know"),
        ("task changed", "fires" if plan.task_changed else "never"),
        ("better base", "fires" if plan.better_base else "never"),
        ("bases tried", f"{plan.try_bases} (UTC)" if plan.try_bases and len(spec.bases) > 1 else "never"),
        (
            "replaced by",
            f"a gain of {round_margin(spec):g}; {round_tolerance(spec):g} may be lost where it fixes what fired",
        ),
        ("schedule", f"{plan.schedule} (UTC)" if plan.schedule else "none"),
        ("without cause", f"metric, difference and drift each hold in 60 days in at most {plan.false_alarm_rate:.1%}"),
        ("held back by", f"{plan.cool_down_days} days after a round; fewer than {plan.min_new_labels} new labels"),
    ]
    return markdown_table(("retraining in the task file", "fires at"), rows)


def _owners(given: HandoffInputs) -> str:
    owners, approval = given.task.spec.owners, given.approval
    signed = f"{approval.by} on {approval.at}" + (", who is the model owner too" if approval.same_person else "")
    rows = [
        ("model, its retraining and this package", owners.model),
        ("data, monitoring and outcomes", owners.data),
        ("sign-off", owners.sign_off),
        ("signed off by", signed),
    ]
    return markdown_table(("what", "who"), rows)
