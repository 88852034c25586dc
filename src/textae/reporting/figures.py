"""Figures of the quality of models, drawn with Matplotlib's objects and without its global state."""

from collections.abc import Mapping, Sequence
from itertools import cycle, islice
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator, ScalarFormatter
from numpy.typing import ArrayLike

if TYPE_CHECKING:
    from textae.evaluation.metrics import LengthRow

WIDTH, HEIGHT = 4.8, 2.9  # inches; TensorBoard shows figures 200 pixels high, and lettering must stay readable
TOKENS_OF_A_POINT = 100  # at least
POINTS = 40  # of a curve over positions, at most
LEAST_SPAN = 0.05  # of an axis of shares
LOGARITHMIC = 4  # the largest value of a setting is so many times the smallest one: its axis is logarithmic
TICKS = 8  # a setting with no more values has each of them on its axis
PANELS = 6
LABELLED = 24  # runs


def quality_by_length(rows: Sequence["LengthRow"]) -> Figure:
    """Draw token accuracy (where known), exact match and BLEU-4 over ranges of document length.

    The bars are 95 % intervals of shares of so many documents. The other two vary less from document to document than
    exact match, so that their bars are longer than need be.
    """
    if not rows:
        raise ValueError("expected at least one range of lengths, received none")
    figure, (axes,) = _figure(1, width=max(WIDTH, 0.5 + 0.9 * len(rows)))
    positions = np.arange(len(rows))
    curves = {
        "token accuracy": [np.nan if row.token_accuracy is None else row.token_accuracy for row in rows],
        "exact match": [row.exact_match for row in rows],
        "BLEU-4": [row.sentence_bleu4 for row in rows],
    }
    documents = np.array([row.documents for row in rows], np.float64)
    for number, ((name, values), marker) in enumerate(zip(curves.items(), "os^", strict=True)):
        if not np.isnan(values).all():
            low, high = interval(documents * values, documents)
            errors = (np.maximum(values - low, 0), np.maximum(high - values, 0))
            axes.errorbar(positions + 0.06 * (number - 1), values, errors, marker=marker, capsize=2, label=name)
    ranges = [f"{row.low}+" if row.high is None else f"{row.low}-{row.high - 1}" for row in rows]
    labels = [f"{name}\n{row.documents:,} doc." for name, row in zip(ranges, rows, strict=True)]
    axes.set_xticks(positions, labels)
    axes.set(xlabel="length of the original", ylabel="share", ylim=(-0.02, 1.02), title="Quality by document length")
    axes.legend(loc="lower left", fontsize=8)
    return figure


def accuracy_by_position(correct: ArrayLike, total: ArrayLike) -> Figure:
    """Draw token accuracy by the position in the document, with what chance makes of it.

    ``correct`` and ``total`` are counts of shape (positions,). Neighbouring positions become one point until it has
    enough tokens. The band is the 95 % interval of a share of so many tokens.
    """
    correct, total = _counts(correct, total)
    figure, (axes,) = _figure(1)
    groups = _groups(total)
    counts, right = np.bincount(groups, total), np.bincount(groups, correct)
    middle = np.bincount(groups, total * np.arange(len(total))) / counts
    low, high = interval(right, counts)
    axes.fill_between(middle, low, high, alpha=0.25, linewidth=0, label="95 % interval")
    axes.plot(middle, right / counts, ".-", linewidth=1, label="token accuracy")
    _mark_mean(axes, correct, total)
    axes.set(xlabel="position (tokens)", ylabel="token accuracy", title="Accuracy by position in the document")
    axes.set_ylim(*_share_limits(low, high))
    return figure


def accuracy_by_phase(correct: ArrayLike, total: ArrayLike, stride: int) -> Figure:
    """Draw token accuracy by stride phase, the position modulo ``stride``, with 95 % intervals.

    ``correct`` and ``total`` are counts of shape (positions,). A decoder whose upsampling treats the outputs of one
    latent unequally shows as a zigzag that is larger than the intervals.
    """
    correct, total = _counts(correct, total)
    if stride < 1:
        raise ValueError(f"expected a stride of at least 1, received {stride}")
    figure, (axes,) = _figure(1)
    phases = np.arange(len(total)) % stride
    counts, right = np.bincount(phases, total, minlength=stride), np.bincount(phases, correct, minlength=stride)
    present = np.flatnonzero(counts)
    share = right[present] / counts[present]
    low, high = interval(right[present], counts[present])
    axes.errorbar(present, share, (share - low, high - share), fmt="o", capsize=3, label="with its 95 % interval")
    _mark_mean(axes, correct, total)
    axes.set(xlabel=f"position modulo {stride}", ylabel="token accuracy", title="Accuracy by position within a stride")
    axes.set_ylim(*_share_limits(low, high))
    axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True, steps=[1, 2, 2.5, 5, 10]))
    return figure


