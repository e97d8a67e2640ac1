"""A task's status in words and numbers, for a terminal."""

from __future__ import annotations

from typing import Any

from playbook.data.text import counted
from playbook.production_status import production_lines
from playbook.states import SERVED

FAILED = "FAILED: this run ended before its end; what follows is where the task stands without it"
MOST_WARNINGS = 6  # of the gate, in a summary
JUDGED_AGAINST = {"void", "rejected", "awaiting"}  # sign-offs whose reason says why nothing ships


def summary(status: dict[str, Any]) -> str:
    """Headline, numbers, verdict, next steps and where the report is; what a failed run left is called so."""
    headline = FAILED if status.get("failure") else status["headline"]
    lines = ["", f"  {status['task']}: {headline}", f"  {status['question']}", ""]
    lines += _gate(status) if status["state"] == "gate_red" else _numbers(status)
    if status["verdict"] and status["state"] != "gate_red":
        lines += ["", f"  {status['verdict']}"]
    elif status["reason"] and status["state"] != "gate_red":
        lines += ["", f"  {status['reason']}"]
    lines += ["", "  Next:"] + [f"  - {step}" for step in _next_steps(status)]
    return "\n".join(lines)


def _gate(status: dict[str, Any]) -> list[str]:
    lines = []
    for check in status["gate"]["failed"]:
        mark = "red" if check["severity"] == "error" else "warning"
        lines.append(f"  {mark:<8} {check['name']}: expected {check['expected']}; found {check['found']}")
        if check["remedy"]:
            lines.append(f"           {check['remedy']}")
    return lines


def _numbers(status: dict[str, Any]) -> list[str]:
    target = status["target"]
    asked = f"{target['direction'].replace('_', ' ')} {target['value']:g}"
    rows = [("target", f"{target['metric']} of {asked}, margin {target['margin']:g}")]
    dataset = status["dataset"]
    if dataset:
        counts = ", ".join(f"{count} {split}" for split, count in dataset["rows"].items())
        quarantined = sum(dataset["quarantined"].values())
        rows.append((f"data v{dataset['version']}", f"{counts}; {quarantined} quarantined; {dataset['hash'][:12]}"))
    rows += _warnings(status.get("gate"))
    for name, value in status["reference_baselines"].items():
        rows.append((name, f"validation {value:.4f}"))
    if status["test_split"] and (status["test_split"]["differs"] or not status["test_split"]["known"]):
        rows.append(("test split", status["test_split"]["text"]))
    if status["early_end"]:
        rows.append(("early end", status["early_end"]["text"]))
    rows += _scope(status) + _models(status) + _doubts(status)
    if status["model"]:
        model = status["model"]
        rows.append(("model", f"models:/{model['name']}@{model['alias']}, version {model['version']}"))
    rows += production_lines(status.get("production"))
    seconds = status["seconds"]
    rows.append(("seconds", f"{seconds['total']:.0f} for all plays, {seconds['training']:.0f} of them training"))
    width = max(len(name) for name, _ in rows)
    return [f"  {name:<{width}}  {text}" for name, text in rows]


def _warnings(gate: dict[str, Any] | None) -> list[tuple[str, str]]:
    """What the gate found and let pass, without the remedies."""
    found = [check for check in gate["failed"] if check["severity"] == "warning"] if gate else []
    rows = [("warning", f"{check['name']}: {check['found']}") for check in found[:MOST_WARNINGS]]
    more = len(found) - len(rows)
    return [*rows, ("", f"and {counted(more, 'more warning')} of the gate (--json has all)")] if more else rows


def _scope(status: dict[str, Any]) -> list[tuple[str, str]]:
    rows = []
    if status["decision"]:
        path = status["decision"]["path"].replace("_", " ")
        overridden = ", overriding the recommendation" if status["decision"]["overridden"] else ""
        sure = status["decision"].get("confidence")
        rows.append(("decision", path + overridden + (f", confidence {sure:.2f}" if sure is not None else "")))
        turning = status["decision"].get("could_change")
        rows += [("", f"an answer to {', '.join(turning)} could change it")] if turning else []
    if status["base"]:
        scored = [
            f"{one['name']} " + (f"{one['score']:.4f}" if one["score"] is not None else f"out: {one['out']}")
            for one in status["base"]["candidates"]
        ]
        rows.append(("base", f"{status['base']['chosen']}; probes: {', '.join(scored)}"))
    found = [one for part in (status["decision"], status["base"]) for one in (part or {}).get("findings", [])]
    return rows + [("finding", one) for one in dict.fromkeys(found)]


