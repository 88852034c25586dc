"""A picture of one text's latents: a cell for each float."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font

SHOWN = 40  # latents of a text
_LABEL = 18  # characters
_FONT = "monospace"


def latent_picture(panels: Sequence[tuple[str, np.ndarray]], labels: Sequence[str] = ()) -> Figure:
    """Draw latents as cells, blue below zero and red above, all panels in one scale.

    A row is a latent. A single latent is folded into rows of about as many floats as there are rows.

    Args:
        panels: titles, and latents (latents, size) of the same shape; of many latents the first `SHOWN` are drawn.
        labels: what each latent stands for; fewer than latents are left out.
    """
    folded = len(panels[0][1]) == 1
    drawn = [_folded(latents) if folded else latents[:SHOWN] for _, latents in panels]
    most = max(max(float(np.abs(grid[np.isfinite(grid)]).max(initial=0.0)) for grid in drawn), 1e-6)
    height = 1.1 + (2.6 if folded else 0.19 * len(drawn[0]))
    figure = Figure(figsize=(9.0, height), dpi=120, layout="constrained")
    all_axes = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    for axes, (title, _), grid in zip(all_axes, panels, drawn, strict=True):
        axes.imshow(grid, aspect="auto", cmap="RdBu_r", vmin=-most, vmax=most, interpolation="nearest")
        axes.set_title(title, fontsize=10)
        axes.tick_params(labelsize=8, length=2)
        axes.set_xlabel("dimension" + (f", {grid.shape[1]} in a row" if folded else ""), fontsize=9)
    first = all_axes[0]
    if folded:
        first.set_yticks([])
    elif len(labels) >= len(drawn[0]):
        first.set_yticks(range(len(drawn[0])), [_short(label) for label in labels[: len(drawn[0])]], family=_FONT)
    else:
        first.set_ylabel("latent", fontsize=9)
    figure.colorbar(first.images[0], ax=list(all_axes), pad=0.01, fraction=0.03).ax.tick_params(labelsize=8)
    return figure


def _folded(latents: np.ndarray) -> np.ndarray:
    """Return a single latent as rows, filled up with NaN, which is drawn as nothing."""
    values = latents.ravel()
    width = math.ceil(math.sqrt(2.5 * len(values)))
    rows = -(-len(values) // width)
    grid = np.full(rows * width, np.nan, np.float32)
    grid[: len(values)] = values
    return grid.reshape(rows, width)


def _short(label: str) -> str:
    """Return a label for an axis: on one line, not long, no mathematics, and □ for what the font cannot draw."""
    known = get_font(findfont(_FONT)).get_charmap()
    shown = label if len(label) <= _LABEL else label[: _LABEL - 1] + "…"
    return "".join((c if ord(c) in known else "□") if c.isprintable() else "·" for c in shown).replace("$", r"\$")
