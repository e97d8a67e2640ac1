"""When the model that would ship asks a person: chosen on validation, measured on the opened test split (B9)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from assets.base import base_folder
from assets.examination import class_numbers, validation_answers
from assets.play import Play
from assets.steps import Steps
from playbook.artifacts import Evaluation, Silence
from playbook.data.tables import TEXT
from playbook.plays import DATASET, EVALUATION
from playbook.statistics.operating_point import decide
from playbook.statistics.strangers import STRANGERS

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd

    from assets.test_answers import Answered
    from playbook.operate.answering import AnsweringRules
    from playbook.statistics.strangers import Strangers

ROLE = "strangers"  # of the known rows among an evaluation's files


def judge_silence_of(
    play: Play, steps: Steps, done: Evaluation, answers: Answered, work: Path
) -> tuple[Silence | None, dict[str, Path]]:
    """When the shown model asks a person, and the file of known rows; nothing where the task file does not ask for it.

    Args:
        play: the running play.
        steps: what the staircase made.
        done: the evaluation, with its calibration.
        answers: of the models on the opened test split.
        work: folder for the file.
    """
    from playbook.evaluate.calibration import scaled
    from playbook.evaluate.report_content import shown_name
    from playbook.evaluate.silence import Rows, judge_silence
    from playbook.statistics.strangers import save_strangers

    spec, frame = play.task.spec, answers.frame
    rules, shown = spec.serving.ask_a_person, shown_name(done)
    if rules is None:
        return None, {}
    truth, trained = validation_answers(play, steps, shown)
    served = answers.served[shown]
    known, asked = (scaled(table, served.temperature) for table in (trained, answers.probabilities[shown]))
    strangers, files, scores = None, {}, None
    if rules.strangers > 0:
        extractor = _extractor(play, steps, shown)
        strangers = _learned(play, steps, decide(known, served.threshold), extractor)
        scores = strangers.score(extractor(frame[TEXT].tolist()), decide(asked, served.threshold))
        files = {ROLE: save_strangers(strangers, work / STRANGERS)}
    found = judge_silence(
        rules,
        Rows(truth, known, strangers.scores if strangers is not None else None, served.threshold),
        Rows(class_numbers(spec.labels, frame), asked, scores, served.threshold),
        strangers,
        spec.evaluation.confidence,
    )
    play.report(found.text)
    return found, files


def _extractor(play: Play, steps: Steps, shown: str) -> Callable[[list[str]], Any]:
    from playbook.adapt.features import FeatureExtractor

    model = steps.model if shown == "candidate" else steps.frozen
    pin = model.pin or steps.frozen.pin
    if pin is None:
        raise ValueError(f"{play.task.spec.task}: expected a model with a pinned base; materialise it again")
    return FeatureExtractor(base_folder(play, pin), pin, play.task.spec.adaptation)


def _learned(play: Play, steps: Steps, known: np.ndarray, extractor: Callable[[list[str]], Any]) -> Strangers:
    """Known rows from train, calibrated on validation, which the model answers with the classes `known`."""
    from playbook.evaluate.silence import known_rows

    train, validation = (_rows(play, steps, split) for split in ("train", "validation"))
    play.report(f"features of the frozen base: rows of train, and {len(validation)} of validation")
    return known_rows(play.task.spec, train, validation, known, extractor)


def _rows(play: Play, steps: Steps, split: str) -> pd.DataFrame:
    import pandas as pd

    return pd.read_parquet(play.world.store.path(steps.dataset, DATASET, split))


def answering_rules(done: Evaluation) -> AnsweringRules:
    """The rules of an evaluation as a bundle has them."""
    from playbook.operate.answering import AnsweringRules

    found, point = done.silence, done.operating_point
    parts = ("error", "failure", "threshold", "strangers")
    silent = {name: getattr(found, name) for name in parts} if found is not None else {}
    decided = {"of_class": point.of_class, "decide_from": point.threshold} if point is not None else {}
    return AnsweringRules(**silent, **decided)


def add_rules(play: Play, done: Evaluation, bundle: Path) -> Strangers | None:
    """Put the rules and the known rows of an evaluation into a bundle; the known rows, where there are any."""
    import shutil

    from playbook.operate.answering import AnsweringRules, save_rules
    from playbook.statistics.strangers import load_strangers

    rules = answering_rules(done)
    if rules == AnsweringRules():
        return None
    save_rules(rules, bundle)
    if rules.strangers == 0:
        return None
    shutil.copyfile(play.world.store.path(done, EVALUATION, ROLE), bundle / STRANGERS)
    return load_strangers(bundle / STRANGERS)
