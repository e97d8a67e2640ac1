"""Semantic versions say what changed."""

from __future__ import annotations

import pytest

from playbook.operate.versions import Change, Identity, latest_version, next_version, parse_version, what_changed

BEFORE = Identity("task", "data", "base")


@pytest.mark.parametrize(
    ("latest", "change", "expected"),
    [
        (None, "refresh", "1.0.0"),
        (None, "task", "1.0.0"),
        ("1.0.0", "refresh", "1.0.1"),
        ("1.4.9", "data", "1.5.0"),
        ("1.4.9", "task", "2.0.0"),
        ("9.9.9", "refresh", "9.9.10"),
    ],
)
def test_next_version(latest: str | None, change: Change, expected: str) -> None:
    assert next_version(latest, change) == expected


@pytest.mark.parametrize(
    ("now", "change"),
    [
        (BEFORE, "refresh"),
        (Identity("task", "more data", "base"), "data"),
        (Identity("task", "data", "other base"), "data"),
        (Identity("other task", "more data", "base"), "task"),
    ],
)
def test_what_changed(now: Identity, change: Change) -> None:
    assert what_changed(BEFORE, now) == change


def test_latest_is_by_number() -> None:
    assert latest_version(["1.9.0", "1.10.0", "1.2.11"]) == "1.10.0"
    assert latest_version([]) is None


@pytest.mark.parametrize("version", ["1.0", "v1.0.0", "1.0.0-rc1", "01.0.0", "1.0.0\n", ""])
def test_what_is_no_version(version: str) -> None:
    with pytest.raises(ValueError, match=r"expected a version such as 1\.0\.0"):
        parse_version(version)
