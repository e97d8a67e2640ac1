"""Files of outcomes: which column names a prediction, what is not a truth, and rows that contradict each other."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from data_samples import sample, write_csv
from prediction_samples import MONDAY, row

from playbook.cli import main
from playbook.errors import DataError
from playbook.operate.outcomes import OutcomeReport, record_file
from playbook.operate.prediction_log import PredictionLog, open_prediction_log
from playbook.settings import settings
from playbook.taskfile import Task

TRIAL = Path(__file__).resolve().parents[3] / "shared" / "trials" / "outcomes-takes-a-predictions-file-for-truth"
PAIRS = [("id", "label"), ("prediction_id", "label"), ("ticket_id", "category"), ("id", "category")]
SAID = [("probability",), ("p_billing",), ("model_version",), ("ask_a_person",), ("p_delivery", "reason")]
LATER = (MONDAY + timedelta(days=3)).date().isoformat()


@pytest.fixture
def task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Task:
    monkeypatch.setenv("PLAYBOOK_HOME", str(tmp_path / "home"))
    columns = {"text": "text", "label": "category", "id": "ticket_id"}
    return sample(tmp_path, columns=columns)


@pytest.fixture
def log(task: Task) -> Iterator[PredictionLog]:
    found = open_prediction_log(settings(), task.spec.task)
    yield found
    found.close()


def record(task: Task, table: list[dict[str, str]], **given: Any) -> OutcomeReport:
    return record_file(task, settings(), write_csv(task.path.parent / "truth.csv", table), **given)


def truth_of(log: PredictionLog) -> dict[str, str]:
    seen = log.labelled()
    return dict(zip(seen["id"], seen["outcome"], strict=True))


@pytest.mark.parametrize("names", PAIRS)
def test_ids_and_labels_have_the_tasks_own_names_or_the_general_ones(
    task: Task, log: PredictionLog, names: tuple[str, str]
) -> None:
    log.write([row("A")])
    done = record(task, [{names[0]: "A", names[1]: "billing", "other": "x"}])
    assert (done.id_column, done.label_column, done.count.new) == (*names, 1)
    assert truth_of(log) == {"A": "billing"}


def test_of_two_columns_of_ids_the_one_whose_ids_are_logged_is_taken(task: Task, log: PredictionLog) -> None:
    log.write([row("p1"), row("p2")])
    table = [{"ticket_id": f"T{at}", "id": f"{at}", "prediction_id": f"p{at}", "label": "billing"} for at in (1, 2)]
    done = record(task, table)
    assert done.id_column == "prediction_id" and done.unmatched == ()
    assert record(task, table, id_column="id").unmatched == ("1", "2")


def test_a_file_without_its_columns_says_which_names_would_do(task: Task) -> None:
    with pytest.raises(
        DataError, match=r"ids \(ticket_id or id or prediction_id\) and one of true labels \(label or cat"
    ):
        record(task, [{"number": "1", "label": "billing"}])
    with pytest.raises(DataError, match="label and category, which differ in 1 row; name the one"):
        record(task, [{"id": "1", "label": "billing", "category": "delivery"}])
    assert record(task, [{"id": "1", "label": "billing", "category": "billing"}]).count.new == 1


@pytest.mark.parametrize("columns", SAID)
def test_what_a_model_said_is_no_truth(task: Task, log: PredictionLog, columns: tuple[str, ...]) -> None:
    log.write([row("A")])
    record(task, [{"id": "A", "label": "billing"}])
    with pytest.raises(DataError, match=f"found what a model said .columns {columns[0]}"):
        record(task, [{"id": "A", "label": "delivery", **dict.fromkeys(columns, "0.5")}])
    assert truth_of(log) == {"A": "billing"}


@pytest.mark.parametrize(
    ("further", "why"),
    [
        ({"confidence": ["0.93", "0.81"], "prediction": ["billing", "delivery"]}, "prediction has the same labels"),
        ({"predicted_label": ["billing", "delivery"]}, "predicted_label has the same labels in every row"),
        ({"answer": ["billing", ""]}, "answer has the same labels in every row"),
        ({"Score": ["0,93", "1"]}, "Score holds shares"),
        ({"max_prob": ["93 %", "81 %"]}, "max_prob holds shares"),
        ({"billing": ["0.93", "2e-3"], "delivery": ["0.07", "0.998"]}, "billing and delivery hold shares of classes"),
    ],
)
def test_what_a_model_said_under_other_names_needs_somebody_to_say_that_it_is_true(
    task: Task, log: PredictionLog, further: dict[str, list[str]], why: str
) -> None:
    labels = ("billing", "delivery")
    table = [{"id": f"{row}", "label": labels[row], **{k: v[row] for k, v in further.items()}} for row in (0, 1)]
    with pytest.raises(DataError, match=f"seem to be a model's: columns? {why}.*--label-column label"):
        record(task, table)
    assert record(task, table, label_column="label").count.new == 2


@pytest.mark.parametrize(
    "further",
    [
        {"prediction": ["billing", "billing"], "confidence": ["0.93", "0.51"]},
        {"confidence": ["high", "low"]},
        {"score": ["5", "4"]},
        {"billing": ["1", "0"], "delivery": ["0", "1"]},
        {"model": ["X200", "X300"]},
        {"discount": ["0.15", "0.2"]},
    ],
    ids="-".join,
)
def test_outcomes_with_further_columns_are_outcomes(task: Task, further: dict[str, list[str]]) -> None:
    labels = ("billing", "delivery")
    table = [{"id": f"{row}", "label": labels[row], **{k: v[row] for k, v in further.items()}} for row in (0, 1)]
    assert record(task, table).count.new == 2


def test_the_truth_beside_a_models_answers_is_taken_where_it_is_named(task: Task, log: PredictionLog) -> None:
    log.write([row("A")])
    table = [{"id": "A", "label": "billing", "probability": "0.9", "model_version": "1.0.0", "truth": "delivery"}]
    with pytest.raises(DataError, match=r"name their column \(--label-column"):
        record(task, table)
    with pytest.raises(DataError, match="found what a model said"):
        record(task, table, label_column="label")
    assert record(task, table, label_column="truth").label_column == "truth"
    assert truth_of(log) == {"A": "delivery"}


def test_labels_of_another_task_are_refused_and_one_new_class_is_not(task: Task, log: PredictionLog) -> None:
    log.write([row("A"), row("B")])
    other = [{"id": "A", "label": "positive"}, {"id": "B", "label": "negative"}]
    with pytest.raises(DataError, match="expected classes of sample in column label, found none of them, but positive"):
        record(task, other)
    assert truth_of(log) == {}
    assert record(task, [{"id": "A", "label": "theft"}, {"id": "B", "label": "theft"}]).unknown == {"theft": 2}
    assert record(task, other, label_column="label").unknown == {"positive": 1, "negative": 1}


def test_other_forms_of_the_classes_are_named_as_such(task: Task) -> None:
    with pytest.raises(
        DataError, match="found other forms of their names: Billing for billing, DELIVERY for delivery; write"
    ):
        record(task, [{"id": "A", "label": "Billing"}, {"id": "B", "label": "DELIVERY"}])


def test_what_a_spreadsheet_writes_without_a_match_is_no_truth(task: Task, log: PredictionLog) -> None:
    log.write([row("A"), row("B")])
    first = [{"id": "A", "label": "billing"}, {"id": "B", "label": "#N/A"}, {"id": "#N/A", "label": "delivery"}]
    done = record(task, first)
    assert (done.count.new, done.unknown) == (1, {}) and truth_of(log) == {"A": "billing"}
    record(task, [{"id": "A", "label": "#REF!"}, {"id": "B", "label": "delivery"}])
    assert truth_of(log) == {"A": "billing", "B": "delivery"}


def test_a_column_of_times_in_capitals_is_one(task: Task, log: PredictionLog) -> None:
    log.write([row("A")])
    done = record(task, [{"id": "A", "label": "billing", "Time": LATER}])
    assert done.time_column == "Time" and log.labelled()["id"].tolist() == ["A"]
    with pytest.raises(DataError, match="column Time: expected times"):
        record(task, [{"id": "A", "label": "billing", "Time": "yesterday"}])


def test_ids_that_a_spreadsheet_spoilt_are_said(task: Task) -> None:
    assert "are powers of ten" in record(task, [{"id": "1.2345E+16", "label": "billing"}]).spoilt


def test_the_trial_of_a_predictions_file(task: Task) -> None:
    if not TRIAL.is_dir():
        pytest.skip(f"{TRIAL} is not there")
    with pytest.raises(DataError, match="probability, model_version"):
        record_file(task, settings(), TRIAL / "new-predictions.csv")


def test_two_labels_for_one_id_are_named_and_neither_is_taken(task: Task, log: PredictionLog) -> None:
    log.write([row("A"), row("B")])
    table = [{"id": "A", "label": "billing"}, {"id": "B", "label": "billing"}, {"id": "A", "label": "delivery"}]
    done = record(task, [*table, {"id": "B", "label": " billing "}])
    assert done.contradictory == {"A": "billing in line 2 and delivery in line 4"}
    assert truth_of(log) == {"B": "billing"} and (done.count.new, done.count.repeated) == (1, 1)


def test_a_label_that_changed_later_is_a_history(task: Task, log: PredictionLog) -> None:
    log.write([row("A")])
    table = [{"id": "A", "label": "billing", "time": LATER}, {"id": "A", "label": "delivery", "time": "2025-04-01"}]
    done = record(task, table)
    assert done.contradictory == {} and truth_of(log) == {"A": "delivery"}


def test_times_in_the_future_are_refused(task: Task, log: PredictionLog) -> None:
    log.write([row("A")])
    ahead = (datetime.now(UTC) + timedelta(days=40)).date().isoformat()
    with pytest.raises(DataError, match=f"some in the future: {ahead} in line 3. They would overrule"):
        record(task, [{"id": "B", "label": "billing", "time": LATER}, {"id": "A", "label": "billing", "time": ahead}])
    with pytest.raises(DataError, match="in the future"):
        record(task, [{"id": "A", "label": "billing"}], recorded_at=datetime.now(UTC) + timedelta(days=3))
    assert truth_of(log) == {}
    now = (datetime.now(UTC) + timedelta(hours=3)).isoformat()  # a clock that is ahead
    assert record(task, [{"id": "A", "label": "billing", "time": now}]).count.new == 1


def test_what_was_known_before_the_prediction_is_named(task: Task, log: PredictionLog) -> None:
    log.write([row("A"), row("B")])
    day = MONDAY.date()
    days = {"A": day - timedelta(1), "B": day}
    assert record(task, [{"id": own, "label": "billing", "time": str(when)} for own, when in days.items()]).early == (
        "A",
    )


@pytest.mark.parametrize(
    ("logged", "given"),
    [
        ("007", "7"),
        ("007", '="007"'),
        ("7", "'7"),
        ("7", "007"),
        ("123", "123.0"),
        ("123.0", "123"),
        ("T-01a", "t-01A"),
        ("0042", "42.0"),
    ],
)
def test_ids_that_differ_in_zeros_or_case_are_not_joined_and_said(
    task: Task, log: PredictionLog, logged: str, given: str
) -> None:
    log.write([row(logged)])
    done = record(task, [{"id": given, "label": "billing"}, {"id": "X1", "label": "billing"}])
    assert done.unmatched == (given, "X1") and done.nearly == {given: logged} and truth_of(log) == {}


def test_the_command_line_says_all_of_it(task: Task, log: PredictionLog) -> None:
    log.write([row("A"), row("007")])
    table = [
        {"id": "A", "label": "billing", "time": "2025-03-01"},
        {"id": "7", "label": "delivery", "time": ""},
        {"id": "C", "label": "delivery", "time": LATER},
        {"id": "C", "label": "billing", "time": LATER},
        {"id": "D", "label": "Biling", "time": LATER},
    ]
    write_csv(task.path.parent / "truth.csv", table)
    done = CliRunner().invoke(main, ["outcomes", str(task.path), str(task.path.parent / "truth.csv")])
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines() == [
        "3 new, 0 repeated, 0 changed outcomes",
        "ids from column id, labels from column label",
        "2 of them have no logged prediction (yet); they are kept until it comes: 7, D",
        "ids that differ from logged ones in zeros or case alone, and are not joined: 7 (logged: 007)",
        "passed over, because the file gives two labels for one id: C (delivery in line 4 and billing in line 5)",
        "known on a day before the prediction was made, check the column time: A",
        "kept, but no class of the task: 1 Biling",
        "perhaps another spelling of a class: Biling for billing",
    ]


def test_the_log_says_which_ids_stand_on_another_text(log: PredictionLog) -> None:
    log.write([row("A", text="one"), row("B", text="two")])
    assert log.other_texts([row("A", text="one"), row("B", text="three"), row("C", text="four")]) == ["B"]
    assert set(log.times_of(["A", "C"])) == {"A"}
