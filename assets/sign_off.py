"""Play 5 ends: the sign-off, read from the decision log and bound to what lies on disk."""

# Annotations are real types here: Dagster reads them to load each input as the artefact that it is.
from collections.abc import Sequence
from typing import Any

import dagster as dg

from assets.candidate import in_order, rung_inputs
from assets.code_versions import version_of
from assets.factory import AssetMaker
from assets.play import Made, Play, remembered, require_green, result, skip
from playbook.artifacts import (
    BaseSelection,
    Candidate,
    DatasetVersion,
    Evaluation,
    FrozenBaseline,
    Report,
    Rung,
    SignOff,
)
from playbook.evaluate.approval import Case, make_case, settle
from playbook.evaluate.binding import Bound, shipping_model
from playbook.plays import BASE, CANDIDATE, DATASET, EVALUATION, FROZEN, REPORT, SIGN_OFF


def sign_off(maker: AssetMaker) -> dg.AssetsDefinition:
    """The approval, or what it waits for; nothing is trained, opened or decided again here."""
    options = maker.options(
        SIGN_OFF,
        play=5,
        owner=maker.task.spec.owners.sign_off,
        part="sign_off",
        kinds={"json"},
        upstream={"dataset": DATASET, "base": BASE, "frozen": FROZEN, "choice": CANDIDATE, "judged": EVALUATION},
    )
    options["ins"] |= rung_inputs(maker)

    @dg.asset(**options, description="Who approved what, bound to the hashes of data, splits, base, weights, report.")
    def signed(
        context: dg.AssetExecutionContext,
        dataset: DatasetVersion,
        base: BaseSelection,
        frozen: FrozenBaseline,
        choice: Candidate,
        judged: Evaluation,
        **rungs: Rung,
    ) -> dg.Output[SignOff]:
        play = maker.play(context, SIGN_OFF)
        require_green(dataset)
        if judged.skipped or not judged.ships:
            return result(play, skip(play, SignOff, judged.reason or "nothing is shipped, so nothing is signed off"))
        case = sign_off_case(play, dataset, base, frozen, choice, judged, in_order(rungs))
        # The log and the disk are outside of Dagster's graph: both are read every time, only an equal result is kept.
        state = settle(case)
        inputs = {"state": state.model_dump(mode="json"), "code": version_of("sign_off")}
        done = remembered(play, SignOff, inputs, lambda key: Made(state))
        play.report(said(done))
        return result(play, done, _shown(done))

    return signed


def sign_off_case(
    play: Play,
    dataset: DatasetVersion,
    base: BaseSelection,
    frozen: FrozenBaseline,
    choice: Candidate,
    judged: Evaluation,
    rungs: Sequence[Rung],
) -> Case:
    """What an approval of this run has to name; every file is hashed now."""
    models = {FROZEN: frozen, **{step.step: step for step in rungs if not step.skipped}}
    source, model = shipping_model(judged, choice, models)
    name, world = play.task.spec.task, play.world
    pages = world.store.current(name, REPORT, Report)
    bound = Bound(play.task, world.store, world.places.report(name), dataset, base, model, source, judged, pages)
    return make_case(bound, world.decision_log(name))


def said(approval: SignOff) -> str:
    """The state of the sign-off in one sentence."""
    if approval.state == "approved":
        return approval.reason or f"approved by {approval.by} on {approval.at}"
    reason = f" ({approval.reason})" if approval.reason else ""
    waits = f"; waiting for {approval.awaits}" if approval.awaits else ""
    return f"{'awaiting sign-off' if approval.state == 'awaiting' else approval.state}{reason}{waits}"


def _shown(done: SignOff) -> dict[str, Any]:
    binding = done.binding.model_dump(mode="json") if done.binding else {}
    return {
        "state": done.state,
        "awaits": done.awaits or "-",
        "mode": done.mode,
        "by": done.by or "-",
        "at": done.at or "-",
        "same_person": done.same_person,
        "answers": dg.MetadataValue.json(done.answers),
        "waivers": dg.MetadataValue.json([waiver.model_dump() for waiver in done.waivers]),
        "binding": dg.MetadataValue.json(binding),
        "log_entry": done.log_entry or "-",
    }
