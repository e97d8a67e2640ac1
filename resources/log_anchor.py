"""The decision log's anchor in MLflow: a tag of the task's experiment, beside the tag that every attempt carries.

It is read from the database itself where there is one, so that looking takes no MLflow (1.4 s to import). It is written
once the task has an experiment; until then the store's anchor stands alone.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

from playbook.database import is_postgres, make_engine
from playbook.decide.log_anchor import PROGRESS, Anchor
from resources.tracking_database import sqlite_path

if TYPE_CHECKING:
    from resources.tracking import Tracking

HEAD_TAG = "playbook/decision_log"
READ = (
    "SELECT t.value FROM experiments e LEFT JOIN experiment_tags t "
    "ON t.experiment_id = e.experiment_id AND t.key = {key} WHERE e.name = {name}"
)


class TrackingAnchor:
    """One task's anchor in the tracking store."""

    name = "MLflow"

    def __init__(self, tracking: Tracking, task: str, log: str) -> None:
        self.tracking, self.task, self.tag = tracking, task, f"{HEAD_TAG}/{log}"  # `log` names where the log lies

    def read(self) -> Anchor | None:
        """What the experiment's tag says; None where there is no experiment, no tag, or no tracking store to ask."""
        found = self._tag()
        if not found:
            return None
        try:
            said: dict[str, Any] = json.loads(found[0] or "")
            return Anchor(int(said["count"]), str(said["sha256"]), str(said.get("time", "")), said.get("further", {}))
        except (ValueError, KeyError, TypeError):
            return None  # a tag of another hand; the store's anchor stands

    def write(self, anchor: Anchor) -> None:
        """Set the tag, where the task has an experiment."""
        if self._tag() is None:
            return
        client = self.tracking.client
        found = client.get_experiment_by_name(self.task)
        if found is not None:
            client.set_experiment_tag(found.experiment_id, self.tag, head_text(anchor))

    def _tag(self) -> list[str | None] | None:
        """The tag's value, in a list; None where there is no such experiment or nobody can be asked."""
        try:
            if is_postgres(self.tracking.uri):
                return self._from_postgres()
            database = sqlite_path(self.tracking.uri)
            if database is None:
                return self._from_server()
            if not database.is_file():
                return None
            with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True, timeout=10)) as connection:
                statement = READ.format(key="?", name="?")
                rows = connection.execute(statement, (self.tag, self.task)).fetchall()
            return [rows[0][0]] if rows else None
        except Exception as error:
            PROGRESS.warning("the decision log's anchor in MLflow could not be read: %s", type(error).__name__)
            return None

    def _from_postgres(self) -> list[str | None] | None:
        from sqlalchemy import text

        statement = text(READ.format(key=":key", name=":name"))
        with make_engine(self.tracking.uri).connect() as connection:
            if connection.execute(text("SELECT to_regclass('experiment_tags')")).scalar() is None:
                return None
            row = connection.execute(statement, {"key": self.tag, "name": self.task}).first()
        return [row[0]] if row is not None else None

    def _from_server(self) -> list[str | None] | None:
        found = self.tracking.client.get_experiment_by_name(self.task)
        return [found.tags.get(self.tag)] if found is not None else None


def head_text(anchor: Anchor) -> str:
    """The tag's value."""
    kept = {"count": anchor.count, "sha256": anchor.sha256, "time": anchor.time, "further": dict(anchor.further)}
    return json.dumps({name: value for name, value in kept.items() if value})
