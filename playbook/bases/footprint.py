"""What answering with a base costs on this machine: time per call and memory, each measured in a clean process.

In a process of its own nothing that other candidates have loaded counts, so the order of candidates does not matter.
Candidates take their short rounds in turn, so that whatever else the machine does meanwhile meets all of them alike; a
candidate whose figure comes near the limit is asked for more rounds before anybody judges it.
"""

from __future__ import annotations

import json
import math
import os
import select
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playbook.artifacts import BasePin, Latency
from playbook.bases.latency import BATCHES, MIB, ROUNDS, SECONDS, Round, Stopwatch, figures, settled
from playbook.errors import PinMismatch
from playbook.settings import child_environment
from playbook.spec import Adaptation

TIMEOUT = 900  # seconds for one reply of a candidate's process
NEAR = 0.3  # a 95th percentile within so much of the limit, as a share of it, is measured again
AGAIN = 3  # times the rounds that it had
TOGETHER = 4 * 2**30  # bytes of weights of the candidates that may be loaded at the same time


@dataclass(frozen=True)
class Footprint:
    """Latency by batch size, and how far the process grew while the base was loaded and answered, in MiB.

    On a GPU the peak of its memory is added.
    """

    latency: tuple[Latency, ...]
    memory_mb: float


@dataclass(frozen=True)
class Loaded:
    """What is measured: a folder, and how the clean process loads it."""

    folder: Path
    request: dict[str, Any]


def base_to_measure(folder: Path, pin: BasePin, adaptation: Adaptation) -> Loaded:
    """A base in its folder; accelerator and precision are those of `adaptation`."""
    request = {"pin": pin.model_dump(mode="json"), "adaptation": adaptation.model_dump(mode="json")}
    return Loaded(folder, {"folder": str(folder.resolve()), **request})


def measure_bundle(folder: Path, accelerator: str, texts: Sequence[str], limit: float | None = None) -> Footprint:
    """A packaged model, as `playbook.adapt.classifier.save_bundle` writes it; arguments as in `measure_footprints`."""
    loaded = Loaded(folder, {"bundle": str(folder.resolve()), "accelerator": accelerator})
    return measure_footprints([loaded], texts, limit)[0]


def measure_footprints(
    models: Sequence[Loaded], texts: Sequence[str], limit: float | None = None
) -> tuple[Footprint, ...]:
    """Load models in clean processes and answer real texts with them, in turn.

    Args:
        models: the candidates; small ones are loaded at the same time, large ones one after the other.
        texts: what calls are made of, at least one.
        limit: milliseconds that the 95th percentile of one text is judged by, if anything is.

    Raises:
        PinMismatch: one does not load or answer; with what its process said last.
    """
    size = sum(path.stat().st_size for one in models for path in one.folder.glob("*.safetensors"))
    groups = [models] if size <= TOGETHER else [[one] for one in models]
    return tuple(found for group in groups for found in _measured(group, texts, limit))


def _measured(models: Sequence[Loaded], texts: Sequence[str], limit: float | None) -> list[Footprint]:
    with ExitStack() as stack:
        asked = [stack.enter_context(_Process(one, texts)) for one in models]
        for batch, fewest in BATCHES.items():
            _take_turns(asked, batch, fewest, ROUNDS)
        near = [one for one in asked if limit and abs(one.latency(1).p95_ms / limit - 1) <= NEAR]
        _take_turns(near, 1, BATCHES[1], AGAIN * ROUNDS, to_the_end=True)
        return [Footprint(tuple(one.latency(batch) for batch in BATCHES), one.memory()) for one in asked]


def _take_turns(asked: Sequence[_Process], batch: int, fewest: int, rounds: int, *, to_the_end: bool = False) -> None:
    for _ in range(rounds):
        for one in asked:
            if to_the_end or not settled(batch, one.rounds[batch]):
                one.round(batch, SECONDS / ROUNDS, math.ceil(fewest / ROUNDS))


