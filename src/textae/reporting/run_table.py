"""The table of runs: what they reached, and the settings that differ between them."""

from __future__ import annotations

import glob
import io
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from textae.config.mapping import flat, from_mapping, to_mapping
from textae.config.metric_table import DIRECTIONS, names
from textae.files import write_bytes
from textae.progress import escaped
from textae.runs.run_folder import CONFIG, ENVIRONMENT, RunDir
from textae.untrusted_files import entries, kind_of

logger = logging.getLogger(__name__)

FINISHED = "finished"
WIDTH = 120  # characters of a table, where not every column is asked for
LONGEST_CELL = 100  # characters
LONGEST_NAME = 32  # characters of a run's name or a setting's value in a table of that width
NO_SETTINGS = {
    "corpus.beam",
    "corpus.workers",
    "data_dir",
    "objective",
    "training.loggers",
}  # they make no difference to what a run reaches


def collect(pattern: str) -> tuple[list[dict[str, Any]], list[str]]:
    """Return a row for each run below a folder or glob, and the names of the settings that differ.

    A row has the run's folder, how far it is, those settings, and, once it is finished, its metrics. A run that cannot
    be read is named on standard error and left out.

    Raises:
        ValueError: no run is there.
    """
    folders = [Path(found) for found in sorted(glob.glob(pattern))]  # noqa: PTH207, patterns may be absolute
    found = {path.parent for folder in folders for path in entries(folder, most=None) if path.name == CONFIG}
    read: list[tuple[Path, str, dict[str, Any], dict[str, Any]]] = []
    damaged = 0
    for run in map(RunDir, sorted(found)):
        if kind_of(run / ENVIRONMENT) is None:
            continue  # of another program
        try:
            read.append(_read(run))
        except (ValueError, OSError) as error:
            damaged += 1
            logger.warning(f"left out: {run.folder}: {error}")
    if not read:
        others = f" but {damaged:,} that cannot be read" if damaged else ""
        raise ValueError(f"runs: expected a folder with runs, found none{others} in {pattern}")
    settings_read = list(
        dict.fromkeys(name for _, _, settings, _ in read for name in settings if name not in NO_SETTINGS)
    )
    differing = [name for name in settings_read if len({repr(settings.get(name)) for _, _, settings, _ in read}) > 1]
    rows = []
    for folder, state, settings, metrics in read:
        own = {"run": str(folder), "state": state} | {name: settings.get(name) for name in differing}
        rows.append(own | {name: value for name, value in metrics.items() if name not in own})
    return rows, differing


def _read(run: RunDir) -> tuple[Path, str, dict[str, Any], dict[str, Any]]:
    """Return a run's folder, how far it is by its last validation, its settings, and its metrics once it is finished.

    Raises:
        ValueError, OSError: one of its files is damaged, or is no file.
    """
    settings = flat(to_mapping(from_mapping(run.config())))
    if metrics := run.metrics():
        return run.folder, FINISHED, settings, metrics
    step = run.last_step()
    return run.folder, "begun" if step is None else f"step {step}", settings, {}


def table(rows: list[dict[str, Any]], differing: list[str], sort: str, everything: bool = False) -> str:
    """Return rows as a Markdown table, best first: by falling `sort`, or rising where less is better.

    How far runs are is shown if not all are finished. Then come the metric `sort`, the settings that differ, and the
    main metrics, as many as fit into `WIDTH` characters; with `everything`, all settings that differ and all metrics.
    """
    rows = _named(sorted_rows(rows, sort))
    state = [] if all(row["state"] == FINISHED for row in rows) else ["state"]
    first = ["run", *state, sort]
    if everything:
        return markdown_table(rows, list(dict.fromkeys([*first, *differing, *(name for row in rows for name in row)])))
    short = _short_names(differing)
    rows = [{short.get(name, name): _shortened(value) for name, value in row.items()} for row in rows]
    wanted = list(dict.fromkeys([*first, *short.values(), *names(column=True)]))
    shown = wanted
    while len(markdown_table(rows, shown).partition("\n")[0]) > WIDTH and len(shown) > len(first):
        shown = shown[:-1]
    if left := len(wanted) - len(shown):
        logger.info(f"{left} more columns with all=true, all of them with csv=FILE: python -m textae.report")
    return markdown_table(rows, shown)


def _short_names(settings: Sequence[str]) -> dict[str, str]:
    """Return the settings' names without their groups, where that leaves them different from each other."""
    last = {name: name.rpartition(".")[2] for name in settings}
    taken = [*last.values(), *names()]
    return {name: end if taken.count(end) == 1 else name for name, end in last.items()}


def _shortened(value: Any) -> Any:
    """Return a value whose text is not too long; of a long text the end is kept, where names of runs differ."""
    if isinstance(value, (int, float)) or value is None or len(text := str(value)) <= LONGEST_NAME:
        return value
    return f"...{text[3 - LONGEST_NAME :]}"


def markdown_table(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> str:
    """Return columns of rows as a Markdown table whose columns are aligned."""
    body = [[_cell(row.get(name)) for name in names] for row in rows]
    head = [_cell(name) for name in names]
    widths = [max(len(line[i]) for line in [head, *body]) for i in range(len(names))]
    lines = [head, ["-" * width for width in widths], *body]
    return "\n".join("| " + " | ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) + " |" for line in lines)


def _named(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return rows whose runs are named by what is below the folder that holds them all."""
    common = os.path.commonpath([Path(row["run"]).parent for row in rows])
    return [row | {"run": os.path.relpath(row["run"], common)} for row in rows]


def plot(rows: list[dict[str, Any]], differing: list[str], sort: str, file: Path, own: bool = False) -> None:
    """Draw what finished runs reached over each setting that differs, and over their speed, into an image file.

    Raises:
        ValueError: no finished run has the metric, or the file is of no kind that can be drawn.
    """
    from textae.reporting.figures import runs_compared

    having = [row for row in rows if isinstance(row.get(sort), (int, float))]
    settings = {_label(name): [_label(row.get(name)) for row in having] for name in differing}
    speeds = [row.get("tokens_per_second") for row in having]
    image = io.BytesIO()
    figure = runs_compared([row[sort] for row in having], sort, settings, speeds, DIRECTIONS[sort])
    figure.savefig(image, format=image_kind(file))
    write_bytes(file, image.getvalue(), own)


def _label(value: Any) -> Any:
    r"""Return a setting as it stands in a plot: text without what Matplotlib reads as formulas, "\$" as it is."""
    return value if isinstance(value, (int, float)) else _cell(value)[:40].replace("$", r"\$")


def image_kind(file: Path) -> str:
    """Return what kind of image a file's name stands for.

    Raises:
        ValueError: none that can be drawn.
    """
    kind = file.suffix.lower().removeprefix(".")
    if kind not in ("png", "svg", "pdf"):
        raise ValueError(f"plot: expected a file of kind png, svg or pdf, found {file}")
    return kind


def sorted_rows(rows: list[dict[str, Any]], sort: str) -> list[dict[str, Any]]:
    """Return the rows, best first; rows without the metric come last."""
    having = [row for row in rows if isinstance(row.get(sort), (int, float))]
    having.sort(key=lambda row: row[sort], reverse=DIRECTIONS[sort] == "maximize")
    return having + [row for row in rows if row not in having]


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.1f}" if abs(value) >= 1000 else f"{value:.5g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}" if abs(value) >= 10000 else str(value)
    text = "" if value is None else escaped(str(value)).replace("|", "\\|")
    return text if len(text) <= LONGEST_CELL else f"{text[: LONGEST_CELL - 3]}..."
