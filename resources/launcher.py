"""How training is started: in this process for one device, through Dagster Pipes for several."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import dagster as dg

from playbook.adapt.job import Job, JobResult
from playbook.errors import TrainingFailed


class TrainLauncher:
    """Starts the one training entry, `playbook.adapt.worker`, where the task file asks for it."""

    def run(self, context: dg.AssetExecutionContext, job: Job, report: Callable[[str], None]) -> JobResult:
        """Train a job and return its result.

        Raises:
            TrainingFailed: the worker ended without a result.
        """
        if job.adaptation.devices == 1:
            from playbook.adapt.rung import run_rung

            return run_rung(job, report)
        self._run_processes(context, job)
        result = JobResult.load(job.out)
        if result is None:
            raise TrainingFailed(f"the worker ended without {job.out / 'result.json'}; its output above says why")
        return result

    @staticmethod
    def _run_processes(context: dg.AssetExecutionContext, job: Job) -> None:

        from playbook.adapt.worker import launch_command

        job_file: Path = job.save(job.out / "job.json")
        command = launch_command(job_file, job.adaptation.devices)
        try:
            dg.PipesSubprocessClient().run(context=context, command=command).get_results()
        except dg.DagsterPipesExecutionError as error:
            raise TrainingFailed(
                f"{job.adaptation.devices} training processes ended with an error ({error}); the run's log has their "
                "output, and the same command resumes from the last finished epoch"
            ) from error
