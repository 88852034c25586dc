"""Figures of the quality of models, drawn with Matplotlib's objects and without its global state."""

from collections.abc import Mapping, Sequence
from itertools import cycle, islice
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, ScalarFormatter
from numpy.typing import ArrayLike

if TYPE_CHECKING:
    from textae.evaluation.metrics import LengthRow

TOKENS_OF_A_POINT = 100
PANELS = 6
LABELLED = 24  # runs


def quality_by_length(rows: Sequence["LengthRow"]) -> Figure:
    """Draw token accuracy (where known), exact match and BLEU-4 over ranges of document length."""
    if not rows:
        raise ValueError("expected at least one range of lengths, received none")
    figure, (axes,) = _figure(1, width=max(4.5, 0.5 + 0.9 * len(rows)))
    positions = np.arange(len(rows))
    curves = {
        "token accuracy": [np.nan if row.token_accuracy is None else row.token_accuracy for row in rows],
        "exact match": [row.exact_match for row in rows],
        "BLEU-4": [row.sentence_bleu4 for row in rows],
    }
    for (name, values), marker in zip(curves.items(), "os^", strict=True):
        if not np.isnan(values).all():
            axes.plot(positions, values, marker=marker, label=name)
    ranges = [f"{row.low}+" if row.high is None else f"{row.low}-{row.high - 1}" for row in rows]
    labels = [f"{name}\n{row.documents:,} doc." for name, row in zip(ranges, rows, strict=True)]
    axes.set_xticks(positions, labels)
    axes.set(xlabel="length of the original", ylabel="share", ylim=(-0.02, 1.02))
    axes.legend(loc="lower left")
    return figure


def accuracy_by_position(correct: ArrayLike, total: ArrayLike, stride: int) -> Figure:
    """Draw token accuracy by position and by stride phase, the position modulo ``stride``.

    ``correct`` and ``total`` are counts of shape (positions,). Neighbouring positions that few documents reach
    become one point. A decoder whose upsampling treats the outputs of one latent unequally shows as a zigzag
    over the phases.
    """
    correct, total = np.asarray(correct, np.float64), np.asarray(total, np.float64)
    if correct.shape != total.shape or correct.ndim != 1 or not total.any():
        raise ValueError(
            "expected counts of shape (positions,), not all of them zero, "
            f"received shapes {correct.shape} and {total.shape} with {int(total.sum())} tokens"
        )
    if stride < 1:
        raise ValueError(f"expected a stride of at least 1, received {stride}")
    figure, (by_position, by_phase) = _figure(2)
    groups = _groups(total)
    counts = np.bincount(groups, total)
    middle = np.bincount(groups, total * np.arange(len(total))) / counts
    by_position.plot(middle, np.bincount(groups, correct) / counts, linewidth=1)
    by_position.set(xlabel="position (tokens)", ylabel="token accuracy")
    phases = np.arange(len(total)) % stride
    phase_total = np.bincount(phases, total, minlength=stride)
    present = np.flatnonzero(phase_total)
    accuracy = np.bincount(phases, correct, minlength=stride)[present] / phase_total[present]
    by_phase.plot(present, accuracy, "o-", linewidth=1)
    by_phase.axhline(correct.sum() / total.sum(), color="grey", linestyle="--", label="all positions")
    by_phase.set(xlabel=f"position modulo {stride}", ylabel="token accuracy")
    by_phase.xaxis.set_major_locator(MaxNLocator("auto", integer=True, steps=[1, 2, 2.5, 5, 10]))
    by_phase.legend()
    return figure


def latent_dimensions(values: ArrayLike, threshold: float, name: str) -> Figure:
    """Draw ``values`` of shape (dimensions,), such as variance or KL, from high to low on a logarithmic axis.

    Dimensions above ``threshold`` are active units; the title says how many.
    """
    values = np.asarray(values, np.float64)
    if values.ndim != 1 or not values.size:
        raise ValueError(f"expected one value per dimension, received shape {values.shape}")
    figure, (axes,) = _figure(1)
    active = int((values > threshold).sum())
    floor = max(threshold, np.finfo(np.float32).tiny) * 1e-3  # a logarithmic axis cannot show zero
    axes.semilogy(np.arange(1, values.size + 1), np.maximum(np.sort(values)[::-1], floor), ".-", linewidth=1)
    axes.axhline(threshold, color="grey", linestyle="--")
    axes.set(
        xlabel="dimension, highest first",
        ylabel=name,
        title=f"{active} of {values.size} dimensions active ({name} > {threshold:g})",
    )
    return figure


