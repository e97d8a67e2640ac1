"""The registered model (Play 6)."""

from __future__ import annotations

from pydantic import Field

from playbook.spec.section import Section


class Package(Section):
    """The registered model (Play 6)."""

    alias: str = Field("champion", pattern=r"^[A-Za-z][\w-]*$")
    parity_rows: int = Field(200, ge=1, description="Rows on which the reloaded model must agree.")
