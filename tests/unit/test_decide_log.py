"""The decision log: what it keeps, what it notices, and what a killed writer leaves behind."""

from __future__ import annotations

import json
import random
import threading
from pathlib import Path

import pytest

from playbook.artifacts import canonical_hash
from playbook.decide.log import GENESIS, DecisionLog, Entry
from playbook.decide.log_files import LogFiles
from playbook.errors import ArtifactError, LogTampered


@pytest.fixture
def log(tmp_path: Path) -> DecisionLog:
    made = DecisionLog(tmp_path / "tickets" / "decisions.jsonl")
    made.append("scope", "Tickets are sorted", by="anna@example.org", inputs={"spec": "a1" * 32})
    made.append("base", "MiniLM is the base", by="playbook", inputs={"score": 0.8125}, body={"why": "größer\nals"})
    made.append("rung", "Rung 1 is kept", key="rung_1", by="playbook", body={"gain": 0.02})
    made.append("ship", "Ship the candidate", by="playbook")
    return made


def lines_of(log: DecisionLog) -> list[bytes]:
    return log.storage.path.read_bytes().splitlines(keepends=True)


def rewrite(log: DecisionLog, lines: list[bytes]) -> None:
    log.storage.path.write_bytes(b"".join(lines))


def forged(line: bytes, **changes: object) -> bytes:
    """An edited line whose own hash is right again."""
    content = json.loads(line) | changes
    del content["sha256"]
    content["sha256"] = canonical_hash(content)
    return Entry.model_validate(content).line


def refused(log: DecisionLog, match: str) -> None:
    """Neither reading nor adding goes on, and nothing is written."""
    before = log.storage.path.read_bytes() if log.storage.path.exists() else b""
    for use in (log.entries, lambda: log.append("ship", "Ship it", by="playbook")):
        with pytest.raises(LogTampered, match=match):
            use()
    assert (log.storage.path.read_bytes() if log.storage.path.exists() else b"") == before


def test_entries_come_back_as_they_were_written(log: DecisionLog) -> None:
    entries = log.entries()
    assert [entry.index for entry in entries] == [1, 2, 3, 4]
    assert [entry.kind for entry in entries] == ["scope", "base", "rung", "ship"]
    assert entries[0].previous == GENESIS and entries[0].by == "anna@example.org"
    assert [entry.previous for entry in entries[1:]] == [entry.sha256 for entry in entries[:-1]]
    assert entries[1].inputs == {"score": 0.8125} and entries[1].body == {"why": "größer\nals"}
    assert log.find(entries[2].sha256[:12]) == entries[2]
    assert log.find("f" * 64 if entries[2].sha256 != "f" * 64 else "e" * 64) is None
    with pytest.raises(ValueError, match="at least 8 digits"):
        log.find("ab")


def test_there_is_no_log_before_the_first_decision(tmp_path: Path) -> None:
    assert DecisionLog(tmp_path / "none" / "decisions.jsonl").entries() == ()
    assert not (tmp_path / "none").exists()


def test_an_edited_line_is_named(log: DecisionLog) -> None:
    lines = lines_of(log)
    rewrite(log, [lines[0], lines[1].replace(b"MiniLM", b"BERT"), *lines[2:]])
    refused(log, "line 2: its content was edited")


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_every_edited_byte_is_seen(log: DecisionLog, number: int) -> None:
    lines = lines_of(log)
    line = lines[number - 1]
    for place in range(0, len(line) - 1, 7):
        changed = line[:place] + (b"x" if line[place : place + 1] != b"x" else b"y") + line[place + 1 :]
        rewrite(log, [changed if line_number == number else kept for line_number, kept in enumerate(lines, 1)])
        with pytest.raises(LogTampered, match=f"line {number}:"):
            log.entries()


def test_blanks_that_mean_nothing_are_an_edit_too(log: DecisionLog) -> None:
    lines = lines_of(log)
    rewrite(log, [lines[0].replace(b'"body":', b'"body": '), *lines[1:]])
    refused(log, "line 1: its content was edited")


def test_a_line_with_a_new_hash_breaks_the_chain(log: DecisionLog) -> None:
    lines = lines_of(log)
    rewrite(log, [lines[0], forged(lines[1], title="BERT is the base"), *lines[2:]])
    refused(log, "line 3: it does not follow line 2")


def test_the_last_line_with_a_new_hash_is_not_what_the_head_names(log: DecisionLog) -> None:
    lines = lines_of(log)
    rewrite(log, [*lines[:3], forged(lines[3], title="Ship the baseline")])
    refused(log, "line 4: it is not the entry that the head names")


def test_a_deleted_line_is_named(log: DecisionLog) -> None:
    lines = lines_of(log)
    rewrite(log, [lines[0], *lines[2:]])
    refused(log, "line 2: a line is missing, added or out of its order")


def test_swapped_lines_are_named(log: DecisionLog) -> None:
    lines = lines_of(log)
    rewrite(log, [lines[0], lines[2], lines[1], lines[3]])
    refused(log, "line 2: a line is missing, added or out of its order")


@pytest.mark.parametrize("kept", [0, 1, 3])
def test_a_cut_tail_is_named(log: DecisionLog, kept: int) -> None:
    rewrite(log, lines_of(log)[:kept])
    refused(log, f"line {kept + 1}: the head counts 4 entries, the last lines were cut off")


