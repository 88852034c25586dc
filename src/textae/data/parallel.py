"""The same function of many tasks: in this process, in others of this machine, or in a Beam pipeline."""

from __future__ import annotations

import os
import pickle
import shutil
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from textae.hardware import usable_cores

Task = TypeVar("Task")
Result = TypeVar("Result")
_WATCH = "textae watch"


@dataclass(frozen=True)
class Parallel:
    """How tasks are shared out.

    Attributes:
        workers: processes; None: as many as this process may use cores.
        beam: options of a Beam pipeline, such as "--runner=DirectRunner", which then runs the tasks; None: no Beam.
    """

    workers: int | None = 1
    beam: tuple[str, ...] | None = None

    def processes(self, tasks: int) -> int:
        """Return how many processes of this machine so many tasks are shared between."""
        return max(1, min(tasks, usable_cores() if self.workers is None else self.workers))

    def elsewhere(self, tasks: int) -> bool:
        """Return whether other processes than this one do so many tasks."""
        return tasks > 1 and (self.beam is not None or self.processes(tasks) > 1)


ALONE = Parallel()


def run_all(
    function: Callable[[Task], Result],
    tasks: Sequence[Task],
    how: Parallel,
    folder: Path,
    here: Callable[[Task], Result] | None = None,
) -> Generator[Result, None, None]:
    """Yield what the function returns of each task, in the order of the tasks.

    Args:
        function: of a module, so that other processes find it; tasks and results can be pickled.
        tasks: one alone is done in this process.
        how: what does them.
        folder: for files that a Beam pipeline's workers share with this process.
        here: in place of the function where this process does the tasks.

    Raises:
        ValueError: Beam is not installed.
        Exception: what the function raises, of the first task for which it does.
    """
    if not how.elsewhere(len(tasks)):
        yield from map(here or function, tasks)
    elif how.beam is not None:
        yield from _by_beam(function, tasks, how.beam, folder)
    else:
        from joblib import Parallel as Jobs
        from joblib import delayed

        # loky's processes do not import the program's main module, which may do anything.
        processes = how.processes(len(tasks))
        jobs = Jobs(processes, backend="loky", return_as="generator", batch_size=1, pre_dispatch="2*n_jobs")  # pyright: ignore[reportArgumentType]  # joblib: auto or a number
        results: Any = jobs(delayed(_with_this_process)(os.getpid(), function, task) for task in tasks)
        try:
            for result in results:  # noqa: UP028, `yield from` would close them itself
                yield result
        finally:
            with warnings.catch_warnings():  # that tasks which nobody waits for any more are ended
                warnings.simplefilter("ignore")
                results.close()


def _with_this_process(caller: int, function: Callable[[Any], Any], task: Any) -> Any:
    """Do a task in another process, which ends when the one that asked for it does, however that ends."""
    if os.name == "posix" and not any(thread.name == _WATCH for thread in threading.enumerate()):
        threading.Thread(target=_end_with, args=(caller,), name=_WATCH, daemon=True).start()
    return function(task)


def _end_with(caller: int) -> None:
    while os.getppid() == caller:
        time.sleep(0.2)
    os._exit(1)


def _by_beam(
    function: Callable[[Any], Any], tasks: Sequence[Any], options: Sequence[str], folder: Path
) -> Iterator[Any]:
    """Have Beam's workers read tasks from files and write what comes of them to others: any runner can do that."""
    try:
        import apache_beam as beam  # pyright: ignore[reportMissingImports]  # it is no extra of the package
        from apache_beam.options.pipeline_options import (  # pyright: ignore[reportMissingImports]
            PipelineOptions,
        )
    except ImportError:
        raise ValueError(
            "expected the package apache-beam, found none: docs/cluster.md says how it is installed"
        ) from None
    shared = Path(tempfile.mkdtemp(prefix=".beam_", suffix=".tmp", dir=folder))
    try:
        for number, task in enumerate(tasks):
            (shared / f"{number}.task").write_bytes(pickle.dumps((function, task)))
        with beam.Pipeline(options=PipelineOptions(list(options))) as pipeline:
            numbers = pipeline | beam.Create(range(len(tasks))) | beam.Reshuffle()
            numbers | beam.Map(work, str(shared))  # pyright: ignore[reportUnusedExpression] a pipeline's own notation
        for number in range(len(tasks)):
            result, error = pickle.loads((shared / f"{number}.result").read_bytes())
            if error is not None:
                raise error
            yield result
    finally:
        shutil.rmtree(shared, ignore_errors=True)


def work(number: int, shared: str) -> None:
    """Do a task that lies in a folder, and write its result, or its error, beside it."""
    folder = Path(shared)
    function, task = pickle.loads((folder / f"{number}.task").read_bytes())
    result, raised = None, None
    try:
        result = function(task)
    except Exception as error:  # a runner would try again, and then say it in words of its own
        raised = error
    with tempfile.NamedTemporaryFile(dir=folder, delete=False) as file:
        file.write(pickle.dumps((result, raised)))
    Path(file.name).replace(folder / f"{number}.result")
