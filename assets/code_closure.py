"""Which of the project's code a result depends on: followed from a few functions through everything that they call.

A definition (function, class, constant of a module) depends on every definition whose name its source uses, across
modules, through re-exports, and through imports inside of functions. A module that is named in a string, as in
`python -m playbook.adapt.worker`, and a folder of templates that is named in one, count too. The sources are read and
never run. Docstrings and comments are not part of a version: a better word trains nothing again.

Methods are not told apart: who uses a class depends on the whole class. What is called on an object that is only passed
in (`play.world.gate`) cannot be seen, so such code is named as a root of its own. Tests hold the closure against what
the plays really call while they run.
"""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

PACKAGES = ("playbook", "assets", "resources", "pipelines")
ROOT = Path(__file__).resolve().parents[1]
TEMPLATES = {".j2", ".css"}
NAMED = re.compile(rf"(?:{'|'.join(PACKAGES)})(?:\.[A-Za-z_]\w*)+")  # a module, named in a string
Name = tuple[str, str]  # module, definition; "" is what the module runs when it is imported

# Never followed into. Each either carries results without computing any, or its content is in every key already.
OUTSIDE = {
    "playbook.spec": "fields of the task file: their values are in the keys of what depends on them",
    "playbook.artifacts": "shapes of results: their content is in the digests that keys hold",
    "playbook.errors": "words of failures, which are not results",
    "playbook.settings": "places of this installation",
    "playbook.store": "keeps results by hash",
    "playbook.database": "keeps logs",
    "playbook.taskfile": "reads the task file, whose values are in the keys",
    "playbook.plays": "names of assets",
    "playbook.decide.log": "keeps decisions on record",
    "playbook.decide.log_chain": "keeps decisions on record",
    "playbook.decide.log_storage": "keeps decisions on record",
    "playbook.decide.log_files": "keeps decisions on record",
    "playbook.durable": "keeps files through a power cut",
    "playbook.decide.log_database": "keeps decisions on record",
    "assets.play": "remembers results",
    "assets.factory": "makes Dagster's options",
    "assets.code_versions": "names roots",
    "assets.code_closure": "reads sources",
    "assets.tracked": "tells MLflow",
    "assets.publish": "copies pages to where people read them",
    "resources": "the world outside; what of it makes results is a root of its own",
}


@dataclass
class _Piece:
    """What one definition says: dotted names (`a.b.c` once, not `a` and `a.b` too), strings, imports inside of it."""

    chains: set[tuple[str, ...]] = field(default_factory=set)
    strings: set[str] = field(default_factory=set)
    imports: dict[str, Name] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)  # without docstrings and lines that only comment


@dataclass
class _Module:
    """One source file: its definitions and its imports. Its syntax tree is not kept: it is large, and slow to keep."""

    name: str
    path: Path
    definitions: dict[str, _Piece] = field(default_factory=dict)
    imports: dict[str, Name] = field(default_factory=dict)  # local name -> module and attribute ("" for a module)
    body: _Piece = field(default_factory=_Piece)  # what it runs when it is imported

    def piece(self, name: str) -> _Piece:
        """A definition; for the name "", what the module runs by itself."""
        return self.definitions.get(name, _Piece()) if name else self.body


@dataclass(frozen=True)
class Closure:
    """Everything that some roots depend on."""

    names: frozenset[Name]
    files: frozenset[Path]  # templates and stylesheets

    @property
    def modules(self) -> frozenset[str]:
        """Modules of which anything counts."""
        return frozenset(module for module, _ in self.names)

    @property
    def version(self) -> str:
        """Hash of the sources, 12 hex digits."""
        digest = hashlib.sha256()
        for module, name in sorted(self.names):
            digest.update(f"{module}:{name}\0{_source(module, name)}\0".encode())
        for path in sorted(self.files):
            digest.update(path.name.encode() + path.read_bytes())
        return digest.hexdigest()[:12]


