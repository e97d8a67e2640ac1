"""The recipe of a model that is packaged: what trained it, and what it started from."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

import dagster as dg

from assets.play import Play
from playbook.artifacts import DatasetVersion, FrozenBaseline, Refresh, Rung


def add_recipe(play: Play, dataset: DatasetVersion, model: FrozenBaseline | Rung, source: str, folder: Path) -> str:
    """Put the recipe into the bundle; returns the version that the model was refreshed from, or nothing."""
    from playbook.operate.recipe import RECIPE, base_of, circumstances_of, make_recipe, recipe_in

    spec, world, pin = play.task.spec, play.world, model.pin
    if pin is None:
        raise dg.Failure(f"{source} has no pinned base; materialise it again", allow_retries=False)
    config = json.loads(world.store.path(model, source, "config").read_text(encoding="utf-8"))
    threads = config.get("threads") or world.places.threads or os.cpu_count() or 1
    version, refreshed = model.version if isinstance(model, Refresh) else "", None
    if version:
        registry = world.registry
        with tempfile.TemporaryDirectory(prefix="incumbent-") as scratch:
            before = recipe_in(registry.fetch_bundle(registry.find(spec.task, version), Path(scratch)))
        if before is None:
            play.report(f"version {version} was made before there were recipes: this refresh of it has none either")
            return version
        refreshed = (version, before)
    recipe = make_recipe(
        spec,
        dataset,
        pin,
        base_of(pin, spec.bases),
        folder,
        unfrozen=model.unfrozen,
        weights_sha256=model.files["weights"].sha256,
        circumstances=circumstances_of(model.hardware, config["versions"], threads),
        l2=model.l2 if isinstance(model, FrozenBaseline) else 0.0,
        refreshed=refreshed,
    )
    (folder / RECIPE).write_text(recipe.text, encoding="utf-8")
    return version
