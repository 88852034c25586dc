"""Statistics of latents, against NumPy on all of them at once."""

import numpy as np
import pytest

from textae.evaluation import latent_statistics as latentstats
from textae.evaluation.latent_statistics import KEPT, LatentStatistics

pytestmark = pytest.mark.backend_free


@pytest.mark.parametrize("at_once", [2, 100, latentstats.ROWS])
def test_portions_give_what_all_together_give(monkeypatch, at_once):
    monkeypatch.setattr(latentstats, "ROWS", at_once)
    draw = np.random.default_rng(0)
    rows = (draw.standard_normal((500, 3)) * [1.0, 1e-3, 0] + [0, 1000, 5]).astype(np.float32)
    kl = draw.random((500, 3)).astype(np.float32)
    statistics = LatentStatistics()
    for first, last in ((0, 1), (1, 7), (7, 500)):
        statistics.update(rows[first:last], kl[first:last])
    np.testing.assert_allclose(statistics.variance, rows.astype(np.float64).var(axis=0), rtol=1e-9)
    np.testing.assert_allclose(statistics.kl, kl.astype(np.float64).mean(axis=0), rtol=1e-9)
    assert (statistics.count, statistics.numbers) == (500, 1500)
    np.testing.assert_array_equal(statistics.values, rows.ravel())


def test_what_counts_as_alive():
    statistics = LatentStatistics()
    statistics.update(np.array([[-10.0, 0.0], [10.0, 0.0]]))
    assert statistics.active_variance == pytest.approx(0.5)  # a hundredth of the mean of 100 and 0
    assert statistics.kl is None
    statistics.update(np.ones((1, 2)), np.ones((1, 2)))
    assert statistics.active_variance == 0.01


def sampled(rows, portions):
    statistics = LatentStatistics()
    for portion in np.array_split(rows, portions):
        statistics.update(portion)
    return statistics.values


@pytest.mark.parametrize("dimensions", [2, 128, 3000])
@pytest.mark.parametrize("portions", [1, 7])
def test_every_dimension_and_every_portion_enter_the_sample(dimensions, portions):
    """Numbers that say where they are from: each dimension and each tenth of the latents has its part."""
    rows = 3_000_000 // dimensions
    marks = np.arange(rows * dimensions, dtype=np.float32).reshape(rows, dimensions)  # exact up to 2 ** 24
    values = sampled(marks, portions).astype(np.int64)
    assert values.size == KEPT and np.unique(values).size == KEPT
    for groups, count in ((values % dimensions, dimensions), (values * 10 // marks.size, 10)):
        found = np.bincount(groups, minlength=count)
        expected = KEPT / count
        assert np.abs(found - expected).max() < 6 * np.sqrt(expected)
        assert ((found - expected) ** 2 / expected).sum() < count + 6 * np.sqrt(2 * count)  # chi-squared


def test_a_sample_has_the_distribution_of_the_latents():
    """Half of the dimensions are N(0, 1), a quarter is 5, a quarter N(-20, 0.1): so are the numbers of the sample."""
    draw = np.random.default_rng(1)
    rows = draw.standard_normal((20_000, 64)).astype(np.float32)
    rows[:, 1::4], rows[:, 3::4] = 5, rows[:, 3::4] / 10 - 20
    values = sampled(rows, 5)
    shares = [np.mean(values == 5), np.mean(values < -15), np.mean(np.abs(values) < 0.6745)]
    np.testing.assert_allclose(shares, [0.25, 0.25, 0.25], atol=0.01)


def test_the_sample_does_not_depend_on_the_portions():
    rows = np.random.default_rng(2).standard_normal((9000, 32)).astype(np.float32)
    np.testing.assert_array_equal(sampled(rows, 1), sampled(rows, 11))


def test_all_values_are_kept_of_few():
    rows = np.random.default_rng(3).standard_normal((KEPT // 4, 4)).astype(np.float32)
    np.testing.assert_array_equal(sampled(rows, 3), rows.ravel())
