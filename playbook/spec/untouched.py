"""What `playbook init` leaves to be filled in: a task file that still says so is not a task yet."""

from __future__ import annotations

from collections.abc import Mapping

QUESTION = "TODO one sentence that says what is decided about what"
CLASSES = {"first": "TODO what belongs here, and what does not", "second": "TODO"}
PROVENANCE, LICENCE = "TODO where the rows come from", "TODO"
_REMEDY = (
    "`playbook init` left what is marked TODO to be filled in: the question, data.classes with their names and "
    "definitions, data.source.provenance and licence"
)


def require_question(question: str) -> str:
    """The question.

    Raises:
        ValueError: it is still the template's.
    """
    if question.strip().startswith("TODO"):
        raise ValueError(f"the task in one sentence. {_REMEDY}")
    return question


def require_classes(classes: Mapping[str, str]) -> None:
    """Nothing where somebody wrote the classes.

    Raises:
        ValueError: one is still the template's.
    """
    left = [name for name, text in CLASSES.items() if classes.get(name, "").strip() == text]
    if left:
        raise ValueError(f"classes of your own, not {' and '.join(left)} with the text that stood there. {_REMEDY}")
