"""Statistics of posteriors, against closed forms."""

import numpy as np
import pytest

from textae.evaluation.posterior_statistics import (
    PosteriorStatistics,
    kl_from_normal,
    mutual_information,
    squared_discrepancy,
)

pytestmark = pytest.mark.backend_free


def posteriors(count, size, deviation=1.0, variance=0.25, seed=0):
    means = deviation * np.random.default_rng(seed).standard_normal((count, size))
    return means.astype(np.float32), np.full((count, size), np.log(variance), np.float32)


def test_the_divergence_from_a_normal_distribution():
    found = kl_from_normal(np.array([[0.0, 2.0]]), np.array([[0.0, np.log(0.25)]]))
    np.testing.assert_allclose(found, [[0.0, 0.5 * (4 + 0.25 - 1 + np.log(4))]])


@pytest.mark.parametrize("portions", [1, 9])
def test_moments_of_the_mixture(portions):
    means, log_variances = posteriors(20_000, 4, deviation=2.0, variance=0.5)
    means += np.array([3.0, 0, 0, 0], np.float32)
    statistics = PosteriorStatistics()
    for one, other in zip(np.array_split(means, portions), np.array_split(log_variances, portions), strict=True):
        statistics.update(one, other)
    found = statistics.result()
    assert found["posterior_mean_deviation"] == pytest.approx(2.0, rel=0.01)
    assert found["aggregate_mean"] == pytest.approx(1.5, rel=0.02)  # the root of 3 squared over 4 dimensions
    assert found["aggregate_variance"] == pytest.approx(4.5, rel=0.02)
    whole = PosteriorStatistics()
    whole.update(means, log_variances)
    for name, value in whole.result().items():
        assert found[name] == pytest.approx(value, rel=1e-9), name


def test_mutual_information_of_a_normal_channel():
    """Means of variance .75 and noise of .25: half the logarithm of 4 in nats, for each of two dimensions."""
    means, log_variances = posteriors(1000, 2, deviation=np.sqrt(0.75), variance=0.25)
    drawn = means + 0.5 * np.random.default_rng(1).standard_normal(means.shape)
    assert mutual_information(means, log_variances, drawn) == pytest.approx(np.log(4), abs=0.1)


def test_mutual_information_has_a_bound_and_a_zero():
    far = np.arange(50.0)[:, None] * 100
    assert mutual_information(far, np.zeros((50, 1)), far) == pytest.approx(np.log(50))
    same = np.zeros((50, 3))
    drawn = np.random.default_rng(0).standard_normal((50, 3))
    assert mutual_information(same, same, drawn) == pytest.approx(0, abs=1e-12)


def test_the_discrepancy_is_zero_for_equal_distributions_and_grows():
    draw = np.random.default_rng(0)
    one, other = draw.standard_normal((2, 1000, 8))
    assert abs(squared_discrepancy(one, other)) < 2e-3
    far = [squared_discrepancy(one, scale * other) for scale in (1.5, 2.0, 4.0)]
    assert 2e-3 < far[0] < far[1] < far[2]
    assert squared_discrepancy(one[:2], one[:2] + 1000) == pytest.approx(
        np.mean([np.mean([s / (s + ((a - b) ** 2).sum()) for s in (1.6, 4.8, 16, 48)]) for a, b in [one[:2]]]) * 2,
        abs=1e-3,
    )
