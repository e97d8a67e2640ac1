"""Whether the base of the model that serves may be trained on in a round."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from report_samples import PIN

from assets.incumbent import base_out
from playbook.artifacts import BaseCandidate, BaseSelection

OTHER = PIN.model_copy(update={"weights_sha256": "7" * 64})
CHOSEN = BaseCandidate(name="chosen", pin=OTHER)


@pytest.mark.parametrize(
    ("candidates", "said"),
    [
        ((CHOSEN, BaseCandidate(name="mine", pin=PIN)), ""),
        ((CHOSEN, BaseCandidate(name="mine", pin=PIN, out="memory 90 MiB: at most 8")), "memory 90 MiB: at most 8"),
        ((CHOSEN, BaseCandidate(name="mine", out="licence mit: expected one of apache-2.0")),
         "licence mit: expected one of apache-2.0"),
        ((CHOSEN,), "it is no longer a base of the task file"),
    ],
)  # fmt: skip
def test_a_base_is_refreshed_unless_the_task_rules_it_out(candidates: tuple[BaseCandidate, ...], said: str) -> None:
    spec = SimpleNamespace(bases=[SimpleNamespace(sha256="7" * 64), SimpleNamespace(sha256=PIN.weights_sha256)])
    play: Any = SimpleNamespace(task=SimpleNamespace(spec=spec))
    served: Any = SimpleNamespace(identity=SimpleNamespace(base_sha256=PIN.weights_sha256))
    assert base_out(play, BaseSelection(task="demo", candidates=candidates), served) == said
