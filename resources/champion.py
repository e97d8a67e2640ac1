"""The model that production follows, loaded: the version at the task's alias, exchanged as a whole when that moves."""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from playbook.errors import ArtifactError
from resources.registry import Registered, Registry

if TYPE_CHECKING:
    import pandas as pd

PROBE = "Is anybody there?"  # a new version answers this before it answers anybody else
FIGURE = "probability_"  # and the class: a column of the answers
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0  # seconds before a version that did not load is tried again
_loading = threading.Lock()  # loading changes sys.path for a moment


@dataclass(frozen=True)
class LoadedModel:
    """A registered version in memory; nothing about it changes."""

    registered: Registered
    labels: tuple[str, ...]
    model: Any  # mlflow.pyfunc.PyFuncModel
    folder: tempfile.TemporaryDirectory[str]  # its files, as long as anybody answers with it

    @property
    def version(self) -> str:
        """Semantic version."""
        return self.registered.version

    def answer(self, texts: Sequence[str]) -> pd.DataFrame:
        """Columns label, probability, `probability_<class>`, answer, ask_a_person and reason, one row per text.

        A version of an earlier release answers everything.

        Raises:
            mlflow.exceptions.MlflowException: a value that is not a text, or a blank one.
        """
        import pandas as pd

        answers: pd.DataFrame = self.model.predict(pd.DataFrame({"text": list(texts)}, dtype="object"))
        if "ask_a_person" not in answers.columns:
            answers = answers.assign(answer=answers["label"].astype("object"), ask_a_person=False, reason="")
        return answers


def load_version(registry: Registry, registered: Registered) -> LoadedModel:
    """Copy a version's files, load them, and let it answer once.

    Raises:
        ArtifactError: it cannot be loaded, or its answer is not one.
    """
    import mlflow

    folder = tempfile.TemporaryDirectory(prefix="champion-")
    try:
        found = registry.tracking.client.get_model_version(registered.name, registered.registry_version)
        place = mlflow.artifacts.download_artifacts(
            artifact_uri=str(found.source), dst_path=folder.name, tracking_uri=registry.tracking.uri
        )
        with _loading:
            path = list(sys.path)
            try:
                model = mlflow.pyfunc.load_model(place)
            finally:
                sys.path[:] = path  # the model brings its code with it; this process has its own
        names = [str(name) for name in model.metadata.get_output_schema().input_names()]
        labels = tuple(name.removeprefix(FIGURE) for name in names if name.startswith(FIGURE))
        loaded = LoadedModel(registered, labels, model, folder)
        _check(loaded)
    except Exception as error:  # MLflow, torch and the file system each have errors of their own
        folder.cleanup()
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ArtifactError(
            f"{registered.name} {registered.version}: expected a model that loads and answers, found: {reason[:500]}; "
            "register it again, or roll back"
        ) from error
    return loaded


def _check(loaded: LoadedModel) -> None:
    answers = loaded.answer([PROBE])
    row = answers.iloc[0] if len(answers) == 1 else None
    total = sum(float(row[f"{FIGURE}{label}"]) for label in loaded.labels) if row is not None else 0.0
    if row is None or row["label"] not in loaded.labels or abs(total - 1) > 1e-3:
        raise ArtifactError(f"an answer of {len(answers)} rows whose probabilities add up to {total:g}")


@dataclass(frozen=True)
class _Failed:
    """A version that did not load, and when it may be tried again; another one is tried at once."""

    number: str
    error: ArtifactError
    pause: float  # seconds
    again: float  # time.monotonic()


class Champion:
    """Follows an alias; `current` is exchanged in one step, and whoever took it before goes on with what he took.

    Args:
        registry: that is asked.
        name: of the model, the task.
        alias: that production follows.
    """

    def __init__(self, registry: Registry, name: str, alias: str) -> None:
        self.registry, self.name, self.alias = registry, name, alias
        self._current: LoadedModel | None = None
        self._refreshing = threading.Lock()
        self._failed: _Failed | None = None

    @property
    def current(self) -> LoadedModel:
        """The version that answers.

        Raises:
            ArtifactError: none was loaded yet.
        """
        if self._current is None:
            raise self._none()
        return self._current

    def refresh(self) -> bool:
        """Ask the registry, and load the version at the alias where it is another one; whether it was.

        Raises:
            ArtifactError: no version has the alias, or it cannot be loaded; what was loaded before goes on answering.
            mlflow.exceptions.MlflowException: the registry does not answer.
        """
        with self._refreshing:
            found = self.registry.at_alias(self.name, self.alias)
            if found is None:
                raise self._none()
            now = self._current.registered if self._current is not None else None
            if now is not None and now.registry_version == found.registry_version:
                return False
            failed = self._failed if self._failed and self._failed.number == found.registry_version else None
            if failed is not None and time.monotonic() < failed.again:
                raise failed.error
            try:
                self._current = load_version(self.registry, found)
            except ArtifactError as error:
                pause = min(2 * failed.pause, LONGEST_PAUSE) if failed is not None else FIRST_PAUSE
                self._failed = _Failed(found.registry_version, error, pause, time.monotonic() + pause)
                raise
            self._failed = None
            return True

    def _none(self) -> ArtifactError:
        return ArtifactError(
            f"{self.name}: expected a version with the alias {self.alias} in the registry, found none; run the task "
            "until its model is packaged (`playbook show` says what it waits for)"
        )
