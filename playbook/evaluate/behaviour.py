"""Behavioural tests run on baseline and candidate: cases, answers, failures (5.4).

Source: Ribeiro et al., Beyond Accuracy: Behavioral Testing of NLP Models with CheckList (ACL 2020). Rows come from
validation, never from test. The same file, rows and seed give the same cases.
"""

from __future__ import annotations

import itertools
import random
import re
import string
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from playbook.artifacts import BehaviourExample, BehaviourTest
from playbook.data.tables import LABEL, TEXT
from playbook.evaluate import wording
from playbook.evaluate.behaviour_file import (
    SLOT,
    AddText,
    BehaviourFile,
    Change,
    Direction,
    Invariance,
    LetterCase,
    MinimumFunctionality,
    Punctuation,
    SwapWords,
    Typos,
)
from playbook.evaluate.paired import TOLERANCE

if TYPE_CHECKING:
    import pandas as pd

Test = Invariance | Direction | MinimumFunctionality
Model = Literal["baseline", "candidate"]
Answer = Callable[[list[str]], npt.NDArray[np.floating]]
Decide = Callable[[npt.NDArray[np.floating]], npt.NDArray[np.integer]]

MOST_PER_TEMPLATE = 50  # fillings of one text's slots; more are drawn from
SETTLED = 0.05  # a probability this close to 0 or 1 has nowhere left to move
EXAMPLES = 3
SHORT_WORD = 4  # letters; shorter words get no typos, and first letters stay


@dataclass(frozen=True)
class Case:
    """One case of a test: a text, the same text changed (or empty), and the class that it must get (or empty)."""

    text: str
    changed: str = ""
    expected: str = ""


@dataclass(frozen=True)
class _Failure:
    case: Case
    expected: str
    told: str


def cases(test: Test, frame: pd.DataFrame, seed: int) -> tuple[Case, ...]:
    """All cases of one test; texts that its change leaves as they are make none.

    Args:
        test: of a behaviour file.
        frame: validation rows, columns of `playbook.data.tables`.
        seed: of the rows drawn and of the changes; a test's cases do not depend on the other tests.
    """
    rng = random.Random(f"{seed}:{test.name}")  # noqa: S311
    if isinstance(test, MinimumFunctionality):
        found = [
            Case(text, expected=label)
            for label, templates in test.expect.items()
            for text in _filled(templates, test.slots, rng)
        ]
        return tuple(dict.fromkeys(found))
    texts = [*_filled(test.texts, test.slots, rng), *_drawn(test, frame, rng)]
    if isinstance(test, Direction):
        pairs = [(text, _joined(text, test.add, test.place == "before")) for text in texts]
    else:
        pairs = [(text, _changed(text, test.change, rng)) for text in texts]
    return tuple(dict.fromkeys(Case(text, changed) for text, changed in pairs if text != changed))


def run_behaviour(
    file: BehaviourFile,
    frame: pd.DataFrame,
    answer: Mapping[str, Answer],
    labels: Sequence[str],
    shown: Model,
    seed: int = 0,
    decide: Mapping[str, Decide] | None = None,
) -> tuple[BehaviourTest, ...]:
    """Run every test on every model; each model is asked once, for all texts together.

    A test without a single case has not passed: nothing was tested.

    Args:
        file: the tests.
        frame: validation rows, columns of `playbook.data.tables`.
        answer: `baseline`, and `candidate` where there is one: texts -> probabilities of shape (texts, classes).
        labels: class names, in the order of the probabilities.
        shown: the model that passes or fails, and whose failures are shown.
        seed: of the cases.
        decide: what makes classes of a model's probabilities, by its name; the likeliest class where it has none.

    Raises:
        ValueError: no such model, or probabilities that do not fit the texts.
    """
    if "baseline" not in answer or shown not in answer:
        raise ValueError(f"expected answers of baseline and of {shown}, found {sorted(answer)}")
    planned = [(test, cases(test, frame, seed)) for test in file.tests]
    texts = list(dict.fromkeys(text for _, some in planned for case in some for text in (case.text, case.changed)))
    texts = [text for text in texts if text]
    rules = decide or {}
    told = {
        name: _asked(model, texts, len(labels), rules.get(name, likeliest)) for name, model in answer.items() if texts
    }
    results = []
    for test, some in planned:
        failed = {
            name: [found for case in some if (found := _failure(test, case, said, labels)) is not None]
            for name, said in told.items()
        }
        results.append(_result(test, some, failed, shown))
    return tuple(results)


def _result(test: Test, some: Sequence[Case], failed: Mapping[str, list[_Failure]], shown: Model) -> BehaviourTest:
    own = failed.get(shown, [])
    return BehaviourTest(
        name=test.name,
        kind=test.kind,
        cases=len(some),
        failed_baseline=len(failed.get("baseline", [])),
        failed_candidate=len(failed["candidate"]) if "candidate" in failed else None,
        allowed=test.allowed,
        blocks=test.on_failure == "block",
        passed=bool(some) and len(own) <= test.allowed * len(some) + TOLERANCE,
        shown=shown,
        examples=tuple(
            BehaviourExample(text=one.case.text, changed=one.case.changed, expected=one.expected, told=one.told)
            for one in own[:EXAMPLES]
        ),
    )


