"""Scoring files with the champion: `playbook predict` and the Dagster job (6.3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from playbook.data.formats import Rejected
from playbook.data.read import form_of
from playbook.data.sheets import formulas
from playbook.data.text import shown
from playbook.errors import DataError
from playbook.operate.outcomes import read_file
from playbook.settings import Settings
from playbook.taskfile import Task
from resources.scoring import MOST_NAMED, BatchScorer, ScoreCount

if TYPE_CHECKING:
    import pandas as pd

SUFFIXES = (".csv", ".parquet", ".jsonl")


@dataclass(frozen=True)
class Scored:
    """What scoring a file did."""

    rows: int
    output: Path
    version: str
    count: ScoreCount
    labels: dict[str, int]  # likeliest classes, most frequent first
    asked: int = 0  # rows that a person is asked about
    unreadable: tuple[str, ...] = ()  # records among them that could not be read, each with its line
    odd_ids: tuple[str, ...] = ()  # what is to be said about ids, in sentences
    content_ids: str = ""  # the column of ids that the file lacks, so that ids follow from the content


def score_file(task: Task, places: Settings, file: Path, output: Path, id_column: str | None = None) -> Scored:
    """Score a CSV, Parquet or JSON Lines file, log it, and write the answers to another file.

    Args:
        output: .csv, .parquet or .jsonl; replaced when everything is scored.

    Raises:
        DataError: the file cannot be read, lacks a column, or the output is of another kind.
        ArtifactError: there is no champion yet, or it cannot be loaded.
        OSError: the output cannot be written.
    """
    if output.suffix not in SUFFIXES:
        raise DataError(f"{output}: expected a file that ends in {', '.join(SUFFIXES)}; name another one (--out)")
    if output.resolve() == file.resolve():
        raise DataError(f"{output}: expected another file than the one that is scored; name one (--out)")
    columns = task.spec.data.columns
    used = [columns.text, id_column or columns.id, columns.group, columns.time, *columns.keep]
    found = read_file(file, form_of(task.spec.data), [name for name in used if name])
    scorer = BatchScorer(task, places, id_column)
    try:
        answers = with_unreadable(scorer.score(found.rows, called=str(file)), found.rejected)
    finally:
        scorer.close()
    named = columns.id if id_column is None and columns.id not in found.rows else None
    part = output.with_name(f".{output.name}.part")
    _write(answers, part, output.suffix)
    part.replace(output)
    counts = answers.loc[answers["label"] != "", "label"].value_counts()
    labels = {str(name): int(count) for name, count in counts.items()}
    asked = int(answers["ask_a_person"].sum())
    lost = tuple(map(str, found.rejected))
    said = (*scorer.odd_ids, *(of_formulas(answers) if output.suffix == ".csv" else ()))
    return Scored(len(answers), output, scorer.version, scorer.count, labels, asked, lost, said, named or "")


def of_formulas(answers: pd.DataFrame) -> tuple[str, ...]:
    """A sentence where ids look like formulas: programs join answers by them, so they stay exact."""
    found = list(dict.fromkeys(formulas(answers["id"].astype("str"))))
    if not found:
        return ()
    more = f" and {len(found) - MOST_NAMED} more" if len(found) > MOST_NAMED else ""
    named = f"{', '.join(map(shown, found[:MOST_NAMED]))}{more}"
    return (f"ids that a spreadsheet would run as formulas, kept as they are: {named}; import the file as text there",)


def _write(answers: pd.DataFrame, path: Path, suffix: str) -> None:
    if suffix == ".csv":
        answers.to_csv(path, index=False)
    elif suffix == ".parquet":
        answers.to_parquet(path, index=False)
    else:
        answers.to_json(path, orient="records", lines=True, force_ascii=False)


def with_unreadable(answers: pd.DataFrame, rejected: Sequence[Rejected]) -> pd.DataFrame:
    """Answers with a row for each record that could not be read, in the order of the file: a person is asked there."""
    import pandas as pd

    if not rejected:
        return answers
    texts = dict.fromkeys(("id", "label", "answer"), "")
    reasons = [f"The record cannot be read. {one.place.capitalize()}: {one.detail}" for one in rejected]
    added = pd.DataFrame([{**texts, "ask_a_person": True, "reason": reason} for reason in reasons])
    added = added.assign(model_version=answers["model_version"].iloc[0] if len(answers) else "")
    places = [*((row, 1) for row in range(len(answers))), *((one.before, 0) for one in rejected)]
    order = sorted(range(len(places)), key=lambda number: places[number])
    return pd.concat([answers, added.reindex(columns=answers.columns)]).iloc[order].reset_index(drop=True)
