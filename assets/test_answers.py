"""What models answer to the test split: asked once, stored under their own key, read again by whoever needs them.

`answer` does it for one model, `answer_all` for a set that is asked together. Both return stored answers where they are
there, and open the split through `open_test_split` where they are not: one opening for one set. The rows of an opened
split (labels, texts, slice columns) are kept beside the answers, because that opening is on record: figures, speed and
shifts that are measured on them later are no further look at anything new, as long as no model answers that did not
before.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from filelock import FileLock

from assets.candidate import asset_of, bundle_with
from assets.code_versions import version_of
from assets.incumbent import WEIGHTS_TAG, incumbent_of
from assets.play import Play
from assets.terms import Terms, require_terms
from playbook.artifacts import (
    BasePin,
    Controls,
    DatasetVersion,
    FrozenBaseline,
    OpenedRows,
    Rung,
    TestAnswers,
    TfidfChoice,
    canonical_hash,
)
from playbook.data.tables import ROW_ID, TEXT
from playbook.errors import ArtifactError
from playbook.evaluate.answers import ANSWERS, Answerer, AskedModel, answers_key, read_answers, write_answers
from playbook.evaluate.as_served import AsServed
from playbook.evaluate.locked_terms import terms_of_task
from playbook.plays import CONTROLS, DATASET
from playbook.statistics.answers import Given, answers_of
from playbook.store import SEALED

if TYPE_CHECKING:
    import pandas as pd

    from playbook.adapt.classifier import TextClassifier
    from resources.registry import Registered

CHAMPION = "champion"
TEST_ANSWERS, OPENED_ROWS = "test_answers", "opened_rows"  # where the store keeps them
ROWS = "rows"  # role of the kept split


@dataclass(frozen=True)
class Answered:
    """Answers of models on the test split, all classes in the order of the task's labels."""

    frame: pd.DataFrame  # the opened split, columns of `playbook.data.tables`
    answers: Mapping[str, TestAnswers]  # by the model's name
    probabilities: Mapping[str, np.ndarray]  # each (rows, classes), float32
    openings: int  # of this split's rows on record so far
    opened_for: int  # models that it was opened for
    asked: Mapping[str, AskedModel] = field(default_factory=dict)
    champion_version: str = ""  # where one is among them
    served: Mapping[str, AsServed] = field(default_factory=dict)  # temperature and threshold, where they are known

    @cached_property
    def given(self) -> dict[str, Given]:
        """Answers as each model serves them."""
        tables = self.probabilities.items()
        return {name: self.served[name].answers(table) if name in self.served else table for name, table in tables}

    @property
    def classes(self) -> dict[str, np.ndarray]:
        """Answers as class numbers, each (rows,)."""
        return {name: np.asarray(answers_of(given).classes) for name, given in self.given.items()}

    @property
    def hardware_of_models(self) -> str:
        """Where baseline and candidate answered; both places where they did so at different ones."""
        own = (self.answers[name].hardware for name in ("candidate", "baseline") if name in self.answers)
        return " and ".join(dict.fromkeys(own))


def answer(
    play: Play, dataset: DatasetVersion, model: AskedModel, purpose: str = "evaluation", opened_for: str = ""
) -> Answered:
    """One model's answers on the test split: the stored ones, or those of an opening that goes on record now.

    Args:
        play: the running play.
        dataset: the version whose split is asked for; its gate must be green.
        model: from `trained_model`, `reference_model`, `control_models` or `champion_model`.
        purpose: what the split is opened for, in a word of the ledger.
        opened_for: digest of the model that the opening is for; the model's own if not given.

    Raises:
        GateRed: the gate is not green; nothing is opened.
        TermsLocked: an earlier opening of these rows was under other terms than the task file's, and nobody waived it.
        ArtifactError: the split or the ledger cannot be read.
    """
    return answer_all(play, dataset, [model], purpose, opened_for or model.digest)


