"""Who may decide what, and what counts as a reason (5.6).

A task file names three owners: of the model, of the data, and of the sign-off. Whatever a person decides about a task
is decided by one of them and goes on record under that name:

================  =========================  ==========================================================================
action            who may do it              why
================  =========================  ==========================================================================
approve, reject,  sign-off owner             They judge work that the model owner has made and wants to see shipped.
waive
roll back         any of the three           The data owner watches production, the model owner keeps it running. It
                                             puts back a version that was approved before, and it must not wait.
reinstate         sign-off owner             To put a version back that somebody rolled back from is to ship it again.
retrain           any of the three           It ships nothing: what comes of it passes gate, evaluation and sign-off.
override          model or sign-off owner    The decision gate is the model owner's play; the sign-off owner may want
                                             another path. Neither can take one that a limit or floor rules out.
accept loss       sign-off owner             A decision log that is gone holds approvals; to go on without is theirs.
================  =========================  ==========================================================================

An owner is an e-mail address or `team:name`, compared without regard to case. Nothing here proves who is at the
keyboard; `sign_off.mode: signed` does, for an approval.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from playbook.spec.target import Owners

Action = Literal["approve", "reject", "waive", "rollback", "reinstate", "retrain", "override", "accept_loss"]
Role = Literal["model", "data", "sign_off"]
WORDS = 3  # different ones, that an answer or a reason has at least: "ok", "yes yes" and "x" explain nothing

_ANY: tuple[Role, ...] = ("model", "data", "sign_off")
_MAY: dict[Action, tuple[Role, ...]] = {
    "approve": ("sign_off",),
    "reject": ("sign_off",),
    "waive": ("sign_off",),
    "rollback": _ANY,
    "reinstate": ("sign_off",),
    "retrain": _ANY,
    "override": ("model", "sign_off"),
    "accept_loss": ("sign_off",),
}
SHORTEST = 2  # letters of a word
_WORD = re.compile(r"[^\W_]+")
_UNSPACED = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR")  # written without blanks between words


def same_name(one: str, other: str) -> bool:
    """Whether two owners are one: case and blanks around do not make another person."""
    return one.strip().casefold() == other.strip().casefold()


def not_allowed(owners: Owners, action: Action, by: str) -> list[str]:
    """Why somebody may not do something; nothing where they may.

    Args:
        owners: of the task file.
        action: what is to be done, see the table above.
        by: the name that it would go on record under.
    """
    roles = _MAY[action]
    if any(same_name(by, getattr(owners, role)) for role in roles):
        return []
    people: dict[str, list[str]] = {}
    for role in roles:
        people.setdefault(getattr(owners, role), []).append(role.replace("_", "-"))
    expected = " or ".join(f"the {' and '.join(roles)} owner {name}" for name, roles in people.items())
    return [f"expected {expected}, found {plain_text(by)!r}; nobody else may decide this"]


def owner_named(owners: Owners, by: str) -> str:
    """An owner as the task file writes the name; `by` itself, made fit to be stored, where it is nobody's."""
    return next((name for name in (owners.sign_off, owners.model, owners.data) if same_name(by, name)), plain_text(by))


def no_reason(text: str, option: str) -> list[str]:
    """Why a text is not a reason; nothing where it is one.

    Args:
        text: what somebody typed.
        option: where it is given, for the message: `--reason`.
    """
    if explains(text):
        return []
    said = plain_text(text)
    found = repr(said) if said else "none"
    return [f"expected a reason of at least {WORDS} words, which somebody can act on later, found {found} ({option})"]


def explains(text: str) -> bool:
    """Whether a text has the few words that an explanation takes. It cannot tell whether they are true or to the point.

    In writing without blanks between words, two characters count as a word. Elsewhere single letters and
    numbers count beside two other words only.
    """
    words: set[str] = set()
    small: set[str] = set()  # single letters and numbers: "a bad idea", "yes, 3 points"
    unspaced = 0
    for word in _WORD.findall(plain_text(text).casefold()):
        characters = sum(unicodedata.name(char, "").startswith(_UNSPACED) for char in word)
        unspaced += characters
        if not characters:
            (small if word.isdigit() or len(word) < SHORTEST else words).add(word)
    if len(words) >= WORDS - 1:
        words |= small
    return len(words) + unspaced // 2 >= WORDS


def plain_text(text: str) -> str:
    """What somebody typed, as it can be stored and shown: no control characters but line ends, no blanks around."""
    stored = text.encode("utf-8", "replace").decode()
    return "".join(char if char.isprintable() or char == "\n" else " " for char in stored).strip()
