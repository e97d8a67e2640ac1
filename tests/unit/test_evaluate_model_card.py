from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import yaml
from report_samples import FIVE, HOSTILE, ORDINARY, dataset_for, report_inputs, spec_for
from suite_samples import WARNING, full_inputs

from playbook.evaluate.markdown import markdown_list, markdown_table, markdown_text
from playbook.evaluate.model_card import CLOSED, model_card
from playbook.evaluate.report import ReportInputs


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> ReportInputs:
    return full_inputs(tmp_path_factory.mktemp("card"), FIVE)


@pytest.fixture(scope="module")
def card(inputs: ReportInputs) -> str:
    return model_card(inputs)


def test_the_front_matter_is_that_of_model_hubs(inputs: ReportInputs, card: str) -> None:
    front = yaml.safe_load(card.split("---\n")[1])
    assert front["pipeline_tag"] == "text-classification"
    assert front["license"] == "Apache-2.0"
    assert front["tags"] == ["playbook", "demo"]
    assert "base_model" not in front
    (result,) = front["model-index"][0]["results"]
    assert inputs.evaluation is not None and inputs.evaluation.candidate is not None
    value = inputs.evaluation.candidate.scores["accuracy"].value
    assert result["metrics"] == [{"type": "accuracy", "name": "accuracy", "value": round(value, 6)}]
    assert result["dataset"]["split"] == "test"


def test_the_card_says_the_figures_of_the_report(card: str) -> None:
    for said in (
        "**Ship the candidate, once 2 blockers are lifted.**",
        "| adaptation | fresh head, 1 of 6 blocks unfrozen |",
        "| owners | model team:ml, data team:data, sign-off anna@example.org |",
        "Texts are cut after 128 tokens.",
        "| agreement of annotators | Cohen's kappa 0.78 (0.72 to 0.83) on 300 rows |",
        "| twice the rows | data-limited, predicted gain +2.1 points (+1.2 to +3.0) |",
        "which was opened 2 times; 95 % intervals in brackets. Shown is the candidate.",
        "| same architecture from random weights | 75.0 % (73.0 % to 77.0 %) | −11.0 points (−13.0 to −9.0) | 74.0 % |",
        "| channel: post | 79.0 % (74.0 % to 83.0 %) | 92.0 % | 88 |",
        "| typos | 200 | 24 | 10 % | failed |",
        "temperature 1.62: from 9.4 to 1.8 points",
        f"- {WARNING}",
        "- On 400 rows like those of production: accuracy 88.0 % (86.0 % to 90.0 %).",
        "| same architecture from random weights | +16.0 points (+14.0 to +18.0) | ahead |",
        "- All training: 3.4 min, 0.17 EUR (estimated 2.3 min, 0.12 EUR).",
        "| candidate | 1 | 4.2 ms | 6.8 ms | 230 | 0.0043 EUR |",
        "- Stands against shipping: Validation and test differ.",
        f"| Model | {'c' * 64} |",
        "playbook log demo --verify",
        'load_bundle(Path("."))',
    ):
        assert said in card, said
    assert "No person looked" not in card


def test_text_from_outside_has_no_effect(inputs: ReportInputs, card: str) -> None:
    assert "<script>" not in card
    assert "&lt;script&gt;window.hacked=1&lt;/script&gt; $x\\_1$ &amp; co" in card
    assert markdown_text("a | b [c](d) `e` *f* #g !h ~i\nj") == "a \\| b \\[c\\](d) \\`e\\` \\*f\\* \\#g \\!h \\~i j"
    assert markdown_text("1. first") == "1\\. first"
    assert markdown_text("- item") == "\\- item"
    assert markdown_text("---") == "\\---"
    assert markdown_text("89.9 % and +2 or -3") == "89.9 % and +2 or -3"
    assert markdown_text("−6.0") == "−6.0"
    assert markdown_table(("a", "b"), [("x|y", 3)]) == "| a | b |\n| --- | --- |\n| x\\|y | 3 |"
    assert markdown_list(["<b>", "c"]) == "- &lt;b&gt;\n- c"
    hostile = dataclasses.replace(inputs, warnings=("# heading", HOSTILE))
    assert "- \\# heading" in model_card(hostile)


def test_the_same_inputs_give_the_same_card(inputs: ReportInputs, card: str) -> None:
    assert model_card(inputs) == card


def test_a_test_split_that_stayed_closed_is_said() -> None:
    spec = spec_for(ORDINARY)
    text = model_card(ReportInputs(spec, dataset_for(spec)))
    assert text.count(CLOSED) >= 2
    assert "model-index" not in text
    assert "**Ended before the evaluation.**" in text
    assert "Not measured." in text


def test_the_baseline_that_ships_is_the_model_of_the_card(tmp_path: Path) -> None:
    shipped = report_inputs(tmp_path, ORDINARY, baseline=0.9, candidate=0.9)
    assert shipped.evaluation is not None and shipped.evaluation.ship == "baseline"
    text = model_card(shipped)
    assert "| adaptation | fresh head, 0 of 6 blocks unfrozen |" in text
    assert "Shown is the frozen baseline." in text


def test_an_automatic_sign_off_is_said(inputs: ReportInputs) -> None:
    spec = type(inputs.spec).model_validate(
        inputs.spec.model_dump(exclude_defaults=True, mode="json") | {"sign_off": {"mode": "automatic"}}
    )
    assert "no person looked at the result" in model_card(dataclasses.replace(inputs, spec=spec))
