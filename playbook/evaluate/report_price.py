"""What the report says of the price: the estimate made before beside what was measured."""

from __future__ import annotations

from typing import NamedTuple

from playbook.artifacts import Decision, Evaluation, PathCost
from playbook.evaluate import wording
from playbook.evaluate.report_content import ReportInputs, opened, shown_name
from playbook.evaluate.speed import HOUR, cost_per_1000
from playbook.spec import Prices, TaskSpec

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
        money = {
            "estimated_money": device_money(prices, cost.estimated_seconds),
            "actual_money": device_money(prices, cost.actual_seconds),
        }
        cost = cost.model_copy(update={**money, "currency": prices.currency})
    return evaluation.model_copy(update={"speed": speed, "cost": cost})


def device_money(prices: Prices, seconds: float) -> float | None:
    """Money for seconds of the training device; None where its hour has no price."""
    return None if prices.device_hour is None else seconds * prices.device_hour / HOUR


def path_cost(decision: Decision | None) -> PathCost | None:
    """The estimate of the path that was taken, where there is one."""
    if decision is None:
        return None
    return next((cost for cost in decision.costs if cost.path == decision.path), None)


def without(path: PathCost) -> str:
    """What an estimate leaves out, because the task file gives no price for it; where nothing has one, nothing more."""
    return f", without {', '.join(path.unpriced)}" if path.unpriced and path.money is not None else ""


def price_rows(context: ReportInputs) -> tuple[PriceRow, ...]:
    """Device time, its money, work and labels, and 1,000 answers: estimated before beside measured."""
    evaluation = opened(context)
    if evaluation is None:
        return ()
    rows, cost, path = [], evaluation.cost, path_cost(context.decision)
    if cost is not None:
        estimated = wording.duration_around(cost.estimated_seconds, cost.estimated_interval)
        took = (estimated, wording.duration(cost.actual_seconds))
        paid = (wording.money(cost.estimated_money, cost.currency), wording.money(cost.actual_money, cost.currency))
        rows += [PriceRow("device time of all training", *took), PriceRow("money, device time only", *paid)]
    if path is not None and context.decision is not None:
        whole = wording.money_around(path.money, path.money_interval, context.decision.currency)
        rows.append(PriceRow("money, with work and labels", f"{whole}{without(path)}", NOT_MEASURED))
    shown = shown_name(evaluation)
    speed = next((found for found in evaluation.speed if found.model == shown), None)
    if path is not None or speed is not None:
        currency = context.decision.currency if context.decision is not None else ""
        told = wording.money(path.inference_per_1000, currency) if path is not None else NOT_ESTIMATED
        found = wording.money(speed.cost_per_1000, speed.currency) if speed is not None else NOT_MEASURED
        rows.append(PriceRow("1,000 answers", told, found))
    return tuple(rows)
