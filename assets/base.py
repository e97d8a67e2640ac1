"""Play 2: the base, found and pinned."""

# Annotations are real types here: Dagster reads them to load each input as the artefact that it is.
from pathlib import Path

import dagster as dg

from assets.factory import AssetMaker, version_of
from assets.play import Made, Play, remembered, require_green, result, skip
from playbook.artifacts import BasePin, BaseSelection, DatasetVersion, ProblemStatement, ReferenceBaselines
from playbook.bases.pin import pin_base
from playbook.plays import BASE, DATASET, PROBLEM, REFERENCES
from playbook.store import file_sha256


def base_selection(maker: AssetMaker) -> dg.AssetsDefinition:
    """The pinned base: weights by hash, licence, size."""
    options = maker.options(
        BASE,
        play=2,
        owner=maker.task.spec.owners.model,
        part="base",
        kinds={"huggingface"},
        upstream={"statement": PROBLEM, "dataset": DATASET, "references": REFERENCES},
    )

    @dg.asset(**options, description="The pretrained base, verified against its pin.")
    def selection(
        context: dg.AssetExecutionContext,
        statement: ProblemStatement,
        dataset: DatasetVersion,
        references: ReferenceBaselines,
    ) -> dg.Output[BaseSelection]:
        play = maker.play(context, BASE)
        require_green(dataset)
        if references.meets_target:
            return result(play, skip(play, BaseSelection, f"target already met by {references.meets_target}"))
        folder = base_folder(play)
        pinned = pin_base(maker.task.spec.base, folder)  # every time: what lies there may have changed
        config = file_sha256(folder / "config.json")
        inputs = {"pin": pinned.model_dump(), "config": config, "code": version_of("base")}
        done = remembered(play, BaseSelection, inputs, lambda key: _selected(play, pinned))
        pin = done.pin.model_dump() if done.pin else {}
        return result(play, done, {name: value or "-" for name, value in pin.items()})

    return selection


def base_folder(play: Play) -> Path:
    """Where the base lies on this machine."""
    from playbook.bases.locate import locate_base

    return locate_base(play.task.spec.base, play.task.resolve)


def _selected(play: Play, pin: BasePin) -> Made:
    play.report(
        f"{pin.name}: {pin.parameters / 1e6:.1f} million parameters, {pin.blocks} blocks, licence {pin.licence}"
    )
    return Made(BaseSelection(task=play.task.spec.task, pin=pin))
