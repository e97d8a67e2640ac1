"""The incumbent: the model version that serves while a dataset version is made into its successor."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from assets.play import Play
from playbook.artifacts import BaseSelection

if TYPE_CHECKING:
    from resources.registry import Registered

DATASET_TAG = "playbook/dataset_hash"  # of a model version: the data that it was made from
WEIGHTS_TAG = "playbook/weights_sha256"  # of a model version: its trained tensors
INCUMBENT_TAG = "playbook/incumbent"  # of a model version: the version that served when it was made


def incumbent_of(play: Play, dataset_hash: str) -> Registered | None:
    """The version that serves on other data than this, or that did when this data's own version was made.

    So a run that is repeated after its model was promoted finds the same incumbent again, and comes to the same result.
    """
    name, registry = play.task.spec.task, play.world.registry
    at = registry.at_alias(name, play.task.spec.package.alias)
    if at is None or at.tags.get(DATASET_TAG, "") != dataset_hash:
        return at
    before = at.tags.get(INCUMBENT_TAG, "")
    return next((version for version in registry.versions(name) if before and version.version == before), None)


def base_out(play: Play, base: BaseSelection, incumbent: Registered) -> str:
    """Why the task no longer uses the base that the incumbent stands on; empty where it does.

    A base that the bake-off did not choose is not a reason: the incumbent's may be refreshed beside it.
    """
    mine = incumbent.identity.base_sha256
    for place, one in enumerate(base.candidates):
        pinned = one.pin.weights_sha256 if one.pin else play.task.spec.bases[place].sha256
        if pinned == mine:
            return one.out
    return "it is no longer a base of the task file"


def fetch_incumbent(play: Play, incumbent: Registered, into: Path) -> Path:
    """Folder of the incumbent's bundle, verified."""
    return play.world.registry.fetch_bundle(incumbent, into)
