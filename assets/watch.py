"""Play 6, every day: the window of the prediction log, its drift, and whether the task goes back to its data."""

# Annotations are real types here: Dagster reads them to load each input as the artefact that it is.
from collections.abc import Iterator
from typing import Any

import dagster as dg

from assets.code_versions import version_of
from assets.factory import AssetMaker
from assets.play import Made, Play, png, remembered, result
from assets.retrain import evaluate_policy
from assets.watching import answering, arrived_in, flat, window_of
from assets.window_figures import judge_window, rows_of, write_figures
from playbook.artifacts import Drift, ProductionWindow, RetrainDecision, canonical_hash
from playbook.plays import DRIFT, RETRAIN, WINDOW

NO_PAGE_TAG = "playbook/no_page"  # of a run that leaves the monitoring page alone
NO_DRIFT = "no_drift"  # the asset check: a window without alarm


def watch_assets(maker: AssetMaker) -> list[dg.AssetsDefinition]:
    """The daily assets of a task, upstream first."""
    days = dg.DailyPartitionsDefinition(start_date=maker.task.spec.monitoring.since.isoformat())
    return [_production_window(maker, days), _drift(maker, days), _retrain_decision(maker, days)]


def _production_window(maker: AssetMaker, days: dg.DailyPartitionsDefinition) -> dg.AssetsDefinition:
    owner = maker.task.spec.owners.data
    options = maker.options(WINDOW, play=6, owner=owner, part="watch", kinds={"sql", "parquet"}, upstream={})

    @dg.asset(**options, partitions_def=days, description="Logged predictions of the days up to this one.")
    def window(context: dg.AssetExecutionContext) -> dg.Output[ProductionWindow]:
        play = maker.play(context, WINDOW)
        done = take_window(play, context.partition_key)
        shown = {"rows": done.rows, "outcomes": done.outcomes, "lost": done.lost, "versions": dict(done.versions)}
        return result(play, done, {**shown, "first_day": done.first_day, "day": done.day})

    return window


def take_window(play: Play, day: str) -> ProductionWindow:
    """The window that ends with a day, as the log has it now; the same rows are the same result."""
    import pandas as pd

    span = window_of(play, day)
    log = play.world.prediction_log(play.task.spec.task)
    logged = log.window(span.first, span.last, known_by=span.known_by)
    tables = {"rows": flat(logged), "outcomes": flat(arrived_in(span, log.labelled(known_by=span.known_by)))}
    served = answering(play, logged)
    version = served.registered.version if served else ""
    versions = {str(name): int(n) for name, n in logged["version"].value_counts().sort_index().items()}
    texts = pd.DataFrame({"text": logged["text"]})
    hashed = [int(pd.util.hash_pandas_object(table, index=False).sum()) for table in (*tables.values(), texts)]
    facts = ProductionWindow(
        task=play.task.spec.task,
        day=day,
        first_day=span.first.isoformat(),
        rows=len(logged),
        outcomes=len(tables["outcomes"]),
        lost=log.lost(),
        model_version=version,
        versions=versions,
        reason="" if len(logged) else "nothing was logged on these days",
    )
    inputs = {"facts": facts.model_dump(mode="json"), "rows": hashed, "code": version_of("watch")}

    def make(key: str) -> Made:
        folder = play.work(key)
        files = {name: folder / f"{name}.parquet" for name in tables}
        for name, table in tables.items():
            table.to_parquet(files[name], index=False)
        if served is not None:
            files |= write_figures(play, served, logged[logged["version"] == version], folder)
        return Made(facts, files)

    return remembered(play, ProductionWindow, inputs, make)


def _drift(maker: AssetMaker, days: dg.DailyPartitionsDefinition) -> dg.AssetsDefinition:
    owner = maker.task.spec.owners.data
    options = maker.options(DRIFT, play=6, owner=owner, part="watch", kinds={"numpy"}, upstream={"window": WINDOW})
    check = dg.AssetCheckSpec(NO_DRIFT, asset=maker.key(DRIFT), description="No figure is over its threshold.")

    @dg.asset(
        **options,
        partitions_def=days,
        check_specs=[check],
        description="Inputs and answers held against the reference by a permutation test; the live metric.",
    )
    def drift(context: dg.AssetExecutionContext, window: ProductionWindow) -> Iterator[Any]:
        play = maker.play(context, DRIFT)
        served = answering(play, rows_of(play, window))
        champion = served.registered.bundle_sha256 if served else ""
        inputs = {"window": window.digest, "champion": champion, **_inputs(play)}
        done = remembered(play, Drift, inputs, lambda key: Made(judge_window(play, window, served)))
        track(play, done)
        yield result(play, done, _drift_shown(done))
        yield dg.AssetCheckResult(
            check_name=NO_DRIFT,
            passed=not done.alarm,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={"day": done.day, "found": done.text or done.reason, "model_version": done.model_version or "-"},
        )

    return drift


