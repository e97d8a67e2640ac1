"""What all tests share: telemetry off, unpickling refused, one thread, an environment of their own, a random order.

Each run shuffles files, and tests within a file, by a seed that its first lines name; `--order=SEED` repeats it and
`--order=written` shuffles nothing. Tests of a file marked `story` keep their order, as one installation lives through
them.
"""

from __future__ import annotations

import gc
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from playbook.settings import quiet_environment

quiet_environment()
# Tests train on tiny tensors in several processes: more threads would only wait for each other. To be set before
# torch and BLAS are imported; children inherit it.
for name in ("PLAYBOOK_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(name, "1")

# Dozens of processes that tests start import the same sources: the first one compiles them for all.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# Tests make their own places; the caller's database or webhook is not theirs.
for name in ("DATABASE", "DAGSTER_DATABASE", "PREDICTION_LOG", "DECISION_LOG", "WEBHOOK"):
    os.environ.pop(f"PLAYBOOK_{name}", None)


WRITTEN = "written"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--order", metavar="SEED", help=f"seed of the tests' order, or {WRITTEN!r} (default: a new seed)")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Choose the seed before other processes start; those take this one's."""
    if hasattr(config, "workerinput"):
        config.option.order = config.workerinput["order"]
    elif config.option.order is None:
        config.option.order = str(random.SystemRandom().randrange(10**6))
    elif config.option.order != WRITTEN and not config.option.order.isdigit():
        raise pytest.UsageError(f"--order: expected a number or {WRITTEN!r}, found {config.option.order!r}")


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Hand the seed to a process of pytest-xdist: an option that this file adds does not reach it by itself."""
    node.workerinput["order"] = node.config.option.order


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Iterator[None]:
    """Keep the garbage collector from what collecting imports: it goes through millions of objects that stay anyway."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_report_header(config: pytest.Config) -> str:
    return f"order of tests: --order={config.option.order}"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Shuffle files, then tests within each file.

    Where several processes share the files, long ones still come first, so that none is alone at the end. One file
    that makes the store which others begin with comes before all; the others come last of the long ones, when the store
    is there.
    """
    if config.option.order == WRITTEN:
        return
    chance = random.Random(int(config.option.order))  # noqa: S311
    files: dict[Path, list[pytest.Item]] = {}
    for item in items:
        files.setdefault(item.path, []).append(item)
    order = sorted(files)
    chance.shuffle(order)
    for path in order:
        if not files[path][0].get_closest_marker("story"):
            chance.shuffle(files[path])
    if hasattr(config, "workerinput"):
        waiting = {path for path in order if any(begins(item) for item in files[path])}
        maker = next((path for path in order if begins(files[path][0])), None)
        order.sort(key=lambda path: (path != maker, path.parent.name == "unit", path in waiting))
    items[:] = [item for path in order for item in files[path]]


def begins(item: pytest.Item) -> bool:
    """Whether a test asks for the store that is made once."""
    return "begun_store" in getattr(item, "fixturenames", ())


@pytest.fixture(autouse=True)
def own_environment() -> Iterator[None]:
    """What a test leaves in the environment, such as the database that a run names, is not there for the next one."""
    before = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    folder = Path.cwd()
    yield
    for name in os.environ.keys() - before.keys() - {"PYTEST_CURRENT_TEST"}:
        del os.environ[name]
    os.environ.update(before)
    os.chdir(folder)


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database without runs, to be copied by whoever needs a tracking store of their own.

    Processes that share the tests share it: making one is safe for any number of them at once.
    """
    from play_runs import empty_database

    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "empty-database"
    folder.mkdir(exist_ok=True)
    return empty_database(folder)


@pytest.fixture(scope="session")
def begun_store(database: Path) -> Path:
    """The store that `make_begun_store` makes, once for all processes that share the tests."""
    from play_runs import make_begun_store

    return make_begun_store(database)
