"""The bake-off as a Markdown table; names and licences come from outside and are escaped."""

from __future__ import annotations

from collections.abc import Sequence

from playbook.artifacts import BaseCandidate, BaseSelection
from playbook.data.page import escaped

HEAD = (
    "base", "verdict", "probe score", "over resamples", "LogME", "tokens per word", "unknown tokens", "RankMe",
    "p50 / p95 of 1, ms", "p50 / p95 of 32, ms", "memory, MiB", "disk, MiB", "parameters, million", "licence",
    "pretrained on", "relevance",
)  # fmt: skip
NONE = "-"


def bake_off_table(selection: BaseSelection) -> str:
    """Every candidate in the order of the task file; one that was out before its score was seen has none."""
    rows = [HEAD, ["---"] * len(HEAD)]
    rows += [_row(selection, place, candidate) for place, candidate in enumerate(selection.candidates)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in rows)


def _row(selection: BaseSelection, place: int, one: BaseCandidate) -> Sequence[str]:
    score, closeness = one.score, one.closeness
    times = {latency.batch: f"{latency.p50_ms:.2f} / {latency.p95_ms:.2f}" for latency in one.latency}
    return (
        escaped(one.name),
        _verdict(selection, place, one),
        NONE if score is None else f"{score.value:.4f} ({score.low:.4f} to {score.high:.4f})",
        NONE if score is None else f"± {one.spread:.4f}",
        NONE if one.transferability is None else f"{one.transferability:.4f}",
        NONE if closeness is None else f"{closeness.tokens_per_word:.3f}",
        NONE if closeness is None else f"{100 * closeness.unknown_share:.2f} %",
        NONE if closeness is None else f"{closeness.features:.1f}",
        times.get(1, NONE),
        times.get(32, NONE),
        f"{one.memory_mb:.1f}" if one.memory_mb else NONE,
        f"{one.disk_mb:.1f}" if one.disk_mb else NONE,
        f"{one.parameters / 1e6:.1f}" if one.parameters else NONE,
        escaped(one.licence),
        escaped(one.pretrained_on),
        escaped(one.relevance if not one.relevance_reason else f"{one.relevance}: {one.relevance_reason}"),
    )


def _verdict(selection: BaseSelection, place: int, one: BaseCandidate) -> str:
    if one.out:
        return f"out: {escaped(one.out)}"
    return "chosen" if place == selection.chosen else "runner-up" if place == selection.runner_up else "not chosen"


def points_of(findings: Sequence[str]) -> str:
    """Findings as a Markdown list."""
    return "\n".join(f"- {escaped(one)}" for one in findings)
