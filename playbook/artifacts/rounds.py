"""Play 5 in a retraining round: the models that would take the incumbent's place, and what was decided."""

from __future__ import annotations

from typing import ClassVar, Literal

from playbook.artifacts.artifact import Artifact, Figure, Part
from playbook.artifacts.operate import Trigger

Ship = Literal["candidate", "baseline", "nothing", "incumbent"]  # incumbent: what serves goes on serving


class IncumbentAnswers(Artifact):
    """What the model that serves answers on validation. Files: `answers` (Parquet: p_0, p_1, ..., the task's order)."""

    kind: ClassVar[str] = "incumbent_answers"
    version: str = ""


class Fix(Part):
    """Whether a contender fixes one of the things that asked for a round."""

    trigger: Trigger
    fixed: bool
    text: str


class Contender(Part):
    """A model that would take the place of the one that serves, beside it on the same rows."""

    name: Literal["candidate", "baseline"]
    over: Figure  # gain over the incumbent on all rows, paired
    least: float  # the smallest measured gain that counts as better, given how precisely the gain was measured
    on_old: Figure | None = None  # on the rows that the incumbent was tested on; None where they are too few
    on_new: Figure | None = None  # on the others
    fixes: tuple[Fix, ...] = ()
    misses: tuple[str, ...] = ()  # limits that the incumbent meets and this one does not, and its own on the model
    always: str = ""  # the class that it answers to every row; empty where there are several
    too_few: str = ""  # which rows are too few for the gain to be relied on; then it is neither of the following
    better: bool = False  # by the round's margin
    not_worse: bool = False  # by more than the round's tolerance

    @property
    def fixes_all(self) -> bool:
        """Whether it fixes everything that asked for the round; not where nothing that can be fixed did."""
        return bool(self.fixes) and all(fix.fixed for fix in self.fixes)

    @property
    def qualifies(self) -> bool:
        """Whether it may take the incumbent's place."""
        return not self.misses and not self.always and (self.better or (self.not_worse and self.fixes_all))


class RoundVerdict(Part):
    """Whether the model that serves stays, decided against it (6.6, 5.7)."""

    incumbent: str  # its version
    asked_by: tuple[Trigger, ...] = ()  # what asked for the rounds since it serves, as far as a model can fix it
    margin: float
    tolerance: float
    contenders: tuple[Contender, ...] = ()  # none where the test split stayed closed
    ship: Ship = "incumbent"
    why: Literal["better", "fixes", "not shown", "not judged"] = "not judged"

    @property
    def winner(self) -> Contender | None:
        """The contender that takes the incumbent's place."""
        return next((one for one in self.contenders if one.name == self.ship), None)
