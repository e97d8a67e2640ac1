"""The suite around an evaluation: everything that is asked of the models once the test split is open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from assets.base import base_folder
from assets.candidate import asset_of
from assets.play import Play
from assets.rounds import old_rows
from assets.served import point_of, validation_table
from assets.steps import Steps
from assets.test_answers import CHAMPION, Answered
from playbook.artifacts import (
    BehaviourTest,
    Calibration,
    Capability,
    CostActual,
    Evaluation,
    Regression,
    Shift,
    Speed,
    TransferVerdict,
)
from playbook.data.tables import TEXT
from playbook.evaluate.as_served import AsServed, as_served
from playbook.plays import DATASET
from playbook.statistics.answers import Given, answers_of

if TYPE_CHECKING:
    import pandas as pd

    from playbook.evaluate.shift import Sample


def examine(play: Play, steps: Steps, done: Evaluation, answers: Answered, work: Path) -> Evaluation:
    """The evaluation with every part of the suite filled in; `work` is for models that are asked other texts."""
    from playbook.evaluate.compare import comparisons
    from playbook.evaluate.reference_gain import reference_gain, with_reference
    from playbook.evaluate.report_content import shown_name
    from playbook.evaluate.slices import slices
    from playbook.evaluate.suite import blockers

    spec, shown, frame = play.task.spec, shown_name(done), answers.frame
    models = _Models(play, answers, work)
    truth, known = class_numbers(spec.labels, frame), answers.given
    named = {("frozen" if name == "baseline" else name): found for name, found in known.items()}
    seconds = _seconds(steps)
    over = reference_gain(spec, truth, known, steps.references.validation, shown)
    play.report(f"suite: calibration, slices, behaviour, regressions, speed, shifts ({shown})")
    parts: dict[str, Any] = {
        "comparisons": comparisons(spec, truth, named, seconds),
        "over_reference": over,
        "verdict": with_reference(done.verdict, over),
        "transfer": _transfer(play, steps, truth, named, seconds),
        "calibration": _calibration(play, steps, truth, answers, shown),
        "slices": slices(spec, frame, truth, known[shown], known["baseline"] if shown == "candidate" else None),
        "behaviour": _behaviour(play, steps, models, shown),
        "regressions": _regressions(play, truth, answers, shown),
        "capabilities": _capabilities(play, models, answers, shown),
        "incumbent": _incumbent(play, frame, truth, answers, shown),
        "speed": _speed(play, frame, models),
        "operating_point": point_of(play, steps, shown),
        **_shifts(play, steps, answers, shown),
        "cost": _cost(play, steps),
        "hardware": models.hardware,
    }
    done = done.model_copy(update=parts)
    return done.model_copy(update={"blockers": blockers(spec, done, steps.dataset.agreement)})


class _Models:
    """Baseline and candidate, each loaded when it is first asked anything that is not among the stored answers."""

    def __init__(self, play: Play, answers: Answered, work: Path) -> None:
        from playbook.adapt.precision import set_threads

        set_threads(play.world.places.threads, 1)
        self._answers, self._work, self._labels = answers, work, play.task.spec.labels
        self._loaded: dict[str, Any] = {}

    @property
    def asked(self) -> dict[str, Any]:
        """Texts -> probabilities, by name."""
        for name in ("baseline", "candidate"):
            if name in self._answers.asked and name not in self._loaded:
                self._loaded[name] = self._answers.asked[name].load(self._work / name)
        return {name: model.predict_proba for name, model in self._loaded.items() if name != CHAMPION}

    def classes(self, name: str, texts: Sequence[str]) -> np.ndarray:
        """What a model answers, as numbers of the task's classes, shape (texts,); the champion is asked, too."""
        from playbook.evaluate.incumbent import answers_under

        model = self._loaded.get(name)
        if model is None:
            model = self._loaded[name] = self._answers.asked[name].load(self._work / name)
        answers = answers_under(model.predict_proba(list(texts)), model.labels, self._labels)
        return np.asarray(self._answers.served.get(name, AsServed()).answers(answers).classes)

    @property
    def decide(self) -> dict[str, Any]:
        """What makes served classes of a model's probabilities, by name."""
        served = self._answers.served.items()
        return {name: (lambda table, one=one: one.answers(table).classes) for name, one in served}

    @property
    def hardware(self) -> str:
        """Measured here, where speeds are; with that of the answers where those were computed elsewhere."""
        from playbook.adapt.precision import describe_hardware

        shown = self._loaded.get("candidate") or self._loaded["baseline"]
        here, there = describe_hardware(shown.device, shown.dtype), self._answers.hardware_of_models
        return here if there in ("", here) else f"{here}; answers to the test split computed on {there}"


def class_numbers(labels: tuple[str, ...], frame: pd.DataFrame) -> np.ndarray:
    """True classes of a prepared table as numbers, shape (rows,)."""
    from playbook.data.tables import LABEL

    number = {label: place for place, label in enumerate(labels)}
    return np.array([number[label] for label in frame[LABEL]], dtype=np.int64)


