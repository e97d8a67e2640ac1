"""Training a recipe again, from data and base alone, and comparing what comes out (6.2).

The same functions that the plays call train here; nothing is taken from the model that is to be reproduced. Of the
data, only train and validation are read: the test split is neither fetched nor opened.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from playbook.errors import NotReproduced, TrainingFailed
from playbook.operate.recipe import HEAD, MODEL, Circumstances, Recipe, settings_that_differ
from playbook.spec import Adaptation
from playbook.store import file_sha256

if TYPE_CHECKING:
    from playbook.adapt.job import Job, JobResult

READ = ("train", "validation")  # splits that training reads
Report = Callable[[str], None]
Fetch = Callable[[Recipe], Path]  # a recipe -> local folder of what it needs, verified


@dataclass(frozen=True)
class Reproduction:
    """What came of a recipe: hashes beside those that were expected, and where the circumstances differ."""

    expected: dict[str, str]  # file of the bundle -> SHA-256
    found: dict[str, str]
    differ: tuple[str, ...]  # hardware and versions that are not those of the recipe
    bundle: Path

    @property
    def same(self) -> bool:
        """Whether the weights are the same, bit for bit."""
        return all(self.found[name] == self.expected[name] for name in (MODEL, HEAD))


def reproduce(recipe: Recipe, data: Fetch, base: Fetch, work: Path, report: Report) -> Reproduction:
    """Train a recipe and those that it starts from, and compare every one of them with what it should come to.

    Args:
        recipe: of the model.
        data: gives the folder with `train.parquet` and `validation.parquet` of a recipe's dataset version.
        base: gives the folder of a recipe's pinned base.
        work: an empty folder.
        report: told of progress, a line at a time.

    Raises:
        NotReproduced: a model that the recipe starts from came out differently, so that going on would show nothing.
        TrainingFailed: a training process ended without a result.
    """
    before: Path | None = None
    for step, part in enumerate(recipe.chain):
        folder = work / f"step_{step + 1}"
        report(f"training {part.method} of data version {part.data.number} ({step + 1} of {len(recipe.chain)})")
        weights, now = _train(part, data(part), base(part), before, folder, report)
        found = _compare(part, _bundle(part, base(part), weights, folder / "bundle"), now)
        shutil.rmtree(folder / "activations", ignore_errors=True)
        if part is not recipe and not found.same:
            raise NotReproduced(
                f"{part.task}: the model that {recipe.refreshed_from or 'this one'} is a refresh of came out "
                f"differently: {'; '.join(differences(found))}"
            )
        before = found.bundle
    return found


def differences(found: Reproduction) -> list[str]:
    """What differs, one sentence each; nothing where the weights are the same."""
    if found.same:
        return []
    files = [
        f"{name}: expected SHA-256 {found.expected[name]}, found {found.found[name]}"
        for name in (MODEL, HEAD)
        if found.expected[name] != found.found[name]
    ]
    why = found.differ or ("hardware, threads and versions are those of the recipe: the code or the data differ",)
    return [*files, *why]


def _train(
    recipe: Recipe, data: Path, base: Path, before: Path | None, folder: Path, report: Report
) -> tuple[Path, Circumstances]:
    """The trained tensors of one recipe, and the circumstances in which they came out."""
    if recipe.method == "refresh":
        from playbook.adapt.refresh import start_weights

        if before is None:
            raise NotReproduced(f"{recipe.task}: the recipe of a refresh does not say what it starts from")
        start = start_weights(before, recipe.unfrozen, recipe.labels, folder / "start.safetensors")
        done = _run(_job(recipe, data, base, start, recipe.unfrozen, folder / "refresh"), report)
        return folder / "refresh" / "weights.safetensors", _circumstances(done.hardware)
    weights, hardware = _frozen(recipe, data, base, folder / "frozen", report)
    for index in range(1, recipe.unfrozen + 1):
        report(f"rung {index} of {recipe.unfrozen}")
        done = _run(_job(recipe, data, base, weights, index, folder / f"rung_{index}"), report)
        weights, hardware = folder / f"rung_{index}" / "weights.safetensors", done.hardware
    return weights, _circumstances(hardware)


def _frozen(recipe: Recipe, data: Path, base: Path, out: Path, report: Report) -> tuple[Path, str]:
    from playbook.adapt.frozen import FrozenJob, boundaries_of, train_frozen

    done = train_frozen(
        FrozenJob(
            base_folder=base,
            pin=recipe.pin,
            labels=recipe.labels,
            train=data / "train.parquet",
            validation=data / "validation.parquet",
            boundaries=boundaries_of(recipe.pin.blocks, recipe.max_rungs),
            metric=recipe.metric,
            adaptation=_plan(recipe),
            cache=out.parent / "activations",
            out=out,
        ),
        report,
    )
    return done.files["weights"], done.hardware


def _job(recipe: Recipe, data: Path, base: Path, start: Path, unfrozen: int, out: Path) -> Job:
    from playbook.adapt.frozen import boundaries_of
    from playbook.adapt.job import Job

    return Job(
        task=recipe.task,
        base_folder=base,
        pin=recipe.pin,
        labels=recipe.labels,
        train=data / "train.parquet",
        validation=data / "validation.parquet",
        start=start,
        unfrozen=unfrozen,
        boundaries=boundaries_of(recipe.pin.blocks, max(recipe.max_rungs, unfrozen)),
        metric=recipe.metric,
        adaptation=_plan(recipe),
        cache=out.parent / "activations",
        out=out,
    )


def _plan(recipe: Recipe) -> Adaptation:
    """The settings in force, with the arithmetic of then: `auto` would mean another one on another machine."""
    return recipe.adaptation.model_copy(update={"precision": recipe.precision})


def _run(job: Job, report: Report) -> JobResult:
    """Train a job in this process, or, where the recipe trained on several devices, in as many."""
    from playbook.adapt.job import JobResult
    from playbook.adapt.rung import run_rung
    from playbook.adapt.worker import launch_command
    from playbook.settings import child_environment

    if job.adaptation.devices == 1:
        return run_rung(job, report)
    command: Sequence[str] = launch_command(job.save(job.out / "job.json"), job.adaptation.devices)
    ended = subprocess.run(command, env=child_environment(), check=False)
    done = JobResult.load(job.out)
    if ended.returncode != 0 or done is None:
        raise TrainingFailed(
            f"{job.adaptation.devices} training processes ended with status {ended.returncode}; their output above "
            "says why"
        )
    return done


def _bundle(recipe: Recipe, base: Path, weights: Path, out: Path) -> Path:
    from playbook.adapt.classifier import save_bundle

    save_bundle(out, base, recipe.pin, recipe.labels, weights, recipe.precision)
    return out


def _compare(recipe: Recipe, bundle: Path, now: Circumstances) -> Reproduction:
    found = {name: file_sha256(bundle / name) for name in (MODEL, HEAD)}
    differ = tuple(settings_that_differ(recipe.circumstances, now))
    return Reproduction({name: recipe.expected[name] for name in found}, found, differ, bundle)


def _circumstances(hardware: str) -> Circumstances:
    """What this process just trained with."""
    import torch

    from playbook.adapt.rung import versions

    return Circumstances(hardware=hardware, threads=torch.get_num_threads(), versions=versions())
