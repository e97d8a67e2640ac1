"""The whole task file."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field, field_validator, model_validator

from playbook.authority import no_reason, not_allowed
from playbook.spec.adaptation import Adaptation
from playbook.spec.bases import BakeOff, Base
from playbook.spec.constant_answers import constant_answer, remedy
from playbook.spec.data import Data
from playbook.spec.decision import DecisionAnswers, Prices
from playbook.spec.drift_rates import TOLERANCE, finer, resamples_for, shows, sure_p_value
from playbook.spec.evaluation import Evaluation
from playbook.spec.package import Package
from playbook.spec.production import MOST_RATE, MOST_RESAMPLES, Monitoring, Retraining, Serving
from playbook.spec.section import BUDGETS, NEED_PROBABILITIES, PER_CLASS_METRICS, UNBOUNDED, Section
from playbook.spec.sign_off import SignOff
from playbook.spec.target import Owners, Target
from playbook.spec.untouched import require_question
from playbook.statistics.daily_looks import rate_of_a_day, rate_of_all_days


class TaskSpec(Section):
    """One task: a sentence, a number, data and a base."""

    task: str = Field(
        pattern=r"^[a-z][a-z0-9_]{0,62}$", description="Name: lower case letters, digits and underscores."
    )
    question: str = Field(min_length=10, description="The task in one sentence (1.1).")
    modality: Literal["text"] = "text"
    target: Target
    owners: Owners
    data: Data
    decision: DecisionAnswers = DecisionAnswers()
    prices: Prices = Prices()
    base: Base
    bake_off: BakeOff = BakeOff()
    adaptation: Adaptation = Adaptation()
    evaluation: Evaluation = Evaluation()
    sign_off: SignOff = SignOff()
    package: Package = Package()
    serving: Serving = Serving()
    monitoring: Monitoring = Monitoring()
    retraining: Retraining = Retraining()

    @field_validator("question")
    @classmethod
    def _asked(cls, value: str) -> str:
        return require_question(value)

    @model_validator(mode="after")
    def _classes_known(self) -> TaskSpec:
        for limit in self.target.all_limits:
            if limit.of_class is not None and limit.of_class not in self.data.classes:
                known = list(self.data.classes)
                raise ValueError(f"target: of_class {limit.of_class!r} is not in data.classes {known}")
        always = constant_answer(self.target.all_limits, tuple(self.data.classes))
        if always is not None:
            raise ValueError(f"target: {remedy(self.target.all_limits, always)}")
        self._threshold_has_a_class()
        strange = sorted(set(self.evaluation.slices) - set(self.data.columns.keep))
        if strange:
            raise ValueError(f"evaluation.slices: {strange} is not in data.columns.keep {list(self.data.columns.keep)}")
        return self

    def _threshold_has_a_class(self) -> None:
        """`playbook.statistics.threshold_class` says which one."""
        asked, metrics = self.target.operating_point == "threshold", {limit.metric for limit in self.target.all_limits}
        if not asked or metrics & set(PER_CLASS_METRICS):
            return
        if len(self.data.classes) > 2:
            raise ValueError(
                "target.operating_point: threshold needs a limit on one class "
                f"({', '.join(PER_CLASS_METRICS)} with of_class), found no such limit; add one, or say argmax"
            )
        if metrics <= {*NEED_PROBABILITIES, *BUDGETS}:
            raise ValueError(
                "target.operating_point: threshold needs a limit that depends on which class is answered (accuracy, "
                f"for example), and there are only {', '.join(sorted(metrics))}; add one, or say argmax"
            )

    @model_validator(mode="after")
    def _prompting_in_the_metric(self) -> TaskSpec:
        tried, metric = self.decision.prompting_reaches, self.target.metric
        if tried is not None and (tried < 0 or (tried > 1 and metric not in UNBOUNDED)):
            most = "" if metric in UNBOUNDED else " and at most 1 (0.93, not 93)"
            raise ValueError(
                f"decision.prompting_reaches: expected a value of {metric}, the target's metric: at least 0{most}; "
                f"found {tried:g}"
            )
        return self

    @model_validator(mode="after")
    def _override_decided(self) -> TaskSpec:
        override = self.decision.override
        if override is not None:
            faults = [f"by: {text}" for text in not_allowed(self.owners, "override", override.by)]
            faults += no_reason(override.because, "because")
            if faults:
                raise ValueError(f"decision.override: {'; '.join(faults)}")
        return self

    @model_validator(mode="after")
    def _drift_can_fire(self) -> TaskSpec:
        rule, drawn, rate = self.retraining.drift, self.monitoring.resamples, self.retraining.false_alarm_rate
        if rule is None or shows(drawn, rate_of_a_day(rate, rule.alarms, rule.windows)):
            return self
        p_value = rate_of_a_day(rate, rule.alarms, rule.windows)
        wanted, least = resamples_for(p_value), rate_of_all_days(sure_p_value(finer(drawn)), rule.alarms, rule.windows)
        remedies = [f"monitoring.resamples of at least {wanted:,}"] if wanted <= MOST_RESAMPLES else []
        remedies += [f"a rate of at least {math.ceil(1e4 * least - TOLERANCE) / 1e4:g}"] if least <= MOST_RATE else []
        raise ValueError(
            f"retraining.false_alarm_rate: {rate:g} asks {rule.alarms} of {rule.windows} windows for p-values of at "
            f"most {p_value:.2g}, which {drawn:,} monitoring.resamples cannot show in every figure of drift. Expected "
            f"{' or '.join(remedies or ['a larger rate with more monitoring.resamples'])}; `drift: null` does without"
        )

    @property
    def bases(self) -> tuple[Base, ...]:
        """All candidates of the bake-off: `base` first, then the alternatives."""
        return (self.base, *self.bake_off.alternatives)

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names in a fixed order; a label's position here is its number everywhere."""
        return tuple(sorted(self.data.classes))
