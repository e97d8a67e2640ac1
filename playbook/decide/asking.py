"""Where a model that is prompted comes before anything that is trained (1.4), whatever the points say."""

from __future__ import annotations

from playbook.decide.factors import CEILING, VOLUME
from playbook.decide.limits import REACH
from playbook.decide.measured import Measured, few_rows
from playbook.spec import TaskSpec
from playbook.statistics.metric import is_met

FAST_MS = 300.0  # a prompted language model rarely answers within it
NETWORK_MS = 100.0  # nor ever, as a 95th percentile, on other machines: network and queue are on top (judgement)


def asked_first(spec: TaskSpec, measured: Measured) -> str:
    """Why prompting is taken before training, or "".

    It is where a prompted model was seen to reach the target: then nothing has to be trained, as where a reference
    baseline reaches it. And it is where labelled rows are few and the model at hand was not tried: that takes half a
    day, and what so few rows teach a base is mostly chance. A short time limit or a high need of control speaks against
    both; then the points decide.
    """
    said = spec.decision
    if said.prompting_place == "none" or answers_fast(spec) or (said.control == "high" and not asked_at_home(spec)):
        return ""
    if said.prompting_reaches is not None:
        if not is_met(spec.target, said.prompting_reaches):
            return ""
        return f"the prompted model that was tried reaches the target, so nothing needs training ({CEILING})"
    few = few_rows(spec, measured)
    if not few or said.prompting_place not in REACH:
        return ""
    return (
        f"{few} are few ({VOLUME}), and trying the model at hand takes half a day. Enter what it reached in "
        "decision.prompting_reaches, and ask again if it falls short"
    )


def answers_fast(spec: TaskSpec) -> bool:
    """Whether answers have to come faster than a prompted model gives them as a rule."""
    limit = latency_limit(spec)
    return limit is not None and limit <= FAST_MS


def latency_limit(spec: TaskSpec) -> float | None:
    """Milliseconds that one answer may take, where anything says so."""
    return spec.decision.latency_ms or spec.bake_off.budget.latency_p95_ms


def asked_at_home(spec: TaskSpec) -> bool:
    """Whether the model that is prompted runs on own premises, where it changes only when the team says so."""
    return spec.decision.prompting_place == "own_premises"
