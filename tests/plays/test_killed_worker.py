"""A training worker that is killed in the middle ends, started again, with the weights of one that nobody disturbed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from adapt_samples import FAST, make_bench, silent

from playbook.adapt.job import Job, JobResult
from playbook.adapt.rung import run_rung
from playbook.settings import child_environment

DROPPING = FAST.model_copy(update={"dropout": 0.1, "epochs": 6, "batch_size": 8})


def weights_of(job: Job) -> bytes:
    return (job.out / "weights.safetensors").read_bytes()


@pytest.mark.proof
def test_a_killed_worker_ends_with_the_same_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLAYBOOK_THREADS", "1")  # sums depend on the number of threads; children get the same one
    bench = make_bench(tmp_path)
    whole, job = bench.rung("whole", DROPPING), bench.rung("killed", DROPPING)
    run_rung(whole, silent)
    command = [sys.executable, "-m", "playbook.adapt.worker", str(job.save(bench.folder / "job.json"))]
    log = (bench.folder / "worker.log").open("w")
    with subprocess.Popen(
        command, env=child_environment(), cwd=bench.folder, stdout=subprocess.PIPE, stderr=log, text=True
    ) as child:
        assert child.stdout is not None
        for line in child.stdout:
            if line.startswith("epoch 2/"):  # the first epoch's checkpoint is whole, the next is being made
                break
        child.kill()
    assert child.returncode == -9 and JobResult.load(job.out) is None
    said: list[str] = []
    result = run_rung(job, said.append)  # what the worker itself calls
    assert JobResult.load(job.out) == result and 0 < result.resumed_epochs < DROPPING.epochs
    assert f"resuming after epoch {result.resumed_epochs}" in "\n".join(said)
    assert weights_of(job) == weights_of(whole)
