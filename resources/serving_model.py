"""The model as MLflow serves it: this file is copied into each registered model and run there by MLflow alone.

It is code, not a pickle (MLflow's models-from-code). Importing it needs mlflow at once, so nothing else imports it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel, PythonModelContext


class TextModel(PythonModel):
    """Answers texts with a class, its probability, and the probability of every class."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the bundle, after checking that it is the one that was registered."""
        try:
            from playbook.adapt.classifier import load_bundle
            from playbook.operate.bundle import bundle_hash
        except ModuleNotFoundError as error:
            raise MlflowException(
                f"expected the packages of this model's requirements.txt, found no {error.name}; install them "
                "(pip install -r requirements.txt), or serve with an env-manager that does"
            ) from error
        bundle = Path(context.artifacts["bundle"])
        expected, found = context.model_config["bundle_sha256"], bundle_hash(bundle)
        if found != expected:
            raise MlflowException(
                f"expected a bundle with SHA-256 {expected}, found {found}: its files were changed after the model was "
                "registered; restore them, or register the model again"
            )
        self.model = load_bundle(bundle)

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> pd.DataFrame:
        """Columns `label`, `probability` and `probability_<class>`, one row per row of column `text`."""
        texts = list(model_input["text"])
        blank = [row for row, text in enumerate(texts) if not isinstance(text, str)]
        if blank:
            raise MlflowException.invalid_parameter_value(
                f"text: expected text in every row, found none in rows {blank}"
            )
        probabilities = self.model.predict_proba(texts).astype(float)
        best = probabilities.argmax(axis=1)
        columns = {
            "label": [self.model.labels[position] for position in best],
            "probability": probabilities.max(axis=1),
            **{f"probability_{label}": probabilities[:, column] for column, label in enumerate(self.model.labels)},
        }
        return pd.DataFrame(columns)


set_model(TextModel())