def runs_compared(
    reached: Sequence[float], name: str, settings: Mapping[str, Sequence[object]], speeds: Sequence[float | None]
) -> Figure:
    """Draw the metric called ``name`` that each run reached, over each setting and over its speed.

    ``settings`` are the runs' values by the settings' names. Of many settings the first ``PANELS`` are drawn; a dash
    is the mean of the runs of one value.
    """
    if not len(reached):
        raise ValueError(f"expected at least one finished run with {name}, received none")
    shown = dict(islice(settings.items(), PANELS))
    figure, panels = _figure(len(shown) + 1)
    values = np.asarray(reached, np.float64)
    for axes, (setting, chosen) in zip(panels, shown.items(), strict=False):
        texts = [str(value) for value in chosen]
        if all(isinstance(value, int | float) and not isinstance(value, bool) for value in chosen):
            positions = np.asarray(chosen, np.float64)
            if positions.min() > 0 and positions.max() >= 8 * positions.min():
                axes.set_xscale("log")
        else:
            kinds = sorted(set(texts))
            positions = np.array([kinds.index(text) for text in texts], np.float64)
            axes.set_xticks(range(len(kinds)), kinds, rotation=20 if max(map(len, kinds)) > 8 else 0)
        axes.set_xlabel(setting)
        axes.plot(positions, values, "o", alpha=0.7)
        for position in np.unique(positions):
            axes.plot(position, values[positions == position].mean(), "_", color="black", markersize=16)
    known = np.array([np.nan if speed is None else speed for speed in speeds], np.float64)
    panels[-1].plot(known, values, "o", alpha=0.7)
    labels = [", ".join(str(chosen[run]) for chosen in shown.values()) for run in range(len(values))]
    for speed, value, label in zip(known, values, labels, strict=True):
        if np.isfinite(speed) and len(values) <= LABELLED:
            panels[-1].annotate(label, (speed, value), xytext=(4, 4), textcoords="offset points", fontsize=6)
    panels[-1].set_xlabel("tokens per second")
    for axes in panels:
        axes.set_ylabel(name.replace("_", " "))
        axes.margins(x=0.12, y=0.12)
    panels[-1].margins(x=0.25)  # room for the names
    return figure


def curves_compared(curves: Mapping[str, Mapping[str, ArrayLike]], baselines: Mapping[str, float]) -> Figure:
    """Draw token accuracy, exact match and BLEU of several curves over their rates, in bits per token.

    Args:
        curves: by name, the values of `rate`, `token_accuracy`, `exact_match` and `bleu` at each point, of equal
            lengths; a rate that is not finite is not drawn.
        baselines: bits per token that others need without loss, by name: dotted lines.
    """
    if not curves:
        raise ValueError("expected at least one curve, received none")
    figure, panels = _figure(3, width=7.0)
    for axes, metric in zip(panels, ("token_accuracy", "exact_match", "bleu"), strict=True):
        for (name, points), marker in zip(curves.items(), cycle("os^vDP*X"), strict=False):
            rates = np.asarray(points["rate"], np.float64)
            shown = np.flatnonzero(np.isfinite(rates) & (rates > 0))
            shown = shown[np.argsort(rates[shown], kind="stable")]
            axes.plot(
                rates[shown], np.asarray(points[metric])[shown], marker=marker, linewidth=1, markersize=4, label=name
            )
        for number, (name, bits) in enumerate(baselines.items()):
            axes.axvline(bits, color="grey", linestyle=":", linewidth=1)
            place = (bits, 0.03 + 0.12 * (number % 4))
            axes.annotate(name, place, xycoords=("data", "axes fraction"), fontsize=7, color="grey")
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter(ScalarFormatter())
        whole = 100 if metric == "bleu" else 1
        axes.set(ylabel=metric.replace("_", " "), ylim=(-0.02 * whole, 1.02 * whole))
    panels[-1].set_xlabel("rate (bits per token)")
    panels[0].legend(fontsize=7)
    return figure


def _groups(total: np.ndarray) -> np.ndarray:
    """Return the number of each position's group: neighbours that hold ``TOKENS_OF_A_POINT`` or as many as any has."""
    enough = min(TOKENS_OF_A_POINT, total.max())
    groups, group, held = np.zeros(len(total), np.int64), 0, 0.0
    for position, count in enumerate(total):
        if held >= enough and total[position:].sum() >= enough:
            group, held = group + 1, 0.0
        groups[position] = group
        held += count
    return groups


def _figure(panels: int, width: float = 4.5) -> tuple[Figure, list[Axes]]:
    """Return an empty figure, ``width`` inches wide, and its panels, one below the other.

    It is small in inches because TensorBoard shows images about 350 pixels wide, and text must stay readable.
    """
    figure = Figure(figsize=(width, 3.0 * panels), dpi=160, layout="constrained")
    panel_axes = [figure.add_subplot(panels, 1, index + 1) for index in range(panels)]
    for axes in panel_axes:
        axes.grid(alpha=0.3)
    return figure, panel_axes
