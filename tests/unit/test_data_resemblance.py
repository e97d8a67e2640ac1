from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from data_samples import SHARED, rows, task_document, write_csv
from report_samples import ORDINARY, spec_for

from playbook.data.audit import CONSTANT, SHORT_OF_CLASS, audit
from playbook.data.prepare import prepare
from playbook.data.resemblance import features_of, resemblance
from playbook.data.sealed_rules import sealed_rules
from playbook.spec import Limit, Target
from playbook.taskfile import Task, load_task

SPEC = spec_for(ORDINARY)


def frame(texts: list[str], groups: list[str] | None = None) -> pd.DataFrame:
    return pd.DataFrame({"text": texts, "group": groups or [""] * len(texts)})


def tables(known: pd.DataFrame, test: pd.DataFrame) -> dict[str, pd.DataFrame]:
    cut = int(0.8 * len(known))
    return {"train": known[:cut], "validation": known[cut:], "test": test}


def texts(count: int, seed: int, words: str = "abcdefghijklmnop") -> list[str]:
    random = np.random.default_rng(seed)
    return [" ".join(f"{letter}word" for letter in random.choice(list(words), 8)) for _ in range(count)]


@pytest.fixture
def few_permutations(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as a p-value of a tenth needs: the test is exact with any number of them."""
    monkeypatch.setattr("playbook.data.resemblance.LEAST_PERMUTATIONS", 99)


@pytest.mark.usefixtures("few_permutations")
def test_rows_of_one_kind_are_not_accused_more_often_than_stated() -> None:
    spec = SPEC.model_copy(update={"evaluation": SPEC.evaluation.model_copy(update={"shift_p_value": 0.1})})
    found = [resemblance(spec, tables(frame(texts(100, seed)), frame(texts(50, 900 + seed)))) for seed in range(40)]
    alarms = sum(one.differs for one in found if one)
    assert alarms <= 9  # 4 expected, three standard errors


@pytest.mark.usefixtures("few_permutations")
def test_customers_of_their_own_are_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    read = lru_cache(maxsize=1)(lambda texts, seed: features_of(list(texts), seed))
    monkeypatch.setattr("playbook.data.resemblance.features_of", lambda texts, seed: read(tuple(texts), seed))
    spec = SPEC.model_copy(update={"evaluation": SPEC.evaluation.model_copy(update={"shift_p_value": 0.1})})
    alarms = naive = 0
    for seed in range(30):
        random = np.random.default_rng(seed)
        styles = ["".join(random.choice(list("abcdefghijklmnop"), 3)) for _ in range(24)]
        owned = [(f"C{at}", text) for at, style in enumerate(styles) for text in texts(8, seed * 100 + at, style)]
        known, test = owned[:128], owned[128:]
        parts = [frame([text for _, text in part], [name for name, _ in part]) for part in (known, test)]
        found = resemblance(spec, tables(*parts))
        alone = resemblance(spec, tables(*(frame(part["text"].tolist()) for part in parts)))
        assert found is not None and alone is not None
        alarms, naive = alarms + found.differs, naive + alone.differs
    assert alarms <= 8 < naive  # 3 expected; rows taken as independent would be accused nearly always


def test_a_few_groups_cannot_tell_and_it_says_so() -> None:
    parts = [frame(texts(200, 1), ["A"] * 200), frame(texts(80, 2, "qrstuvwxyz"), ["B"] * 80)]
    found = resemblance(SPEC, tables(*parts))
    assert found is not None and not found.known and not found.differs and not found.alike
    assert "cannot be told: it has 1 group of rows" in found.text and "AUC 1.00" in found.text
    many = [f"C{at}" for at in range(280)]
    known = resemblance(SPEC, tables(*(frame(part["text"].tolist(), many[at * 200 :][: len(part)])
                                       for at, part in enumerate(parts))))  # fmt: skip
    assert known is not None and known.known and known.differs


@pytest.mark.parametrize("change", ["words", "length", "capitals"])
def test_a_test_split_of_another_kind_is_seen_with_its_size(change: str) -> None:
    other = texts(120, 2, "fghijklmnopqrstu") if change == "words" else texts(120, 2)
    if change == "length":
        other = [text[: len(text) // 2] for text in other]
    if change == "capitals":
        other = [text.capitalize() for text in other]
    found = resemblance(SPEC, tables(frame(texts(300, 1)), frame(other)))
    assert found is not None and found.differs and found.auc > 0.7 and found.rows == (300, 120)
    assert found.text.startswith("The test split's inputs are unlike those of training and validation")
    assert f"AUC {found.auc:.2f}" in found.text
    assert ("0.5 times as many words" in found.text) is (change == "length")


def test_texts_that_share_nothing_and_empty_sides() -> None:
    assert resemblance(SPEC, tables(frame(["a", "b", "c"]), frame([]))) is None
    found = resemblance(SPEC, tables(frame(["ab", "cd", "ef", "gh"]), frame(["ij", "kl"])))
    assert found is not None and not found.differs


def task_with(tmp_path: Path, margin: float, test: list[dict[str, str]]) -> Task:
    files = {"train": rows(240), "test": test}
    source = {role: str(write_csv(tmp_path / f"{role}.csv", table)) for role, table in files.items()}
    document = task_document(source)
    document["target"] |= {"margin": margin}
    path = tmp_path / "task.yaml"
    import yaml

    path.write_text(yaml.safe_dump(document), "utf-8")
    return load_task(path)


def judged(tmp_path: Path, task: Task) -> dict[str, tuple[Any, str]]:
    prepare(task, tmp_path / "out")
    seen = audit(task, tmp_path / "out")
    return {rule.name: (seen.overall[rule.conditions[0].settings["column"]].iloc[0], rule.found(seen))
            for rule in sealed_rules(task)}  # fmt: skip


def test_the_gate_says_how_many_rows_the_margin_needs(tmp_path: Path) -> None:
    unseen = [row | {"id": f"T{at}", "customer": f"T{at}", "text": f"{row['text']} extra{at}"}
              for at, row in enumerate(rows(60, 9))]  # fmt: skip
    found = judged(tmp_path, task_with(tmp_path, 0.05, unseen))
    lacking, said = found["size of the test split"]
    assert found["test split like the others"][1].startswith("The test split's inputs are unlike")
    assert lacking == 157 - 60 and "157 are the least on which a gain of 5 points in" in said
    assert "97 more labelled rows would do (in the test file)" in said
    enough = judged(tmp_path, task_with(tmp_path, 0.15, unseen))["size of the test split"]
    assert enough == (0, "60 test rows")


def test_a_class_with_a_limit_needs_rows_for_its_interval_and_the_gate_is_red_without(tmp_path: Path) -> None:
    task = task_with(tmp_path, 0.15, rows(60, 9))  # 30 rows of each class
    assert "rows of classes with a limit" not in {rule.name for rule in sealed_rules(task)}
    for bound, passed in ((0.85, True), (0.95, False)):
        limit = Limit(metric="recall", of_class="billing", at_least=bound)
        target = task.spec.target.model_copy(update={"limits": (limit,)})
        asked = Task(task.spec.model_copy(update={"target": target}), task.path)
        rule = next(rule for rule in sealed_rules(asked) if rule.name == "rows of classes with a limit")
        prepare(asked, tmp_path / "out")
        seen = audit(asked, tmp_path / "out")
        assert rule.severity == "error" and (seen.overall[SHORT_OF_CLASS].iloc[0] == 0) == passed
        assert (rule.found(seen) == "enough for every limit") == passed
    # Wilson's lower end of n of n is n / (n + z^2): 0.95 is reached from 73 rows on
    assert "30 rows of billing in test, 73 are the least on which a perfect model" in rule.found(seen)
    assert "label 43 more that land there" in rule.found(seen)


def test_the_gate_says_that_a_constant_answer_would_meet_the_target(tmp_path: Path) -> None:
    task, name = task_with(tmp_path, 0.15, rows(60, 9)), "more than a constant answer"
    prepare(task, tmp_path / "out")
    seen = audit(task, tmp_path / "out")
    rule = next(rule for rule in sealed_rules(task) if rule.name == name)
    assert seen.overall[CONSTANT].iloc[0] == 0 and rule.found(seen).startswith("every class fails some limit")
    label = task.spec.labels[0]
    easy = Target(metric="precision", of_class=label, at_least=0.05, margin=0.15)
    task = replace(task, spec=task.spec.model_copy(update={"target": easy}))
    seen = audit(task, tmp_path / "out")
    rule = next(rule for rule in sealed_rules(task) if rule.name == name)
    assert seen.overall[CONSTANT].iloc[0] == 1
    assert f"answers {label!r} to everything would meet precision of {label}" in rule.found(seen)
    assert "% of the test rows are of that class" in rule.found(seen)


@pytest.mark.proof
@pytest.mark.skipif(not (SHARED / "banking77").is_dir(), reason="needs ../shared/data/banking77")
def test_banking77_split_by_its_authors_and_split_by_intent() -> None:
    train, test = (pd.read_csv(SHARED / "banking77" / f"{name}.csv") for name in ("train", "test"))
    found = resemblance(SPEC, tables(frame(train["text"].tolist()), frame(test["text"].tolist())))
    assert found is not None and not found.differs and found.auc < 0.56
    early = train["category"] < "f"
    parts = [frame(train.loc[side, "text"].tolist()) for side in (early, ~early)]
    apart = resemblance(SPEC, tables(*parts))
    assert apart is not None and apart.differs and apart.auc > 0.75
