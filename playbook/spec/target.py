"""The number that means success, and the three people behind it (Play 1)."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, field_validator, model_validator

from playbook.spec.section import (
    BUDGETS,
    LOWER_IS_BETTER,
    PER_CLASS_METRICS,
    RANKING_METRICS,
    UNBOUNDED,
    Direction,
    Fraction,
    LimitName,
    Name,
    Section,
)


class Limit(Section):
    """A metric with the number that it must reach: `at_least`, or `at_most` where less is better.

    `recall`, `precision`, `f1` and `false_positive_rate` are of one class, which is then named. `roc_auc` and
    `average_precision` are of the class that is named against the rest; without one, the mean over all classes.
    `latency_p95_ms` (one input), `size_mb` and `memory_mb` are limits on the model itself.
    """

    metric: LimitName
    at_least: Fraction | None = Field(None, description="The metric must not be below this fraction.")
    at_most: float | None = Field(
        None,
        ge=0,
        description="For false_positive_rate (a fraction), log_loss (nats), latency_p95_ms, size_mb and memory_mb: "
        "the metric must not be above this.",
    )
    of_class: Name | None = Field(
        None,
        description="The class of recall, precision, f1 or false_positive_rate; optional for roc_auc and "
        "average_precision.",
    )

    @model_validator(mode="after")
    def _whole(self) -> Limit:
        asks = self.metric in PER_CLASS_METRICS
        if (asks and self.of_class is None) or (
            self.of_class is not None and not asks and self.metric not in RANKING_METRICS
        ):
            raise ValueError(
                f"{self.metric}: of_class is required for {', '.join(PER_CLASS_METRICS)}, allowed for "
                f"{', '.join(RANKING_METRICS)}, and for nothing else"
            )
        if (self.at_least is None) == (self.at_most is None):
            found = "neither" if self.at_least is None else "both"
            raise ValueError(f"{self.metric}: expected exactly one of at_least and at_most, found {found}")
        lower = self.metric in LOWER_IS_BETTER
        if lower != (self.at_most is not None):
            better, wanted = ("lower", "at_most") if lower else ("higher", "at_least")
            raise ValueError(f"{self.metric} is better the {better} it is: give {wanted}, not the other")
        if self.metric not in UNBOUNDED and self.bound > 1:
            raise ValueError(f"{self.metric} is a fraction: expected at_most between 0 and 1, found {self.bound:g}")
        return self

    @property
    def label(self) -> str:
        """How the metric is written in tables, for example `recall of refund`."""
        return f"{self.metric} of {self.of_class}" if self.of_class else self.metric

    @property
    def direction(self) -> Direction:
        """`at_least`, or `at_most` where less is better."""
        return "at_least" if self.at_least is not None else "at_most"

    @property
    def bound(self) -> float:
        """The number that is asked for."""
        found = self.at_least if self.at_least is not None else self.at_most
        assert found is not None
        return found

    @property
    def is_budget(self) -> bool:
        """Whether it is a limit on the model (latency, size, memory) and not on its answers."""
        return self.metric in BUDGETS


class Target(Limit):
    """The number that means success, written before anything is trained (1.1, 1.2)."""

    margin: float = Field(
        gt=0,
        description="Gain over the frozen baseline that is worth the added complexity, in the metric's own unit: a "
        "fraction up to 0.5, or nats for log_loss.",
    )
    limits: tuple[Limit, ...] = Field((), description="Further limits that hold beside the target.")
    operating_point: Literal["auto", "argmax", "threshold"] = Field(
        "auto",
        description="Answer one class from a probability on that validation chose to meet all limits with some room "
        "(`threshold`), or every row with its likeliest class (`argmax`). The class is that of the first limit on one "
        "class; in a task of two classes without such a limit the second in alphabetical order (either would do). "
        "`auto` takes a threshold in tasks of two classes, and where the target is of one class.",
    )

    @model_validator(mode="after")
    def _a_target(self) -> Target:
        if self.is_budget:
            raise ValueError(
                f"{self.metric} cannot be the target: an empty model would meet it. Name a metric of the answers as "
                "the target and put this one under target.limits"
            )
        if self.metric not in UNBOUNDED and self.margin > 0.5:
            raise ValueError(f"margin of at most 0.5 (50 points), not {self.margin:g}")
        labels = [limit.label for limit in self.all_limits]
        twice = sorted({label for label in labels if labels.count(label) > 1})
        if twice:
            raise ValueError(f"one limit for each metric; found two or more for {', '.join(twice)}")
        return self

    @property
    def all_limits(self) -> tuple[Limit, ...]:
        """The target itself first, then the limits beside it, those on the model included."""
        own = Limit(metric=self.metric, at_least=self.at_least, at_most=self.at_most, of_class=self.of_class)
        return (own, *self.limits)

    @property
    def budgets(self) -> tuple[Limit, ...]:
        """Limits on the model: latency, size, memory."""
        return tuple(limit for limit in self.limits if limit.is_budget)


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
