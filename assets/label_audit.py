"""Play 3, from the frozen features: labels to check as the relabel queue, and the worth of more data."""

# Annotations are real types here: Dagster reads them to load each input as the artefact that it is.
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from assets.adaptation import activations, training_inputs
from assets.base import base_folder
from assets.code_versions import version_of
from assets.factory import AssetMaker
from assets.play import Made, Play, png, remembered, require_green, result, skip
from playbook.artifacts import BaseSelection, DatasetVersion, FrozenBaseline, LabelAudit
from playbook.data.annotations import label_file, planted_errors, second_labels
from playbook.data.corrections import read_corrections, with_current_names
from playbook.data.labelling import RESTS_ON
from playbook.data.source_form import form_beside
from playbook.plays import AUDIT, BASE, DATASET, FROZEN
from playbook.relabel import queue_place
from playbook.store import file_sha256

if TYPE_CHECKING:
    from playbook.adapt.frozen import FrozenFeatures
    from playbook.data.label_errors import AuditRows
    from playbook.data.learning_curve import MeasuredCurve, Numbers
    from playbook.statistics.answers import Answers

QUEUE, PLOT = "queue.csv", "learning_curve.png"


def label_audit(maker: AssetMaker) -> dg.AssetsDefinition:
    """Which labels to look at again, and whether more rows would pay."""
    options = maker.options(
        AUDIT,
        play=3,
        owner=maker.task.spec.owners.data,
        part="audit",
        kinds={"scikitlearn"},
        upstream={"dataset": DATASET, "base": BASE, "frozen": FROZEN},
    )

    @dg.asset(**options, description="Labels to check as a relabel queue, and the learning curve.")
    def audit(
        context: dg.AssetExecutionContext, dataset: DatasetVersion, base: BaseSelection, frozen: FrozenBaseline
    ) -> dg.Output[LabelAudit]:
        play = maker.play(context, AUDIT)
        require_green(dataset)
        if frozen.skipped:
            return result(play, skip(play, LabelAudit, frozen.reason))
        inputs = _inputs(play, dataset, base, frozen)
        done = remembered(play, LabelAudit, inputs, lambda key: _audit(play, dataset, base, frozen, key))
        place = _publish(play, done)
        return result(play, done, _shown(play, done, place))

    return audit


def _inputs(play: Play, dataset: DatasetVersion, base: BaseSelection, frozen: FrozenBaseline) -> dict[str, Any]:
    data = play.task.spec.data
    files = {part: label_file(play.task, part) for part in (*RESTS_ON, "known_errors")}
    return {
        "training": training_inputs(play, dataset, base),
        "frozen": [frozen.files["weights"].sha256, frozen.l2],
        "labels": data.labels.model_dump(mode="json", exclude={"min_rows_twice", "labelled_by"}),
        "fold_draws": _draws(play, dataset),
        "learning_curve": data.learning_curve.model_dump(mode="json"),
        "repeats": _repeats(play, dataset.rows.get("train", 0)),
        "files": {part: file_sha256(path) for part, path in files.items() if path and path.is_file()},
        "code": version_of("audit"),
    }


def _draws(play: Play, dataset: DatasetVersion) -> int:
    """How often the folds are drawn: as the task file says, else by how much there is to fit."""
    from playbook.data.label_errors import default_draws

    labels = play.task.spec.data.labels
    if "fold_draws" in labels.model_fields_set:
        return labels.fold_draws
    rows = sum(dataset.rows.get(split, 0) for split in ("train", "validation"))
    return default_draws(labels.fold_draws, rows, len(play.task.spec.labels))


def _audit(play: Play, dataset: DatasetVersion, base: BaseSelection, frozen: FrozenBaseline, key: str) -> Made:
    import pandas as pd

    from playbook.data.label_errors import METHOD, find_label_errors, labels_before
    from playbook.data.learning_curve_plot import learning_curve_plot
    from playbook.data.relabel_queue import build_queue, in_words, review, write_queue
    from playbook.data.row_names import RowNames
    from playbook.data.tables import ROW_ID, SPLIT

    task, spec, out = play.task, play.task.spec, play.work(key)
    rows, features = _rows(play, dataset, base)
    asked, seed = spec.data.labels, spec.adaptation.seed
    draws = _draws(play, dataset)
    play.report(f"out-of-fold probabilities of {len(rows.row_ids)} rows, {draws} x {asked.folds} folds")
    names = RowNames(pd.DataFrame({ROW_ID: rows.row_ids, SPLIT: rows.splits}), spec.data)
    corrections = with_current_names(read_corrections(task), names)
    was = labels_before(rows, spec.labels, corrections)
    found = find_label_errors(rows, len(spec.labels), l2=frozen.l2, folds=asked.folds, seed=seed, draws=draws, was=was)
    second = second_labels(task, names) or {}
    reviewed_rows = {one.row_id for one in corrections}
    queue = build_queue(rows, found, spec.labels, second, reviewed_rows, asked.check_from, seed)
    files = {"queue": write_queue(queue, out / QUEUE)}
    reviewed = review(queue, rows, planted_errors(task, names), corrections)  # after the queue is written
    labels_say = in_words(queue, reviewed, len(rows.row_ids))
    play.report(labels_say)
    measured = _curve(play, features, frozen)
    if measured is not None:
        files["plot"] = out / PLOT
        files["plot"].write_bytes(learning_curve_plot(measured, "png"))
    data_says = measured.curve.text if measured else "There are too few training rows for a learning curve."
    play.report(data_says)
    artifact = LabelAudit(
        task=spec.task,
        rows=len(rows.row_ids),
        suspects=len(queue.entries),
        queued=len(queue.entries),
        wrong=queue.wrong,
        suspects_by_class=queue.by_class,
        method=METHOD,
        review=reviewed,
        curve=measured.curve if measured else None,
        text=f"{labels_say} {data_says}",
        hardware=features.hardware,
    )
    return Made(artifact, files)


