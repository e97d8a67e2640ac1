"""Behavioural tests as a team writes them: what must not change an answer, what must, what must always be right (5.4).

After Ribeiro, Wu, Guestrin and Singh, Beyond Accuracy: Behavioral Testing of NLP Models with CheckList (ACL 2020). Code
is never named in the file: every change of a text is one word of a closed list.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from playbook.document import load_document
from playbook.errors import TaskFileError
from playbook.spec import Fraction, Name, Section

SLOT = re.compile(r"\{(\w+)\}")
Text = Annotated[str, Field(min_length=1, max_length=5000)]
Texts = tuple[Text, ...]


class Typos(Section):
    """Two neighbouring letters inside a word change places, `count` times."""

    kind: Literal["typos"]
    count: int = Field(1, ge=1, le=5)


class AddText(Section):
    """One of the texts is put before or after."""

    kind: Literal["add_before", "add_after"]
    texts: Texts = Field(min_length=1)


class SwapWords(Section):
    """Every word of the list that occurs is replaced by another one of it; texts without one are left out."""

    kind: Literal["swap_words", "swap_names"]
    words: Texts = Field(min_length=2)


class LetterCase(Section):
    """All letters small, or all letters large."""

    kind: Literal["case"]
    to: Literal["lower", "upper"]


class Punctuation(Section):
    """All punctuation taken out, or the last mark replaced by three exclamation marks."""

    kind: Literal["punctuation"]
    to: Literal["none", "exclaim"]


Change = Annotated[Typos | AddText | SwapWords | LetterCase | Punctuation, Field(discriminator="kind")]


class ValidationRows(Section):
    """Rows drawn from validation: so many at most, of some classes or of all."""

    rows: int = Field(100, ge=1, le=5000)
    of: tuple[Name, ...] = Field((), description="Only rows with these labels; empty: of every class.")


class BehaviouralTest(Section):
    """What every test has."""

    name: str = Field(min_length=3, max_length=100)
    why: str = Field("", description="Where it follows from, for example the rule of the labelling guideline.")
    allowed: Fraction = Field(0.0, description="Share of the cases that may fail.")
    on_failure: Literal["block", "report"] = Field(
        "block", description="block: a failure stands against shipping; report: it is a known limit, and is shown."
    )
    slots: dict[str, Texts] = Field(default_factory=dict, description="Values of `{slot}` in texts.")


class OnTexts(BehaviouralTest):
    """A test that changes texts: given ones, rows of validation, or both."""

    texts: Texts = ()
    validation: ValidationRows | None = None

    @model_validator(mode="after")
    def _has_texts(self) -> OnTexts:
        if not self.texts and self.validation is None:
            raise ValueError("texts, or validation, or both; there is nothing to test on")
        _slots_known(self.texts, self.slots)
        return self


class Invariance(OnTexts):
    """A change after which the answer must be the same."""

    kind: Literal["invariance"]
    change: Change


class Direction(OnTexts):
    """A phrase that makes a class more likely, less likely, or the answer."""

    kind: Literal["direction"]
    add: Text
    place: Literal["before", "after"] = "after"
    of_class: Name
    moves: Literal["up", "down", "to"]
    by: Fraction = Field(
        0.05,
        description="Up or down: how far the probability must move, unless it ends within 0.05 of 1 or 0.",
    )


class MinimumFunctionality(BehaviouralTest):
    """Texts with the class that they must get."""

    kind: Literal["minimum_functionality"]
    expect: dict[Name, Texts] = Field(min_length=1, description="Class -> texts.")

    @model_validator(mode="after")
    def _slots_of_all(self) -> MinimumFunctionality:
        _slots_known([text for texts in self.expect.values() for text in texts], self.slots)
        return self


AnyTest = Annotated[Invariance | Direction | MinimumFunctionality, Field(discriminator="kind")]


class BehaviourFile(Section):
    """All behavioural tests of a task."""

    tests: tuple[AnyTest, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_differ(self) -> BehaviourFile:
        names = [test.name for test in self.tests]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"every test needs a name of its own; written twice: {', '.join(twice)}")
        return self


def load_behaviour(path: str | Path, labels: Iterable[str] | None = None) -> BehaviourFile:
    """Read and validate a file of behavioural tests.

    Args:
        path: the YAML file.
        labels: classes of the task, which those of the tests are held against; None leaves that out.

    Raises:
        TaskFileError: the file is missing, is no YAML mapping, or has faults; every fault is listed.
    """
    path = Path(path).resolve()
    found = load_document(path, BehaviourFile, "write it, or leave evaluation.behaviour out")
    if labels is not None:
        known = sorted(labels)
        faults = [
            f"{test.name}: found class {label!r}; allowed: {', '.join(known)}"
            for test in found.tests
            for label in named_classes(test)
            if label not in known
        ]
        if faults:
            raise TaskFileError(str(path), faults)
    return found


def named_classes(test: Invariance | Direction | MinimumFunctionality) -> tuple[str, ...]:
    """Classes that a test names, in the order in which it names them."""
    if isinstance(test, MinimumFunctionality):
        return tuple(test.expect)
    own = (test.of_class,) if isinstance(test, Direction) else ()
    return (*own, *(test.validation.of if test.validation else ()))


def _slots_known(texts: Iterable[str], slots: dict[str, Texts]) -> None:
    asked = {slot for text in texts for slot in SLOT.findall(text)}
    unknown = sorted(asked - {name for name, values in slots.items() if values})
    if unknown:
        raise ValueError(f"slots must have values for {', '.join(unknown)}; a text uses them")
