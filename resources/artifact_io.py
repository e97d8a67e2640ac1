"""Dagster's view of the store: an output becomes what the catalogue shows, an input is loaded by its type."""

from __future__ import annotations

import dagster as dg

from playbook.artifacts import Artifact, DatasetVersion
from playbook.errors import ArtifactError
from playbook.plays import DATASET
from resources.world import World


class ArtifactIOManager(dg.IOManager):
    """Plays write their artefacts to the store themselves; this manager moves the pointer and reads along it."""

    def __init__(self, world: World) -> None:
        self.world = world

    def handle_output(self, context: dg.OutputContext, obj: Artifact) -> None:
        """Make the artefact the current one of its asset."""
        task, asset = context.asset_key.path
        partition = context.partition_key if context.has_partition_key else ""
        store = self.world.store
        dataset = obj if isinstance(obj, DatasetVersion) else store.current(task, DATASET, DatasetVersion)
        store.set_current(task, asset, obj.play_key, partition, dataset.dataset_hash if dataset else "")

    def load_input(self, context: dg.InputContext) -> Artifact:
        """Load the current artefact of the upstream asset, verified against the type that the play asks for.

        Raises:
            ArtifactError: the upstream asset was never materialised.
        """
        task, asset = context.asset_key.path
        kind = context.dagster_type.typing_type
        partition = context.asset_partition_key if context.has_asset_partitions else ""
        found = self.world.store.current(task, asset, kind, partition)
        if found is None:
            raise ArtifactError(f"{task}/{asset} has no result yet; materialise it first, or run the whole task")
        return found
