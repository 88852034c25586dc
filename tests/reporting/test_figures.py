"""Figures: what they draw, and that they leave Matplotlib's global state alone."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from textae.reporting.figures import (
    LEAST_SPAN,
    POINTS,
    accuracy_by_phase,
    accuracy_by_position,
    interval,
    latent_dimensions,
    quality_by_length,
    runs_compared,
)

pytestmark = pytest.mark.backend_free


def row(low, high, documents, token_accuracy, exact_match, sentence_bleu4):
    return SimpleNamespace(
        low=low,
        high=high,
        documents=documents,
        token_accuracy=token_accuracy,
        exact_match=exact_match,
        sentence_bleu4=sentence_bleu4,
    )


def drawn(figure):
    """The figure's lines as {label: y values} per panel, after drawing it for real."""
    FigureCanvasAgg(figure).draw()
    return [{line.get_label(): line.get_ydata() for line in axes.lines} for axes in figure.axes]


def bars(axes):
    """The ends of each curve's error bars: (points, (x, y)) at the lower and at the upper end, by label."""
    found = {}
    for container in axes.containers:
        ends = np.array(container.lines[2][0].get_segments())
        found[container.get_label()] = (ends[:, 0, 1], ends[:, 1, 1])
    return found


def test_quality_by_length():
    figure = quality_by_length([row(0, 8, 1200, 0.9, 0.5, 0.8), row(8, None, 3, 0.7, 0.1, 0.6)])
    FigureCanvasAgg(figure).draw()
    (axes,) = figure.axes
    values = {container.get_label(): container.lines[0].get_ydata() for container in axes.containers}
    np.testing.assert_array_equal(values["token accuracy"], [0.9, 0.7])
    np.testing.assert_array_equal(values["exact match"], [0.5, 0.1])
    np.testing.assert_array_equal(values["BLEU-4"], [0.8, 0.6])
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert labels == ["0-7\n1,200 doc.", "8+\n3 doc."]
    low, high = bars(axes)["exact match"]
    np.testing.assert_allclose(low[0], 0.5 - 1.96 * np.sqrt(0.25 / 1200), atol=1e-4)  # of many the normal one
    assert (high - low)[1] > 0.5  # three documents say little


def test_quality_by_length_without_tokens():
    figure = quality_by_length([row(0, None, 3, None, 0.1, 0.6)])
    assert {container.get_label() for container in figure.axes[0].containers} == {"exact match", "BLEU-4"}


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [(0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (5, 10, 0.2366, 0.7634), (81, 263, 0.2553, 0.3662)],
)
def test_intervals_of_shares(successes, trials, low, high):
    """As in Newcombe (1998), Statistics in Medicine 17, tables I and II, and for 0 of 10: 1.96^2 / (10 + 1.96^2)."""
    np.testing.assert_allclose(np.ravel(interval([successes], [trials])), [low, high], atol=6e-5)


def test_accuracy_by_position_and_phase():
    # positions 0..5, the second of every pair is bad, nothing was counted at position 4
    counts = [8, 4, 6, 3, 0, 1], [8, 8, 6, 6, 0, 2]
    (lines,) = drawn(accuracy_by_position(*counts))
    np.testing.assert_array_equal(lines["token accuracy"], [1, 0.5, 10 / 14])  # the last of 6 + 6 + 0 + 2 tokens
    np.testing.assert_allclose(lines["all positions"], 22 / 30)
    figure = accuracy_by_phase(*counts, stride=2)
    FigureCanvasAgg(figure).draw()
    (axes,) = figure.axes
    (phases,) = axes.containers
    np.testing.assert_array_equal(phases.lines[0].get_ydata(), [14 / 14, 8 / 16])
    np.testing.assert_allclose(bars(axes)["with its 95 % interval"], interval([14, 8], [14, 16]))
    for labelled in (axes.get_title(), axes.get_xlabel(), axes.get_ylabel()):
        assert labelled


@pytest.mark.parametrize("draw", [accuracy_by_position, lambda right, total: accuracy_by_phase(right, total, 4)])
def test_a_difference_that_is_noise_does_not_fill_the_axis(draw):
    total = np.full(40, 2000.0)
    right = np.round(total * (0.9936 + 0.0015 * np.cos(np.arange(40) * np.pi / 2)))
    low, high = draw(right, total).axes[0].get_ylim()
    assert high - low >= LEAST_SPAN and low < 0.96 and 1 < high < 1.01
    low, high = draw(total * np.tile([1, 0.2, 0.5, 0.9], 10), total).axes[0].get_ylim()
    assert low < 0.2 and high > 1  # a large one does


