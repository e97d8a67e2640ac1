"""docs/learning_curve.md from the trials of `benchmarks.learning_curve`."""

from __future__ import annotations

from typing import Any

import numpy as np

COMMAND = "python -m benchmarks.learning_curve --packages FOLDER --rows FILE --write docs/learning_curve.md"
MADE = ("3 classes", "8 classes", "flat")
NEW = ("film reviews", "editorials")
HEAD = f"""# Does the learning curve's interval hold?

Written by `{COMMAND}`; do not edit.

Each trial takes n training rows and a validation split, measures the curve as `label_audit` does, and predicts the
gain of twice the rows with a 95 % interval. Then n further rows, which were held back, join the training rows, a new
frozen baseline is trained as the product trains it, and both baselines answer all rows that are left. The interval is
of that gain, on new rows (`playbook.data.twice_the_rows`). *Again* is how often it holds for the gain that the same
validation split shows, which has the split's own noise besides; where the distance that the curve's text names is
added to the interval, it holds as *with that noise* says.

The constants were chosen on product reviews and on made-up features of other shapes than these; tickets, tweets and
Banking77 were looked at while the method was built, with other draws than here. **Film reviews and editorials were not
looked at before.** Features that are made up (`3 classes`, `8 classes`, `flat`) are of classes around random centres.
"""


def page(trials: list[dict[str, Any]]) -> str:
    """The whole page."""
    names = list(dict.fromkeys(one["set"] for one in trials))
    mine = {name: [one for one in trials if one["set"] == name] for name in names}
    real = [one for one in trials if one["set"] not in MADE]
    simulated = [one for one in trials if one["set"] in MADE]
    new = [one for one in trials if one["set"] in NEW]
    said = (
        f"**The interval held in {_held(real)} of {len(real)} real trials ({_held(new)} of {len(new)} on the new sets) "
        f"and in {_held(simulated)} of {len(simulated)} made-up ones.**"
    )
    header = ("set", "rows", "validation", "trials", "held", "again", "with that noise", "mean width", "mean gain",
              "mean predicted", "verdicts wrong")  # fmt: skip
    lines = ["| " + " | ".join(header) + " |", "| --- |" + " ---: |" * (len(header) - 1)]
    lines += ["| " + " | ".join(_row(name, found)) + " |" for name, found in mine.items()]
    note = (
        "A verdict is wrong where it says data-limited and the gain was under 1 point, or plateau and it was over.\n"
        "Most verdicts on a few hundred validation rows are `unclear`: that is what so few rows can say."
    )
    return "\n".join([HEAD, said, "", *lines, "", note]) + "\n"


def _held(trials: list[dict[str, Any]]) -> int:
    return sum(one["low"] <= one["came"] <= one["high"] for one in trials)


def _row(name: str, trials: list[dict[str, Any]]) -> list[str]:
    again = sum(one["low"] <= one["came_on_validation"] <= one["high"] for one in trials)
    wider = sum(_wider(one) for one in trials)
    wrong = sum(one["verdict"] == ("plateau" if one["came"] > 0.01 else "data-limited") for one in trials)
    said = sum(one["verdict"] != "unclear" for one in trials)
    means = {part: 100 * float(np.mean([one[part] for one in trials])) for part in ("low", "high", "came", "value")}
    first = trials[0]
    return [
        name, f"{first['train']:,}", str(first["validation"]), str(len(trials)), f"{_held(trials)}", f"{again}",
        f"{wider}", f"{means['high'] - means['low']:.1f}", f"{means['came']:.1f}", f"{means['value']:.1f}",
        f"{wrong} of {said}",
    ]  # fmt: skip


def _wider(one: dict[str, Any]) -> bool:
    """With the noise of the validation split, which is independent of the rest, added in squares."""
    below = float(np.hypot(one["value"] - one["low"], one["again"]))
    above = float(np.hypot(one["high"] - one["value"], one["again"]))
    return bool(one["value"] - below <= one["came_on_validation"] <= one["value"] + above)
