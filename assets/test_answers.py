"""What every model answers to the opened test split: references, frozen baseline, controls, candidate, champion."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from assets.candidate import asset_of, bundle_with, write_bundle
from assets.incumbent import WEIGHTS_TAG, incumbent_of
from assets.play import Play
from assets.steps import Steps
from playbook.data.tables import TEXT
from playbook.plays import CONTROLS, DATASET, FROZEN

if TYPE_CHECKING:
    import pandas as pd

    from playbook.adapt.classifier import TextClassifier

CHAMPION = "champion"


@dataclass
class TestAnswers:
    """Probabilities on the test split by model, each (rows, classes); the classifiers that later parts ask again."""

    __test__ = False  # not a test case, whatever pytest may think of the name

    probabilities: dict[str, np.ndarray] = field(default_factory=dict)
    classifiers: dict[str, Any] = field(default_factory=dict)  # baseline and candidate
    champion_version: str = ""
    champion_labels: tuple[str, ...] = ()

    @property
    def classes(self) -> dict[str, np.ndarray]:
        """Answers as class numbers, each (rows,)."""
        return {name: table.argmax(axis=1) for name, table in self.probabilities.items()}


def answer_test(play: Play, steps: Steps, frame: pd.DataFrame, work: Path) -> TestAnswers:
    """Let every model answer the opened split; models are loaded one after the other from clean bundles."""
    from playbook.adapt.precision import set_threads

    set_threads(play.world.places.threads, 1)
    texts = frame[TEXT].tolist()
    found = TestAnswers()
    models = {"baseline": steps.frozen}
    if steps.choice.source != FROZEN:
        models["candidate"] = steps.model  # type: ignore[assignment]
    for name, model in models.items():
        play.report(f"test split: {name} ({asset_of(model)})")
        found.classifiers[name] = _load(play, write_bundle(play, model, work / name))
        found.probabilities[name] = found.classifiers[name].predict_proba(texts)
    for name, probabilities in _controls(play, steps, texts, work):
        found.probabilities[name] = probabilities
    found.probabilities |= _references(play, steps, texts)
    champion = _champion(play, steps, texts, work)
    own = [found.probabilities[name] for name in models]
    if champion is not None and not any(np.array_equal(champion[1], answers) for answers in own):
        found.champion_version, found.probabilities[CHAMPION], found.champion_labels = champion
    return found


def _load(play: Play, bundle: Path) -> TextClassifier:
    from playbook.adapt.classifier import load_bundle
    from playbook.adapt.precision import training_device

    classifier = load_bundle(bundle, training_device(play.task.spec.adaptation.accelerator))
    return classifier


def _controls(play: Play, steps: Steps, texts: list[str], work: Path) -> Any:
    for run in steps.controls.runs:
        if run.pin is None or f"weights_{run.name}" not in steps.controls.files or run.name.startswith("seed_"):
            continue
        play.report(f"test split: control {run.name}")
        weights = play.world.store.path(steps.controls, CONTROLS, f"weights_{run.name}")
        bundle = bundle_with(play, run.pin, weights, steps.controls.hardware, work / run.name)
        yield run.name, _load(play, bundle).predict_proba(texts)
        shutil.rmtree(bundle)


def _references(play: Play, steps: Steps, texts: list[str]) -> Mapping[str, np.ndarray]:
    import pandas as pd

    from assets.scope import reference_extractor
    from playbook.decide.references import fit_references

    store = play.world.store
    train, validation = (
        pd.read_parquet(store.path(steps.dataset, DATASET, split)) for split in ("train", "validation")
    )
    fitted = fit_references(play.task.spec, train, validation, reference_extractor(play))
    return {name: predictor.probabilities(texts) for name, predictor in fitted.predictors.items()}


def _champion(play: Play, steps: Steps, texts: list[str], work: Path) -> tuple[str, np.ndarray, tuple[str, ...]] | None:
    """Version, answers and classes of the model that serves: the incumbent, or a version of this very data."""
    from playbook.evaluate.incumbent import answers_under

    spec, registry = play.task.spec, play.world.registry
    at = registry.at_alias(spec.task, spec.package.alias)
    if at is None:
        return None
    if any(at.tags.get(WEIGHTS_TAG) == model.files["weights"].sha256 for model in (steps.model, steps.frozen)):
        at = incumbent_of(play, steps.dataset.dataset_hash)  # it serves already: a run that is repeated
        if at is None:
            return None
    champion = _load(play, registry.fetch_bundle(at, work / CHAMPION))
    play.report(f"test split: champion {at.version}")
    return at.version, answers_under(champion.predict_proba(texts), champion.labels, spec.labels), champion.labels
