"""What latents are like over a corpus: how much each dimension varies, and its KL divergence where there is one."""

from __future__ import annotations

import numpy as np

from textae.evaluation.even_sample import EvenSample

KEPT = 100_000  # single floats, for a histogram
ROWS = 4096  # latents held in float64 at a time

# A dimension is active above this: variational ones by the variance of their means over documents (active units:
# Burda et al., arXiv 1509.00519) and by their divergence in nats; others, which have no scale of their own, by their
# share of the mean variance.
ACTIVE = 0.01


class LatentStatistics:
    """Statistics of latents, each a row of (dimensions,), fed in portions.

    numbers: how many floats there were.
    """

    def __init__(self) -> None:
        self.count = self.numbers = 0
        self._sample = EvenSample(KEPT)
        self._mean: np.ndarray | float = 0.0
        self._squares: np.ndarray | float = 0.0  # of the distances from the mean, summed
        self._kl: np.ndarray | None = None

    def update(self, latents: np.ndarray, kl: np.ndarray | None = None) -> None:
        """Add latents of shape (latents, dimensions), and their divergences of the same shape.

        Portions are put together as Chan et al. (1979) do, which loses no digits where the mean is large.
        """
        for first in range(0, len(latents), ROWS):
            self._add(np.asarray(latents[first : first + ROWS], np.float64))
            self._sample.update(latents[first : first + ROWS].ravel())
        self.numbers += latents.size
        if kl is not None:
            self._kl = (0.0 if self._kl is None else self._kl) + kl.sum(axis=0, dtype=np.float64)

    def _add(self, rows: np.ndarray) -> None:
        count = self.count + len(rows)
        mean = rows.mean(axis=0)
        distance = mean - self._mean
        self._squares = self._squares + ((rows - mean) ** 2).sum(axis=0)
        self._squares = self._squares + distance**2 * (self.count * len(rows) / count)
        self._mean = self._mean + distance * (len(rows) / count)
        self.count = count

    @property
    def values(self) -> np.ndarray:
        """Single floats of the latents, an even sample of at most `KEPT`."""
        return self._sample.rows

    @property
    def mean(self) -> np.ndarray:
        """Each dimension's mean over all latents, (dimensions,)."""
        return np.asarray(self._mean)

    @property
    def variance(self) -> np.ndarray:
        """Each dimension's variance over all latents, (dimensions,)."""
        return np.asarray(self._squares) / self.count

    @property
    def kl(self) -> np.ndarray | None:
        """Each dimension's mean divergence in nats, (dimensions,); None but from variational models."""
        return None if self._kl is None else self._kl / self.count

    @property
    def active_variance(self) -> float:
        """The variance above which a dimension is active."""
        return ACTIVE if self._kl is not None else ACTIVE * float(self.variance.mean())

    @property
    def active_units(self) -> int:
        """How many dimensions are active by their variance."""
        return int((self.variance > self.active_variance).sum())
