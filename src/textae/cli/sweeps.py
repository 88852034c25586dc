"""A sweep's jobs, in this process or in others: exit codes, shares of the machine, whose line is whose, Ctrl-C.

A launcher may run jobs in processes of its own, and returns only their results. What the command and such
processes have to tell each other goes through a folder within the sweep's: a file NUMBER.code for a job that failed, a
file PID@MACHINE.busy for a process that works, and a file `stop` once the sweep is to end.
"""

from __future__ import annotations

import io
import logging
import os
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, suppress
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn, TextIO

import psutil

from textae.hardware import usable_cores

logger = logging.getLogger(__name__)


_THREADS = (  # of NumPy's libraries, of TensorFlow, of JAX
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
    "PJRT_NPROC",
    "NPROC",
)
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
PREFIX = ".jobs_"  # begins the name of the folder through which a sweep's processes talk


class Jobs:
    """Takes note of how jobs end. Made by the command; a copy goes to each process that runs jobs.

    `place` gives the sweep's folder, once there is one.
    """

    def __init__(self, arguments: Sequence[str] = (), place: Callable[[], Path | None] = lambda: None) -> None:
        self.command, self._machine, self._arguments = os.getpid(), socket.gethostname(), list(arguments)
        self._place = place
        self._codes: dict[int, int] = {}
        self._folder: Path | None = None

    def __enter__(self) -> Jobs:
        return self

    def __exit__(self, *raised: object) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy for another process holds; now there must be a folder."""
        if self._folder is None:
            place = self._place()
            if place is None:
                raise ValueError("expected jobs of a sweep, found no folder of one")
            _remove_abandoned(place)
            self._folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=place))
        return {name: value for name, value in self.__dict__.items() if name != "_place"}

    @property
    def elsewhere(self) -> bool:
        """Whether this process is another one than the command's."""
        return (os.getpid(), socket.gethostname()) != (self.command, self._machine)

    @property
    def stopped(self) -> bool:
        """Whether no further job is to begin."""
        return self._folder is not None and (self._folder / "stop").exists()

    def title(self, overrides: Sequence[str]) -> str:
        """Return what is a job's own of its settings: those that the command line does not hold as they are."""
        return ", ".join([o for o in overrides if o not in self._arguments] or overrides)

    def failed(self, number: int, code: int) -> None:
        """Take note of a job's exit code."""
        if self._folder is not None and self.elsewhere:
            (self._folder / f"{number}.code").write_text(str(code))
        else:
            self._codes[number] = code

    def code(self) -> int:
        """Return the exit code of all jobs together: 0, or that of the signal, or that of the first that failed."""
        codes = dict(self._codes)
        if self._folder is not None:
            if self.stopped:
                return 128 + int((self._folder / "stop").read_text())
            codes |= {int(path.stem): int(path.read_text()) for path in self._folder.glob("*.code")}
        return codes[min(codes)] if codes else 0

    @contextmanager
    def running(self, number: int, overrides: Sequence[str], at_once: int, cores: int | None = None) -> Iterator[None]:
        """Do what a job of a sweep needs around it.

        In a process of its own it gets its share of the cores (None: all), one of `at_once`, its lines begin with its
        number, and the command's signals stop it: one that is training writes a checkpoint.
        """
        line = self.title(overrides)
        if self._folder is None or not self.elsewhere:
            logger.info(f"job {number}: {line}")
            yield
            return
        limit_threads(at_once, cores)
        busy = self._folder / f"{os.getpid()}@{socket.gethostname()}.busy"
        _leave_the_terminal(self.command, busy)
        for each in _SIGNALS:
            signal.signal(each, _interrupt)
        busy.touch()
        try:
            with redirect_stderr(Labelled(sys.stderr, f"job {number}: ")):
                logger.info(line)
                yield
        finally:
            busy.unlink(missing_ok=True)
            for each in _SIGNALS:  # a process without a job would break the launcher's work by ending
                signal.signal(each, signal.SIG_IGN)

    @contextmanager
    def forwarding(self) -> Iterator[None]:
        """Hand a first SIGINT or SIGTERM on to the processes that run jobs; a second one acts as always.

        So does the first where no process has a job.
        """
        before = {each: signal.getsignal(each) for each in _SIGNALS}

        def restore() -> None:
            for each, handler in before.items():
                signal.signal(each, handler)

        def hand_on(number: int, frame: FrameType | None) -> None:
            restore()
            folder = self._folder
            busy = _busy_here(folder) if folder is not None else []
            if folder is None or not busy:
                os.kill(os.getpid(), number)
                return
            (folder / "stop").write_text(str(number))
            logger.info("stopping the jobs; once more to stop without waiting for them")
            for process in busy:
                with suppress(ProcessLookupError):
                    os.kill(process, number)

        for each in _SIGNALS:
            signal.signal(each, hand_on)
        try:
            yield
        finally:
            restore()


class Stopped:
    """The result of a job that was stopped: a search that asks for its value ends, and takes the job up again later."""

    def __init__(self, code: int) -> None:
        self._code = code

    def __float__(self) -> float:
        raise SystemExit(self._code)


class Labelled(io.TextIOBase):
    """A stream of lines, no terminal, that puts a label in front of each."""

    def __init__(self, stream: TextIO, label: str) -> None:
        self._stream, self._label = stream, label
        self._lock = threading.RLock()
        self._begun = ""

    def write(self, text: str) -> int:
        """Write the lines that are whole; the rest waits for its end."""
        with self._lock:
            *lines, self._begun = (self._begun + text).split("\n")
            if lines:
                self._stream.write("".join(f"{self._label}{line}\n" for line in lines))
                self._stream.flush()
        return len(text)

    def flush(self) -> None:
        """Write what is whole to the stream."""
        self._stream.flush()


def limit_threads(at_once: int, cores: int | None = None) -> None:
    """Let libraries that are imported from now on use this process's share of the cores, unless the user says else.

    `at_once` processes share them; a negative number stands for as many as there are cores.
    """
    if cores is None:
        cores = usable_cores()
    share = max(1, cores // at_once) if at_once > 0 else 1
    for name in _THREADS:
        os.environ.setdefault(name, str(share))


def _remove_abandoned(place: Path) -> None:
    """Remove what sweeps in this folder have left there that were killed, with all their processes."""
    for folder in place.glob(f"{PREFIX}*"):
        elsewhere = len(list(folder.glob("*.busy"))) - len(_busy_here(folder))  # of those nothing is known
        if not elsewhere and not any(map(psutil.pid_exists, _busy_here(folder))):
            shutil.rmtree(folder, ignore_errors=True)


def _busy_here(folder: Path) -> list[int]:
    """Return the processes of this machine that work at jobs."""
    names = [path.stem.partition("@") for path in folder.glob("*.busy")]
    return [int(process) for process, _, machine in names if machine == socket.gethostname()]


def _leave_the_terminal(command: int, busy: Path) -> None:
    """Take Ctrl-C from the command alone, and end with it, however it ends: a job first writes its checkpoint."""
    if os.name != "posix" or os.getppid() != command or os.getpgrp() == os.getpid():
        return  # of another machine, or done
    os.setpgrp()

    def watch() -> None:
        while os.getppid() == command:
            time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGTERM)
        while busy.exists():
            time.sleep(0.1)
        if not any(busy.parent.glob("*.busy")):  # the last one
            shutil.rmtree(busy.parent, ignore_errors=True)
        os._exit(128 + signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


def _interrupt(number: int, frame: Any) -> NoReturn:
    raise KeyboardInterrupt
