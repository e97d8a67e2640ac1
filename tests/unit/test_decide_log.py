"""The decision log: what it keeps, what it notices, and what a killed writer leaves behind."""

from __future__ import annotations

import json
import logging
import random
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from playbook.artifacts import canonical_hash
from playbook.decide.log import GENESIS, DecisionLog, Entry, open_decision_log
from playbook.decide.log_anchor import Anchor, StoreAnchor
from playbook.decide.log_files import LogFiles
from playbook.decide.log_storage import Head
from playbook.errors import ArtifactError, LogTampered
from playbook.settings import settings
from playbook.store import Store


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


@pytest.fixture
def anchored(tmp_path: Path, log: DecisionLog) -> DecisionLog:
    """The same log with its head in a store."""
    store = Store(str(tmp_path / "store"), tmp_path / "cache")
    made = DecisionLog(log.storage, (StoreAnchor(store, "tickets", "here"),))
    made.append("evaluation", "The candidate gains", by="playbook")
    return made


def remove(log: DecisionLog) -> None:
    for path in (log.storage.path, log.storage.head):
        path.unlink()


def test_a_log_that_is_gone_is_noticed_and_nothing_is_begun_in_its_place(anchored: DecisionLog) -> None:
    last = anchored.head
    remove(anchored)
    assert DecisionLog(anchored.storage).entries() == (), "without an anchor nobody could know"
    refused(anchored, f"expected 5 decisions, the last of them with SHA-256 {last.sha256[:12]}, as the store has kept")
    refused(anchored, "found no log: it was deleted, or is elsewhere. Restore it from a backup")
    assert not anchored.storage.exists()


def test_a_shorter_log_and_another_one_are_noticed_though_each_is_whole(anchored: DecisionLog) -> None:
    kept = lines_of(anchored)
    remove(anchored)
    shorter = DecisionLog(anchored.storage)
    for text in ("scope", "base"):
        shorter.append("scope", text, by="anna@example.org")
    assert len(shorter.entries()) == 2
    refused(anchored, "found 2: the log is shorter than it was")
    for number in range(4):
        shorter.append("rung", f"rung {number}", by="playbook")
    refused(anchored, "at that place: this is another log")
    remove(anchored)
    rewrite(anchored, kept)
    anchored.storage.write_head(Head(count=len(kept), sha256=json.loads(kept[-1])["sha256"]))
    assert len(anchored.entries()) == 5, "restored, it is the log again"


def test_an_anchor_that_lags_behind_is_caught_up(anchored: DecisionLog) -> None:
    (place,) = anchored.anchors
    bare = DecisionLog(anchored.storage)
    bare.append("ship", "written while the store was away", by="playbook")
    found = place.read()
    assert found is not None and found.count == 5
    assert len(anchored.entries()) == 6
    anchored.append_once("x", "ship", "one more", by="playbook")
    again = place.read()
    assert again is not None and (again.count, again.sha256) == (7, anchored.head.sha256)
    place.write(Anchor(7, again.sha256, again.time, {"test_openings": "a" * 64}))
    carried = place.read()
    assert carried is not None and carried.further == {"test_openings": "a" * 64}, "heads of further records"


