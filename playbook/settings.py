"""Where state lives. The only module that reads the environment.

| variable | meaning | default |
| --- | --- | --- |
| PLAYBOOK_ROOT | the project: dvc.yaml, data/, pipelines/ | this package's checkout, else the working folder |
| PLAYBOOK_HOME | state: store, DAGSTER_HOME, MLflow's database, ledgers | `<root>/.playbook` |
| PLAYBOOK_STORE | artefacts of the plays, any fsspec URL | `<home>/store` |
| PLAYBOOK_TASKS | more folders with task files, separated by `os.pathsep` | none |
| PLAYBOOK_DVC_REMOTE | URL that dataset versions are pushed to | the project's own DVC configuration |
| MLFLOW_TRACKING_URI | MLflow | `sqlite:///<home>/mlflow/mlflow.db` |
| DAGSTER_HOME | Dagster's instance | `<home>/dagster` |
| PLAYBOOK_DATABASE | PostgreSQL for MLflow and for what is listed below, where not named by itself | none |
| PLAYBOOK_PREDICTION_LOG | the prediction log, an SQLAlchemy URL | `sqlite:///<home>/predictions/predictions.db` |
| PLAYBOOK_DECISION_LOG | decisions and approvals, a PostgreSQL URL | files under `<home>/ledgers` |
| PLAYBOOK_DAGSTER_DATABASE | Dagster's storage, a PostgreSQL URL | SQLite under DAGSTER_HOME |
| PLAYBOOK_MLFLOW_ARTIFACTS | files of MLflow's runs, a folder or URL | `<home>/mlflow/artifacts`; a server's own |
| PLAYBOOK_WEBHOOK | alerts are posted there as JSON; the URL is a secret | none |
| PLAYBOOK_URL | where people open Dagster's pages; alerts link there | none |
| PLAYBOOK_THREADS | threads that torch may use in one training process | torch's default |

A secret URL (PLAYBOOK_DATABASE, the three databases, PLAYBOOK_WEBHOOK) may lie in a file instead: the variable's name
with `_FILE` at its end, for example PLAYBOOK_DATABASE_FILE, then names it.

URLs of databases carry passwords: they are in no repr, message or fingerprint (`playbook.database.place_of`). In
PostgreSQL, decisions lie in the schema `playbook`, Dagster's storage in `dagster`, and what PLAYBOOK_DATABASE holds of
MLflow in `mlflow`; a URL that names a schema itself (`?options=-csearch_path=NAME`) and MLFLOW_TRACKING_URI are taken
as they are.
"""

from __future__ import annotations

import gc
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path

from playbook.database import in_schema, is_postgres, place_of, postgres_url
from playbook.errors import SettingsError
from playbook.folder_names import require_plain_folder

DAGSTER_DATABASE = "PLAYBOOK_DAGSTER_DATABASE"  # dagster.yaml names this variable instead of a password
MLFLOW_SCHEMA, DAGSTER_SCHEMA, PLAYBOOK_SCHEMA = "mlflow", "dagster", "playbook"


@dataclass(frozen=True)
class Settings:
    """Resolved places; make one with `settings()`."""

    root: Path
    home: Path
    store: str
    task_folders: tuple[Path, ...]
    dvc_remote: str | None
    mlflow_tracking_uri: str = field(repr=False)  # this one and those below may carry a password
    dagster_home: Path
    threads: int | None
    prediction_log: str = field(default="", repr=False)
    decision_database: str | None = field(default=None, repr=False)
    dagster_database: str | None = field(default=None, repr=False)
    webhook: str | None = field(default=None, repr=False)
    mlflow_artifacts: str | None = field(default=None, repr=False)
    url: str | None = None

    @property
    def ledgers(self) -> Path:
        """Append-only records (openings of the test split); they outlive an emptied store."""
        return self.home / "ledgers"

    def decision_log(self, task: str) -> Path:
        """The hash-chained record of all decisions about a task."""
        return self.ledgers / task / "decisions.jsonl"

    @property
    def derived_bases(self) -> Path:
        """Truncated and random bases, which can be made again from their sources."""
        return self.home / "cache" / "bases"

    @property
    def cost_ratios(self) -> Path:
        """Actual over estimated training time of all tasks so far."""
        return self.ledgers / "cost_ratios.jsonl"

    def report(self, task: str) -> Path:
        """Where people find the current evaluation report of a task."""
        return self.home / "reports" / f"{task}.html"

    @property
    def work(self) -> Path:
        """Local scratch space: unfinished training, caches that can be made again."""
        return self.home / "work"

    @property
    def mlflow_is_local(self) -> bool:
        """Whether the tracking store is a database file of this project rather than a server."""
        return self.mlflow_tracking_uri.startswith("sqlite:")

    @property
    def mlflow_place(self) -> str:
        """The tracking store without user and password: what messages and fingerprints name."""
        return place_of(self.mlflow_tracking_uri)


def _default_root() -> Path:
    checkout = Path(__file__).resolve().parent.parent
    return checkout if (checkout / "dvc.yaml").is_file() else Path.cwd()


