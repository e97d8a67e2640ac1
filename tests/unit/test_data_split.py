from __future__ import annotations

import random
from pathlib import Path

import pandas as pd
import pytest
from data_samples import rows, sample, write_csv, write_task

from playbook.data.clean import clean_rows
from playbook.data.duplicates import near_duplicates
from playbook.data.folding import folded
from playbook.data.read import read_rows
from playbook.data.sides import Sides
from playbook.data.split import divide
from playbook.data.text import comparison_key, comparison_words
from playbook.taskfile import Task


def divided(task: Task, known: Sides | None = None) -> tuple[pd.DataFrame, pd.DataFrame]:
    fit, _ = clean_rows(read_rows(task), task.spec.data)
    return divide(fit, task.spec.data, known)


def sides(task: Task, known: Sides) -> dict[str, str]:
    kept, aside = divided(task, known)
    both = pd.concat([kept, aside])
    return dict(zip(both["row_id"], both["split"], strict=True))


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("group", ["customer", None])
def test_a_row_never_changes_side(tmp_path: Path, seed: int, group: str | None) -> None:
    rng = random.Random(seed)  # noqa: S311
    table = rows(120, seed=seed)
    columns = {"text": "text", "label": "label", "id": "id", **({"group": group} if group else {})}
    known = Sides()
    before = sides(sample(tmp_path, table, columns=columns), known)
    more = [{**row, "id": f"N{row['id']}"} for row in rows(90, seed=seed + 100)]
    grown = [row for row in table if rng.random() > 0.2] + more
    rng.shuffle(grown)
    after = sides(sample(tmp_path, grown, columns=columns), known)
    assert {i: after[i] for i in before.keys() & after.keys()} == {i: before[i] for i in before.keys() & after.keys()}


def test_the_teams_own_column_is_respected(tmp_path: Path) -> None:
    words = ["train", "Training", "val", "dev", "TEST", "holdout"]
    table = [{**row, "part": words[i % 6]} for i, row in enumerate(rows(60))]
    kept, aside = divided(sample(tmp_path, table, splits={"column": "part"}))
    assert dict(kept["split"].value_counts()) == {"train": 20, "validation": 20, "test": 10}
    assert set(aside["reason"]) == {"unknown split"} and len(aside) == 10
    assert aside["detail"][0] == "the split column says holdout"


@pytest.mark.parametrize("own_validation", [False, True])
def test_own_files_are_respected(tmp_path: Path, own_validation: bool) -> None:
    source = {"train": "train.csv", "test": "test.csv"}
    write_csv(tmp_path / "train.csv", rows(200, seed=1))
    write_csv(tmp_path / "test.csv", rows(30, seed=2))
    if own_validation:
        source["validation"] = str(write_csv(tmp_path / "v.csv", rows(25, seed=3)))
    kept, _ = divided(write_task(tmp_path, source, columns={"text": "text", "label": "label"}))
    counts = dict(kept["split"].value_counts())
    assert counts["test"] == 30
    assert counts["validation"] == 25 if own_validation else 15 < counts["validation"] < 50


def leaky(tmp_path: Path, across: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    texts = rows(30, seed=4)
    parts = ["train"] * 10 + ["validation"] * 10 + ["test"] * 10
    table = [{**row, "part": part} for row, part in zip(texts, parts, strict=True)]
    table[0]["text"] = table[20]["text"].title() + "!!"  # train copies test
    table[1]["text"] = table[11]["text"] + " x"  # train nearly copies validation
    table[12]["text"] = table[22]["text"]  # validation copies test
    table[3]["text"] = table[2]["text"].upper()  # train copies train
    for row in table:
        row["label"] = "billing"
    return divided(sample(tmp_path, table, splits={"column": "part", "across_splits": across}))


def test_copies_leave_the_less_protected_side(tmp_path: Path) -> None:
    kept, aside = leaky(tmp_path, "quarantine")
    found = {row["row_id"]: (row["reason"], row["detail"]) for row in aside.to_dict("records")}
    assert found["R0000"] == ("exact duplicate across splits", "1.00 like row R0020 in test")
    assert found["R0001"][0] == "near duplicate across splits" and found["R0001"][1].endswith(
        "like row R0011 in validation"
    )
    assert found["R0012"] == ("exact duplicate across splits", "1.00 like row R0022 in test")
    assert found["R0003"] == ("exact duplicate", "copy of row R0002 in train")
    assert len(found) == 4 and len(kept) == 26


def test_refuse_leaves_copies_across_splits_for_the_gate(tmp_path: Path) -> None:
    kept, aside = leaky(tmp_path, "refuse")
    assert set(aside["row_id"]) == {"R0003"}
    assert {"R0000", "R0001", "R0012"} <= set(kept["row_id"])


def test_near_duplicates_are_exactly_those_of_a_comparison_of_all_pairs() -> None:
    rng = random.Random(3)  # noqa: S311
    base = [row["text"] for row in rows(40, seed=9)] + ["", "a", "ab", "abcd", "été à Paris", "日本語のテキスト"]
    edited = ["".join(c for c in text if rng.random() > 0.02) + rng.choice(["", " ok", "!"]) for text in base]

    def grams(text: str) -> set[str]:
        words = comparison_words(folded(text)) or comparison_key(text)
        return {words[at : at + 4] for at in range(max(1, len(words) - 3))}

    lefts, rights = [grams(text) for text in base], [grams(text) for text in edited]
    shared = {(i, j): len(x & y) / len(x | y) for i, x in enumerate(lefts) for j, y in enumerate(rights)}
    for similarity in (0.95, 0.7, 0.3):
        expected = {pair: value for pair, value in shared.items() if value >= similarity}
        found = {(pair.left, pair.right): pair.similarity for pair in near_duplicates(base, edited, similarity)}
        assert found == pytest.approx(expected) and len(expected) > 5


def test_no_texts_have_no_near_duplicates() -> None:
    assert near_duplicates([], ["a"], 0.9) == []
    assert near_duplicates(["a"], [], 0.9) == []
