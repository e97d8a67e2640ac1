"""The retraining policy with what it looks at: windows, outcomes, the registry, the decision log (6.5)."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from assets.accumulated import labelled_rows
from assets.play import Play
from assets.watching import champion_of, window_of
from playbook.artifacts import BaseSelection, BaseTrial, Drift, Evaluation, RetrainDecision
from playbook.data.sides import sides_of
from playbook.operate.accumulate import usable_rows
from playbook.operate.definition import define, differences, label_differences, read_definition
from playbook.operate.policy import Facts, decide_retraining
from playbook.operate.rounds import ask_for_round, day_of, last_round, pending_triggers
from playbook.plays import BASE, BASE_TRIAL, DRIFT, EVALUATION
from playbook.taskfile import Task
from resources.release import TAGS

MOST_DAYS = 92  # that alarms without a pause are followed back

if TYPE_CHECKING:
    from assets.watching import Champion
    from playbook.decide.log import Entry


def evaluate_policy(play: Play, drifted: Drift) -> RetrainDecision:
    """Decide about one day; a decision that fires is put on record as a trigger, once per day."""
    name, day = play.task.spec.task, date.fromisoformat(drifted.day)
    log = play.world.decision_log(name)
    entries = log.entries()
    earlier = _fired_on(entries, day)
    found = decide_retraining(play.task.spec, facts_of(play, drifted, day, _before(entries, earlier)))
    if earlier is not None:  # this day has asked for a round already, in an earlier evaluation
        fired = {"fired": True, "held_back": "", "log_entry": earlier.sha256, "reason": earlier.title}
        return found.model_copy(update=fired)
    if not found.fired:
        play.report(f"{drifted.day}: {found.reason}")
        return found
    inputs = {"drift": drifted.digest}
    known = {name: said for name, said in found.false_alarms.items() if name in found.triggers}
    entry = ask_for_round(log, name, found.triggers, by="playbook", day=day, inputs=inputs, false_alarms=known)
    play.report(f"{drifted.day}: {found.reason}")
    return found.model_copy(update={"log_entry": entry.sha256})


def _fired_on(entries: tuple[Entry, ...], day: date) -> Entry | None:
    fired = (entry for entry in entries if entry.kind == "trigger" and entry.by == "playbook" and day_of(entry) == day)
    return next((entry for entry in fired if "schedule" not in str(entry.body.get("triggers"))), None)


def _before(entries: tuple[Entry, ...], earlier: Entry | None) -> tuple[Entry, ...]:
    return entries if earlier is None else tuple(entry for entry in entries if entry.index < earlier.index)


def facts_of(play: Play, drifted: Drift, day: date, entries: tuple[Entry, ...]) -> Facts:
    """Everything that the policy looks at on a day."""
    spec, champion = play.task.spec, champion_of(play)
    if champion is None:
        return Facts(day=day, version="")
    rows = labelled_rows(play.world.prediction_log(spec.task).labelled(known_by=window_of(play, drifted.day).known_by))
    found = usable_rows(play.task, rows, sides_of(play.world.store, spec.task))
    waiting, done = pending_triggers(entries), last_round(entries)
    named = spec.data.accumulated
    return Facts(
        day=day,
        version=champion.registered.version,
        windows=_windows(play, drifted, day),
        new_rows=[date.fromisoformat(row.time[:10]) for row in found.rows] if named is not None else (),
        rows_may_grow=named is not None,
        new_classes=found.new_classes,
        strange=found.unknown,
        classes_may_grow=named is not None and named.classes is not None,
        task_changed=_task_changed(play.task, champion, entries),
        better_base=_better_base(play, champion, done),
        held_out=champion.reference.held_out if champion.reference is not None else None,
        last_round=day_of(done) if done else None,
        asked_already=day_of(waiting[0]).isoformat() if waiting else "",
    )


def _windows(play: Play, drifted: Drift, day: date) -> list[Drift]:
    """Drift of the days up to this one, oldest first, this day's last: back to where alarms have a pause."""
    rule = play.task.spec.retraining.drift
    store, name = play.world.store, play.task.spec.task
    known = set(store.partitions(name, DRIFT))
    found, quiet = [drifted], 0 if drifted.alarm else 1
    for back in range(1, MOST_DAYS):
        earlier = (day - timedelta(back)).isoformat()
        one = store.current(name, DRIFT, Drift, earlier) if earlier in known else None
        if one is not None:
            found.append(one)
        quiet = 0 if one is not None and one.alarm else quiet + 1
        if quiet > (rule.windows if rule else 0):
            break
    return found[::-1]


def _task_changed(task: Task, champion: Champion, entries: tuple[Entry, ...]) -> str:
    """What of the task's definition is no longer as the model that serves has it; nothing once a round judged it."""
    now, before = define(task), read_definition(champion.registered.tags.get(TAGS["definition"], ""))
    # Of a version that an earlier release registered only the classes are known.
    found = differences(before, now) if before else label_differences(champion.labels, task.spec.labels)
    # An evaluation that was refused has judged nothing and names no definition: the one before it counts.
    named = (entry.inputs.get("task_sha256") for entry in reversed(entries) if entry.kind == "ship")
    judged = next((sha256 for sha256 in named if sha256), None)
    return "" if judged == now.sha256 else "; ".join(found)


def _better_base(play: Play, champion: Champion, done: Entry | None) -> str:
    """The base that the latest trial prefers to the champion's, unless a round has had it in its hands."""
    store, name = play.world.store, play.task.spec.task
    tried = store.current(name, BASE_TRIAL, BaseTrial)
    if tried is None or tried.skipped or tried.preferred is None:
        return ""
    if tried.serving_weights != champion.pin.weights_sha256:
        return ""  # it was tried beside another model's base
    if done is not None and datetime.fromisoformat(tried.made_at) < datetime.fromisoformat(done.time):
        return ""  # a round has begun since
    chosen, judged = store.current(name, BASE, BaseSelection), store.current(name, EVALUATION, Evaluation)
    on_record = judged is not None and judged.dataset_hash == tried.dataset_hash and judged.round is not None
    if on_record and chosen is not None and chosen.pin == tried.preferred:
        return ""  # a round on these very rows has tried it, and the champion stayed
    return f"{tried.why} (a trial prefers another base without cause in {tried.false_alarm_rate:.1%} of cases at most)"
