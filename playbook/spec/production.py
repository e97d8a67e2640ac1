"""The model in production: what is logged, what is watched, and what brings it back to the data (Play 6)."""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated

from pydantic import Field, field_validator, model_validator

from playbook.spec.drift_rates import resamples_for, shows
from playbook.spec.section import Fraction, Name, Section

MOST_RESAMPLES = 20_000  # of `monitoring.resamples`
MOST_RATE = 0.5  # of `retraining.false_alarm_rate`


class Redaction(Section):
    """What of an input is blanked before it is written to the prediction log; the model sees it whole."""

    columns: tuple[Name, ...] = Field((), description="Columns (`text` is one) whose content is not kept at all.")
    patterns: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        (), description="Regular expressions (Python's `re`); every match in any column is replaced."
    )

    @field_validator("patterns")
    @classmethod
    def _compile(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in value:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"regular expressions; {pattern!r} is not one: {error}") from None
        return value


class AskAPerson(Section):
    """When the model stays silent and a person answers instead (B9).

    The model answers only from a confidence on that was chosen on validation, so that at most `error` of its answers
    are wrong, and it never answers inputs unlike its training data.
    """

    error: float = Field(gt=0, lt=1, description="Highest share of wrong answers among the answered rows.")
    failure: float = Field(
        0.05, gt=0, le=0.5, description="Chance that the confidence chosen on validation breaks this promise."
    )
    strangers: float = Field(
        0.01,
        ge=0,
        le=0.5,
        description="Inputs unlike the training data have a p-value of at most this: such a share of ordinary inputs "
        "goes to a person, too. 0: inputs are not looked at.",
    )


class Serving(Section):
    """Which inputs the model leaves to a person, and the prediction log (6.3)."""

    ask_a_person: AskAPerson | None = Field(
        None, description="When the model asks a person; it answers every text that is not empty if not given."
    )

    log_share: Fraction = Field(1.0, description="Share of predictions that is logged, chosen by the id's hash.")
    retention_days: int = Field(365, ge=1, description="Logged predictions and their outcomes are kept this long.")
    redact: Redaction = Redaction()


class Monitoring(Section):
    """Daily windows of the prediction log, held against the reference (6.4)."""

    since: date = Field(date(2025, 1, 1), description="First day that Dagster's daily partitions know.")
    window_days: int = Field(7, ge=1, le=92, description="A day's window is this many days up to and with it.")
    false_alarm_rate: float = Field(
        0.01, ge=0.001, le=0.2, description="Share of windows without any drift that may raise the alarm (B5)."
    )
    resamples: int = Field(
        999, ge=199, le=MOST_RESAMPLES, description="Random windows of the pooled rows that a window is held against."
    )
    min_rows: int = Field(30, ge=10, description="A window with fewer rows is not judged.")
    min_outcomes: int = Field(30, ge=10, description="Fewer true labels give no live metric.")

    @model_validator(mode="after")
    def _resolvable(self) -> Monitoring:
        if not shows(self.resamples, self.false_alarm_rate):
            raise ValueError(
                f"resamples of at least {resamples_for(self.false_alarm_rate)}, so that every figure of drift can "
                f"raise the alarm at a rate of {self.false_alarm_rate:g}; found {self.resamples}"
            )
        return self


class DriftTrigger(Section):
    """Alarms in `alarms` of the last `windows` daily windows, each sure enough for `retraining.false_alarm_rate`."""

    alarms: int = Field(3, ge=1)
    windows: int = Field(5, ge=1, le=92)

    @model_validator(mode="after")
    def _possible(self) -> DriftTrigger:
        if self.alarms > self.windows:
            raise ValueError(f"alarms of at most windows ({self.windows}), not {self.alarms}")
        return self


class Refresh(Section):
    """Training on from the champion's checkpoint (6.6)."""

    learning_rate_factor: float = Field(0.5, gt=0, le=1, description="On the rates of `adaptation`.")


class Retraining(Section):
    """When a model goes back to Play 3 (6.5). A trigger that is left out (null or false) never fires."""

    metric_below: float | None = Field(
        None,
        ge=0,
        description="The live metric's whole interval is worse than this: below it, or above it where the target has "
        "`at_most`; the target's own number if not given.",
    )
    metric_differs: Fraction | None = Field(
        None,
        gt=0,
        description="The live metric differs from the one on the test split by more than this, its whole interval.",
    )
    drift: DriftTrigger | None = DriftTrigger()
    false_alarm_rate: float = Field(
        0.05,
        ge=0.001,
        le=MOST_RATE,
        description="Chance that a trigger which rests on a test (metric, metric_differs, drift; each for itself) "
        "holds on any of 60 days although nothing changed; how sure a day must be follows from it. Drift "
        "needs monitoring.resamples enough to be so sure.",
    )
    new_labels: int | None = Field(None, ge=1, description="So many labelled rows that no dataset version has yet.")
    task_changed: bool = Field(
        True,
        description="The question, the classes, what they mean, the labelling guideline or the metric are no longer "
        "those of the model that serves. Thresholds, the margin and other numbers do not count.",
    )
    better_base: bool = Field(True, description="The bake-off prefers another base than the one that serves.")
    cool_down_days: int = Field(14, ge=0, description="After a round, that long nothing fires but a button.")
    min_new_labels: int = Field(
        100,
        ge=0,
        description="A round waits for so many new labelled rows; after drift alone, rows since it began.",
    )
    new_class_rows: int = Field(
        50, ge=10, description="Outcomes of a class that the task does not know, from which on a round adds it."
    )
    schedule: str | None = Field(
        None, description="Cron expression (UTC): a round is asked for at these times, too, unless it cools down."
    )
    try_bases: str | None = Field(
        "0 4 1 * *",
        description="Cron expression (UTC): every base of the list is tried beside the one that serves, on the current "
        "data, for the trigger `better_base`. It takes as long as one bake-off and touches no model. Only where the "
        "list names more than one base; null never tries.",
    )
    refresh: Refresh = Refresh()
    margin: float | None = Field(
        None,
        gt=0,
        le=0.5,
        description="Gain over the model that serves from which on a round replaces it; half of `target.margin` if not "
        "given: the upkeep is paid for already, what a replacement costs is a sign-off and a change for its users.",
    )
    tolerance: float | None = Field(
        None,
        gt=0,
        le=0.5,
        description="A model that fixes what asked for the round may replace the one that serves unless it could be "
        "worse by this; the round's margin if not given.",
    )

    @field_validator("schedule", "try_bases")
    @classmethod
    def _cron(cls, value: str | None) -> str | None:
        if value is not None and len(value.split()) != 5:
            raise ValueError("a cron expression of five fields, for example '0 3 * * 1'")
        return value
