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
            from playbook.operate.answering import load_answering
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
        self.model = load_answering(bundle)

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> pd.DataFrame:
        """Columns `label`, `probability`, `probability_<class>`, `answer`, `ask_a_person` and `reason`.

        One row per row of column `text`. `label` is the likeliest class and `answer` the same, or null where a person
        is asked, for the `reason` that is given. A blank text is refused.
        """
        from playbook.data.text import is_blank

        texts = list(model_input["text"])
        blank = [row for row, text in enumerate(texts) if not isinstance(text, str) or is_blank(text)]
        if blank:
            raise MlflowException.invalid_parameter_value(
                f"text: expected text in every row, found none in rows {blank}"
            )
        found = self.model.answer(texts)
        probabilities = found.probabilities.astype(float)
        labels = [self.model.labels[number] for number in found.classes]
        columns = {
            "label": labels,
            "probability": probabilities[range(len(texts)), found.classes],
            **{f"probability_{label}": probabilities[:, column] for column, label in enumerate(self.model.labels)},
            "answer": pd.Series(
                [None if asked else label for asked, label in zip(found.ask, labels, strict=True)], dtype="object"
            ),
            "ask_a_person": found.ask,
            "reason": list(found.reasons),
        }
        return pd.DataFrame(columns)


set_model(TextModel())
