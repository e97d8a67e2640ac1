from __future__ import annotations

import dataclasses
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from report_samples import FIVE, HOSTILE, ORDINARY, dataset_for, report_inputs, score, spec_for, staircase

from playbook.artifacts import Candidate, Decision, EarlyEnd, Evaluation, Figure, LedgerRow, ReferenceBaselines
from playbook.evaluate import wording
from playbook.evaluate.compare import refused
from playbook.evaluate.early_end import judge_claim
from playbook.evaluate.plots import (
    confusion_plot,
    curves_plot,
    delta_plot,
    epoch_ticks,
    label_text,
    most_confused,
    per_class_plot,
    staircase_plot,
)
from playbook.evaluate.report import ReportInputs, headline, render_report
from playbook.evaluate.verdict import Resolution

ALLOWED = {"figure", "svg", "g", "path", "text", "defs", "use", "clippath", "rect", "image", "pattern"}


class Tags(HTMLParser):
    """Every tag and every address of a page, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> ReportInputs:
    return report_inputs(tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def page(inputs: ReportInputs) -> str:
    return render_report(inputs)


def test_the_page_is_self_contained(page: str) -> None:
    assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'" in page
    found = Tags(page)
    assert not {"script", "link", "iframe", "object", "embed", "form", "base", "b onerror"} & set(found.tags)
    assert not [name for name, _ in found.attributes if name.startswith("on")]
    addresses = [value for name, value in found.attributes if name in ("src", "href", "xlink:href", "action")]
    assert addresses
    assert all(value.startswith("#") for value in addresses)
    assert "@import" not in page
    assert not re.findall(r"url\((?!#)", page)
    assert found.tags.count("svg") == 6


def test_the_same_inputs_give_the_same_page(inputs: ReportInputs, page: str) -> None:
    assert render_report(inputs) == page


def test_text_from_data_is_shown_and_never_markup(page: str) -> None:
    assert "<script>window" not in page
    assert "onerror=alert" not in "".join(value for _, value in Tags(page).attributes)
    shown = Tags(page).text
    assert HOSTILE in shown
    assert "<img src=x onerror=alert(1)>" in shown
    assert "40 of <b>x</b>" in shown
    assert "<i>added</i>" in shown


def test_everything_a_stranger_needs_is_there(inputs: ReportInputs, page: str) -> None:
    shown = " ".join(Tags(page).text.split())
    for part in (
        "Ship the candidate", "Which team should answer this ticket first?", "2 points",
        "most frequent class", "TF-IDF", "frozen base with a fresh head", "reverted", "rung_3 was skipped: rung_2 did",
        "mild overfitting", "opened 2 times", "exact duplicate", "c" * 64, "a3f5" * 8, "Apache-2.0",
        "training 13, splits 7", "torch 2.13.0", "2 cores", "anna@example.org",
    ):  # fmt: skip
        assert part in shown, part
    assert inputs.evaluation is not None
    assert f"+{100 * inputs.evaluation.delta:.1f} points" in shown


def test_a_refused_evaluation_says_how_many_rows(inputs: ReportInputs) -> None:
    resolution = Resolution(1960, 300, 0.1, "a reason")
    context = dataclasses.replace(
        inputs, evaluation=refused(inputs.spec, resolution), test_frame=None, predictions=None
    )
    assert headline(context).title == "No answer: the test split is too small"
    page = render_report(context)
    assert "1,960 rows would do" in page
    assert "plot-classes" not in page
    assert "plot-staircase" in page


def test_each_outcome_has_its_box(inputs: ReportInputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("playbook.evaluate.report.plots_of", lambda _: {})
    boxes = {
        "candidate": (inputs, "Ship the candidate"),
        "baseline": (report_inputs(tmp_path, baseline=0.9, candidate=0.9), "Ship the frozen baseline"),
        "nothing": (report_inputs(tmp_path, baseline=0.7, candidate=0.8), "Ship nothing yet"),
    }
    for ship, (context, title) in boxes.items():
        assert context.evaluation is not None and context.evaluation.ship == ship
        assert headline(context).title == title
        assert f"<h2>{title}</h2>" in render_report(context)
        assert not headline(context).text.startswith("Ship")


def test_tasks_that_end_early_have_a_page() -> None:
    spec = spec_for(ORDINARY)
    references = ReferenceBaselines(task="demo", validation={"tfidf": score(0.9)}, meets_target="tfidf")
    skipped = Evaluation(task="demo", status="skipped", reason="tfidf meets the target")
    claims = {
        name: judge_claim(spec, name, score(0.9), {"accuracy": score(0.89)}, openings=1)
        for name in ("tfidf", "frozen_baseline")
    }
    decided = Decision(task="demo", path="no_model", claim=claims["tfidf"])
    met = ReportInputs(spec, dataset_for(spec), references, decision=decided, evaluation=skipped)
    assert headline(met).title == "The target is already met without fine-tuning"
    page = render_report(met).replace("\u00a0", " ")
    assert "90.0 % on validation. Nothing was fine-tuned." in page and "accuracy 89.0 % (" in page
    early = EarlyEnd(task="demo", claim=claims["frozen_baseline"])
    by_frozen = ReportInputs(spec, dataset_for(spec), frozen=staircase()[0], early=early, evaluation=skipped)
    assert headline(by_frozen).title == "The target is already met by the frozen baseline"
    red = ReportInputs(spec, dataset_for(spec, passed=False))
    assert headline(red).title == "Stopped by the data gate"
    assert "add rows" in render_report(red)
    bare = ReportInputs(spec, dataset_for(spec, gate=None), candidate=Candidate(task="demo"))
    assert headline(bare).title == "Ended before the evaluation"
    assert "No gate verdict" in render_report(bare)


def test_the_baseline_alone_has_a_page(inputs: ReportInputs) -> None:
    assert inputs.evaluation is not None and inputs.predictions is not None
    alone = inputs.evaluation.model_copy(update={"candidate": None, "ship": "baseline"})
    predictions = inputs.predictions.drop(columns=["candidate", "candidate_probability"])
    page = render_report(dataclasses.replace(inputs, evaluation=alone, predictions=predictions))
    assert "nothing to compare it with" in page
    assert "plot-delta" not in page


def test_labels_are_not_mathematics_nor_markup() -> None:
    names = (HOSTILE, "$x_1$", "a\x00b\x1b", "été 注文", "x" * 200)
    svg = confusion_plot(np.eye(5, dtype=int) * 3 + 1, names).decode()
    assert "$x_1$" in svg
    assert "&lt;script&gt;" in svg
    assert set(Tags(svg).tags) <= ALLOWED
    assert "\x00" not in svg
    assert label_text("x" * 200, 10) == "x" * 9 + "…"
    assert "$broken" in confusion_plot([[1, 2], [3, 4]], ["$broken", "$\\frac{"]).decode()


def test_plots_come_as_small_pictures_too() -> None:
    frozen, rungs, candidate = staircase()
    first = LedgerRow(
        step="frozen_baseline", unfrozen=0, validation=0.84, gain=0, gain_error=0, kept=True, seconds=1, reason=""
    )
    pictures = [
        staircase_plot([first, *candidate.ledger], 0.85, kind="png"),
        staircase_plot([], None, kind="png"),
        curves_plot({"1 unfrozen": rungs[0].curve}, kind="png"),
        curves_plot({}, kind="png"),
        delta_plot(-0.01, (-0.03, 0.01), 0.02, kind="png"),
        per_class_plot(report_classes(), kind="png"),
        confusion_plot([[3, 0], [0, 3]], ["a", "b"], kind="png"),
    ]
    assert all(picture.startswith(b"\x89PNG") and len(picture) < 60_000 for picture in pictures)
    from matplotlib.image import imread

    ink = [(imread(io.BytesIO(picture))[..., :3] < 0.9).any(-1).mean() for picture in pictures]
    assert all((share > 0.01) == (at != 3) for at, share in enumerate(ink)), "only that of no curves is blank"
    assert staircase_plot([first], 0.85, kind="png") == staircase_plot([first], 0.85, kind="png")
    assert frozen.curve == ()


def report_classes() -> tuple:
    from playbook.evaluate.metrics import per_class

    random = np.random.default_rng(2)
    return per_class(random.integers(0, 5, 200), random.integers(0, 5, 200), tuple(sorted(FIVE)))


def test_the_most_confused_block_of_many_classes() -> None:
    counts = np.eye(77, dtype=int) * 40
    counts[70, 3], counts[12, 13], counts[50, 3] = 30, 20, 10
    assert most_confused(counts, 5) == [3, 12, 13, 50, 70]
    assert most_confused(counts, 4) == [3, 12, 13, 70]
    assert most_confused(np.eye(77, dtype=int), 20) == list(range(20))
    assert most_confused(np.eye(3, dtype=int), 20) == [0, 1, 2]


def test_figures_are_written_as_people_say_them() -> None:
    assert [wording.duration(seconds) for seconds in (0.04, 9.96, 48.4, 99.6, 203, 5400, 9000)] == [
        "0.0 s", "10 s", "48 s", "1.7 min", "3.4 min", "1.5 h", "2.5 h",
    ]  # fmt: skip
    assert [wording.money(amount, "EUR") for amount in (0, 1234.5, 0.12, 0.0042, 0.00003)] == [
        "0.00 EUR", "1,234.50 EUR", "0.12 EUR", "0.0042 EUR", "0.000030 EUR",
    ]  # fmt: skip
    ahead, even, behind = (Figure(value=v, low=v - 0.02, high=v + 0.02) for v in (0.03, 0.01, -0.03))
    assert [wording.told(figure) for figure in (ahead, even, behind)] == ["ahead", "no difference shown", "behind"]
    assert wording.difference(ahead) == "+3.0 points (+1.0 to +5.0)"
    assert wording.score_range(score(0.9)) == "90.0 % (88.0 % to 92.0 %)"
    assert wording.model_name("scratch") == "same architecture from random weights"
    assert wording.model_name("seed_14") == "candidate with seed 14"
    assert wording.model_name("anything") == "anything"
    assert [wording.size(count, "entry") for count in (1, 2)] == ["1 entry", "2 entries"]
    assert wording.milliseconds(4.25) == "4.2 ms"
    assert wording.milliseconds(1404) == "1,404 ms"
    assert wording.short_number(22_713_216) == "22.7 million"


@pytest.mark.parametrize(
    ("last", "ticks"),
    [(1, [1]), (3, [1, 2, 3]), (8, [1, 2, 4, 6, 8]), (12, [1, 2, 4, 6, 8, 10, 12]), (40, [1, 10, 20, 30, 40])],
)
def test_epochs_count_from_one_in_whole_numbers(last: int, ticks: list[int]) -> None:
    assert epoch_ticks(last) == ticks
    assert epoch_ticks(5000) == [1, 5000]


def test_one_point_is_not_one_points() -> None:
    assert [wording.points(value, 0) for value in (0.01, -0.01, 0.02, 0.11)] == [
        "+1 point", "−1 point", "+2 points", "+11 points"
    ]  # fmt: skip
    assert [wording.margin(value) for value in (0.01, 0.015)] == ["1 point", "1.5 points"]
