"""The changelog: what a line says, and the page of all of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from report_samples import HOSTILE, ORDINARY, score
from suite_samples import figure, full_inputs

from playbook.artifacts import Evaluation, Incumbent
from playbook.operate.changelog import VersionNote, changed_text, gain_text, render_changelog
from playbook.operate.versions import Identity

BEFORE = Identity("task", "data", "base")
WAS = {"version": "1.0.0", "dataset": "2"}
NOW = {"dataset": "3", "source": "rung_2", "refreshed_from": ""}


@pytest.mark.parametrize(
    ("before", "now", "numbers", "said"),
    [
        (None, BEFORE, NOW, "first version: rung_2 on data version 3"),
        (BEFORE, Identity("task", "new", "base"), NOW,
         "rung_2 retrained since 1.0.0: data version 3 instead of 2"),
        (BEFORE, Identity("task 2", "new", "base 2"), NOW,
         "rung_2 retrained since 1.0.0: another task definition (question, classes, guideline or metric), another "
         "base, data version 3 instead of 2"),
        (BEFORE, BEFORE, NOW, "rung_2 packaged again since 1.0.0: the same task, data version 3 and base"),
        (BEFORE, Identity("task", "new", "base"), {**NOW, "refreshed_from": "1.0.0"},
         "refreshed from 1.0.0: data version 3 instead of 2"),
    ],
)  # fmt: skip
def test_what_changed_in_words(before: Identity | None, now: Identity, numbers: dict[str, str], said: str) -> None:
    assert changed_text(before, now, WAS if before else {}, numbers) == said


def evaluated(folder: Path, **changes: object) -> Evaluation:
    found = full_inputs(folder, ORDINARY).evaluation
    assert found is not None
    return found.model_copy(update={"delta": 0.05, "interval": (0.03, 0.07), "ship": "candidate", **changes})


def test_the_gain_has_its_interval_and_the_incumbents(tmp_path: Path) -> None:
    over = "accuracy +0.0500 (+0.0300 to +0.0700) over the frozen baseline"
    assert gain_text(evaluated(tmp_path, incumbent=None)) == f"{over} (95% intervals)"
    served = Incumbent(version="1.0.0", score=score(0.8), delta=figure(0.1), forgetting=figure(-0.01))
    assert gain_text(evaluated(tmp_path, incumbent=served)) == (
        f"{over}, +0.1000 (+0.0800 to +0.1200) over 1.0.0, -0.0100 (-0.0300 to +0.0100) over it on its own test rows "
        "(95% intervals)"
    )
    shorter = gain_text(evaluated(tmp_path, incumbent=served.model_copy(update={"forgetting": None})))
    assert "over 1.0.0" in shorter and "own test rows" not in shorter
    newer = gain_text(evaluated(tmp_path, incumbent=served.model_copy(update={"on_new": figure(0.2)})))
    assert ", +0.2000 (+0.1800 to +0.2200) over it on rows that are new" in newer
    plain = gain_text(evaluated(tmp_path, ship="baseline", incumbent=served))
    assert "no gain over it, +0.1000 (+0.0800 to +0.1200) over 1.0.0" in plain


def test_a_shipped_baseline_claims_no_gain(tmp_path: Path) -> None:
    text = gain_text(evaluated(tmp_path, ship="baseline"))
    assert text.startswith("ships the frozen baseline, accuracy 0.") and "no gain" in text and "+0.05" not in text


def test_the_page_is_newest_first_and_escapes_what_is_not_ours() -> None:
    notes = [
        VersionNote("1.9.0", "first", "2026-01-01", dataset_version="1"),
        VersionNote("1.10.0", HOSTILE, "2026-02-01", ("champion",), "2", HOSTILE, "a" * 64),
    ]
    page = render_changelog(HOSTILE, notes)
    assert page.index("## 1.10.0 (champion)") < page.index("## 1.9.0\n")
    assert "<script" not in page and page.count("&lt;script") == 3
    assert "bundle SHA-256: " + "a" * 64 in page and "Promotions" not in page
    assert page == render_changelog(HOSTILE, list(reversed(notes)))
    assert "There is no version yet." in render_changelog("demo", [])
