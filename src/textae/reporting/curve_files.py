"""Curves of runs: their CSV files, and the table and the figure of several of them together."""

from __future__ import annotations

import csv
import glob
import io
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from textae.files import write_bytes
from textae.reporting.run_table import image_kind, markdown_table
from textae.untrusted_files import one_line, read_bytes

METRICS = ("token_accuracy", "exact_match", "bleu")
COLUMNS = ("name", "curve", "noise_level", "latent_noise", "bits", "rate", "loss", *METRICS, "cer")
BASELINE = "lossless"  # in the column `curve`
LARGEST_FILE = 1 << 24  # bytes


def rows_of(
    name: str, kind: str, points: Iterable[dict[str, Any]], baselines: dict[str, float]
) -> list[dict[str, Any]]:
    """Return a row for each point of a curve, and one for each baseline, which loses nothing."""
    lossless = {"token_accuracy": 1.0, "exact_match": 1.0, "bleu": 100.0}
    return [
        *({"name": name, "curve": kind} | point for point in points),
        *({"name": other, "curve": BASELINE, "rate": bits} | lossless for other, bits in baselines.items()),
    ]


def read(patterns: Sequence[str]) -> list[dict[str, Any]]:
    """Return the rows of the CSV files that names and globs stand for; a row that several have is there once.

    Raises:
        ValueError: no file, or one that is not a curve's.
    """
    files = [Path(found) for pattern in patterns for found in sorted(glob.glob(pattern)) or [pattern]]  # noqa: PTH207
    rows: dict[tuple[Any, ...], dict[str, Any]] = {}
    for file in files:
        if not file.is_file():
            raise ValueError(f"curves: expected a CSV file of textae.evaluate curve=..., found none at {file}")
        for row in _rows(file):
            rows.setdefault(tuple(row.values()), row)
    return list(rows.values())


def _rows(file: Path) -> list[dict[str, Any]]:
    try:
        text = read_bytes(file, LARGEST_FILE).decode("utf-8")
        found = list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
        return [{name: _value(name, row.get(name)) for name in COLUMNS} for row in found if _whole(row)]
    except (OSError, ValueError, csv.Error) as error:
        raise ValueError(f"{file} is not a curve of textae.evaluate: {one_line(error)}") from error


def _whole(row: dict[str, Any]) -> bool:
    """Return True for a row that has what is drawn; raise a ValueError otherwise."""
    if missing := [name for name in ("name", "curve", "rate", *METRICS) if row.get(name) is None]:
        raise ValueError(f"expected a column {missing[0]} in each row, found none")
    return True


def _value(name: str, text: str | None) -> Any:
    if name in ("name", "curve") or not text:
        return text or None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"expected numbers in the column {name}, found {text[:50]!r}")
    return int(value) if name == "bits" else value


def table(rows: Sequence[dict[str, Any]], named: bool = True) -> str:
    """Return rows as a Markdown table of the columns that any of them has, the names of runs among them or not."""
    shown = [name for name in COLUMNS if any(row.get(name) is not None for row in rows)]
    return markdown_table(rows, shown if named else [name for name in shown if name not in ("name", "curve")])


def plot(rows: Sequence[dict[str, Any]], file: Path) -> None:
    """Draw the curves over bits per token, and baselines as lines, into an image file.

    Raises:
        ValueError: there is no curve, or the file is of no kind that can be drawn.
    """
    from textae.reporting.figures import curves_compared

    curves: dict[str, dict[str, list[float]]] = {}
    for row in rows:
        if row["curve"] != BASELINE:
            label = f"{_label(row['name'])}, {_label(row['curve'])}"
            points = curves.setdefault(label, {name: [] for name in ("rate", *METRICS)})
            for name, values in points.items():
                values.append(math.nan if row.get(name) is None else float(row[name]))
    baselines = {f"{_label(row['name'])} {row['rate']:.1f}": row["rate"] for row in rows if row["curve"] == BASELINE}
    image = io.BytesIO()
    curves_compared(curves, baselines).savefig(image, format=image_kind(file))
    write_bytes(file, image.getvalue())


def _label(name: str) -> str:
    r"""Return a name without what Matplotlib reads as a formula, and not too long."""
    return name[-40:].replace("$", r"\$")
