"""Versions in production: the rollback job, and what `playbook versions`, `rollback` and `reproduce` do."""

# Annotations are real types here: Dagster reads the configuration of the rollback from them.
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
from filelock import FileLock, Timeout

from assets.code_versions import version_of
from pipelines.tags import ROLLBACK_TAG
from playbook.errors import NotReproduced, PinMismatch, TaskBusy
from playbook.operate.handoff_package import Package, read_package
from playbook.operate.recipe import Recipe
from playbook.operate.reproduce import READ, Reproduction, reproduce
from playbook.settings import Settings
from playbook.taskfile import Task
from resources.changelog_page import changelog_place, write_changelog
from resources.world import World


class Rollback(dg.Config):
    """Which owner rolls back, why, and to which version: the one before, where none is named."""

    by: str
    reason: str
    to: str = ""


def rollback_job_name(task: str) -> str:
    """Name of the job that puts an earlier version back into production."""
    return f"{task}_rollback_job"


def versions_definitions(task: Task, places: Settings, assets: Sequence[dg.AssetsDefinition]) -> dg.Definitions:
    """The rollback job. It does not wait for a run of the task that is under way: it carries another tag."""

    @dg.op(name=f"{task.spec.task}_rollback")
    def go_back(context: dg.OpExecutionContext, config: Rollback) -> None:
        done = roll_back(task, places, config.by, config.reason, config.to)
        context.log.info(done)
        context.add_output_metadata({"done": done})

    @dg.job(
        name=rollback_job_name(task.spec.task),
        description="Put an earlier version back into production; a decision on record.",
        tags={ROLLBACK_TAG: task.spec.task},
        executor_def=dg.in_process_executor,
    )
    def rollback() -> None:
        go_back()

    return dg.Definitions(jobs=[rollback])


def roll_back(task: Task, places: Settings, by: str, reason: str, to: str = "") -> str:
    """Put an earlier version back into production; returns what was done, in one sentence.

    Raises:
        PromotionRefused: by nobody who may, without a reason, there is nothing to go back to, or the version was never
            in production.
        LogTampered: the decision log is broken.
    """
    world, name, alias = World(places), task.spec.task, task.spec.package.alias
    log = world.decision_log(name)
    before, now = world.registry.rollback(name, alias, log, task.spec.owners, by=by, reason=reason, to=to)
    write_changelog(world, name)
    done = f"{name}: {alias} went from version {before.version} back to {now.version}"
    if "reinstates" in log.entries()[-1].body:
        done += f", which was rolled back from before; {before.version} now counts as rolled back from"
    return done


def versions_of(task: Task, places: Settings) -> list[dict[str, Any]]:
    """Every version of a task's model, newest first; the changelog is rewritten."""
    world, name = World(places), task.spec.task
    write_changelog(world, name)
    notes = reversed(world.registry.notes(name))
    return [
        {
            "version": note.version,
            "aliases": list(note.aliases),
            "made": note.date,
            "dataset_version": note.dataset_version,
            "signed_off_by": note.signed_by,
            "bundle_sha256": note.bundle_sha256,
            "changelog": note.line,
        }
        for note in notes
    ]


def changelog_of(task: Task, places: Settings) -> Path:
    """Where the changelog lies."""
    return changelog_place(World(places), task.spec.task)


def reproduce_package(
    package: Path,
    places: Settings,
    report: Callable[[str], None],
    remote: str = "",
    base: Path | None = None,
) -> Reproduction:
    """Train the model of a handoff package again and compare its weights.

    Args:
        package: the zip, or its folder.
        places: state goes under `<home>/reproduce/`.
        report: told of progress, a line at a time.
        remote: DVC remote with the dataset version; what PLAYBOOK_DVC_REMOTE or the package names, if not given.
        base: folder of the base, where the package's own place for it does not hold here.

    Raises:
        ArtifactError: the package is not what was handed over.
        StorageError: the remote lacks the dataset version, or has other bytes.
        PinMismatch: the base is not to be found, or is another.
        NotReproduced: an earlier model that it was refreshed from came out differently, or no remote is known.
    """
    found = read_package(package)
    url = remote or places.dvc_remote or str(found.manifest.get("remote") or "")
    if not url:
        raise NotReproduced(f"{package}: expected the URL of the DVC remote, found none; give it by --remote")
    # Sums depend on the number of threads, which training reads from the environment.
    os.environ["PLAYBOOK_THREADS"] = str(found.recipe.circumstances.threads)
    work = places.home / "reproduce" / found.recipe.data.hash.removesuffix(".dir")
    work.parent.mkdir(parents=True, exist_ok=True)
    with _alone(work):
        shutil.rmtree(work, ignore_errors=True)
        sources = _Sources(found, url, base, places, work / "sources", report)
        done = reproduce(found.recipe, sources.data, sources.base, work / "training", report)
        shutil.rmtree(work / "sources", ignore_errors=True)
    _note_code(found, report)
    return done


@contextmanager
def _alone(work: Path) -> Iterator[None]:
    """Hold a folder, so that two commands do not train in it at once."""
    lock = FileLock(f"{work}.lock")
    try:
        with lock.acquire(timeout=0):
            yield
    except Timeout:
        raise TaskBusy(
            f"{work}: another process is reproducing this dataset version; wait for it, or give another --home"
        ) from None


def _note_code(found: Package, report: Callable[[str], None]) -> None:
    then, now = found.manifest.get("code", {}).get("adapt"), version_of("training", "head")
    if then != now:
        report(f"note: the training code is another one than that of the package: expected {then}, found {now}")


class _Sources:
    """Where a reproduction has data and bases from; each is fetched once and verified."""

    def __init__(
        self, package: Package, remote: str, base: Path | None, places: Settings, work: Path, report: Any
    ) -> None:
        self.package, self.remote, self.own_base = package, remote, base
        self.places, self.work, self.report = places, work, report

    def data(self, recipe: Recipe) -> Path:
        """Folder with the splits that training reads; the test split is not fetched."""
        from resources.dvc_objects import fetch_folder, without_secrets

        folder = self.work / "data" / recipe.data.hash
        if not folder.is_dir():
            self.report(f"fetching dataset {recipe.data.hash} from {without_secrets(self.remote)}")
            files = {f"{split}.parquet": recipe.data.files[split] for split in READ}
            fetch_folder(self.remote, recipe.data.hash, files, folder, self.work / f"dvc-{recipe.data.hash}")
        return folder

    def base(self, recipe: Recipe) -> Path:
        """Folder of the pinned base: `--base`, the hub or the package, or the copy at the remote."""
        from playbook.bases.derive import folder_of_pin

        where = recipe.base
        if where.folder is not None:
            where = where.model_copy(update={"folder": str(self.own_base or self._stored(recipe))})
        return folder_of_pin(recipe.pin, (where,), lambda place: place, self.places.derived_bases)

    def _stored(self, recipe: Recipe) -> Path:
        from resources.dvc_objects import fetch_folder, without_secrets

        sha256 = recipe.base.sha256
        kept = self.package.manifest.get("bases", {}).get(sha256)
        if kept is None:
            raise PinMismatch(
                f"{recipe.base.folder}: expected the base with weights {sha256[:12]}… here or at the DVC remote, found "
                "neither; give its folder by --base"
            )
        folder = self.work / "bases" / sha256
        if not folder.is_dir():
            self.report(f"fetching the base {recipe.pin.name} from {without_secrets(self.remote)}")
            fetch_folder(self.remote, kept["stored"], kept["files"], folder, self.work / f"dvc-{sha256}")
        return folder
