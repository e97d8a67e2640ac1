"""The number that means success, and the three people behind it (Play 1)."""

from __future__ import annotations

import re

from pydantic import Field, field_validator, model_validator

from playbook.spec.section import PER_CLASS_METRICS, Fraction, MetricName, Section


class Limit(Section):
    """A metric that must reach a number. `recall`, `precision` and `f1` are of one class, which is then named."""

    metric: MetricName
    at_least: Fraction
    of_class: str | None = Field(None, description="The class that recall, precision or f1 speaks of.")

    @model_validator(mode="after")
    def _class_named(self) -> Limit:
        if (self.metric in PER_CLASS_METRICS) != (self.of_class is not None):
            raise ValueError(
                f"{self.metric}: of_class is required for {', '.join(PER_CLASS_METRICS)} and only for them"
            )
        return self

    @property
    def label(self) -> str:
        """How the metric is written in tables, for example `recall of refund`."""
        return f"{self.metric} of {self.of_class}" if self.of_class else self.metric


class Target(Limit):
    """The number that means success, written before anything is trained (1.1, 1.2)."""

    margin: float = Field(gt=0, le=0.5, description="Gain over the frozen baseline that is worth the added complexity.")
    limits: tuple[Limit, ...] = Field((), description="Further limits that hold beside the target.")

    @property
    def all_limits(self) -> tuple[Limit, ...]:
        """The target itself first, then the limits beside it."""
        return (Limit(metric=self.metric, at_least=self.at_least, of_class=self.of_class), *self.limits)


_EMAIL_OR_TEAM = re.compile(r"^(team:[A-Za-z0-9_.-]+|[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,})$")


class Owners(Section):
    """The three people behind every play: an e-mail address, or `team:name`."""

    model: str
    data: str
    sign_off: str

    @field_validator("model", "data", "sign_off")
    @classmethod
    def _address(cls, value: str) -> str:
        if not _EMAIL_OR_TEAM.match(value):
            raise ValueError("an e-mail address or team:name")
        return value
