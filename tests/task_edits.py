"""Every field of the task file with another valid value: what an edit of one field alone looks like."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from playbook.spec import TaskSpec

SHA = "5" * 64
# Where a value has to fit others, or no general one is valid.
OTHER: dict[str, Any] = {
    "target.metric": "macro_f1",
    "target.limits": [{"metric": "macro_f1", "at_least": 0.4}],
    "data.classes": {"access": "Log in.", "fault": "Something else is broken."},
    "data.columns.keep": ["channel", "region", "queue"],
    "data.columns.time_format": "%d.%m.%Y",
    "data.source.encoding": "cp1252",
    "data.source.delimiter": ";",
    "data.source.quoting": "none",
    "data.source.quote": "'",
    "data.labels.corrections": "corrections.csv",
    "decision.deadline": "2027-05-01",
    "evaluation.slices": ["channel"],
    "monitoring.since": "2025-03-01",
    "retraining.schedule": "0 4 * * 2",
    "serving.redact.patterns": ["[0-9]{6,}"],
    "base.sha256": "9" * 64,
    "sign_off.mode": "automatic",
}
BASE = {"licence": "MIT", "sha256": "0" * 64}
OWN_FILES = {"train": "train.csv", "test": "test.csv"}
SENTENCE_BASE: dict[str, dict[str, Any]] = {
    "hub": {"hub": "some/base", "revision": "a" * 40},
    "revision": {"hub": "some/base", "revision": "b" * 40},
    "folder": {"folder": "sentences"},
    "package": {"package": "some_base"},
    **{key: {"folder": "sentences"} for key in ("sha256", "licence")},
    "pretrained_on": {"folder": "sentences", "pretrained_on": "pairs of sentences"},
    "relevance": {"folder": "sentences", "relevance": "related", "relevance_reason": "they are letters to a desk too"},
    "relevance_reason": {"folder": "sentences", "relevance_reason": "they are letters to a desk too"},
    "layers": {"folder": "sentences", "layers": 3},
    "max_length": {"folder": "sentences", "max_length": 64},
}
# Fields that only change together with others.
TOGETHER: dict[str, dict[str, Any]] = {
    "target.at_most": {"target": {"metric": "log_loss", "at_most": 0.4, "margin": 0.02}},
    "target.of_class": {"target": {"metric": "f1", "at_least": 0.85, "margin": 0.02, "of_class": "access"}},
    "data.source.train": {"data.source": OWN_FILES},
    "data.source.validation": {"data.source": {**OWN_FILES, "validation": "validation.csv"}},
    "data.source.test": {"data.source": OWN_FILES},
    "data.production.path": {"data.production": {"path": "production.csv"}},
    "decision.override.path": {"decision.override": {"path": "from_scratch", "by": "team:ml", "because": "we want to"}},
    "decision.override.by": {"decision.override": {"path": "from_scratch", "by": "team:ml", "because": "we want to"}},
    "decision.override.because": {"decision.override": {"path": "no_model", "by": "team:ml", "because": "we want to"}},
    "base.hub": {"base": {**BASE, "hub": "some/base", "revision": "a" * 40}},
    "base.package": {"base": {**BASE, "package": "some_base"}},
    **{
        f"data.splits.paraphrases.base.{name}": {"data.splits.paraphrases": {"base": {**BASE, **change}}}
        for name, change in SENTENCE_BASE.items()
    },
    "data.splits.paraphrases.similarity": {
        "data.splits.paraphrases": {"base": {**BASE, "folder": "sentences"}, "similarity": 0.8}
    },
    "bake_off.alternatives": {"bake_off.alternatives": [{**BASE, "folder": "another"}]},
}
GENERAL: tuple[Any, ...] = (
    True, False, 1, 2, 3, 4, 6, 8, 12, 40, 60, 300, 700, 0.02, 0.07, 0.2, 0.3, 0.45, 0.6, 0.7, 0.97, 1.5, 9.5, "other",
    "another/place.csv", "someone@example.org", "general", "Another sentence that is long enough.", SHA, ["x"], [],
    "2026-06-01", "USD", None,
)  # fmt: skip


def fields(model: type[BaseModel], path: str = "") -> Iterator[str]:
    """Dotted names of all leaves, sections that may be absent included."""
    for name, field in model.model_fields.items():
        inner = [one for one in (field.annotation, *_parts(field.annotation)) if _is_section(one)]
        if inner:
            yield from (leaf for section in inner for leaf in fields(section, f"{path}{name}."))
        else:
            yield f"{path}{name}"


def _parts(annotation: Any) -> tuple[Any, ...]:
    # A tuple of sections (alternatives, limits) is one field: its parts have no names in the task file.
    if get_origin(annotation) in (tuple, dict, list):
        return ()
    return tuple(part for one in get_args(annotation) for part in (one, *_parts(one)))


def _is_section(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def edited(document: dict[str, Any], path: str) -> dict[str, Any]:
    """The document with one field changed to another valid value.

    Raises:
        LookupError: no value is known; name one in OTHER or TOGETHER.
    """
    before = TaskSpec.model_validate(document)
    changes = [TOGETHER[path]] if path in TOGETHER else [{path: value} for value in _values(path)]
    for change in changes:
        changed = copy.deepcopy(document)
        for where, value in change.items():
            part = changed
            *sections, name = where.split(".")
            for section in sections:
                part = part.setdefault(section, {})
            part[name] = value
        try:
            after = TaskSpec.model_validate(changed)
        except ValidationError:
            continue
        if _at(after, path) != _at(before, path):
            return changed
    raise LookupError(f"{path}: no other valid value is known; name one in tests/task_edits.py")


def _values(path: str) -> list[Any]:
    return [OTHER[path]] if path in OTHER else [*GENERAL, *_words_of(path)]


def _words_of(path: str) -> list[str]:
    """Words of a closed list."""
    section: Any = TaskSpec
    *sections, name = path.split(".")
    for one in sections:
        annotation = section.model_fields[one].annotation
        section = next(part for part in (annotation, *_parts(annotation)) if _is_section(part))
    words: list[str] = []
    stack = [section.model_fields[name].annotation]
    while stack:
        one = stack.pop()
        words += [one] if isinstance(one, str) else []
        stack += list(get_args(one))
    return words


def _at(spec: Any, path: str) -> Any:
    for name in path.split("."):
        spec = getattr(spec, name) if spec is not None else None
    return spec


DOCUMENT: dict[str, Any] = {
    "task": "demo",
    "question": "Which team should answer this ticket first?",
    "target": {"metric": "accuracy", "at_least": 0.85, "margin": 0.02},
    "owners": {"model": "team:ml", "data": "team:data", "sign_off": "anna@example.org"},
    "data": {
        "source": {"path": "x.csv"},
        "columns": {
            "text": "text", "label": "category", "id": "row_id", "time": "day", "keep": ["channel", "region"],
        },
        "classes": {"access": "Log in.", "fault": "It is broken."},
        "production": {"latest": 0.3},
        "labels": {"guideline": "g.md"},
        "accumulated": {"rows": "more.csv", "classes": "classes.yaml"},
    },
    "base": {"folder": "base", "sha256": "0" * 64, "licence": "MIT"},
    "sign_off": {"mode": "recorded", "allowed_signers": "signers"},
    "serving": {"ask_a_person": {"error": 0.05}},
    "retraining": {"schedule": "0 3 * * 1"},
}  # fmt: skip
