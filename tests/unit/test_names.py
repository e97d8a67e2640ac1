"""One form of a name on every way in: however a file spells a label, a column or an id, it is the same name."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import yaml
from data_samples import rows, task_document, write_csv, write_task
from prediction_samples import open_log, row

from playbook.data.accumulated import read_classes
from playbook.data.annotations import read_row_ids, read_second_annotator
from playbook.data.corrections import read_corrections
from playbook.data.guideline import judge_guideline
from playbook.data.prepare import prepare
from playbook.data.read import read_rows
from playbook.errors import DataError, TaskFileError
from playbook.evaluate.behaviour_file import load_behaviour, named_classes
from playbook.names import near_name, normal_form, spelled_twice
from playbook.operate.accumulate import Labelled, accumulate, usable_rows
from playbook.operate.live import live_metric
from playbook.operate.outcomes import record_file
from playbook.operate.prediction_log import Outcome, Prediction
from playbook.operate.prediction_log_tables import OUTCOMES
from playbook.settings import settings
from playbook.spec import TaskSpec
from playbook.taskfile import Task, load_task

ANGER, ORDER = "col\u00e8re", "commande re\u00e7ue"
WAYS = {  # how files spell the same two names
    "decomposed": lambda name: unicodedata.normalize("NFD", name),
    "no-break": lambda name: f"\u00a0{name}\u00a0".replace(" ", "\u00a0"),
    "wide": lambda name: f"  {name}\t".replace(" ", "   "),
    "unseen": lambda name: f"\ufeff{name[:3]}\u200b\u00ad{name[3:]}\u200d",
}
PERSIAN = "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"  # its joiner is seen
DAY = datetime(2025, 3, 3, 9, 30, tzinfo=UTC)


@pytest.fixture(params=WAYS, ids=list(WAYS))
def spelled(request: pytest.FixtureRequest) -> Any:
    """A way of spelling a name."""
    return WAYS[request.param]


def labelled_rows(count: int = 240) -> list[dict[str, str]]:
    names = {"billing": ANGER, "delivery": ORDER}
    return [{**one, "label": names[one["label"]]} for one in rows(count)]


def french(folder: Path, table: list[dict[str, str]] | None = None, **data: Any) -> Task:
    write_csv(folder / "rows.csv", table or labelled_rows())
    classes = {ANGER: "Somebody is angry.", ORDER: "An order has come."}
    return write_task(folder, {"path": "rows.csv"}, classes=classes, **data)


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("refund", "refund"),
        (" re\u0301clamation\u00a0 client\u2009x ", "r\u00e9clamation client x"),
        ("\ufeffid", "id"),
        ("so\u00adft\u200b\u200e", "soft"),
        ("a\nb\tc\x00", "a b c"),
        ("e\x00\u200b\u0301", "\u00e9"),
        (PERSIAN, PERSIAN),
        ("\U0001f468\u200d\U0001f467", "\U0001f468\u200d\U0001f467"),
        ("\u0d05\u0d35\u0d28\u0d4d\u200d", "\u0d05\u0d35\u0d28\u0d4d\u200d"),  # ends in a chillu of Malayalam
        ("\u0647\u200d \u0642", "\u0647\u200d \u0642"),  # an Arabic letter in its initial shape
        ("\u0928\u0939\u0940\u0902\u200d", "\u0928\u0939\u0940\u0902"),
        ("Refund", "Refund"),
        ("\ufb01ne", "\ufb01ne"),
        ("007", "007"),
        ("half \ud83d", "half \ufffd"),
        ("\u00a0\u200b", ""),
    ],
)  # fmt: skip
def test_the_form_takes_away_what_nobody_sees(name: str, form: str) -> None:
    assert normal_form(name) == form
    assert normal_form(form) == form


def test_names_that_are_near_or_the_same() -> None:
    assert spelled_twice(["a", "b", "col\u00e8re", "cole\u0300re"]) == [["col\u00e8re", "cole\u0300re"]]
    assert near_name("Refnd", ("access", "refund")) == "refund"
    assert near_name("card arrival", ("card_arrival", "age_limit")) == "card_arrival"
    assert near_name("weather", ("access", "refund")) == ""


def test_a_source_that_is_spelled_in_another_way_gives_the_same_rows(tmp_path: Path, spelled: Any) -> None:
    plain = prepare(french(tmp_path / "plain"), tmp_path / "one")
    table = [{**one, "label": spelled(one["label"]), spelled("channel"): one["channel"]} for one in labelled_rows()]
    table = [{name: cell for name, cell in one.items() if name != "channel" or spelled(name) == name} for one in table]
    other = prepare(french(tmp_path / "other", table), tmp_path / "two")
    for name in ("train.parquet", "validation.parquet", "test.parquet", "quarantine.parquet"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert plain["class_rows"] == other["class_rows"] and plain["quarantined_rows"] == 0


def test_a_task_file_that_is_spelled_in_another_way_is_the_same_task(tmp_path: Path, spelled: Any) -> None:
    document = task_document({"path": "rows.csv"}, classes={spelled(ANGER): "Angry.", spelled(ORDER): "It came."})
    document["target"] = {"metric": "f1", "of_class": spelled(ANGER), "at_least": 0.8, "margin": 0.1}
    document["data"]["columns"]["group"] = spelled("client\u00e8le")
    document["evaluation"] = {"slices": [spelled("channel")]}
    found = TaskSpec.model_validate(document)
    assert found.labels == (ANGER, ORDER) and found.target.of_class == ANGER
    assert found.data.columns.group == "client\u00e8le" and found.evaluation.slices == ("channel",)


def test_two_classes_that_look_alike_are_refused(tmp_path: Path) -> None:
    classes = {ANGER: "One.", unicodedata.normalize("NFD", ANGER): "Two.", "joie": "Three."}
    with pytest.raises(ValueError, match="every class once"):
        TaskSpec.model_validate(task_document({"path": "rows.csv"}, classes=classes))


def test_ids_groups_and_split_names_are_names(tmp_path: Path, spelled: Any) -> None:
    table = labelled_rows(12)
    sides = ("train", "validation", "test")
    for at, one in enumerate(table):
        one |= {
            "id": spelled(f"\u00c9t\u00e9 {at}"),
            "customer": spelled("M\u00fcller GmbH"),
            "side": spelled(sides[at % 3]),
        }
    task = french(tmp_path, table, splits={"column": spelled("side")})
    prepare(task, tmp_path / "out")
    raw = read_rows(task)
    assert raw["row_id"].tolist()[:2] == ["\u00c9t\u00e9 0", "\u00c9t\u00e9 1"]
    import pandas as pd

    test = pd.read_parquet(tmp_path / "out" / "test.parquet")
    assert len(test) == 4 and set(test["group"]) == {"M\u00fcller GmbH"}


def test_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("id,text,cole\u0300re,col\u00e8re\n1,a text,x,y\n", "utf-8")
    with pytest.raises(DataError, match="2 columns are called col\u00e8re"):
        read_rows(write_task(tmp_path, {"path": "rows.csv"}, columns={"text": "text", "label": ANGER}))


def test_files_about_rows_speak_of_the_same_names(tmp_path: Path, spelled: Any) -> None:
    second = tmp_path / "second.csv"
    second.write_text("\n".join(["id,label", f'{spelled("Zoé 1").strip()},"{spelled(ANGER)}"']), "utf-8")
    assert read_second_annotator(second, (ANGER, ORDER)) == {"Zo\u00e9 1": ANGER}
    assert read_row_ids(second) == {"Zo\u00e9 1"}
    lines = ["row_id,label,by,when,was", f'R0001,"{spelled(ANGER)}",ann,2025-01-01,"{spelled(ORDER)}"']
    (tmp_path / "fixes.csv").write_text("\n".join(lines), "utf-8")
    task = french(tmp_path, labels={"corrections": "fixes.csv"})
    (one,) = read_corrections(task)
    assert (one.row_id, one.label, one.was) == ("R0001", ANGER, ORDER)
    assert prepare(task, tmp_path / "out")["corrections"] == {"changed": 1, "confirmed": 0}
    said = f"# {spelled(ANGER).strip()}\n\nWhoever is angry.\n"
    assert judge_guideline(said, (ANGER, ORDER)).defined == (ANGER,)


def test_behavioural_tests_name_the_same_classes(tmp_path: Path, spelled: Any) -> None:
    tests = [
        {"name": "one", "kind": "minimum_functionality", "expect": {spelled(ANGER): ["Oh no!"]}},
        {"name": "two", "kind": "direction", "add": "x", "of_class": spelled(ORDER), "moves": "up", "texts": ["a b"]},
    ]
    tests = [{**one, "name": f"test {one['name']}"} for one in tests]
    (tmp_path / "tests.yaml").write_text(yaml.safe_dump({"tests": tests}, allow_unicode=True), "utf-8")
    found = load_behaviour(tmp_path / "tests.yaml", (ANGER, ORDER))
    assert [named_classes(test) for test in found.tests] == [(ANGER,), (ORDER,)]


def test_outcomes_in_another_form_are_no_new_class(
    tmp_path: Path, spelled: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLAYBOOK_HOME", str(tmp_path / "home"))
    task, places = french(tmp_path), settings()
    write_csv(tmp_path / "outcomes.csv", [{"id": f"\u00c9 {at}", "label": spelled(ANGER)} for at in range(5)])
    first = record_file(task, places, tmp_path / "outcomes.csv", DAY)
    assert first.unknown == {} and first.count.new == 5
    write_csv(tmp_path / "again.csv", [{spelled("id"): spelled(f"\u00c9 {at}"), "label": ANGER} for at in range(5)])
    again = record_file(task, places, tmp_path / "again.csv", DAY)
    assert (again.count.new, again.count.repeated, again.count.changed) == (0, 5, 0)


def test_the_log_answers_in_the_normal_form_whatever_it_was_given(tmp_path: Path, spelled: Any) -> None:
    log = open_log(tmp_path)
    probabilities = {spelled(ANGER): 0.75, spelled(ORDER): 0.25}
    given = {"label": spelled(ANGER), "probabilities": probabilities, "columns": {spelled("client\u00e8le"): "x"}}
    log.write([row(spelled(f"\u00c9 {at}"), **given) for at in range(3)])
    log.record_outcomes([Outcome("\u00c9 0", ANGER, DAY), Outcome(spelled("\u00c9 1"), spelled(ORDER), DAY)])
    window = log.window(DAY.date(), DAY.date())
    assert window["id"].tolist() == ["\u00c9 0", "\u00c9 1", "\u00c9 2"]
    assert window["outcome"].tolist() == [ANGER, ORDER, ""] and set(window["label"]) == {ANGER}
    assert window[f"p_{ANGER}"].tolist() == [0.75] * 3 and window["columns"][0] == {"client\u00e8le": "x"}
    log.close()


def test_a_log_of_an_earlier_release_is_read_in_the_normal_form(tmp_path: Path) -> None:
    """Live accuracy was 0.38 of a true 0.70 where the outcomes were spelled in another way than the classes."""
    log, other = open_log(tmp_path), unicodedata.normalize("NFD", ANGER)
    log.write([row(f"R{at}", label=ANGER if at < 7 else ORDER) for at in range(10)])
    told = {"task": "tickets", "label": other, "recorded_at": DAY, "source": "f", "added_at": DAY}
    stored = [{**told, "id": f"R{at}"} for at in range(10)]
    with log.database.begin(writing=True) as connection:
        connection.execute(sa.insert(OUTCOMES), stored)
    assert log.record_outcomes([Outcome("R1", ANGER, DAY)]).repeated == 1
    seen = log.labelled()
    spec = french(tmp_path / "task").spec
    score, recalls = live_metric(spec, seen["outcome"].tolist(), seen["label"].tolist())
    assert score is not None and score.value == 0.7 and set(recalls) == {ANGER}
    log.close()


def test_no_second_spelling_joins_the_classes(tmp_path: Path, spelled: Any) -> None:
    accumulated = {"rows": "more.csv", "classes": "classes.yaml"}
    task = french(tmp_path, accumulated=accumulated, gate={"min_rows_per_class": 1, "min_evaluation_rows_per_class": 1})
    more = rows(120, 5)
    rows_in = [
        Labelled(f"P{at}", one["text"], spelled(ANGER), "2025-01-05", {"customer": f"N{at}"})
        for at, one in enumerate(more)
    ]
    found = usable_rows(task, rows_in)
    assert found.new_classes == {} and found.unknown == {} and len(found.rows) == 120
    assert accumulate(task, rows_in).by_class == {ANGER: 120}
    again = [Labelled(one.id, one.text, ANGER, one.time, one.columns) for one in rows_in]
    assert accumulate(task, again).relabelled == 0
    (tmp_path / "classes.yaml").write_text(
        yaml.safe_dump({spelled(ANGER): "A second spelling.", spelled("perdu\u00e9"): "Lost."}, allow_unicode=True),
        "utf-8",
    )
    assert read_classes(tmp_path / "classes.yaml") == {ANGER: "A second spelling.", "perdu\u00e9": "Lost."}
    assert load_task(task.path).spec.labels == (ANGER, ORDER, "perdu\u00e9")


def test_a_group_of_production_goes_where_the_data_play_puts_it(tmp_path: Path, spelled: Any) -> None:
    accumulated = {"rows": "more.csv", "classes": "classes.yaml"}
    task = french(tmp_path, accumulated=accumulated)
    given = Labelled(
        "P1", "a text that nobody has sent so far", ANGER, "2025-01-05", {"customer": spelled("M\u00fcller")}
    )
    accumulate(task, [given])
    assert read_rows(task)["row_id"].tolist()[-1] == "P1"
    from playbook.data.clean import clean_rows

    fit, _ = clean_rows(read_rows(task), task.spec.data)
    assert fit["group"].tolist()[-1] == "M\u00fcller"


def test_names_in_a_prediction_are_kept_in_their_form() -> None:
    made = Prediction("\u00a0e\u0301 ", DAY, "1.0.0", "cole\u0300re", 1.0, {"cole\u0300re": 1.0}, "e\u0301 text ")
    assert (made.id, made.label, made.probabilities, made.text) == ("\u00e9", ANGER, {ANGER: 1.0}, "e\u0301 text ")


def test_a_blank_class_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TaskFileError, match="blank"):
        french(tmp_path).path.write_text(
            yaml.safe_dump(task_document({"path": "x"}, classes={"\u200b": "x", "b": "y"})), "utf-8"
        )
        load_task(tmp_path / "sample.yaml")
