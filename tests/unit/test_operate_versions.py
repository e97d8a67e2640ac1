"""Semantic versions say what changed."""

from __future__ import annotations

import pytest

from playbook.operate.versions import (
    Change,
    Identity,
    latest_version,
    next_version,
    parse_version,
    version_of,
    what_changed,
)

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


@pytest.mark.parametrize(
    ("now", "change"),
    [
        (Identity("task", "more data", "base"), "refresh"),
        (Identity("task", "more data", "other base"), "data"),
        (Identity("other task", "more data", "base"), "task"),
    ],
)
def test_a_refresh_is_a_patch_unless_task_or_base_changed(now: Identity, change: Change) -> None:
    assert what_changed(BEFORE, now, refreshed=True) == change


NEWER = Identity("task", "more data", "base")
KNOWN = {"1.0.0": BEFORE, "1.0.1": NEWER, "1.1.0": NEWER}


@pytest.mark.parametrize(
    ("now", "refreshed_from", "expected"),
    [
        (NEWER, "", ("1.1.1", "1.1.0")),
        (Identity("task", "most data", "base"), "", ("1.2.0", "1.1.0")),
        (Identity("task", "most data", "base"), "1.0.0", ("1.0.2", "1.0.0")),
        (Identity("task", "most data", "base"), "1.1.0", ("1.1.1", "1.1.0")),
        (Identity("task", "most data", "other base"), "1.0.0", ("1.2.0", "1.0.0")),
        (Identity("other task", "most data", "base"), "1.0.0", ("2.0.0", "1.0.0")),
    ],
)
def test_a_version_goes_behind_its_own_line(now: Identity, refreshed_from: str, expected: tuple[str, str]) -> None:
    assert version_of(KNOWN, now, refreshed_from) == expected


def test_the_first_version_and_one_from_nowhere() -> None:
    assert version_of({}, BEFORE) == ("1.0.0", "")
    for known in ({}, KNOWN):
        with pytest.raises(ValueError, match=r"refreshed_from: expected one of versions .*, found 3\.0\.0"):
            version_of(known, BEFORE, "3.0.0")
