"""What a failed run says."""

from __future__ import annotations

import pytest

from pipelines.launch import _told_once


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
