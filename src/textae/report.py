"""`python -m textae.report runs=outputs/...`: a table of finished runs, what differs between them and their figures."""

from __future__ import annotations

import glob
import sys
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback

from textae.commands import hydra_main

COLUMNS = (
    "token_accuracy",
    "exact_match",
    "bleu",
    "cer",
    "loss",
    "latent_floats_per_token",
    "parameters",
    "steps",
    "train_seconds",
    "tokens_per_second",
)
CSV = "report.csv"


def collect(pattern: str) -> tuple[list[dict[str, Any]], list[str]]:
    """Return a row for each finished run below a folder or glob, and the names of the settings that differ.

    A row has the run's folder, those settings, and the run's metrics.

    Raises:
        ValueError: no finished run is there.
    """
    from textae.config import flat
    from textae.rundir import CONFIG, METRICS, RunDir, read_json

    folders = [Path(found) for found in sorted(glob.glob(pattern))]  # noqa: PTH207, patterns may be absolute
    runs = sorted(
        {path.parent for folder in folders for path in folder.rglob(METRICS) if (path.parent / CONFIG).is_file()}
    )
    if not runs:
        raise ValueError(f"runs: expected a folder with finished runs, found none in {pattern}")
    settings = [flat(RunDir(run).config()) for run in runs]
    names = list(dict.fromkeys(name for values in settings for name in values))
    differing = [name for name in names if len({repr(values.get(name)) for values in settings}) > 1]
    rows = [
        {"run": str(run)} | {name: values.get(name) for name in differing} | read_json(run / METRICS)
        for run, values in zip(runs, settings, strict=True)
    ]
    return rows, differing


def table(rows: list[dict[str, Any]], differing: list[str], sort: str) -> str:
    """Return rows as a Markdown table, best first: by falling `sort`, or rising where less is better."""
    shown = ["run", *differing, *COLUMNS]
    body = [[_cell(row.get(name), name) for name in shown] for row in sorted_rows(rows, sort)]
    widths = [max(len(line[i]) for line in [shown, *body]) for i in range(len(shown))]
    lines = [shown, ["-" * width for width in widths], *body]
    return "\n".join("| " + " | ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) + " |" for line in lines)


def sorted_rows(rows: list[dict[str, Any]], sort: str) -> list[dict[str, Any]]:
    """Return the rows, best first; a row without the figure comes last.

    Raises:
        ValueError: no row has it.
    """
    having = [row for row in rows if isinstance(row.get(sort), (int, float))]
    if not having:
        raise ValueError(f"sort: expected a metric of the runs, found {sort!r}")
    less_is_better = sort in {"loss", "cer", "wer", "train_seconds", "parameters", "latent_floats_per_token"}
    having.sort(key=lambda row: row[sort], reverse=not less_is_better)
    return having + [row for row in rows if row not in having]


def _cell(value: Any, name: str) -> str:
    if name == "run":
        return Path(str(value)).name
    if isinstance(value, float):
        return f"{value:,.1f}" if abs(value) >= 1000 else f"{value:.5g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}" if abs(value) >= 10000 else str(value)
    return "" if value is None else str(value)


class SweepTable(Callback):
    """Prints the table of a sweep's runs at its end, and writes it as report.csv into the sweep's folder."""

    def on_multirun_end(self, config: Any, **_: Any) -> None:
        """Show what the sweep's finished jobs reached."""
        folder = Path(config.hydra.sweep.dir)
        try:
            rows, differing = collect(glob.escape(str(folder)))
        except ValueError:
            return  # every job failed, and each has said why
        from textae.rundir import write_csv

        write_csv(folder / CSV, rows)
        print(table(rows, differing, "token_accuracy"), file=sys.stderr, flush=True)


def main(composed: Any) -> None:
    """Print the table; `csv=FILE` writes every column."""
    rows, differing = collect(composed.runs)
    print(table(rows, differing, composed.sort), flush=True)
    if composed.csv is not None:
        from textae.rundir import write_csv

        write_csv(Path(composed.csv), rows)


if __name__ == "__main__":
    hydra_main("report", main)
