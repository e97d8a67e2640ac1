"""Pages that people read, at one place per task: the current report, or nothing that could pass for it."""

from __future__ import annotations

from pathlib import Path

from assets.play import Play
from playbook.evaluate.report_content import ReportInputs


def publish_report(play: Play, report: Path) -> Path:
    """Put the current report where people find it: `<home>/reports/<task>.html`."""
    return _put(play, report.read_bytes())


def publish_card(play: Play, card: Path) -> Path:
    """Put the model card beside the report: `<home>/reports/<task>-model-card.md`."""
    target = play.world.places.report(play.task.spec.task)
    return _put(play, card.read_bytes(), target.with_name(f"{play.task.spec.task}-model-card.md"))


def publish_changelog(play: Play) -> Path:
    """Put the changelog of the task's model beside the report: `<home>/reports/<task>-changelog.md`."""
    from resources.changelog_page import write_changelog

    return write_changelog(play.world, play.task.spec.task)


def publish_early_end(play: Play, content: ReportInputs) -> Path:
    """Write the page of a task that ended before its evaluation, in place of the report of an earlier run."""
    from playbook.evaluate.report import render_report

    return _put(play, render_report(content).encode())


def _put(play: Play, content: bytes, target: Path | None = None) -> Path:
    target = target or play.world.places.report(play.task.spec.task)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_suffix(".part")
    part.write_bytes(content)
    part.replace(target)
    return target
