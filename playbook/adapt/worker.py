"""The one entry for training: `python -m playbook.adapt.worker JOB.json`.

One device: called in process (`playbook.adapt.rung.run_rung`) or as above. Several devices of one machine:
`launch_command` starts it under torch.distributed.run. Rank 0 reports through Dagster Pipes where that is present.
Every process asks the kernel to end it when its parent ends, so a killed run leaves nothing behind. It is told which
process that is: a parent killed before the kernel was asked is noticed, too.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from playbook.adapt.job import Job
from playbook.errors import PlaybookError
from playbook.settings import quiet_environment

PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


def launch_command(job_file: Path, devices: int) -> list[str]:
    """Command line that trains on `devices` processes of this machine."""
    options = ["--devices", str(devices), "--parent", str(os.getpid())]
    return [sys.executable, "-m", "playbook.adapt.worker", str(job_file), *options]


def die_with_parent(parent: int | None = None, by: signal.Signals = signal.SIGTERM) -> None:
    """End this process when its parent does (Linux; survives exec). Elsewhere the parent has to end it.

    Args:
        parent: process id of the parent, where it is known; else the one found now.
        by: the signal that ends it.
    """
    if not sys.platform.startswith("linux"):
        return
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a parent may have it ignored or blocked, and children inherit that
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    parent = parent or os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, by)
    if os.getppid() != parent:  # the parent ended before the kernel was asked
        os.kill(os.getpid(), by)


def _become_launcher(job_file: Path, devices: int) -> None:
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(devices)]
    worker = ["-m", "playbook.adapt.worker", str(job_file), "--parent", str(os.getpid())]  # exec keeps the process id
    command = [sys.executable, *launcher, *worker]
    os.execv(sys.executable, command)  # noqa: S606 - fixed command; exec keeps the death signal


def _train(job: Job, report: Callable[[str], None]) -> None:
    from playbook.adapt.rung import run_rung

    result = run_rung(job, report)
    report(f"validation {result.validation:.4f} after {len(result.curve)} epochs ({result.stopped})")


def main() -> int:
    """Train the job file; rank 0 talks to Dagster Pipes where it was started by Dagster."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("job", type=Path)
    parser.add_argument("--devices", type=int, default=1)
    parser.add_argument("--parent", type=int, help="process id of whoever started this; without it, this one ends")
    arguments = parser.parse_args()
    quiet_environment()
    # Lightning catches SIGTERM, and a rank that waits for a dead one never handles it. Checkpoints stand a kill.
    die_with_parent(arguments.parent, signal.SIGKILL)
    if arguments.devices > 1:
        _become_launcher(arguments.job, arguments.devices)
    job = Job.load(arguments.job)
    try:
        if os.environ.get("RANK", "0") != "0":
            _train(job, lambda message: None)
        elif "DAGSTER_PIPES_CONTEXT" in os.environ:
            from dagster_pipes import open_dagster_pipes

            with open_dagster_pipes() as pipes:
                _train(job, pipes.log.info)
        else:
            _train(job, lambda message: print(message, flush=True))
    except PlaybookError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return error.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(main())
