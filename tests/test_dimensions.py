"""Variance of latents that come in portions, and which dimensions count as alive."""

import numpy as np
import pytest

from textae.dimensions import Variance, alive


def test_portions_give_the_variance_of_all_rows():
    rows = np.random.default_rng(0).standard_normal((1000, 3)) * [1.0, 0.01, 0.0] + [0.0, 1e4, 7.0]
    variance = Variance()
    for portion in np.split(rows.astype(np.float64), [0, 1, 5, 400]):
        variance.update(portion)
    assert variance.rows == 1000
    np.testing.assert_allclose(variance.result(), rows.var(axis=0), rtol=1e-6, atol=1e-15)


def test_the_variance_of_few_rows_by_hand():
    variance = Variance()
    variance.update(np.array([[1.0, 2.0]], np.float32))
    assert variance.result().tolist() == [0, 0]
    variance.update(np.array([[3.0, 2.0], [5.0, 2.3]], np.float32))
    np.testing.assert_allclose(variance.result(), [8 / 3, 0.02], rtol=1e-5)


def test_no_rows():
    with pytest.raises(ValueError, match="at least one row"):
        Variance().result()


def test_alive_are_those_above_the_threshold():
    assert alive(np.array([0.0, 0.01, 0.0101, 3.0])) == 2
