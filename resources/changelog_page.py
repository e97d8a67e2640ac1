"""The changelog where people find it."""

from __future__ import annotations

from pathlib import Path

from resources.world import World


def changelog_place(world: World, task: str) -> Path:
    """`<home>/reports/<task>-changelog.md`."""
    return world.places.report(task).with_name(f"{task}-changelog.md")


def write_changelog(world: World, task: str) -> Path:
    """Write the changelog of a task's model as the registry and the decision log are now."""
    target = changelog_place(world, task)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_suffix(".part")
    part.write_text(world.registry.changelog(task, world.decision_log(task)), encoding="utf-8")
    part.replace(target)
    return target
