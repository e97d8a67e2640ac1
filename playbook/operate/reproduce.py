"""Training a recipe again, from data and base alone, and comparing the bundle that comes out (6.2).

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
from playbook.operate.rebuild import Ingredients, rebuild_bundle, spec_of
from playbook.operate.recipe import HEAD, MODEL, TRAINED, Circumstances, Recipe, settings_that_differ
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
        """Whether every file that was expected is the same, bit for bit."""
        return not self.other

    @property
    def other(self) -> tuple[str, ...]:
        """Files that are not what was expected, missing ones among them."""
        return tuple(name for name, sha256 in self.expected.items() if self.found.get(name) != sha256)


@dataclass(frozen=True)
class Trained:
    """Files of a training: its tensors, and its answers to validation."""

    weights: Path
    predictions: Path

    @classmethod
    def in_folder(cls, folder: Path) -> Trained:
        """Of a job that was run with this folder as its `out`."""
        return cls(folder / TRAINED, folder / "predictions.parquet")


def reproduce(recipe: Recipe, data: Fetch, base: Fetch, work: Path, report: Report) -> Reproduction:
    """Train a recipe and those that it starts from, and compare every one of them with what it should come to.

    Args:
        recipe: of the model.
        data: gives the folder with `train.parquet` and `validation.parquet` of a recipe's dataset version.
        base: gives the folder of a recipe's pinned base.
        work: an empty folder.
        report: told of progress, a line at a time.

    Raises:
        NotReproduced: a model that the recipe starts from came out differently, so that going on would show nothing;
            or this release cannot read the recipe's task file, and nothing was trained.
        TrainingFailed: a training process ended without a result.
    """
    spec_of(recipe)  # asked before the training, which may take hours
    before: Path | None = None
    for step, part in enumerate(recipe.chain):
        folder = work / f"step_{step + 1}"
        report(f"training {part.method} of data version {part.data.number} ({step + 1} of {len(recipe.chain)})")
        trained, now = _train(part, data(part), base(part), before, folder, report)
        bundle = _bundle(part, recipe, data(part), base(part), trained, folder / "bundle")
        found = _compare(part, bundle, now, () if part is recipe else (MODEL, HEAD))
        shutil.rmtree(folder / "activations", ignore_errors=True)
        if part is not recipe and not found.same:
            raise NotReproduced(
                f"{part.task}: the model that {recipe.refreshed_from or 'this one'} is a refresh of came out "
                f"differently: {'; '.join(differences(found))}"
            )
        before = found.bundle
    return found


def differences(found: Reproduction) -> list[str]:
    """What differs, one sentence each; nothing where the files are the same."""
    if found.same:
        return []
    files = [
        f"{name}: expected SHA-256 {found.expected[name]}, found {found.found.get(name, 'no such file')}"
        for name in found.other
    ]
    why = found.differ or ("hardware, threads and versions are those of the recipe: the code or the data differ",)
    return [*files, *why]


def _train(
    recipe: Recipe, data: Path, base: Path, before: Path | None, folder: Path, report: Report
) -> tuple[Trained, Circumstances]:
    """The trained tensors of one recipe with their answers to validation, and the circumstances of both."""
    if recipe.method == "refresh":
        from playbook.adapt.refresh import start_weights

        if before is None:
            raise NotReproduced(f"{recipe.task}: the recipe of a refresh does not say what it starts from")
        start = start_weights(before, recipe.unfrozen, recipe.labels, folder / "start.safetensors")
        done = _run(_job(recipe, data, base, start, recipe.unfrozen, folder / "refresh"), report)
        return Trained.in_folder(folder / "refresh"), _circumstances(done.hardware)
    trained, hardware = _frozen(recipe, data, base, folder / "frozen", report)
    for index in range(1, recipe.unfrozen + 1):
        report(f"rung {index} of {recipe.unfrozen}")
        done = _run(_job(recipe, data, base, trained.weights, index, folder / f"rung_{index}"), report)
        trained, hardware = Trained.in_folder(folder / f"rung_{index}"), done.hardware
    return trained, _circumstances(hardware)


def _frozen(recipe: Recipe, data: Path, base: Path, out: Path, report: Report) -> tuple[Trained, str]:
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
    return Trained(done.files["weights"], done.files["predictions"]), done.hardware


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


def _bundle(part: Recipe, last: Recipe, data: Path, base: Path, trained: Trained, out: Path) -> Path:
    """The bundle of the model, or, of one that it starts from, the weights alone: those are all that it hands on."""
    from playbook.adapt.classifier import save_bundle

    if part is last:
        return rebuild_bundle(part, Ingredients(data, base, trained.weights, trained.predictions), out)
    save_bundle(out, base, part.pin, part.labels, trained.weights, part.precision)
    return out


def _compare(recipe: Recipe, bundle: Path, now: Circumstances, names: Sequence[str] = ()) -> Reproduction:
    """Every file that the recipe expects, or those of `names`, beside what came out."""
    expected = {name: sha for name, sha in recipe.expected.items() if name != TRAINED and (not names or name in names)}
    found = {name: file_sha256(bundle / name) for name in expected if (bundle / name).is_file()}
    return Reproduction(expected, found, tuple(settings_that_differ(recipe.circumstances, now)), bundle)


def _circumstances(hardware: str) -> Circumstances:
    """What this process just trained with."""
    import torch

    from playbook.adapt.results import versions

    return Circumstances(hardware=hardware, threads=torch.get_num_threads(), versions=versions())
