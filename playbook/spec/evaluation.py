"""Evaluation against the baseline (Play 5)."""

from __future__ import annotations

from pydantic import Field

from playbook.spec.section import Fraction, Name, Section


class RegressionBudget(Section):
    """How much may be lost, net, beside the baseline or the champion (5.4): rows broken minus rows fixed.

    It is exceeded where the whole confidence interval of the net loss lies beyond it; rows that change sides without a
    net loss cost nothing.
    """

    share: Fraction = Field(0.01, description="Net loss allowed, as a share of all test rows.")
    share_of_class: Fraction = Field(
        0.05,
        description="Net loss allowed, as a share of the rows of any one class, however few; judged with a correction "
        "for the number of classes.",
    )


class Evaluation(Section):
    """Evaluation against the baseline (Play 5)."""

    confidence: float = Field(
        0.95,
        ge=0.8,
        lt=1,
        description="Of two-sided intervals. At less, chance alone would too often look like a gain.",
    )
    resamples: int = Field(2000, ge=200, le=100_000, description="Paired bootstrap resamples.")
    power: float = Field(
        0.8,
        ge=0.5,
        lt=1,
        description="Chance that a candidate whose true gain is the margin ships; the test split must be large enough "
        "for it. Under one half the answer would be a coin toss at best.",
    )
    early_end_standard_errors: float = Field(
        1.0, ge=0, description="A baseline ends the task when validation minus this many errors still meets the target."
    )
    slices: tuple[Name, ...] = Field(
        (), description="Columns of data.columns.keep to slice by; empty: every one of them that has few values."
    )
    min_slice_rows: int = Field(25, ge=5, description="Smaller slices are left out, and counted.")
    calibration_bins: int = Field(10, ge=2, le=50)
    behaviour: str | None = Field(None, description="YAML file with behavioural tests (5.4).")
    regression: RegressionBudget = RegressionBudget()
    capabilities: str | None = Field(
        None,
        description="CSV file of texts with their right answers that must not get worse (5.4): columns text and label, "
        "or those of data.columns.",
    )
    capability_tolerance: Fraction = Field(
        0.01,
        description="Net loss allowed on evaluation.capabilities, as a share of its rows: more blocks where the whole "
        "interval of the net loss lies beyond it.",
    )
    shift_p_value: float = Field(
        0.01,
        ge=0.0005,
        lt=0.5,
        description="Two samples differ when the corrected p-value of inputs, class mix or score is below it.",
    )
    examples: int = Field(12, ge=0, le=200, description="Wrong answers shown in the report.")
