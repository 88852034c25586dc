"""A command's standard streams, closed or full as they may be, and lines that come in at their own pace."""

from __future__ import annotations

import collections
import io
import logging
import os
import stat
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from typing import Any, BinaryIO, NoReturn, cast

from tqdm import tqdm

from textae.files import CLOSED, is_closed
from textae.progress import escaped

_PAUSE, _PATIENCE = 0.05, 0.2  # seconds without a line, and in all, after which a portion is answered


class _Closed(io.RawIOBase):
    """Standard output that was closed before the command began: writing to it is an error."""

    def writable(self) -> bool:
        return True

    def write(self, content: Any) -> NoReturn:
        raise ValueError("output: expected standard output to be open, found it closed")


class _Forgiving(io.BufferedWriter):
    """Standard error: what cannot be said there, full or gone, changes neither the work nor its exit code."""

    def write(self, content: Any) -> int:
        with suppress(OSError):
            super().write(content)
        return len(content)

    def flush(self) -> None:
        with suppress(OSError):
            super().flush()


def open_standard_streams() -> None:
    """Give a process all three standard descriptors: a file opened later must not become one of them.

    Those that were closed lead nowhere. Standard error forgives what cannot be written to it.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != descriptor:
                os.dup2(opened, descriptor)
                os.close(opened)
            os.set_inheritable(descriptor, True)
            CLOSED.add(descriptor)
    if sys.stdout is None:
        sys.stdout = io.TextIOWrapper(cast(BinaryIO, _Closed()), encoding="utf-8", write_through=True)
    if sys.stderr is None or sys.stderr is sys.__stderr__:
        buffer = _Forgiving(io.FileIO(2, "w", closefd=False))
        encoding = getattr(sys.stderr, "encoding", "utf-8")
        sys.stderr = io.TextIOWrapper(buffer, encoding, "backslashreplace", line_buffering=True)


def write_line(line: str) -> None:
    """Write a line to standard error, its end in the same write: lines of several processes do not run together.

    On a terminal a bar steps aside meanwhile.
    """
    with tqdm.external_write_mode(sys.stderr) if sys.stderr.isatty() else nullcontext():
        sys.stderr.write(f"{escaped(line)}\n")
        sys.stderr.flush()


class _LineHandler(logging.Handler):
    """Writes each message as a line of standard error, whatever that is by then."""

    def emit(self, record: logging.LogRecord) -> None:
        write_line(record.getMessage())


def show_log() -> None:
    """Show the messages of the package, from the level INFO on, as lines of standard error."""
    logger = logging.getLogger("textae")
    logger.setLevel(logging.INFO)
    logger.propagate = False  # to a handler of Hydra's that would show them again
    if not any(isinstance(handler, _LineHandler) for handler in logger.handlers):
        logger.addHandler(_LineHandler())


def standard_input() -> BinaryIO:
    """Return standard input as bytes.

    Raises:
        ValueError: it was closed before the command began.
    """
    if sys.stdin is None or is_closed(0):
        raise ValueError("input: expected standard input to be open, or input=FILE, found it closed")
    if sys.stdin is not sys.__stdin__:
        return sys.stdin.buffer
    return open(0, "rb", closefd=False)


def is_live(stream: Any) -> bool:
    """Return whether a stream's content may come at its own pace: whether it is a pipe, a terminal or the like."""
    try:
        return not stat.S_ISREG(os.fstat(stream.fileno()).st_mode)
    except (OSError, AttributeError, ValueError):
        return False


def as_they_come(lines: Iterator[str], characters: int) -> Iterator[list[str]]:
    """Yield consecutive lines: those that are there as soon as no more come, at most about `characters` together.

    A thread reads ahead by about as many, so that portions are large where lines come fast. What is wrong with the
    lines is raised after those in front of it, or at once where nothing was yielded yet.
    """
    reader = _Reader(lines, characters)
    begun = False
    try:
        while True:
            portion, error = reader.take()
            if portion and (begun or error is None):
                begun = True
                yield portion
            if error is not None:
                raise error
            if not portion:
                return
    finally:
        reader.stop()


class _Reader:
    """Reads lines in a thread, so many characters ahead."""

    def __init__(self, lines: Iterator[str], characters: int) -> None:
        self._lines, self._characters = lines, characters
        self._ready: collections.deque[str] = collections.deque()
        self._size = 0
        self._error: BaseException | None = None
        self._ended = self._stopped = False
        self._changed = threading.Condition()
        threading.Thread(target=self._work, name="textae lines", daemon=True).start()

    def take(self) -> tuple[list[str], BaseException | None]:
        """Return the lines that are there, waiting for a first one, and what came after the last; empty at the end."""
        with self._changed:
            while not self._ready and not self._ended:
                self._changed.wait(1.0)  # with an end, so that signals are seen on every system
            until = time.monotonic() + _PATIENCE
            seen = -1
            while not self._ended and self._size < self._characters and seen != self._size:
                seen = self._size
                if (left := until - time.monotonic()) <= 0:
                    break
                self._changed.wait_for(self._full, min(_PAUSE, left))
            portion = list(self._ready)
            self._ready.clear()
            self._size = 0
            self._changed.notify_all()
            return portion, self._error if self._ended else None

    def stop(self) -> None:
        """Let the thread end at its next line."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def _full(self) -> bool:
        return self._ended or self._size >= self._characters

    def _work(self) -> None:
        error = None
        try:
            for line in self._lines:
                with self._changed:
                    self._ready.append(line)
                    self._size += len(line) + 1
                    if len(self._ready) == 1 or self._full():
                        self._changed.notify_all()
                    while self._size >= self._characters and not self._stopped:
                        self._changed.wait(1.0)
                    if self._stopped:
                        return
        except BaseException as raised:  # handed to whoever takes the lines
            error = raised
        with self._changed:
            self._error, self._ended = error, True
            self._changed.notify_all()