def closure(roots: Iterable[str], left_out: Iterable[str] = ()) -> Closure:
    """What roots depend on.

    Args:
        roots: `package.module:definition`, or `package.module` for all of a module.
        left_out: modules that are not followed into, beside those of `OUTSIDE`.

    Raises:
        LookupError: there is no such module or definition.
    """
    closed = {*OUTSIDE, *left_out}
    waiting, names, files = [], set[Name](), set[Path]()
    for root in roots:
        module, _, name = root.partition(":")
        found = _module(module)
        if found is None or (name and name not in found.definitions):
            raise LookupError(f"{root}: expected a definition of the project, found none")
        waiting += [(module, name)] if name else [(module, one) for one in found.definitions]
    while waiting:
        module, name = waiting.pop()
        if (module, name) in names:
            continue
        names.add((module, name))
        if name:
            waiting.append((module, ""))
        used, templates = _uses(module, name)
        files |= templates
        waiting += [one for one in used if one not in names and not outside(one[0], closed)]
    return Closure(frozenset(names), frozenset(files))


def outside(module: str, closed: Iterable[str] = tuple(OUTSIDE)) -> bool:
    """Whether a module, or a package above it, is one that is not followed."""
    return any(module == name or module.startswith(f"{name}.") for name in closed)


@cache
def _path(name: str) -> Path | None:
    """The file of a module of the project; None where no module has that name."""
    if name.split(".", maxsplit=1)[0] not in PACKAGES:
        return None
    base = ROOT.joinpath(*name.split("."))
    return next((one for one in (base.with_suffix(".py"), base / "__init__.py") if one.is_file()), None)


@cache
def _module(name: str) -> _Module | None:
    """A module of the project, read; None where no module has that name."""
    path = _path(name)
    return None if path is None else _parsed(name, path, path.read_text(encoding="utf-8"))


def _parsed(name: str, path: Path, text: str) -> _Module:
    found, lines = _Module(name, path), text.splitlines()
    for statement in ast.parse(text).body:
        for piece in _pieces(found, statement):
            _gather(found, piece, statement)
            piece.lines += _said(lines, statement)
    return found


def _pieces(module: _Module, statement: ast.stmt) -> list[_Piece]:
    """What a statement of a module's top level belongs to."""
    names: list[str] = []
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        names = [statement.name]
    elif isinstance(statement, ast.Assign | ast.AnnAssign | ast.AugAssign):
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        names = [node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)]
    elif isinstance(statement, ast.Import | ast.ImportFrom):
        module.imports |= _imported(module, statement)
        return []
    elif isinstance(statement, ast.If) and "TYPE_CHECKING" in ast.dump(statement.test):
        return []  # for readers and mypy alone
    elif _is_docstring(statement):
        return []
    return [module.definitions.setdefault(name, _Piece()) for name in names] or [module.body]


def _imported(module: _Module, statement: ast.Import | ast.ImportFrom) -> dict[str, Name]:
    found: dict[str, Name] = {}
    if isinstance(statement, ast.Import):
        for alias in statement.names:  # `import a.b` binds a, `import a.b as c` binds a.b
            bound = alias.name if alias.asname else alias.name.split(".", maxsplit=1)[0]
            found[alias.asname or bound] = (bound, "")
        return found
    source = statement.module or ""
    if statement.level:
        package = module.name if module.path.name == "__init__.py" else module.name.rpartition(".")[0]
        above = package.split(".")[: len(package.split(".")) - statement.level + 1]
        source = ".".join([*above, *([source] if source else [])])
    for alias in statement.names:
        whole = f"{source}.{alias.name}"
        found[alias.asname or alias.name] = (whole, "") if _path(whole) is not None else (source, alias.name)
    return found


def _gather(module: _Module, piece: _Piece, node: ast.AST) -> None:
    """Add what a node and everything in it says. By hand: every process reads all sources, `ast.walk` takes twice."""
    if isinstance(node, ast.Attribute | ast.Name):
        chain: list[str] = []
        while isinstance(node, ast.Attribute):
            chain.append(node.attr)
            node = node.value
        if isinstance(node, ast.Name):
            piece.chains.add((node.id, *reversed(chain)))
        else:
            _gather(module, piece, node)
    elif isinstance(node, ast.Constant):
        if isinstance(node.value, str):
            piece.strings.add(node.value)
    elif isinstance(node, ast.Import | ast.ImportFrom):
        piece.imports |= _imported(module, node)
    elif not (isinstance(node, ast.Expr) and _is_docstring(node)):
        for name in node._fields:
            part = getattr(node, name, None)
            for inner in part if isinstance(part, list) else (part,):
                if isinstance(inner, ast.AST):
                    _gather(module, piece, inner)


