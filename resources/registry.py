"""MLflow's model registry: a model version per bundle, with semantic version, provenance and alias.

A version is registered only with proof of reload parity for exactly its bundle (B4). The same bundle is never
registered twice, and no version is overwritten: another winner is another version, and going back is moving the alias.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from playbook.artifacts import canonical_hash
from playbook.errors import ArtifactError, ParityError
from playbook.operate.bundle import bundle_hash
from playbook.operate.parity import Parity
from playbook.operate.versions import Identity, latest_version, next_version, parse_version, what_changed
from resources.model_folder import save_model
from resources.tracking import Tracking

if TYPE_CHECKING:
    from mlflow.entities import LoggedModel
    from mlflow.entities.model_registry import ModelVersion

TAGS = {
    "version": "playbook/version",
    "bundle_sha256": "playbook/bundle_sha256",
    "task_sha256": "playbook/task_sha256",
    "dataset_hash": "playbook/dataset_hash",
    "base_sha256": "playbook/base_sha256",
}


@dataclass(frozen=True)
class Release:
    """What is to be registered, and what it stands on."""

    name: str  # of the registered model: the task
    alias: str
    bundle: Path
    parity: Parity
    labels: tuple[str, ...]
    identity: Identity
    run_id: str  # MLflow run (the attempt `package`) that the model belongs to
    source: str  # frozen_baseline or rung_K
    dataset_version: int
    report_sha256: str
    example: str  # a text, shown as the model's input example
    description: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Registered:
    """A version in the registry."""

    name: str
    version: str  # semantic
    registry_version: str  # MLflow's own number
    bundle_sha256: str
    reused: bool = False  # it was there already

    @property
    def uri(self) -> str:
        """What MLflow loads and serves."""
        return f"models:/{self.name}/{self.registry_version}"


class Registry:
    """Model versions of one MLflow store."""

    def __init__(self, tracking: Tracking) -> None:
        self.tracking = tracking

    def register(self, release: Release) -> Registered:
        """Register a bundle, or find the version that already holds it, and point the alias at it.

        A version that is found keeps its number; its tags and description become those of this release.

        Raises:
            ParityError: parity is not proven for this bundle; nothing is registered.
            ArtifactError: the folder is no clean bundle.
        """
        sha256 = bundle_hash(release.bundle)
        _require_parity(release, sha256)
        with self.tracking.locked("registry"):
            known = self._known(release.name)
            same = next((v for v in known if v.tags.get(TAGS["bundle_sha256"]) == sha256), None)
            registered = self._renew(release, sha256, same) if same else self._create(release, sha256, known)
            self.tracking.client.set_registered_model_alias(release.name, release.alias, registered.registry_version)
        return registered

    def versions(self, name: str) -> list[Registered]:
        """All versions of a model, oldest first; none of an unknown model."""
        return sorted((_registered(v) for v in self._known(name)), key=lambda v: parse_version(v.version))

    def at_alias(self, name: str, alias: str) -> Registered | None:
        """The version that an alias points at, or None."""
        from mlflow.exceptions import MlflowException

        try:
            return _registered(self.tracking.client.get_model_version_by_alias(name, alias))
        except MlflowException as error:
            if error.error_code in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}:
                return None
            raise

    def fetch_bundle(self, registered: Registered, into: Path) -> Path:
        """Copy a version's bundle into a folder, verified by its hash.

        Raises:
            ArtifactError: what the registry holds is not what was registered.
        """
        import mlflow

        folder = mlflow.artifacts.download_artifacts(
            artifact_uri=self._source(registered), dst_path=str(into), tracking_uri=self.tracking.uri
        )
        bundle = next((path.parent for path in Path(folder).rglob("bundle.json")), None)
        if bundle is None or bundle_hash(bundle) != registered.bundle_sha256:
            raise ArtifactError(
                f"{registered.uri}: expected a bundle with SHA-256 {registered.bundle_sha256[:12]}, found another or "
                "none; it was changed after it was registered: register the model again"
            )
        return bundle

    def _source(self, registered: Registered) -> str:
        version = self.tracking.client.get_model_version(registered.name, registered.registry_version)
        return str(version.source)

    def point(self, name: str, alias: str, version: str) -> Registered:
        """Point an alias at a semantic version that exists: rollback is this one call (6.1).

        Raises:
            ArtifactError: there is no such version.
        """
        known = self.versions(name)
        found = next((v for v in known if v.version == version), None)
        if found is None:
            raise ArtifactError(
                f"model {name}: expected one of versions {', '.join(v.version for v in known) or '(none)'}, found "
                f"{version}; nothing was changed"
            )
        self.tracking.client.set_registered_model_alias(name, alias, found.registry_version)
        return found

    def _known(self, name: str) -> list[ModelVersion]:
        """Versions that this registry made."""
        found: list[ModelVersion] = []
        token = None
        while True:
            page = self.tracking.client.search_model_versions(f"name = '{name}'", page_token=token)
            found += [version for version in page if TAGS["version"] in version.tags]
            token = page.token
            if not token:
                return found

    def _create(self, release: Release, sha256: str, known: list[ModelVersion]) -> Registered:
        from mlflow.exceptions import MlflowException

        client = self.tracking.client
        try:
            client.create_registered_model(release.name, tags={"playbook/task": release.name})
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        version = _next_version(release.identity, known)
        model = self._log_model(release, sha256)
        # Tags come with the version in one step: there is never a version without its provenance.
        created = client.create_model_version(
            release.name,
            source=model.artifact_location,
            run_id=release.run_id,
            model_id=model.model_id,
            tags=_version_tags(release, sha256, version),
            description=release.description or None,
        )
        return _registered(created)

    def _renew(self, release: Release, sha256: str, same: ModelVersion) -> Registered:
        """Let a version say what this release says of it: another approval stands behind the same bundle."""
        client, number = self.tracking.client, str(same.version)
        for tag, value in _version_tags(release, sha256, same.tags[TAGS["version"]]).items():
            client.set_model_version_tag(release.name, number, tag, value)
        client.update_model_version(release.name, number, description=release.description)
        return _registered(same, reused=True)

    def _log_model(self, release: Release, sha256: str) -> LoggedModel:
        """Upload the model's folder as a logged model of its run."""
        from mlflow.entities import LoggedModelOutput

        client = self.tracking.client
        run = client.get_run(release.run_id)
        logged = client.create_logged_model(
            run.info.experiment_id, name=release.name, source_run_id=release.run_id, model_type="classifier"
        )
        try:
            with tempfile.TemporaryDirectory(prefix="model-") as scratch:
                folder = Path(scratch) / "model"
                save_model(
                    folder,
                    release.bundle,
                    release.labels,
                    example=release.example,
                    bundle_sha256=sha256,
                    run_id=release.run_id,
                    model_id=logged.model_id,
                )
                client.log_model_artifacts(logged.model_id, str(folder))
        except BaseException:
            client.finalize_logged_model(logged.model_id, "FAILED")
            raise
        client.finalize_logged_model(logged.model_id, "READY")
        client.log_outputs(release.run_id, [LoggedModelOutput(logged.model_id, step=0)])
        return logged


