"""Which dimensions of the latent carry something: their variance over a corpus, in memory that does not grow."""

from __future__ import annotations

import numpy as np

ALIVE_VARIANCE = 0.01


class Variance:
    """Variance of each dimension over rows that come in portions (the update of Chan, Golub and LeVeque, 1979)."""

    def __init__(self) -> None:
        self.rows = 0
        self._mean: np.ndarray | float = 0.0
        self._squares: np.ndarray | float = 0.0  # of the distances from the mean, summed

    def update(self, rows: np.ndarray) -> None:
        """Add rows of shape (rows, dimensions)."""
        if not len(rows):
            return
        rows = np.asarray(rows, np.float64)
        mean = rows.mean(axis=0)
        squares = np.square(rows - mean).sum(axis=0)
        total = self.rows + len(rows)
        distance = mean - self._mean
        self._mean = self._mean + distance * (len(rows) / total)
        self._squares = self._squares + squares + np.square(distance) * (self.rows * len(rows) / total)
        self.rows = total

    def result(self) -> np.ndarray:
        """Return the variances, float64 (dimensions,); raises ValueError before the first row."""
        if not self.rows:
            raise ValueError("expected at least one row before result(), received none")
        return self._squares / self.rows


def alive(variances: np.ndarray) -> int:
    """Return how many dimensions vary by more than `ALIVE_VARIANCE`.

    For a variational model, whose latent here is its mean, these are the active units of Burda et al. (arXiv
    1509.00519), with their threshold; it means most where latents are near N(0, 1).
    """
    return int((np.asarray(variances) > ALIVE_VARIANCE).sum())
