"""What answering with a base costs on this machine: time per call and memory, measured in a clean process.

In a process of its own nothing that other candidates have loaded counts, so the order of candidates does not matter.
A call takes texts to features: tokenising, all blocks, pooling; the head on top costs next to nothing.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from playbook.artifacts import BasePin, Latency
from playbook.errors import PinMismatch
from playbook.settings import child_environment
from playbook.spec import Adaptation

BATCHES = {1: 30, 32: 8}  # texts per call -> fewest calls that are timed
SECONDS = 0.4  # per batch size, at most; the fewest calls are made in any case
PRECISION = 0.1  # half the width of the intervals at which timing ends sooner, as a share of the figure
MOST_CALLS = 400
WARM_UP = 2
TIMEOUT = 900  # seconds for one candidate
MIB = 2**20


@dataclass(frozen=True)
class Footprint:
    """Latency by batch size, and how far the process grew while the base was loaded and answered, in MiB.

    On a GPU the peak of its memory is added.
    """

    latency: tuple[Latency, ...]
    memory_mb: float


def measure_footprint(folder: Path, pin: BasePin, adaptation: Adaptation, texts: Sequence[str]) -> Footprint:
    """Load a base and answer real texts in a clean process.

    Args:
        folder: the base's folder.
        pin: what lies there.
        adaptation: accelerator and precision are taken from it.
        texts: what calls are made of, at least one.

    Raises:
        PinMismatch: the base does not load or answer; with what the process said last.
    """
    request = {
        "folder": str(folder.resolve()),
        "pin": pin.model_dump(mode="json"),
        "adaptation": adaptation.model_dump(mode="json"),
        "texts": list(texts),
    }
    return _in_clean_process(folder, request)


def measure_bundle(folder: Path, accelerator: str, texts: Sequence[str]) -> Footprint:
    """Load a packaged model and answer real texts with it in a clean process.

    Args:
        folder: the model as `playbook.adapt.classifier.save_bundle` writes it.
        accelerator: of the task file.
        texts: what calls are made of, at least one.

    Raises:
        PinMismatch: the model does not load or answer; with what the process said last.
    """
    request = {"bundle": str(folder.resolve()), "accelerator": accelerator, "texts": list(texts)}
    return _in_clean_process(folder, request)


def _in_clean_process(folder: Path, request: dict[str, Any]) -> Footprint:
    with tempfile.TemporaryDirectory(prefix="footprint-") as scratch:
        place = Path(scratch)
        (place / "request.json").write_text(json.dumps(request), encoding="utf-8")
        command = [sys.executable, "-m", "playbook.bases.latency", str(place)]
        try:
            done = subprocess.run(
                command,
                env=child_environment(),
                cwd=place,
                capture_output=True,
                text=True,
                timeout=TIMEOUT,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise PinMismatch(
                f"{folder}: expected answers within {TIMEOUT} s, found none; choose a smaller base"
            ) from None
        if done.returncode != 0:
            last = "\n".join(done.stderr.strip().splitlines()[-8:])
            raise PinMismatch(
                f"{folder}: expected the base to load and answer in a clean process, which ended with status "
                f"{done.returncode}; choose another base. It said:\n{last}"
            )
        answer = json.loads((place / "answer.json").read_text(encoding="utf-8"))
    return Footprint(tuple(Latency(**figures) for figures in answer["latency"]), answer["memory_mb"])


def answer_request(place: Path) -> None:
    """The clean process: load, answer, write what it took to `answer.json`."""
    import safetensors.torch  # noqa: F401 - what is imported before counts to no base
    import tokenizers  # noqa: F401
    import torch

    from playbook.adapt.classifier import load_bundle
    from playbook.adapt.features import FeatureExtractor
    from playbook.adapt.precision import training_device

    request = json.loads((place / "request.json").read_text(encoding="utf-8"))
    before = _memory("VmRSS")
    answer: Callable[[list[str]], object]
    if "bundle" in request:
        model = load_bundle(Path(request["bundle"]), training_device(request["accelerator"]))
        answer, device = model.predict_proba, model.device
    else:
        extract = FeatureExtractor(
            Path(request["folder"]), BasePin(**request["pin"]), Adaptation(**request["adaptation"])
        )
        answer, device = extract, extract.device
    found = tuple(time_calls(answer, request["texts"], batch, calls) for batch, calls in BATCHES.items())
    grown = max(0.0, _memory("VmHWM") - before)
    if device.type == "cuda":
        grown += torch.cuda.max_memory_allocated(device) / MIB
    said = asdict(Footprint((), round(grown, 1))) | {"latency": [latency.model_dump() for latency in found]}
    (place / "answer.json").write_text(json.dumps(said), encoding="utf-8")


def time_calls(
    answer: Callable[[list[str]], object], texts: Sequence[str], batch: int, fewest: int, seconds: float = SECONDS
) -> Latency:
    """Median, 95th percentile and minimum of calls with `batch` texts each, after a warm-up; texts go in turn.

    Timing ends when the figures are precise enough, or after `seconds`: the median, and the 95th percentile of calls
    with one text, which limits are judged by. Calls in a row share what else the machine does at that moment, and the
    interval takes them for independent; so the 95th percentile is timed for half of the seconds in any case.
    """
    asked, least = ((0.5, 0.95), seconds / 2) if batch == 1 else ((0.5,), 0.0)
    started, durations = 0.0, list[float]()
    for call in range(WARM_UP + MOST_CALLS):
        if call == WARM_UP:
            started = time.perf_counter()
        spent = time.perf_counter() - started
        settled = spent >= least and len(durations) % 10 == 0 and is_precise(durations, asked)
        if len(durations) >= fewest and (spent >= seconds or settled):
            break
        part = [texts[(call * batch + at) % len(texts)] for at in range(batch)]
        began = time.perf_counter()
        answer(part)
        if call >= WARM_UP:
            durations.append(time.perf_counter() - began)
    p50, p95 = np.percentile(durations, [50, 95])
    per_second = batch * len(durations) / sum(durations)
    return Latency(
        batch=batch,
        p50_ms=round(1000 * p50, 3),
        p95_ms=round(1000 * p95, 3),
        per_second=round(per_second, 1),
        fastest_ms=round(1000 * min(durations), 3),
    )


def is_precise(durations: Sequence[float], quantiles: Sequence[float]) -> bool:
    """Whether the 95 % interval of each quantile lies within 10 % of it, on either side.

    An interval between two of the sorted durations, free of their distribution (David and Nagaraja, Order Statistics,
    2003, section 7.1), with the normal approximation of the binomial. Calls that other programs slowed down widen it.
    """
    ordered, n = np.sort(durations), len(durations)
    for quantile in quantiles:
        spread = 1.96 * math.sqrt(n * quantile * (1 - quantile))
        low, high = math.floor(n * quantile - spread) - 1, math.ceil(n * quantile + spread) - 1
        if low < 0 or high >= n:
            return False  # too few calls to bound it
        middle = np.quantile(ordered, quantile)
        if max(ordered[high] - middle, middle - ordered[low]) > PRECISION * middle:
            return False
    return True


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
    answer_request(Path(sys.argv[1]))
