"""Releases with a small bundle, and decision logs in which somebody approved them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from playbook.artifacts import Binding
from playbook.decide.log import DecisionLog, Entry
from playbook.evaluate.sign_off_state import Statement
from playbook.operate.bundle import bundle_hash
from playbook.operate.parity import Parity
from playbook.operate.versions import Identity
from playbook.store import file_sha256
from resources.registry import Release
from resources.tracking import Tracking

LABELS = ("access", "refund")


def binding(task: str, weights: str, dataset: str = "data", evaluation: str = "e1") -> Binding:
    return Binding(
        task=task, ship="candidate", dataset=dataset, splits={}, base="b", weights=weights, report="r",
        evaluation=evaluation,
    )  # fmt: skip


def approve(log: DecisionLog, bound: Binding, mode: Any = "recorded", by: str = "anna@example.org", **body: Any) -> str:
    """Put an approval into a log, as `playbook approve` does; returns its hash."""
    statement = Statement(
        task=bound.task, mode=mode, by=by, same_person=False, binding=bound, ships="rung_1", verdict="ship it"
    )
    said = {"statement": statement.model_dump(mode="json"), **body}
    inputs = bound.model_dump(mode="json")
    return log.append("sign_off", f"approved by {by}", by=by, inputs=inputs, body=said, key=bound.evaluation).sha256


def last(log: DecisionLog) -> Entry:
    return log.entries()[-1]


def make_release(tracking: Tracking, folder: Path, weights: bytes = b"w", **changes: Any) -> Release:
    """A release of the model that is called as the folder is, with a bundle of a few bytes."""
    bundle = folder / "bundle"
    bundle.mkdir(exist_ok=True, parents=True)
    (bundle / "bundle.json").write_text("{}")
    (bundle / "model.safetensors").write_bytes(weights)
    parent = tracking.task_run("registered", "run-1")
    fields: dict[str, Any] = {
        "name": folder.name,
        "bundle": bundle,
        "parity": Parity(200, 1e-7, True, 1e-3, bundle_hash(bundle)),
        "labels": LABELS,
        "identity": Identity("task", "data", "base"),
        "run_id": tracking.log_attempt(parent, "package"),
        "source": "rung_2",
        "dataset_version": 3,
        "report_sha256": "e" * 64,
        "example": "where is my refund?",
        "weights_sha256": file_sha256(bundle / "model.safetensors"),
    }
    return Release(**{**fields, **changes})
