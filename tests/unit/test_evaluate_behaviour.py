from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from playbook.errors import TaskFileError
from playbook.evaluate.behaviour import cases, run_behaviour
from playbook.evaluate.behaviour_file import BehaviourFile, load_behaviour

LABELS = ("access", "billing", "delivery")
PROJECT = Path(__file__).resolve().parents[2]
TICKETS = ("access", "billing", "cancellation", "delivery", "fault")


def frame() -> pd.DataFrame:
    texts = [f"Please look at invoice {at}, it is wrong" for at in range(20)]
    texts += [f"The parcel {at} never came, Anna says" for at in range(20)]
    return pd.DataFrame({"text": texts, "label": ["billing"] * 20 + ["delivery"] * 20})


def reader(*, shouting: bool = False) -> Any:
    """A model of three words; one that is `shouting` is thrown off by capitals."""

    def answer(texts: list[str]) -> Any:
        answer.calls.append(texts)  # type: ignore[attr-defined]
        table = np.full((len(texts), 3), 0.1)
        for at, text in enumerate(texts):
            known = text if shouting else text.lower()
            word = 1 if "invoice" in known else 2 if "parcel" in known else 0
            table[at, word] += 0.3
            table[at, 1] += 0.4 * ("refund" in known)
        return table / table.sum(axis=1, keepdims=True)

    answer.calls = []  # type: ignore[attr-defined]
    return answer


def written(*tests: dict[str, Any]) -> BehaviourFile:
    return BehaviourFile.model_validate({"tests": list(tests)})


