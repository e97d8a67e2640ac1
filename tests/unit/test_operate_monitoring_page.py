from __future__ import annotations

import dataclasses
import random
import re

import pytest
from monitoring_samples import year
from report_samples import HOSTILE, ORDINARY, spec_for

from playbook.artifacts import Drift, DriftFigure, RetrainDecision, Score
from playbook.operate.monitoring_content import Event, alarm_since, could_see, excess, headline, last_windows, written
from playbook.operate.monitoring_page import MonitoringContent, monitoring_page, story_plot

QUIET, LOUD = 184, 103  # days: the alarm of October is over, or holds


def test_the_page_says_first_whether_there_is_an_alarm_since_when_and_what_to_do() -> None:
    loud = headline(year(LOUD))
    assert (loud.tone, loud.title) == ("stop", "Drift alarm since 2025-10-04")
    assert "2025-10-11" in loud.text
    assert len(loud.steps) == 2 and loud.steps[1].startswith("Retraining was not asked for on 2025-10-11: 13 days")
    quiet = headline(year(QUIET))
    assert (quiet.tone, quiet.title, quiet.steps) == ("good", "No alarm", ())
    assert re.search(r"The last alarm was on 2025-1[012]-\d\d", quiet.text)


def test_the_headline_names_the_trigger_that_fired_and_a_missing_policy() -> None:
    content = year(98)  # up to the day on which it fired
    assert "Retraining was asked for on 2025-10-06 (drift: 3 alarms" in headline(content).steps[1]
    assert headline(dataclasses.replace(content, decisions=())).steps[1] == "No retraining policy was evaluated yet."


def test_a_fallen_metric_without_drift_is_no_good_news() -> None:
    content = year(QUIET)
    last = content.days[-1].model_copy(update={"live": Score(metric="accuracy", value=0.7, low=0.62, high=0.77, n=120)})
    fallen = dataclasses.replace(content, drifts=(*content.days[:-1], last))
    assert headline(fallen).title == "The live metric is below its threshold"
    assert "below 85 % by more than daily looks show by chance" in headline(fallen).text
    one_look = last.model_copy(update={"live": Score(metric="accuracy", value=0.7, low=0.6, high=0.84, n=60)})
    once = dataclasses.replace(content, drifts=(*content.days[:-1], one_look))
    assert headline(once).title == "No alarm"
    near = last.model_copy(update={"live": Score(metric="accuracy", value=0.7, low=0.6, high=0.86, n=60)})
    assert headline(dataclasses.replace(content, drifts=(*content.days[:-1], near))).tone == "good"


def test_a_page_before_anything_was_watched_and_one_without_rows() -> None:
    spec = spec_for(ORDINARY)
    page = monitoring_page(MonitoringContent(spec, ()))
    assert "Nothing was watched yet" in page and "<svg" not in page
    nothing = Drift(task="demo", day="2025-01-03", reason="no rows", text="Not judged: 0 rows.")
    skipped = Drift(task="demo", status="skipped", reason="no model yet")
    content = MonitoringContent(spec, (nothing, skipped))
    assert headline(content).title == "The window up to 2025-01-03 was not judged"
    page = monitoring_page(content)
    assert page.count("<svg") == 1 and 'id="recall"' not in page and "no model yet" not in page


def test_a_day_that_was_not_judged_does_not_end_an_alarm() -> None:
    def on(day: int, judged: bool, alarm: bool) -> Drift:
        return Drift(task="demo", day=f"2025-01-{day:02d}", judged=judged, alarm=alarm)

    days = (on(1, True, True), on(2, True, False), on(3, True, True), on(4, False, False), on(5, True, True))
    assert alarm_since(MonitoringContent(spec_for(ORDINARY), tuple(reversed(days)))) == "2025-01-03"


def hostile() -> MonitoringContent:
    """Half a year, with texts that must be escaped wherever somebody's words stand."""
    content = year(QUIET)
    event = Event("2025-11-01", "trigger", HOSTILE)
    bad = RetrainDecision(task="demo", day="2026-01-01", held_back=HOSTILE, checked={"drift": HOSTILE})
    return dataclasses.replace(content, events=(*content.events, event), decisions=(*content.decisions, bad))