def settings() -> Settings:
    """Read the environment now; nothing is cached, so tests and child processes see what they set.

    Raises:
        SettingsError: PLAYBOOK_THREADS is not a number of threads, a URL is not of its kind (no URL is repeated), a
            file that has one cannot be read, or a folder's name has a character that a library reads as something
            else.
    """
    env = os.environ
    root = Path(env.get("PLAYBOOK_ROOT") or _default_root()).resolve()
    home = require_plain_folder(Path(env.get("PLAYBOOK_HOME") or root / ".playbook").resolve(), "PLAYBOOK_HOME")
    database = _postgres("PLAYBOOK_DATABASE")
    predictions = _given("PLAYBOOK_PREDICTION_LOG") or database
    if is_postgres(predictions):
        predictions = postgres_url(str(predictions), "PLAYBOOK_PREDICTION_LOG")
    folders = [Path(p).resolve() for p in env.get("PLAYBOOK_TASKS", "").split(os.pathsep) if p]
    return Settings(
        root=root,
        home=home,
        store=_store(env.get("PLAYBOOK_STORE")) or str(home / "store"),
        task_folders=(root / "pipelines" / "tasks", *folders),
        dvc_remote=env.get("PLAYBOOK_DVC_REMOTE") or None,
        mlflow_tracking_uri=_tracking(database) or f"sqlite:///{home / 'mlflow' / 'mlflow.db'}",
        dagster_home=require_plain_folder(Path(env.get("DAGSTER_HOME") or home / "dagster").resolve(), "DAGSTER_HOME"),
        threads=_threads(env.get("PLAYBOOK_THREADS", "")),
        prediction_log=predictions or f"sqlite:///{home / 'predictions' / 'predictions.db'}",
        decision_database=_in(PLAYBOOK_SCHEMA, _postgres("PLAYBOOK_DECISION_LOG") or database),
        dagster_database=_in(DAGSTER_SCHEMA, _postgres(DAGSTER_DATABASE) or database),
        webhook=_http("PLAYBOOK_WEBHOOK"),
        mlflow_artifacts=_folder_or_url(env.get("PLAYBOOK_MLFLOW_ARTIFACTS") or None),
        url=_http("PLAYBOOK_URL"),
    )


def _given(variable: str) -> str | None:
    """A secret: the variable's value, or the content of the file that `<variable>_FILE` names."""
    value, file = os.environ.get(variable), os.environ.get(f"{variable}_FILE")
    if value or not file:
        return value or None
    try:
        return Path(file).read_text(encoding="utf-8").strip() or None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"{variable}_FILE: expected a text file that can be read, found {type(error).__name__} for {file}; fix "
            "the path or its permissions"
        ) from None


def _postgres(variable: str) -> str | None:
    given = _given(variable)
    return postgres_url(given, variable) if given else None


def _in(schema: str, url: str | None) -> str | None:
    return in_schema(url, schema) if url else None


def _tracking(database: str | None) -> str | None:
    given = os.environ.get("MLFLOW_TRACKING_URI")
    if given and is_postgres(given):
        return postgres_url(given, "MLFLOW_TRACKING_URI")
    return given or _in(MLFLOW_SCHEMA, database)


def _store(given: str | None) -> str | None:
    if given and "://" not in given:
        require_plain_folder(Path(given), "PLAYBOOK_STORE")
    return given or None


def _folder_or_url(given: str | None) -> str | None:
    if given is None or "://" in given:
        return given
    return str(require_plain_folder(Path(given).resolve(), "PLAYBOOK_MLFLOW_ARTIFACTS"))


def _http(variable: str) -> str | None:
    given = _given(variable)
    if given and (not given.startswith(("http://", "https://")) or "@" in given.split("/")[2]):
        raise SettingsError(
            f"{variable}: expected a URL that begins with https:// or http:// and has no user, found another; "
            "correct it or unset it"
        )
    return given


def _threads(given: str) -> int | None:
    if not given:
        return None
    if not (given.isascii() and given.isdigit()) or int(given) < 1:
        raise SettingsError(
            f"PLAYBOOK_THREADS: expected a whole number from 1, found {given!r}; correct it or unset it"
        )
    return int(given)


NEW_OBJECTS = 20_000  # between two searches for garbage
# Telemetry of the libraries is off, and hubs are asked only when a task file names one.
QUIET_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "GX_ANALYTICS_ENABLED": "false",
    "DVC_NO_ANALYTICS": "1",
    "ITERATIVE_DO_NOT_TRACK": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "TOKENIZERS_PARALLELISM": "false",
    "GIT_PYTHON_REFRESH": "quiet",
    # Threads that wait go to sleep: spinning beside another busy process makes training many times slower.
    "OMP_WAIT_POLICY": "PASSIVE",
    "GOMP_SPINCOUNT": "3000",  # but not before the next operation, some microseconds later, had time to come
}


def quiet_environment() -> None:
    """Switch telemetry off and unpickling refused, in this process and its children. Call before heavy imports.

    Garbage is looked for less often in this process: imports make hundreds of thousands of objects, all of which stay,
    and Python's default searches them again and again, for a tenth of the whole start.
    """
    for name, value in QUIET_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    often, *older = gc.get_threshold()
    if 0 < often < NEW_OBJECTS:
        gc.set_threshold(NEW_OBJECTS, *older)


def child_environment() -> dict[str, str]:
    """Environment for a child process that starts `python` by name: this interpreter, and this checkout importable."""
    quiet_environment()
    checkout = str(Path(__file__).resolve().parent.parent)
    first = {"PATH": str(Path(sys.executable).parent), "PYTHONPATH": checkout}
    return {**os.environ, **{k: os.pathsep.join(filter(None, (v, os.environ.get(k)))) for k, v in first.items()}}
