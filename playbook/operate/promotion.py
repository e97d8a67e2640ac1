"""Which version is in production: what a promotion and a rollback need, read from the decision log (6.1, B3).

An approval promotes the version that it names, once. A version that was rolled back, or that another one took the
place of, does not come back because something ran again: that takes a new approval, or a rollback to it, which is a
decision of its own. Both are entries of the log, written before an alias moves, so that nothing serves that is not on
record.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from playbook.decide.log import Entry
from playbook.evaluate.sign_off_state import Statement
from playbook.operate.versions import parse_version

MOVES = ("promotion", "rollback")


@dataclass(frozen=True)
class Standing:
    """What the log says is in production under an alias, and what was before."""

    champion: str = ""  # semantic versions; empty: none
    previous: str = ""
    source: str = ""  # frozen_baseline, rung_K or refresh: what the champion is


def standing(entries: Sequence[Entry], alias: str) -> Standing:
    """The last promotion or rollback of an alias."""
    last = next(iter(reversed(moves(entries, alias))), None)
    if last is None:
        return Standing()
    return Standing(*(str(last.inputs.get(name) or "") for name in ("to", "from", "source")))


def moves(entries: Sequence[Entry], alias: str) -> list[Entry]:
    """Promotions and rollbacks of an alias, oldest first."""
    return [entry for entry in entries if entry.kind in MOVES and entry.inputs.get("alias") == alias]


def were_champions(entries: Sequence[Entry], alias: str) -> dict[str, str]:
    """Every version that once was in production, with the hash of its bundle; newest statement wins."""
    found: dict[str, str] = {}
    for entry in moves(entries, alias):
        for end in ("from", "to"):
            if entry.inputs.get(end):
                found[str(entry.inputs[end])] = str(entry.inputs.get(f"{end}_bundle") or "")
    return found


def rolled_back(entries: Sequence[Entry], alias: str) -> dict[str, Entry]:
    """Versions that somebody rolled back from, with the last such entry, until a later move puts them back.

    Who puts a version back that was found bad takes nothing out: the version that served in between stays good.
    """
    found: dict[str, Entry] = {}
    for entry in moves(entries, alias):
        if entry.kind == "rollback" and "reinstates" not in entry.body:
            found[str(entry.inputs.get("from"))] = entry
        found.pop(str(entry.inputs.get("to")), None)
    return found


def version_before(entries: Sequence[Entry], alias: str, now: str) -> str:
    """The version that a rollback from `now` goes to; empty where there is none.

    It is the last one promoted before `now` was that nobody has rolled back from, so that a rollback that is repeated
    goes further back, and never to a version that was found bad.
    """
    history: list[str] = []
    for entry in moves(entries, alias):
        if entry.kind == "promotion":
            before, after = (str(entry.inputs.get(end) or "") for end in ("from", "to"))
            history = [version for version in history if version != after]
            history += [version for version in (before,) if version and version not in history] + [after]
    bad = rolled_back(entries, alias)
    earlier = history[: history.index(now)] if now in history else []
    return next((version for version in reversed(earlier) if version not in bad), "")


def against_promotion(name: str, tags: Mapping[str, str], approval: str, entries: Sequence[Entry]) -> list[str]:
    """Why an approval does not cover a version; nothing where it does.

    Args:
        name: the task, which is the model's name.
        tags: of the version, without the prefix: `weights_sha256`, `dataset_hash`.
        approval: hash of the entry that is said to approve it.
        entries: the whole log, verified.
    """
    entry = next((one for one in entries if one.sha256 == approval), None) if approval else None
    if entry is None:
        return [f"expected its approval in the decision log, found no entry {approval[:12] or '(none named)'}"]
    if entry.kind != "sign_off":
        return [f"expected an approval, found a {entry.kind} in entry {entry.index} of the decision log"]
    try:
        statement = Statement.model_validate(entry.body.get("statement"))
    except ValidationError:
        return [f"entry {entry.index} of the decision log holds no statement that can be read"]
    bound = statement.binding
    pairs = [
        ("task", name, statement.task),
        ("trained weights", tags.get("weights_sha256", ""), bound.weights),
        ("dataset", tags.get("dataset_hash", ""), bound.dataset),
    ]
    found = [
        f"the approval (entry {entry.index}) is for another model: expected {what} {expected[:12] or '(no tag)'}, "
        f"found {signed[:12]}"
        for what, expected, signed in pairs
        if expected != signed or not expected
    ]
    later = [one for one in entries if one.index > entry.index and one.kind == "rejection"]
    rejected = next((one for one in later if one.inputs.get("evaluation") == bound.evaluation), None)
    if rejected is not None:
        found.append(f"it was rejected since, by {rejected.by} (entry {rejected.index}): {rejected.title}")
    return found


def against_rollback(
    entries: Sequence[Entry], alias: str, now: Mapping[str, str], target: Mapping[str, str]
) -> list[str]:
    """Why a version cannot be put back in place of the one that is there: tags of both, without the prefix."""
    to, once = target["version"], were_champions(entries, alias)
    found = [f"{to} is in production already"] if to == now["version"] else []
    if once.get(to) != target["bundle_sha256"]:
        known = ", ".join(sorted((v for v in once if v != now["version"]), key=parse_version)) or "none"
        found.append(
            f"the decision log knows no promotion of {to}: only a version that was in production can be put back; "
            f"those are: {known}"
        )
    return found


def held_back(version: str, alias: str, approval: str, entries: Sequence[Entry]) -> str:
    """Why an approval of a version does not promote it (again); empty where it may."""
    at = next((entry.index for entry in entries if entry.sha256 == approval), 0)
    made = moves(entries, alias)
    rolled = next((entry for entry in reversed(made) if entry.kind == "rollback" and entry.index > at), None)
    again = f"a new approval promotes it, or `playbook rollback TASK --to {version}` if it was in production before"
    if rolled is not None:
        return (
            f"{rolled.by} rolled back from {rolled.inputs.get('from')} to {rolled.inputs.get('to')} after this "
            f"approval (entry {rolled.index}: {rolled.body.get('reason', '')}); {again}"
        )
    left = next((e for e in reversed(made) if e.inputs.get("from") == version), None)
    if left is not None and left.kind == "rollback" and _by_rule(approval, entries):
        return (
            f"{left.by} rolled it back (entry {left.index}: {left.body.get('reason', '')}), and an approval by rule "
            f"does not overrule a person; `playbook rollback TASK --to {version}` does"
        )
    used = [e for e in made if e.kind == "promotion" and e.inputs.get("decision") == approval]
    last = made[-1] if made else None
    if used and last is not None and last.inputs.get("to") != version:
        return f"{last.inputs.get('to')} took its place since (entry {last.index}); {again}"
    return ""


def _by_rule(approval: str, entries: Sequence[Entry]) -> bool:
    entry = next((one for one in entries if one.sha256 == approval), None)
    statement = entry.body.get("statement") if entry is not None else None
    return isinstance(statement, dict) and statement.get("mode") == "automatic"


def move_inputs(alias: str, before: Mapping[str, str], after: Mapping[str, str], **more: str) -> dict[str, Any]:
    """Inputs of a log entry that moves an alias: versions and hashes of both ends."""
    ends = {"from": before, "to": after}
    named = {end: tags.get("version", "") for end, tags in ends.items()}
    hashes = {f"{end}_bundle": tags.get("bundle_sha256", "") for end, tags in ends.items()}
    weights = {"weights": after.get("weights_sha256", ""), "dataset": after.get("dataset_hash", "")}
    return {"alias": alias, **named, **hashes, **weights, "source": after.get("source", ""), **more}
