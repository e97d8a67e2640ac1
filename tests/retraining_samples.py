"""A tiny task with a model in production, and what production brings: answers, outcomes, a class nobody knew."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
from adapt_samples import pairs
from play_runs import Place, make_place

from playbook.operate.prediction_log import open_prediction_log
from playbook.operate.prediction_log_rows import Outcome
from playbook.taskfile import load_task

NEW_CLASS = "lost"
DAY = datetime(2026, 2, 2, 9, tzinfo=UTC)
PLAN: dict[str, Any] = {"epochs": 8, "max_rungs": 1}


def growing_place(folder: Path, database: Path, begun: Path, **retraining: Any) -> Place:
    """A tiny task whose data may grow, rows and classes; nothing has been run yet, but what trains first is stored."""
    place = make_place(folder, database, begun=begun, **PLAN)
    place.document["data"]["accumulated"] = {"rows": "more.csv", "classes": "classes.yaml"}
    place.document["monitoring"] = {"since": "2026-01-01", "window_days": 1, "min_rows": 20}
    place.document["retraining"] = {"min_new_labels": 10, **retraining}
    place.task()
    return place


def lost_passwords(count: int, seed: int = 5) -> list[dict[str, str]]:
    """Rows of a class that the task does not have."""
    rng = random.Random(seed)  # noqa: S311
    out = []
    for number in range(count):
        fillers = ["".join(rng.choices("bdfgkmnprstvz", k=7)) for _ in range(3)]
        words = ["password", "log", "in", *rng.sample(["my", "the", "is", "please"], 2), *fillers]
        rng.shuffle(words)
        out.append({"row_id": f"L{number:05d}", "text": " ".join(words), "label": NEW_CLASS})
    return out


def serve_rows(place: Place, rows: list[dict[str, str]], at: datetime = DAY) -> None:
    """Score rows with the champion, and let their true labels become known."""
    from resources.scoring import BatchScorer

    task, places = load_task(place.file), place.places
    scorer = BatchScorer(task, places)
    scorer.score(pd.DataFrame(rows).drop(columns=["label"]), [at] * len(rows))
    scorer.close()
    log = open_prediction_log(places, task.spec.task)
    log.record_outcomes([Outcome(row["row_id"], row["label"], at) for row in rows])
    log.close()


def production(pair_rows: int, new_rows: int) -> list[dict[str, str]]:
    """Rows as the task knows them, and rows of the new class."""
    return [*pairs(pair_rows, 77), *lost_passwords(new_rows)]
