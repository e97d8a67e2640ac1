"""How figures are written in verdicts and in the report."""

from __future__ import annotations

from playbook.artifacts import Figure, Path, Score
from playbook.spec import BUDGETS, Direction, Limit


def percent(value: float, digits: int = 1) -> str:
    """A fraction as per cent, for example `91.2 %`."""
    return f"{100 * value:.{digits}f} %"


NOT_PRICED = "not priced"
NATS = ("log_loss",)  # metrics that are not fractions; figures of all others are written as per cent and points


def _in_nats(metric: str) -> bool:
    return metric.partition(" of ")[0] in NATS


def amount(value: float, metric: str, digits: int = 1) -> str:
    """A value of a metric, given by its name or label: `91.2 %`, `0.412` (nats), `48.2 ms`, `91.3 MB`."""
    if _in_nats(metric):
        return f"{value:.{digits + 2}f}"
    if metric == "latency_p95_ms":
        return f"{value:,.{digits}f} ms"
    if metric in ("size_mb", "memory_mb"):
        return f"{value:,.{digits}f} MB"
    return percent(value, digits)


def points(value: float, digits: int = 1, metric: str = "") -> str:
    """A difference of fractions in percentage points, with its sign, for example `+2.3 points`; of log loss in nats."""
    written = signed(value, digits, metric)
    if _in_nats(metric):
        return f"{written} nats"
    return f"{written} point{'' if written[1:] == '1' else 's'}"


def signed(value: float, digits: int = 1, metric: str = "") -> str:
    """As `points`, without the unit; zero has a plus."""
    if _in_nats(metric):
        return f"{round(value, digits + 2) + 0.0:+.{digits + 2}f}".replace("-", "−")
    return f"{round(100 * value, digits) + 0.0:+.{digits}f}".replace("-", "−")


def interval(low: float, high: float, metric: str = "") -> str:
    """An interval of differences in points, for example `+0.4 to +3.1`, never rounding an end to zero."""
    scale = 1 if _in_nats(metric) else 100
    further = 2 if _in_nats(metric) else 0
    digits = next((d for d in (1, 2, 3) if all(not end or round(scale * end, d + further) for end in (low, high))), 1)
    return f"{signed(low, digits, metric)} to {signed(high, digits, metric)}"


def beside(value: float, limit: float, metric: str = "") -> str:
    """A difference in points with as many digits as it takes to tell it from a limit, unless they are equal."""
    equal = abs(value - limit) < 1e-9
    differ = (d for d in range(1, 5) if signed(value, d, metric) != signed(limit, d, metric))
    return points(value, 1 if equal else next(differ, 1), metric)


def asked(limit: float) -> str:
    """A fraction as it was written, without digits that nobody wrote, for example `85 %`."""
    return f"{round(100 * limit, 6):g} %"


def per_unit(metric: str) -> int:
    """How many of the unit of a metric's differences one is: 100 points, or 1 nat."""
    return 1 if _in_nats(metric) else 100


def unit(metric: str) -> str:
    """What differences of a metric are counted in."""
    return "nats" if _in_nats(metric) else "points"


def wanted(limit: Limit) -> str:
    """What a limit asks for as it was written: `85 %`, `at most 2 %`, `at most 0.4`, `at most 50 ms`."""
    return requirement(limit.bound, limit.direction, limit.metric)


def requirement(value: float, direction: Direction, metric: str) -> str:
    """As `wanted`, from the number, its side and the metric's name or label."""
    return f"at most {written(value, metric)}" if direction == "at_most" else written(value, metric)


def written(value: float, metric: str) -> str:
    """A number of a metric, given by its name or label, without digits that nobody wrote: `85 %`, `0.4`, `50 ms`."""
    if _in_nats(metric):
        return f"{value:g}"
    unit = {"latency_p95_ms": "ms", "size_mb": "MB", "memory_mb": "MB"}.get(metric)
    return f"{value:g} {unit}" if unit else asked(value)


def margin(value: float, metric: str = "") -> str:
    """A margin as it was written, for example `2 points`, or `0.02 nats` of log loss."""
    if _in_nats(metric):
        return f"{value:g} nats"
    written = f"{round(100 * value, 6):g}"
    return f"{written} point{'' if written == '1' else 's'}"


def against(value: float, limit: Limit) -> str:
    """A value beside its limit, with as many digits as it takes to tell them apart."""
    name, asks = limit.metric, limit.bound
    digits = next((d for d in range(1, 5) if amount(value, name, d) != amount(asks, name, d)), 1)
    short = asks - value if limit.direction == "at_least" else value - asks
    away = "short" if limit.direction == "at_least" else "over"
    fraction = not limit.is_budget and not _in_nats(name)
    gap = f"{100 * short:.{digits}f} points" if fraction else amount(short, name, digits)
    tail = f", {gap} {away}" if short > 0 else ""
    return f"{amount(value, name, digits)} against {wanted(limit)} asked{tail}"


