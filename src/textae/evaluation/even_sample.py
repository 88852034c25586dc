"""An even sample of what goes by in portions."""

from __future__ import annotations

import numpy as np


class EvenSample:
    """At most `size` of all rows so far, of which each was chosen with the same probability.

    Which rows are chosen does not depend on how they are portioned. `rows` are in the order in which they came.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.rows = np.zeros(0, np.float32)
        self._random = np.random.default_rng(0)
        self._tickets = np.zeros(0)  # of the rows that are kept: the lowest ones of all that were drawn

    def update(self, rows: np.ndarray) -> None:
        """Draw a ticket for each row of an array (rows, ...), and keep those with the lowest."""
        tickets = self._random.random(len(rows))
        if len(self.rows) == self.size:
            chosen = np.flatnonzero(tickets < self._tickets.max())
            tickets, rows = tickets[chosen], rows[chosen]
        before = self.rows if len(self.rows) else self.rows.reshape(0, *rows.shape[1:])
        tickets, rows = np.concatenate([self._tickets, tickets]), np.concatenate([before, rows])
        if len(rows) > self.size:
            lowest = np.sort(np.argpartition(tickets, self.size)[: self.size])
            tickets, rows = tickets[lowest], rows[lowest]
        self._tickets, self.rows = tickets, rows