def answer_all(
    play: Play, dataset: DatasetVersion, models: Sequence[AskedModel], purpose: str, opened_for: str
) -> Answered:
    """Answers of models that belong together; where one has none yet, the split is opened once for all of them."""
    dataset.require_green()
    terms = require_terms(play, dataset)
    with FileLock(play.world.work(play.task.spec.task, TEST_ANSWERS) / "lock"):
        found = stored_answers(play, dataset, models)
        if found is not None:
            return found
        return _open_and_ask(play, dataset, models, purpose, opened_for, terms)


def stored_answers(play: Play, dataset: DatasetVersion, models: Sequence[AskedModel]) -> Answered | None:
    """Answers that are there already, or None where one is missing or damaged; nothing is opened."""
    frame = opened_rows(play, dataset)
    kept = {model.name: _kept(play, dataset, model) for model in models}
    answers = {name: one for name, one in kept.items() if one is not None}
    if frame is None or len(answers) < len(models):
        return None
    try:
        return _answered(play, dataset, models, answers, frame)
    except ArtifactError as error:
        play.report(f"stored answers are damaged and are made again: {error}")
        return None


def opened_rows(play: Play, dataset: DatasetVersion) -> pd.DataFrame | None:
    """Rows of the test split, where an opening on record has read them; None while it is closed."""
    import pandas as pd

    from playbook.evaluate.openings import openings_of

    store, task = play.world.store, play.task.spec.task
    sealed = dataset.files.get(SEALED)
    if sealed is None or not openings_of(play.world.test_ledger(task), sealed.sha256):
        return None
    try:
        found = store.get(task, OPENED_ROWS, sealed.sha256[:32], OpenedRows)
        return None if found is None else pd.read_parquet(store.path(found, OPENED_ROWS, ROWS))
    except ArtifactError as error:
        play.report(f"the kept rows of the opened test split are damaged: {error}")
        return None


def _kept(play: Play, dataset: DatasetVersion, model: AskedModel) -> TestAnswers | None:
    key = answers_key(model, dataset.files[SEALED].sha256, play.task.spec.labels)
    try:
        return play.world.store.get(play.task.spec.task, TEST_ANSWERS, key, TestAnswers)
    except ArtifactError:
        return None


def _answered(
    play: Play,
    dataset: DatasetVersion,
    models: Sequence[AskedModel],
    answers: Mapping[str, TestAnswers],
    frame: pd.DataFrame,
) -> Answered:
    from playbook.evaluate.openings import models_of, openings_of_rows
    from playbook.evaluate.row_marks import row_marks

    store = play.world.store
    tables = {name: read_answers(store.path(one, TEST_ANSWERS, ANSWERS), one, frame) for name, one in answers.items()}
    spec, sha256 = play.task.spec, dataset.files[SEALED].sha256
    ledger, classes = play.world.test_ledger(spec.task), spec.data.classes
    found = openings_of_rows(ledger, sha256, lambda: row_marks(frame), classes, play.warn)
    return Answered(frame, answers, tables, len(found), models_of(found), {model.name: model for model in models})


def _open_and_ask(
    play: Play, dataset: DatasetVersion, models: Sequence[AskedModel], purpose: str, opened_for: str, terms: Terms
) -> Answered:
    """Open the split, on record, and let every model answer that has no answers yet, one after the other."""
    from playbook.adapt.precision import set_threads
    from playbook.evaluate.test_split import open_test_split

    spec, world = play.task.spec, play.world
    opened = open_test_split(
        world.store,
        dataset,
        DATASET,
        opened_for,
        world.test_ledger(spec.task),
        purpose=purpose,
        terms=terms_of_task(play.task),
        waived=terms.entry,
        warn=play.warn,
    )
    play.report(f"test split opened ({len(opened.frame)} rows, opening {opened.openings}, on record)")
    _keep_rows(play, dataset, opened.frame, opened.openings)
    set_threads(world.places.threads, 1)
    answers = {}
    for model in models:
        kept = _kept(play, dataset, model)
        if kept is None:
            play.report(f"test split: {model.name}")
            kept = _ask(play, dataset, model, opened.frame, opened.openings)
        answers[model.name] = kept
    return _answered(play, dataset, models, answers, opened.frame)


