"""What `playbook serve` and `predict` do. Dagster is not imported: a server would hold it in memory for nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from playbook.settings import Settings
from playbook.taskfile import Task

if TYPE_CHECKING:
    from resources.scored_files import Scored


def predict_file(
    task: Task, places: Settings, file: Path, output: Path | None = None, id_column: str | None = None
) -> Scored:
    """Score a file; see `resources.scored_files.score_file`. Without `output` the answers lie beside it, as CSV."""
    from resources.scored_files import score_file

    return score_file(task, places, file, output or file.with_name(f"{file.stem}-predictions.csv"), id_column)


def serve_task(task: Task, places: Settings, port: int, said: Callable[[str], None]) -> None:
    """Answer over HTTP until a signal; see `resources.serving_app.serve`."""
    from resources.serving_app import serve

    serve(task, places, port, said)
