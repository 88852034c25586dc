"""Figures: what they draw, and that they leave Matplotlib's global state alone."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from textae.reporting.figures import accuracy_by_position, latent_dimensions, quality_by_length, runs_compared

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
    np.testing.assert_array_equal(next(iter(first.values())), [1, 0.5, 10 / 14])  # the last of 6 + 6 + 0 + 2 tokens
    by_phase = next(values for label, values in second.items() if label != "all positions")
    np.testing.assert_array_equal(by_phase, [14 / 14, 8 / 16])
    np.testing.assert_allclose(second["all positions"], 22 / 30)


def test_positions_that_few_documents_reach_become_one_point():
    total = np.array([500] * 3 + [100] * 2 + [10] * 25)
    correct = np.array([500, 250, 250, 100, 50] + [10, 0] * 12 + [0])
    figure = accuracy_by_position(correct, total, stride=1)
    (line,) = figure.axes[0].lines
    np.testing.assert_allclose(line.get_xdata(), [0, 1, 2, 3, 4, 9.5, 22])
    np.testing.assert_allclose(line.get_ydata(), [1, 0.5, 0.5, 1, 0.5, 0.5, 7 / 15])


def test_accuracy_by_position_with_fewer_positions_than_phases():
    _, second = drawn(accuracy_by_position([1, 1], [2, 1], stride=8))
    np.testing.assert_array_equal(next(iter(second.values())), [0.5, 1])


def test_latent_dimensions_counts_those_alive():
    figure = latent_dimensions([0.0, 2.0, 0.5, 0.01], threshold=0.01, name="variance")
    (lines,) = drawn(figure)
    np.testing.assert_allclose(next(iter(lines.values())), [2.0, 0.5, 0.01, 1e-5])
    assert figure.axes[0].get_title() == "2 of 4 dimensions active (variance > 0.01)"


def test_runs_compared_over_each_setting_and_over_speed():
    settings = {"size": [32, 64, 64, 512], "way": ["b", "a", "a", None]}
    figure = runs_compared([0.1, 0.2, 0.4, 0.5], "loss", settings, [100.0, 200.0, None, 50.0])
    FigureCanvasAgg(figure).draw()
    size, way, speed = figure.axes
    assert size.get_xscale() == "log"
    np.testing.assert_array_equal(size.lines[0].get_xydata(), [[32, 0.1], [64, 0.2], [64, 0.4], [512, 0.5]])
    means = [line.get_xydata()[0].tolist() for line in size.lines[1:]]
    assert means == [[32, 0.1], [64, pytest.approx(0.3)], [512, 0.5]]
    assert [label.get_text() for label in way.get_xticklabels()] == ["None", "a", "b"]
    np.testing.assert_array_equal(way.lines[0].get_xydata(), [[2, 0.1], [1, 0.2], [1, 0.4], [0, 0.5]])
    assert [text.get_text() for text in speed.texts] == ["32, b", "64, a", "512, None"]
    assert [axes.get_xlabel() for axes in figure.axes] == ["size", "way", "tokens per second"]
    assert {axes.get_ylabel() for axes in figure.axes} == {"loss"}


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
        accuracy_by_position([1, 1], [1, 1, 1], 2)
    with pytest.raises(ValueError, match="with 0 tokens"):
        accuracy_by_position([0, 0], [0, 0], 2)
    with pytest.raises(ValueError, match="received 0"):
        accuracy_by_position([1], [1], 0)
    with pytest.raises(ValueError, match=r"received shape \(2, 2\)"):
        latent_dimensions([[1, 2], [3, 4]], 0.1, "KL")
