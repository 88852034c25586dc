"""Progress of long work on standard error."""

import sys
import time

from tqdm import tqdm


class Progress:
    """A bar on a terminal, a plain line every ten seconds otherwise; nothing for work that takes less.

    `total` is in bytes unless another unit is named.
    """

    def __init__(self, title: str, total: int, unit: str = "B", seconds: float = 10.0):
        self._title, self._total, self._seconds = title, total, seconds
        self._done = 0
        self._last = time.monotonic()
        self._bar = None
        if sys.stderr.isatty():
            self._bar = tqdm(total=total, desc=title, unit=unit, unit_scale=True, file=sys.stderr, leave=False)

    def advance(self, amount: int) -> None:
        """Count `amount` more of the total as done."""
        if self._bar is not None:
            self._bar.update(amount)
            return
        self._done += amount
        if (now := time.monotonic()) - self._last >= self._seconds:
            self._last = now
            say(f"{self._title}: {min(100, 100 * self._done // max(self._total, 1))} %")

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *raised: object) -> None:
        if self._bar is not None:
            self._bar.close()


def say(line: str) -> None:
    """Print a line on standard error, its end in the same write: lines of several processes do not run together."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
