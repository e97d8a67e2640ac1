"""Whether a file holds what a model said rather than what turned out to be true.

Its names may be those of `playbook predict` or of somebody else, so values are looked at as well: a column called
confidence whose values are shares, shares under the names of the classes, a second column of predictions that never
differs from the labels. People's ratings and notes have such names too, with other values.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import pandas as pd

from playbook.data.text import shown
from playbook.names import normal_form

ANSWERED = ("probability", "model_version", "ask_a_person")  # columns of what `playbook predict` writes
OWN_LABELS = ("label", "answer")  # there, these are the model's
_CONFIDENCE = re.compile(
    r"prob|conf|score|certain|softmax|logit|likelihood|wahrsch|konfidenz|sicherheit|vertrauen|puntua|confianza|^p$"
)
_PREDICTED = re.compile(r"predict|^answer$|^pred|[_ -]pred$|y_?hat|y_pred|vorhersage|prognose|pr\u00e9di|predic|model")
_SHARE = re.compile(r"[01]?[.,]\d+|[01]|\d(?:[.,]\d+)?e-\d+", re.ASCII | re.IGNORECASE)
_PERCENT = re.compile(r"(?:100|\d{1,2})(?:[.,]\d+)? ?%", re.ASCII)


def written_by_predict(table: pd.DataFrame, labels: Iterable[str]) -> list[str]:
    """Columns that `playbook predict` writes."""
    figures = {f"p_{label}" for label in labels}
    return [str(name) for name in table.columns if name in ANSWERED or name in figures]


def seem_predicted(table: pd.DataFrame, label: str, ids: str, labels: Iterable[str]) -> str:
    """Why the labels of a table seem to be a model's, in words; '' where they do not.

    Args:
        table: the file, every value as text.
        label: its column of labels.
        ids: its column of ids.
        labels: classes of the task.
    """
    others = [str(name) for name in table.columns if name not in (label, ids)]
    said = [normal_form(value) for value in table[label]]
    beside = [name for name in others if _PREDICTED.search(name.casefold()) and _are_classes(table[name], labels)]
    for name in beside:
        pairs = [(one, normal_form(two)) for one, two in zip(said, table[name], strict=True) if one and two]
        if any(one != two for one, two in pairs):
            return ""  # the labels are what the predictions are compared with
        if pairs:
            return f"column {shown(name)} has the same labels in every row"
    shares = [name for name in others if _are_shares(table[name])]
    named = next((name for name in shares if _CONFIDENCE.search(name.casefold())), "")
    if named:
        return f"column {shown(named)} holds shares, as a model's confidence"
    classes = {normal_form(one).casefold() for one in labels}
    of_classes = [name for name in shares if _bare(name) in classes]
    return f"columns {' and '.join(map(shown, of_classes[:2]))} hold shares of classes" if len(of_classes) > 1 else ""


def _bare(name: str) -> str:
    return re.sub(r"^(?:p|prob|proba|probability|score|conf)[_ -]", "", name.casefold())


def _are_classes(values: Iterable[str], labels: Iterable[str]) -> bool:
    known = set(labels)
    return any(normal_form(value) in known for value in values)


def _are_shares(values: Iterable[str]) -> bool:
    """Whether all values lie between 0 and 1 or are per cent, and not all of them are whole."""
    given = [value.strip() for value in values if value.strip()]
    if given and all(map(_PERCENT.fullmatch, given)):
        return True
    return all(map(_SHARE.fullmatch, given)) and any(not value.isdigit() for value in given)
