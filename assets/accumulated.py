"""Play 3 begins again: labelled rows from production join the dataset when a round is asked for (3.7, 6.6)."""

# Annotations are real types here: Dagster reads them to load each input as the artefact that it is.
from typing import Any

import dagster as dg

from assets.factory import AssetMaker
from assets.play import Made, Play, remembered, result
from playbook.artifacts import Accumulation
from playbook.data.sides import sides_of
from playbook.operate.accumulate import Grown, Labelled, accumulate
from playbook.operate.rounds import kinds_of, pending_triggers, take_up
from playbook.plays import ACCUMULATED

NO_PLACE = "the task file names no data.accumulated.rows, so labelled rows of production stay in the prediction log"


def accumulated_rows(maker: AssetMaker) -> dg.AssetsDefinition:
    """What production added to the data; nothing is added unless a trigger waits for it."""
    options = maker.options(
        ACCUMULATED,
        play=3,
        owner=maker.task.spec.owners.data,
        part="accumulate",
        kinds={"csv"},
        upstream={},
    )

    @dg.asset(**options, description="Labelled inputs from the prediction log, added when a retraining round begins.")
    def accumulated(context: dg.AssetExecutionContext) -> dg.Output[Accumulation]:
        play = maker.play(context, ACCUMULATED)
        # The logs are outside of Dagster's graph: they are read every time, only an equal result is kept.
        done = _accumulate(play)
        inputs = done.model_dump(mode="json")
        kept = remembered(play, Accumulation, {"state": inputs}, lambda key: Made(done))
        return result(play, kept, _shown(kept))

    return accumulated


def _accumulate(play: Play) -> Accumulation:
    name = play.task.spec.task
    log = play.world.decision_log(name)
    waiting = pending_triggers(log.entries())
    if not waiting:
        return Accumulation(task=name, reason="no retraining round is asked for: the data stays as it is")
    grown = _grow(play)
    what = f"{grown.added} labelled rows added ({grown.rows} from production in all)" if grown else NO_PLACE
    if grown and grown.left_out:
        what += f"; left out: {', '.join(f'{n} with {why}' for why, n in grown.left_out.items())}"
    if grown and grown.new_classes:
        what += f"; new classes: {', '.join(f'{label} ({n} rows)' for label, n in grown.new_classes.items())}"
    kinds = sorted({kind for entry in waiting for kind in kinds_of(entry)})
    said = f"retraining round for {', '.join(kinds)}: {what}"
    body = {"run_id": play.context.run.run_id, "root_run_id": play.run_key, "kinds": kinds}
    figures = {"added": grown.added, "new_classes": list(grown.new_classes)} if grown else {}
    take_up(log, name, waiting, said, {**body, **figures})
    play.report(said)
    triggers = tuple(entry.sha256 for entry in waiting)
    if grown is None:
        return Accumulation(task=name, reason=NO_PLACE, triggers=triggers)
    return Accumulation(
        task=name,
        rows=grown.rows,
        added=grown.added,
        by_class=grown.by_class,
        new_classes=grown.new_classes,
        unknown=grown.unknown,
        left_out=grown.left_out,
        triggers=triggers,
        reason=said,
    )


def _grow(play: Play) -> Grown | None:
    if play.task.spec.data.accumulated is None:
        return None
    name = play.task.spec.task
    rows = labelled_rows(play.world.prediction_log(name).labelled())
    return accumulate(play.task, rows, sides_of(play.world.store, name))


def labelled_rows(frame: Any) -> list[Labelled]:
    """Rows of the prediction log that have an outcome; `frame` as `PredictionLog.labelled` gives it."""
    fields = zip(frame["id"], frame["text"], frame["outcome"], frame["day"], frame["columns"], strict=True)
    return [
        Labelled(str(row), str(text), str(label), str(day), {str(k): str(v) for k, v in (columns or {}).items()})
        for row, text, label, day, columns in fields
    ]


def _shown(done: Accumulation) -> dict[str, Any]:
    return {
        "rows": done.rows,
        "added": done.added,
        "by_class": dg.MetadataValue.json(done.by_class),
        "new_classes": dg.MetadataValue.json(done.new_classes),
        "left_out": dg.MetadataValue.json(done.left_out),
        "unknown_labels": dg.MetadataValue.json(done.unknown),
        "triggers": dg.MetadataValue.json(list(done.triggers)),
    }
