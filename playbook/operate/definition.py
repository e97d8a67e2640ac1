"""What a task means (6.5): when it changes, the model that serves answers another question than the one that is asked.

The definition is the question, the classes with what each of them means, the labelling guideline, and the metric that
success is measured in. No number belongs to it: a threshold, the margin, a budget or a price say how good a model has
to be, not what its answers mean. A model that was made under another margin still answers the same question; whether
it is good enough is what the next evaluation decides. The metric is not a number: a version's figures, and what was
promised to whoever uses it, are figures of that metric, so another metric is another task.

Blanks and line breaks do not count: a guideline whose lines are wrapped in another way says the same.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playbook.artifacts import Trigger, canonical_hash
from playbook.evaluate import wording
from playbook.names import normal_form
from playbook.operate.versions import Identity
from playbook.taskfile import Task

DIGITS = 16  # of a hash that stands for a text
UNREADABLE = "unreadable"  # in place of the hash of a guideline


@dataclass(frozen=True)
class Definition:
    """A task's definition, every text as a hash; an empty `guideline` means that the task names none."""

    question: str
    classes: Mapping[str, str]  # name -> hash of what it means
    guideline: str
    metric: str  # as `Limit.label` writes it

    @property
    def sha256(self) -> str:
        """Hash of the whole definition."""
        return canonical_hash({"definition": self.as_tag})

    @property
    def as_tag(self) -> str:
        """The definition as one line of JSON, which `read_definition` reads."""
        return json.dumps({**vars(self), "classes": dict(self.classes)}, sort_keys=True)


def define(task: Task) -> Definition:
    """The definition of a task as its file and its guideline have it now.

    A guideline that cannot be read is not compared: a file that is missing for a day is not another task, and the data
    play reports it.
    """
    spec = task.spec
    return Definition(
        question=_hashed(spec.question),
        classes={label: _hashed(spec.data.classes[label]) for label in spec.labels},
        guideline=_guideline(task),
        metric=spec.target.label,
    )


def identity_of(task: Task, dataset_hash: str, base_sha256: str) -> Identity:
    """What a model version of a task stands on."""
    earlier = earlier_sha256(task.spec.labels, task.spec.target.model_dump(mode="json"))
    return Identity(define(task).sha256, dataset_hash, base_sha256, earlier)


def read_definition(tag: str) -> Definition | None:
    """The definition that a tag of a model version holds; None of versions that were registered without one."""
    try:
        held = json.loads(tag)
        return Definition(
            question=str(held["question"]),
            classes={normal_form(str(name)): str(text) for name, text in held["classes"].items()},
            guideline=str(held["guideline"]),
            metric=str(held["metric"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def differences(before: Definition, now: Definition) -> tuple[str, ...]:
    """What is no longer as it was, one phrase each; nothing where the two mean the same."""
    shared = before.classes.keys() & now.classes.keys()
    meant = sorted(label for label in shared if before.classes[label] != now.classes[label])
    found = list(label_differences(tuple(before.classes), tuple(now.classes)))
    if meant:
        found.append(f"another meaning of {wording.listing(meant, 5)}")
    if before.question != now.question:
        found.append("another question")
    if before.guideline != now.guideline and UNREADABLE not in (before.guideline, now.guideline):
        found.append("another labelling guideline")
    if before.metric != now.metric:
        found.append(f"another metric ({now.metric} instead of {before.metric})")
    return tuple(found)


def asked_by_change(before: Definition | None, now: Definition) -> tuple[Trigger, ...]:
    """What a changed task asks of a model, whether or not a trigger fired: new classes found, other changes learned.

    Nothing where `before` is None: of versions that were registered without a definition it is not known.
    """
    if before is None:
        return ()
    added = now.classes.keys() - before.classes.keys()
    older = Definition(now.question, {label: now.classes[label] for label in now.classes if label not in added},
                       now.guideline, now.metric)  # fmt: skip
    changed: tuple[Trigger, ...] = ("task_changed",) if differences(before, older) else ()
    return (*(("new_class",) if added else ()), *changed)


def label_differences(before: tuple[str, ...], now: tuple[str, ...]) -> tuple[str, ...]:
    """Classes that came and classes that went: all that is known of versions registered without a definition."""
    added, gone = sorted(set(now) - set(before)), sorted(set(before) - set(now))
    found = [f"new classes {wording.listing(added, 5)}"] if added else []
    return (*found, *([f"removed classes {wording.listing(gone, 5)}"] if gone else []))


def earlier_sha256(labels: tuple[str, ...], target: Mapping[str, Any]) -> str:
    """The hash that versions were registered with before definitions were kept: of labels and the whole target."""
    return canonical_hash({"labels": list(labels), "target": dict(target)})


def _guideline(task: Task) -> str:
    named = task.spec.data.labels.guideline
    if named is None:
        return ""
    try:
        return _hashed(Path(task.resolve(named)).read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError):
        return UNREADABLE


def _hashed(text: str) -> str:
    return canonical_hash({"text": " ".join(unicodedata.normalize("NFC", text).split())})[:DIGITS]
