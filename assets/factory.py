"""The graph of one task: every asset gets its group, owner, play tag and code version here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg

from assets.code_versions import version_of
from assets.play import PLAY_TAG, Play
from playbook.task_names import claim_name
from playbook.taskfile import Task, grown
from resources.world import World


class AssetMaker:
    """Options that the assets of one task share."""

    def __init__(self, task: Task, world: World) -> None:
        self.task, self.world = task, world
        self.name = task.spec.task

    def key(self, asset: str) -> dg.AssetKey:
        """Dagster's key of one of the task's assets."""
        return dg.AssetKey([self.name, asset])

    def play(self, context: dg.AssetExecutionContext, asset: str) -> Play:
        """The running play; its classes are those of now, which a play before it may have added to.

        Raises:
            TaskFileError: the task's name belongs to another file of this installation.
        """
        claim_name(self.task, self.world.places)
        return Play(context, self.world, grown(self.task), asset)

    def options(
        self,
        asset: str,
        *,
        play: int,
        owner: str,
        part: str | tuple[str, ...],
        kinds: set[str],
        upstream: Mapping[str, str],
    ) -> dict[str, Any]:
        """Arguments of `dagster.asset`.

        `upstream` maps argument names to assets; `part` names the asset's code, by `assets.code_versions`.
        """
        return {
            "key": self.key(asset),
            "ins": {argument: dg.AssetIn(key=self.key(source)) for argument, source in upstream.items()},
            "group_name": self.name,
            "owners": [owner],
            "kinds": {"python", *kinds},
            "tags": {PLAY_TAG: str(play)},
            "code_version": version_of(*((part,) if isinstance(part, str) else part)),
            "io_manager_key": "artifacts",
        }
