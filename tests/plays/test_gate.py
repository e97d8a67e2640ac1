"""Every check of the gate, green and red, through Great Expectations."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from data_samples import SCRIPT, rows, sample, write_csv

import resources.gate as gate_module
from playbook.artifacts import GateCheck, GateVerdict
from playbook.data.audit import audit
from playbook.data.prepare import prepare
from playbook.data.rules import rules
from playbook.taskfile import Task
from resources.gate import DataGate, Outcome, condition_id, judge, outcomes_of, run_checkpoint

HASH = "0123456789abcdef.dir"
Tables = dict[str, pd.DataFrame]
SPLITS = ("train", "validation", "test", "quarantine")


@pytest.fixture(scope="module")
def green(tmp_path_factory: pytest.TempPathFactory) -> tuple[Task, Path]:
    """A task whose data passes, prepared."""
    folder = tmp_path_factory.mktemp("green")
    table = rows(300)
    table[7]["text"] = "nice " + SCRIPT + " " + table[7]["text"]
    table[8]["label"] = SCRIPT
    task = sample(folder, table)
    prepare(task, folder / "prepared")
    return task, folder / "prepared"


@pytest.fixture(scope="module")
def verdict(green: tuple[Task, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[GateVerdict, DataGate]:
    gate = DataGate(tmp_path_factory.mktemp("home"))
    return gate.check(*green, HASH), gate


def checks_of(found: GateVerdict) -> dict[str, GateCheck]:
    return {check.name: check for check in found.checks}


def test_good_data_is_green_in_every_check(verdict: tuple[GateVerdict, DataGate]) -> None:
    found, _ = verdict
    warned = [check.name for check in found.checks if not check.passed]
    # One row has a label that is not a class, nobody labelled twice, and no guideline is named.
    assert warned == ["labels of the source", "rows labelled twice", "guideline"]
    assert found.passed and found.dataset_hash == HASH
    assert len(found.checks) == 32
    assert all(check.expected and check.found for check in found.checks)


def test_data_docs_show_the_checks_and_nothing_of_the_data(
    verdict: tuple[GateVerdict, DataGate], green: tuple[Task, Path]
) -> None:
    _, gate = verdict
    index = gate.data_docs(green[0])
    assert index.is_file()
    pages = list(index.parent.rglob("*.html"))
    assert len(pages) == 8  # the index, and one page per frame
    for page in pages:
        assert SCRIPT not in page.read_text("utf-8")


def copy_text(tables: Tables, change: Callable[[str], str]) -> None:
    tables["train"].loc[0, "text"] = change(tables["test"].loc[0, "text"])


def set_all(tables: Tables, column: str, value: str | None) -> None:
    tables["train"].loc[2, column] = value


def drop_column(tables: Tables) -> None:
    tables["validation"] = tables["validation"].drop(columns=["time"])


def count_as_numbers(tables: Tables) -> None:
    tables["train"]["kept_channel"] = range(len(tables["train"]))


def few(tables: Tables, split: str, keep: int) -> None:
    table = tables[split]
    lost = table[table["label"] == "billing"].iloc[keep:]
    tables[split] = table.drop(index=lost.index)
    tables["quarantine"] = pd.concat([tables["quarantine"], lost.assign(split=split, reason="x", detail="")])


def lose_rows(tables: Tables) -> None:
    tables["train"] = tables["train"].iloc[1:]


def no_rows(tables: Tables) -> None:
    tables["validation"] = tables["validation"].iloc[:0]


def strange_label(tables: Tables) -> None:
    tables["test"].loc[0, "label"] = SCRIPT


def same_group(tables: Tables) -> None:
    tables["test"].loc[0, "group"] = tables["train"].loc[0, "group"]


def repeat_id(tables: Tables) -> None:
    tables["test"].loc[0, "row_id"] = tables["train"].loc[0, "row_id"]


Fault = tuple[str, Callable[[Tables], None], str]
# Faults of one group share a run of the gate. No fault turns red a check that another fault of its group is there for.
# Beside them, the further checks that they turn red.
GROUPS: list[tuple[list[Fault], set[str]]] = [
    (
        [
            ("columns", drop_column, "validation: time is missing"),
            ("no empty values", lambda t: set_all(t, "text", None), "text: 1 row: "),
            ("row ids", repeat_id, "in test"),
            ("labels", strange_label, SCRIPT),
            ("quarantine", lambda t: few(t, "train", 12), "x ("),
        ],
        set(),
    ),
    (
        [
            ("columns", count_as_numbers, "train: kept_channel is int64"),
            ("rows", no_rows, "0 validation"),
            ("no exact copies across splits", lambda t: copy_text(t, lambda x: x.upper() + "?"), "in train is like "),
            ("groups stay together", same_group, "shares group"),
        ],
        {"rows per class in validation", "every raw row accounted for"},
    ),
    (
        [
            ("no empty values", lambda t: set_all(t, "label", " "), "label: 1 row: "),
            ("no near copies across splits", lambda t: copy_text(t, lambda x: x + "s"), "in train is like "),
            ("rows per class in validation", lambda t: few(t, "validation", 2), "billing has 2"),
        ],
        {"labels"},
    ),
    (
        [
            ("every raw row accounted for", lose_rows, "1 of 300 rows missing"),
            ("rows per class in training", lambda t: few(t, "train", 3), "billing has 3"),
            ("rows per class in test", lambda t: few(t, "test", 0), "billing has 0"),
        ],
        {"quarantine"},
    ),
]


def altered(green: tuple[Task, Path], folder: Path, faults: list[Fault]) -> Path:
    source = green[1]
    tables = {name: pd.read_parquet(source / f"{name}.parquet") for name in SPLITS}
    for _, change, _ in faults:
        change(tables)
    folder.mkdir()
    for name, table in tables.items():
        table.to_parquet(folder / f"{name}.parquet", index=False)
    (folder / "profile.json").write_bytes((source / "profile.json").read_bytes())
    return folder


@pytest.mark.parametrize(("faults", "besides"), GROUPS, ids=[one[-1][0] for one, _ in GROUPS])
def test_each_fault_turns_its_check_red(
    green: tuple[Task, Path], tmp_path: Path, faults: list[Fault], besides: set[str]
) -> None:
    prepared = altered(green, tmp_path / "prepared", faults)
    gate = DataGate(tmp_path / "home")
    found = gate.check(green[0], prepared, HASH)
    assert not found.passed
    for name, _, said in faults:
        check = checks_of(found)[name]
        assert not check.passed and check.severity == "error", name
        assert said in check.found and check.remedy, name
    assert {check.name for check in found.failures} == {name for name, _, _ in faults} | besides
    assert checks_of(found)["every expectation evaluated"].passed
    assert all(SCRIPT not in page.read_text("utf-8") for page in gate.folder(green[0]).rglob("*.html"))


def with_gate(green: tuple[Task, Path], **limits: float) -> Task:
    task = green[0]
    limit = task.spec.data.gate.model_copy(update=limits)
    data = task.spec.data.model_copy(update={"gate": limit})
    return Task(task.spec.model_copy(update={"data": data}), task.path)


def test_limits_come_from_the_task_file(green: tuple[Task, Path], tmp_path: Path) -> None:
    task = with_gate(green, min_rows=500, split_tolerance=0.0001)
    found = DataGate(tmp_path).check(task, green[1], HASH)
    assert {check.name for check in found.failures} == {"rows", "split fractions"}


def test_few_rows_per_class_are_a_warning_only(green: tuple[Task, Path], tmp_path: Path) -> None:
    found = DataGate(tmp_path).check(with_gate(green, warn_rows_per_class=1000), green[1], HASH)
    check = checks_of(found)["plenty of rows per class"]
    assert found.passed and not check.passed and check.severity == "warning"
    assert "billing has" in check.found and "delivery has" in check.found


def labelled_twice(folder: Path, wrong: int, count: int = 60, **labels: object) -> Task:
    """A task with a second annotator, who says another class for `wrong` of `count` rows, and a guideline."""
    table = rows(300)
    other = {"billing": "delivery", "delivery": "billing"}
    second = [(row["id"], other[row["label"]] if at < wrong else row["label"]) for at, row in enumerate(table[:count])]
    write_csv(folder / "second.csv", [{"who": name, "says": label} for name, label in second])
    (folder / "guide.md").write_text("# billing\nMoney.\n\nEdge case: a refund.\n\n# delivery\nParcels.\n", "utf-8")
    named = {"second_annotator": "second.csv", "guideline": "guide.md", **labels}
    task = sample(folder, table, labels=named)
    prepare(task, folder / "prepared")
    return task


def test_the_lower_end_of_kappa_decides(tmp_path: Path) -> None:
    # (disagreements, rows, green, said): as many as agree by luck alone are not enough, whatever kappa itself is
    cases = [(3, 60, True, "on 60 rows"), (20, 60, False, "on 60 rows"), (0, 5, False, "17 rows with as much"),
             (1, 20, False, "with as much agreement would settle it"), (0, 20, True, "on 20 rows")]  # fmt: skip
    for wrong, count, passed, said in cases:
        folder = tmp_path / f"{wrong}-{count}"
        found = DataGate(folder).check(labelled_twice(folder, wrong, count), folder / "prepared", HASH)
        agreement, twice = checks_of(found)["label agreement"], checks_of(found)["rows labelled twice"]
        assert found.passed == passed and agreement.passed == passed and agreement.severity == "error"
        assert said in agreement.found
        assert twice.passed == (count >= 50) and twice.severity == "warning"
        assert (f"{50 - count} too few" in twice.found) == (count < 50)
    assert "settle" not in agreement.found
    guideline = checks_of(found)["guideline"]
    assert not guideline.passed and guideline.severity == "warning" and guideline.found == "no edge cases of delivery"


def test_no_second_annotator_is_a_warning(verdict: tuple[GateVerdict, DataGate]) -> None:
    twice = checks_of(verdict[0])["rows labelled twice"]
    assert not twice.passed and twice.severity == "warning" and "no second annotator is named" in twice.found
    assert "playbook annotate TASK --rows 100" in twice.remedy and "data.labels.second_annotator" in twice.remedy
    assert "label agreement" not in checks_of(verdict[0])


def test_no_row_in_common_is_no_agreement(tmp_path: Path) -> None:
    task = labelled_twice(tmp_path, 0)
    write_csv(tmp_path / "second.csv", [{"who": "nobody", "says": "billing"}])
    found = DataGate(tmp_path).check(task, tmp_path / "prepared", HASH)
    assert [check.name for check in found.failures] == ["label agreement"]
    assert checks_of(found)["label agreement"].found == "no row that both labelled"


def test_a_complete_guideline_passes(tmp_path: Path) -> None:
    task = labelled_twice(tmp_path, 0)
    with (tmp_path / "guide.md").open("a", encoding="utf-8") as stream:
        stream.write("\nEdge case: a parcel that was paid twice is billing.\n")
    found = DataGate(tmp_path).check(task, tmp_path / "prepared", HASH)
    assert all(check.passed for check in found.checks)
    assert checks_of(found)["guideline"].found == "both for every class"


def test_refused_leaks_turn_the_gate_red(tmp_path: Path) -> None:
    table = [{**row, "part": ("train", "train", "validation", "test")[i // 2 % 4]} for i, row in enumerate(rows(240))]
    table[0]["text"] = table[6]["text"] + "!"
    for across, passed in (("quarantine", True), ("refuse", False)):
        task = sample(tmp_path, table, columns={"text": "text", "label": "label", "id": "id"},
                      splits={"column": "part", "across_splits": across})  # fmt: skip
        prepare(task, tmp_path / across)
        found = DataGate(tmp_path / "home").check(task, tmp_path / across, HASH)
        assert found.passed == passed
        assert [c.name for c in found.failures] == ([] if passed else ["no exact copies across splits"])


def test_brought_splits_that_divide_a_group_are_red(tmp_path: Path) -> None:
    table = [{**row, "part": ("train", "train", "validation", "test")[i // 2 % 4]} for i, row in enumerate(rows(240))]
    task = sample(tmp_path, table, splits={"column": "part"})
    prepare(task, tmp_path / "prepared")
    found = DataGate(tmp_path).check(task, tmp_path / "prepared", HASH)
    assert [check.name for check in found.failures] == ["groups stay together"]


def test_an_expectation_that_the_result_lacks_turns_the_gate_red(
    green: tuple[Task, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forgetful(*arguments: object) -> object:
        result = run_checkpoint(*arguments)  # type: ignore[arg-type]
        validation = next(v for v in result.run_results.values() if v.suite_name == "rows")
        validation.results = [
            r for r in validation.results if r.expectation_config.kwargs.get("column") != "near_copy_in"
        ]
        return result

    monkeypatch.setattr(gate_module, "run_checkpoint", forgetful)
    found = DataGate(tmp_path).check(*green, HASH)
    missing = checks_of(found)["every expectation evaluated"]
    assert not found.passed and not missing.passed
    assert "no near copies across splits: ExpectColumnValuesToBeInSet of near_copy_in in rows" in missing.found
    assert not checks_of(found)["no near copies across splits"].passed


def test_no_result_at_all_is_red_in_every_check(green: tuple[Task, Path]) -> None:
    task, prepared = green
    found = judge(rules(task), audit(task, prepared), {}, HASH)
    assert not found.passed and not any(check.passed for check in found.checks)


def test_an_expectation_that_raised_has_not_passed(green: tuple[Task, Path]) -> None:
    task, prepared = green
    asked = rules(task)
    outcomes = {
        condition_id(rule, position): Outcome(True) for rule in asked for position in range(len(rule.conditions))
    }
    assert judge(asked, audit(task, prepared), outcomes, HASH).passed
    outcomes[condition_id(asked[3], 0)] = Outcome(False, "boom")
    found = judge(asked, audit(task, prepared), outcomes, HASH)
    assert [check.name for check in found.failures] == [asked[3].name]


def test_what_was_saved_before_cannot_weaken_the_gate(green: tuple[Task, Path], tmp_path: Path) -> None:
    gate = DataGate(tmp_path)
    gate.check(*green, HASH)
    for saved in (gate.folder(green[0]) / "gx" / "expectations").glob("*.json"):
        saved.write_text("{ not json", "utf-8")
    (gate.folder(green[0]) / "gx" / "great_expectations.yml").write_text("broken: [", "utf-8")
    assert gate.check(*green, HASH).passed
    assert outcomes_of(type("Empty", (), {"run_results": {}})()) == {}
