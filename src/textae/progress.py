"""Progress of long work: lines through `logging`, or a bar on a terminal where such lines are shown."""

import logging
import sys
import time
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from importlib.util import find_spec
from typing import Any

from tqdm import tqdm

logger = logging.getLogger(__name__)

_JOINERS = "\u200c\u200d"  # within words of several scripts, and within emoji


class Progress:
    """A bar on a terminal, a line every ten seconds otherwise; nothing for work that takes less.

    Lines are of the level INFO. Where those are not shown, as in a Python program that has not asked for them, there is
    no bar either.

    `total` is in bytes unless another unit is named.
    """

    def __init__(self, title: str, total: int, unit: str = "B", seconds: float = 10.0):
        self._title, self._total, self._seconds = escaped(title), total, seconds
        self._done = 0
        self._last = time.monotonic()
        self._bar = None
        if shows_bar():
            self._bar = new_bar(total=total, desc=self._title, unit=unit, unit_scale=True, leave=False)

    def advance(self, amount: int) -> None:
        """Count `amount` more of the total as done."""
        if self._bar is not None:
            self._bar.update(amount)
            return
        self._done += amount
        if (now := time.monotonic()) - self._last >= self._seconds:
            self._last = now
            logger.info(f"{self._title}: {min(100, 100 * self._done // max(self._total, 1))} %")

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *raised: object) -> None:
        if self._bar is not None:
            self._bar.close()


_shown = ContextVar("shown", default=False)


@contextmanager
def shown(show: bool = True) -> Iterator[None]:
    """Show bars within the block, also where messages of the level INFO are not shown."""
    token = _shown.set(show)
    try:
        yield
    finally:
        _shown.reset(token)


def shows_bar() -> bool:
    """Return whether work shows a bar: on a terminal or in a notebook, where messages of the level INFO are shown."""
    return (_shown.get() or logger.isEnabledFor(logging.INFO)) and (sys.stderr.isatty() or in_notebook())


def in_notebook() -> bool:
    """Return whether the program runs in a kernel of Jupyter."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None and hasattr(ipython, "get_ipython") else None
    return shell is not None and hasattr(shell, "kernel")


def new_bar(**arguments: Any) -> tqdm:
    """Return a bar on standard error, or a widget in a notebook that has them; arguments as for `tqdm`."""
    if in_notebook() and find_spec("ipywidgets") is not None:
        from tqdm.notebook import tqdm as widget

        return widget(**arguments)
    return tqdm(file=sys.stderr, **arguments)


def escaped(text: str) -> str:
    """Return text on one line that no terminal takes for a command.

    Control characters, line ends, lone surrogates and marks that change the direction of writing stand as escapes.
    Whatever comes from a run's files or from a corpus goes through here on its way to a terminal.
    """
    if text.isprintable():
        return text
    return "".join(c.encode("unicode_escape").decode() if _commands(c) else c for c in text)


def _commands(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp") and character not in _JOINERS
