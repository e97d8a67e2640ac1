"""Definitions that define nothing: in the task file, in the guideline, and in what retraining writes."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from data_samples import rows, sample

from playbook.data.audit import audit
from playbook.data.definitions import vague, vague_classes
from playbook.data.guideline import judge_guideline
from playbook.data.prepare import prepare
from playbook.data.rules import rules
from playbook.operate.accumulated_files import write_classes

CHECKOUT = Path(__file__).resolve().parents[2]
NOTHING = [
    "TODO", "todo: ask Ann", "TBD", "Tba", "TBD - ask Ann", "...", "\u2026", "???", "xxx", "x", "-", "n/a",
    "description", "Description", "<TODO>", "* TODO", "to be defined", "to be defined by legal", "placeholder",
    "Fill in later", "lorem ipsum dolor sit", "Refund", "refund.",
    "noch offen", "Beschreibung folgt.", "\u00c0 compl\u00e9ter", "A\u0300 de\u0301finir", "Pendiente",
    "por definir", "da definire", "nog in te vullen", "do uzupe\u0142nienia", "\u672a\u5b9a", "\ubbf8\uc815", "T.B.D.",
    "WIP", "<description>", "${description}",
    "The class refund", "TODO what belongs here, and what does not",
]  # fmt: skip
SOMETHING = [
    "Money back", "Money", "The customer wants a refund", "Todos los pagos", "todo lo dem\u00e1s",
    "\u8fd4\u91d1\u306e\u4f9d\u983c",
    "To be added to the mailing list", "Fill in forms for me", "Coming soon announcements", "XXX-rated content",
    "Noch offene Bestellungen", "pendiente de pago", "\u00c0 compl\u00e9ter par le client : formulaires",
    "en cours de livraison", "Pending orders", "Descripci\u00f3n de un producto",
    "No refund is asked for", "Test messages of engineers", "Nothing of the other classes",
]  # fmt: skip


@pytest.mark.parametrize("text", NOTHING)
def test_what_defines_nothing(text: str) -> None:
    assert vague("refund", text)


@pytest.mark.parametrize("text", SOMETHING)
def test_what_defines_something(text: str) -> None:
    assert not vague("refund", text)


def test_the_shipped_tasks_define_their_classes() -> None:
    for path in (CHECKOUT / "pipelines" / "tasks" / "tickets.yaml", CHECKOUT / "tests" / "tasks" / "banking77.yaml"):
        assert vague_classes(yaml.safe_load(path.read_text("utf-8"))["data"]["classes"]) == ()


def said_of(folder: Path, rule: str, table: list[dict[str, str]] | None = None, **data: object) -> tuple[str, bool]:
    """What a rule of the gate says, and whether its condition holds."""
    task = sample(folder, table, **data)
    prepare(task, folder / "out")
    seen = audit(task, folder / "out")
    (found,) = [one for one in rules(task) if one.name == rule]
    (condition,) = found.conditions
    if condition.frame == "classes":
        holds = set(seen.classes[condition.settings["column"]]) == {"yes"}
    else:
        holds = not seen.overall[condition.settings["column"]][0]
    assert found.severity == "warning"
    return found.found(seen), holds


def test_the_gate_names_classes_without_a_definition(tmp_path: Path) -> None:
    classes = {"billing": "TBD", "delivery": "Parcels and letters"}
    assert said_of(tmp_path / "one", "definitions of classes", classes=classes) == ("no definition of billing", False)
    assert said_of(tmp_path / "two", "definitions of classes") == ("so", True)


def test_a_class_that_retraining_found_has_no_definition_yet(tmp_path: Path) -> None:
    task = sample(tmp_path, rows(60), accumulated={"rows": "more.csv", "classes": "classes.yaml"})
    write_classes(task, {"lost": 12})
    found = yaml.safe_load((tmp_path / "classes.yaml").read_text("utf-8"))
    assert list(found) == ["lost"] and vague("lost", found["lost"])


@pytest.mark.parametrize(
    "text",
    [
        "# refund\n\nTODO\n\n# access\n\nWhoever cannot log in.\n",
        "- **refund**: tbd\n- **access**: whoever cannot log in\n",
        "| class | meaning |\n|---|---|\n| refund | ... |\n| access | cannot log in |\n",
        "## refund\n\nRefund\n\n## access\n\n- cannot log in\n",
    ],
)
def test_a_guideline_that_holds_a_place_defines_nothing(text: str) -> None:
    found = judge_guideline(text, ("access", "refund"))
    assert (found.defined, found.missing) == (("access",), ("refund",))


def test_a_place_beside_a_definition_takes_nothing_from_it() -> None:
    assert judge_guideline("# refund\n\nMoney goes back.\n\nTODO: examples\n", ("refund",)).defined == ("refund",)


def test_unknown_labels_are_named_with_their_rows_and_what_is_meant(tmp_path: Path) -> None:
    table = rows(240)
    for at, row in enumerate(table[:9]):
        row["label"] = ("Biling", "Biling", "spam", "delivery ", "x1", "x2")[at % 6]
    said, holds = said_of(tmp_path, "labels of the source", table)
    assert not holds
    assert said == "'Biling' (4 rows, did you mean 'billing'?), 'spam' (2 rows), 'x1' (1 row) and 1 more"
    seen = audit(sample(tmp_path, table), tmp_path / "out")
    (quarantine,) = [rule for rule in rules(sample(tmp_path, table)) if rule.name == "quarantine"]
    assert "unknown label (8: 'Biling' (4 rows" in quarantine.found(seen)


def test_where_no_row_is_left_the_labels_that_were_found_are_named(tmp_path: Path) -> None:
    from playbook.errors import DataError

    task = sample(tmp_path, [{**row, "label": row["label"].upper()} for row in rows(30)])
    with pytest.raises(DataError, match=r"'BILLING' \(15 rows, did you mean 'billing'\?\), 'DELIVERY' \(15 rows"):
        prepare(task, tmp_path / "out")


def test_times_that_could_not_be_read_are_shown(tmp_path: Path) -> None:
    table = rows(240)
    for at, said in enumerate(["soon", "later", "soon", "31.12.2024", "never"]):
        table[at]["when"] = said
    found, holds = said_of(tmp_path, "times of the source", table)
    assert not holds and found.startswith("'soon', 'later', '31.12.2024' and 1 more, among dates with the year first")


def test_times_that_have_not_come_yet_are_shown(tmp_path: Path) -> None:
    table = rows(240)
    table[3]["when"], table[4]["when"] = "2204-03-01", "2199-12-31"
    found, holds = said_of(tmp_path, "times that have come", table)
    assert not holds and found == "2 rows in the future: 2204-03-01, 2199-12-31"
    found, holds = said_of(tmp_path / "past", "times that have come", rows(240))
    assert holds and found == "none"


def test_groups_that_are_called_as_if_there_were_none_are_shown(tmp_path: Path) -> None:
    table = [{**row, "customer": "Unknown" if at % 8 == 0 else row["customer"]} for at, row in enumerate(rows(240))]
    table[1]["customer"] = "n/a"
    found, holds = said_of(tmp_path, "groups of the source", table)
    assert not holds and found == "Unknown (30 rows)"
    found, holds = said_of(tmp_path / "named", "groups of the source", rows(240))
    assert holds and found == "none"