def _rows(play: Play, dataset: DatasetVersion, base: BaseSelection) -> "tuple[AuditRows, FrozenFeatures]":
    """Train and validation rows with the features that the frozen baseline was trained on."""
    import pandas as pd

    from playbook.adapt.frozen import FrozenJob, boundaries_of, frozen_features
    from playbook.data.label_errors import AuditRows
    from playbook.data.tables import GROUP, ROW_ID, TEXT

    spec, store = play.task.spec, play.world.store
    if base.pin is None:
        raise dg.Failure("the base is not pinned; materialise base_selection first", allow_retries=False)
    paths = {split: store.path(dataset, DATASET, split) for split in ("train", "validation")}
    job = FrozenJob(
        base_folder=base_folder(play, base.pin),
        pin=base.pin,
        labels=spec.labels,
        train=paths["train"],
        validation=paths["validation"],
        boundaries=boundaries_of(base.pin.blocks, spec.adaptation.max_rungs),
        metric=spec.target.all_limits[0],
        adaptation=spec.adaptation,
        cache=activations(play),
        out=play.work("unused"),
    )
    features = frozen_features(job, play.report)
    tables = {split: pd.read_parquet(path) for split, path in paths.items()}
    both = pd.concat(tables.values(), ignore_index=True)
    rows = AuditRows(
        row_ids=tuple(both[ROW_ID]),
        splits=tuple(split for split, table in tables.items() for _ in range(len(table))),
        texts=tuple(both[TEXT]),
        groups=tuple(both[GROUP]),
        features=features.features,
        labels=features.data.labels,
    )
    return rows, features


def _curve(play: Play, features: "FrozenFeatures", frozen: FrozenBaseline) -> "MeasuredCurve | None":
    """The curve of heads that answer as the frozen baseline does, to its very answers at all rows."""
    import pandas as pd

    from playbook.adapt.fewer_rows import heads_with_fewer_rows
    from playbook.adapt.staircase import served_answers
    from playbook.data.learning_curve import CurveHeads, CurveRows, CurveRules, learning_curve
    from playbook.evaluate.as_served import as_served

    spec, data = play.task.spec, features.data
    asked = spec.data.learning_curve
    rules = CurveRules(
        metric=spec.target.all_limits[0],
        labels=spec.labels,
        sizes=asked.sizes,
        repeats=_repeats(play, len(data.train)),
        worth=asked.worth,
        seed=spec.adaptation.seed,
    )
    predictions = pd.read_parquet(play.world.store.path(frozen, FROZEN, "predictions"))
    truth, whole = served_answers(predictions, spec)
    fitted = heads_with_fewer_rows(features, rules.bound, spec.adaptation.class_weighting, frozen.l2)

    def fewer(rows: "Numbers") -> "Answers":
        probabilities = fitted(rows)
        return as_served(spec, truth, probabilities).answers(probabilities)

    return learning_curve(CurveRows(data.labels, data.train, data.validation), rules, CurveHeads(whole, fewer))


def _repeats(play: Play, rows: int) -> int:
    """How many series the learning curve has: as the task file says, else by how much there is to fit."""
    from playbook.data.learning_curve import default_repeats

    asked = play.task.spec.data.learning_curve
    if "repeats" in asked.model_fields_set:
        return asked.repeats
    return default_repeats(asked.repeats, rows, len(play.task.spec.labels))


def _publish(play: Play, done: LabelAudit) -> Path:
    """Put the queue where the data owner finds it, unless edits that are not applied yet lie there."""
    from playbook.data.relabel_queue import publish_queue

    place = queue_place(play.task, play.world.places)
    written = play.world.store.path(done, AUDIT, "queue")
    if not publish_queue(written, place, read_corrections(play.task), form_beside(play.task)):
        play.report(f"{place} has edits that are not applied: it stays; apply them with `playbook relabel`")
    return place


def _shown(play: Play, done: LabelAudit, place: Path) -> dict[str, Any]:
    review, wrong = done.review, done.wrong
    shown: dict[str, Any] = {
        "summary": done.text,
        "to_check": done.suspects,
        "estimated_wrong": f"{wrong.value:.0f} ({wrong.low:.0f} to {wrong.high:.0f})" if wrong else "-",
        "queue": dg.MetadataValue.path(str(place)),
        "method": done.method,
        "reviewed": review.reviewed,
        "changed": review.changed,
    }
    if review.planted and review.looked_at:
        shown |= {"planted": review.planted, "planted_found": review.found}
        shown["precision_of_first_entries"] = review.found / review.looked_at
    if done.curve is not None:
        gain = done.curve.gain_of_twice
        image = play.world.store.path(done, AUDIT, "plot").read_bytes()
        shown |= {
            "more_data": done.curve.verdict,
            "gain_of_twice": f"{gain.value:.4f} ({gain.low:.4f} to {gain.high:.4f})",
            "law": done.curve.law,
            "learning_curve": png(image, "learning curve"),
        }
    return shown
