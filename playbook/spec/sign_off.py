"""Who says yes, and how that is proven (5.6)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from playbook.spec.section import Section


class SignOff(Section):
    """The approval that packaging waits for."""

    mode: Literal["automatic", "recorded", "signed"] = Field(
        "recorded",
        description="automatic: by rule, no person looks. recorded: `playbook approve` with answers. signed: likewise, "
        "with a signature of the sign-off owner's SSH key.",
    )
    allowed_signers: str | None = Field(
        None, description="OpenSSH allowed-signers file (ssh-keygen, ALLOWED SIGNERS); needed for signed."
    )

    revoked_keys: str | None = Field(
        None, description="Keys no longer believed: an OpenSSH key revocation list, or public keys, one per line."
    )

    @model_validator(mode="after")
    def _signers_named(self) -> SignOff:
        if self.mode == "signed" and self.allowed_signers is None:
            raise ValueError("signed needs allowed_signers, a file with the public keys of those who may sign")
        return self
