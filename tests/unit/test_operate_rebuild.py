"""A bundle that is made again has every file of the one that was packaged: weights, temperature, rules, known rows."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from report_samples import ORDINARY, dataset_for, spec_for
from tiny_base import WORDS, write_tiny_base, write_tiny_weights

from playbook.adapt.classifier import load_bundle, save_bundle
from playbook.artifacts import FileRef
from playbook.errors import NotReproduced
from playbook.evaluate.as_served import as_served, operating_point
from playbook.evaluate.calibration import scaled
from playbook.evaluate.silence import Rows, judge_silence, known_rows
from playbook.operate.answering import AnsweringRules, load_rules, save_rules
from playbook.operate.rebuild import Ingredients, rebuild_bundle
from playbook.operate.recipe import Circumstances, Recipe, make_recipe
from playbook.operate.reproduce import _compare, differences, reproduce
from playbook.spec import AskAPerson
from playbook.statistics.strangers import save_strangers

NOW = Circumstances(hardware="x86_64 processor, 1 threads, float32", threads=1, versions={})
ASKED = AskAPerson(error=0.6, strangers=0.05)
SPEC = spec_for(ORDINARY, metric="recall", of_class=ORDINARY[0], at_least=0.2)
SPEC = SPEC.model_copy(update={"serving": SPEC.serving.model_copy(update={"ask_a_person": ASKED})})


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Recipe, Ingredients, Path]:
    """A recipe, what its bundle is made of, and the bundle as packaging wrote it."""
    from playbook.adapt.features import FeatureExtractor

    folder, random = tmp_path_factory.mktemp("rebuild"), np.random.default_rng(3)
    pin = write_tiny_base(folder / "base")
    weights = write_tiny_weights(folder / "weights.safetensors", len(ORDINARY))
    texts = [" ".join(random.choice(WORDS, 5)) for _ in range(160)]
    save_bundle(folder / "plain", folder / "base", pin, ORDINARY, weights, "float32")
    trained = load_bundle(folder / "plain").predict_proba(texts)
    truth = np.array([random.choice(len(ORDINARY), p=row) for row in scaled(trained, 2.0)])
    table = pd.DataFrame({"row_id": [str(at) for at in range(160)], "text": texts, "label": np.array(ORDINARY)[truth]})
    train, validation = table[:80], table[80:].reset_index(drop=True)
    train.to_parquet(folder / "train.parquet")
    validation.to_parquet(folder / "validation.parquet")
    answers = {f"p_{at}": trained[80:, at] for at in range(len(ORDINARY))}
    validation[["row_id", "label"]].assign(**answers).to_parquet(folder / "predictions.parquet")

    served = as_served(SPEC, truth[80:], trained[80:])
    given = scaled(trained[80:], served.temperature)
    extractor = FeatureExtractor(folder / "base", pin, SPEC.adaptation)
    classes = Rows(truth[80:], given, None, served.threshold).classes
    known = known_rows(SPEC, train, validation, classes, extractor)
    rows = Rows(truth[80:], given, known.scores, served.threshold)
    silence, point = judge_silence(ASKED, rows, rows, known, 0.95), operating_point(SPEC, truth[80:], trained[80:])
    assert point is not None and served.temperature > 1.2
    bundle = folder / "bundle"
    save_bundle(bundle, folder / "base", pin, ORDINARY, weights, "float32", served.temperature, keep_frozen=True)
    save_rules(
        AnsweringRules(
            error=silence.error, failure=silence.failure, threshold=silence.threshold, strangers=silence.strangers,
            of_class=point.of_class, decide_from=point.threshold,
        ),
        bundle,
    )  # fmt: skip
    save_strangers(known, bundle / "strangers.safetensors")
    (bundle / "README.md").write_text("what the test split said")
    files = {split: FileRef(name=f"{split}.parquet", sha256=split, size=1) for split in ("train", "validation")}
    dataset = dataset_for(SPEC, files=files, dataset_hash="d" * 32 + ".dir")
    recipe = make_recipe(
        SPEC, dataset, pin, SPEC.base, bundle, unfrozen=1, weights_sha256="w", circumstances=NOW
    )  # fmt: skip
    return recipe, Ingredients(folder, folder / "base", weights, folder / "predictions.parquet"), bundle


def test_every_file_but_those_of_the_test_split_comes_out_the_same(
    made: tuple[Recipe, Ingredients, Path], tmp_path: Path
) -> None:
    recipe, given, packaged = made
    out = rebuild_bundle(recipe, given, tmp_path / "again")
    found = _compare(recipe, out, NOW)
    assert found.same and differences(found) == []
    assert {"bundle.json", "answering.json", "strangers.safetensors", "frozen.safetensors"} < found.found.keys()
    assert {path.name for path in packaged.iterdir()} - found.found.keys() == {"README.md"}
    rules = load_rules(out)
    assert rules == load_rules(packaged) and rules.of_class == ORDINARY[0] and rules.strangers == 0.05


def test_an_older_package_is_reproduced_whatever_rules_later_releases_add_to_drift(
    made: tuple[Recipe, Ingredients, Path], tmp_path: Path
) -> None:
    recipe, given, packaged = made
    older = {**recipe.spec, "retraining": {"drift": {"alarms": 2, "windows": 4}}, "monitoring": {"gone": 1}}
    out = rebuild_bundle(recipe.model_copy(update={"spec": older}), given, tmp_path / "older")
    assert load_rules(out) == load_rules(packaged)


def test_a_task_file_that_cannot_be_read_is_refused_before_the_training(
    made: tuple[Recipe, Ingredients, Path], tmp_path: Path
) -> None:
    recipe, untouched = made[0], lambda part: pytest.fail("data was asked for")
    broken = recipe.model_copy(update={"spec": {**recipe.spec, "target": {"metric": "gone"}}})
    with pytest.raises(NotReproduced, match=r"a fault in target.*the release of playbook that made it"):
        reproduce(broken, untouched, untouched, tmp_path, print)


def test_another_temperature_or_missing_rules_are_said(made: tuple[Recipe, Ingredients, Path], tmp_path: Path) -> None:
    recipe, _, packaged = made
    out = tmp_path / "other"
    shutil.copytree(packaged, out)
    about = json.loads((out / "bundle.json").read_text())
    (out / "bundle.json").write_text(json.dumps({**about, "temperature": 1.0}))
    (out / "answering.json").unlink()
    found = _compare(recipe, out, NOW)
    assert not found.same and found.other == ("answering.json", "bundle.json")
    said = differences(found)
    assert said[0].startswith("answering.json: expected SHA-256 ") and said[0].endswith("found no such file")
    assert said[1].startswith("bundle.json: expected SHA-256 ")
