"""The folder that MLflow keeps of a model: the bundle, the code that reads it, and what it needs installed."""

from __future__ import annotations

import importlib.metadata
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import playbook

if TYPE_CHECKING:
    from mlflow.models import ModelSignature

SERVING_CODE = Path(__file__).with_name("serving_model.py")
# What answering needs, besides the package's own code, which travels with the model.
SERVING_PACKAGES = (
    "mlflow",
    "numpy",
    "pandas",
    "torch",
    "tokenizers",
    "safetensors",
    "pydantic",
    "PyYAML",
    "fsspec",
)


def save_model(
    folder: Path,
    bundle: Path,
    labels: Sequence[str],
    *,
    example: str,
    bundle_sha256: str,
    run_id: str | None = None,
    model_id: str | None = None,
) -> None:
    """Write MLflow's model folder: bundle, serving code, signature, example and pinned requirements; no pickle.

    Args:
        folder: written; must not exist, or be empty.
        labels: class names in the order of the model's answers.
        example: a text, shown as input example.
        bundle_sha256: checked again whenever the model is loaded.

    The code of `playbook` goes with it. The package is on no index, and a model that is read by the code that trained
    it goes on giving the same answers after the checkout has moved on.
    """
    import mlflow
    import pandas as pd
    from mlflow.models import Model

    with tempfile.TemporaryDirectory(prefix="code-") as scratch:
        code = Path(scratch) / "playbook"
        shutil.copytree(
            Path(playbook.__file__).parent, code, ignore=shutil.ignore_patterns("__pycache__", "*.pyc", "templates")
        )
        mlflow.pyfunc.save_model(
            path=str(folder),
            python_model=str(SERVING_CODE),
            artifacts={"bundle": bundle.resolve().as_uri()},
            code_paths=[str(code)],
            model_config={"bundle_sha256": bundle_sha256},
            signature=_signature(labels),
            input_example=pd.DataFrame({"text": [example]}),
            pip_requirements=serving_requirements(),
            mlflow_model=Model(run_id=run_id, model_id=model_id),
        )


def serving_requirements() -> list[str]:
    """Pinned versions of what answering needs, as installed here; `2.13.0+cpu` becomes `2.13.0`."""
    return [f"{package}=={importlib.metadata.version(package).split('+')[0]}" for package in SERVING_PACKAGES]


def _signature(labels: Sequence[str]) -> ModelSignature:
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    figures = ["probability", *(f"probability_{label}" for label in labels)]
    outputs = [
        ColSpec("string", "label"),
        *(ColSpec("double", name) for name in figures),
        ColSpec("string", "answer", required=False),  # null where a person is asked
        ColSpec("boolean", "ask_a_person"),
        ColSpec("string", "reason"),
    ]
    return ModelSignature(inputs=Schema([ColSpec("string", "text")]), outputs=Schema(outputs))
