"""What an artefact may say, pages can show: a table of words for a closed list of values covers the whole list."""

from __future__ import annotations

import ast
import dataclasses
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest
from report_samples import ORDINARY, score
from suite_samples import figure, full_inputs

import playbook
from playbook import artifacts
from playbook.artifacts import Blocker, BlockerName, Contender, Evaluation, Fix, Incumbent, Part, RoundVerdict
from playbook.evaluate.report import ReportInputs, render_report

CODE = Path(playbook.__file__).resolve().parent
# Tables that are made only for some of the values, by a rule of their own: no page looks anything up in them.
NO_WORDS = {"operate/policy.py", "adapt/transfer.py", "decide/floors.py"}
SUBSCRIPTED = re.compile(r"\{% set \w+ = (\{.*?\}) %\}", re.DOTALL)  # a table of words in a template


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> ReportInputs:
    return full_inputs(tmp_path_factory.mktemp("full"), ORDINARY)


@pytest.fixture
def page_of(inputs: ReportInputs, monkeypatch: pytest.MonkeyPatch) -> Callable[[Evaluation], str]:
    """The report of an evaluation, without plots, which take most of the time."""
    monkeypatch.setattr("playbook.evaluate.report.plots_of", lambda _: {})
    return lambda evaluation: render_report(dataclasses.replace(inputs, evaluation=evaluation))


def literals(annotation: Any) -> Iterator[frozenset[str]]:
    """Every closed list of strings in a type, however deep."""
    if get_origin(annotation) is Literal:
        yield frozenset(value for value in get_args(annotation) if isinstance(value, str))
    else:
        for part in get_args(annotation):
            yield from literals(part)


def closed_lists() -> set[frozenset[str]]:
    """Every closed list of values that a field of an artefact can have."""
    parts = [one for one in vars(artifacts).values() if isinstance(one, type) and issubclass(one, Part)]
    return {found for part in parts for hint in get_type_hints(part).values() for found in literals(hint)}


def tables(source: str) -> Iterator[frozenset[str]]:
    """Keys of every dictionary of a module that has nothing but strings for keys."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Dict) and node.keys:
            keys = [key.value for key in node.keys if isinstance(key, ast.Constant) and isinstance(key.value, str)]
            if len(keys) == len(node.keys):
                yield frozenset(keys)


def incomplete(keys: frozenset[str], lists: set[frozenset[str]]) -> frozenset[str]:
    """The values that a table of words lacks; none where it is not a table for a closed list, or a whole one."""
    if len(keys) < 2 or keys in lists:
        return frozenset()
    return next((known - keys for known in lists if keys < known), frozenset())


def test_no_page_lacks_a_word_for_what_an_artefact_may_say() -> None:
    lists = closed_lists()
    assert frozenset(get_args(BlockerName)) in lists, "the lists are found at all"
    assert incomplete(frozenset(get_args(BlockerName)) - {"incumbent"}, lists) == {"incumbent"}
    checked, missing = 0, []
    for path in sorted(CODE.rglob("*.py")):
        if path.relative_to(CODE).as_posix() in NO_WORDS:
            continue
        for keys in tables(path.read_text("utf-8")):
            checked += keys in lists
            lacks = incomplete(keys, lists)
            missing += [f"{path.relative_to(CODE)}: {sorted(keys)} lacks {sorted(lacks)}"] if lacks else []
    for path in sorted(CODE.rglob("*.j2")):
        for table in SUBSCRIPTED.findall(path.read_text("utf-8")):
            for keys in tables(table):
                checked += keys in lists
                lacks = incomplete(keys, lists)
                missing += [f"{path.name}: {sorted(keys)} lacks {sorted(lacks)}"] if lacks else []
    assert not missing
    assert checked >= 5, "the tables are found at all"


def test_the_report_of_a_round_says_who_was_asked_and_who_stays(
    inputs: ReportInputs, page_of: Callable[[Evaluation], str]
) -> None:
    assert inputs.evaluation is not None
    fix = Fix(trigger="new_class", fixed=False, text="new classes: <b>lost</b>: recall 0.0 % of 9 rows")
    one = Contender(
        name="candidate", over=figure(-0.03), least=0.01, on_old=figure(-0.05), fixes=(fix,), not_worse=True
    )
    kept = RoundVerdict(incumbent="1.4.0", asked_by=("new_class",), margin=0.01, tolerance=0.01, contenders=(one,))
    served = Incumbent(version="1.4.0", score=score(0.9), delta=figure(-0.03), text="Against version 1.4.0.")
    done = inputs.evaluation.model_copy(
        update={"incumbent": served, "round": kept, "ship": "incumbent", "verdict": "Keep version 1.4.0: it is worse."}
    )
    page = page_of(done)
    assert "Keep the version that serves" in page
    assert "gain over 1.4.0" in page and "−3.0 points (−5.0 to −1.0)" in page and "too few rows" in page
    assert "new class: new classes: &lt;b&gt;lost" in page and "<b>lost" not in page
    assert "a gain of at least 1 point, distinguishable from zero" in page


@pytest.mark.parametrize("what", get_args(BlockerName))
def test_the_report_shows_every_blocker_with_its_remedy(
    what: Any, inputs: ReportInputs, page_of: Callable[[Evaluation], str]
) -> None:
    assert inputs.evaluation is not None
    blocked = inputs.evaluation.model_copy(update={"blockers": (Blocker(what=what, text="It stands against it."),)})
    assert f"playbook waive demo {what}" in page_of(blocked)
