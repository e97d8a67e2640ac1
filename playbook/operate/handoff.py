"""The handoff package (6.2): what the model, its data and its decisions are, generated from artefacts alone."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playbook.artifacts import DatasetVersion, Evaluation, LabelAudit, PackagedModel, SignOff
from playbook.decide.log import Entry
from playbook.decide.log_page import render_log_page
from playbook.operate.handoff_limits import known_failure_modes
from playbook.operate.handoff_package import DECISIONS, MANIFEST, README, sha256_of
from playbook.operate.handoff_pages import deployment, readme
from playbook.operate.recipe import RECIPE, Recipe
from playbook.taskfile import Task


@dataclass(frozen=True)
class HandoffInputs:
    """What the package describes. Bytes and texts are the files of the artefacts, as the store verified them."""

    task: Task
    called: str  # how commands name the task
    model: PackagedModel
    dataset: DatasetVersion
    evaluation: Evaluation
    approval: SignOff
    audit: LabelAudit | None
    bundle: Path  # the registered bundle, verified
    recipe: Recipe
    entries: Sequence[Entry]  # of the decision log, up to the handover
    changelog: str
    configurations: Mapping[str, Any]  # step -> its whole run configuration, as logged
    page: str  # of the dataset
    report: bytes
    card: str
    remote: str = ""  # URL of the DVC remote
    bases: Mapping[str, Any] = field(
        default_factory=dict
    )  # SHA-256 of a base that lies in a folder -> where it is kept
    code: Mapping[str, str] = field(default_factory=dict)  # `playbook`: its version; `adapt`: hash of what trains

    @property
    def name(self) -> str:
        """Task and version, which the zip is named by."""
        return f"{self.model.name}-{self.model.version}"


def handed_over(entries: Sequence[Entry], alias: str, model: PackagedModel, approval: str) -> tuple[Entry, ...]:
    """The decision log up to the handover, so that a package stays as it is while the log grows.

    That is the first promotion of exactly this bundle, or its approval where that came later (it was approved again);
    all of the log where it was never promoted.
    """
    promoted = next((e.index for e in entries if e.kind == "promotion" and _is_of(e, alias, model)), 0)
    approved = next((entry.index for entry in entries if entry.sha256 == approval), 0)
    return tuple(entries[: max(promoted, approved)] if promoted else entries)


def _is_of(entry: Entry, alias: str, model: PackagedModel) -> bool:
    return (entry.inputs.get("alias"), entry.inputs.get("to_bundle")) == (alias, model.bundle_sha256)


def handoff_documents(given: HandoffInputs) -> dict[str, bytes]:
    """Every document of the package by its name; the same inputs give the same bytes."""
    texts = {
        RECIPE: given.recipe.text,
        "run_configuration.json": _json({"steps": dict(given.configurations), "recipe": RECIPE}),
        "decision_log.html": render_log_page(given.task.spec.task, given.entries),
        "dataset.md": given.page,
        "model_card.md": given.card,
        "deployment.md": deployment(given),
        "known_failure_modes.md": known_failure_modes(
            given.recipe, given.dataset, given.evaluation, given.audit, given.bundle
        ),
        "CHANGELOG.md": given.changelog,
    }
    documents = {name: text.encode() for name, text in texts.items()}
    documents[DECISIONS] = b"".join(entry.line for entry in given.entries)
    documents["evaluation_report.html"] = given.report
    documents["task.yaml"] = given.task.path.read_bytes()
    hashes = {name: sha256_of(content) for name, content in sorted(documents.items())}
    documents[README] = readme(given, hashes).encode()
    hashes[README] = sha256_of(documents[README])
    documents[MANIFEST] = _json(_manifest(given, hashes)).encode()
    return documents


def _manifest(given: HandoffInputs, hashes: Mapping[str, str]) -> dict[str, Any]:
    recipe, model, approval = given.recipe, given.model, given.approval
    binding = approval.binding.model_dump(mode="json") if approval.binding else {}
    last = given.entries[-1] if given.entries else None
    return {
        "format": 1,
        "task": model.name,
        "version": model.version,
        "documents": dict(hashes),
        "describes": {
            "dataset": {"hash": recipe.data.hash, "version": recipe.data.number, "files": recipe.data.files},
            "base": {"weights": recipe.pin.weights_sha256, "tokenizer": recipe.pin.tokenizer_sha256},
            "evaluation": {"digest": given.evaluation.digest, "report": sha256_of(given.report)},
            "sign_off": {"entry": approval.log_entry, "digest": approval.digest, "binding": binding},
            "bundle": {"sha256": model.bundle_sha256, "weights": recipe.expected, "files": _files(given.bundle)},
            "decision_log": {"entries": len(given.entries), "last": last.sha256 if last else ""},
        },
        "remote": given.remote,
        "bases": dict(given.bases),
        "code": dict(given.code),
    }


def _files(bundle: Path) -> dict[str, str]:
    from playbook.store import file_sha256

    files = sorted(path for path in bundle.rglob("*") if path.is_file())
    return {path.relative_to(bundle).as_posix(): file_sha256(path) for path in files}


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
