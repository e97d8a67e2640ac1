"""What all parts of a task file share."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from playbook.names import normal_form

EPOCHS = {"epoch_s": 1, "epoch_ms": 10**3, "epoch_us": 10**6, "epoch_ns": 10**9}  # parts of a second since 1970
SPLITS = ("train", "validation", "test")
Split = Literal["train", "validation", "test"]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]


def _named(value: Any) -> Any:
    return normal_form(value) if isinstance(value, str) else value


IN_NORMAL_FORM = BeforeValidator(_named)
Name = Annotated[str, IN_NORMAL_FORM]  # of a class or a column
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
MetricName = Literal[
    "accuracy",
    "balanced_accuracy",
    "macro_f1",
    "micro_f1",
    "recall",
    "precision",
    "f1",
    "false_positive_rate",
    "roc_auc",
    "average_precision",
    "log_loss",
]
Direction = Literal["at_least", "at_most"]
BudgetName = Literal["latency_p95_ms", "size_mb", "memory_mb"]
LimitName = Literal[MetricName, BudgetName]
METRICS: tuple[MetricName, ...] = get_args(MetricName)
BUDGETS: tuple[BudgetName, ...] = get_args(BudgetName)  # measured on the model that answers, not on its answers
PER_CLASS_METRICS = ("recall", "precision", "f1", "false_positive_rate")  # of one class, which is then named
RANKING_METRICS = ("roc_auc", "average_precision")  # of one class against the rest, or the mean over all classes
NEED_PROBABILITIES = (*RANKING_METRICS, "log_loss")
LOWER_IS_BETTER = ("false_positive_rate", "log_loss", *BUDGETS)
UNBOUNDED = ("log_loss", *BUDGETS)  # at least 0, without an upper end; all others are fractions


def lower_is_better(label: str) -> bool:
    """Whether less is better of a metric, given by its name or by `Limit.label`."""
    return label.partition(" of ")[0] in LOWER_IS_BETTER


class Section(BaseModel):
    """A part of the task file: frozen, and an unknown field is a fault."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
