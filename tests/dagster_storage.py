"""Dagster's SQLite with less work where a process opens it again and again; what is written, and when, is the same."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import pytest


def lighten_storage(patch: pytest.MonkeyPatch) -> None:
    """Spare a process that runs tasks again and again what Dagster does for each run and each event."""
    keep_engines(patch)
    read_migrations_once(patch)


@cache
def _engine(url: str, timeout: float) -> Any:
    """SQLAlchemy's engine of one database; it keeps no connection."""
    from sqlalchemy import create_engine
    from sqlalchemy.pool import NullPool

    return create_engine(url, poolclass=NullPool, connect_args={"timeout": timeout})


def keep_engines(patch: pytest.MonkeyPatch) -> None:
    """Let Dagster write its events through one engine per file.

    It makes a new engine for each event, which compiles each statement again: a quarter of an unchanged run's work.
    """
    from dagster._core.storage.event_log.sqlite import sqlite_event_log

    def kept(url: str, poolclass: Any, connect_args: Mapping[str, Any]) -> Any:
        return _engine(url, connect_args["timeout"])

    patch.setattr(sqlite_event_log, "create_engine", kept)


_known: dict[str | None, Any] = {}


def read_migrations_once(patch: pytest.MonkeyPatch) -> None:
    """Keep the scripts of Dagster's migrations: it reads them again for every database that it opens, one per run."""
    from alembic.script import ScriptDirectory

    read = ScriptDirectory.from_config

    def kept(config: Any) -> Any:
        place = config.get_main_option("script_location")
        if place not in _known:
            _known[place] = read(config)
        return _known[place]

    patch.setattr(ScriptDirectory, "from_config", staticmethod(kept))
