"""`python -m textae.train [+experiment=NAME] [key=value ...]`: train a model and evaluate it on the test split."""

import logging
import math
from pathlib import Path
from typing import Any

from textae.cli.commands import announce, hydra_main
from textae.hardware import start_keras

logger = logging.getLogger("textae.train")


def main(composed: Any) -> float | None:
    """Train in Hydra's run folder; return the objective of a search, None where it is not finite."""
    from hydra.core.hydra_config import HydraConfig

    from textae.config.mapping import resolve
    from textae.reporting.loggers.opening import check_loggers
    from textae.training.processes import joined

    config = resolve(composed)
    with joined(config.distributed) as processes:
        if processes.leads:
            check_loggers(config.training.loggers)
        settings = HydraConfig.get()
        folder = Path(settings.runtime.output_dir)
        metrics = _train(config, folder, _job_alone(settings), processes)
    if not processes.leads:
        return None
    announce(str(folder / "metrics.json"))
    reached = metrics.get(config.objective)
    return reached if reached is not None and math.isfinite(reached) else None


def _train(config: Any, folder: Path, command: list[str] | None, processes: Any) -> dict[str, Any]:
    """Train in a folder; of several processes that train together, process 0 alone looks at it and writes to it."""
    from textae.cli.folders import check_folder
    from textae.config.ineffective import warn_without_effect
    from textae.data.corpora import open_corpus
    from textae.runs.run_folder import RunDir

    if processes.leads:
        RunDir(folder).check_place(Path(config.data_dir))
    check_folder("data_dir", config.data_dir)
    # An invalid corpus is reported before Keras takes seconds to load.
    corpus = open_corpus(config.corpus, Path(config.data_dir) / "corpora")
    if processes.leads:
        warn_without_effect(config, logger)
    start_keras()
    from textae.training.fit import fit

    return fit(config, folder, command, corpus, processes=processes)


def _job_alone(settings: Any) -> list[str] | None:
    """Return the words of a command that trains a job of a sweep alone; None of a command that is no sweep's."""
    from hydra.types import RunMode

    from textae.config.mapping import plain

    if settings.mode != RunMode.MULTIRUN:
        return None
    words = ["train.py"]
    for source in settings.runtime.config_sources:
        if source.provider == "command-line":
            words += ["--config-dir", source.path]
    if settings.job.config_name != "config":
        words += ["--config-name", settings.job.config_name]
    given = plain(settings.overrides.hydra)
    words += [setting for setting in given if setting.lstrip("+").startswith("hydra.searchpath=")]
    return words + plain(settings.overrides.task)


if __name__ == "__main__":
    hydra_main("config", main)
