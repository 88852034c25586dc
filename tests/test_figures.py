"""Figures: what they draw, and that they leave Matplotlib's global state alone."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from textae.figures import accuracy_by_position, curve, latent_dimensions, quality_by_length


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


def test_quality_by_length():
    figure = quality_by_length([row(0, 8, 1200, 0.9, 0.5, 0.8), row(8, None, 3, 0.7, 0.1, 0.6)])
    (lines,) = drawn(figure)
    np.testing.assert_array_equal(lines["token accuracy"], [0.9, 0.7])
    np.testing.assert_array_equal(lines["exact match"], [0.5, 0.1])
    np.testing.assert_array_equal(lines["BLEU-4"], [0.8, 0.6])
    labels = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert labels == ["0-7\n1,200 doc.", "8+\n3 doc."]


def test_quality_by_length_without_tokens():
    (lines,) = drawn(quality_by_length([row(0, None, 3, None, 0.1, 0.6)]))
    assert set(lines) == {"exact match", "BLEU-4"}


def test_accuracy_by_position_and_phase():
    # positions 0..5, the second of every pair is bad, nothing was counted at position 4
    first, second = drawn(accuracy_by_position([8, 4, 6, 3, 0, 1], [8, 8, 6, 6, 0, 2], stride=2))
    np.testing.assert_array_equal(next(iter(first.values())), [1, 0.5, 1, 0.5, 0.5])
    by_phase = next(values for label, values in second.items() if label != "all positions")
    np.testing.assert_array_equal(by_phase, [14 / 14, 8 / 16])
    np.testing.assert_allclose(second["all positions"], 22 / 30)


def test_accuracy_by_position_with_fewer_positions_than_phases():
    _, second = drawn(accuracy_by_position([1, 1], [2, 1], stride=8))
    np.testing.assert_array_equal(next(iter(second.values())), [0.5, 1])


def test_latent_dimensions_counts_those_alive():
    figure = latent_dimensions([0.0, 2.0, 0.5, 0.01], threshold=0.01, name="variance")
    (lines,) = drawn(figure)
    np.testing.assert_allclose(next(iter(lines.values())), [2.0, 0.5, 0.01, 1e-5])
    assert figure.axes[0].get_title() == "2 of 4 dimensions alive (variance > 0.01)"


def test_curve():
    figure = curve([0, 10], [1.0, 0.5], "learning rate")
    (lines,) = drawn(figure)
    np.testing.assert_array_equal(next(iter(lines.values())), [1.0, 0.5])
    assert figure.axes[0].get_ylabel() == "learning rate"


def test_no_figure_is_left_in_global_state():
    drawn(curve([0], [1], "x"))
    if pyplot := sys.modules.get("matplotlib.pyplot"):
        assert pyplot.get_fignums() == []


def test_nonsense_is_refused():
    with pytest.raises(ValueError, match="received none"):
        quality_by_length([])
    with pytest.raises(ValueError, match=r"\(2,\) and \(3,\)"):
        accuracy_by_position([1, 1], [1, 1, 1], 2)
    with pytest.raises(ValueError, match="with 0 tokens"):
        accuracy_by_position([0, 0], [0, 0], 2)
    with pytest.raises(ValueError, match="received 0"):
        accuracy_by_position([1], [1], 0)
    with pytest.raises(ValueError, match=r"received shape \(2, 2\)"):
        latent_dimensions([[1, 2], [3, 4]], 0.1, "KL")
    with pytest.raises(ValueError, match="one shape"):
        curve([1, 2], [1], "loss")
