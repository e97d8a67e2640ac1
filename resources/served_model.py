"""What MLflow's scoring application answers with: the champion of the moment, an id for every answer, and the log."""

from __future__ import annotations

import math
import re
import uuid
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from playbook.data.text import is_blank
from playbook.names import normal_form
from playbook.operate.prediction_log import Prediction
from playbook.operate.prediction_writer import PredictionWriter
from playbook.operate.redaction import further_columns
from resources.champion import FIGURE, Champion, LoadedModel

if TYPE_CHECKING:
    import pandas as pd
    from mlflow.types import Schema

TEXT, ID = "text", "id"
MOST_ID = 200  # characters
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1b\x7f]")
EXACT = 2.0**53  # up to here every whole number is a float of its own


class ServedModel:
    """A model as `mlflow.pyfunc.scoring_server.init` wants it; several threads may ask it at once.

    Args:
        champion: answers with what it holds when a request comes in.
        writer: logs; never waited for.
    """

    def __init__(self, champion: Champion, writer: PredictionWriter) -> None:
        self._champion, self._writer = champion, writer
        self.metadata = self  # of which MLflow asks the input's schema, and nothing else

    def get_input_schema(self) -> Schema:
        """Column `text`, and `id` where the caller has ids; whatever else is there goes into the log."""
        from mlflow.types import ColSpec, Schema

        return Schema([ColSpec("string", TEXT), ColSpec("string", ID, required=False)])

    def predict(self, data: Any, params: Any = None) -> pd.DataFrame:
        """The model's columns, with prediction_id and model_version; `answer` is null where a person is asked.

        Raises:
            mlflow.exceptions.MlflowException: a row has no text, or a blank one, or an id that is not printable text.
        """
        frame = _table(data)
        texts, ids = _texts(frame), _ids(frame)
        others = frame.drop(columns=[name for name in (TEXT, ID) if name in frame.columns]).to_dict("records")
        current = self._champion.current
        answers = current.answer(texts)
        columns = [further_columns({str(name): value for name, value in row.items()}) for row in others]
        self._writer.put(predictions(current, answers, ids, texts, [datetime.now(UTC)] * len(ids), columns, "serve"))
        return answers.assign(prediction_id=ids, model_version=current.version)


def predictions(
    model: LoadedModel,
    answers: pd.DataFrame,
    ids: Sequence[str],
    texts: Sequence[str],
    times: Sequence[datetime],
    columns: Sequence[dict[str, str]],
    source: Any,
) -> list[Prediction]:
    """Rows for the log, one per answer."""
    figures = answers[[f"{FIGURE}{label}" for label in model.labels]].to_numpy()
    return [
        Prediction(
            id=name,
            time=moment,
            version=model.version,
            label=str(label),
            probability=float(probability),
            probabilities=dict(zip(model.labels, map(float, row), strict=True)),
            text=text,
            columns=more,
            source=source,
            silent=bool(silent),
        )
        for name, moment, label, probability, silent, row, text, more in zip(
            ids,
            times,
            *(answers[name] for name in ("label", "probability", "ask_a_person")),
            figures,
            texts,
            columns,
            strict=True,
        )
    ]


def _table(data: Any) -> pd.DataFrame:
    """What MLflow made of a request, as a table."""
    import pandas as pd

    try:
        if isinstance(data, pd.DataFrame):
            frame = data
        elif isinstance(data, dict):
            frame = pd.DataFrame({name: _values(values) for name, values in data.items()})
        else:
            frame = pd.DataFrame({TEXT: data}, dtype="object")  # a list or array of texts
    except (TypeError, ValueError):
        raise _refused("expected rows with a column text, found something that is not a table") from None
    frame = frame.rename(columns=lambda name: normal_form(str(name)))
    if TEXT not in frame.columns or not frame.columns.is_unique:
        found = ", ".join(map(str, frame.columns)) or "none"
        raise _refused(f"expected rows with one column text, and id and others if you like, found columns: {found}")
    return frame


def _values(values: Any) -> list[Any]:
    """The values of a column; a single one, as MLflow writes an example of one row, is not a column of letters."""
    return [values] if isinstance(values, str | bytes) or not isinstance(values, Iterable) else list(values)


def _texts(frame: pd.DataFrame) -> list[str]:
    texts = frame[TEXT].tolist()
    wrong = [row for row, text in enumerate(texts) if not isinstance(text, str)]
    if wrong:
        raise _refused(f"expected text in every row of column text, found none in rows {_some(wrong)}")
    blank = [row for row, text in enumerate(texts) if is_blank(text)]
    if blank:
        raise _refused(f"expected text in every row of column text, found blank text in rows {_some(blank)}")
    return [
        text if _encodes(text) else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace") for text in texts
    ]


def _ids(frame: pd.DataFrame) -> list[str]:
    """The caller's ids; a new one where there is none."""
    if ID not in frame.columns:
        return [uuid.uuid4().hex for _ in range(len(frame))]
    ids = [_id(value) for value in frame[ID].tolist()]
    wrong = [row for row, name in enumerate(ids) if not (name.isprintable() and len(name) <= MOST_ID)]
    if wrong:
        raise _refused(
            f"expected ids of up to {MOST_ID} printable characters, found others in rows {_some(wrong)}; send long "
            "numbers as text, in quotes: as numbers they lose digits"
        )
    return [name or uuid.uuid4().hex for name in ids]


def _id(value: Any) -> str:
    if isinstance(value, str):
        return "\0" if _CONTROL.search(value) else normal_form(value)
    if isinstance(value, float) and value.is_integer():
        # Whole numbers become floats where other rows have none; from 2**53 on, their last digits are lost by that.
        return str(int(value)) if abs(value) < EXACT else "\0"
    missing = value is None or (isinstance(value, float) and math.isnan(value))
    if not missing and not isinstance(value, int | float):
        return "\0"  # no id at all
    return "" if missing else str(value)


def _encodes(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:  # half a surrogate pair, which JSON can carry and no tokenizer takes
        return False
    return True


def _some(rows: list[int]) -> str:
    return f"{', '.join(map(str, rows[:10]))}{' and more' if len(rows) > 10 else ''}"


def _refused(message: str) -> Exception:
    from mlflow.exceptions import MlflowException

    refused: Exception = MlflowException.invalid_parameter_value(message)
    return refused
