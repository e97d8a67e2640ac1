from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from metric_samples import limit_of
from report_samples import FIVE, HOSTILE, ORDINARY, dataset_for, report_inputs, score, spec_for
from suite_samples import ALIKE, WARNING, agreement, controls, decision, figure, full_inputs, slices

from playbook.artifacts import EarlyEnd, Evaluation, ReferenceBaselines, TransferVerdict
from playbook.evaluate.early_end import judge_claim
from playbook.evaluate.plots import bake_off_plot
from playbook.evaluate.report import ReportInputs, headline, render_report
from playbook.evaluate.report_page import page_sections
from playbook.evaluate.report_sections import dots, model_comparison, transfer_view
from playbook.evaluate.report_sign_off import LIFTS, questions, sign_off_view
from playbook.evaluate.suite_plots import (
    comparison_plot,
    data_curve_plot,
    differences_plot,
    reliability_plot,
    slices_plot,
)

EVERYTHING = [
    "asked", "sign_off", "comparison", "gain", "transfer", "base", "classes", "confusion", "slices", "behaviour",
    "regressions", "examples", "calibration", "operating_point", "silence", "shift", "data", "labels", "speed",
    "decision",
]  # fmt: skip
PLOTS = (
    "comparison", "staircase", "curves", "delta", "transfer", "base", "classes", "confusion", "slices", "calibration",
    "operating_point", "silence", "data_curve",
)  # fmt: skip


