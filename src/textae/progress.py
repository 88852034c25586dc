"""Progress of long work: lines through `logging`, or a bar on a terminal where such lines are shown."""

import logging
import sys
import time
import unicodedata

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
            self._bar = tqdm(total=total, desc=self._title, unit=unit, unit_scale=True, file=sys.stderr, leave=False)

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


def shows_bar() -> bool:
    """Return whether work shows a bar: on a terminal, where messages of the level INFO are shown."""
    return sys.stderr.isatty() and logger.isEnabledFor(logging.INFO)


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
