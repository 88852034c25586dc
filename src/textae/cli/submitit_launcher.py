"""Hydra's launcher for Submitit, which hands a sweep's jobs to SLURM; with what the plugin lacks.

The plugin ends a sweep with an error at the first job whose process was killed, and its jobs' own lines go to files
alone. Here every job is waited for, and what went wrong is told where the command was given.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.plugins import Plugins
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus
from hydra_plugins.hydra_submitit_launcher import submitit_launcher as plugin

from textae.cli.streams import write_line
from textae.cli.sweeps import Jobs

FAILURE = 1
_OF_EXECUTOR = {  # what Submitit gives no name of a cluster's
    "timeout_min", "cpus_per_task", "gpus_per_node", "tasks_per_node", "mem_gb", "nodes", "name", "stderr_to_stdout",
}  # fmt: skip


class _Launcher(plugin.BaseSubmititLauncher):
    """Waits for all jobs, however they end."""

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run jobs and return what they return; None for one that has failed or was killed."""
        jobs = getattr(self.task_function, "jobs")  # noqa: B009, of a function
        numbers = range(initial_job_idx, initial_job_idx + len(job_overrides))
        submitted = self._submitted(job_overrides, numbers)
        return [
            _result(job, number, overrides, jobs)
            for job, number, overrides in zip(submitted, numbers, job_overrides, strict=True)
        ]

    def _submitted(self, job_overrides: Sequence[Sequence[str]], numbers: Sequence[int]) -> list[Any]:
        import submitit

        own = {
            name if name in _OF_EXECUTOR else f"{self._EXECUTOR}_{name}": value
            for name, value in self.params.items()
            if name not in ("submitit_folder", "max_num_timeout")
        }
        timeouts = {f"{self._EXECUTOR}_{k}": v for k, v in self.params.items() if k == "max_num_timeout"}
        executor = submitit.AutoExecutor(self.params["submitit_folder"], cluster=self._EXECUTOR, **timeouts)
        executor.update_parameters(**own)
        count = len(numbers)
        ids = [f"job_id_for_{number}" for number in numbers]
        state = [Singleton.get_state()] * count
        return executor.map_array(self, map(list, job_overrides), ["hydra.sweep.dir"] * count, numbers, ids, state)


class LocalLauncher(_Launcher):
    """Runs all jobs of a sweep at once on this machine."""

    _EXECUTOR = "local"


class SlurmLauncher(_Launcher):
    """Has SLURM run the jobs of a sweep as an array."""

    _EXECUTOR = "slurm"


def register() -> None:
    """Let `configs/hydra/launcher` name the launchers; Hydra takes those of its own package alone."""
    for launcher in (LocalLauncher, SlurmLauncher):
        name = f"{plugin.__name__.rpartition('.')[0]}.textae.{launcher.__name__}"
        Plugins.instance().class_name_to_class[name] = launcher


def _result(job: Any, number: int, overrides: Sequence[str], jobs: Jobs) -> JobReturn:
    """Wait for a job, tell what went wrong with it, and return what it returned."""
    from submitit.core.utils import FailedJobError, UncompletedJobError

    title = f"job {number} ({jobs.title(overrides)})"
    try:
        found = job.results()[0]
    except (UncompletedJobError, FailedJobError):
        jobs.failed(number, FAILURE)
        write_line(f"textae: {title}: its process ended before the job did (killed, or out of memory or time)")
        write_line(f"textae: {title}: see {job.paths.stderr}; the same command goes on with what is not finished")
        return JobReturn(overrides=overrides, status=JobStatus.COMPLETED)  # as a job whose error was told
    for line in _told(Path(job.paths.stderr)):
        write_line(line)
    return found


def _told(path: Path) -> list[str]:
    """Return the lines that say in a job's output what went wrong."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    return [line for line in lines if line.startswith("textae: ")]
