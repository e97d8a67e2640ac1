"""Which classes the labelling guideline defines, and for which it names edge cases (3.2).

The guideline is Markdown. Names are compared without case, and `_`, `-` and blanks are alike. What holds a place for a
text (TODO, TBD, a single character) or only repeats the class's name defines nothing.

A class is defined where the guideline has, outside its edge cases, one of
- a heading that is the class's name, with text below it or below its subheadings; of two such headings above a text
  the nearest counts;
- a line that begins (after a list mark) with the name in bold or as code, followed by more text;
- a table row whose first cell is the name, with text in another cell.

A class has edge cases where one of these holds:
- the section under its own heading mentions "edge case" in a heading, a list item or a paragraph;
- a section whose heading mentions "edge case" names the class in bold, as code, or as a whole table cell.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

from playbook.artifacts import Guideline
from playbook.data.definitions import vague
from playbook.errors import DataError
from playbook.names import normal_form

_HEADING = re.compile(r"^\s{0,3}(#{1,6})\s+(.*?)\s*#*\s*$")
_MARKED = re.compile(r"\*\*(.+?)\*\*|__(.+?)__|`+(.+?)`+")
_LIST_MARK = re.compile(r"^\s*(?:[-*+]|\d+[.)])\s+")
_FENCE = re.compile(r"^\s*(```|~~~)")
_RULE_OF_TABLE = re.compile(r"^[\s|:-]+$")
_EDGE = re.compile(r"\bedge[\s-]cases?\b", re.IGNORECASE)


@dataclass(frozen=True)
class _Line:
    """A line of text under the headings that it stands below, the nearest last; `text` is empty for a heading."""

    headings: tuple[str, ...]
    text: str


def read_guideline(path: Path, labels: Sequence[str]) -> Guideline:
    """What a guideline file says of each class.

    Raises:
        DataError: the file is missing or not UTF-8.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; check data.labels.guideline in the task file") from None
    except (UnicodeDecodeError, OSError) as error:
        raise DataError(f"{path}: expected Markdown in UTF-8, found {type(error).__name__}; save it as UTF-8") from None
    return judge_guideline(text, labels)


def judge_guideline(text: str, labels: Sequence[str]) -> Guideline:
    """Which of `labels` a Markdown text defines and gives edge cases for, by the rule above."""
    lines = list(_lines(text))
    known = {_key(label) for label in labels}
    defined = {name for line in lines for name in _defines(line, known)}
    edged = {name for line in lines for name in _gives_edge_case(line)}
    return Guideline(
        defined=tuple(label for label in labels if _key(label) in defined),
        with_edge_cases=tuple(label for label in labels if _key(label) in edged),
        missing=tuple(label for label in labels if _key(label) not in defined),
    )


def no_guideline(labels: Sequence[str]) -> Guideline:
    """What there is to say where no guideline is named: no class is defined."""
    return Guideline(defined=(), with_edge_cases=(), missing=tuple(labels))


def _lines(text: str) -> Iterator[_Line]:
    """Lines of text outside code blocks, each with its headings; a heading gives an empty line of its own."""
    headings: list[tuple[int, str]] = []
    fenced = False
    for raw in text.splitlines():
        if _FENCE.match(raw):
            fenced = not fenced
        heading = None if fenced else _HEADING.match(raw)
        if heading:
            level = len(heading[1])
            headings = [*((depth, name) for depth, name in headings if depth < level), (level, heading[2])]
        if heading or (raw.strip() and not fenced and not _FENCE.match(raw)):
            yield _Line(tuple(name for _, name in headings), "" if heading else raw.strip())


def _key(name: str) -> str:
    bare = _MARKED.sub(lambda match: next(filter(None, match.groups())), normal_form(name))
    return " ".join(re.sub(r"[\s_-]+", " ", bare).split()).casefold().strip(" :.")


def _about_edges(line: _Line) -> bool:
    return any(_EDGE.search(heading) for heading in line.headings)


def _defines(line: _Line, known: Set[str]) -> Iterator[str]:
    if _about_edges(line) or not line.text:
        return
    above = (_key(heading) for heading in reversed(line.headings))
    nearest = itertools.islice((name for name in above if name in known), 1)
    yield from (name for name in nearest if not vague(name, _LIST_MARK.sub("", line.text)))
    cells = _cells(line.text)
    if len(cells) > 1 and any(cell and not vague(cells[0], cell) for cell in cells[1:]):
        yield _key(cells[0])
    item = _LIST_MARK.sub("", line.text)
    term = _MARKED.match(item)
    if term and re.search(r"\w", item[term.end() :]) and not vague(_key(term[0]), item[term.end() :]):
        yield _key(term[0])


def _gives_edge_case(line: _Line) -> Iterator[str]:
    if not line.text:
        return
    if _EDGE.search(line.text) or _about_edges(line):
        yield from map(_key, line.headings)
    if _about_edges(line):
        yield from map(_key, _cells(line.text))
        yield from (_key(match[0]) for match in _MARKED.finditer(line.text))


def _cells(text: str) -> list[str]:
    if "|" not in text or _RULE_OF_TABLE.match(text):
        return []
    return [cell.strip() for cell in text.strip("|").split("|")]
