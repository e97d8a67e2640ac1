"""Play 6: the registered model."""

from __future__ import annotations

from typing import ClassVar

from playbook.artifacts.artifact import Artifact


class PackagedModel(Artifact):
    """A registered model version (Play 6)."""

    kind: ClassVar[str] = "packaged_model"
    circumstances: ClassVar[frozenset[str]] = Artifact.circumstances | {"registry_version"}
    name: str = ""
    version: str = ""  # semantic
    registry_version: str = ""
    alias: str = ""
    source: str = ""
    bundle_sha256: str = ""
    evaluation: str = ""  # digest of the evaluation that it stands on
    sign_off: str = ""  # digest of the sign-off that it stands on
    parity_rows: int = 0
    largest_difference: float = 0.0