def test_a_cut_last_line_is_named(log: DecisionLog) -> None:
    log.storage.path.write_bytes(log.storage.path.read_bytes()[:-1])
    refused(log, "line 4: the head counts 4 entries")


def test_a_deleted_log_is_seen_by_its_head(log: DecisionLog) -> None:
    log.storage.path.unlink()
    refused(log, "line 1: the head counts 4 entries")


def test_a_deleted_or_edited_head_is_seen(log: DecisionLog) -> None:
    kept = log.storage.head.read_bytes()
    log.storage.head.write_bytes(kept.replace(b'"count":4', b'"count":2'))
    refused(log, "line 2: it is not the entry that the head names")
    log.storage.head.write_text("4\n")
    refused(log, "expected a count and a hash")
    log.storage.head.unlink()
    refused(log, "missing beside a log of 4 entries")
    log.storage.head.write_bytes(kept)
    assert len(log.entries()) == 4


def test_lines_added_by_hand_are_seen(log: DecisionLog) -> None:
    lines = lines_of(log)
    entries = log.entries()
    fifth = forged(lines[3], index=5, previous=entries[3].sha256)
    rewrite(log, [*lines, fifth, forged(lines[3], index=6, previous=json.loads(fifth)["sha256"])])
    refused(log, "line 6: the head counts 4 entries")


def test_a_writer_killed_before_the_head_leaves_a_log_that_works(
    log: DecisionLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LogFiles, "write_head", lambda self, head: None)  # killed before this
    log.append("trigger", "Inputs drift", by="playbook")
    monkeypatch.undo()
    assert [entry.kind for entry in log.entries()][-1] == "trigger"
    assert json.loads(log.storage.head.read_bytes())["count"] == 4
    log.append("relabel", "Ten labels", by="team:data")
    assert json.loads(log.storage.head.read_bytes())["count"] == 6
    assert [entry.index for entry in log.entries()] == [1, 2, 3, 4, 5, 6]


def test_the_entry_ahead_of_the_head_is_verified_by_the_chain(log: DecisionLog) -> None:
    lines = lines_of(log)
    rewrite(log, [*lines, forged(lines[3], index=5, previous="b" * 64)])
    refused(log, "line 5: it does not follow line 4")


def test_half_a_line_of_a_killed_writer_is_no_decision(log: DecisionLog) -> None:
    log.storage.path.write_bytes(log.storage.path.read_bytes() + b'{"body":{},"by":"pl')
    assert len(log.entries()) == 4
    log.append("ship", "Ship the baseline", by="playbook")
    assert [entry.title for entry in log.entries()][-1] == "Ship the baseline"
    assert len(lines_of(log)) == 5


def test_a_repeated_play_says_nothing_twice(log: DecisionLog) -> None:
    say = {"by": "playbook", "inputs": {"gain": 0.02, "of": ["a", "b"]}, "body": {"x": (1, 2)}}
    first = log.append_once("rung_2", "rung", "Rung 2 is kept", **say)
    assert log.append_once("rung_2", "rung", "Rung 2 is kept", **say) == first
    assert log.append_once("rung_3", "rung", "Rung 2 is kept", **say).index == 6  # another subject
    assert log.append_once("rung_2", "rung", "Rung 2 is reverted", **say).index == 7
    assert log.append_once("rung_2", "rung", "Rung 2 is kept", **say).index == 8  # the latest said otherwise
    assert len(log.entries()) == 8


def test_what_cannot_be_recorded_is_refused(log: DecisionLog) -> None:
    for kind, title, by in (("gossip", "x", "y"), ("ship", " ", "y"), ("ship", "x", "")):
        with pytest.raises(ValueError):
            log.append(kind, title, by=by)  # type: ignore[arg-type]
    with pytest.raises(ValueError):
        log.append("ship", "x", by="y", body={"loss": float("nan")})
    assert len(log.entries()) == 4


def test_a_log_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "tickets").write_text("a file where a folder should be")
    with pytest.raises(ArtifactError, match="make the folder writable"):
        DecisionLog(tmp_path / "tickets" / "decisions.jsonl").append("ship", "x", by="y")


def test_any_figures_survive_the_chain(tmp_path: Path) -> None:
    rng = random.Random(4)  # noqa: S311
    log = DecisionLog(tmp_path / "decisions.jsonl")
    figures = [rng.uniform(-1, 1) * 10 ** rng.randint(-300, 300) for _ in range(400)]
    log.append("cost", "Figures", by="playbook", inputs={"figures": figures, "whole": 2**70, "text": "\u2028 ü \x00"})
    assert log.entries()[0].inputs["figures"] == figures


def test_writers_beside_each_other_make_one_chain(tmp_path: Path) -> None:
    path = tmp_path / "decisions.jsonl"

    def write(name: str) -> None:
        for number in range(5):
            DecisionLog(path).append("ship", f"{name} {number}", by=name)

    threads = [threading.Thread(target=write, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    entries = DecisionLog(path).entries()
    assert [entry.index for entry in entries] == list(range(1, 16))
    assert {entry.title for entry in entries} == {f"{name} {number}" for name in "abc" for number in range(5)}