def invariance(change: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": "same", "kind": "invariance", "change": change, "validation": {"rows": 40}, **more}


def direction(**more: Any) -> dict[str, Any]:
    fields = {"name": "moves", "kind": "direction", "add": "I want a refund.", "of_class": "billing", "moves": "up"}
    return fields | {"texts": ["The parcel is late"]} | more


def test_a_model_that_reads_passes_and_one_that_is_thrown_off_fails() -> None:
    file = written(invariance({"kind": "case", "to": "upper"}, allowed=0.1))
    good, bad = reader(), reader(shouting=True)
    passed = run_behaviour(file, frame(), {"baseline": bad, "candidate": good}, LABELS, "candidate")[0]
    assert (passed.cases, passed.failed_baseline, passed.failed_candidate, passed.passed) == (40, 40, 0, True)
    assert passed.examples == ()
    failed = run_behaviour(file, frame(), {"baseline": good, "candidate": bad}, LABELS, "candidate")[0]
    assert (failed.failed_baseline, failed.failed_candidate, failed.passed) == (0, 40, False)
    assert (failed.examples[0].expected, failed.examples[0].told) == ("billing", "access")
    assert failed.examples[0].changed == failed.examples[0].text.upper()
    assert len(failed.examples) == 3
    assert len(good.calls) == len(bad.calls) == 2  # one call per model and run, for all texts
    assert len(set(good.calls[0])) == len(good.calls[0]) == 80


def test_the_share_that_may_fail() -> None:
    texts = ["The parcel came", "Where is the parcel", "my Parcel", "PARCEL"]
    change = {"kind": "case", "to": "lower"}
    for allowed, passed in ((0.5, True), (0.49, False)):
        test = {"name": "same", "kind": "invariance", "change": change, "texts": texts, "allowed": allowed}
        found = run_behaviour(written(test), frame(), {"baseline": reader(shouting=True)}, LABELS, "baseline")[0]
        assert (found.cases, found.failed_baseline, found.failed_candidate) == (4, 2, None)
        assert found.passed is passed


@pytest.mark.parametrize(
    ("fields", "passed"),
    [
        ({"moves": "up", "by": 0.2}, True),
        ({"moves": "up", "by": 0.9}, False),
        ({"moves": "down"}, False),
        ({"moves": "down", "of_class": "delivery"}, True),
        ({"moves": "to"}, True),
        ({"moves": "to", "of_class": "access"}, False),
        ({"moves": "up", "add": "Thank you."}, False),  # a phrase that the model does not hear
    ],
)
def test_directions(fields: dict[str, Any], passed: bool) -> None:
    found = run_behaviour(written(direction(**fields)), frame(), {"baseline": reader()}, LABELS, "baseline")[0]
    assert found.passed is passed
    if not passed and fields["moves"] != "to":
        assert " likely by " in found.examples[0].expected
        assert ", then " in found.examples[0].told


def test_a_probability_at_its_end_need_not_move_further() -> None:
    def sure(texts: list[str]) -> Any:
        return np.tile([0.01, 0.98, 0.01], (len(texts), 1))

    tests = [direction(name="more", by=0.5), direction(name="less", moves="down", of_class="access", by=0.5)]
    found = run_behaviour(written(*tests), frame(), {"baseline": sure}, LABELS, "baseline")
    assert [one.passed for one in found] == [True, True]


def test_minimum_functionality_names_what_it_wanted() -> None:
    expect = {"billing": ["My {thing} is wrong"], "delivery": ["Where is the {size} parcel?"]}
    slots = {"thing": ["invoice", "bill"], "size": ["small", "large"]}
    test = {"name": "basics", "kind": "minimum_functionality", "expect": expect, "slots": slots}
    found = run_behaviour(written(test), frame(), {"baseline": reader()}, LABELS, "baseline")[0]
    assert (found.cases, found.failed_baseline, found.passed) == (4, 1, False)
    example = found.examples[0]
    assert (example.text, example.changed, example.expected, example.told) == (
        "My bill is wrong", "", "billing", "access"
    )  # fmt: skip


def test_answers_are_those_of_the_operating_point() -> None:
    file = written(invariance({"kind": "case", "to": "upper"}, allowed=0.0))
    asked = {"baseline": reader(shouting=True)}
    plain = run_behaviour(file, frame(), asked, LABELS, "baseline")[0]
    same = {"baseline": lambda table: np.zeros(len(table), np.int64)}
    decided = run_behaviour(file, frame(), asked, LABELS, "baseline", decide=same)[0]
    assert plain.failed_baseline > 0 == decided.failed_baseline


@pytest.mark.parametrize(
    ("change", "text", "changed"),
    [
        ({"kind": "add_before", "texts": ["Hi,"]}, "It broke.", "Hi, It broke."),
        ({"kind": "add_after", "texts": ["Thanks."]}, "It broke.", "It broke. Thanks."),
        ({"kind": "case", "to": "lower"}, "It BROKE.", "it broke."),
        ({"kind": "punctuation", "to": "none"}, "Well, it's broken: why?", "Well its broken why"),
        ({"kind": "punctuation", "to": "exclaim"}, "Why did it break?", "Why did it break!!!"),
        ({"kind": "swap_words", "words": ["lamp", "hub"]}, "Lamp, lamps and hub", "Hub, lamps and lamp"),
        ({"kind": "swap_names", "words": ["Anna", "Wei"]}, "anna here, not Wei", "Wei here, not Anna"),
        ({"kind": "typos"}, "is the cable in", "is the cbale in"),
    ],
)
def test_changes_of_the_closed_list(change: dict[str, Any], text: str, changed: str) -> None:
    test = {"name": "same", "kind": "invariance", "change": change, "texts": [text]}
    found = cases(written(test).tests[0], frame(), seed=1)
    assert [case.text for case in found] == [text]
    if change["kind"] == "typos":
        assert sorted(found[0].changed) == sorted(text)
        assert sum(a != b for a, b in zip(text, found[0].changed, strict=True)) == 2
    else:
        assert found[0].changed == changed


def test_rows_come_from_the_classes_that_are_named_and_the_seed_decides() -> None:
    change = {"kind": "add_after", "texts": ["Thanks.", "Cheers.", "Bye."]}
    test = written(invariance(change, validation={"rows": 8, "of": ["delivery"]})).tests[0]
    found = cases(test, frame(), seed=1)
    assert len(found) == 8
    assert all("parcel" in case.text for case in found)
    assert found == cases(test, frame(), seed=1)
    assert found != cases(test, frame(), seed=2)


def test_a_test_without_a_case_has_not_passed() -> None:
    file = written(invariance({"kind": "swap_words", "words": ["tram", "bus"]}))
    found = run_behaviour(file, frame(), {"baseline": reader()}, LABELS, "baseline")[0]
    assert (found.cases, found.passed) == (0, False)


def test_models_that_do_not_fit_are_refused() -> None:
    file = written(invariance({"kind": "case", "to": "upper"}))
    with pytest.raises(ValueError, match="expected answers of baseline and of candidate"):
        run_behaviour(file, frame(), {"baseline": reader()}, LABELS, "candidate")
    with pytest.raises(ValueError, match="expected probabilities of shape"):
        run_behaviour(file, frame(), {"baseline": reader()}, LABELS[:2], "baseline")


def test_all_faults_of_a_file_come_together_with_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "behaviour.yaml"
    path.write_text(
        "tests:\n"
        "  - name: one\n    kind: invariance\n    change: {kind: shell, command: ls}\n    texts: [a]\n"
        "  - name: two\n    kind: invariance\n    change: {kind: typos, count: 9}\n    texts: [a]\n"
        "  - name: three\n    kind: minimum_functionality\n    expect: {x: ['{where}']}\n"
        "  - name: four\n    kind: direction\n    add: x\n    of_class: y\n    moves: up\n    alowed: 1\n"
    )
    with pytest.raises(TaskFileError) as error:
        load_behaviour(path)
    said = "\n".join(error.value.faults)
    assert len(error.value.faults) >= 4
    assert "line 4, tests.0.change" in said and "'typos', 'add_before'" in said
    assert "line 8, tests.1.change.count: found 9" in said
    assert "slots must have values for where" in said
    assert "line 18, tests.3.alowed: found 1, but there is no such field" in said


def test_files_that_do_not_belong_to_the_task_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "behaviour.yaml"
    path.write_text(yaml.safe_dump({"tests": [direction(of_class="refunds"), direction(name="more", of_class="x")]}))
    with pytest.raises(TaskFileError, match=r"moves: found class 'refunds'; allowed: access, billing, delivery\n.*'x'"):
        load_behaviour(path, LABELS)
    path.write_text(yaml.safe_dump({"tests": [direction(), direction()]}))
    with pytest.raises(TaskFileError, match="written twice: moves"):
        load_behaviour(path)
    path.write_text(yaml.safe_dump({"tests": [direction(texts=[])]}))
    with pytest.raises(TaskFileError, match="there is nothing to test on"):
        load_behaviour(path)
    with pytest.raises(TaskFileError, match="no such file"):
        load_behaviour(tmp_path / "none.yaml")
    path.write_text("tests: !!python/object/apply:os.getcwd []\n")
    with pytest.raises(TaskFileError, match="not readable as YAML"):
        load_behaviour(path)


def test_the_sample_tasks_tests_are_readable_and_have_cases() -> None:
    file = load_behaviour(PROJECT / "data" / "tickets" / "behaviour.yaml", TICKETS)
    assert 6 <= len(file.tests) <= 12
    assert {test.kind for test in file.tests} == {"invariance", "direction", "minimum_functionality"}
    rows = pd.DataFrame({"text": ["My Airwenn does not start today."] * 3, "label": ["fault", "fault", "billing"]})
    assert all(cases(test, rows, seed=1) for test in file.tests)
    assert all(test.why for test in file.tests)