def _keep_rows(play: Play, dataset: DatasetVersion, frame: pd.DataFrame, opening: int) -> None:
    sha256, task = dataset.files[SEALED].sha256, play.task.spec.task
    path = replace(play, asset=OPENED_ROWS).work(sha256[:32]) / "rows.parquet"
    frame.to_parquet(path, index=False)
    kept = OpenedRows(task=task, play_key=sha256[:32], test_sha256=sha256, rows=len(frame), opening=opening)
    play.world.store.put(OPENED_ROWS, kept, {ROWS: path})
    path.unlink()


def _ask(play: Play, dataset: DatasetVersion, model: AskedModel, frame: pd.DataFrame, opening: int) -> TestAnswers:
    from playbook.evaluate.incumbent import answers_under

    spec, sha256 = play.task.spec, dataset.files[SEALED].sha256
    key = answers_key(model, sha256, spec.labels)
    with tempfile.TemporaryDirectory(prefix=f"{model.name}-") as scratch:
        loaded = model.load(Path(scratch) / model.name)
        probabilities = answers_under(loaded.predict_proba(frame[TEXT].tolist()), loaded.labels, spec.labels)
    path = replace(play, asset=TEST_ANSWERS).work(key) / "answers.parquet"
    write_answers(path, frame[ROW_ID].tolist(), probabilities)
    made = TestAnswers(
        task=spec.task,
        play_key=key,
        model=model.digest,
        base=model.base,
        test_sha256=sha256,
        rows=len(frame),
        labels=spec.labels,
        known=tuple(loaded.labels),
        arithmetic=model.arithmetic,
        opening=opening,
        hardware=_hardware(loaded),
    )
    stored = play.world.store.put(TEST_ANSWERS, made, {ANSWERS: path})
    path.unlink()
    return stored


def _hardware(loaded: Answerer) -> str:
    """The hardware of this process, with the arithmetic that the model computes in here."""
    import torch

    from playbook.adapt.precision import describe_hardware

    device = getattr(loaded, "device", torch.device("cpu"))
    return describe_hardware(device, getattr(loaded, "dtype", torch.float32))


def trained_model(play: Play, name: str, model: FrozenBaseline | Rung) -> AskedModel:
    """A model of the staircase: the frozen baseline, a rung, a refreshed champion."""
    weights = play.world.store.path(model, asset_of(model), "weights")
    return _bundled(play, name, model.pin, weights, model.hardware, model.files["weights"].sha256)


def control_models(play: Play, controls: Controls) -> list[AskedModel]:
    """The controls whose weights are kept; other seeds of the last rung do not count."""
    found = []
    for run in controls.runs:
        role = f"weights_{run.name}"
        if run.pin is None or role not in controls.files or run.name.startswith("seed_"):
            continue
        weights = play.world.store.path(controls, CONTROLS, role)
        found.append(_bundled(play, run.name, run.pin, weights, controls.hardware, controls.files[role].sha256))
    return found


def _bundled(play: Play, name: str, pin: BasePin | None, weights: Path, hardware: str, sha256: str) -> AskedModel:
    if pin is None:
        raise ArtifactError(f"{name} has no pinned base; materialise it again")

    def load(folder: Path) -> Answerer:
        return load_classifier(play, bundle_with(play, pin, weights, hardware, folder))

    return AskedModel(
        name=name,
        digest=sha256,
        load=load,
        base=pin.weights_sha256,
        pin=canonical_hash(pin.model_dump(mode="json")),
        arithmetic="bf16" if "bfloat16" in hardware else "float32",
        code=version_of("answers"),
    )


def load_classifier(play: Play, bundle: Path) -> TextClassifier:
    """The classifier of a bundle, on the device that the task file allows; it reads the folder while it answers."""
    from playbook.adapt.classifier import load_bundle
    from playbook.adapt.precision import training_device

    classifier = load_bundle(bundle, training_device(play.task.spec.adaptation.accelerator))
    return classifier


