"""Markdown from text that is not ours: escaped, on one line, without effect on what stands around it."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence

_MARKS = frozenset("\\`*_[]|#!~")
_LEADING = re.compile(r"^(\d+)([.)])(?=\s|$)|^([-+=])(?=[\s=-]|$)")  # would begin a list or underline a heading


def markdown_text(value: object) -> str:
    """Text from outside as literal text in Markdown, HTML or a table cell."""
    plain = html.escape(" ".join(str(value).split()), quote=False)
    marked = "".join(f"\\{letter}" if letter in _MARKS else letter for letter in plain)
    return _LEADING.sub(lambda found: f"{found[1]}\\{found[2]}" if found[1] else f"\\{found[3]}", marked)


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table; every cell is escaped."""
    lines = [tuple(head), tuple("---" for _ in head), *(tuple(markdown_text(cell) for cell in row) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def markdown_list(items: Iterable[object]) -> str:
    """A bulleted list; every item is escaped."""
    return "\n".join(f"- {markdown_text(item)}" for item in items)
