"""TF-IDF as the reference has it beside words alone with C chosen on validation: scores on validation, and seconds.

`python -m benchmarks.tfidf tests/tasks/banking77.yaml pipelines/tasks/tickets.yaml`; the test split stays closed.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression

from benchmarks.rows import write_row
from playbook.data.prepare import prepare
from playbook.data.tables import GROUP, LABEL, TEXT
from playbook.data.text_features import text_features
from playbook.decide.tfidf import fit_tfidf
from playbook.spec import TaskSpec
from playbook.statistics.metric import target_metric
from playbook.taskfile import load_task

WORDS_STRENGTHS = (1.0, 10.0, 100.0)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tasks", type=Path, nargs="+", help="task files")
    parser.add_argument("--metric", help="score by this metric instead of the task's own")
    arguments = parser.parse_args()
    for path in arguments.tasks:
        task = load_task(path)
        with tempfile.TemporaryDirectory() as scratch:
            prepare(task, Path(scratch))
            train, validation = (
                pd.read_parquet(Path(scratch) / f"{split}.parquet") for split in ("train", "validation")
            )
        spec = task.spec
        if arguments.metric:
            spec = spec.model_copy(update={"target": spec.target.model_copy(update={"metric": arguments.metric})})
        measure(spec, train, validation)


def measure(spec: TaskSpec, train: pd.DataFrame, validation: pd.DataFrame) -> None:
    """One row per way of choosing."""
    number = {label: at for at, label in enumerate(spec.labels)}
    truth, known = (np.array([number[label] for label in frame[LABEL]]) for frame in (train, validation))
    texts, asked = train[TEXT].tolist(), validation[TEXT].tolist()

    def score(answers: np.ndarray) -> float:
        return round(target_metric(spec).value(known, answers), 4)

    about = {"benchmark": "tfidf", "task": spec.task, "metric": spec.target.metric, "train_rows": len(train)}
    began = time.process_time()
    features, table = text_features(texts, "words")
    weight = None if spec.adaptation.class_weighting == "none" else "balanced"
    heads = [LogisticRegression(C=strength, class_weight=weight, max_iter=500) for strength in WORDS_STRENGTHS]
    best = max(score(head.fit(table, truth).predict(features.transform(asked))) for head in heads)
    write_row(**about, model="words, C by validation", validation=best, seconds=round(time.process_time() - began, 1))
    began = time.process_time()
    predictor, choice = fit_tfidf(spec, texts, truth, train[GROUP].tolist())
    seconds = round(time.process_time() - began, 1)
    found = score(predictor.predict(asked))
    write_row(**about, model="the reference", validation=found, seconds=seconds, **choice.model_dump())


if __name__ == "__main__":
    main()
