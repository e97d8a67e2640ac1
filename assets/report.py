"""The pages of an evaluation: report and model card, rendered from its facts whenever their look or wording changed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from assets.code_versions import version_of
from assets.play import Made, Play, remembered
from assets.publish import publish_card, publish_report
from assets.steps import Steps
from assets.test_answers import opened_rows
from playbook.artifacts import Evaluation, Report, canonical_hash
from playbook.plays import EVALUATION, REPORT
from playbook.taskfile import find_tasks


@dataclass(frozen=True)
class Published:
    """Where people find the pages."""

    report: Path
    card: Path


def publish_pages(play: Play, steps: Steps, done: Evaluation) -> Published:
    """Render report and card where anything on them changed, and put them where people read them."""
    part, store = replace(play, asset=REPORT), play.world.store
    pages = remembered(part, Report, _inputs(play, steps, done), lambda key: _render(part, steps, done, key))
    store.set_current(play.task.spec.task, REPORT, pages.play_key)
    return Published(
        publish_report(play, store.path(pages, REPORT, "report")), publish_card(play, store.path(pages, REPORT, "card"))
    )


def _inputs(play: Play, steps: Steps, done: Evaluation) -> dict[str, Any]:
    """Everything that a page shows: artefacts with their circumstances, the whole task file, templates and wording."""
    from playbook.adapt.results import versions

    scope = (steps.dataset, steps.references, steps.decision, steps.base)
    models = (steps.frozen, steps.early, steps.audit, steps.choice)
    shown = [*scope, *models, steps.controls, *steps.rungs, done]
    return {
        "shown": [canonical_hash(part.model_dump(mode="json")) for part in shown],
        "task": play.task.spec.model_dump(mode="json"),
        "called": _called(play),
        "versions": dict(versions()),
        "code": version_of("report"),
    }


def _called(play: Play) -> str:
    name = play.task.spec.task
    return name if find_tasks(play.world.places).get(name) == play.task.path else str(play.task.path)


def _render(play: Play, steps: Steps, done: Evaluation, key: str) -> Made:
    import pandas as pd

    from playbook.evaluate.model_card import model_card
    from playbook.evaluate.report import render_report
    from playbook.evaluate.suite import headline_warnings

    work, store = play.work(key), play.world.store
    opened = {} if done.refused else {"test_frame": opened_rows(play, steps.dataset)}
    if "predictions" in done.files:
        opened["predictions"] = pd.read_parquet(store.path(done, EVALUATION, "predictions"))
    content = report_inputs(play, steps, done, warnings=headline_warnings(done, steps.base), **opened)
    pages = {"report": work / "report.html", "card": work / "model_card.md"}
    pages["report"].write_text(render_report(content), encoding="utf-8")
    pages["card"].write_text(model_card(content), encoding="utf-8")
    play.world.tracking.log_files(done.mlflow_run_id, {path.name: path for path in pages.values()})
    return Made(Report(task=play.task.spec.task, evaluation=done.digest), pages)


def report_inputs(play: Play, steps: Steps, done: Evaluation | None = None, **more: Any) -> Any:
    """What the report is made from."""
    from playbook.adapt.results import versions
    from playbook.evaluate.report_content import ReportInputs
    from playbook.evaluate.report_price import priced

    spec = play.task.spec
    given: dict[str, Any] = {
        "references": steps.references,
        "decision": steps.decision,
        "base": steps.base,
        "frozen": steps.frozen,
        "early": steps.early,
    }
    given |= {"audit": steps.audit, "candidate": steps.choice, "controls": steps.controls}
    given |= {"evaluation": priced(spec, done) if done is not None else None}
    there = {name: part for name, part in given.items() if part is not None and not part.skipped}
    return ReportInputs(
        spec=spec,
        dataset=steps.dataset,
        rungs=steps.rungs,
        hardware=(done.hardware if done is not None else "") or steps.model.hardware,
        called=_called(play),
        versions=versions(),
        **there,
        **more,
    )