def _inputs(play: Play) -> dict[str, Any]:
    """What the figures of a day depend on beside its window and the model that answered."""
    spec = play.task.spec
    return {
        "monitoring": spec.monitoring.model_dump(mode="json", exclude={"since", "window_days"}),
        "limits": [limit.model_dump(mode="json") for limit in spec.target.all_limits],
        "confidence": [spec.evaluation.confidence, spec.evaluation.resamples],
        "serving": spec.serving.model_dump(mode="json", exclude={"log_share", "retention_days"}),
        "seed": spec.adaptation.seed,
        "code": version_of("watch"),
    }


def track(play: Play, done: Drift) -> None:
    """Put a day's figures into MLflow's monitoring run of the model version."""
    from resources.monitoring_run import log_day

    figures = {figure.name: figure.value for figure in done.figures}
    figures |= {"rows": float(done.rows), "alarm": float(done.alarm)}
    figures |= {"estimate": done.estimate.value} if done.estimate else {}
    figures |= {"live": done.live.value} if done.live else {}
    log_day(play.world.tracking, play.task.spec.task, done.model_version or "none", done.day, figures)


def _drift_shown(done: Drift) -> dict[str, Any]:
    lines = ["| figure | value | threshold | alarm |", "|---|---|---|---|"]
    for one in done.figures:
        limit = "-" if one.threshold is None else f"{one.threshold:.4g}"
        lines.append(f"| {one.name} | {one.value:.4g} | {limit} | {'ALARM' if one.alarm else '-'} |")
    shown: dict[str, Any] = {
        "alarm": done.alarm,
        "text": done.text or done.reason or "-",
        "rows": done.rows,
        "model_version": done.model_version or "-",
        "dataset_version": done.dataset_version or "-",
        "dataset_hash": done.dataset_hash or "-",
        "false_alarm_rate": done.false_alarm_rate,
        "figures": dg.MetadataValue.md("\n".join(lines)),
    }
    shown |= {one.name.replace(" ", "_"): one.value for one in done.figures}
    shown |= {"detectable_share": done.detectable} if done.detectable is not None else {}
    shown |= {"estimate": done.estimate.value} if done.estimate else {}
    shown |= {"live": done.live.value, "live_low": done.live.low, "live_high": done.live.high} if done.live else {}
    return shown


def _retrain_decision(maker: AssetMaker, days: dg.DailyPartitionsDefinition) -> dg.AssetsDefinition:
    owner = maker.task.spec.owners.model
    upstream = {"drifted": DRIFT}
    options = maker.options(RETRAIN, play=6, owner=owner, part="watch", kinds={"json"}, upstream=upstream)

    @dg.asset(**options, partitions_def=days, description="The retraining policy of the day: fired or not, and why.")
    def decision(context: dg.AssetExecutionContext, drifted: Drift) -> dg.Output[RetrainDecision]:
        play = maker.play(context, RETRAIN)
        found = evaluate_policy(play, drifted)
        # It looks at logs outside of Dagster's graph, so it is evaluated every time; an equal result is kept.
        inputs = {"decision": found.model_dump(mode="json")}
        done = remembered(play, RetrainDecision, {"key": canonical_hash(inputs)}, lambda key: Made(found))
        checked = {str(name): what for name, what in done.checked.items()}
        shown = {"fired": done.fired, "why": done.reason, "new_labels": done.new_labels}
        return result(play, done, {**shown, **_page(play), "checked": dg.MetadataValue.json(checked)})

    return decision


def _page(play: Play) -> dict[str, Any]:
    """The task's monitoring page, rewritten, and its picture; a replay of many days writes it once, at its end."""
    if NO_PAGE_TAG in play.context.run.tags:
        return {}
    from assets.monitoring import publish_monitoring

    published = publish_monitoring(play.world, play.task)
    if published is None:
        return {}
    return {"page": dg.MetadataValue.path(str(published.page)), "story": png(published.story, "monitoring")}
