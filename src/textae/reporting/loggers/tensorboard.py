"""The logger of TensorBoard: which group each value stands in, and the charts of the custom-scalars dashboard.

TensorBoard sorts groups by name and signs that are no letters first, so that a number before the group's name puts the
groups in order: the loss and the accuracy of tokens come first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from numpy.typing import ArrayLike

from textae.config.choices import SPLITS
from textae.config.metric_table import CHARTS
from textae.reporting.run_table import NO_SETTINGS
from textae.reporting.tensorboard import ComparedText, TensorBoardWriter

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GROUPS = ("objective", "quality", "quality_details", "training", "latent", "speed", "figures", "weights", "run")
LAYOUT = {
    "train beside validation": {
        "loss": ["loss"],
        "token accuracy": ["token_accuracy"],
        "exact match": ["exact_match"],
        "BLEU": ["bleu"],
        "character and word error rate": ["cer", "wer"],
    },
    "training": {
        "gradient norm": ["gradient_norm"],
        "learning rate": ["learning_rate"],
        "tokens per second": ["tokens_per_second"],
    },
    "latent": {"rate (bits per token)": ["rate"], "active units": ["active_units"]},
}


def tag(name: str) -> str:
    """Return the tag of a value, a figure or a histogram: its group and its name."""
    group = CHARTS.get(name.removeprefix("corrupted_"))
    if group is not None and name.startswith("corrupted_"):
        group = "quality_details"
    if group is None:
        group = "latent" if name.startswith("latent") else "training"
    if name.startswith("weights/"):
        group, name = "weights", name.removeprefix("weights/")
    return _grouped(group, name)


def _grouped(group: str, name: str) -> str:
    return f"{GROUPS.index(group)}_{group}/{name}"


class TensorBoardLogger:
    """Writes TensorBoard's events into the run's folder.

    Args:
        folder: the run's.
        objective: the metric by which runs are compared; it is the first column of the HParams dashboard.
        step: the last one that the run has made already.
        validation_due: whether that step's validation is still to come.
    """

    def __init__(self, folder: Path, objective: str, step: int = 0, validation_due: bool = False) -> None:
        self.writer = TensorBoardWriter(folder)
        self._settings: dict[str, object] = {}
        self._objective = objective
        self.writer.purge_from(step + 1 if step else 0, ("train",))
        self.writer.purge_from(step + (not validation_due), ("validation",))
        self.writer.purge_from(0, ("test",))  # written after the last step alone
        if not step:
            charts = {
                category: {title: [f"^{tag(name)}$" for name in names] for title, names in titles.items()}
                for category, titles in LAYOUT.items()
            }
            self.writer.layout(charts)

    def settings(self, values: Mapping[str, object]) -> None:
        """Keep the settings for the run's row of the HParams dashboard, which is written with its results."""
        self._settings = {name: value for name, value in values.items() if name not in NO_SETTINGS}

    def scalars(self, values: Mapping[str, float], step: int, split: str) -> None:
        """Write one point of each value; the objective has a chart before all others, if it is not the first anyway."""
        tagged = {tag(name): value for name, value in values.items()}
        if self._objective != "loss" and self._objective in values:
            tagged[_grouped("objective", self._objective)] = values[self._objective]
        self.writer.scalars(tagged, step, split)

    def texts(self, name: str, texts: Sequence[ComparedText], step: int, split: str) -> None:
        """Write documents above their reconstructions."""
        self.writer.texts(name, texts, step, split)

    def figure(self, name: str, figure: Figure, step: int, split: str) -> None:
        """Write a figure as an image."""
        self.writer.figures(tag(name) if name.startswith("latent") else _grouped("figures", name), figure, step, split)

    def histograms(self, arrays: Mapping[str, ArrayLike], step: int, split: str) -> None:
        """Write the distribution of each array."""
        self.writer.histograms({tag(name): array for name, array in arrays.items()}, step, split)

    def points(self, latents: ArrayLike, labels: Mapping[str, Sequence[object]], step: int, split: str) -> None:
        """Write points for the projector."""
        self.writer.embeddings(latents, labels, step, split)

    def results(self, metrics: Mapping[str, float], step: int) -> None:
        """Write the run's row of the HParams dashboard: its settings and its metrics of the test split."""
        self.writer.hparams(self._settings, step)
        self.scalars(metrics, step, SPLITS[-1])

    def flush(self) -> None:
        """Write what waits to the disk."""
        self.writer.flush()

    def close(self) -> None:
        """Close the files."""
        self.writer.close()
