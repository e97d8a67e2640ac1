"""A bundle made again from data, base and trained tensors: weights, temperature, rules for answers (6.2, B8, B9).

What is chosen on validation is chosen again by the functions that chose it first, and known rows are read again from
training rows. Not made again are the model card, which says what the test split said, and the monitoring reference,
which holds figures of test rows: whoever reproduces a model does not open the test split.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from playbook.errors import NotReproduced
from playbook.operate.recipe import Recipe
from playbook.spec import TaskSpec

if TYPE_CHECKING:
    from playbook.evaluate.as_served import AsServed
    from playbook.operate.answering import AnsweringRules
    from playbook.statistics.strangers import Strangers

# Sections of a task file that no file of a bundle depends on. A rule that a later release adds to one of them, as for
# the drift rule, must not keep an older package from being reproduced.
NOT_NEEDED = ("decision", "prices", "bake_off", "sign_off", "package", "monitoring", "retraining")


@dataclass(frozen=True)
class Ingredients:
    """Where a bundle's parts lie: prepared splits, the pinned base, trained tensors and their answers to validation."""

    data: Path  # folder with train.parquet and validation.parquet
    base: Path
    weights: Path
    predictions: Path


def rebuild_bundle(recipe: Recipe, given: Ingredients, out: Path) -> Path:
    """Write the bundle of a recipe, without card and monitoring reference; returns its folder.

    Raises:
        ArtifactError: the tensors are not those of a model with this base.
        NotReproduced: this release cannot read the recipe's task file.
    """
    import pandas as pd

    from playbook.adapt.classifier import save_bundle
    from playbook.adapt.staircase import read_answers
    from playbook.evaluate.as_served import as_served
    from playbook.evaluate.calibration import scaled
    from playbook.operate.answering import AnsweringRules, save_rules
    from playbook.statistics.strangers import STRANGERS, save_strangers

    spec = spec_of(recipe)
    truth, answers = read_answers(pd.read_parquet(given.predictions), recipe.labels)
    trained = answers.probabilities
    assert trained is not None
    served = as_served(spec, truth, trained)
    asked = spec.serving.ask_a_person
    looks = asked is not None and asked.strangers > 0
    save_bundle(
        out,
        given.base,
        recipe.pin,
        recipe.labels,
        given.weights,
        recipe.precision,
        served.temperature,
        keep_frozen=looks,
    )
    calibrated = scaled(trained, served.temperature)
    strangers = _known_rows(recipe, spec, given, calibrated, served) if looks else None
    rules = _rules(spec, truth, trained, served, strangers)
    if rules != AnsweringRules():
        save_rules(rules, out)
    if strangers is not None:
        save_strangers(strangers, out / STRANGERS)
    return out


def spec_of(recipe: Recipe) -> TaskSpec:
    """The recipe's task file, as far as a bundle depends on it; the other sections are those of a new task file.

    Raises:
        NotReproduced: a section that a bundle depends on does not follow the rules of this release.
    """
    try:
        return TaskSpec.model_validate({name: part for name, part in recipe.spec.items() if name not in NOT_NEEDED})
    except ValidationError as error:
        first = error.errors()[0]
        at = ".".join(str(part) for part in first["loc"]) or "the task file"
        raise NotReproduced(
            f"{recipe.task}: expected a recipe whose task file this release accepts, found a fault in {at}: "
            f"{first['msg']}; reproduce the package with the release of playbook that made it"
        ) from None


def _known_rows(
    recipe: Recipe, spec: TaskSpec, given: Ingredients, calibrated: npt.NDArray[np.float64], served: AsServed
) -> Strangers:
    import pandas as pd

    from playbook.adapt.features import FeatureExtractor
    from playbook.evaluate.silence import known_rows
    from playbook.statistics.operating_point import decide

    train, validation = (pd.read_parquet(given.data / f"{split}.parquet") for split in ("train", "validation"))
    extractor = FeatureExtractor(given.base, recipe.pin, spec.adaptation)
    return known_rows(spec, train, validation, decide(calibrated, served.threshold), extractor)


def _rules(
    spec: TaskSpec,
    truth: npt.NDArray[np.int64],
    trained: npt.NDArray[np.floating],
    served: AsServed,
    strangers: Strangers | None,
) -> AnsweringRules:
    from playbook.evaluate.as_served import operating_point
    from playbook.evaluate.calibration import scaled
    from playbook.evaluate.silence import Rows, choose_confidence
    from playbook.operate.answering import AnsweringRules

    point, asked = operating_point(spec, truth, trained), spec.serving.ask_a_person
    decided = AnsweringRules()
    if point is not None:
        decided = AnsweringRules(of_class=point.of_class, decide_from=point.threshold)
    if asked is None:
        return decided
    scores = strangers.scores if strangers is not None else None
    rows = Rows(truth, scaled(trained, served.temperature), scores, served.threshold)
    _, found = choose_confidence(asked, rows, strangers)
    return decided.model_copy(
        update={
            "error": asked.error,
            "failure": asked.failure,
            "threshold": found.threshold,
            "strangers": asked.strangers if strangers is not None else 0.0,
        }
    )
