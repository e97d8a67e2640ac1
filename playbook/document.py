"""Reading a team's YAML: all faults together, each with line, field, what was found and what is allowed.

YAML takes some words for something else than text: yes, no, on, off, numbers, dates, and nothing at all. Where a name
or a text is expected, the fault says what YAML made of the word, and to write it in quotes. A name that is written
twice, or in two ways that look alike, is a fault of its own: a parser would keep the last one in silence.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from playbook.errors import TaskFileError
from playbook.names import normal_form

D = TypeVar("D", bound=BaseModel)
Place = tuple[str | int, ...]
FOUND_WIDTH = 60
_TEXT, _MERGE = "tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"
QUOTE = "in quotes"  # ends what is said of a word that YAML takes for something else
SPECIAL = (
    "Write a name or a text in quotes where it has a colon or a # after a blank, or begins with one of "
    "- ? : , [ ] { } # & * ! | > ' \" % @ `"
)
_EXPECTS_TEXT = ("string_type", "literal_error", "enum")  # pydantic's kinds of error


@dataclass
class Document:
    """A parsed file: its content, where every field stands, and what is wrong with its names.

    Attributes:
        content: as Python values; every key is text.
        lines: line number (from 1) of every field.
        scalars: every single value as it was written, with what YAML makes of it.
    """

    content: Any = None
    lines: dict[Place, int] = field(default_factory=dict)
    scalars: dict[Place, tuple[str, str]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)


def load_document(path: Path, kind: type[D], remedy: str) -> D:
    """Read and validate a YAML file of a team; all of its faults come together, each with its line.

    Args:
        path: the file.
        kind: what it must hold.
        remedy: what to do where the file is missing.

    Raises:
        TaskFileError: the file is missing, is no YAML mapping, or has faults.
    """
    if not path.is_file():
        raise TaskFileError(str(path), [f"no such file; {remedy}"])
    try:
        read = parsed(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        byte = f"{error.object[error.start]:#04x}"
        raise TaskFileError(
            str(path), [f"line {line}: expected text in UTF-8, found byte {byte}; save the file as UTF-8"]
        ) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        said = " ".join(str(error).split()).replace(' in "<unicode string>",', ",")
        raise TaskFileError(str(path), [f"not readable as YAML: {said}{_remedy(said)}"]) from None
    if not isinstance(read.content, dict):
        fields = ", ".join([name for name, field in kind.model_fields.items() if field.is_required()][:3])
        raise TaskFileError(str(path), [f"expected a mapping of fields ({fields}, ...); this is not one"])
    try:
        found = kind.model_validate(read.content)
    except ValidationError as error:
        faults = [_fault(item, read) for item in error.errors(include_url=False)]
        raise TaskFileError(str(path), [*read.faults, *faults]) from None
    if read.faults:
        raise TaskFileError(str(path), read.faults)
    return found


def _remedy(said: str) -> str:
    """What to do about a fault of the parser, where a name or a text without quotes is the likely cause."""
    if "'\\t' that cannot start" in said:
        return ". Indent lines by blanks, not by tabs"
    return "" if "single document" in said or "!!" in said else f". {SPECIAL}"


def parsed(text: str) -> Document:
    """Parse YAML with a safe loader; faults of names are listed, and the content is as if they were fixed.

    Raises:
        yaml.YAMLError, ValueError, RecursionError: it is no YAML, or holds what a safe loader refuses.
    """
    loader = yaml.SafeLoader(text)
    node = loader.get_single_node()
    found = Document()
    _look(node, (), found)  # before constructing, which writes merged keys into the nodes
    found.content = None if node is None else loader.construct_document(node)
    return found


def _look(node: yaml.Node | None, place: Place, found: Document) -> None:
    """Note where everything stands, and fix keys that are not text or come twice, with a fault for each."""
    if isinstance(node, yaml.MappingNode):
        node.value = list(_mended(node, place, found))
        for key, value in node.value:
            _look(value, (*place, str(key.value)), found)
    elif isinstance(node, yaml.SequenceNode):
        for position, value in enumerate(node.value):
            found.lines[(*place, position)] = value.start_mark.line + 1
            _look(value, (*place, position), found)
    elif isinstance(node, yaml.ScalarNode) and node.tag != _TEXT:
        found.scalars[place] = (str(node.value), _made_of(node))


def _mended(node: yaml.MappingNode, place: Place, found: Document) -> Iterator[tuple[yaml.Node, yaml.Node]]:
    seen: dict[str, int] = {}
    for key, value in node.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode) or key.tag == _MERGE:
            yield key, value
            continue
        where = f"line {line}, {_dotted((*place, key.value))}"
        if key.tag != _TEXT:
            made = _made_of(key)
            found.faults.append(f"{where}: {_quote(key.value, made)}")
            key.tag = _TEXT
        name = normal_form(key.value)
        if name in seen:
            alike = "" if (*place, key.value) in found.lines else ", in a spelling that looks alike"
            found.faults.append(f"{where}: written twice (in line {seen[name]}, too{alike}); keep one of the two")
            continue
        seen[name] = line
        found.lines[(*place, key.value)] = line
        yield key, value


def _made_of(node: yaml.ScalarNode) -> str:
    """What YAML takes a word for; '' of a tag that no safe loader knows."""
    try:
        made = yaml.constructor.SafeConstructor().construct_object(node)  # the loader's own would keep what it made
    except (yaml.YAMLError, ValueError):
        return ""
    if made is None:
        return "nothing"
    if isinstance(made, bool):
        return "true" if made else "false"
    kind = "the date" if isinstance(made, date) else "the number" if isinstance(made, int | float) else ""
    return f"{kind} {made}".strip()


def _quote(written: str, made: str) -> str:
    if not written:
        return "there is no name before the colon; write one"
    shown = written if len(written) <= FOUND_WIDTH else written[:FOUND_WIDTH] + "…"
    return f"YAML reads this as {made or 'something else than text'}; write '{shown}' {QUOTE}"


def _dotted(place: Place) -> str:
    return ".".join(str(part) for part in place) or "(whole file)"


def _fault(item: Any, read: Document) -> str:
    place: Place = ()
    for at, part in enumerate(item["loc"], 1):  # a kind that pydantic chose among several is not a field of the file
        if at == len(item["loc"]) or (*place, part) in read.lines or isinstance(part, int):
            place = (*place, part)
    known = next((read.lines[place[:end]] for end in range(len(place), 0, -1) if place[:end] in read.lines), 1)
    return f"line {known}, {_dotted(place)}: {_allowed(item, read.scalars.get(place))}"


def _allowed(item: Any, scalar: tuple[str, str] | None) -> str:
    try:
        found = json.dumps(item["input"], default=str, ensure_ascii=False)
    except (TypeError, ValueError):  # keys that are not text
        found = repr(item["input"])
    found = found if len(found) <= FOUND_WIDTH else found[:FOUND_WIDTH] + "…"
    if item["type"] == "missing":
        return "missing; the task cannot start without it"
    if item["type"] == "extra_forbidden":
        return f"found {found}, but there is no such field"
    allowed = str(item["msg"]).removeprefix("Value error, ").removeprefix("Input should be ")
    allowed = allowed.replace("a valid dictionary", "a mapping, `name: text` on a line of its own for each")
    message = f"found {found}; allowed: {allowed}"
    if item["type"] not in _EXPECTS_TEXT or scalar is None:
        return message
    written, made = scalar
    if made == "nothing" and not written:
        return f"{message}; nothing is written here"
    return f"{message}. {_quote(written, made)}"
