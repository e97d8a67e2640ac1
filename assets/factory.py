"""The graph of one task: every asset gets its group, owner, play tag and code version here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg

from assets.play import PLAY_TAG, Play, code_version
from playbook.taskfile import Task, grown
from resources.world import World

# What each play's result depends on besides its inputs.
_FEATURES = ("playbook.adapt.features", "playbook.adapt.encoder", "playbook.adapt.cache", "playbook.adapt.tokens")
_SCORES = ("playbook.evaluate.metrics", "playbook.evaluate.paired", "playbook.statistics")
_REFERENCES = ("playbook.decide.references", "playbook.decide.tfidf", "playbook.data.text_features")
_ANSWERS = ("playbook.adapt.classifier", *_FEATURES)
CODE = {
    "scope": ("playbook.spec",),
    "data": ("playbook.data", "resources.gate"),
    "references": (*_REFERENCES, "playbook.decide.zero_shot", *_FEATURES, *_SCORES),
    "decision": ("playbook.decide", "playbook.bases", *_FEATURES),
    "base": ("playbook.bases", "playbook.adapt.head", *_FEATURES, *_SCORES),
    "adapt": ("playbook.adapt", *_SCORES),
    "early_end": ("playbook.evaluate.early_end", *_ANSWERS, *_SCORES),
    "audit": ("playbook.data", "playbook.adapt.head", *_FEATURES, *_SCORES),
    "answers": ("playbook.evaluate.answers", "playbook.evaluate.incumbent", *_ANSWERS),
    "evaluate": (
        "playbook.evaluate",
        "playbook.statistics",
        "playbook.adapt.transfer",
        "playbook.bases.latency",
        "assets.examination",
        "assets.reference",
        "assets.rounds",
        "assets.silence",
        "assets.test_answers",
        "playbook.operate.figures",
        "playbook.operate.reference",
        *_ANSWERS,
    ),
    "report": ("playbook.evaluate",),
    "sign_off": ("playbook.evaluate.approval", "playbook.evaluate.binding", "playbook.evaluate.sign_off_state"),
    "package": (
        "assets.silence",
        "playbook.evaluate.calibration",
        "playbook.operate.answering",
        "playbook.statistics.strangers",
        "playbook.operate.bundle",
        "playbook.evaluate.budgets",
        "playbook.bases.latency",
        "playbook.operate.parity",
        "playbook.operate.parity_child",
        "playbook.operate.recipe",
        *_ANSWERS,
    ),
    "handoff": (
        "playbook.operate.handoff",
        "playbook.operate.handoff_pages",
        "playbook.operate.handoff_limits",
        "playbook.decide.log_page",
    ),
    "watch": (
        "playbook.operate.drift",
        "playbook.operate.figures",
        "playbook.operate.reference",
        "playbook.operate.thresholds",
        "playbook.operate.two_sample",
        "playbook.operate.policy",
        "playbook.operate.detectable",
        "playbook.operate.estimate",
        "playbook.operate.live",
        "playbook.operate.watch",
        "playbook.evaluate.metrics",
        "playbook.evaluate.paired",
        "playbook.statistics",
    ),
    "accumulate": ("playbook.operate.accumulate", "playbook.operate.rounds"),
}


def version_of(part: str) -> str:
    """Code version of one part of the plays."""
    return code_version(*CODE[part])


class AssetMaker:
    """Options that the assets of one task share."""

    def __init__(self, task: Task, world: World) -> None:
        self.task, self.world = task, world
        self.name = task.spec.task

    def key(self, asset: str) -> dg.AssetKey:
        """Dagster's key of one of the task's assets."""
        return dg.AssetKey([self.name, asset])

    def play(self, context: dg.AssetExecutionContext, asset: str) -> Play:
        """The running play; its classes are those of now, which a play before it may have added to."""
        return Play(context, self.world, grown(self.task), asset)

    def options(
        self, asset: str, *, play: int, owner: str, part: str, kinds: set[str], upstream: Mapping[str, str]
    ) -> dict[str, Any]:
        """Arguments of `dagster.asset`; `upstream` maps argument names to assets."""
        return {
            "key": self.key(asset),
            "ins": {argument: dg.AssetIn(key=self.key(source)) for argument, source in upstream.items()},
            "group_name": self.name,
            "owners": [owner],
            "kinds": {"python", *kinds},
            "tags": {PLAY_TAG: str(play)},
            "code_version": version_of(part),
            "io_manager_key": "artifacts",
        }
