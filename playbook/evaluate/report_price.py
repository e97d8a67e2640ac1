"""What the report says of the price: the estimate made before beside what was measured."""

from __future__ import annotations

from typing import NamedTuple

from playbook.artifacts import Decision, Evaluation, PathCost
from playbook.evaluate import wording
from playbook.evaluate.report_content import ReportInputs, opened, shown_name
from playbook.evaluate.speed import HOUR, cost_per_1000
from playbook.spec import TaskSpec

NOT_MEASURED = "not measured"
NOT_ESTIMATED = "not estimated"


class PriceRow(NamedTuple):
    """One kind of cost, as the page shows it."""

    what: str
    estimated: str
    actual: str


def priced(spec: TaskSpec, evaluation: Evaluation) -> Evaluation:
    """An evaluation with its measured seconds at the task file's prices of now; nothing is measured again."""
    prices = spec.prices
    speed = tuple(
        found.model_copy(update={"cost_per_1000": cost_per_1000(prices, found.latency[0]), "currency": prices.currency})
        for found in evaluation.speed
    )
    cost = evaluation.cost
    if cost is not None:
        hour = prices.device_hour / HOUR
        money = {"estimated_money": cost.estimated_seconds * hour, "actual_money": cost.actual_seconds * hour}
        cost = cost.model_copy(update={**money, "currency": prices.currency})
    return evaluation.model_copy(update={"speed": speed, "cost": cost})


def path_cost(decision: Decision | None) -> PathCost | None:
    """The estimate of the path that was taken, where there is one."""
    if decision is None:
        return None
    return next((cost for cost in decision.costs if cost.path == decision.path), None)


def price_rows(context: ReportInputs) -> tuple[PriceRow, ...]:
    """Device time, its money, work and labels, and 1,000 answers: estimated before beside measured."""
    evaluation = opened(context)
    if evaluation is None:
        return ()
    rows, cost, path = [], evaluation.cost, path_cost(context.decision)
    if cost is not None:
        took = (wording.duration(cost.estimated_seconds), wording.duration(cost.actual_seconds))
        paid = (wording.money(cost.estimated_money, cost.currency), wording.money(cost.actual_money, cost.currency))
        rows += [PriceRow("device time of all training", *took), PriceRow("money, device time only", *paid)]
    if path is not None and context.decision is not None:
        whole = wording.money(path.money, context.decision.currency)
        rows.append(PriceRow("money, with work and labels", whole, NOT_MEASURED))
    shown = shown_name(evaluation)
    speed = next((found for found in evaluation.speed if found.model == shown), None)
    if path is not None or speed is not None:
        currency = context.decision.currency if context.decision is not None else ""
        told = wording.money(path.inference_per_1000, currency) if path is not None else NOT_ESTIMATED
        found = wording.money(speed.cost_per_1000, speed.currency) if speed is not None else NOT_MEASURED
        rows.append(PriceRow("1,000 answers", told, found))
    return tuple(rows)
