"""A baseline that meets the target on validation, and what the test split says to that (1.8, 5.1)."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from playbook.artifacts.artifact import Artifact, Part, Score
from playbook.artifacts.evaluate import LockedTerms


class TooFewRows(Part):
    """A limit that the test split is too small to judge, as answers to validation scatter; rows of the whole split."""

    limit: str
    needed: int
    available: int
    how: str


class EarlyEndClaim(Part):
    """A baseline meets every limit on validation: is that so on the test split, which was opened to ask?"""

    baseline: str  # majority, tfidf, zero_shot, frozen_baseline
    validation: Score  # in the target's metric
    test: dict[str, Score] = Field(default_factory=dict)  # by limit
    missed: tuple[str, ...] = ()  # limits that it does not meet on test with room to spare
    confirmed: bool = False
    openings: int = 0  # of this test split so far, on record
    locked: LockedTerms | None = None  # why the test split was not asked: the terms changed after it was opened
    too_few: TooFewRows | None = None  # why the test split was not asked: it is too small for a limit
    text: str = ""
    next_steps: tuple[str, ...] = ()  # where it was not asked: what can be done


class EarlyEnd(Artifact):
    """Whether the frozen baseline ends the task. Without a claim it did not meet the target on validation, and the test
    split stayed closed. A claim that may not be asked is the frozen baseline's, or that of a reference."""

    kind: ClassVar[str] = "early_end"
    claim: EarlyEndClaim | None = None

    @property
    def ends(self) -> bool:
        """Whether nothing is unfrozen: the frozen baseline meets the target, or nobody may or can say so.

        The evaluation refuses the same terms and the same split, so that whatever was trained for it would be trained
        in vain.
        """
        claim = self.claim
        return claim is not None and (claim.confirmed or claim.locked is not None or claim.too_few is not None)