def interval(successes: ArrayLike, trials: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return the ends of the 95 % intervals of shares: Wilson (1927), which is right near 0 and 1 too."""
    trials = np.asarray(trials, np.float64)
    share, z = np.asarray(successes, np.float64) / trials, 1.959964
    middle = (share + z**2 / (2 * trials)) / (1 + z**2 / trials)
    half = z / (1 + z**2 / trials) * np.sqrt(share * (1 - share) / trials + z**2 / (4 * trials**2))
    return np.clip(middle - half, 0.0, share), np.clip(middle + half, share, 1.0)


def _counts(correct: ArrayLike, total: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    correct, total = np.asarray(correct, np.float64), np.asarray(total, np.float64)
    if correct.shape != total.shape or correct.ndim != 1 or not total.any():
        raise ValueError(
            "expected counts of shape (positions,), not all of them zero, "
            f"received shapes {correct.shape} and {total.shape} with {int(total.sum())} tokens"
        )
    return correct, total


def _mark_mean(axes: Axes, correct: np.ndarray, total: np.ndarray) -> None:
    axes.axhline(correct.sum() / total.sum(), color="grey", linestyle="--", label="all positions")
    axes.legend(loc="lower left", fontsize=8)


def _share_limits(low: np.ndarray, high: np.ndarray) -> tuple[float, float]:
    """Return limits of an axis of shares that has room for the intervals, and shows no small difference as large."""
    span = max(1.1 * float(high.max() - low.min()), LEAST_SPAN)
    top = min(float(high.max() + low.min()) / 2 + span / 2, 1 + 0.04 * span)
    return max(top - 1.04 * span, -0.04 * span), top


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
        title=f"{active} of {values.size} dimensions active\n({name} > {threshold:.3g})",
    )
    return figure


def runs_compared(
    reached: Sequence[float],
    name: str,
    settings: Mapping[str, Sequence[object]],
    speeds: Sequence[float | None],
    direction: str = "minimize",
) -> Figure:
    """Draw the metric called ``name`` that each run reached, over each setting and over its speed.

    ``settings`` are the runs' values by the settings' names. Of many settings the first ``PANELS`` are drawn. A run
    has the same colour in all panels; the legend names it by its settings. A dash is the mean of the runs of one value.
    ``direction`` is "minimize" or "maximize", whichever is better.
    """
    if not len(reached):
        raise ValueError(f"expected at least one finished run with {name}, received none")
    shown = dict(islice(settings.items(), PANELS))
    figure, panels = _figure(len(shown) + 1, columns=min(len(shown) + 1, 2))
    values = np.asarray(reached, np.float64)
    for axes, (setting, chosen) in zip(panels, shown.items(), strict=False):
        positions = _place(axes, setting, chosen)
        _draw_runs(axes, positions, values)
        for position in np.unique(positions):
            mean = values[positions == position].mean()
            axes.plot(position, mean, "_", color="black", markersize=16, label="mean of a value")
    known = np.array([np.nan if speed is None else speed for speed in speeds], np.float64)
    _draw_runs(panels[-1], known, values)
    panels[-1].set_xlabel("tokens per second")
    for axes in panels:
        axes.set_ylabel(name.replace("_", " "))
        axes.margins(x=0.12, y=0.12)
    plural = "s" if len(values) > 1 else ""
    better = "lower" if direction == "minimize" else "higher"
    figure.suptitle(f"{name.replace('_', ' ')} of {len(values)} run{plural} ({better} is better)")
    if shown and len(values) <= LABELLED:
        _name_runs(figure, panels[0], shown)
    return figure


def _place(axes: Axes, setting: str, chosen: Sequence[object]) -> np.ndarray:
    """Set up an axis for the values of a setting, (runs,), and return where they are on it."""
    axes.set_xlabel(setting)
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in chosen):
        texts = [str(value) for value in chosen]
        kinds = sorted(set(texts))
        axes.set_xticks(range(len(kinds)), kinds, rotation=20 if max(map(len, kinds)) > 8 else 0)
        return np.array([kinds.index(text) for text in texts], np.float64)
    positions = np.asarray(chosen, np.float64)
    if positions.min() > 0 and positions.max() >= LOGARITHMIC * positions.min():
        axes.set_xscale("log")
    different = np.unique(positions)
    if len(different) <= TICKS:
        axes.set_xticks(different, [f"{value:g}" for value in different])
        axes.xaxis.set_minor_locator(NullLocator())
    return positions


def _draw_runs(axes: Axes, positions: np.ndarray, values: np.ndarray) -> None:
    """Draw a point for each run, in the run's colour."""
    for number, (position, value) in enumerate(zip(positions, values, strict=True)):
        axes.plot(position, value, "o", color=f"C{number % 10}", alpha=0.8, label=f"run {number}")


def _name_runs(figure: Figure, axes: Axes, shown: Mapping[str, Sequence[object]]) -> None:
    """Write below a figure which colour is which run, by its settings, and what a dash is."""
    handles, labels = axes.get_legend_handles_labels()
    runs = len(next(iter(shown.values())))
    names = [", ".join(str(chosen[run]) for chosen in shown.values()) for run in range(runs)]
    title = ", ".join(name.rpartition(".")[2] for name in shown)
    figure.legend(
        handles[: runs + 1],
        [*names, *labels[runs : runs + 1]],
        loc="outside lower center",
        ncols=3 if max(map(len, names)) < 16 else 2,
        fontsize=7,
        title=title[:80],
        title_fontsize=7,
    )


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
    """Return the number of each position's group: neighbours that hold ``TOKENS_OF_A_POINT`` or as many as any has.

    They hold more where there would be more than ``POINTS`` groups.
    """
    enough = max(min(TOKENS_OF_A_POINT, total.max()), total.sum() / POINTS)
    groups, group, held = np.zeros(len(total), np.int64), 0, 0.0
    for position, count in enumerate(total):
        if held >= enough and total[position:].sum() >= enough:
            group, held = group + 1, 0.0
        groups[position] = group
        held += count
    return groups


def _figure(panels: int, width: float = WIDTH, columns: int = 1) -> tuple[Figure, list[Axes]]:
    """Return an empty figure and its panels, each ``width`` inches wide, row by row."""
    rows = -(-panels // columns)
    figure = Figure(figsize=(width * columns, HEIGHT * rows), dpi=200, layout="constrained")
    panel_axes = [figure.add_subplot(rows, columns, index + 1) for index in range(panels)]
    for axes in panel_axes:
        axes.grid(alpha=0.3)
        axes.title.set_fontsize(11)
    return figure, panel_axes