def misses(limits: tuple[Limit, ...], scores: dict[str, Score]) -> str:
    """Every missed limit with how far it is missed, separated by semicolons."""
    return "; ".join(f"{limit.label} {against(scores[limit.label].value, limit)}" for limit in limits)


def listing(names: list[str], most: int = 3) -> str:
    """Names as prose: `a, b and 4 more`."""
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most} more"
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def size(count: int, noun: str = "row") -> str:
    """A count with its noun: `1 row`, `3,080 rows`, `2 entries`."""
    plural = f"{noun[:-1]}ies" if noun.endswith("ry") else f"{noun}s"
    return f"{count:,} {noun if count == 1 else plural}"


MODEL_NAMES = {
    "majority": "most frequent class",
    "tfidf": "TF-IDF with logistic regression",
    "zero_shot": "base without training (zero-shot)",
    "frozen": "frozen base with a fresh head",
    "frozen_baseline": "frozen base with a fresh head",
    "baseline": "frozen base with a fresh head",
    "candidate": "candidate",
    "scratch": "same architecture from random weights",
    "other_base": "runner-up base",
}
PATH_NAMES: dict[Path, str] = {
    "no_model": "no model",
    "prompt_or_retrieve": "prompting or retrieval",
    "fine_tune": "fine-tuning",
    "from_scratch": "training from scratch",
}


def model_name(name: str) -> str:
    """A model of a comparison in words; `seed_14` is the candidate with another seed, other names stay."""
    kind, _, seed = name.rpartition("_")
    if kind == "seed" and seed.isdigit():
        return f"candidate with seed {seed}"
    return MODEL_NAMES.get(name, name)


def score_range(score: Score) -> str:
    """Value and interval of a score, for example `91.2 % (89.0 % to 93.1 %)`."""
    inside = ends(score)
    return f"{of_score(score)} ({inside})" if inside else of_score(score)


def of_score(score: Score) -> str:
    """Value of a score in the unit of its metric."""
    return amount(score.value, score.metric)


def ends(found: Score | Figure) -> str:
    """The interval of a score in the unit of its metric, or why there is none; empty where it was measured once."""
    if isinstance(found, Score) and found.too_few:
        return found.too_few
    metric = found.metric if isinstance(found, Score) else ""
    if metric in BUDGETS:
        return ""
    return f"{amount(found.low, metric)} to {amount(found.high, metric)}"


def difference(figure: Figure, metric: str = "") -> str:
    """A difference with its interval, for example `+2.3 points (+0.4 to +4.2)`; of log loss in nats."""
    return f"{points(figure.value, metric=metric)} ({interval(figure.low, figure.high, metric)})"


def told(figure: Figure) -> str:
    """What the interval of a difference says of it: `ahead`, `behind` or `no difference shown`."""
    return "ahead" if figure.low > 0 else "behind" if figure.high < 0 else "no difference shown"


def money_around(amount: float | None, interval: tuple[float, float] | None, currency: str) -> str:
    """An estimated amount with its interval, where it has one and the two ends differ as they are written."""
    told = money(amount, currency)
    if amount is None or interval is None:
        return told
    low, high = (money(end, currency) for end in interval)
    return told if low == high else f"{told} ({low.removesuffix(f' {currency}')} to {high})"


def duration_around(seconds: float, interval: tuple[float, float] | None) -> str:
    """An estimated time with its interval."""
    return duration(seconds) + (f" ({duration(interval[0])} to {duration(interval[1])})" if interval else "")


def duration(seconds: float) -> str:
    """A time as people say it: `48 s`, `3.4 min`, `2.1 h`; under ten seconds with a tenth."""
    if round(seconds, 1) < 10:
        return f"{seconds:.1f} s"
    if round(seconds) < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def money(amount: float | None, currency: str) -> str:
    """An amount with two digits, more where it is small, for example `0.0042 EUR`; without one, `not priced`."""
    if amount is None:
        return NOT_PRICED
    digits = 2 if amount == 0 or abs(amount) >= 0.1 else 4 if abs(amount) >= 0.0001 else 6
    return f"{amount:,.{digits}f} {currency}"


def milliseconds(value: float) -> str:
    """A latency: `4.2 ms`, `118 ms`."""
    return f"{value:.1f} ms" if value < 100 else f"{value:,.0f} ms"


def short_number(count: int) -> str:
    """A count of parameters: `22.7 million`, `480,000`."""
    return f"{count / 1e6:.1f} million" if count >= 1_000_000 else f"{count:,}"
