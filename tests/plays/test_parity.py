"""Reload parity in a clean process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_base import write_tiny_base, write_tiny_weights

from playbook.errors import ParityError
from playbook.operate import parity as parity_module
from playbook.operate.bundle import bundle_hash
from playbook.operate.parity import _compare, check_parity

TEXTS = [
    "refund my order please",
    "password reset",
    "the parcel never came",
    "",
    "order late " * 60,
    "zebra 東京 🙂",
] * 3
LABELS = ("access", "delivery", "refund")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    classifier = pytest.importorskip("playbook.adapt.classifier")
    base = tmp_path_factory.mktemp("base")
    folder = tmp_path_factory.mktemp("bundle") / "bundle"
    classifier.save_bundle(
        folder, base, write_tiny_base(base), LABELS, write_tiny_weights(base / "trained.safetensors", 3)
    )
    return folder


@pytest.fixture(scope="module")
def expected(bundle: Path) -> np.ndarray:
    from playbook.adapt.classifier import load_bundle

    answers: np.ndarray = load_bundle(bundle).predict_proba(TEXTS)
    return answers


@pytest.fixture
def asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The answers of the one child that is asked for all texts, for tests of what is made of them."""
    monkeypatch.setattr(parity_module, "_ask", asked)


ask = parity_module._ask
answered: dict[tuple[Path, tuple[str, ...]], Any] = {}


def asked(bundle: Path, texts: list[str]) -> Any:
    """What a child says of these texts; the same child's answers from then on."""
    key = (bundle, tuple(texts))
    if key not in answered:
        answered[key] = ask(bundle, texts)
    return answered[key]


@pytest.mark.usefixtures("asked_once")
def test_the_reloaded_model_answers_the_same(bundle: Path, expected: np.ndarray) -> None:
    parity = check_parity(bundle, TEXTS, expected, 1e-5, labels=LABELS)
    assert expected.shape == (18, 3)
    assert (parity.rows, parity.same_labels) == (18, True)
    assert parity.largest_difference <= 1e-5
    assert parity.bundle_sha256 == bundle_hash(bundle)


def test_no_more_rows_than_asked_for(bundle: Path, expected: np.ndarray) -> None:
    assert check_parity(bundle, TEXTS, expected, 1e-3, rows=4).rows == 4


@pytest.mark.usefixtures("asked_once")
def test_another_answer_is_refused_with_the_figures(bundle: Path, expected: np.ndarray) -> None:
    off = expected.copy()
    off[7, 0] += 0.25
    with pytest.raises(ParityError, match=r"within 0\.001 .* on 18 rows, found a difference of 0\.25"):
        check_parity(bundle, TEXTS, off, 1e-3)


@pytest.mark.usefixtures("asked_once")
def test_other_classes_are_refused(bundle: Path, expected: np.ndarray) -> None:
    with pytest.raises(ParityError, match=r"expected classes \['refund', 'delivery', 'access'\]"):
        check_parity(bundle, TEXTS, expected, 1e-3, labels=LABELS[::-1])


@pytest.mark.parametrize(
    ("texts", "shape"), [([], (0, 2)), (["a"], (2, 2)), (["a", "b"], (2,))], ids=["none", "more answers", "flat"]
)
def test_nothing_to_compare_is_no_proof(tmp_path: Path, texts: list[str], shape: tuple[int, ...]) -> None:
    with pytest.raises(ParityError, match="expected one row of probabilities per text and at least one"):
        check_parity(tmp_path, texts, np.zeros(shape), 1e-3)


def test_a_bundle_that_does_not_load_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also that the child is isolated: a module on PYTHONPATH must not shadow what it imports."""
    (tmp_path / "numpy.py").write_text("raise SystemExit('shadowed')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    bundle = tmp_path / "b"
    bundle.mkdir()
    (bundle / "bundle.json").write_text("{}")
    with pytest.raises(ParityError, match=r"ended with status 1; the model is not registered(?s:.)*Error") as caught:
        check_parity(bundle, ["a"], np.ones((1, 2)), 1e-3)
    assert "shadowed" not in str(caught.value)


def test_figures_of_a_comparison() -> None:
    expected = np.array([[0.9, 0.1], [0.5005, 0.4995]], dtype=np.float32)
    near_tie = np.array([[0.9, 0.1], [0.4999, 0.5001]], dtype=np.float32)
    found = _compare(expected, near_tie, 1e-3, "x")
    assert found.same_labels
    assert found.largest_difference == pytest.approx(6e-4, rel=1e-3)
    flipped = _compare(expected, expected[:, ::-1], 1e-3, "x")
    assert not flipped.same_labels
    assert flipped.largest_difference == pytest.approx(0.8, rel=1e-5)


def test_nan_is_a_difference() -> None:
    expected = np.array([[0.9, 0.1]], dtype=np.float32)
    found = _compare(expected, np.array([[np.nan, 0.1]], dtype=np.float32), 1e-3, "x")
    assert found.largest_difference == float("inf")
