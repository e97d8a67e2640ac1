"""Alerts: what is posted to a real receiver, what is not followed, and an outbox that loses none."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from receiver import Receiver, receiver

from playbook.errors import SettingsError
from playbook.operate import alerts
from playbook.operate.alerts import FIRST_LOOK, Alert, Answer, Outbox, make_alert, post
from playbook.settings import settings

NOW = 1_700_000_000.0


@pytest.fixture
def hook() -> Iterator[Receiver]:
    with receiver() as serving:
        yield serving


def some(number: int = 1, at: float = NOW) -> Alert:
    links = {"run": "https://dagster.example/runs/r1"}
    return make_alert(
        "failed_run", str(number), "tickets", "run r1 failed", "At rung_1.", at=at, run_id="r1", links=links
    )


def test_the_body_has_what_a_receiver_needs(hook: Receiver) -> None:
    answer = post(hook.address, some())
    assert answer == Answer(True, True, "status 200")
    (body,) = hook.got
    assert body == {
        "id": "failed_run:tickets:1",
        "kind": "failed_run",
        "task": "tickets",
        "title": "tickets: run r1 failed",
        "text": "tickets: run r1 failed. At rung_1. https://dagster.example/runs/r1",
        "time": "2023-11-14T22:13:20+00:00",
        "run_id": "r1",
        "links": {"run": "https://dagster.example/runs/r1"},
    }
    assert hook.headers[0]["Content-Type"] == "application/json"


def test_nothing_in_a_text_is_an_order_to_slack() -> None:
    made = make_alert("drift", "1", "tickets", "<!channel> & <http://evil.example|x>\n2", "", at=NOW)
    assert made.text == "tickets: &lt;!channel&gt; &amp; &lt;http://evil.example|x&gt; 2."


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(hook: Receiver, status: int) -> None:
    with receiver() as elsewhere:
        hook.status, hook.location = status, elsewhere.address
        answer = post(hook.address, some())
        assert answer == Answer(False, True, f"status {status}, a redirect, which is not followed")
        assert (elsewhere.methods, hook.methods) == ([], ["POST"])


@pytest.mark.parametrize("status", [400, 404, 500, 503])
def test_only_2xx_is_delivered(hook: Receiver, status: int) -> None:
    hook.status = status
    assert post(hook.address, some()) == Answer(False, True, f"status {status}")


def test_a_receiver_that_is_away_or_slow_is_told_apart(hook: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    with receiver() as closed:
        gone = closed.address
    away = post(gone, some())
    assert (away.delivered, away.answered) == (False, False) and "refused" in away.found
    monkeypatch.setattr(alerts, "TIMEOUT", 0.2)
    hook.pause = 1.0
    slow = post(hook.address, some())
    assert (slow.delivered, slow.answered) == (False, False) and "s3cret" not in slow.found + away.found


@pytest.mark.parametrize("url", ["http://user:s3cret@127.0.0.1:1/x", "http://127.0.0.1:s3cret/", "http:///s3cret"])
def test_a_strange_url_fails_without_being_quoted(url: str) -> None:
    answer = post(url, some())
    assert not answer.delivered and "s3cret" not in answer.found


def test_a_webhook_that_is_no_url_is_refused_unquoted(monkeypatch: pytest.MonkeyPatch) -> None:
    for bad in ("file:///etc/passwd", "ftp://s3cret.example", "s3cret"):
        monkeypatch.setenv("PLAYBOOK_WEBHOOK", bad)
        with pytest.raises(SettingsError, match=r"^PLAYBOOK_WEBHOOK: expected") as caught:
            settings()
        assert "s3cret" not in str(caught.value)
    monkeypatch.setenv("PLAYBOOK_WEBHOOK", "https://hooks.example/T0/s3cret")
    assert settings().webhook == "https://hooks.example/T0/s3cret" and "s3cret" not in repr(settings())


def delivered(alert: Alert) -> Answer:
    return Answer(True, True, "status 200")


def away(alert: Alert) -> Answer:
    return Answer(False, False, "no answer")


def refused(alert: Alert) -> Answer:
    return Answer(False, True, "status 400")


def test_an_alert_is_sent_once_across_cursors() -> None:
    outbox, answers = Outbox().put([some()], NOW).deliver(delivered, NOW)
    assert len(answers) == 1 and outbox.waiting == ()
    again = Outbox.read(outbox.model_dump_json()).put([some(), some(2)], NOW + 30)
    assert [one.alert.id for one in again.waiting] == ["failed_run:tickets:2"]
    assert again.since(NOW + 60) == NOW + 30 - alerts.OVERLAP
    assert Outbox().since(NOW) == NOW - FIRST_LOOK == Outbox.read("of another release").since(NOW)


def test_while_the_receiver_is_away_one_attempt_is_made_and_none_is_lost() -> None:
    outbox, answers = Outbox().put([some(n) for n in range(5)], NOW).deliver(away, NOW)
    assert (len(answers), len(outbox.waiting)) == (1, 5)
    waits = []
    now = NOW
    for _ in range(12):
        first = min(one.not_before for one in outbox.waiting[:1])
        waits.append(first - now)
        now = first
        outbox, _ = outbox.deliver(away, now)
    assert waits[0] == 30 and max(waits) == alerts.LONGEST_WAIT and waits == sorted(waits)
    got: list[str] = []
    outbox, _ = outbox.deliver(lambda one: got.append(one.id) or delivered(one), now + 1000)
    assert got == [f"failed_run:tickets:{n}" for n in range(5)] and outbox.waiting == ()


def test_an_alert_that_is_refused_does_not_hold_up_the_others() -> None:
    outbox = Outbox().put([some(1), some(2)], NOW)
    outbox, answers = outbox.deliver(lambda one: refused(one) if one.id.endswith("1") else delivered(one), NOW)
    assert [answer.found for answer in answers] == ["status 400", "status 200"]
    assert [one.alert.id for one in outbox.waiting] == ["failed_run:tickets:1"]
    assert outbox.deliver(delivered, NOW + 10)[1] == []  # not before its time
    assert outbox.deliver(delivered, NOW + 31)[0].waiting == ()


def test_what_is_given_up_is_counted_and_said() -> None:
    outbox = Outbox().put([some(1)], NOW)
    outbox = outbox.put([some(2)], NOW + alerts.GIVEN_UP + 1)
    assert [one.alert.id for one in outbox.waiting] == ["failed_run:tickets:2"] and outbox.lost == 1
    said: list[Alert] = []
    outbox, _ = outbox.deliver(lambda one: said.append(one) or delivered(one), NOW + alerts.GIVEN_UP + 1)
    assert said[0].text.endswith("1 earlier alert could not be delivered.") and outbox.lost == 0
    many = Outbox().put([some(n) for n in range(alerts.MOST_WAITING + 7)], NOW)
    assert (len(many.waiting), many.lost) == (alerts.MOST_WAITING, 7)
    assert len(json.dumps(json.loads(many.model_dump_json()))) < 100_000
