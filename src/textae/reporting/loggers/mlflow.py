"""The logger of MLflow: an experiment for each `name` of the configuration, a run for each run folder."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from numpy.typing import ArrayLike

from textae.reporting.loggers.record import Record
from textae.reporting.tensorboard import ComparedText, comparison
from textae.runs.run_folder import RunDir

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LONGEST_VALUE = 6000  # characters of a setting that MLflow keeps
MOST_AT_ONCE = 100  # settings that it takes in one request


class MlflowLogger:
    """Writes to the server, database or folder of MLFLOW_TRACKING_URI, by default mlflow.db in the current folder.

    Figures and texts are artifacts of the run, by split, name and step. A value's name begins with its split, as in
    `validation/loss`. A continued run goes on in its run of MLflow.

    Args:
        run: the run's folder, whose name the run of MLflow has.
        experiment: the name of the experiment, unless MLFLOW_EXPERIMENT_NAME is set.

    Raises:
        ValueError: the run that is to be continued is not there, or MLflow cannot be written to.
    """

    def __init__(self, run: RunDir, experiment: str) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        from mlflow.entities import Metric, Param  # pyright: ignore[reportMissingImports]  # optional
        from mlflow.exceptions import MlflowException  # pyright: ignore[reportMissingImports]  # optional
        from mlflow.tracking import MlflowClient  # pyright: ignore[reportMissingImports]  # optional

        for library in ("mlflow", "alembic"):  # they tell each step of setting up a database
            logging.getLogger(library).setLevel(logging.WARNING)
        self._metric, self._param = Metric, Param
        self._record = Record(run, "mlflow")
        self._status = "KILLED"
        try:
            self._client = MlflowClient()
            if self._record.id is None:
                name = os.environ.get("MLFLOW_EXPERIMENT_NAME", experiment)
                found = self._client.get_experiment_by_name(name)
                number = self._client.create_experiment(name) if found is None else found.experiment_id
                self._record.begin(self._client.create_run(number, run_name=run.folder.resolve().name).info.run_id)
            else:
                self._client.update_run(self._record.id, status="RUNNING")
        except MlflowException as error:
            line = str(error).splitlines()[0]
            raise ValueError(f"training.loggers: MLflow refuses the run {self._record.id or ''}: {line}") from error

    @property
    def _run(self) -> str:
        return str(self._record.id)

    def settings(self, values: Mapping[str, object]) -> None:
        """Record the settings as parameters, which MLflow never changes: of a continued run those that are new."""
        known = self._client.get_run(self._run).data.params
        new = [self._param(name, str(value)[:LONGEST_VALUE]) for name, value in values.items() if name not in known]
        for first in range(0, len(new), MOST_AT_ONCE):
            self._client.log_batch(self._run, params=new[first : first + MOST_AT_ONCE])

    def scalars(self, values: Mapping[str, float], step: int, split: str) -> None:
        """Record one number for each name."""
        if self._record.lacks(split, step):
            now = int(1000 * time.time())
            found = [self._metric(f"{split}/{name}", float(value), now, step) for name, value in values.items()]
            self._client.log_batch(self._run, metrics=found)
            self._record.given(split, step)

    def texts(self, name: str, texts: Sequence[ComparedText], step: int, split: str) -> None:
        """Record documents beside their reconstructions as a page of HTML."""
        self._client.log_text(self._run, comparison(texts), f"{split}/{name}/step_{step:08d}.html")

    def figure(self, name: str, figure: Figure, step: int, split: str) -> None:
        """Record a figure as an image."""
        self._client.log_figure(self._run, figure, f"{split}/{name}/step_{step:08d}.png")

    def histograms(self, arrays: Mapping[str, ArrayLike], step: int, split: str) -> None:
        """Record nothing: MLflow has no histograms."""

    def points(self, latents: ArrayLike, labels: Mapping[str, Sequence[object]], step: int, split: str) -> None:
        """Record nothing: MLflow has no projector."""

    def results(self, metrics: Mapping[str, float], step: int) -> None:
        """Record the metrics of the test split; the run is finished."""
        self.scalars(metrics, step, "test")
        self._status = "FINISHED"

    def flush(self) -> None:
        """Do nothing: each call has written its values."""

    def close(self) -> None:
        """Say how the run ended."""
        self._client.set_terminated(self._run, self._status)
