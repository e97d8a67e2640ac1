"""Alerts by webhook: what is posted, to whom it may go, and an outbox that loses none while the receiver is away.

An alert says that something happened and where to look; it carries no text of the data and no error message, as those
may quote one. `text` is what Slack and its like show. The outbox is plain data, so that Dagster can keep it as a
sensor's cursor: an alert leaves it only when the receiver has answered 2xx, or after a week.
"""

from __future__ import annotations

import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import Field, ValidationError

from playbook.artifacts.artifact import Part
from playbook.decide.log_storage import canonical

Kind = Literal["red_gate", "drift", "failed_run", "waiting_sign_off"]
TIMEOUT = 10.0  # seconds until the receiver has to answer
FIRST_LOOK = 24 * 3600.0  # a new outbox takes up what happened in the last day
OVERLAP = 3600.0  # what happened is looked for this far back again: clocks differ, and events arrive late
FIRST_WAIT, LONGEST_WAIT = 30.0, 900.0  # seconds between two attempts; doubled each time
GIVEN_UP = 7 * 24 * 3600.0  # an alert so old helps nobody
MOST_WAITING = 100  # alerts that are kept; beyond it the oldest go
MOST_TOLD = 1000
BUDGET = 25.0  # seconds of posting in one tick; Dagster ends a tick after 60


class Alert(Part):
    """One thing that somebody should know. `id` stays the same when it is sent again."""

    id: str
    kind: Kind
    task: str
    title: str
    text: str
    time: str  # when it happened, UTC, ISO 8601
    run_id: str = ""
    links: dict[str, str] = Field(default_factory=dict)

    @property
    def body(self) -> bytes:
        """What is posted."""
        return canonical(self.model_dump(mode="json"))


class Waiting(Part):
    """An alert that was not delivered yet."""

    alert: Alert
    since: float  # seconds of the epoch
    tries: int = 0
    not_before: float = 0.0


class Outbox(Part):
    """What a sensor remembers from one tick to the next."""

    looked_until: float = 0.0  # seconds of the epoch; 0: never
    told: dict[str, float] = Field(default_factory=dict)  # id -> when it was put here
    waiting: tuple[Waiting, ...] = ()
    lost: int = 0  # given up; the next alert that arrives says so

    @classmethod
    def read(cls, text: str | None) -> Outbox:
        """The outbox of a cursor; an empty one where there is none, or one of another release."""
        try:
            return cls.model_validate_json(text) if text else cls()
        except ValidationError:
            return cls()

    def since(self, now: float) -> float:
        """What happened after this is looked at."""
        return (self.looked_until - OVERLAP) if self.looked_until else now - FIRST_LOOK

    def put(self, alerts: Iterable[Alert], now: float) -> Outbox:
        """Take up alerts that were not taken up before."""
        told = dict(self.told)
        waiting = list(self.waiting)
        for alert in alerts:
            if alert.id not in told:
                waiting.append(Waiting(alert=alert, since=now))
            told[alert.id] = now
        kept = [one for one in waiting if now - one.since < GIVEN_UP][-MOST_WAITING:]
        newest = dict(sorted(told.items(), key=lambda item: item[1])[-MOST_TOLD:])
        lost = self.lost + len(waiting) - len(kept)
        return Outbox(looked_until=now, told=newest, waiting=tuple(kept), lost=lost)

    def deliver(self, send: Callable[[Alert], Answer], now: float) -> tuple[Outbox, list[Answer]]:
        """Send what is due, oldest first; where nobody answers, the rest waits for the next tick."""
        left, answers, lost, began = [], [], self.lost, time.monotonic()
        away = False
        for one in self.waiting:
            if away or one.not_before > now or time.monotonic() - began > BUDGET:
                left.append(one)
                continue
            answer = send(_with_lost(one.alert, lost))
            answers.append(answer)
            if answer.delivered:
                lost = 0
                continue
            away = not answer.answered
            wait = min(FIRST_WAIT * 2 ** min(one.tries, 10), LONGEST_WAIT)
            left.append(one.model_copy(update={"tries": one.tries + 1, "not_before": now + wait}))
        return self.model_copy(update={"waiting": tuple(left), "lost": lost}), answers


@dataclass(frozen=True)
class Answer:
    """What became of one attempt; `found` has neither the URL nor what the receiver said."""

    delivered: bool
    answered: bool
    found: str


def post(webhook: str, alert: Alert) -> Answer:
    """Post an alert as JSON; a redirect is not followed: it would hand the alert to somebody else."""
    headers = {"Content-Type": "application/json", "User-Agent": "playbook"}
    try:
        request = urllib.request.Request(webhook, alert.body, headers, method="POST")  # noqa: S310 - http(s): settings
        with urllib.request.build_opener(_Stay).open(request, timeout=TIMEOUT) as answer:
            return Answer(True, True, f"status {answer.status}")
    except urllib.error.HTTPError as error:
        error.close()
        stayed = ", a redirect, which is not followed" if 300 <= error.code < 400 else ""
        return Answer(False, True, f"status {error.code}{stayed}")
    except OSError as error:  # URLError among them
        reason = getattr(error, "reason", error)
        words = getattr(reason, "strerror", None) or type(reason).__name__
        return Answer(False, False, f"no answer: {words}")
    except (http.client.HTTPException, ValueError) as error:  # their messages may quote the URL
        return Answer(False, False, f"no answer: {type(error).__name__}")


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *arguments: Any, **named: Any) -> None:
        """Follow nothing: the answer becomes an HTTPError."""


def plain(text: str) -> str:
    """Text in which Slack finds no link, mention or entity, on one line."""
    line = "".join(letter if letter.isprintable() else " " for letter in text)
    return line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def moment(seconds: float) -> str:
    """Seconds of the epoch as UTC, ISO 8601."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def make_alert(
    kind: Kind,
    key: str,
    task: str,
    title: str,
    details: str,
    *,
    at: float,
    run_id: str = "",
    links: Mapping[str, str] | None = None,
) -> Alert:
    """An alert whose `text` has title, details and links; `key` tells it from others of its kind and task."""
    shown = [f"{plain(task)}: {plain(title)}.", plain(details), *(links or {}).values()]
    return Alert(
        id=f"{kind}:{task}:{key}",
        kind=kind,
        task=task,
        title=f"{task}: {title}",
        text=" ".join(part for part in shown if part),
        time=moment(at),
        run_id=run_id,
        links=dict(links or {}),
    )


def _with_lost(alert: Alert, lost: int) -> Alert:
    if not lost:
        return alert
    words = f"{lost} earlier alert{'s' if lost > 1 else ''} could not be delivered."
    return alert.model_copy(update={"text": f"{alert.text} {words}"})