@dataclass
class _Process:
    """A clean process that has loaded one model and times it when it is asked to."""

    model: Loaded
    texts: Sequence[str]
    rounds: dict[int, list[Round]] = field(default_factory=lambda: {batch: [] for batch in BATCHES})

    def __enter__(self) -> _Process:
        self._scratch = tempfile.TemporaryDirectory(prefix="footprint-")
        place = Path(self._scratch.name)
        request = {**self.model.request, "texts": list(self.texts)}
        (place / "request.json").write_text(json.dumps(request), encoding="utf-8")
        self._errors = (place / "errors").open("w+b")
        command = [sys.executable, "-m", "playbook.bases.footprint", str(place)]
        self._process = subprocess.Popen(
            command,
            env=child_environment(),
            cwd=place,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
        )
        try:
            self._reply()  # it has loaded
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            if stream is not None:
                stream.close()
        self._scratch.cleanup()

    def round(self, batch: int, seconds: float, fewest: int) -> None:
        found = self._ask({"batch": batch, "seconds": seconds, "fewest": fewest})
        self.rounds[batch].append(Round(tuple(found["durations"]), tuple(found["waited"])))

    def latency(self, batch: int) -> Latency:
        return figures(batch, self.rounds[batch])

    def memory(self) -> float:
        return float(self._ask({})["memory_mb"])

    def _ask(self, question: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(question).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._ended() from None
        return self._reply()

    def _reply(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], TIMEOUT)[0]:
            raise PinMismatch(
                f"{self.model.folder}: expected answers within {TIMEOUT} s, found none; choose a smaller base"
            )
        line = self._process.stdout.readline()
        if not line:
            raise self._ended()
        found: dict[str, Any] = json.loads(line)
        return found

    def _ended(self) -> PinMismatch:
        status = self._process.wait()
        self._errors.seek(0)
        last = "\n".join(self._errors.read().decode(errors="replace").strip().splitlines()[-8:])
        return PinMismatch(
            f"{self.model.folder}: expected the base to load and answer in a clean process, which ended with status "
            f"{status}; choose another base. It said:\n{last}"
        )


class Model:
    """The clean process's side: a loaded model, its stopwatches, and how far the process grew."""

    def __init__(self, request: dict[str, Any]) -> None:
        import safetensors.torch  # noqa: F401 - what is imported before counts to no base
        import tokenizers  # noqa: F401
        import torch

        from playbook.adapt.classifier import load_bundle
        from playbook.adapt.features import FeatureExtractor
        from playbook.adapt.precision import training_device

        self._before = _memory("VmRSS")
        if "bundle" in request:
            model = load_bundle(Path(request["bundle"]), training_device(request["accelerator"]))
            answer, self._device = model.predict_proba, model.device
        else:
            extract = FeatureExtractor(
                Path(request["folder"]), BasePin(**request["pin"]), Adaptation(**request["adaptation"])
            )
            answer, self._device = extract, extract.device
        self._torch = torch
        self._watches = {batch: Stopwatch(answer, request["texts"], batch) for batch in BATCHES}

    def reply(self, question: dict[str, Any]) -> dict[str, Any]:
        """A round of calls; asked for nothing, the memory."""
        if question:
            done = self._watches[question["batch"]].round(question["seconds"], question["fewest"])
            return {"durations": done.durations, "waited": done.waited}
        grown = max(0.0, _memory("VmHWM") - self._before)
        if self._device.type == "cuda":
            grown += self._torch.cuda.max_memory_allocated(self._device) / MIB
        return {"memory_mb": round(grown, 1)}


def serve_rounds(place: Path) -> None:
    """The clean process: load, say so, then one line of JSON for every line that comes in."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints goes to the errors, not among the replies
    model = Model(json.loads((place / "request.json").read_text(encoding="utf-8")))
    print(json.dumps({"loaded": True}), file=replies, flush=True)
    for line in sys.stdin:
        print(json.dumps(model.reply(json.loads(line))), file=replies, flush=True)


def _memory(field: str) -> float:
    """Memory of this process in MiB: VmRSS now, VmHWM at its peak; the peak for both where there is no /proc.

    The peak that getrusage knows is inherited from the parent on Linux, so it serves elsewhere only.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        line = next(line for line in status.read_text().splitlines() if line.startswith(field))
        return int(line.split()[1]) / 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (MIB if os.uname().sysname == "Darwin" else 1024)


if __name__ == "__main__":
    serve_rounds(Path(sys.argv[1]))