def _seconds(steps: Steps) -> dict[str, float]:
    """Training seconds by model: the candidate's are those of the whole staircase, reverted rungs included."""
    staircase = steps.frozen.seconds + sum(step.seconds for step in steps.rungs if not step.skipped)
    controls = {run.name: run.seconds for run in steps.controls.runs}
    return {"frozen": steps.frozen.seconds, "candidate": staircase, **controls}


def _transfer(
    play: Play, steps: Steps, truth: np.ndarray, named: Mapping[str, Given], seconds: Mapping[str, float]
) -> TransferVerdict:
    from playbook.adapt.transfer import transfer_verdict

    models = {name: named[name] for name in ("candidate", "frozen", "scratch", "other_base") if name in named}
    if "scratch" not in models:
        return TransferVerdict(text="Not measured: the control from random weights was not trained.")
    if "candidate" not in models:  # nothing beyond the frozen base was kept: it is the candidate itself
        models["candidate"] = models.pop("frozen")
    spread = steps.controls.seeds.deviation if steps.controls.seeds else 0.0
    rising = [run.name for run in steps.controls.runs if run.rising]
    return transfer_verdict(play.task.spec, truth, models, seconds, spread, rising)


def _validation(play: Play, steps: Steps) -> pd.DataFrame:
    import pandas as pd

    return pd.read_parquet(play.world.store.path(steps.dataset, DATASET, "validation"))


def validation_answers(play: Play, steps: Steps, shown: str) -> tuple[np.ndarray, np.ndarray]:
    """True classes (rows,) and probabilities as trained (rows, classes) of the shown model on validation."""
    model = steps.model if shown == "candidate" else steps.frozen
    return validation_table(play, play.world.store.path(model, asset_of(model), "predictions"))


def validation_confusion(play: Play, steps: Steps, name: str) -> list[list[int]]:
    """Confusion of `baseline` or `candidate` on validation, (classes, classes), rows: true class."""
    from playbook.evaluate.metrics import confusion

    spec, (truth, probabilities) = play.task.spec, validation_answers(play, steps, name)
    classes = as_served(spec, truth, probabilities).answers(probabilities).classes
    counts: list[list[int]] = confusion(truth, classes, len(spec.labels)).tolist()
    return counts


def _calibration(play: Play, steps: Steps, truth: np.ndarray, answers: Answered, shown: str) -> Calibration:
    from playbook.evaluate.calibration import calibrate

    known = validation_answers(play, steps, shown)
    return calibrate(play.task.spec, *known, truth, answers.probabilities[shown])


def _behaviour(play: Play, steps: Steps, models: _Models, shown: Any) -> tuple[BehaviourTest, ...]:
    from playbook.evaluate.behaviour import run_behaviour
    from playbook.evaluate.behaviour_file import load_behaviour

    spec = play.task.spec
    if spec.evaluation.behaviour is None:
        return ()
    file = load_behaviour(Path(play.task.resolve(spec.evaluation.behaviour)), spec.labels)
    rows, seed = _validation(play, steps), spec.adaptation.seed
    return run_behaviour(file, rows, models.asked, spec.labels, shown, seed, models.decide)


def _regressions(play: Play, truth: np.ndarray, answers: Answered, shown: Any) -> tuple[Regression, ...]:
    """The candidate against the frozen baseline, and whatever ships against the champion."""
    from playbook.evaluate.regression import regression

    spec, classes = play.task.spec, answers.classes
    found = []
    if "candidate" in classes:
        found.append(regression(spec, truth, classes["baseline"], classes["candidate"]))
    if CHAMPION in classes:
        new = classes[shown]
        version = answers.champion_version
        found.append(regression(spec, truth, classes[CHAMPION], new, against="champion", version=version, model=shown))
    return tuple(found)


def _capabilities(play: Play, models: _Models, answers: Answered, shown: str) -> tuple[Capability, ...]:
    """The shown model on the capability set, against the frozen baseline and against the champion."""
    from playbook.evaluate.capabilities import judge_capability, load_capabilities

    rows = load_capabilities(play.task)
    if rows is None:
        return ()
    spec, now = play.task.spec, models.classes(shown, rows.texts)
    found = []
    if shown == "candidate":
        before = models.classes("baseline", rows.texts)
        found.append(judge_capability(spec, rows.truth, before, now, against="frozen baseline"))
    if CHAMPION in answers.asked:
        before, version = models.classes(CHAMPION, rows.texts), answers.champion_version
        found.append(judge_capability(spec, rows.truth, before, now, against="champion", version=version))
    return tuple(found)


def _incumbent(play: Play, frame: pd.DataFrame, truth: np.ndarray, answers: Answered, shown: Any) -> Any:
    """What would ship against what serves; rows of the incumbent's own test split are told by their ids."""
    from playbook.evaluate.incumbent import compare_incumbent

    if CHAMPION not in answers.classes:
        return None
    version, known = answers.champion_version, answers.given
    old, classes = old_rows(play, frame, version), answers.answers[CHAMPION].known
    return compare_incumbent(play.task.spec, version, truth, known[CHAMPION], known[shown], old, classes)


