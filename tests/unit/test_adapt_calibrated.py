"""What a packaged model answers is calibrated: its logits are divided by a temperature that lies in the bundle."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from report_samples import ORDINARY, spec_for
from safetensors.torch import load_file, save_file
from tiny_base import WORDS, write_tiny_base, write_tiny_weights

from playbook.adapt.classifier import load_bundle, save_bundle
from playbook.errors import ArtifactError
from playbook.evaluate.calibration import calibrate, expected_error, reliability, scaled

TEXTS = ["refund my order", "password", "the parcel never came please", "is late", "log in reset", ""]


def calibrated_bundle(folder: Path, temperature: float) -> Path:
    """A bundle of tiny weights that were far too sure of themselves, with a temperature."""
    pin = write_tiny_base(folder / "base")
    weights = write_tiny_weights(folder / "weights.safetensors", 3)
    tensors = load_file(weights)
    save_file({**tensors, "head.weight": 4 * tensors["head.weight"]}, weights)
    save_bundle(folder / "bundle", folder / "base", pin, ("a", "b", "c"), weights, "float32", temperature)
    return folder / "bundle"


def test_what_a_bundle_answers_is_calibrated(tmp_path: Path) -> None:
    random = np.random.default_rng(4)
    texts = [" ".join(random.choice(WORDS, 6)) for _ in range(1200)]
    trained = load_bundle(calibrated_bundle(tmp_path / "plain", 1.0)).predict_proba(texts)
    truth = np.array([random.choice(3, p=row) for row in scaled(trained, 4.0)])
    first, second = slice(None, 600), slice(600, None)
    found = calibrate(spec_for(ORDINARY), truth[first], trained[first], truth[second], trained[second])
    served = load_bundle(calibrated_bundle(tmp_path / "served", found.temperature)).predict_proba(texts[600:])
    error = expected_error(reliability(truth[second], served, 10))
    assert error == pytest.approx(found.ece_after, abs=2e-3)
    assert error < found.ece_before / 3
    assert np.abs(served - scaled(trained[second], found.temperature)).max() < 1e-5
    assert np.array_equal(served.argmax(1), trained[second].argmax(1))


def test_a_bundle_without_a_temperature_answers_as_trained(tmp_path: Path) -> None:
    bundle = calibrated_bundle(tmp_path, 2.0)
    about = json.loads((bundle / "bundle.json").read_text(encoding="utf-8"))
    del about["temperature"]
    (bundle / "bundle.json").write_text(json.dumps(about), encoding="utf-8")
    plain = load_bundle(calibrated_bundle(tmp_path / "plain", 1.0))
    assert load_bundle(bundle).temperature == 1.0
    assert np.array_equal(load_bundle(bundle).predict_proba(TEXTS), plain.predict_proba(TEXTS))


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan"), float("inf")])
def test_a_temperature_that_is_none_is_refused(tmp_path: Path, temperature: float) -> None:
    with pytest.raises(ArtifactError, match="temperature above 0"):
        load_bundle(calibrated_bundle(tmp_path, temperature))
