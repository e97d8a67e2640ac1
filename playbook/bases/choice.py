"""The rule by which a base is chosen, applied and put into words (2.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from playbook.artifacts import Score
from playbook.authority import explains
from playbook.spec import TaskSpec
from playbook.statistics.answers import Answers
from playbook.statistics.metric import TOLERANCE, PairedDifference, target_metric

RELEVANCE = ("general", "related", "same_domain")  # each closer than the one before
CLOSE_WORDS = 1.05  # tokens per word that differ by no larger factor are alike
CLOSE_UNKNOWN = 0.01  # shares of unknown tokens that differ by no more are alike


@dataclass(frozen=True)
class Standing:
    """What the rule looks at: a candidate's place in the task file and its figures and answers."""

    place: int
    name: str
    score: Score
    answers: Answers  # to the validation slice
    relevance: str  # as claimed with a reason; else general
    tokens_per_word: float
    unknown_share: float  # of tokens
    latency_ms: float  # quickest call with one text: other work on the machine shows least in it


@dataclass(frozen=True)
class Choice:
    """Places of the task file in the order of the rule, the chosen one first, and why it is first."""

    order: tuple[int, ...]
    why: str


def counted(relevance: str, reason: str) -> str:
    """The relevance that counts: as claimed, where its reason is more than a word or two; else general."""
    return relevance if explains(reason) else "general"


def rule_text(spec: TaskSpec) -> str:
    """The rule in words."""
    return (
        "Out before it is scored: a candidate whose licence, modality or size the task does not allow. Then the best "
        f"frozen-probe score wins ({spec.target.label} on the same validation rows). Any candidate within "
        f"{spec.bake_off.close_call:g} paired standard errors of it is a close call, which goes to the one whose "
        "vocabulary was measured to be closer to the texts (tokens per word, unknown tokens); of those that are alike "
        "in this, to the more relevant pretraining that a reason is given for (same_domain, related, general), then "
        "to fewer tokens per word, then to the faster (quickest call with one text), then to the one named first."
    )


def choose(spec: TaskSpec, truth: np.ndarray, standings: Sequence[Standing], refused: int = 0) -> Choice:
    """Apply the rule again and again until every candidate has its rank.

    Args:
        spec: the task.
        truth: class numbers of the validation slice, shape (rows,).
        standings: at least one candidate, in the order of the task file.
        refused: how many candidates were out before they were scored.
    """
    left, order, why = list(standings), [], ""
    while left:
        winner, reason = _first(spec, truth, left)
        why = why or reason
        order.append(winner.place)
        left.remove(winner)
    if len(standings) == 1:
        (only,) = standings
        alone = "the only base of the task file" if not refused else "the only candidate that the task allows"
        why = f"{only.name} is {alone}; as a frozen feature extractor it reaches {_written(only.score)}."
    return Choice(tuple(order), why)


def _first(spec: TaskSpec, truth: np.ndarray, standings: Sequence[Standing]) -> tuple[Standing, str]:
    sign = target_metric(spec).sign
    best = max(standings, key=lambda s: (sign * s.score.value, -s.place))
    ahead = {s.place: _ahead(spec, truth, best, s) for s in standings if s is not best}
    limit = spec.bake_off.close_call
    close = [
        s for s in standings if s is best or ahead[s.place].delta <= limit * ahead[s.place].standard_error + TOLERANCE
    ]
    winner = min(_nearest(close), key=_preference)
    others = sorted((s for s in standings if s is not winner), key=lambda s: -sign * s.score.value)
    if not others:
        return winner, ""
    if len(close) == 1:
        text = f"{best.name} has the best probe score, {_written(best.score)}; {others[0].name} follows with "
        behind = _behind(others[0], ahead[others[0].place])
        return winner, f"{text}{behind}, which is not a close call (up to {limit:g})."
    rival = best if winner is not best else min(_nearest([s for s in close if s is not best]), key=_preference)
    second = winner if winner is not best else rival
    text = f"{best.name} has the best probe score, {_written(best.score)}, but {second.name} with "
    text += f"{_behind(second, ahead[second.place])} makes it a close call (up to {limit:g})"
    return winner, f"{text}. It goes to {winner.name}: {_because(winner, rival)}."


def _nearest(standings: Sequence[Standing]) -> list[Standing]:
    """Those whose vocabulary fits the texts as well as the best one's: what was measured comes before claims."""
    words = min(one.tokens_per_word for one in standings)
    unknown = min(one.unknown_share for one in standings)
    near = [
        one
        for one in standings
        if one.tokens_per_word <= CLOSE_WORDS * words and one.unknown_share <= unknown + CLOSE_UNKNOWN
    ]
    return near or [min(standings, key=lambda one: (one.unknown_share, one.tokens_per_word))]


def _preference(standing: Standing) -> tuple[int, float, float, int]:
    return (-_relevance(standing), standing.tokens_per_word, standing.latency_ms, standing.place)


def _relevance(standing: Standing) -> int:
    return RELEVANCE.index(standing.relevance)


def _because(winner: Standing, rival: Standing) -> str:
    """The first criterion that tells them apart, with both figures."""
    if rival not in _nearest([winner, rival]):
        words = f"{winner.tokens_per_word:.3f} tokens per word against {rival.tokens_per_word:.3f}"
        unknown = f"{winner.unknown_share:.1%} unknown against {rival.unknown_share:.1%}"
        return f"its vocabulary was measured to be closer to the texts ({words}, {unknown})"
    if _relevance(winner) != _relevance(rival):
        return f"its pretraining is more relevant ({winner.relevance} against {rival.relevance})"
    if winner.tokens_per_word != rival.tokens_per_word:
        words = f"{winner.tokens_per_word:.3f} against {rival.tokens_per_word:.3f}"
        return f"equally relevant, it needs fewer tokens per word ({words})"
    if winner.latency_ms != rival.latency_ms:
        times = f"{winner.latency_ms:.2f} ms against {rival.latency_ms:.2f} ms, quickest call"
        return f"equally relevant and with as many tokens per word, it is faster ({times})"
    return "they are alike in everything, and it is named first"


def _ahead(spec: TaskSpec, truth: np.ndarray, best: Standing, other: Standing) -> PairedDifference:
    """How much better `best` is than `other` on the same rows."""
    return target_metric(spec).difference(truth, other.answers, best.answers)


def _written(score: Score) -> str:
    return f"{score.metric} {score.value:.4f} ({score.low:.4f} to {score.high:.4f}, {score.n} rows)"


def _behind(other: Standing, ahead: PairedDifference) -> str:
    if ahead.delta <= TOLERANCE:
        return f"{other.score.value:.4f} (the same)"
    errors = f"{ahead.delta / ahead.standard_error:.2f}" if ahead.standard_error > 0 else "infinitely many"
    return f"{other.score.value:.4f} ({errors} paired standard errors behind)"
