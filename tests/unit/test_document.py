"""Names in a team's YAML: what YAML takes for something else than text, and what is written twice."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
import yaml
from data_samples import task_document, write_task

from playbook.data.accumulated import read_classes
from playbook.document import parsed
from playbook.errors import DataError, TaskFileError
from playbook.evaluate.behaviour_file import load_behaviour
from playbook.taskfile import load_task


def task_with(folder: Path, classes: str, **changes: str) -> Path:
    """A task file whose classes are given as lines of YAML."""
    document = task_document({"path": "rows.csv"}, classes={"CLASSES": "here"})
    text = yaml.safe_dump(document, sort_keys=False)
    for before, after in {"    CLASSES: here": classes, **changes}.items():
        assert before in text
        text = text.replace(before, after)
    path = folder / "task.yaml"
    path.write_text(text, "utf-8")
    return path


def faults_of(path: Path) -> list[str]:
    with pytest.raises(TaskFileError) as refused:
        load_task(path)
    return refused.value.faults


@pytest.mark.parametrize(
    ("word", "made"),
    [
        ("yes", "true"),
        ("No", "false"),
        ("on", "true"),
        ("OFF", "false"),
        ("true", "true"),
        ("0", "the number 0"),
        ("1.50", "the number 1.5"),
        ("012", "the number 10"),
        ("1_000", "the number 1000"),
        ("12:30", "the number 750"),
        ("2024-01-01", "the date 2024-01-01"),
        ("null", "nothing"),
        ("~", "nothing"),
    ],
)
def test_a_class_that_yaml_takes_for_something_else_is_to_be_quoted(tmp_path: Path, word: str, made: str) -> None:
    path = task_with(tmp_path, f"    {word}: One of the two.\n    refund: Money back.")
    line = path.read_text("utf-8").split("\n").index(f"    {word}: One of the two.") + 1
    assert faults_of(path) == [f"line {line}, data.classes.{word}: YAML reads this as {made}; write '{word}' in quotes"]
    task_with(tmp_path, f"    '{word}': One of the two.\n    refund: Money back.")
    assert set(load_task(path).spec.labels) == {word, "refund"}


def test_all_of_them_come_together_and_with_the_other_faults(tmp_path: Path) -> None:
    path = task_with(tmp_path, "    yes: It is.\n    no: It is not.", **{"at_least: 0.8": "at_least: 8"})
    said = [fault.partition(": ")[2] for fault in faults_of(path)]
    assert said[:2] == [
        "YAML reads this as true; write 'yes' in quotes",
        "YAML reads this as false; write 'no' in quotes",
    ]
    assert len(said) == 3 and "less than or equal to 1" in said[2]


@pytest.mark.parametrize(
    ("before", "after", "field", "said"),
    [
        ("text: text", "text: on", "data.columns.text", "YAML reads this as true; write 'on' in quotes"),
        (
            "label: label",
            "label: 2024-01-01",
            "data.columns.label",
            "the date 2024-01-01; write '2024-01-01' in quotes",
        ),
        ("id: id", "id: 7", "data.columns.id", "the number 7; write '7' in quotes"),
        ("- channel", "- no", "data.columns.keep.0", "false; write 'no' in quotes"),
        ("path: rows.csv", "path:", "data.source.path", "either path"),
        ("package: none", "package: 1e3", "", ""),
    ],
)
def test_a_text_that_yaml_takes_for_something_else_is_to_be_quoted(
    tmp_path: Path, before: str, after: str, field: str, said: str
) -> None:
    path = task_with(tmp_path, "    a: Some of them.\n    b: The others.", **{before: after})
    if not field:
        assert load_task(path).spec.base.package == "1e3"  # a text to YAML, too
        return
    faults = faults_of(path)
    assert any(fault.split(": ")[0].endswith(field.rsplit(".", 1)[0]) or field in fault for fault in faults)
    assert said in " ".join(faults)


def test_lists_of_labels_elsewhere_say_the_same(tmp_path: Path) -> None:
    test = "- {name: abc, kind: invariance, change: {kind: typos}, validation: {of: [yes, refund]}}"
    (tmp_path / "tests.yaml").write_text(f"tests:\n{test}\n", "utf-8")
    with pytest.raises(TaskFileError, match=r"line 2, .*of.0: found true; .*write 'yes' in quotes"):
        load_behaviour(tmp_path / "tests.yaml")
    (tmp_path / "tests.yaml").write_text(
        "tests:\n- name: abc\n  kind: minimum_functionality\n  expect:\n    no: [a text]\n", "utf-8"
    )
    with pytest.raises(TaskFileError, match=r"line 5, tests\.0.expect.no: YAML reads this as false"):
        load_behaviour(tmp_path / "tests.yaml")


@pytest.mark.parametrize("again", ["refund", "'refund'", "\u200brefund", '" refund"'])
def test_a_class_that_is_written_twice_is_refused_with_both_lines(tmp_path: Path, again: str) -> None:
    path = task_with(tmp_path, f"    refund: Money back.\n    other: The rest.\n    {again}: More money.")
    first = path.read_text("utf-8").split("\n").index("    refund: Money back.") + 1
    (fault,) = faults_of(path)
    assert fault.startswith(f"line {first + 2}, data.classes.") and f"written twice (in line {first}, too" in fault
    assert ("looks alike" in fault) == (again.strip("'") != "refund")


def test_two_unicode_forms_of_a_class_are_refused_with_both_lines(tmp_path: Path) -> None:
    other = unicodedata.normalize("NFD", "col\u00e8re")
    (fault,) = faults_of(task_with(tmp_path, f"    col\u00e8re: One.\n    joie: Two.\n    {other}: Three."))
    assert "too, in a spelling that looks alike); keep one of the two" in fault


def test_merged_keys_and_anchors_are_read_as_ever() -> None:
    read = parsed("base: &b {x: 1, y: 2}\nown: {<<: *b, x: 3}\n")
    assert read.content["own"] == {"x": 3, "y": 2} and read.faults == []


def test_classes_that_retraining_found_follow_the_same_rules(tmp_path: Path) -> None:
    (tmp_path / "classes.yaml").write_text("lost: A lost card.\nyes: It is.\n", "utf-8")
    with pytest.raises(DataError, match="line 2, yes: YAML reads this as true; write 'yes' in quotes"):
        read_classes(tmp_path / "classes.yaml")


@pytest.mark.parametrize("name", ["a: b", "[a]", "{a}", "*a", "@a", "%a", "- a", "a #b"])
def test_a_class_that_begins_like_something_else_of_yaml_is_to_be_quoted(tmp_path: Path, name: str) -> None:
    fault = " ".join(faults_of(task_with(tmp_path, f"    {name}: One of the two.\n    refund: Money back.")))
    assert "not readable as YAML" in fault and "Write a name or a text in quotes" in fault
    task_with(tmp_path, f"    '{name}': One of the two.\n    refund: Money back.")
    assert name in load_task(tmp_path / "task.yaml").spec.labels


def test_tabs_and_lists_of_classes_have_remedies_of_their_own(tmp_path: Path) -> None:
    assert "by blanks, not by tabs" in faults_of(task_with(tmp_path, "\tbilling: One\n\trefund: Two"))[0]
    assert "a mapping, `name: text`" in faults_of(task_with(tmp_path, "    - billing\n    - refund"))[0]


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"text": "body", "label": "body"}, "a column of its own for each of text and label, not 'body'"),
        ({"text": "body", "label": "kind", "id": "kind"}, "label and id, not 'kind'"),
        ({"text": "body", "label": " "}, "names of columns, not a blank one .label."),
    ],
)
def test_one_column_cannot_play_two_parts(tmp_path: Path, columns: dict[str, str], said: str) -> None:
    with pytest.raises(TaskFileError, match=said):
        write_task(tmp_path, {"path": "rows.csv"}, columns=columns)
