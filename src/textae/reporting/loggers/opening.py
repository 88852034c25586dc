"""From `training.loggers` to loggers; a library that is missing is said before anything else is done."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec
from typing import TYPE_CHECKING

from textae.config.choices import LoggerKind

if TYPE_CHECKING:
    from textae.config.schema import Config
    from textae.reporting.loggers.base import Loggers, RunLogger
    from textae.runs.run_folder import RunDir

PACKAGES = {LoggerKind.mlflow: "mlflow", LoggerKind.wandb: "wandb"}  # what is not installed with textae


def check_loggers(kinds: Iterable[LoggerKind]) -> None:
    """Raise a ValueError if the package of one of the loggers is not installed."""
    for kind in kinds:
        package = PACKAGES.get(kind)
        if package is not None and find_spec(package) is None:
            raise ValueError(
                f"training.loggers: expected the package {package}, found none: pip install 'textae[{package}]'"
            )


def open_loggers(run: RunDir, config: Config, step: int, validation_due: bool) -> Loggers:
    """Return the loggers of a run as one.

    Args:
        run: the folder of the run.
        config: its configuration.
        step: the last one that it has made already.
        validation_due: whether that step's validation is still to come.

    Raises:
        ValueError: a library refuses its settings, or the logger's run that is to be continued is gone.
    """
    from textae.reporting.loggers.base import Loggers

    def opened(kind: LoggerKind) -> RunLogger:
        if kind is LoggerKind.mlflow:
            from textae.reporting.loggers.mlflow import MlflowLogger

            return MlflowLogger(run, config.name)
        if kind is LoggerKind.wandb:
            from textae.reporting.loggers.wandb import WandbLogger

            return WandbLogger(run, config.name)
        from textae.reporting.loggers.tensorboard import TensorBoardLogger

        return TensorBoardLogger(run.folder, config.objective, step, validation_due)

    return Loggers([opened(kind) for kind in config.training.loggers])
