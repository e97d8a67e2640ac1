"""What shows only in a process of its own: a killed builder, two at once, a clean start, an environment."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from adapt_samples import opened, silent
from drift_samples import reference
from report_samples import ORDINARY, spec_for
from served_models import write_tiny_weights
from tiny_base import write_tiny_base

from playbook.adapt.cache import ActivationCache, Recomputed, build_cache, length_order
from playbook.adapt.classifier import save_bundle
from playbook.evaluate.budgets import measure_budgets, size_mb

BOUNDARIES = (0, 1)
ROOT = Path(__file__).resolve().parents[2]
CHILDREN = multiprocessing.get_context("forkserver")  # imports torch once for all children
CHILDREN.set_forkserver_preload(["playbook.adapt.frozen", "transformers", "pytest"])


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    write_tiny_base(folder)
    return folder


def build_and_die(base: Path, folder: Path) -> None:
    """Be killed when the activations are on disk and the last files are not."""

    def die(*args: Any, **kwargs: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    np.save = die
    encoder, tokens = opened(base)
    build_cache(folder, encoder, tokens, BOUNDARIES, torch.float32, silent)


def test_what_a_killed_builder_left_is_not_taken(base: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    child = CHILDREN.Process(target=build_and_die, args=(base, folder))
    child.start()
    child.join(240)
    assert child.exitcode == -signal.SIGKILL
    left = [path.name for path in tmp_path.iterdir() if path.name.endswith(".part")]
    assert len(left) == 1 and not folder.exists(), "the builder died in the middle, its folder never got the name"
    encoder, tokens = opened(base)
    lines: list[str] = []
    found = build_cache(folder, encoder, tokens, BOUNDARIES, torch.float32, lines.append)
    assert lines, "it was computed, not taken over"
    order = length_order(tokens)
    assert torch.equal(found.gather(order, 1)[0], Recomputed(encoder, tokens, torch.float32).gather(order, 1)[0])


def build_in_child(base: Path, folder: Path, log: Path) -> None:
    encoder, tokens = opened(base)
    lines: list[str] = []
    build_cache(folder, encoder, tokens, BOUNDARIES, torch.float32, lines.append)
    log.write_text(json.dumps(lines))


def test_two_that_build_at_once_make_one_cache(base: Path, tmp_path: Path) -> None:
    folder = tmp_path / "caches" / "cache"
    logs = [tmp_path / f"{number}.json" for number in range(2)]
    children = [CHILDREN.Process(target=build_in_child, args=(base, folder, log)) for log in logs]
    for child in children:
        child.start()
    for child in children:
        child.join(240)
    assert [child.exitcode for child in children] == [0, 0]
    built = [bool(json.loads(log.read_text())) for log in logs]
    assert sorted(built) == [False, True], "one computed, the other took what it found"
    assert sorted(path.name for path in folder.parent.iterdir()) == ["cache", "cache.lock"]
    assert ActivationCache(folder).boundaries == [0, 1]


def test_a_model_is_measured_in_a_clean_process(tmp_path: Path) -> None:
    pin = write_tiny_base(tmp_path / "base")
    weights = write_tiny_weights(tmp_path / "weights.safetensors", 3)
    folder = tmp_path / "bundle"
    save_bundle(folder, tmp_path / "base", pin, ("a", "b", "c"), weights, "float32")
    limits = [{"metric": name, "at_most": 1e6} for name in ("latency_p95_ms", "size_mb", "memory_mb")]
    spec = spec_for(ORDINARY, limits=limits)
    found = measure_budgets(spec, folder, ["my order is late", "reset"])
    assert set(found) == {"latency_p95_ms", "size_mb", "memory_mb"}
    assert found["size_mb"].value == size_mb(folder)
    assert 0 < found["latency_p95_ms"].value < 1000 and 0 < found["memory_mb"].value < 2000
    assert measure_budgets(spec_for(ORDINARY), folder, []) == {}


def test_the_same_reference_gives_the_same_bytes_in_every_process(tmp_path: Path) -> None:
    program = (
        "import sys; sys.path.insert(0, 'tests'); import numpy as np; from drift_samples import reference;"
        "print(reference(np.random.default_rng(1), 40).digest)"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.strip()
        for _ in range(2)
    }
    held = reference(np.random.default_rng(1), 40)
    assert said == {held.digest}
    assert held.digest != dataclasses.replace(held, temperature=1.1).digest


@pytest.mark.parametrize("offline", ["1", pytest.param("0", marks=pytest.mark.proof)])
def test_hub_out_of_reach_is_a_clear_error(tmp_path: Path, offline: str) -> None:
    """In a process of its own, with a port where nobody listens as the hub; online, its library tries for 25 s."""
    code = (
        "from playbook.bases.locate import OF_EXTRAS, locate_base; from playbook.spec import Base; "
        "locate_base(Base(hub='team/model', revision='a' * 40, sha256='0' * 64, licence='mit'), str)"
    )
    places = {"HF_HOME": str(tmp_path), "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_OFFLINE": offline}
    root = str(ROOT)
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": root, "PATH": "", **places},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    assert "PinMismatch: base.hub: expected team/model at commit aaaa" in done.stderr
    assert "go online once" in done.stderr


def test_pinning_needs_no_torch() -> None:
    code = "import sys, playbook.bases.pin, playbook.bases.locate; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
