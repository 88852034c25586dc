"""The interface of loggers, and several of them as one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from numpy.typing import ArrayLike

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from textae.reporting.tensorboard import ComparedText


class RunLogger(Protocol):
    """Records a run: its settings, values with their steps, figures and texts.

    Names of values are those of the table of metrics; `split` is "train", "validation" or "test". Each method takes the
    training step that it belongs to. What a logger has no place for it leaves out. A run that is continued from a
    checkpoint repeats the steps after it; each value stands in the logger once all the same.
    """

    def settings(self, values: Mapping[str, object]) -> None:
        """Record the run's settings, by dotted names, before the first value."""
        ...

    def scalars(self, values: Mapping[str, float], step: int, split: str) -> None:
        """Record one number for each name."""
        ...

    def texts(self, name: str, texts: Sequence[ComparedText], step: int, split: str) -> None:
        """Record documents beside their reconstructions."""
        ...

    def figure(self, name: str, figure: Figure, step: int, split: str) -> None:
        """Record a figure."""
        ...

    def histograms(self, arrays: Mapping[str, ArrayLike], step: int, split: str) -> None:
        """Record the distribution of each array's numbers."""
        ...

    def points(self, latents: ArrayLike, labels: Mapping[str, Sequence[object]], step: int, split: str) -> None:
        """Record latents of shape (points, dimensions), and columns of labels."""
        ...

    def results(self, metrics: Mapping[str, float], step: int) -> None:
        """Record the metrics of the test split at the end of the run."""
        ...

    def flush(self) -> None:
        """Hand over what waits; a checkpoint is written next."""
        ...

    def close(self) -> None:
        """Hand over what waits, and let go of files and connections."""
        ...


class Loggers:
    """Several loggers that are given the same, in the order of their names in `training.loggers`."""

    def __init__(self, loggers: Sequence[RunLogger]) -> None:
        self._loggers = loggers

    def settings(self, values: Mapping[str, object]) -> None:
        """Record the run's settings, by dotted names, before the first value."""
        for each in self._loggers:
            each.settings(values)

    def scalars(self, values: Mapping[str, float], step: int, split: str) -> None:
        """Record one number for each name."""
        for each in self._loggers:
            each.scalars(values, step, split)

    def texts(self, name: str, texts: Sequence[ComparedText], step: int, split: str) -> None:
        """Record documents beside their reconstructions."""
        for each in self._loggers:
            each.texts(name, texts, step, split)

    def figure(self, name: str, figure: Figure, step: int, split: str) -> None:
        """Record a figure."""
        for each in self._loggers:
            each.figure(name, figure, step, split)

    def histograms(self, arrays: Mapping[str, ArrayLike], step: int, split: str) -> None:
        """Record the distribution of each array's numbers."""
        for each in self._loggers:
            each.histograms(arrays, step, split)

    def points(self, latents: ArrayLike, labels: Mapping[str, Sequence[object]], step: int, split: str) -> None:
        """Record latents of shape (points, dimensions), and columns of labels."""
        for each in self._loggers:
            each.points(latents, labels, step, split)

    def results(self, metrics: Mapping[str, float], step: int) -> None:
        """Record the metrics of the test split at the end of the run."""
        for each in self._loggers:
            each.results(metrics, step)

    def flush(self) -> None:
        """Hand over what waits."""
        for each in self._loggers:
            each.flush()

    def close(self) -> None:
        """Hand over what waits, and let go of files and connections."""
        for each in self._loggers:
            each.close()