def test_a_store_that_is_away_costs_no_decision(
    anchored: DecisionLog, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (place,) = anchored.anchors

    def away(anchor: Anchor) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(place, "write", away)
    monkeypatch.setattr(logging.getLogger("playbook.progress"), "propagate", True)
    assert anchored.append("ship", "Ship it", by="playbook").index == 6
    assert "could not be written down in the store: no route to host" in caplog.text


def test_an_altered_anchor_is_noticed(anchored: DecisionLog, tmp_path: Path) -> None:
    for manifest in (tmp_path / "store" / "tickets" / "decision_log").rglob("manifest.json"):
        manifest.write_text(manifest.read_text().replace('"count": 5', '"count": 2'))
    with pytest.raises(LogTampered, match="anchor in the store"):
        anchored.entries()


def test_a_loss_is_accepted_on_record_and_by_name(anchored: DecisionLog) -> None:
    with pytest.raises(ValueError, match="nothing is lost"):
        anchored.accept_loss(by="anna@example.org", reason="just in case")
    last = anchored.head
    remove(anchored)
    entry = anchored.accept_loss(by="anna@example.org", reason="the disk broke and there was no backup")
    assert (entry.index, entry.kind, entry.by) == (1, "lost_log", "anna@example.org")
    assert entry.inputs == {"kept": {"the store": {"count": 5, "sha256": last.sha256}}}
    assert anchored.append("ship", "Ship it", by="playbook").index == 2
    remove(anchored)
    refused(anchored, "expected 2 decisions")  # from then on the new log is anchored


def cut_the_tail(log: DecisionLog) -> None:
    rewrite(log, lines_of(log)[:3])


def edit_a_line(log: DecisionLog) -> None:
    rewrite(log, [*lines_of(log)[:3], lines_of(log)[3].replace(b"Ship", b"Shop"), *lines_of(log)[4:]])


def spoil_the_head(log: DecisionLog) -> None:
    rewrite(log, lines_of(log)[:3])
    log.storage.head.write_text("{")


def lose_the_head(log: DecisionLog) -> None:
    rewrite(log, lines_of(log)[:3])
    log.storage.head.unlink()


@pytest.mark.parametrize("damage", [cut_the_tail, edit_a_line, spoil_the_head, lose_the_head])
@pytest.mark.parametrize("with_anchors", [True, False])
def test_a_broken_log_has_a_way_out_that_keeps_what_is_left(
    anchored: DecisionLog, damage: Callable[[DecisionLog], None], with_anchors: bool
) -> None:
    log = anchored if with_anchors else DecisionLog(anchored.storage)
    whole = anchored.entries()
    damage(log)
    found = log.storage.path.read_bytes()
    refused(log, r"restore both files from a backup. Where there is none, .* --accept-loss")
    entry = log.accept_loss(by="anna@example.org", reason="the disk broke and there was no backup")
    assert (entry.index, entry.kind) == (4, "lost_log")
    assert log.entries() == (*whole[:3], entry), "what is left is gone on with, unchanged"
    assert "line 4" in entry.body["found"] or ".head" in entry.body["found"]
    assert Path(entry.body["set aside"]).read_bytes() == found, "the broken log is kept as it was found"
    with pytest.raises(ValueError, match="nothing is lost"):
        log.accept_loss(by="anna@example.org", reason="once more")
    assert log.append("ship", "Ship it", by="playbook").index == 5


def test_an_altered_anchor_has_a_way_out(anchored: DecisionLog, tmp_path: Path) -> None:
    for manifest in (tmp_path / "store" / "tickets" / "decision_log").rglob("manifest.json"):
        manifest.write_text(manifest.read_text().replace('"count": 5', '"count": 2'))
    entry = anchored.accept_loss(by="anna@example.org", reason="the store was edited by mistake")
    assert "anchor in the store" in entry.inputs["kept"]["the store"] and entry.index == 6
    assert len(anchored.entries()) == 6


def test_installations_that_share_a_store_each_have_their_anchor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLAYBOOK_STORE", str(tmp_path / "shared"))
    logs = []
    for name in ("one", "two"):
        monkeypatch.setenv("PLAYBOOK_HOME", str(tmp_path / name))
        logs.append(open_decision_log(settings(), "tickets"))
        logs[-1].append("scope", f"The tickets of {name}", by="anna@example.org")
    assert [len(one.entries()) for one in logs] == [1, 1]
    remove(logs[0])
    refused(logs[0], "found no log")
    assert len(logs[1].entries()) == 1


def test_many_writers_leave_an_anchor_that_holds(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store"), tmp_path / "cache")

    def write(name: str) -> None:
        own = DecisionLog(tmp_path / "d" / "decisions.jsonl", (StoreAnchor(store, "tickets", "here"),))
        for number in range(5):
            own.append("rung", f"{name} {number}", by="playbook")

    threads = [threading.Thread(target=write, args=(f"writer {at}",)) for at in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    place = StoreAnchor(store, "tickets", "here")
    done = DecisionLog(tmp_path / "d" / "decisions.jsonl", (place,))
    anchor = place.read()
    assert len(done.entries()) == 20 and anchor is not None and anchor.count <= 20
    done.anchor()
    caught_up = place.read()
    assert caught_up is not None and caught_up.count == 20
