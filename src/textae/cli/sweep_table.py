"""The table at the end of a sweep, which Hydra calls for; named in configs/config.yaml."""

from __future__ import annotations

import glob
import logging
from contextlib import suppress
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback

logger = logging.getLogger(__name__)

REPORT = "report"  # the names of a sweep's files: .txt, .csv, .png


class SweepTable(Callback):
    """At a sweep's end prints the table of its runs, and writes it as text, CSV and a plot into the sweep's folder."""

    def on_multirun_start(self, config: Any, **_: Any) -> None:
        """Keep Optuna's own lines to itself, where it is to search."""
        if "optuna" in str(config.hydra.sweeper.get("_target_")):
            with suppress(ImportError):  # that it is missing is said when it is needed
                import optuna

                optuna.logging.set_verbosity(logging.ERROR)

    def on_multirun_end(self, config: Any, **_: Any) -> None:
        """Show what the sweep's jobs reached."""

        from textae.files import write_csv, write_text
        from textae.reporting.run_table import collect, plot, sorted_rows, table

        folder, sort = Path(config.hydra.sweep.dir), config.objective
        try:
            rows, differing = collect(glob.escape(str(folder)))
        except ValueError:
            return  # every job failed, and each has said why
        text = table(rows, differing, sort)
        for line in text.splitlines():
            logger.info(line)
        write_text(folder / f"{REPORT}.txt", text + "\n", own=True)
        write_csv(folder / f"{REPORT}.csv", sorted_rows(rows, sort), own=True)
        if any(isinstance(row.get(sort), (int, float)) for row in rows):
            plot(rows, differing, sort, folder / f"{REPORT}.png", own=True)
        logger.info(f"the table as text, CSV and plot: {folder / REPORT}.txt, .csv, .png")
        logger.info(f"to look at the runs: tensorboard --logdir {folder}")
