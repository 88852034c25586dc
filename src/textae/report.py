"""`python -m textae.report runs=outputs/...`: a table of runs, what differs between them and their metrics."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from textae.cli.commands import announce, check_output, hydra_main


def main(composed: Any) -> None:
    """Print the table; `csv=FILE` writes every column, `plot=FILE` draws it."""
    from textae.config.checks import require
    from textae.config.mapping import resolve
    from textae.files import write_csv
    from textae.reporting.run_table import collect, image_kind, plot, sorted_rows, table

    config = resolve(composed)
    require(config.runs or config.curves, "runs=FOLDER or curves=[FILE,...]", config.runs)
    if config.plot is not None:
        image_kind(Path(config.plot))
    for key, name in (("csv", config.csv), ("plot", config.plot)):
        if name is not None:
            check_output(name, key)
    if config.csv is None and config.plot is None:
        check_output(None)
    if config.curves is not None:
        _curves(config)
        return
    rows, differing = collect(config.runs)
    if config.csv is not None:
        write_csv(config.csv, sorted_rows(rows, config.sort))
    if config.plot is not None:
        plot(rows, differing, config.sort, Path(config.plot))
    announce(table(rows, differing, config.sort, config.all))


def _curves(config: Any) -> None:
    """Print the table of several runs' curves, and write and draw it as that of runs."""
    from textae.files import write_csv
    from textae.reporting.curve_files import plot, read, table

    rows = read(config.curves)
    if config.csv is not None:
        write_csv(config.csv, rows)
    if config.plot is not None:
        plot(rows, Path(config.plot))
    announce(table(rows))


if __name__ == "__main__":
    hydra_main("report", main)
