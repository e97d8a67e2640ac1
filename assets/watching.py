"""What the daily assets look at: the champion with its reference, and the prediction log's rows of a window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING

from assets.base import base_folder
from assets.play import Play
from playbook.artifacts import BasePin

if TYPE_CHECKING:
    import pandas as pd

    from playbook.adapt.features import FeatureExtractor
    from playbook.operate.drift import Judge
    from playbook.operate.figures import RowFigures
    from playbook.operate.reference import Reference
    from resources.registry import Registered


FIGURES = ("features", "words", "unknown", "letters")  # of `RowFigures`, in its order
MOST_TEXTS = 20_000  # whose figures are kept


@dataclass(frozen=True)
class Champion:
    """The model that serves, and what its windows are held against; no reference in bundles of an earlier release."""

    registered: Registered
    pin: BasePin
    labels: tuple[str, ...]
    reference: Reference | None
    judge: Judge | None


def champion_of(play: Play) -> Champion | None:
    """The version at the task's alias; None where nothing serves yet. Kept between the days of one process."""
    spec = play.task.spec
    at = play.world.registry.at_alias(spec.task, spec.package.alias)
    return _loaded(play, at) if at is not None else None


def answering(play: Play, rows: pd.DataFrame) -> Champion | None:
    """The version that answered a window's newest row, so that a day that is looked at again is judged as it was.

    The champion where there is no row, or where the registry no longer has that version.
    """
    version = str(rows["version"].iloc[-1]) if len(rows) else ""
    known = play.world.registry.versions(play.task.spec.task) if version else []
    at = next((one for one in known if one.version == version), None)
    return _loaded(play, at) if at is not None else champion_of(play)


def _loaded(play: Play, at: Registered) -> Champion:
    return _champion(_Asked(play, at), at.bundle_sha256, play.task.spec.monitoring.model_dump_json())


class _Asked:
    """A play and a version that are not part of a cache's key: the bundle's hash says which version it is."""

    def __init__(self, play: Play, at: Registered) -> None:
        self.play, self.at = play, at

    def __hash__(self) -> int:
        return hash((self.play.world.places.mlflow_tracking_uri, self.play.task.spec.task))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Asked) and hash(self) == hash(other) and self.at.version == other.at.version


@lru_cache(maxsize=4)
def _champion(asked: _Asked, bundle_sha256: str, monitoring: str) -> Champion:
    import tempfile
    from pathlib import Path

    from playbook.adapt.refresh import bundle_about
    from playbook.operate.drift import Judge
    from playbook.operate.reference import REFERENCE, load_reference

    play, spec = asked.play, asked.play.task.spec
    with tempfile.TemporaryDirectory(prefix="champion-") as scratch:
        bundle = play.world.registry.fetch_bundle(asked.at, Path(scratch))
        pin, labels = bundle_about(bundle)
        there = (bundle / REFERENCE).is_file()
        reference = load_reference(bundle / REFERENCE) if there else None
    judge = Judge(reference, spec.monitoring, spec.adaptation.seed) if reference is not None else None
    return Champion(asked.at, pin, labels, reference, judge)


@lru_cache(maxsize=2)
def _extractor(asked: _Asked, pin: BasePin, adaptation: str) -> FeatureExtractor:
    from playbook.adapt.features import FeatureExtractor
    from playbook.spec import Adaptation

    return FeatureExtractor(base_folder(asked.play, pin), pin, Adaptation.model_validate_json(adaptation))


def extractor_of(play: Play, champion: Champion) -> FeatureExtractor:
    """Features of the champion's frozen base, which is verified when it is loaded."""
    return _extractor(_Asked(play, champion.registered), champion.pin, play.task.spec.adaptation.model_dump_json())


@lru_cache(maxsize=2)
def _memory(pin: BasePin) -> dict[str, RowFigures]:
    """Figures of the texts that this process has seen, for one base: windows of one day and the next overlap."""
    return {}


def figures_of(play: Play, champion: Champion, texts: Sequence[str]) -> RowFigures:
    """Figures of a window's texts; only those that no window of this process had are computed."""
    import numpy as np

    from playbook.operate.figures import RowFigures, row_figures

    known = _memory(champion.pin)
    new = [text for text in dict.fromkeys(texts) if text not in known]
    if new:
        found = row_figures(new, extractor_of(play, champion))
        known |= {text: found.take(np.array([at])) for at, text in enumerate(new)}
    rows = [known[text] for text in texts]
    for text in list(known)[: max(0, len(known) - MOST_TEXTS)]:
        del known[text]
    return RowFigures(*(np.concatenate([getattr(row, name) for row in rows]) for name in FIGURES))


@dataclass(frozen=True)
class Window:
    """A day's window: the days that it covers, and until when outcomes are looked at."""

    first: date
    last: date

    @property
    def known_by(self) -> datetime:
        """The end of its last day."""
        return datetime.combine(self.last + timedelta(1), time(), UTC) - timedelta(microseconds=1)


def window_of(play: Play, day: str) -> Window:
    """The window that ends with a day."""
    last = date.fromisoformat(day)
    return Window(last - timedelta(play.task.spec.monitoring.window_days - 1), last)


def arrived_in(window: Window, labelled: pd.DataFrame) -> pd.DataFrame:
    """Rows whose true label became known in the window, whenever they were predicted."""
    begin = datetime.combine(window.first, time(), UTC)
    return labelled[labelled["outcome_at"] >= begin]


def flat(frame: pd.DataFrame) -> pd.DataFrame:
    """A window's rows as a table of plain columns, for Parquet: no dictionaries, no time zones, and no texts.

    Texts stay in the prediction log, where retention finds them.
    """
    import pandas as pd

    out = frame.drop(columns=["columns", "text"])
    for name in ("time", "outcome_at"):
        out[name] = ["" if pd.isna(value) else value.isoformat() for value in out[name]]
    return out.reset_index(drop=True)
