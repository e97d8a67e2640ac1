"""What is registered as a model version: the release that asks for it, the version that comes of it, and its tags."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from playbook.errors import ParityError
from playbook.operate.parity import Parity
from playbook.operate.versions import Identity

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

PREFIX = "playbook/"
TAGS = {
    "version": "playbook/version",
    "bundle_sha256": "playbook/bundle_sha256",
    "task_sha256": "playbook/task_sha256",
    "definition": "playbook/task_definition",
    "dataset_hash": "playbook/dataset_hash",
    "base_sha256": "playbook/base_sha256",
    "weights_sha256": "playbook/weights_sha256",
    "decision": "playbook/decision",
    "changelog": "playbook/changelog",
}


@dataclass(frozen=True)
class Release:
    """What is to be registered, and what it stands on."""

    name: str  # of the registered model: the task
    bundle: Path
    parity: Parity
    labels: tuple[str, ...]
    identity: Identity
    run_id: str  # MLflow run (the attempt `package`) that the model belongs to
    source: str  # frozen_baseline, rung_K or refresh
    dataset_version: int
    report_sha256: str
    example: str  # a text, shown as the model's input example
    description: str = ""
    weights_sha256: str = ""  # of the file of trained tensors, which an approval is bound to
    refreshed_from: str = ""  # the version whose weights were trained further
    replaces: str = ""  # the version that served when it was made, which `gain` measures it against
    gain: str = ""  # the delta with its interval, for the changelog
    definition: str = ""  # of the task, as `playbook.operate.definition` writes it; its hash is in `identity`
    decision: str = ""  # hash of the approval in the decision log
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Registered:
    """A version in the registry."""

    name: str
    version: str  # semantic
    registry_version: str  # MLflow's own number
    bundle_sha256: str
    reused: bool = False  # it was there already
    tags: Mapping[str, str] = field(default_factory=dict, compare=False)  # all of the version
    description: str = field(default="", compare=False)
    created: str = field(default="", compare=False)  # ISO, UTC, seconds

    @property
    def uri(self) -> str:
        """What MLflow loads and serves."""
        return f"models:/{self.name}/{self.registry_version}"

    @property
    def identity(self) -> Identity:
        """What it stands on."""
        return Identity(*(self.tags.get(TAGS[name], "") for name in ("task_sha256", "dataset_hash", "base_sha256")))

    @property
    def own_tags(self) -> dict[str, str]:
        """Its `playbook/` tags, without that prefix."""
        return {name.removeprefix(PREFIX): text for name, text in self.tags.items() if name.startswith(PREFIX)}


def require_parity(release: Release, sha256: str) -> None:
    """Refuse a release whose bundle was not proven to answer as the trained model did.

    Raises:
        ParityError: the proof is of another bundle, or shows a difference.
    """
    parity = release.parity
    if parity.bundle_sha256 != sha256:
        raise ParityError(
            f"{release.name}: expected parity to be proven for bundle {sha256[:12]}, found a proof for "
            f"{parity.bundle_sha256[:12]}; run playbook.operate.parity.check_parity on this bundle"
        )
    if not (parity.rows > 0 and parity.same_labels and parity.largest_difference <= parity.tolerance):
        raise ParityError(
            f"{release.name}: expected the reloaded model to answer the same within {parity.tolerance:g}, found a "
            f"difference of {parity.largest_difference:.3g} on {parity.rows} rows; package the model again"
        )


def version_tags(release: Release, sha256: str, version: str, changelog: str) -> dict[str, str]:
    """All tags that a version gets when it is made, and that stay as they are from then on."""
    refreshed = {"playbook/refreshed_from": release.refreshed_from} if release.refreshed_from else {}
    definition = {TAGS["definition"]: release.definition} if release.definition else {}
    return {
        **release.tags,
        **refreshed,
        **definition,
        TAGS["version"]: version,
        TAGS["bundle_sha256"]: sha256,
        TAGS["task_sha256"]: release.identity.task_sha256,
        TAGS["dataset_hash"]: release.identity.dataset_hash,
        TAGS["base_sha256"]: release.identity.base_sha256,
        TAGS["weights_sha256"]: release.weights_sha256,
        TAGS["decision"]: release.decision,
        TAGS["changelog"]: changelog,
        "playbook/dataset_version": str(release.dataset_version),
        "playbook/report_sha256": release.report_sha256,
        "playbook/source": release.source,
        "playbook/parity": f"{release.parity.rows} rows, largest difference {release.parity.largest_difference:.3g}",
    }


def registered(version: ModelVersion, reused: bool = False) -> Registered:
    """MLflow's version as ours."""
    tags = dict(version.tags)
    made = datetime.fromtimestamp((version.creation_timestamp or 0) / 1000, UTC).isoformat(timespec="seconds")
    return Registered(
        version.name,
        tags.get(TAGS["version"], ""),
        str(version.version),
        tags.get(TAGS["bundle_sha256"], ""),
        reused,
        tags,
        version.description or "",
        made,
    )