def _said(lines: list[str], statement: ast.stmt) -> list[str]:
    """The lines of a statement, without docstrings and lines that only comment."""
    first = min([statement.lineno, *(one.lineno for one in getattr(statement, "decorator_list", ()))])
    left_out, kept = set(_docstring_lines(statement)), []
    for number in range(first, (statement.end_lineno or first) + 1):
        line = lines[number - 1]
        if number not in left_out and line.strip() and not line.lstrip().startswith("#"):
            kept.append(line)
    return kept


def _docstring_lines(statement: ast.AST) -> Iterator[int]:
    """Lines of the docstrings in a statement. Only statements hold definitions, so no expression is looked into."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        first = statement.body[0]
        if _is_docstring(first):
            yield from range(first.lineno, (first.end_lineno or first.lineno) + 1)
    for name in ("body", "orelse", "finalbody", "handlers", "cases"):
        part = getattr(statement, name, None)
        for inner in part if isinstance(part, list) else ():
            yield from _docstring_lines(inner)


def _is_docstring(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


@cache
def _uses(module: str, name: str) -> tuple[frozenset[Name], frozenset[Path]]:
    """Definitions and files that one definition's source names; for the name "", what the module runs by itself."""
    found = _module(module)
    if found is None:
        return frozenset(), frozenset()
    piece = found.piece(name)
    used = {one for chain in piece.chains for one in _resolve(found, piece.imports, chain)}
    used |= {one for text in piece.strings for one in _run_by_name(text)}
    return frozenset(used), frozenset(path for text in piece.strings for path in _templates(found, text))


def _resolve(module: _Module, local: dict[str, Name], chain: tuple[str, ...]) -> Iterator[Name]:
    """What a dotted name stands for in a module, if it is of the project."""
    first, *rest = chain
    if first in local:
        yield from _target(*local[first], rest)
    elif first in module.definitions:
        yield module.name, first
    elif first in module.imports:
        yield from _target(*module.imports[first], rest)


def _target(module: str, name: str, rest: Sequence[str]) -> Iterator[Name]:
    """The definition behind an import, through re-exports; all of a module that is used as an object."""
    found = _module(module)
    if found is None:
        return
    if not name and rest:
        inner = f"{module}.{rest[0]}"
        if _module(inner) is not None and rest[0] not in found.definitions:
            yield from _target(inner, "", rest[1:])
        else:
            yield from _target(module, rest[0], [])
    elif not name:
        yield from ((module, one) for one in found.definitions)
    elif name in found.definitions:
        yield module, name
    elif name in found.imports:
        yield from _target(*found.imports[name], rest)


def _run_by_name(text: str) -> Iterator[Name]:
    """All of each module that a string names in full, as `python -m` and code for another process do."""
    for name in NAMED.findall(text):
        found = _module(name) or _module(name.rpartition(".")[0])
        if found is not None:
            yield from ((found.name, one) for one in found.definitions)


def _templates(module: _Module, text: str) -> Iterator[Path]:
    """Templates that a string names, one or a folder of them, beside the module or under its package."""
    if not 0 < len(text) < 80 or any(char in text for char in " \n*?\\:{"):
        return
    for place in (module.path.parent / text, ROOT / module.name.split(".", maxsplit=1)[0] / text):
        if place.suffix in TEMPLATES and place.is_file():
            yield place
        elif text.rstrip("/").endswith("templates") and place.is_dir():
            yield from (path for path in place.iterdir() if path.suffix in TEMPLATES)


def _source(module: str, name: str) -> str:
    """A definition as it is written, without docstrings and lines that only comment."""
    found = _module(module)
    return "" if found is None else "\n".join(found.piece(name).lines)
