"""What the plays of a run call, held against what each part counts.

A change of code that no part counts would leave old results in use.
"""

from __future__ import annotations

import inspect
import sys
from collections import defaultdict
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import pytest

from assets.code_closure import PACKAGES, ROOT, outside
from assets.code_versions import PICTURES, ROOTS, closure_of
from playbook.artifacts import DatasetVersion

LISTENER = "playbook.cli"  # reports progress
HERE = tuple(f"{ROOT / package}/" for package in PACKAGES)


def module_of(code: CodeType) -> str:
    return ".".join(Path(code.co_filename).relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


class Called:
    """What each part called while it ran: calls go to the part whose root was entered last."""

    def __init__(self) -> None:
        self.roots = {
            tuple(root.split(":")): part for part, roots in ROOTS.items() for root in roots if ":" in root
        }  # fmt: skip
        self.found: dict[str, set[tuple[str, str]]] = defaultdict(set)
        # By id, beside the code itself so that no id comes again: hashing code goes through all that it says.
        self.names: dict[int, tuple[CodeType, tuple[str, str] | None]] = {}
        self.running: list[tuple[FrameType, str]] = []

    def __call__(self, frame: FrameType, event: str, argument: Any) -> Any:
        """Trace function: sees calls only. Frames that count for another part are followed to their end, too."""
        code = frame.f_code
        known = self.names.get(id(code))
        if known is None:
            # Bodies of modules and classes run when something is imported first, whoever needs it.
            ours = code.co_filename.startswith(HERE) and code.co_filename.endswith(".py")
            ours = ours and code.co_flags & inspect.CO_OPTIMIZED and not code.co_qualname.startswith("<")
            known = (code, (module_of(code), code.co_qualname.split(".")[0]) if ours else None)
            self.names[id(code)] = known
        name = known[1]
        if name is None:
            return None
        entered = name in self.roots or left_out(name[0])  # what is not followed into is not followed here either
        if entered:
            self.running.append((frame, self.roots.get(name, "")))
        if self.running and self.running[-1][1]:
            self.found[self.running[-1][1]].add(name)
        return self.ended if entered else None

    def ended(self, frame: FrameType, event: str, argument: Any) -> Any:
        """Trace function of one frame: whoever called it is at work again once it returns."""
        frame.f_trace_lines = False
        if event == "return" and self.running and self.running[-1][0] is frame:
            self.running.pop()
        return self.ended


def watched(function: Any, called: Called) -> Any:
    """The same function, with its calls noted: nothing else of a run is, which would take minutes."""

    def inner(*given: Any, **more: Any) -> Any:
        before = sys.gettrace()
        sys.settrace(called)
        try:
            return function(*given, **more)
        finally:
            sys.settrace(before)

    return inner


def watch_plays(patch: pytest.MonkeyPatch, called: Called) -> None:
    """Note what makes a result; the gate's checks are left out, which call Great Expectations a million times."""
    from assets import graph, play, sign_off, test_answers

    remembered = play.remembered

    def noting(*given: Any, **more: Any) -> Any:
        of, kind, inputs, make, *rest = given
        return remembered(of, kind, inputs, make if kind is DatasetVersion else watched(make, called), *rest, **more)

    assert graph.task_assets, "every asset is imported"
    for module in [one for name, one in sys.modules.items() if name.startswith("assets.")]:
        if getattr(module, "remembered", None) is remembered and module is not play:
            patch.setattr(module, "remembered", noting)
    patch.setattr(test_answers, "_ask", watched(test_answers._ask, called))
    patch.setattr(sign_off, "settle", watched(sign_off.settle, called))


def missed(called: Called) -> dict[str, list[str]]:
    """Functions of ours, by part, that a part called and that its closure does not have."""
    found = {
        part: sorted(f"{module}:{name}" for module, name in names - closure_of(part).names if not left_out(module))
        for part, names in called.found.items()
    }
    return {part: names for part, names in found.items() if names}


def left_out(module: str) -> bool:
    return outside(module) or outside(module, (*PICTURES, LISTENER))
