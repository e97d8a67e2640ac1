"""docs/silence.md, written from what `benchmarks.silence` found."""

from __future__ import annotations

import textwrap
from typing import Any

from playbook.evaluate.wording import percent

NEAR = "intents left out"
WANTED = 0.95


def page(found: dict[str, Any]) -> str:
    """The page as Markdown."""
    chosen, *proving = found["scores"].values()
    kinds = list(next(iter(chosen.values())))
    best = max(chosen, key=lambda name: chosen[name][NEAR])
    return f"""# When the model asks a person: what is promised, and what was measured

Written by `python -m benchmarks.silence --packages FOLDER --write docs/silence.md`; do not edit.

A task file may ask for `serving.ask_a_person: {{error: 0.05}}`. The packaged model then answers only from a confidence
on that was chosen on validation, and never answers inputs unlike its training data or blank texts.

## The error among answered rows

The confidence is chosen by Learn-then-Test (Angelopoulos, Bates, Candès, Jordan and Lei, arXiv 2110.01052, 2021) with
exact binomial p-values over a fixed grid (`playbook.statistics.selective`). With a chance of at least 95 % the error
among answered rows is at most the stated one, for rows like those of validation.

Measured on Banking77 without twenty of its intents. A head on the frozen base is trained on 3,000 queries; 1,000 more
choose its strength and temperature. The remaining queries are split 200 times into 1,000 that choose the confidence and
the others, on which the realised error is counted. "Kept" is the share of splits in which it is at most the stated one;
"observed error" is the peer that takes the lowest confidence whose observed error is small enough.

{_promise(found["promise"])}

The realised error has the luck of the rows that it is counted on, too, so that the share of splits is a little harsher
than the promise. An error that the model makes on all rows anyway is promised by answering everything.

**Validation that also chose the model.** In a run validation has chosen strength, rungs and temperature before it
chooses the confidence, which the method does not allow for. The same measurement with heads that are trained again on
1,000 queries, each with its strength, temperature and confidence from one and the same 1,000 rows:

{_chosen(found["chosen"])}

Rungs and epochs are chosen on validation, too; what that adds was not measured here. The report therefore shows the
realised error on test, which had no say.

## Inputs unlike the training data

{_wrapped(_separated(kinds))}

{_scores(chosen, kinds)}

Best at the intents left out is "{best}". Serving applies the probability by itself (the
confidence threshold) and flags strangers by the nearest training rows of the answered class, on features of the frozen
base (`playbook.statistics.strangers`), the best of those that do not use the probability. On three other draws, the
mean:

{_scores(_mean(proving), kinds)}

{_wrapped(_verdict(_mean(proving), kinds))}

## What is answered

With `error: 0.05` and `strangers: 0.01`, everything chosen on validation, mean of the three draws. "Over one half" is
the share of rows that a rule "answer over 50 % probability" would have answered.

{_served(found["served"])}

The error among answered queries of known intents was {_each(found["served"], "error")}. Serving keeps
{found["served"][0]["memory_mb"]:.1f} MB of training rows here: 2 bytes times rows times width, at most 20,000 rows
(15 MB at a width of 384).
"""


def _separated(kinds: list[str]) -> str:
    return (
        f"ROC-AUC of scores that are to tell strangers from queries of known intents. {_kinds(kinds)} The score was "
        "chosen on one draw of twenty intents:"
    )


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 120, break_long_words=False)


def _promise(rows: list[dict[str, float]]) -> str:
    lines = [
        "| draw of intents | stated error | error without silence | kept | observed error: kept | mean realised error "
        "| answered | nothing promised |",
        "| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in rows:
        lines.append(
            f"| {row['draw']:.0f} | {percent(row['error'], 0)} | {percent(row['all_wrong'])} "
            f"| **{percent(row['kept'])}** | {percent(row['naive'])} | {percent(row['mean_error'], 2)} "
            f"| {percent(row['answered'])} | {percent(row['nothing'])} |"
        )
    return "\n".join(lines)


def _chosen(rows: list[dict[str, float]]) -> str:
    lines = ["| stated error | heads | kept | mean realised error |", "| ---: | ---: | ---: | ---: |"]
    for row in rows:
        lines.append(
            f"| {percent(row['error'], 0)} | {row['refits']:.0f} | {percent(row['kept'])} "
            f"| {percent(row['mean_error'], 2)} |"
        )
    return "\n".join(lines)


def _kinds(kinds: list[str]) -> str:
    return (
        f"Near strangers are the queries of the twenty {kinds[0]}; clearly foreign texts are {', '.join(kinds[1:-1])} "
        f"and {kinds[-1]}."
    )


def _mean(draws: list[dict[str, dict[str, float]]]) -> dict[str, dict[str, float]]:
    return {
        name: {kind: sum(draw[name][kind] for draw in draws) / len(draws) for kind in kinds}
        for name, kinds in draws[0].items()
    }


def _scores(scores: dict[str, dict[str, float]], kinds: list[str]) -> str:
    lines = [f"| score | {' | '.join(kinds)} |", f"| --- |{' ---: |' * len(kinds)}"]
    lines += [f"| {name} | {' | '.join(f'{row[kind]:.3f}' for kind in kinds)} |" for name, row in scores.items()]
    return "\n".join(lines)


def _verdict(scores: dict[str, dict[str, float]], kinds: list[str]) -> str:
    own = scores["nearest rows of the answered class"]
    far, near = min(own[kind] for kind in kinds[1:]), own[NEAR]
    best = max(row[NEAR] for row in scores.values())
    said = f"Clearly foreign texts: {far:.3f} or more, {'at least' if far >= WANTED else 'less than'} the 0.95 wanted."
    if near >= WANTED:
        return f"{said} Intents left out: {near:.3f}."
    return (
        f"{said} **Intents left out: {near:.3f}, less than the 0.95 wanted**, and no score measured here reaches it "
        f"(the best has {best:.3f}). These are queries of the same bank in the same words; what flags do not see of "
        "them, the confidence threshold has to stop. Do not take the flag for a detector of new intents."
    )


def _served(rows: list[dict[str, Any]]) -> str:
    kinds = [name for name, value in rows[0].items() if isinstance(value, dict)]
    lines = ["| rows | flagged as strangers | over one half | answered |", "| --- | ---: | ---: | ---: |"]
    for kind in kinds:
        means = [
            percent(sum(row[kind][part] for row in rows) / len(rows)) for part in ("flagged", "over_half", "answered")
        ]
        lines.append(f"| {kind} | {' | '.join(means)} |")
    return "\n".join(lines)


def _each(rows: list[dict[str, Any]], name: str) -> str:
    return ", ".join(percent(row[name]) for row in rows)
