"""A capability set: read with its faults, and held against what another model could do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from data_samples import task_document
from report_samples import ORDINARY, spec_for

from playbook.errors import DataError
from playbook.evaluate.capabilities import judge_capability, load_capabilities
from playbook.taskfile import Task, load_task

ROWS = [f"where is parcel {at}?,delivery\nan invoice of {at} euros,billing\n" for at in range(12)]
GOOD = "text,label\n" + "".join(ROWS)


def task(folder: Path, content: str | None, **columns: str) -> Task:
    document = task_document({"path": "rows.csv"})
    document["data"]["columns"] |= columns
    if content is not None:
        (folder / "able.csv").write_text(content, encoding="utf-8")
    document["evaluation"] = {"capabilities": "able.csv"}
    (folder / "sample.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    return load_task(folder / "sample.yaml")


def test_rows_with_answers_are_read(tmp_path: Path) -> None:
    found = load_capabilities(task(tmp_path, GOOD))
    assert found is not None and len(found.texts) == 24
    assert found.texts[:2] == ("where is parcel 0?", "an invoice of 0 euros") and found.truth[:2].tolist() == [1, 0]
    twice = load_capabilities(task(tmp_path, GOOD + "where is parcel 3?,delivery\n"))
    assert twice is not None and len(twice.texts) == 24, "a text that comes twice counts once"


def test_columns_may_be_called_as_the_data_calls_them(tmp_path: Path) -> None:
    for header in ("message,team", "text,label"):
        found = load_capabilities(task(tmp_path, f"{header}\n{''.join(ROWS)}", text="message", label="team"))
        assert found is not None and len(found.texts) == 24


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file; check evaluation.capabilities"),
        ("text,label\n", "expected 20 texts with answers or more, found 0"),
        ("text,label\n" + ROWS[0], "expected 20 texts with answers or more"),
        (GOOD + "smoke,fire\n", r"line 26: expected one of the classes billing, delivery, found fire"),
        (GOOD + ",billing\n", "line 26: expected a text, found none"),
        (GOOD + "where is parcel 3?,billing\n", "line 26: where is parcel 3.* has another answer above"),
        (GOOD.replace("text,label", "question,answer"), "expected the columns text, label, found question, answer"),
    ],
)
def test_faults_are_named(tmp_path: Path, content: str | None, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_capabilities(task(tmp_path, content))


def test_no_file_named_is_no_set(tmp_path: Path) -> None:
    document = task_document({"path": "rows.csv"})
    (tmp_path / "sample.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    assert load_capabilities(load_task(tmp_path / "sample.yaml")) is None


def test_a_loss_is_judged_by_its_interval() -> None:
    spec, truth = spec_for(ORDINARY), np.zeros(200, dtype=np.int64)
    wrong = truth + 1

    def judged(broken: int, fixed: int) -> tuple[bool, str]:
        before, now = truth.copy(), truth.copy()
        now[:broken], before[200 - fixed :] = wrong[:broken], wrong[200 - fixed :]
        found = judge_capability(spec, truth, before, now, against="champion", version="1.2.0")
        assert (found.rows, found.broken, found.mended, found.allowed) == (200, broken, fixed, 0.01)
        return found.passed, found.text

    assert judged(10, 9)[0] and judged(6, 2)[0], "within chance"
    passed, text = judged(24, 4)
    assert not passed
    assert text.startswith(
        "On the capability set, 88.0 % against 98.0 % right: it gets 24 rows wrong that the champion 1.2.0 had right, "
        "and 4 rows right that it had wrong: net −20 of 200, −10.0 points (−"
    )
    assert text.endswith("A net loss of more than 1 % is shown.")