@dataclass(frozen=True)
class _Reference:
    """A fitted reference with the face of a classifier."""

    predictor: Any
    labels: tuple[str, ...]

    def predict_proba(self, texts: Sequence[str]) -> np.ndarray:
        found: np.ndarray = self.predictor.probabilities(texts)
        return found


class _Fitted:
    """The reference baselines, fitted when the first of them is asked."""

    def __init__(self, play: Play, dataset: DatasetVersion, tfidf: TfidfChoice | None) -> None:
        self._play, self._dataset, self._tfidf = play, dataset, tfidf

    @cached_property
    def predictors(self) -> Mapping[str, Any]:
        import pandas as pd

        from assets.scope import reference_extractor
        from playbook.decide.references import fit_references

        store = self._play.world.store
        paths = (store.path(self._dataset, DATASET, split) for split in ("train", "validation"))
        train, validation = (pd.read_parquet(path) for path in paths)
        extractor = reference_extractor(self._play)
        return fit_references(self._play.task.spec, train, validation, extractor, tfidf=self._tfidf).predictors

    def load(self, name: str) -> Callable[[Path], Answerer]:
        return lambda folder: _Reference(self.predictors[name], self._play.task.spec.labels)


def reference_models(
    play: Play, dataset: DatasetVersion, names: Sequence[str], tfidf: TfidfChoice | None = None
) -> list[AskedModel]:
    """Reference baselines by name (majority, tfidf, zero_shot); a reference is identified by what it is fitted on.

    That is: the rows of train and validation, the classes with their descriptions, the metric that chooses its
    strength, the weighting of classes, the seed, and for `zero_shot` the base. `tfidf` is what follows from them, where
    it was found before; it saves the search.
    """
    from assets.scope import first_base

    spec, fitted = play.task.spec, _Fitted(play, dataset, tfidf)
    pin = first_base(play.task).pin
    shared = {
        "rows": [dataset.files[split].sha256 for split in ("train", "validation")],
        "classes": dict(spec.data.classes),
        "metric": [spec.target.metric, spec.target.of_class],
        "weighting": [spec.adaptation.class_weighting, spec.adaptation.seed],
    }
    models = []
    for name in names:
        based = pin if name == "zero_shot" else None
        parts = {**shared, "name": name, "base": based.model_dump(mode="json") if based else ""}
        models.append(
            AskedModel(
                name=name,
                digest=canonical_hash(parts),
                load=fitted.load(name),
                base=based.weights_sha256 if based else "",
                pin=canonical_hash(based.model_dump(mode="json")) if based else "",
                arithmetic=spec.adaptation.precision if based else "",
                code=version_of("reference_answers"),
            )
        )
    return models


def reference_model(play: Play, dataset: DatasetVersion, name: str, tfidf: TfidfChoice | None = None) -> AskedModel:
    """One reference baseline."""
    return reference_models(play, dataset, [name], tfidf)[0]


def champion_model(play: Play, at: Registered) -> AskedModel:
    """A registered model version, as its bundle answers."""

    def load(folder: Path) -> Answerer:
        return load_classifier(play, play.world.registry.fetch_bundle(at, folder))

    return AskedModel(name=CHAMPION, digest=at.bundle_sha256, load=load, code=version_of("answers"))


def champion_beside(play: Play, dataset: DatasetVersion, own: Sequence[FrozenBaseline | Rung]) -> Registered | None:
    """The version that serves, unless it is one of these models: the incumbent, or a version of this very data."""
    spec, registry = play.task.spec, play.world.registry
    at = registry.at_alias(spec.task, spec.package.alias)
    if at is None:
        return None
    if any(at.tags.get(WEIGHTS_TAG) == model.files["weights"].sha256 for model in own):
        return incumbent_of(play, dataset.dataset_hash)  # it serves already: a run that is repeated
    return at
