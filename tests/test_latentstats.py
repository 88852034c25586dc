"""Statistics of latents, against NumPy on all of them at once."""

import numpy as np
import pytest

from textae import latentstats
from textae.latentstats import KEPT, LatentStatistics

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
    assert statistics.alive_variance == pytest.approx(0.5)  # a hundredth of the mean of 100 and 0
    assert statistics.kl is None
    statistics.update(np.ones((1, 2)), np.ones((1, 2)))
    assert statistics.alive_variance == 0.01


def test_few_values_are_kept_of_many():
    statistics = LatentStatistics()
    for _ in range(3):
        statistics.update(np.arange(2.0 * KEPT).reshape(-1, 4).astype(np.float32))
    assert statistics.values.size <= KEPT
    assert statistics.values.max() > 1.9 * KEPT