def _speed(play: Play, frame: pd.DataFrame, models: _Models) -> tuple[Speed, ...]:
    from playbook.evaluate.speed import measure_speeds

    return measure_speeds(play.task.spec, models.asked, frame[TEXT].tolist())


def _shifts(play: Play, steps: Steps, answers: Answered, shown: str) -> dict[str, Any]:
    """Validation against test, and test against rows like those of production, on features of the frozen base."""
    from playbook.adapt.features import FeatureExtractor
    from playbook.evaluate.shift import compare_inputs, sample_of

    spec, pin = play.task.spec, steps.frozen.pin
    if pin is None:
        return {}
    features = FeatureExtractor(base_folder(play, pin), pin, spec.adaptation)
    frame, predicted = answers.frame, answers_of(answers.given[shown])
    served = answers.served.get(shown, AsServed())
    validation, (_, probabilities) = _validation(play, steps), validation_answers(play, steps, shown)
    known = features(frame[TEXT].tolist())
    first = sample_of(spec, validation, features(validation[TEXT].tolist()), served.answers(probabilities))
    found: list[Shift] = [compare_inputs("validation and test", first, sample_of(spec, frame, known, predicted), spec)]
    slice_ = _production(play, steps, answers, known, shown, features)
    if slice_ is None:
        return {"shifts": tuple(found)}
    rest, production = slice_
    found.append(compare_inputs("test and production", rest, production, spec))
    return {"shifts": tuple(found), "production": _production_score(play, production)}


def _production(
    play: Play, steps: Steps, answers: Answered, known: np.ndarray, shown: str, features: Any
) -> tuple[Sample, Sample] | None:
    """The test rows and the production-like rows; of a slice of the test split, the other test rows."""
    import pandas as pd

    from playbook.evaluate.shift import latest_rows, sample_of

    spec, wanted = play.task.spec, play.task.spec.data.production
    frame, predicted = answers.frame, answers_of(answers.given[shown])
    if wanted is None:
        return None
    if wanted.latest is not None:
        new = latest_rows(frame, wanted.latest)
        if new.all() or not new.any():
            return None
        parts = [sample_of(spec, frame[part], known[part], predicted.take(part)) for part in (~new, new)]
        return parts[0], parts[1]
    rows = pd.read_parquet(play.world.store.path(steps.dataset, DATASET, "production"))
    if rows.empty:
        return None
    model = steps.model if shown == "candidate" else steps.frozen
    texts = rows[TEXT].tolist()
    answered = answers.served.get(shown, AsServed()).answers(_answer_again(play, model, texts))
    return sample_of(spec, frame, known, predicted), sample_of(spec, rows, features(texts), answered)


def _answer_again(play: Play, model: Any, texts: list[str]) -> np.ndarray:
    import tempfile

    from assets.candidate import write_bundle
    from playbook.adapt.classifier import load_bundle
    from playbook.adapt.precision import training_device

    with tempfile.TemporaryDirectory(prefix="production-") as scratch:
        device = training_device(play.task.spec.adaptation.accelerator)
        classifier = load_bundle(write_bundle(play, model, Path(scratch)), device)
        answers: np.ndarray = classifier.predict_proba(texts)
    return answers


def _production_score(play: Play, production: Sample) -> Any:
    """The shown model's score on the labelled production-like rows, or None where too few have labels."""
    from playbook.evaluate.compare import describe_side

    spec = play.task.spec
    labelled = production.truth >= 0
    if production.answers is None or not labelled.any():
        return None
    of_class = spec.target.of_class
    if of_class is not None and not (production.truth == spec.labels.index(of_class)).any():
        return None  # nothing is known of a class that does not occur
    side = describe_side(spec, production.truth[labelled], production.answers.take(labelled))
    return side.scores[spec.target.label]


def _cost(play: Play, steps: Steps) -> CostActual | None:
    """The estimate beside what all training came to; their ratio is kept for the next task."""
    from playbook.decide.ratios import record_ratio
    from playbook.evaluate.report_price import device_money
    from playbook.evaluate.wording import duration, duration_around

    decided, actual = steps.decision, steps.training_seconds
    if decided.training_seconds <= 0 or actual <= 0 or steps.early.ends:  # ended early: not comparable
        return None
    uncorrected = decided.training_seconds / decided.ratio
    ratio = record_ratio(play.world.places.cost_ratios, play.task.spec.task, uncorrected, actual)
    play.decide(
        "cost",
        f"training took {duration(actual)}, "
        f"{duration_around(decided.training_seconds, decided.training_interval)} were estimated",
        body={"ratio": round(ratio, 3)},
    )
    prices = play.task.spec.prices
    return CostActual(
        estimated_seconds=decided.training_seconds,
        actual_seconds=actual,
        ratio=ratio,
        estimated_interval=decided.training_interval,
        estimated_money=device_money(prices, decided.training_seconds),
        actual_money=device_money(prices, actual),
        currency=prices.currency,
    )
