"""How figures are written in verdicts and in the report."""

from __future__ import annotations

from playbook.artifacts import Score
from playbook.spec import Limit


def percent(value: float, digits: int = 1) -> str:
    """A fraction as per cent, for example `91.2 %`."""
    return f"{100 * value:.{digits}f} %"


def points(value: float, digits: int = 1) -> str:
    """A difference of fractions in percentage points, with its sign, for example `+2.3 points`."""
    return f"{signed(value, digits)} points"


def signed(value: float, digits: int = 1) -> str:
    """As `points`, without the unit; zero has a plus."""
    return f"{round(100 * value, digits) + 0.0:+.{digits}f}".replace("-", "−")


def interval(low: float, high: float) -> str:
    """An interval of differences in points, for example `+0.4 to +3.1`, never rounding an end to zero."""
    digits = next((d for d in (1, 2, 3) if all(not end or round(100 * end, d) for end in (low, high))), 1)
    return f"{signed(low, digits)} to {signed(high, digits)}"


def beside(value: float, limit: float) -> str:
    """A difference in points with as many digits as it takes to tell it from a limit, unless they are equal."""
    equal = abs(value - limit) < 1e-9
    digits = 1 if equal else next((d for d in range(1, 5) if signed(value, d) != signed(limit, d)), 1)
    return points(value, digits)


def asked(limit: float) -> str:
    """A limit as it was written, without digits that nobody wrote, for example `85 %`."""
    return f"{round(100 * limit, 6):g} %"


def margin(value: float) -> str:
    """A margin as it was written, for example `2 points`."""
    written = f"{round(100 * value, 6):g}"
    return f"{written} point{'' if written == '1' else 's'}"


def against(value: float, limit: float) -> str:
    """A value beside its limit, with as many digits as it takes to tell them apart."""
    digits = next((d for d in range(1, 5) if percent(value, d) != percent(limit, d)), 1)
    short = limit - value
    tail = f", {100 * short:.{digits}f} points short" if short > 0 else ""
    return f"{percent(value, digits)} against {asked(limit)} asked{tail}"


def misses(limits: tuple[Limit, ...], scores: dict[str, Score]) -> str:
    """Every missed limit with how far it is missed, separated by semicolons."""
    return "; ".join(f"{limit.label} {against(scores[limit.label].value, limit.at_least)}" for limit in limits)


def listing(names: list[str], most: int = 3) -> str:
    """Names as prose: `a, b and 4 more`."""
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most} more"
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def size(count: int, noun: str = "row") -> str:
    """A count with its noun: `1 row`, `3,080 rows`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
