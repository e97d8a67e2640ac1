"""The task file: every field that a team can write, with its meaning, its limits and its default.

Files are read by `playbook.taskfile.load_task`, which reports all faults together. Code is never named in a task file:
where there is a choice, it is one word of a closed list.
"""

from playbook.spec.adaptation import Adaptation, Controls, Keep
from playbook.spec.bases import BakeOff, Base, Budget
from playbook.spec.data import Columns, Data, Gate, Labels, Production, Source, Splits
from playbook.spec.decision import DecisionAnswers, Prices
from playbook.spec.evaluation import Evaluation, RegressionBudget
from playbook.spec.package import Package
from playbook.spec.section import PER_CLASS_METRICS, SPLITS, Fraction, MetricName, Section, Sha256, Split
from playbook.spec.sign_off import SignOff
from playbook.spec.target import Limit, Owners, Target
from playbook.spec.task import TaskSpec

__all__ = [
    "PER_CLASS_METRICS",
    "SPLITS",
    "Adaptation",
    "BakeOff",
    "Base",
    "Budget",
    "Columns",
    "Controls",
    "Data",
    "DecisionAnswers",
    "Evaluation",
    "Fraction",
    "Gate",
    "Keep",
    "Labels",
    "Limit",
    "MetricName",
    "Owners",
    "Package",
    "Prices",
    "Production",
    "RegressionBudget",
    "Section",
    "Sha256",
    "SignOff",
    "Source",
    "Split",
    "Splits",
    "Target",
    "TaskSpec",
]
