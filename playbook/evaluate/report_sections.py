"""Rows of the report's comparisons: models beside each other, bases, transfer, what it cost, which path and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from playbook.artifacts import (
    BaseCandidate,
    BaseSelection,
    Comparison,
    ControlRun,
    Figure,
    Latency,
    Score,
    Speed,
    TransferVerdict,
)
from playbook.evaluate import wording
from playbook.evaluate.report_content import ReportInputs, chosen_rung, opened
from playbook.evaluate.suite_plots import Dot
from playbook.spec import Limit
from playbook.statistics.metric import is_met

ORDER = ("majority", "tfidf", "zero_shot", "frozen", "scratch", "other_base")
SAYS = {
    "helps": "Transfer helps: starting from the pretrained base beats starting from nothing.",
    "does nothing": "Transfer does nothing that could be shown: the same training from nothing does as well.",
    "hurts": "Negative transfer: the pretrained base does worse than starting from nothing.",
    "not measured": "Whether transfer itself helps was not measured.",
}


@dataclass(frozen=True)
class ModelRow:
    """One model of the comparison: its scores on validation and on the test split, and the way to the frozen base."""

    key: str
    name: str
    role: str  # reference, frozen, control, candidate
    validation: Score | None
    test: Score | None
    over_frozen: Figure | None
    seconds: float | None

    def meets(self, limit: Limit) -> bool | None:
        """Whether it meets a limit, on the test split where that is known; None without a score."""
        score = self.test or self.validation
        return None if score is None else is_met(limit, score.value)


def model_comparison(context: ReportInputs) -> list[ModelRow]:
    """All models beside each other: references, frozen baseline, controls, candidate."""
    tested, validated = _tested(context), _validated(context)
    known = {key for key in (*tested, *validated) if not key.startswith("seed_")}  # those have a place of their own
    keys = sorted(known, key=lambda key: (_place(key), key))
    rows = []
    for key in keys:
        found = tested.get(key)
        rows.append(
            ModelRow(
                key=key,
                name=_named(context, key),
                role=_role(key),
                validation=validated.get(key),
                test=found.test if found else None,
                over_frozen=found.over_frozen if found else None,
                seconds=found.seconds if found else None,
            )
        )
    return rows


def _place(key: str) -> int:
    if key == "candidate":
        return len(ORDER) + 1
    return ORDER.index(key) if key in ORDER else len(ORDER)


def _role(key: str) -> str:
    if key in ("majority", "tfidf", "zero_shot"):
        return "reference"
    return key if key in ("frozen", "candidate") else "control"


def _tested(context: ReportInputs) -> dict[str, Comparison]:
    evaluation = opened(context)
    if evaluation is None or evaluation.baseline is None:
        return {}
    found = {"frozen": Comparison(name="frozen", test=evaluation.baseline.scores[evaluation.metric])}
    if evaluation.candidate is not None:
        low, high = evaluation.interval
        found["candidate"] = Comparison(
            name="candidate",
            test=evaluation.candidate.scores[evaluation.metric],
            over_frozen=Figure(value=evaluation.delta, low=low, high=high),
        )
    return found | {comparison.name: comparison for comparison in evaluation.comparisons}


def _validated(context: ReportInputs) -> dict[str, Score]:
    found = dict(context.references.validation) if context.references else {}
    if context.frozen is not None and context.frozen.validation is not None:
        found["frozen"] = context.frozen.validation
    found |= {run.name: run.validation for run in (context.controls.runs if context.controls else ())}
    rung = chosen_rung(context)
    if rung is not None and rung.validation is not None:
        found["candidate"] = rung.validation
    return found


def _named(context: ReportInputs, key: str) -> str:
    name = wording.model_name(key)
    run = next((run for run in (context.controls.runs if context.controls else ()) if run.name == key), None)
    if key == "frozen" and context.frozen is not None and context.frozen.pin is not None:
        return f"{name}, {context.frozen.pin.title}"
    if key == "other_base" and run is not None and run.pin is not None:
        return f"{name}, {run.pin.title}"
    rung = chosen_rung(context)
    if key == "candidate" and rung is not None:
        return f"{name}: {wording.size(rung.unfrozen, 'block')} unfrozen"
    return name


def dots(rows: Sequence[ModelRow]) -> tuple[str, list[Dot]]:
    """Which split the dot plot of a comparison shows, and its rows: the test split where it was opened."""
    if any(row.test for row in rows):
        return "test split", [Dot(row.name, row.test, row.role) for row in rows if row.test]
    return "validation", [Dot(row.name, row.validation, row.role) for row in rows if row.validation]


@dataclass(frozen=True)
class TransferView:
    """The verdict on transfer with what it stands on; `split` says where the differences were measured."""

    transfer: str
    says: str
    text: str
    split: str
    rows: tuple[tuple[str, Figure], ...]
    minutes_per_point: float | None
    controls: tuple[ControlRun, ...]


def transfer_view(context: ReportInputs) -> TransferView | None:
    """The verdict of the test split, else that of validation; None where neither a control nor a verdict is there."""
    evaluation, controls = opened(context), context.controls
    runs = controls.runs if controls else ()
    found = evaluation.transfer if evaluation else TransferVerdict()
    if found.transfer != "not measured":
        rows = transfer_rows(found)
        return TransferView(
            found.transfer, SAYS[found.transfer], found.text, "test split", rows, found.minutes_per_point, runs
        )
    if controls is None or controls.skipped:
        return None
    rows = tuple((wording.model_name(run.name), run.ahead) for run in runs)
    return TransferView(
        controls.transfer, SAYS[controls.transfer], controls.verdict, "validation", rows, None, controls.runs
    )


def transfer_rows(verdict: TransferVerdict) -> tuple[tuple[str, Figure], ...]:
    """What the candidate was compared with, and how far it is ahead, on the test split."""
    rows = (
        ("frozen", verdict.over_frozen),
        ("scratch", verdict.over_scratch),
        ("other_base", verdict.over_other_base),
    )
    return tuple((wording.model_name(name), figure) for name, figure in rows if figure is not None)


@dataclass(frozen=True)
class BaseColumn:
    """One candidate of the bake-off: name, what became of it, and a cell for every property."""

    name: str
    mark: str  # chosen, runner-up, out, or nothing
    cells: tuple[str, ...]


PROPERTIES = (
    "score of the frozen probe",
    "spread over resamples",
    "transferability",
    "relevance",
    "pretrained on",
    "tokens per word",
    "unknown tokens",
    "closeness of features",
    "one text, p50 / p95",
    "32 texts, p50 / p95",
    "memory",
    "on disk",
    "parameters",
    "licence",
    "why it was out",
)


def base_columns(base: BaseSelection) -> tuple[BaseColumn, ...]:
    """The bake-off with a column for every candidate, cells in the order of `PROPERTIES`."""
    return tuple(_base_column(base, at, found) for at, found in enumerate(base.candidates))


def _base_column(base: BaseSelection, at: int, found: BaseCandidate) -> BaseColumn:
    mark = "chosen" if at == base.chosen else "runner-up" if at == base.runner_up else "out" if found.out else ""
    close = found.closeness
    moved = found.transferability
    cells = (
        wording.score_range(found.score) if found.score else "not run",
        f"±{100 * found.spread:.1f} points" if found.score else "",
        f"{moved:.3f} ({found.transferability_method})" if moved is not None else "",
        found.relevance.replace("_", " ") + (f": {found.relevance_reason}" if found.relevance_reason else ""),
        found.pretrained_on,
        f"{close.tokens_per_word:.2f}" if close else "",
        wording.percent(close.unknown_share, 2) if close else "",
        f"{close.features:.3g} ({close.measure})" if close else "",
        _latency(found.latency, 1),
        _latency(found.latency, 32),
        f"{found.memory_mb:,.0f} MB" if found.memory_mb else "",
        f"{found.disk_mb:,.0f} MB" if found.disk_mb else "",
        wording.short_number(found.parameters) if found.parameters else "",
        found.licence,
        found.out,
    )
    return BaseColumn(found.name, mark, cells)


def _latency(latency: Sequence[Latency], batch: int) -> str:
    found = next((one for one in latency if one.batch == batch), None)
    return f"{wording.milliseconds(found.p50_ms)} / {wording.milliseconds(found.p95_ms)}" if found else ""


def base_table(base: BaseSelection) -> list[tuple[str, tuple[str, ...]]]:
    """Properties with the cells of all candidates; a property that nothing is known of is left out."""
    columns = base_columns(base)
    rows = [(name, tuple(column.cells[at] for column in columns)) for at, name in enumerate(PROPERTIES)]
    return [(name, cells) for name, cells in rows if any(cells)]


def speed_rows(speed: Sequence[Speed]) -> list[dict[str, Any]]:
    """Latency of every model and batch size, with the cost per thousand answers beside its first row."""
    return [
        {
            "name": wording.model_name(found.model) if at == 0 else "",
            "batch": latency.batch,
            "p50": wording.milliseconds(latency.p50_ms),
            "p95": wording.milliseconds(latency.p95_ms),
            "p95_ms": latency.p95_ms,
            "per_second": f"{latency.per_second:,.0f}",
            "cost": wording.money(found.cost_per_1000, found.currency) if at == 0 else "",
        }
        for found in speed
        for at, latency in enumerate(found.latency)
    ]