def likeliest(probabilities: npt.NDArray[np.floating]) -> npt.NDArray[np.integer]:
    """The likeliest class of every row, (rows, classes) -> (rows,)."""
    return probabilities.argmax(axis=1)


class _Said(NamedTuple):
    """Probabilities, (classes,), and the class that is answered."""

    probabilities: npt.NDArray[np.floating]
    answer: int


def _asked(model: Answer, texts: list[str], classes: int, decide: Decide) -> dict[str, _Said]:
    found = np.asarray(model(texts))
    if found.shape != (len(texts), classes):
        raise ValueError(f"expected probabilities of shape {(len(texts), classes)}, found {found.shape}")
    return {text: _Said(row, int(at)) for text, row, at in zip(texts, found, decide(found), strict=True)}


def _failure(test: Test, case: Case, said: Mapping[str, _Said], labels: Sequence[str]) -> _Failure | None:
    """Why a case fails, or None."""
    before = said[case.text]
    first = labels[before.answer]
    if isinstance(test, MinimumFunctionality):
        return None if first == case.expected else _Failure(case, case.expected, first)
    after = said[case.changed]
    last = labels[after.answer]
    if isinstance(test, Invariance):
        return None if first == last else _Failure(case, first, last)
    if test.moves == "to":
        return None if last == test.of_class else _Failure(case, test.of_class, last)
    at = list(labels).index(test.of_class)
    start, end = float(before.probabilities[at]), float(after.probabilities[at])
    up = test.moves == "up"
    moved, settled = (end - start, end >= 1 - SETTLED) if up else (start - end, end <= SETTLED)
    if settled or moved >= test.by - TOLERANCE:
        return None
    more = "more" if up else "less"
    told = f"{test.of_class} {wording.percent(start)}, then {wording.percent(end)}"
    return _Failure(case, f"{test.of_class} {more} likely by {wording.margin(test.by)}", told)


def _drawn(test: Invariance | Direction, frame: pd.DataFrame, rng: random.Random) -> list[str]:
    """Texts of validation rows, at most so many, in the order of the frame."""
    if test.validation is None:
        return []
    of = test.validation.of
    fit = [text for text, label in zip(frame[TEXT], frame[LABEL], strict=True) if not of or label in of]
    if len(fit) <= test.validation.rows:
        return fit
    return [fit[at] for at in sorted(rng.sample(range(len(fit)), test.validation.rows))]


def _filled(templates: Sequence[str], slots: Mapping[str, Sequence[str]], rng: random.Random) -> Iterator[str]:
    """Every template with every combination of its slots' values, or a draw where these are many."""
    for template in templates:
        names = list(dict.fromkeys(SLOT.findall(template)))
        combinations = list(itertools.product(*(slots[name] for name in names)))
        if len(combinations) > MOST_PER_TEMPLATE:
            combinations = rng.sample(combinations, MOST_PER_TEMPLATE)
        for values in combinations:
            yield _fill(template, dict(zip(names, values, strict=True)))


def _fill(template: str, values: Mapping[str, str]) -> str:
    return SLOT.sub(lambda match: values[match.group(1)], template)


def _joined(text: str, added: str, before: bool) -> str:
    return f"{added} {text}" if before else f"{text} {added}"


def _changed(text: str, change: Change, rng: random.Random) -> str:
    """A text after one change of the closed list; the same text where the change has nothing to work on."""
    if isinstance(change, AddText):
        return _joined(text, rng.choice(change.texts), change.kind == "add_before")
    if isinstance(change, LetterCase):
        return text.lower() if change.to == "lower" else text.upper()
    if isinstance(change, Punctuation):
        if change.to == "none":
            return " ".join(text.translate(str.maketrans("", "", string.punctuation)).split())
        return f"{text.rstrip(' .!?')}!!!"
    if isinstance(change, SwapWords):
        return _swapped(text, change.words, rng)
    return _with_typos(text, change, rng)


def _swapped(text: str, words: Sequence[str], rng: random.Random) -> str:
    """Every listed word replaced by the one some places further in the list: the same word gets the same other one."""
    step = rng.randrange(1, len(words))
    place = {word.lower(): at for at, word in enumerate(words)}
    listed = "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))

    def other(match: re.Match[str]) -> str:
        word = words[(place[match.group(0).lower()] + step) % len(words)]
        return word[:1].upper() + word[1:] if match.group(0)[:1].isupper() else word

    return re.sub(rf"(?<!\w)(?:{listed})(?!\w)", other, text, flags=re.IGNORECASE)


def _with_typos(text: str, change: Typos, rng: random.Random) -> str:
    words = [found for found in re.finditer(r"[^\W\d_]+", text) if len(found.group()) >= SHORT_WORD]
    letters = list(text)
    for word in rng.sample(words, min(change.count, len(words))):
        places = [at for at in range(word.start() + 1, word.end() - 1) if letters[at] != letters[at + 1]]
        if places:
            at = rng.choice(places)
            letters[at], letters[at + 1] = letters[at + 1], letters[at]
    return "".join(letters)
