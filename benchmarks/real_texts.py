"""Real texts for measurements of drift: banking queries, tweets and sentences of product reviews.

Banking77 is read from the folder of data that the tests use. Tweets and reviews were rated by people for VADER (Hutto
and Gilbert, VADER: A Parsimonious Rule-Based Model for Sentiment Analysis of Social Media Text, ICWSM 2014) and come
with the source package of vaderSentiment (MIT licence). Nothing of it is copied into the project.
"""

from __future__ import annotations

import csv
import io
import tarfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from benchmarks.rows import ROOT
from playbook.operate.figures import RowFigures, row_figures
from playbook.operate.reference import Reference

if TYPE_CHECKING:
    from playbook.adapt.features import FeatureExtractor

ARCHIVE = "vaderSentiment-3.3.2.tar.gz"
FETCH = "pip download --no-deps --no-binary :all: --dest FOLDER vaderSentiment==3.3.2"
_RATINGS = "hutto_ICWSM_2014.tar.gz"
MOODS = ("negative", "neutral", "positive")
NEUTRAL = 0.5  # a mean rating (-4 to 4) nearer to 0 than this
RARELY = 200  # one row in so many gets something strange
WITH_STRANGE = "Banking77, one text in 200 with an emoji, an address or a foreign word"
STRANGE = (" \U0001f600", " https://example.org/a1", " спасибо", " 谢谢", " \U0001f64f\U0001f3fd", " ευχαριστώ")
HEAD_ROWS, SEED = 1000, 5
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Texts:
    """One set: figures and a head's answers to all rows; `free` are the rows that the head was not trained on."""

    name: str
    figures: RowFigures
    probabilities: npt.NDArray[np.float32]
    truth: npt.NDArray[np.int32]
    labels: tuple[str, ...]
    free: Rows

    def reference(self, rows: Rows) -> Reference:
        """The rows as a reference."""
        return Reference(self.figures.take(rows), self.probabilities[rows], self.truth[rows], self.labels)


def banking(data: Path) -> tuple[list[str], list[str]]:
    """Texts and classes of Banking77, both files of its authors together."""
    texts, classes = [], []
    for name in ("train.csv", "test.csv"):
        with (data / "banking77" / name).open(encoding="utf-8", newline="") as stream:
            for row in csv.DictReader(stream):
                texts.append(row["text"])
                classes.append(row["category"])
    return texts, classes


def strange_banking(data: Path) -> tuple[list[str], list[str]]:
    """Banking77 with an emoji, an address or a foreign word after one text in 200."""
    texts, classes = banking(data)
    random = np.random.default_rng(SEED)
    added = [str(random.choice(STRANGE)) if random.random() < 1 / RARELY else "" for _ in texts]
    return [text + more for text, more in zip(texts, added, strict=True)], classes


def rated(packages: Path, kind: str) -> tuple[list[str], list[str]]:
    """Texts of a kind (`tweets`, `amazonReviewSnippets`) and what people thought of their mood."""
    with tarfile.open(packages / ARCHIVE) as package:
        inner = next(one for one in package.getmembers() if one.name.endswith(_RATINGS))
        with tarfile.open(fileobj=io.BytesIO(_content(package, inner))) as ratings:
            named = next(one for one in ratings.getmembers() if one.name.endswith(f"{kind}_GroundTruth.txt"))
            lines = _content(ratings, named).decode("utf-8", errors="replace").splitlines()
    rows = [line.split("\t", 2) for line in lines if line.count("\t") >= 2]
    moods = [MOODS[1 + int(np.sign(float(rating)) * (abs(float(rating)) > NEUTRAL))] for _, rating, _ in rows]
    return [text for _, _, text in rows], moods


def real_sets(data: Path, packages: Path, *, strange: bool = True) -> Iterator[Texts]:
    """The sets with the features of the sample task's base.

    Args:
        data: folder with banking77/.
        packages: folder with the source package of vaderSentiment.
        strange: whether Banking77 with rare signs is among them.

    Raises:
        SystemExit: a file is missing; says how to get it.
    """
    if not (data / "banking77").is_dir():
        raise SystemExit(f"{data}: expected the folder banking77 with train.csv and test.csv; name it with --data")
    if not (packages / ARCHIVE).is_file():
        raise SystemExit(f"{packages}: expected {ARCHIVE}; get it with `{FETCH}`, name its folder with --packages")
    made: dict[str, Callable[[], tuple[list[str], list[str]]]] = {
        "Banking77": lambda: banking(data),
        WITH_STRANGE: lambda: strange_banking(data),
        "tweets": lambda: rated(packages, "tweets"),
        "product reviews": lambda: rated(packages, "amazonReviewSnippets"),
    }
    for name, make in made.items():
        if strange or name != WITH_STRANGE:
            yield with_answers(name, *make())


def with_answers(name: str, texts: Sequence[str], classes: Sequence[str]) -> Texts:
    """A set with figures, and the answers of a logistic head trained on 1,000 rows that nothing else uses."""
    from sklearn.linear_model import LogisticRegression

    labels = tuple(sorted(set(classes)))
    truth = np.array([labels.index(label) for label in classes], np.int32)
    figures = _FIGURES.of(texts)
    order = np.random.default_rng(SEED).permutation(len(texts))
    firsts = np.array([order[truth[order] == place][0] for place in range(len(labels))])  # every class is taught
    taught = np.union1d(order[:HEAD_ROWS], firsts)
    head = LogisticRegression(max_iter=500).fit(figures.features[taught], truth[taught])
    answers = head.predict_proba(figures.features).astype(np.float32)
    return Texts(name, figures, answers, truth, labels, np.setdiff1d(order, taught))


class _Figures:
    """Figures of texts, each text computed once: two of the sets are alike but for one text in 200."""

    def __init__(self) -> None:
        self._place: dict[str, int] = {}
        self._parts: list[RowFigures] = []

    def of(self, texts: Sequence[str]) -> RowFigures:
        """The figures of these texts, in their order."""
        new = [text for text in dict.fromkeys(texts) if text not in self._place]
        if new:
            self._place |= {text: len(self._place) + at for at, text in enumerate(new)}
            self._parts.append(row_figures(new, base_extractor()))
        names = ("features", "words", "unknown", "letters")
        whole = RowFigures(*(np.concatenate([getattr(part, name) for part in self._parts]) for name in names))
        return whole.take(np.array([self._place[text] for text in texts]))


_FIGURES = _Figures()


def base_extractor() -> FeatureExtractor:
    """Features of the sample task's base."""
    from playbook.adapt.features import FeatureExtractor
    from playbook.bases.locate import locate_base
    from playbook.bases.pin import pin_base
    from playbook.taskfile import load_task

    task = load_task(ROOT / "pipelines" / "tasks" / "tickets.yaml")
    folder = locate_base(task.spec.base, task.resolve)
    return FeatureExtractor(folder, pin_base(task.spec.base, folder), task.spec.adaptation)


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    stream = archive.extractfile(member)
    if stream is None:
        raise SystemExit(f"{member.name}: expected a file in the archive, found something else")
    return stream.read()
