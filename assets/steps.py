"""Everything upstream of an evaluation, in one object."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from assets.candidate import chosen_model
from playbook.artifacts import (
    BaseSelection,
    Candidate,
    Controls,
    DatasetVersion,
    Decision,
    EarlyEnd,
    FrozenBaseline,
    LabelAudit,
    ReferenceBaselines,
    Rung,
)


@dataclass(frozen=True)
class Steps:
    """What the plays before handed on."""

    dataset: DatasetVersion
    references: ReferenceBaselines
    decision: Decision
    base: BaseSelection
    frozen: FrozenBaseline
    early: EarlyEnd
    audit: LabelAudit
    rungs: Sequence[Rung]
    choice: Candidate
    controls: Controls

    @property
    def model(self) -> FrozenBaseline | Rung:
        """The model that the candidate names."""
        return chosen_model(self.frozen, self.choice, self.rungs)

    @property
    def training_seconds(self) -> float:
        """What all training of this task took, controls included."""
        staircase = [step.seconds for step in self.rungs if not step.skipped]
        return self.frozen.seconds + sum(staircase) + sum(run.seconds for run in self.controls.runs)
