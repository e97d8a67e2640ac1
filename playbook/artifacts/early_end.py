"""A baseline that meets the target on validation, and what the test split says to that (1.8, 5.1)."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from playbook.artifacts.artifact import Artifact, Part, Score


class EarlyEndClaim(Part):
    """A baseline meets every limit on validation: is that so on the test split, which was opened to ask?"""

    baseline: str  # majority, tfidf, zero_shot, frozen_baseline
    validation: Score  # in the target's metric
    test: dict[str, Score] = Field(default_factory=dict)  # by limit
    missed: tuple[str, ...] = ()  # limits that it does not meet on test with room to spare
    confirmed: bool = False
    openings: int = 0  # of this test split so far, on record
    text: str = ""


class EarlyEnd(Artifact):
    """Whether the frozen baseline ends the task. Without a claim it did not meet the target on validation, and the test
    split stayed closed."""

    kind: ClassVar[str] = "early_end"
    claim: EarlyEndClaim | None = None

    @property
    def ends(self) -> bool:
        """Whether nothing is unfrozen, because the frozen baseline meets the target."""
        return self.claim is not None and self.claim.confirmed