class Sections(HTMLParser):
    """The text of every section of a page, and the tags and attributes of all."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.text: dict[str, str] = {}
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.inside = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag in ("section", "footer", "nav", "header"):
            self.inside = dict(attrs).get("id") or tag
        if tag in ("td", "th", "tr", "li", "dt", "dd", "p"):
            self.handle_data(" ")

    def handle_data(self, data: str) -> None:
        self.text[self.inside] = self.text.get(self.inside, "") + data

    def __getitem__(self, name: str) -> str:
        return " ".join(self.text[name].split())


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> ReportInputs:
    return full_inputs(tmp_path_factory.mktemp("full"), FIVE)


@pytest.fixture(scope="module")
def html(inputs: ReportInputs) -> str:
    return render_report(inputs)


@pytest.fixture(scope="module")
def page(html: str) -> Sections:
    return Sections(html)


@pytest.fixture
def text_of(monkeypatch: pytest.MonkeyPatch) -> Callable[[ReportInputs], Sections]:
    """Renders without plots, which take most of the time."""
    monkeypatch.setattr("playbook.evaluate.report.plots_of", lambda _: {})
    return lambda inputs: Sections(render_report(inputs))


def changed(inputs: ReportInputs, **parts: Any) -> ReportInputs:
    assert inputs.evaluation is not None
    return dataclasses.replace(inputs, evaluation=inputs.evaluation.model_copy(update=parts))


def with_spec(inputs: ReportInputs, **parts: Any) -> ReportInputs:
    document = inputs.spec.model_dump(exclude_defaults=True, mode="json") | parts
    return dataclasses.replace(inputs, spec=type(inputs.spec).model_validate(document))


@pytest.mark.proof
def test_the_same_inputs_give_the_same_page_with_every_plot(inputs: ReportInputs, html: str) -> None:
    assert render_report(inputs) == html


def test_sections_come_in_order_and_the_contents_name_them(inputs: ReportInputs, html: str, page: Sections) -> None:
    assert [section.name for section in page_sections(inputs)] == EVERYTHING
    places = [html.index(f'<section id="{name}">') for name in EVERYTHING]
    assert places == sorted(places)
    assert html.index('id="verdict"') < places[0]
    for section in page_sections(inputs):
        assert section.title in page["nav"]
        assert f'href="#{section.name}"' in html
    assert all(f'id="plot-{name}"' in html for name in PLOTS)


def test_nothing_from_outside_becomes_markup(html: str, page: Sections) -> None:
    assert not {"script", "img", "iframe", "form", "link", "object"} & page.tags
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert "<script>window" not in html
    assert not re.findall(r"url\((?!#)", html)
    for name in ("verdict", "sign_off", "base", "slices", "behaviour", "regressions", "labels", "decision"):
        assert HOSTILE in page[name], name


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ("header", ["Model cccccccccccc, dataset version 3, 2 cores"]),
        ("verdict", [f"Warning: {WARNING}", "What stands against shipping", "Validation and test differ."]),
        ("asked", ["2 points", "85 %", "✓ met", "✕ missed", "sign-off anna@example.org"]),
        (
            "comparison",
            [
                "most frequent class 27.0 % 28.0 % 26.0 % to 30.0 % −58.0 points (−60.0 to −56.0) ✕ missed",
                "base without training (zero-shot) 64.0 % 65.0 %",
                "same architecture from random weights 74.0 % 75.0 %",
                "runner-up base, small 85.0 % 87.0 %",
                "candidate: 1 block unfrozen 88.0 % 89.9 %",
            ],
        ),
        ("gain", ["The price: estimate beside actual", "device time of all training 2.3 min 3.4 min",
                  "money, device time only 0.12 EUR 0.17 EUR", "money, with work and labels 12.40 EUR not measured",
                  "1,000 answers 0.0042 EUR 0.0043 EUR", "1.45 times",
                  "✕ reverted", "Next: unfreeze one block more", "both losses fall"]),
        ("transfer", ["✓ helps", "16 points ahead", "36 s of training for each point", "684 steps of 64 rows",
                      "runner-up base +4.0 points (+2.0 to +6.0) ahead", "13: 88.0 %, 14: 87.6 %", "0.3 points"]),
        ("base", ["tiny ✓ chosen", "runner-up", "✕ out", "84.2 % (82.2 % to 86.2 %)", "0.610 (LogME)",
                  "4.2 ms / 6.8 ms", "cc-by-nc-4.0 is not among those allowed", "not run", "1,000 training rows"]),
        ("slices", ["Worst where channel is post", "channel: post 79.0 % 74.0 % to 83.0 % 92.0 % 75.0 % 88 under 0.001",
                    "Holm"]),
        ("behaviour", ["typos must not change the answer 200 31 24 10 % ✕ failed", "says cancel", "✓ passed",
                       "Where is my ordr?"]),
        ("regressions", ["candidate against frozen baseline 16 51 +3.9 points (+1.9 to +5.9) 5.0 % ✓ within budget",
                         "candidate against champion 1.2.0 70 60 −7.8 points (−9.8 to −5.8) 5.0 % ✕ over",
                         "billing 190 14 21 +3.7 points (+1.7 to +5.7) 1.000"]),
        ("calibration", ["too sure of itself", "9.4 points", "1.8 points", "1.62", "70 % to 80 % 83 75.0 % 66.0 %"]),
        ("operating_point", ["31.0 % on", "accuracy 86.1 % 87.6 % (84.0 % to 91.0 %) 8"]),
        ("silence", ["from 62.0 % confidence on", "400 3 75.0 % 3.0 %", "900 11 71.0 % (68.0 % to 74.0 %)",
                     "4.1 % (2.5 % to 5.7 %)", "keeps 1.2 MB"]),
        ("shift", [f"✕ differ {WARNING}", f"✓ alike {ALIKE}", "900 and 400 0.52 0.310 no labels",
                   "accuracy is 88.0 % (86.0 % to 90.0 %)"]),
        ("labels", ["0.78 (0.72 to 0.83", "floor of the task file is 0.6", "to be checked 117 of 4,500",
                    "29 of 40 (72 %)",
                    "first 80 entries 36 % (29)", "31 of 50 (62 %)", "data-limited",
                    "+2.1 points (+1.2 to +3.0)", "0.93 - 2.4 n^-0.36", "defines 4 of 5 classes"]),
        ("speed", ["frozen base with a fresh head 1 4.2 ms 6.8 ms 230 0.0042 EUR", "32 61.0 ms 140 ms 512"]),
        ("decision", ["Taken: fine-tuning.", "Who maintains it?", "fine-tuning 5 15.0 min 12.40 EUR 3 to 8",
                      "prompting or retrieval ruled out", "✕ rules out prompting or retrieval"]),
        ("origin", ["c" * 64, "version 3", "2 cores", "torch 2.13.0", "Apache-2.0"]),
    ],
)  # fmt: skip
def test_every_section_says_its_figures(page: Sections, section: str, said: list[str]) -> None:
    for text in said:
        assert text in page[section], f"{text!r} not in {page[section]}"


def test_blockers_change_the_headline_and_each_says_what_lifts_it(
    inputs: ReportInputs, page: Sections, text_of: Callable[[ReportInputs], Sections]
) -> None:
    assert headline(inputs).title == "Ship the candidate, once 2 blockers are lifted"
    assert headline(inputs).tone == "simple"
    assert inputs.evaluation is not None
    one = changed(inputs, blockers=inputs.evaluation.blockers[:1])
    assert headline(one).title == "Ship the candidate, once 1 blocker is lifted"
    assert headline(changed(inputs, blockers=())).title == "Ship the candidate"
    assert "playbook waive demo shifted_test --as anna@example.org --reason TEXT --until YYYY-MM-DD" in page["sign_off"]
    assert LIFTS["shifted_test"] in page["sign_off"]
    assert "What stands against" not in text_of(changed(inputs, blockers=()))["sign_off"]


def test_the_three_questions_come_with_their_evidence(inputs: ReportInputs, page: Sections) -> None:
    assert inputs.evaluation is not None
    gain, failures, production = questions(inputs.evaluation, inputs.decision)
    for asked in (gain, failures, production):
        assert asked.text in page["sign_off"]
        assert all(line in page["sign_off"] for line in asked.evidence)
    assert f"+{100 * inputs.evaluation.delta:.1f} points of accuracy" in gain.evidence[0]
    assert "36 s of training" in gain.evidence[1]
    assert gain.evidence[2:] == (
        "All training took 3.4 min and 0.17 EUR, device time only.",
        "Estimated before for fine-tuning, with work and labels: 12.40 EUR.",
    )
    assert questions(inputs.evaluation)[0].evidence == gain.evidence[:3]
    assert inputs.evaluation.cost is not None
    unpriced = inputs.evaluation.model_copy(
        update={"cost": inputs.evaluation.cost.model_copy(update={"actual_money": None})}
    )
    assert questions(unpriced)[0].evidence[-1] == "All training took 3.4 min; device time is not priced."
    assert "Weakest class: billing" in failures.evidence[0]
    assert "Behavioural tests: 1 of 2 failed." in failures.evidence
    assert WARNING in production.evidence
    bare = changed(inputs, shifts=(), production=None).evaluation
    assert bare is not None
    assert "No rows from production were given" in questions(bare)[2].evidence[0]
    assert page["sign_off"].count("Answer") == 3


def test_each_sign_off_mode_says_how_to_answer(
    inputs: ReportInputs, text_of: Callable[[ReportInputs], Sections]
) -> None:
    recorded = sign_off_view(inputs)
    assert recorded.commands[0][1] == "playbook approve demo --as anna@example.org"
    signed = sign_off_view(with_spec(inputs, sign_off={"mode": "signed", "allowed_signers": "signers"}))
    assert signed.commands[0][1].endswith(" --key PATH_OF_YOUR_SSH_KEY")
    automatic = with_spec(inputs, sign_off={"mode": "automatic"})
    page = text_of(automatic)
    for section in ("verdict", "sign_off"):
        assert "No person looked at this" in page[section]
    assert "playbook approve" not in page["sign_off"]
    assert page["sign_off"].count("Not answered: no person was asked") == 3
    assert "No person looked" not in text_of(inputs)["verdict"]
    nothing = changed(automatic, ship="nothing", blockers=())
    assert "nothing ships from this result" in text_of(nothing)["sign_off"]
    assert "No person looked" not in text_of(nothing)["verdict"]


def test_a_sign_off_owner_who_is_the_model_owner_is_named_openly(
    inputs: ReportInputs, page: Sections, text_of: Callable[[ReportInputs], Sections]
) -> None:
    owners = {"model": "anna@example.org", "data": "team:data", "sign_off": "anna@example.org"}
    same = with_spec(inputs, owners=owners)
    assert "The sign-off owner is also the model owner." in text_of(same)["asked"]
    signed = with_spec(same, sign_off={"mode": "signed", "allowed_signers": "signers"})
    assert "may not sign for the sign-off owner" in sign_off_view(signed).says
    assert "also the model owner" not in page["asked"]


def test_a_target_that_is_met_early_says_what_was_saved(text_of: Callable[[ReportInputs], Sections]) -> None:
    spec = spec_for(ORDINARY)
    references = ReferenceBaselines(
        task="demo",
        validation={"majority": score(0.2), "tfidf": score(0.9)},
        meets_target="tfidf",
        left_out={"zero_shot": f"no base {HOSTILE}"},
    )
    skipped = Evaluation(task="demo", status="skipped", reason="target already met by tfidf")
    claim = judge_claim(spec, "tfidf", score(0.9), {"accuracy": score(0.89)}, openings=1)
    decided = decision(path="no_model", recommended="no_model").model_copy(update={"claim": claim})
    met = ReportInputs(spec, dataset_for(spec), references, decision=decided, evaluation=skipped)
    box = headline(met)
    assert box.title == "The target is already met without fine-tuning"
    assert "TF-IDF with logistic regression meets the target: accuracy 89.0 %" in box.text
    assert "on the test split (95 % interval" in box.text and "90.0 % on validation" in box.text
    assert "saves 3 to 8 iterations" in box.text
    assert "0.25 device-hours" in box.text
    page = text_of(met)
    assert [section.name for section in page_sections(met)] == ["asked", "comparison", "data", "decision"]
    assert "these figures are of validation" in page["comparison"]
    assert f"Left out: base without training (zero-shot): no base {HOSTILE}" in page["comparison"]
    own = judge_claim(spec, "frozen_baseline", score(0.9), {"accuracy": score(0.89)}, openings=1)
    by_frozen = dataclasses.replace(
        met, references=None, decision=decision(), early=EarlyEnd(task="demo", claim=own, reason=own.text)
    )
    assert headline(by_frozen).title == "The target is already met by the frozen baseline"
    assert "saves 3 to 8 iterations" in headline(by_frozen).text
    assert "Nothing was fine-tuned." in headline(dataclasses.replace(by_frozen, decision=None)).text


def test_another_path_has_a_page(text_of: Callable[[ReportInputs], Sections]) -> None:
    spec = spec_for(ORDINARY)
    other = decision(path="prompt_or_retrieve", why="Facts change weekly.", overridden="by team:ml: cheaper")
    context = ReportInputs(spec, dataset_for(spec), decision=other)
    assert headline(context).title == "Decided: prompting or retrieval"
    page = text_of(context)
    assert "Facts change weekly. Nothing was fine-tuned." in page["verdict"]
    assert "! overridden by team:ml: cheaper" in page["decision"]
    fine = dataclasses.replace(context, decision=decision())
    assert headline(fine).title == "Ended before the evaluation"
    red = dataclasses.replace(context, dataset=dataset_for(spec, passed=False))
    assert headline(red).title == "Stopped by the data gate"


def test_parts_that_were_not_measured_are_left_out(tmp_path: Path, text_of: Callable[[ReportInputs], Sections]) -> None:
    bare = report_inputs(tmp_path, ORDINARY)
    names = [section.name for section in page_sections(bare)]
    assert not {"transfer", "base", "slices", "behaviour", "regressions", "calibration", "speed", "decision"} & {*names}
    page = text_of(bare)
    assert "No rows like those of production were given" in page["shift"]
    assert {row.key for row in model_comparison(bare) if row.test} == {"frozen", "candidate"}
    labelled = dataclasses.replace(bare, dataset=dataset_for(bare.spec, agreement=agreement()))
    assert "labels" in [section.name for section in page_sections(labelled)]


def test_the_comparison_prefers_the_test_split(inputs: ReportInputs) -> None:
    split, rows = dots(model_comparison(inputs))
    assert split == "test split"
    assert [row.role for row in rows] == ["reference"] * 3 + ["frozen"] + ["control"] * 2 + ["candidate"]
    closed = dataclasses.replace(inputs, evaluation=None)
    split, rows = dots(model_comparison(closed))
    assert split == "validation"
    assert rows[-1].score.value == 0.88
    first, *_, last = model_comparison(inputs)
    asked = limit_of("accuracy", bound=0.85)
    assert last.meets(asked) is True
    assert first.meets(asked) is False


def test_transfer_is_told_from_validation_where_the_test_split_says_nothing(
    inputs: ReportInputs, text_of: Callable[[ReportInputs], Sections]
) -> None:
    on_test = transfer_view(inputs)
    assert on_test is not None and on_test.split == "test split" and len(on_test.rows) == 3
    silent = transfer_view(changed(inputs, transfer=TransferVerdict()))
    assert silent is not None and silent.split == "validation"
    assert silent.text == "ahead of random weights by 14 points"
    hurts = TransferVerdict(transfer="hurts", over_scratch=figure(-0.05), text="NEGATIVE TRANSFER")
    page = text_of(changed(inputs, transfer=hurts))
    assert "✕ hurts NEGATIVE TRANSFER" in page["transfer"]
    assert "−5.0 points (−7.0 to −3.0) behind" in page["transfer"]
    assert transfer_view(dataclasses.replace(changed(inputs, transfer=TransferVerdict()), controls=None)) is None


def test_the_report_says_which_budgets_are_met_and_which_are_missed(
    inputs: ReportInputs, text_of: Callable[[ReportInputs], Sections]
) -> None:
    for limit, said in ((7.0, "✓ within budget"), (5.0, "✕ over budget")):
        budgeted = with_spec(inputs, bake_off={"budget": {"latency_p95_ms": limit}})
        page = text_of(budgeted)
        assert said in page["speed"]
        assert f"one text in {limit:g} ms (p95)" in page["base"]


def test_the_baseline_that_ships_is_the_model_shown(
    inputs: ReportInputs, text_of: Callable[[ReportInputs], Sections]
) -> None:
    shipped = changed(inputs, ship="baseline", blockers=())
    page = text_of(shipped)
    assert "frozen baseline, test split" in page["classes"]
    assert "recall of the candidate" in page["classes"]
    assert inputs.evaluation is not None
    broken = questions(shipped.evaluation or inputs.evaluation)[1].evidence
    assert [line for line in broken if "broken" in line] == [
        "Against the champion: 70 answers broken, 60 fixed, net −7.8 points (−9.8 to −5.8)."
    ]
    assert "the model that ships, the frozen baseline, against champion 1.2.0" in page["regressions"]
    assert "candidate against frozen baseline" in page["regressions"]
    digest = "b" * 64
    assert f"Model {digest[:12]}," in text_of(changed(shipped, baseline_digest=digest))["header"]
    assert "Model cccccccccccc," in text_of(changed(inputs, baseline_digest=digest))["header"]


def test_bins_are_paired_by_their_place_though_empty_ones_are_left_out(
    inputs: ReportInputs, text_of: Callable[[ReportInputs], Sections]
) -> None:
    assert inputs.evaluation is not None and inputs.evaluation.calibration is not None
    found = inputs.evaluation.calibration
    parts = {"before": found.before[8:], "after": found.after[7:9]}
    page = text_of(changed(inputs, calibration=found.model_copy(update=parts)))["calibration"]
    assert "70 % to 80 % – – – 83 75.0 % 73.0 %" in page
    assert "80 % to 90 % 92 85.0 % 76.0 % 92 85.0 % 83.0 %" in page
    assert "90 % to 100 % 101 95.0 % 86.0 % – – –" in page


def test_no_line_ends_between_a_figure_and_its_sign(html: str) -> None:
    assert "85\u00a0%" in html and not re.findall(r"\d %", html)


def test_the_next_thing_is_said_once(inputs: ReportInputs, text_of: Callable[[ReportInputs], Sections]) -> None:
    assert inputs.candidate is not None
    said = {"diagnosis": "rung_2: Both losses fall. Train for longer.", "next_thing": "Train for longer."}
    page = text_of(dataclasses.replace(inputs, candidate=inputs.candidate.model_copy(update=said)))["gain"]
    assert "rung_2: Both losses fall. Next: Train for longer." in page


def test_the_page_says_which_rows_stand_for_production(
    inputs: ReportInputs, text_of: Callable[[ReportInputs], Sections]
) -> None:
    data = inputs.spec.model_dump(exclude_defaults=True, mode="json")["data"]
    data["columns"]["time"] = "made"
    for given, said in (
        ({"latest": 0.25}, "Production stands for the newest 25 % of the test split by time; “test” beside it is"),
        ({"path": "live.csv"}, "Production stands for the rows of live.csv."),
    ):
        assert said in text_of(with_spec(inputs, data=data | {"production": given}))["shift"]


def test_an_invariance_test_shows_the_answer_before(
    html: str, inputs: ReportInputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("playbook.evaluate.report.plots_of", lambda _: {})
    assert "<th>changed to</th><th>answer before</th>" in html and "<th>changed to</th><th>expected</th>" not in html
    assert inputs.evaluation is not None
    tests = tuple(one.model_copy(update={"kind": "direction"}) for one in inputs.evaluation.behaviour)
    other = render_report(changed(inputs, behaviour=tests))
    assert "<th>changed to</th><th>expected</th>" in other and "<th>answer before</th>" not in other


def test_plots_are_labelled_and_escape_names() -> None:
    from suite_samples import base_selection, calibration, label_audit

    base, curve = base_selection(), label_audit().curve
    assert curve is not None
    samples = {
        "accuracy, test split": comparison_plot(dots_of_samples(), 0.85, "accuracy, test split"),
        "points ahead": differences_plot([(HOSTILE, figure(0.02, 0.05)), ("b", figure(-0.1))], "points ahead"),
        "share of right answers": reliability_plot(calibration()),
        "target 85 %": slices_plot(slices().figures, 0.85, "accuracy"),
        "training rows": data_curve_plot(curve),
        "milliseconds": bake_off_plot(base.candidates, base.chosen, 8.0, "accuracy"),
    }
    for label, svg in samples.items():
        assert label in svg.decode(), label
        assert b"<script" not in svg
    assert b"budget 8 ms" in samples["milliseconds"]
    again = differences_plot([(HOSTILE, figure(0.02, 0.05)), ("b", figure(-0.1))], "points ahead")
    assert again == samples["points ahead"]
    assert reliability_plot(calibration(), kind="png").startswith(b"\x89PNG")
    assert slices_plot((), 0.85, "accuracy", kind="png").startswith(b"\x89PNG")


def dots_of_samples() -> list[Any]:
    spec = spec_for(ORDINARY)
    references = ReferenceBaselines(task="demo", validation={"majority": score(0.2), HOSTILE: score(0.9)})
    return dots(model_comparison(ReportInputs(spec, dataset_for(spec), references, controls=controls())))[1]
