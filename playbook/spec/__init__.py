"""The task file: every field that a team can write, with its meaning, its limits and its default.

Files are read by `playbook.taskfile.load_task`, which reports all faults together. Code is never named in a task file:
where there is a choice, it is one word of a closed list.
"""

from playbook.spec.adaptation import Adaptation, Controls, Keep
from playbook.spec.bases import BakeOff, Base, Budget
from playbook.spec.data import Accumulated, Columns, Data, Gate, Labels, Paraphrases, Production, Source, Splits
from playbook.spec.decision import DecisionAnswers, Prices
from playbook.spec.evaluation import Evaluation, RegressionBudget
from playbook.spec.package import Package
from playbook.spec.production import AskAPerson, DriftTrigger, Monitoring, Redaction, Refresh, Retraining, Serving
from playbook.spec.section import (
    BUDGETS,
    LOWER_IS_BETTER,
    METRICS,
    NEED_PROBABILITIES,
    PER_CLASS_METRICS,
    RANKING_METRICS,
    SPLITS,
    UNBOUNDED,
    BudgetName,
    Direction,
    Fraction,
    MetricName,
    Name,
    Section,
    Sha256,
    Split,
    lower_is_better,
)
from playbook.spec.sign_off import SignOff
from playbook.spec.target import Limit, Owners, Target
from playbook.spec.task import TaskSpec

__all__ = [
    "BUDGETS",
    "LOWER_IS_BETTER",
    "METRICS",
    "NEED_PROBABILITIES",
    "PER_CLASS_METRICS",
    "RANKING_METRICS",
    "SPLITS",
    "UNBOUNDED",
    "Accumulated",
    "Adaptation",
    "AskAPerson",
    "BakeOff",
    "Base",
    "Budget",
    "BudgetName",
    "Columns",
    "Controls",
    "Data",
    "DecisionAnswers",
    "Direction",
    "DriftTrigger",
    "Evaluation",
    "Fraction",
    "Gate",
    "Keep",
    "Labels",
    "Limit",
    "MetricName",
    "Monitoring",
    "Name",
    "Owners",
    "Package",
    "Paraphrases",
    "Prices",
    "Production",
    "Redaction",
    "Refresh",
    "RegressionBudget",
    "Retraining",
    "Section",
    "Serving",
    "Sha256",
    "SignOff",
    "Source",
    "Split",
    "Splits",
    "Target",
    "TaskSpec",
    "lower_is_better",
]
