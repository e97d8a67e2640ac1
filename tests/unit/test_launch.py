"""What a failed run says."""

from __future__ import annotations

from io import StringIO

import pytest

from pipelines.launch import WithoutStatements, _told_once


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("playbook.errors.LogTampered: line 3: edited", "LogTampered: line 3: edited"),
        ("LogTampered: line 3: edited", "LogTampered: line 3: edited"),
        ("line 3: edited", "LogTampered: line 3: edited"),
        ("", "LogTampered"),
    ],
)
def test_the_name_of_an_error_comes_once(message: str, said: str) -> None:
    assert _told_once("LogTampered", message) == said


def test_the_statement_that_failed_is_left_out_and_the_reason_is_kept() -> None:
    stream = StringIO()
    quiet = WithoutStatements(stream)
    quiet.write(
        "not written: (sqlite3.OperationalError) disk I/O error\n[SQL: INSERT INTO t VALUES (?)]\n[parameters: 1]\n"
    )
    print("another line", file=quiet)  # type: ignore[call-overload]
    assert stream.getvalue() == "not written: (sqlite3.OperationalError) disk I/O error\nanother line\n"
