"""The changelog of a model (6.1): one line per version, what changed and by how much, and the page of all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from playbook.artifacts import Evaluation, Figure
from playbook.decide.log import Entry
from playbook.evaluate.markdown import markdown_table, markdown_text
from playbook.operate.versions import Identity, parse_version

MOVES = ("promotion", "rollback")


@dataclass(frozen=True)
class VersionNote:
    """What the changelog says of one version."""

    version: str
    line: str  # the changelog line
    date: str  # ISO, UTC
    aliases: tuple[str, ...] = ()
    dataset_version: str = ""
    signed_by: str = ""
    bundle_sha256: str = ""
    more: Mapping[str, str] = field(default_factory=dict)


def changed_text(before: Identity | None, now: Identity, was: Mapping[str, str], numbers: Mapping[str, str]) -> str:
    """What changed since another version, in words.

    Args:
        before: identity of the version that it is compared with; None for the first version.
        now: identity of the new one.
        was: `version` and `dataset` (its number) of the version before.
        numbers: `dataset` (its number), `source` and `refreshed_from` of the new one.
    """
    data = f"data version {numbers['dataset']}"
    if before is None:
        return f"first version: {numbers['source']} on {data}"
    changes = []
    if not now.same_task(before):
        changes.append("another task definition (question, classes, guideline or metric)")
    if before.base_sha256 != now.base_sha256:
        changes.append("another base")
    if before.dataset_hash != now.dataset_hash:
        changes.append(f"{data} instead of {was.get('dataset') or 'another'}")
    if numbers.get("refreshed_from"):
        return f"refreshed from {numbers['refreshed_from']}: " + (", ".join(changes) or f"the same {data}")
    how = f"{numbers['source']} retrained" if changes else f"{numbers['source']} packaged again"
    said = ", ".join(changes) or f"the same task, {data} and base"
    return f"{how} since {was['version']}: {said}"


def gain_text(evaluation: Evaluation) -> str:
    """The delta of what ships over the frozen baseline, and over the version that served when it was made."""
    if evaluation.ship != "candidate" or evaluation.candidate is None:
        side = evaluation.baseline
        score = side.scores.get(evaluation.metric) if side is not None else None
        measured = f", {evaluation.metric} {score.value:.4f} ({score.low:.4f} to {score.high:.4f})" if score else ""
        over = [f"ships the frozen baseline{measured}, so there is no gain over it"]
    else:
        low, high = evaluation.interval
        over = [f"{evaluation.metric} {evaluation.delta:+.4f} ({low:+.4f} to {high:+.4f}) over the frozen baseline"]
    reference = evaluation.over_reference
    if reference is not None:
        over.append(f"{_figure(reference.gain)} over {reference.name}")
    incumbent = evaluation.incumbent
    if incumbent is not None:
        over.append(f"{_figure(incumbent.delta)} over {incumbent.version}")
        if incumbent.forgetting is not None:
            over.append(f"{_figure(incumbent.forgetting)} over it on its own test rows")
        if incumbent.on_new is not None:
            over.append(f"{_figure(incumbent.on_new)} over it on rows that are new")
    return ", ".join(over) + f" ({evaluation.confidence:.0%} intervals)"


def _figure(figure: Figure) -> str:
    return f"{figure.value:+.4f} ({figure.low:+.4f} to {figure.high:+.4f})"


def render_changelog(task: str, notes: Sequence[VersionNote], entries: Sequence[Entry] = ()) -> str:
    """CHANGELOG.md: versions newest first, then what was promoted and rolled back, newest first.

    Everything from outside is escaped. The same versions and entries give the same bytes.
    """
    parts = [
        f"# Changelog of {markdown_text(task)}",
        "Major: the task's definition or its classes changed. Minor: a model retrained on other data or another "
        "base. Patch: a refresh. No version is ever overwritten.",
    ]
    for note in sorted(notes, key=lambda one: parse_version(one.version), reverse=True):
        aliases = f" ({markdown_text(', '.join(note.aliases))})" if note.aliases else ""
        facts = [("made", note.date), ("data version", note.dataset_version), ("signed off by", note.signed_by)]
        facts += [("bundle SHA-256", note.bundle_sha256), *note.more.items()]
        listed = "\n".join(f"- {name}: {markdown_text(value)}" for name, value in facts if value)
        parts.append(f"## {note.version}{aliases}\n\n{markdown_text(note.line)}\n\n{listed}")
    if not notes:
        parts.append("There is no version yet.")
    moves = [entry for entry in reversed(entries) if entry.kind in MOVES]
    if moves:
        rows = [(entry.time, entry.kind, entry.title, entry.by, entry.sha256[:12]) for entry in moves]
        head = ("when", "what", "decision", "by", "entry of the decision log")
        parts.append(f"## Promotions and rollbacks\n\n{markdown_table(head, rows)}")
    return "\n\n".join(parts) + "\n"