def test_positions_that_few_documents_reach_become_one_point():
    total = np.array([500] * 3 + [100] * 2 + [10] * 25)
    correct = np.array([500, 250, 250, 100, 50] + [10, 0] * 12 + [0])
    line = accuracy_by_position(correct, total).axes[0].lines[0]
    np.testing.assert_allclose(line.get_xdata(), [0, 1, 2, 3, 4, 9.5, 22])
    np.testing.assert_allclose(line.get_ydata(), [1, 0.5, 0.5, 1, 0.5, 0.5, 7 / 15])
    many = accuracy_by_position(np.full(512, 900), np.full(512, 1000)).axes[0].lines[0]
    assert POINTS / 2 <= len(many.get_xdata()) <= POINTS


def test_accuracy_by_phase_with_fewer_positions_than_phases():
    figure = accuracy_by_phase([1, 1], [2, 1], stride=8)
    np.testing.assert_array_equal(figure.axes[0].containers[0].lines[0].get_xydata(), [[0, 0.5], [1, 1]])


def test_latent_dimensions_counts_those_alive():
    figure = latent_dimensions([0.0, 2.0, 0.5, 0.01], threshold=0.01, name="variance")
    (lines,) = drawn(figure)
    np.testing.assert_allclose(next(iter(lines.values())), [2.0, 0.5, 0.01, 1e-5])
    assert figure.axes[0].get_title() == "2 of 4 dimensions active\n(variance > 0.01)"


def test_runs_compared_over_each_setting_and_over_speed():
    settings = {"model.size": [32, 64, 64, 512], "way": ["b", "a", "a", None]}
    figure = runs_compared([0.1, 0.2, 0.4, 0.5], "loss", settings, [100.0, 200.0, None, 50.0])
    FigureCanvasAgg(figure).draw()
    size, way, speed = figure.axes
    assert size.get_xscale() == "log"
    assert [label.get_text() for label in size.get_xticklabels()] == ["32", "64", "512"]
    places = [line.get_xydata()[0].tolist() for line in size.lines]
    assert places[:4] == [[32, 0.1], [64, 0.2], [64, 0.4], [512, 0.5]]
    assert places[4:] == [[32, 0.1], [64, pytest.approx(0.3)], [512, 0.5]]  # means
    assert [label.get_text() for label in way.get_xticklabels()] == ["None", "a", "b"]
    assert [line.get_xydata()[0].tolist() for line in way.lines[:4]] == [[2, 0.1], [1, 0.2], [1, 0.4], [0, 0.5]]
    assert [line.get_xdata()[0] for line in speed.lines][:2] == [100, 200]
    assert [axes.get_xlabel() for axes in figure.axes] == ["model.size", "way", "tokens per second"]
    assert {axes.get_ylabel() for axes in figure.axes} == {"loss"}
    assert figure.get_suptitle() == "loss of 4 runs (lower is better)"
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "32, b",
        "64, a",
        "64, a",
        "512, None",
        "mean of a value",
    ]
    assert legend.get_title().get_text() == "size, way"


@pytest.mark.parametrize(
    ("rates", "scale"), [([0.001, 0.003, 0.01], "log"), ([1, 2, 3], "linear"), ([0, 1, 9], "linear")]
)
def test_axes_of_rates_that_are_swept_are_logarithmic(rates, scale):
    axes, _ = runs_compared([1.0, 2.0, 3.0], "bleu", {"training.learning_rate": rates}, [None] * 3, "maximize").axes
    assert axes.get_xscale() == scale
    assert [label.get_text() for label in axes.get_xticklabels()] == [f"{rate:g}" for rate in rates]


def test_of_many_settings_some_are_drawn():
    figure = runs_compared([1.0], "bleu", {f"setting {i}": [True] for i in range(10)}, [None])
    assert len(figure.axes) == 7
    FigureCanvasAgg(figure).draw()
    with pytest.raises(ValueError, match="at least one finished run with bleu"):
        runs_compared([], "bleu", {}, [])


def test_no_figure_is_left_in_global_state():
    drawn(latent_dimensions([1.0], 0.1, "x"))
    if pyplot := sys.modules.get("matplotlib.pyplot"):
        assert pyplot.get_fignums() == []


def test_nonsense_is_refused():
    with pytest.raises(ValueError, match="received none"):
        quality_by_length([])
    with pytest.raises(ValueError, match=r"\(2,\) and \(3,\)"):
        accuracy_by_position([1, 1], [1, 1, 1])
    with pytest.raises(ValueError, match="with 0 tokens"):
        accuracy_by_phase([0, 0], [0, 0], 2)
    with pytest.raises(ValueError, match="received 0"):
        accuracy_by_phase([1], [1], 0)
    with pytest.raises(ValueError, match=r"received shape \(2, 2\)"):
        latent_dimensions([[1, 2], [3, 4]], 0.1, "KL")