def task_identity(labels: tuple[str, ...], target: Mapping[str, Any], dataset_hash: str, base_sha256: str) -> Identity:
    """What decides between major and minor: labels and target define the task, then data and base."""
    definition = canonical_hash({"labels": list(labels), "target": dict(target)})
    return Identity(task_sha256=definition, dataset_hash=dataset_hash, base_sha256=base_sha256)


def _require_parity(release: Release, sha256: str) -> None:
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


def _next_version(identity: Identity, known: list[ModelVersion]) -> str:
    """The version after the highest one known, by what changed since that."""
    latest = latest_version(version.tags[TAGS["version"]] for version in known)
    if latest is None:
        return next_version(None, "task")
    tags = next(version.tags for version in known if version.tags[TAGS["version"]] == latest)
    before = Identity(*(tags.get(TAGS[name], "") for name in ("task_sha256", "dataset_hash", "base_sha256")))
    return next_version(latest, what_changed(before, identity))


def _version_tags(release: Release, sha256: str, version: str) -> dict[str, str]:
    return {
        **release.tags,
        TAGS["version"]: version,
        TAGS["bundle_sha256"]: sha256,
        TAGS["task_sha256"]: release.identity.task_sha256,
        TAGS["dataset_hash"]: release.identity.dataset_hash,
        TAGS["base_sha256"]: release.identity.base_sha256,
        "playbook/dataset_version": str(release.dataset_version),
        "playbook/report_sha256": release.report_sha256,
        "playbook/source": release.source,
        "playbook/parity": f"{release.parity.rows} rows, largest difference {release.parity.largest_difference:.3g}",
    }


def _registered(version: ModelVersion, reused: bool = False) -> Registered:
    tags = version.tags
    return Registered(
        version.name, tags.get(TAGS["version"], ""), str(version.version), tags.get(TAGS["bundle_sha256"], ""), reused
    )
