"""Ctrl-C and SIGTERM as a wish that long work sees at its next safe place."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class Interrupted(Exception):  # noqa: N818, it is no error
    """Work stopped because a signal asked for it; `exit_code` is what a shell expects of the process."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.exit_code = 128 + number


class ProcessEnded(Exception):  # noqa: N818, it is the end of another process
    """Of several processes that train together another one ended the training; this one ends with `exit_code`."""

    def __init__(self, line: str, exit_code: int) -> None:
        super().__init__(line)
        self.exit_code = exit_code


class Interrupts:
    """Within its `with` block the first SIGINT or SIGTERM only sets `received`; a second one acts as always.

    Where nothing is lost by breaking off, `at_once` makes it an exception.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._at_once = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, *raised: object) -> None:
        self._restore()

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Within this `with` block a signal, also one received before, raises `Interrupted`."""
        self._at_once = True
        try:
            self.check()
            yield
        except BaseException:  # what a signal breaks off may come out as anything
            self.check()
            raise
        finally:
            self._at_once = False

    def check(self) -> None:
        """Raise `Interrupted` if a signal was received."""
        if self.received is not None:
            raise Interrupted(self.received) from None

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.received = number
        self._restore()
        if self._at_once:
            raise KeyboardInterrupt  # which no library takes for an error of its own

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
