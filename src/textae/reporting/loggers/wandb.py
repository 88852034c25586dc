"""The logger of Weights & Biases: a project for each `name` of the configuration, a run for each run folder."""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from textae.reporting.loggers.record import Record
from textae.reporting.tensorboard import ComparedText, comparison
from textae.runs.run_folder import RunDir

logger = logging.getLogger(__name__)
BINS = 64
# W&B numbers the rows that it is given. Rows are numbered by training step and split, so that a step that is made again
# in another session has the numbers that it had.
ROWS = 32  # of a training step
FIRST_ROWS = {"train": 0, "validation": 2, "test": 16}


class WandbLogger:
    """Writes to W&B, or with WANDB_MODE=offline into a folder `wandb` of the run's, which `wandb sync` uploads.

    Without WANDB_MODE and WANDB_API_KEY it is offline. A value's name begins with its split, as in `validation/loss`;
    the steps are the values of `step`. A continued run goes on in its run of W&B.

    Args:
        run: the run's folder, whose name the run of W&B has.
        project: the name of the project, unless WANDB_PROJECT is set.

    Raises:
        ValueError: W&B cannot begin the run.
    """

    def __init__(self, run: RunDir, project: str) -> None:
        if not os.environ.get("WANDB_API_KEY"):
            os.environ.setdefault("WANDB_MODE", "offline")
        import wandb  # pyright: ignore[reportMissingImports]  # optional

        self._wandb: Any = wandb
        self._record = Record(run, "wandb")
        offline = os.environ.get("WANDB_MODE") == "offline"
        if self._record.id is None:
            self._record.begin(secrets.token_hex(4))
        try:
            self._run: Any = wandb.init(
                project=os.environ.get("WANDB_PROJECT", project),
                name=run.folder.resolve().name,
                id=self._record.id,
                resume=None if offline else "allow",  # offline, files of one id are put together when they are uploaded
                dir=str(run.folder),
                settings=wandb.Settings(
                    silent=True, console="off", disable_git=True, disable_code=True, reinit="create_new"
                ),
            )
        except wandb.Error as error:
            raise ValueError(f"training.loggers: W&B cannot begin the run: {str(error).splitlines()[0]}") from error
        self._run.define_metric("*", step_metric="step")
        self._finished = False
        self._at, self._row = (0, ""), 0
        if offline:
            logger.info(f"W&B is offline; to upload the run: wandb sync {run.folder}/wandb/offline-run-*")

    def settings(self, values: Mapping[str, object]) -> None:
        """Record the settings."""
        self._run.config.update(dict(values), allow_val_change=True)

    def scalars(self, values: Mapping[str, float], step: int, split: str) -> None:
        """Record one number for each name."""
        row = self._next_row(step, split)
        if self._record.lacks(split, step):
            self._log({name: float(value) for name, value in values.items()}, step, split, row)
            self._record.given(split, step)

    def _next_row(self, step: int, split: str) -> int:
        self._row = self._row + 1 if self._at == (step, split) else 0
        self._at = step, split
        return ROWS * step + FIRST_ROWS[split] + self._row

    def _log(self, values: Mapping[str, Any], step: int, split: str, row: int | None = None) -> None:
        named = {f"{split}/{name}": value for name, value in values.items()}
        self._run.log({"step": step} | named, step=self._next_row(step, split) if row is None else row, commit=True)

    def texts(self, name: str, texts: Sequence[ComparedText], step: int, split: str) -> None:
        """Record documents beside their reconstructions as HTML."""
        self._log({name: self._wandb.Html(comparison(texts), inject=False)}, step, split)

    def figure(self, name: str, figure: Figure, step: int, split: str) -> None:
        """Record a figure as an image."""
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        self._log({name: self._wandb.Image(np.asarray(canvas.buffer_rgba())[..., :3])}, step, split)

    def histograms(self, arrays: Mapping[str, ArrayLike], step: int, split: str) -> None:
        """Record the distribution of each array's finite numbers."""
        values = {name: np.asarray(array, np.float64).ravel() for name, array in arrays.items()}
        finite = {name: numbers[np.isfinite(numbers)] for name, numbers in values.items()}
        counted = {name: np.histogram(numbers, BINS) for name, numbers in finite.items() if numbers.size}
        self._log({name: self._wandb.Histogram(np_histogram=found) for name, found in counted.items()}, step, split)

    def points(self, latents: ArrayLike, labels: Mapping[str, Sequence[object]], step: int, split: str) -> None:
        """Record nothing: TensorBoard's projector has the points."""

    def results(self, metrics: Mapping[str, float], step: int) -> None:
        """Record the metrics of the test split, and as the run's summary."""
        self.scalars(metrics, step, "test")
        self._finished = True

    def flush(self) -> None:
        """Do nothing: a process of W&B's own writes the values as they come."""

    def close(self) -> None:
        """Wait until all is written."""
        self._run.finish(exit_code=0 if self._finished else 1)
