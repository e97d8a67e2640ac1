"""The decision log as a page and as lines for the terminal (1.9).

The page is self-contained: no script, no font, no picture from elsewhere, and its content security policy forbids them.
Everything in an entry is escaped. The same entries give the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from playbook.decide.log import Entry

KIND_WORDS = {"sign_off": "sign-off", "ship": "what ships", "gate": "data gate", "lost_log": "lost log"}
SHORT = 12  # digits of a hash that are shown
HASH_DIGITS = 32  # texts of hexadecimal digits from this length on are shown as code


def render_log_page(task: str, entries: Sequence[Entry]) -> str:
    """The whole log, oldest entry first, as HTML text; `entries` come from `DecisionLog.entries`, so are verified."""
    environment = Environment(
        loader=PackageLoader("playbook", "decide/templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"words": kind_words, "figure": _figure, "moment": _moment}
    environment.tests |= {"digits_of_a_hash": _is_hash, "shown_as_points": _as_points}
    return environment.get_template("log.html.j2").render(
        task=task, entries=entries, short=SHORT, kinds=_counts(entries)
    )


def log_text(entries: Sequence[Entry]) -> str:
    """The log for a terminal: two lines per entry and one per input; control characters are replaced."""
    if not entries:
        return "No decision is on record yet."
    lines = []
    for entry in entries:
        about = f" [{_plain(entry.key)}]" if entry.key not in ("", entry.kind) else ""
        lines.append(f"{entry.index:>4}  {_moment(entry.time)}  {kind_words(entry.kind)}{about}: {_plain(entry.title)}")
        lines.append(f"      by {_plain(entry.by)}, {entry.sha256[:SHORT]}")
        for part in (entry.inputs, entry.body):
            lines += [f"      {_plain(name)}: {_plain(_figure(value))}" for name, value in part.items()]
    lines.append(f"{len(entries)} decision{'' if len(entries) == 1 else 's'}, chain verified.")
    return "\n".join(lines)


def kind_words(kind: str) -> str:
    """A kind of entry as it is read."""
    return KIND_WORDS.get(kind, kind.replace("_", " "))


def _counts(entries: Sequence[Entry]) -> dict[str, int]:
    kinds = [entry.kind for entry in entries]
    return {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)}


def _figure(value: Any) -> str:
    """A JSON value in one line: numbers with four significant digits, hashes cut, mappings with colons."""
    if value is None or value in ("", [], {}):
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        return (" | " if any(isinstance(item, dict) for item in value) else ", ").join(map(_figure, value))
    if isinstance(value, dict):
        return "; ".join(f"{name}: {_figure(item)}" for name, item in value.items())
    return str(value)[:SHORT] if _is_hash(value) else str(value)


def _moment(time: str) -> str:
    """ISO time in UTC as it is read, for example `2025-03-01 14:05 UTC`."""
    return f"{time[:10]} {time[11:16]} UTC"


def _is_hash(value: Any) -> bool:
    return isinstance(value, str) and len(value) >= HASH_DIGITS and set(value) <= set("0123456789abcdef")


def _as_points(value: Any) -> bool:
    """Whether a list is shown one item below the other: mappings, or texts of several words."""
    return isinstance(value, list) and any(isinstance(item, dict) or " " in str(item) for item in value)


def _plain(text: str) -> str:
    """One printable line: a title may hold what a terminal would obey."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in " ".join(text.split()))
