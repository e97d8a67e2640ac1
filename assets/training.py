"""Trainings, remembered by what they train from: a result that is judged by other rules is not trained again.

A rung's artefact says how good the model is and whether it is kept, so it depends on confidence and rule. The training
itself does not. It is kept under a key of its own: rows, base, start, plan of training, the metric that chooses the
best epoch, and the code that trains. No limit, margin, power or confidence is in it.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assets.code_versions import version_of
from assets.play import Made, Play, remembered
from playbook.artifacts import Training, canonical_hash
from playbook.store import file_sha256
from resources.launcher import TrainLauncher

if TYPE_CHECKING:
    from playbook.adapt.frozen import FrozenJob, FrozenResult
    from playbook.adapt.job import Job

TRAINING = "training"  # where the store keeps them
NOT_IN_A_TRAINING = {"max_rungs", "keep", "controls"}  # fields of the section that do not change how one model trains
IN_A_HEAD = {"class_weighting", "seed", "accelerator", "precision"}  # those that change the head of the frozen base
FILES = {"weights": "weights.safetensors", "predictions": "predictions.parquet", "config": "config.json"}
RESULT = "result.json"


@dataclass(frozen=True)
class Trained:
    """A finished training in its job's folder; `spared` are its seconds where it was found rather than done."""

    result: Any  # JobResult, FrozenResult
    spared: float = 0.0


def train(play: Play, job: Job) -> Trained:
    """Train a job, or put the files of the same training into its folder.

    Raises:
        TrainingFailed: the worker ended without a result.
    """
    from playbook.adapt.job import JobResult

    def make() -> None:
        TrainLauncher().run(play.context, job, play.report)

    _, found = _remembered(play, training_key(job), job.out, make)
    result = JobResult.load(job.out)
    if result is None:
        raise AssertionError(f"{job.out / RESULT}: expected what the training left there")
    return Trained(result, result.seconds if found else 0.0)


def train_head(play: Play, job: FrozenJob) -> Trained:
    """Fit the head of the frozen base, or put the files of the same head into the job's folder."""
    import pandas as pd

    from playbook.adapt.frozen import FrozenResult, train_frozen
    from playbook.adapt.staircase import read_answers

    fitted: list[FrozenResult] = []

    def make() -> None:
        done = train_frozen(job, play.report)
        about = {"l2": done.l2, "grid": done.grid, "iterations": done.iterations, "hardware": done.hardware}
        (job.out / RESULT).write_text(json.dumps(about), encoding="utf-8")
        fitted.append(done)

    stored, found = _remembered(play, head_key(job), job.out, make)
    if fitted:
        return Trained(fitted[0])
    files = {role: job.out / name for role, name in FILES.items()}
    truth, answers = read_answers(pd.read_parquet(files["predictions"]), job.labels)
    about = json.loads((job.out / RESULT).read_text(encoding="utf-8"))
    return Trained(FrozenResult(files=files, truth=truth, answers=answers, **about), stored.seconds if found else 0.0)


def training_key(job: Job) -> dict[str, Any]:
    """What a rung's or a control's weights depend on."""
    return {
        **_rows_and_base(job),
        "start": file_sha256(job.start),
        "unfrozen": job.unfrozen,
        "embeddings": job.embeddings,
        "adaptation": job.adaptation.model_dump(mode="json", exclude=NOT_IN_A_TRAINING),
        "code": version_of("training"),
    }


def head_key(job: FrozenJob) -> dict[str, Any]:
    """What the head of the frozen base depends on."""
    plan = job.adaptation.model_dump(mode="json", include=IN_A_HEAD)
    return {**_rows_and_base(job), "head": plan, "code": version_of("head")}


def _rows_and_base(job: Job | FrozenJob) -> dict[str, Any]:
    from playbook.bases.locate import WEIGHTS

    return {
        "train": file_sha256(job.train),
        "validation": file_sha256(job.validation),
        "data": job.dataset.model_dump(mode="json"),
        "labels": list(job.labels),
        "pin": canonical_hash(job.pin.model_dump(mode="json")),
        "base": file_sha256(job.base_folder / WEIGHTS),
        "metric": [job.metric.metric, job.metric.of_class],
    }


def _remembered(play: Play, inputs: dict[str, Any], out: Path, make: Callable[[], None]) -> tuple[Training, bool]:
    """The stored training and whether it was there; its files are in `out` in either case."""
    part, made = replace(play, asset=TRAINING), []

    def work(key: str) -> Made:
        make()
        made.append(key)
        return Made(Training(task=play.task.spec.task), {**_files(out), "result": out / RESULT})

    done = remembered(part, Training, inputs, work)
    if not made:
        out.mkdir(parents=True, exist_ok=True)
        for role, ref in done.files.items():
            shutil.copyfile(play.world.store.path(done, TRAINING, role), out / ref.name)
    return done, not made


def _files(out: Path) -> dict[str, Path]:
    """Files of a finished training; a head is fitted without epochs."""
    from playbook.adapt.results import EPOCHS

    files = {role: out / name for role, name in FILES.items()}
    return files | ({"epochs": out / EPOCHS} if (out / EPOCHS).exists() else {})
