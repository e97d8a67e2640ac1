"""Model versions as MLflow's registry has them: looked up by number or alias, fetched and verified."""

from __future__ import annotations

import tempfile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from playbook.errors import ArtifactError
from playbook.operate.bundle import bundle_hash
from playbook.operate.changelog import VersionNote, render_changelog
from playbook.operate.versions import parse_version
from resources.release import TAGS, Registered, registered
from resources.tracking import Tracking

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

    from playbook.decide.log import DecisionLog

ARTIFACTS = "artifacts"  # where MLflow keeps the bundle in a model's folder


class ModelVersions:
    """Model versions of one MLflow store, to be read."""

    def __init__(self, tracking: Tracking) -> None:
        self.tracking = tracking

    def versions(self, name: str) -> list[Registered]:
        """All versions of a model, oldest first; none of an unknown model."""
        return sorted((registered(v) for v in self.known(name)), key=lambda v: parse_version(v.version))

    def aliases(self, name: str) -> dict[str, str]:
        """Semantic version by alias; none of an unknown model."""
        from mlflow.exceptions import MlflowException

        try:
            pointed = self.tracking.client.get_registered_model(name).aliases
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return {}
            raise
        numbers = {one.registry_version: one.version for one in self.versions(name)}
        return {alias: numbers[str(number)] for alias, number in sorted(pointed.items()) if str(number) in numbers}

    def at_alias(self, name: str, alias: str) -> Registered | None:
        """The version that an alias points at, or None."""
        from mlflow.exceptions import MlflowException

        try:
            return registered(self.tracking.client.get_model_version_by_alias(name, alias))
        except MlflowException as error:
            if error.error_code in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}:
                return None
            raise

    def find(self, name: str, version: str) -> Registered:
        """A semantic version.

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
        return found

    def notes(self, name: str) -> list[VersionNote]:
        """What the changelog says of each version, oldest first."""
        pointed = self.aliases(name)
        return [
            VersionNote(
                version=one.version,
                line=one.tags.get(TAGS["changelog"]) or "no line was kept",
                date=one.created,
                aliases=tuple(alias for alias, version in pointed.items() if version == one.version),
                dataset_version=one.own_tags.get("dataset_version", ""),
                signed_by=one.own_tags.get("signed_off_by", ""),
                bundle_sha256=one.bundle_sha256,
            )
            for one in self.versions(name)
        ]

    def changelog(self, name: str, log: DecisionLog) -> str:
        """CHANGELOG.md of a model: every version, and every promotion and rollback of the decision log."""
        return render_changelog(name, self.notes(name), log.entries())

    def fetch_bundle(self, registered: Registered, into: Path) -> Path:
        """Copy a version's bundle into a folder, verified by its hash.

        Raises:
            ArtifactError: what the registry holds is not what was registered.
        """
        import mlflow

        source, uri, bundle = self._source(registered), self.tracking.uri, None
        there = mlflow.artifacts.list_artifacts(artifact_uri=source, tracking_uri=uri)
        if any(PurePosixPath(entry.path).name == ARTIFACTS for entry in there):
            # Without the hundreds of files of code beside it, each of which MLflow would look up and copy.
            folder = mlflow.artifacts.download_artifacts(
                artifact_uri=f"{source}/{ARTIFACTS}", dst_path=str(into), tracking_uri=uri
            )
            bundle = next((path.parent for path in Path(folder).rglob("bundle.json")), None)
        if bundle is None or bundle_hash(bundle) != registered.bundle_sha256:
            raise ArtifactError(
                f"{registered.uri}: expected a bundle with SHA-256 {registered.bundle_sha256[:12]}, found another or "
                "none; it was changed after it was registered: register the model again"
            )
        return bundle

    def damage(self, registered: Registered) -> list[str]:
        """Why a version cannot be served: the registry no longer holds what was registered. Nothing where it does."""
        from mlflow.exceptions import MlflowException

        try:
            with tempfile.TemporaryDirectory(prefix="version-") as scratch:
                self.fetch_bundle(registered, Path(scratch))
        except (ArtifactError, MlflowException, OSError) as error:
            return [" ".join(str(error).split())]
        return []

    def known(self, name: str) -> list[ModelVersion]:
        """Versions that this registry made, as MLflow has them."""
        found: list[ModelVersion] = []
        token = None
        while True:
            page = self.tracking.client.search_model_versions(f"name = '{name}'", page_token=token)
            found += [version for version in page if TAGS["version"] in version.tags]
            token = page.token
            if not token:
                return found

    def _source(self, registered: Registered) -> str:
        version = self.tracking.client.get_model_version(registered.name, registered.registry_version)
        return str(version.source)
