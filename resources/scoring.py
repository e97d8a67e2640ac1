"""Scoring tables with the champion (6.3); `resources.scored_files` does it to files.

A row's id is the table's own, or else follows from its content, so that the same file scored twice is logged once.
Logging is done at once and waited for; what could not be written is counted as lost, and the answers are given all the
same.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from playbook.data.formats.dialect import delimiter_of_names
from playbook.data.identity import require_ids, spoilt_ids
from playbook.data.text import counted, is_blank, shown
from playbook.data.times import moments
from playbook.errors import DataError, StorageError
from playbook.names import near_name, normal_form
from playbook.operate.prediction_log import PATIENCE, open_prediction_log
from playbook.operate.prediction_log_lost import LostRows
from playbook.operate.prediction_log_tables import storable
from playbook.operate.prediction_writer import in_share
from playbook.operate.redaction import Redactor, further_columns
from playbook.settings import Settings
from playbook.taskfile import Task
from resources.champion import FIGURE, Champion
from resources.served_model import predictions
from resources.world import World

if TYPE_CHECKING:
    import pandas as pd

    from playbook.operate.prediction_log import Prediction

CHUNK = 5000  # rows that are scored and logged at a time
CONTENT_ID = 24  # hexadecimal digits of an id that follows from a row's content: 96 bits
logger = logging.getLogger("playbook.predictions")
BLANK = "The text is blank."
MOST_NAMED = 3  # ids that a message names


@dataclass(frozen=True)
class ScoreCount:
    """What became of scored rows: each is logged, repeated (its id was in the log), lost, or outside of the share.

    Of `lost` ones some may be in the log, where it went away in the middle; `PredictionLog.lost` knows in the end.
    """

    logged: int = 0
    repeated: int = 0
    lost: int = 0
    not_chosen: int = 0

    def __add__(self, other: ScoreCount) -> ScoreCount:
        return ScoreCount(
            self.logged + other.logged,
            self.repeated + other.repeated,
            self.lost + other.lost,
            self.not_chosen + other.not_chosen,
        )


class BatchScorer:
    """Holds the champion of a task loaded, and scores tables with it; for one thread.

    Args:
        task: whose champion answers.
        places: of the registry and the prediction log.
        id_column: that names rows, in place of data.columns.id.

    Raises:
        TaskFileError: a redaction pattern cannot be used.
        SettingsError: the prediction log's URL is not one.
    """

    def __init__(self, task: Task, places: Settings, id_column: str | None = None) -> None:
        spec = task.spec
        self._columns, self._serving = spec.data.columns, spec.serving
        self._own_ids = normal_form(id_column) if id_column else None
        self._id_column = self._own_ids or spec.data.columns.id
        self._champion = Champion(World(places).registry, spec.task, spec.package.alias)
        self._redactor = Redactor(spec.serving.redact, spec.data.columns.text)
        self._log = open_prediction_log(places, spec.task)
        self._lost = LostRows()
        self._away = False  # the log, at the last attempt: it is not waited for again and again
        self._other_texts: list[str] = []  # ids that the log has with another text
        self.spoilt = ""  # what is odd about the ids of the last table, in words
        self.count = ScoreCount()  # of all calls so far

    @property
    def version(self) -> str:
        """Semantic version of the model that answered last."""
        return self._champion.current.version

    def score(
        self, frame: pd.DataFrame, times: Sequence[datetime] | None = None, *, called: str = "the table"
    ) -> pd.DataFrame:
        """Score and log a table with the version that is the champion now.

        Args:
            frame: columns as data.columns names them, every value text: the text, and id, time, group and keep where
                they are there. Other columns are not kept.
            times: of the rows, aware; the time column if not given, else now.
            called: how errors name the table.

        Returns:
            Columns id, label, probability, `p_<class>`, answer, ask_a_person, reason, model_version; one row per row of
            `frame`, in its order. `answer` is empty where a person is asked. A blank text is not scored and not logged:
            a person is asked, and label and probabilities are empty.

        Raises:
            ArtifactError: there is no champion yet, or it cannot be loaded.
            DataError: a column is missing, a time cannot be read, or most ids stand on several texts.
        """
        import pandas as pd

        self._champion.refresh()
        frame = frame.rename(columns=lambda name: normal_form(str(name)))
        self._require(frame, called)
        ids, moments = self._ids(frame), self._times(frame, times, called)
        if self._id_column in frame.columns:
            require_ids(ids, frame[self._columns.text].astype("str").tolist(), f"{called}: {self._id_column}")
            self.spoilt = spoilt_ids(ids)
        parts = [self._part(frame, ids, moments, start) for start in range(0, len(frame), CHUNK)]
        return pd.concat(parts, ignore_index=True) if parts else self._part(frame, ids, moments, 0)

    def close(self) -> None:
        """Give the log's connections back."""
        self._log.close()

    def _part(self, frame: pd.DataFrame, ids: list[str], times: list[datetime], start: int) -> pd.DataFrame:
        rows = slice(start, start + CHUNK)
        model, part = self._champion.current, frame.iloc[rows]
        texts = part[self._columns.text].astype("str").tolist()
        known = [row for row, text in enumerate(texts) if not is_blank(text)]
        answers = model.answer([texts[row] for row in known]) if known else no_answers(model.labels)
        kept = [name for name in (self._columns.group, *self._columns.keep) if name and name in frame.columns]
        columns = [
            further_columns({str(name): value for name, value in row.items()})
            for row in part[kept].iloc[known].to_dict("records")
        ] or [{} for _ in known]
        own, moments = ids[rows], times[rows]
        named = ([own[row] for row in known], [texts[row] for row in known], [moments[row] for row in known])
        self._write(predictions(model, answers, *named, columns, "batch"))
        table = with_blank(answers, known, len(texts))
        renamed = table.rename(columns={f"{FIGURE}{label}": f"p_{label}" for label in model.labels})
        renamed.insert(0, "id", own)
        return renamed.assign(model_version=model.version)

    def _write(self, rows: list[Prediction]) -> None:
        chosen = [self._redactor.row(row) for row in rows if in_share(row.id, self._serving.log_share)]
        missed = len(rows) - len(chosen)
        try:
            new = self._log.write(chosen, patience=0 if self._away else PATIENCE)
        except StorageError as error:
            self._away = True
            self.count += ScoreCount(lost=len(chosen), not_chosen=missed)
            logger.warning("%d predictions are not logged: %s", len(chosen), error)
            self._lose(chosen)
        else:
            self._away = False
            if new < len(chosen):
                self._note_other_texts(chosen)
            self.count += ScoreCount(logged=new, repeated=len(chosen) - new, not_chosen=missed)

    def _note_other_texts(self, rows: list[Prediction]) -> None:
        """An id that stands on another text in the log is not logged again: its outcomes will join that other text."""
        with contextlib.suppress(StorageError):  # the log went away meanwhile
            self._other_texts += self._log.other_texts(rows)

    @property
    def odd_ids(self) -> tuple[str, ...]:
        """What is to be said about ids, in sentences: the same id on several texts, or digits that are lost."""
        names = list(dict.fromkeys(self._other_texts))
        more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
        some = f"{', '.join(map(shown, names[:MOST_NAMED]))}{more}"
        stand = f"{counted(len(names), 'id')} {'stands' if len(names) == 1 else 'stand'}"
        same = f"{stand} on another text in the log, which keeps the first one: {some}" if names else ""
        return tuple(filter(None, (same, self.spoilt)))

    def _lose(self, rows: list[Prediction]) -> None:
        """Count rows in the file of lost ones, by id: those that are logged after all count no more."""
        ids = tuple(storable(row.id) for row in rows)
        self._lost = LostRows(self._lost.writer, self._lost.count, (*self._lost.doubtful, *ids))
        try:
            self._log.losses.save(self._lost)
        except OSError as error:
            logger.warning("the count of lost predictions is not kept: %s", error)

    def _require(self, frame: pd.DataFrame, called: str) -> None:
        require_named({"text": self._columns.text, "id": self._own_ids}, list(map(str, frame.columns)), called)

    def _times(self, frame: pd.DataFrame, times: Sequence[datetime] | None, called: str) -> list[datetime]:
        now = datetime.now(UTC)
        if times is not None:
            if len(times) != len(frame):
                raise DataError(
                    f"{called}: expected a time for each of {len(frame)} rows, found {len(times)}; hand over as many"
                )
            return list(times)
        name = self._columns.time
        if not name or name not in frame.columns:
            return [now] * len(frame)
        return moments(frame[name].tolist(), now, f"{called}: column {name}", self._columns.time_format)

    def _ids(self, frame: pd.DataFrame) -> list[str]:
        """The table's own ids; rows without one are named by their content, those of equal content are numbered."""
        named = self._id_column
        given = frame[named].astype("str") if named and named in frame.columns else [""] * len(frame)
        own = [normal_form(name) for name in given]
        if all(own):
            return own
        seen: dict[str, int] = {}
        rows = zip(own, frame.astype("str").to_dict("records"), strict=True)
        return [name or _content_id(row, seen) for name, row in rows]


