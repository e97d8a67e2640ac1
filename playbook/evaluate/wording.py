"""How figures are written in verdicts and in the report."""

from __future__ import annotations

from playbook.artifacts import Figure, Path, Score
from playbook.spec import Limit


def percent(value: float, digits: int = 1) -> str:
    """A fraction as per cent, for example `91.2 %`."""
    return f"{100 * value:.{digits}f} %"


def points(value: float, digits: int = 1) -> str:
    """A difference of fractions in percentage points, with its sign, for example `+2.3 points`."""
    written = signed(value, digits)
    return f"{written} point{'' if written[1:] == '1' else 's'}"


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
    return f"{percent(score.value)} ({percent(score.low)} to {percent(score.high)})"


def difference(figure: Figure) -> str:
    """A difference of fractions with its interval, for example `+2.3 points (+0.4 to +4.2)`."""
    return f"{points(figure.value)} ({interval(figure.low, figure.high)})"


def told(figure: Figure) -> str:
    """What the interval of a difference says of it: `ahead`, `behind` or `no difference shown`."""
    return "ahead" if figure.low > 0 else "behind" if figure.high < 0 else "no difference shown"


def duration(seconds: float) -> str:
    """A time as people say it: `48 s`, `3.4 min`, `2.1 h`; under ten seconds with a tenth."""
    if round(seconds, 1) < 10:
        return f"{seconds:.1f} s"
    if round(seconds) < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def money(amount: float, currency: str) -> str:
    """An amount with two digits, more where it is small, for example `0.0042 EUR`."""
    digits = 2 if amount == 0 or abs(amount) >= 0.1 else 4 if abs(amount) >= 0.0001 else 6
    return f"{amount:,.{digits}f} {currency}"


def milliseconds(value: float) -> str:
    """A latency: `4.2 ms`, `118 ms`."""
    return f"{value:.1f} ms" if value < 100 else f"{value:,.0f} ms"


def short_number(count: int) -> str:
    """A count of parameters: `22.7 million`, `480,000`."""
    return f"{count / 1e6:.1f} million" if count >= 1_000_000 else f"{count:,}"