@pytest.fixture(scope="module")
def page() -> str:
    return monitoring_page(hostile())


def test_everything_on_the_page_is_escaped_and_nothing_comes_from_elsewhere(page: str) -> None:
    assert "<script" not in page and "&lt;script&gt;window.hacked=1" in page
    assert "default-src 'none'" in page and not re.search(
        r"(src|href)=\"(?!#)", page.replace('xlink:href="#', 'href="#')
    )
    assert "$x_1$" in page  # never read as mathematics


def short() -> MonitoringContent:
    """A month with every plot, of few panels: each further one is drawn as those are, and takes as long."""
    content = hostile()
    shown = [
        day.model_copy(update={"figures": day.figures[:2], "live_per_class": dict([*day.live_per_class.items()][-1:])})
        for day in content.days[:30]
    ]
    return dataclasses.replace(content, drifts=tuple(shown))


def test_the_same_content_gives_the_same_page_and_picture() -> None:
    page = monitoring_page(short())
    assert monitoring_page(short()) == page and page.count('id="plot-') == 3
    assert story_plot(year(12)).startswith(b"\x89PNG")  # that it is the same each time is shown below, on its SVG


def test_the_picture_does_not_depend_on_where_its_parts_are_in_memory() -> None:
    import kiwisolver

    content, pictures = year(12), set()
    for seed in range(4):
        blocks = [kiwisolver.Variable(str(at)) for at in range(3000)]
        random.Random(seed).shuffle(blocks)  # noqa: S311
        del blocks[:2500]  # the layout's variables take these places
        pictures.add(story_plot(content, "svg"))
    assert len(pictures) == 1


def test_the_page_shows_the_story(page: str) -> None:
    page = page.replace("\u00a0", " ")
    for text in (
        "drift in 3 of 5 windows",
        "back to 1.0.1",
        "rollback",
        "retraining round",
        "mean shift",
        "target 85 %",
    ):
        assert text in page, text
    assert "Retraining fired 1 time in 185 evaluations." in page
    assert "171 earlier evaluations" in page
    assert "Garg" not in page and "covariate shift" in page
    assert page.count('id="plot-') == 3


def test_what_could_have_been_seen_is_told_by_size() -> None:
    lines = could_see(year(QUIET))
    assert [line.share for line in lines] == ["40 %", "60 %", "none up to 60 %"]
    assert lines[0].rows.startswith("55 to ") and sum(line.windows for line in lines) == 181


def test_the_last_windows_come_newest_first() -> None:
    lines = last_windows(year(LOUD))
    assert len(lines) == 14 and lines[0].drift.day == "2025-10-11"
    assert lines[0].verdict == "alarm" and "mean shift" in lines[0].loud and lines[0].p_value == 0.001
    assert lines[-1].verdict == "no alarm" and lines[-1].loud == ""
    first = last_windows(year(2))
    assert first[0].verdict == "not judged" and first[0].p_value is None


@pytest.mark.parametrize(
    ("value", "low", "wanted"), [(6.0, None, 2.0), (4.0, None, 0.0), (3.5, 4.0, 1.5), (5.5, 4.0, 0.5), (5.0, 4.0, 0.0)]
)
def test_distances_are_shares_of_what_raises_the_alarm(value: float, low: float | None, wanted: float) -> None:
    usual = 5.0
    threshold = 6.0 if low is not None else 5.5
    found = DriftFigure(name="words", value=value, threshold=threshold, low=low, usual=usual)
    assert excess(found) == pytest.approx(wanted)
    assert excess(DriftFigure(name="words", value=value)) is None


def test_figures_are_written_as_they_are_read() -> None:
    values = {"confidence": 0.812, "classifier": 0.6, "words": 20.0, "mmd": 0.01234}
    assert [written(name, value) for name, value in values.items()] == ["81.2 %", "0.600", "20.0", "0.0123"]
    assert (written("unknown_tokens", -0.002), written("words", None)) == ("0.0 %", "–")