def require_named(needed: Mapping[str, str | None], present: Sequence[str], called: str) -> None:
    """Refuse a table that lacks a column; `needed` has the column of each part.

    Raises:
        DataError: what is missing, and what it may be called.
    """
    missing = {part: name for part, name in needed.items() if name and name not in present}
    if not missing:
        return
    meant = {name: near_name(name, present) for name in missing.values()}
    remedies = [f"call {shown(other)} {name}" if other else f"name a column {name}" for name, other in meant.items()]
    remedies += ["or name the column of ids (--id-column)"] if "id" in missing else []
    if mark := delimiter_of_names(present, tuple(missing.values())):
        remedies = [f"the names seem to be parted by {mark!r}: write the file with commas"]
    raise DataError(
        f"{called}: expected the columns of data.columns, found no "
        f"{', '.join(f'{name} ({part})' for part, name in missing.items())} among {', '.join(map(shown, present))}; "
        f"{', '.join(remedies)}"
    )


def no_answers(labels: Sequence[str]) -> pd.DataFrame:
    """What `LoadedModel.answer` gives, without a row."""
    import pandas as pd

    names = ("label", "probability", *(f"{FIGURE}{label}" for label in labels), "answer", "ask_a_person", "reason")
    return pd.DataFrame({name: pd.Series([], dtype="object") for name in names})


def with_blank(answers: pd.DataFrame, known: Sequence[int], rows: int) -> pd.DataFrame:
    """Answers to the rows `known` among `rows` rows, of which the others had a blank text: a person is asked there."""
    table = answers.set_axis(list(known), axis=0).reindex(range(rows))
    blank = ~table.index.isin(list(known))
    table["ask_a_person"] = blank | (table["ask_a_person"] == True)  # noqa: E712 - NaN in rows that are blank
    table["reason"] = table["reason"].astype("object").where(~blank, BLANK)
    for name in ("label", "answer"):
        table[name] = table[name].astype("object").where(table[name].notna(), "")
    return table


def _content_id(row: object, seen: dict[str, int]) -> str:
    digest = hashlib.sha256(json.dumps(row, sort_keys=True).encode()).hexdigest()[:CONTENT_ID]
    seen[digest] = seen.get(digest, 0) + 1
    return digest if seen[digest] == 1 else f"{digest}-{seen[digest]}"