def _doubts(status: dict[str, Any]) -> list[tuple[str, str]]:
    """Controls, labels, blockers and the sign-off."""
    rows, controls, labels = [], status["controls"], status["labels"]
    for name, title in (("scratch", "from scratch"), ("other_base", "other base")):
        if controls[name] is not None:
            rows.append((title, f"validation {controls[name]:.4f}, same budget"))
    if controls["transfer"]:
        rows.append(("transfer", str(controls["transfer"])))
    if labels["kappa"] is not None:
        rows.append(("labels", f"kappa {labels['kappa']:.2f} with the second annotator"))
    if labels["suspects"]:
        wrong = f", an estimated {labels['estimated_wrong']:.0f} of them wrong" if labels["estimated_wrong"] else ""
        rows.append(("relabel", f"{counted(labels['suspects'], 'label')} to check in the queue{wrong}"))
    if labels["more_data"]:
        gain = labels["more_data"]["gain_of_twice"]
        said = f"{gain['value']:+.4f} ({gain['low']:+.4f} to {gain['high']:+.4f}) expected from twice the rows"
        rows.append(("more data", f"{labels['more_data']['verdict']}; {said}"))
    rows += [("waived", status["waived_terms"])] if status.get("waived_terms") else []
    rows += [("blocker", blocker["text"]) for blocker in status["blockers"]]
    if status["sign_off"]:
        given = status["sign_off"]
        by = f" by {given['by']}" if given["by"] else ""
        rows.append(("sign-off", f"{given['state']}{by} ({given['mode']})"))
        if given["reason"] and given["state"] in JUDGED_AGAINST:
            rows.append(("", given["reason"]))
    return rows


def _models(status: dict[str, Any]) -> list[tuple[str, str]]:
    rows = []
    frozen, test = status["frozen_baseline"], status["test"]
    if frozen["validation"] is not None:
        tested = f", test {frozen['test']:.4f}" if frozen["test"] is not None else ""
        rows.append(("frozen", f"validation {frozen['validation']:.4f}{tested}"))
    for rung in status["rungs"]:
        name = f"rung {rung['unfrozen']}"
        if rung["validation"] is None:
            rows.append((name, f"not run: {rung['reason']}"))
        else:
            kept = "kept" if rung["kept"] else "reverted"
            rows.append((name, f"validation {rung['validation']:.4f}, {kept}, {rung['seconds']:.0f} s"))
    if test and test["candidate"] is not None:
        low, high = test["interval"]
        gain = f"{test['delta']:+.4f} over frozen ({low:+.4f} to {high:+.4f})"
        rows.append(
            ("candidate", f"test {test['candidate']:.4f}, {gain}, test split opened {test['openings']} time(s)")
        )
    over = test.get("over_reference") if test else None
    if over:
        low, high = over["interval"]
        rows.append(
            (over["name"], f"test {over['test']:.4f}; over it {over['delta']:+.4f} ({low:+.4f} to {high:+.4f})")
        )
    return rows


def _next_steps(status: dict[str, Any]) -> list[str]:
    task, steps = status["called"], list(status["next_steps"])
    if status["report"]:
        steps.insert(0, f"Read the report: {status['report']}")
    if status["sign_off"] and status["sign_off"]["awaits"]:
        steps.append(status["sign_off"]["awaits"])
    if status["model"] and status["state"] in SERVED and not status.get("failure"):
        steps.append(f"Serve it: playbook serve {task}")
    if status["state"] == "gate_red":
        steps.append(f"Fix the data as said above, then: playbook run {task}")
    if status.get("failure"):
        steps.append(f"Fix what failed, then: playbook run {task}")
    elif status["state"] in {"not_run", "in_progress"}:
        steps.append(f"playbook run {task}")
    return [*steps, "See the graph, the checks and the runs: make ui"]
