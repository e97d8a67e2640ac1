"""Likely label errors among train and validation rows; the test split stays closed (3.1).

Rows are judged by out-of-fold probabilities: no model has seen the row that it judges, nor another row of its group.
`playbook.data.label_noise` makes of them the probability that each label is wrong, and how many of a queue's are. Two
models that see different things are averaged: a logistic head on the features of the frozen base, and one on the words
(TF-IDF). A row whose label both doubt is a better suspect than one that puzzles the base alone. Character sequences
beside the words, as the TF-IDF reference has them, found no more of the planted errors of the sample task (33 of 44 in
the first 200 rows, words alone 34) at four times the seconds. The folds are drawn several times and the probabilities
averaged, so that the order rests less on the luck of one draw.

The second annotator's label is shown beside each row and has no part in the order: people disagree where a text is
ambiguous, which is mostly not where a label is wrong. On the sample task neither this label as a further vote (Dawid
and Skene 1979) nor agreement as an acquittal found more of the planted errors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from playbook.data.corrections import Correction
from playbook.data.label_noise import Noise, read_noise
from playbook.names import normal_form

Floats = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]
WORDS_STRENGTH = 10.0  # inverse regularisation C of the head on words
METHOD = (
    "out-of-fold probabilities, the mean of logistic heads on frozen features and on words, read as a mixture of right "
    "and wrong labels; ordered by the probability that the label is wrong"
)

MANY_CLASSES, MANY_ROWS = 20, 5000  # from either on, one draw of the folds


def default_draws(asked: int, rows: int, classes: int) -> int:
    """How often the folds are drawn where the task file does not say: `asked` times.

    From 20 classes or 5,000 rows on it is once. Each draw fits two heads per fold, whose time grows with rows times
    classes: a quarter of a minute and more for 10,000 rows of 77 classes. With many rows the luck of one draw weighs
    less, too.
    """
    return 1 if classes >= MANY_CLASSES or rows >= MANY_ROWS else asked


@dataclass(frozen=True)
class AuditRows:
    """Rows that are looked at: `features` float32 (rows, width), `labels` class numbers (rows,)."""

    row_ids: tuple[str, ...]
    splits: tuple[str, ...]
    texts: tuple[str, ...]
    groups: tuple[str, ...]
    features: npt.NDArray[np.float32]
    labels: Numbers


@dataclass(frozen=True)
class Suspicion:
    """Every row's place in the order of suspicion, worst first, and what is known of how many labels are wrong."""

    order: Numbers
    probabilities: Floats  # (rows, classes), of the row being of the class
    noise: Noise


def find_label_errors(
    rows: AuditRows,
    classes: int,
    *,
    l2: float,
    folds: int,
    seed: int,
    draws: int = 1,
    was: Numbers | None = None,
) -> Suspicion:
    """Order rows by how likely their label is wrong; a tie by the margin of the likeliest other class.

    Args:
        rows: the rows.
        classes: how many classes the task has.
        l2: strength of the frozen baseline's head, in units of its mean loss.
        folds: of the out-of-fold probabilities, at most.
        seed: of the first draw of the folds; the next ones follow it.
        draws: how often the folds are drawn.
        was: labels before a person looked at them, -1 where nobody did, shape (rows,).
    """
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):  # small matrices: threads gain nothing, and wait for each other on a busy machine
        drawn = [out_of_fold(rows, classes, l2=l2, folds=folds, seed=seed + draw) for draw in range(draws)]
    probabilities = np.mean(drawn, axis=0)
    at = np.arange(len(rows.labels))
    margin = probabilities[at, rows.labels] - probabilities[at, likeliest_other(probabilities, rows.labels)]
    seen = np.zeros(len(at), dtype=bool) if was is None else was >= 0
    given = rows.labels if was is None else np.where(seen, was, rows.labels)
    noise = read_noise(probabilities, given, np.where(seen, rows.labels, -1))
    order = np.lexsort((at, margin, np.where(seen, 0.0, -noise.wrong)))
    return Suspicion(order.astype(np.int64), probabilities, noise)


def labels_before(rows: AuditRows, labels: Sequence[str], corrections: Sequence[Correction]) -> Numbers:
    """Labels that the source gave the rows that a person has looked at since, as `find_label_errors` takes them.

    A label that is not a class counts as the right one: it says nothing of how classes are mistaken for one another.
    """
    number = {normal_form(label): at for at, label in enumerate(labels)}
    was = {one.row_id: number.get(normal_form(one.was), number[normal_form(one.label)]) for one in corrections}
    return np.array([was.get(row, -1) for row in rows.row_ids], dtype=np.int64)


def out_of_fold(rows: AuditRows, classes: int, *, l2: float, folds: int, seed: int) -> Floats:
    """Mean out-of-fold probabilities of the two heads, shape (rows, classes).

    Folds keep groups together and classes in proportion; there are no more of them than groups, or than rows of the
    rarest class. Where all rows are of one group, nothing can be kept together, and each row is its own.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    rarest = int(np.bincount(rows.labels, minlength=classes)[np.unique(rows.labels)].min())
    groups = rows.groups if len(set(rows.groups)) > 1 else rows.row_ids
    cut = StratifiedGroupKFold(max(2, min(folds, rarest, len(set(groups)))), shuffle=True, random_state=seed)
    texts = np.array(rows.texts, dtype=object)
    found = np.zeros((len(rows.labels), classes))
    for seen, held in cut.split(rows.features, rows.labels, groups):
        labels = rows.labels[seen]
        found[held] += 0.5 * _by_features(rows.features[seen], labels, rows.features[held], classes, l2)
        found[held] += 0.5 * _by_words(texts[seen].tolist(), labels, texts[held].tolist(), classes)
    return found


def _by_features(seen: Any, labels: Numbers, held: Any, classes: int, l2: float) -> Floats:
    """A head as the frozen baseline's, without class weights: they would move the probabilities off the frequencies."""
    from sklearn.linear_model import LogisticRegression

    centre, scale = seen.mean(0), float(seen.std()) or 1.0
    head = LogisticRegression(C=1 / (l2 * len(labels)), max_iter=500)
    return _probabilities(head, (seen - centre) / scale, labels, (held - centre) / scale, classes)


def _by_words(seen: list[str], labels: Numbers, held: list[str], classes: int) -> Floats:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2, dtype=np.float32)
    try:
        table = words.fit_transform(seen)
    except ValueError:  # no word of two letters occurs twice
        words = TfidfVectorizer(analyzer="char", ngram_range=(1, 3), sublinear_tf=True, dtype=np.float32)
        table = words.fit_transform(seen)
    head = LogisticRegression(C=WORDS_STRENGTH, max_iter=500)
    return _probabilities(head, table, labels, words.transform(held), classes)


def _probabilities(head: Any, seen: Any, labels: Numbers, held: Any, classes: int) -> Floats:
    """Of a head fitted here; a class that the fitting rows lack gets none."""
    found = np.zeros((held.shape[0], classes))
    if len(set(labels.tolist())) == 1:
        found[:, labels[0]] = 1.0
        return found
    head.fit(seen, labels)
    found[:, head.classes_] = head.predict_proba(held)
    return found


def likeliest_other(probabilities: Floats, labels: Numbers) -> Numbers:
    """The most probable class of each row beside the one that it carries, shape (rows,)."""
    others = probabilities.copy()
    others[np.arange(len(labels)), labels] = -1.0
    return others.argmax(axis=1).astype(np.int64)
