"""Arithmetic in latent space, against values worked out by hand."""

import numpy as np
import pytest

from textae.inference.latent_operations import (
    Nearest,
    check_variational,
    combined,
    drawn,
    interpolated,
    pooled,
    stretched,
)

pytestmark = pytest.mark.backend_free


def column(*values):
    return np.array(values, np.float32)[:, None]


def test_stretching_goes_by_straight_lines():
    np.testing.assert_allclose(stretched(column(0, 4), 5), column(0, 1, 2, 3, 4))
    np.testing.assert_allclose(stretched(column(0, 1, 2, 3, 4), 3), column(0, 2, 4))
    np.testing.assert_allclose(stretched(column(7), 3), column(7, 7, 7))
    np.testing.assert_allclose(stretched(column(7, 9), 1), column(7))
    same = column(1, 5, 2)
    assert stretched(same, 3) is same
    assert stretched(column(0, 1), 4).dtype == np.float32


def test_interpolating_vectors():
    made = interpolated(np.array([0.0, 4], np.float32), np.array([8.0, 0], np.float32), 5)
    np.testing.assert_allclose(made, [[0, 4], [2, 3], [4, 2], [6, 1], [8, 0]])


def test_interpolating_texts_of_another_number_of_blocks():
    first, last = column(0, 2), column(10, 11, 12, 13, 14, 15)
    made = interpolated(first, last, 5)
    assert [len(latents) for latents in made] == [2, 3, 4, 5, 6]
    np.testing.assert_array_equal(made[0], first)
    np.testing.assert_array_equal(made[-1], last)
    np.testing.assert_allclose(made[2], (column(0, 2 / 3, 4 / 3, 2) + column(10, 10 + 5 / 3, 10 + 10 / 3, 15)) / 2)
    with pytest.raises(ValueError, match="steps of at least 2, the two texts themselves, received 1"):
        interpolated(first, last, 1)


def test_arithmetic_keeps_what_arithmetic_keeps():
    a, b, c = column(1, 2, 3), column(5), column(7, 8, 9, 10)
    np.testing.assert_allclose(combined(a, b, b), a)
    np.testing.assert_allclose(combined(b, b, c), c)
    np.testing.assert_allclose(combined(a, a, c), c)
    assert combined(a, b, c).shape == (6, 1)
    assert combined(b, c, a).shape == (1, 1)  # 1 - 4 + 3 blocks would be none
    np.testing.assert_allclose(combined(a, b, c)[[0, -1]], column(1 - 5 + 7, 3 - 5 + 10))
    np.testing.assert_allclose(combined(np.array([1.0, 2]), np.array([0.5, 3]), np.array([4.0, 4])), [4.5, 3])


def test_pooling_is_the_mean_over_blocks():
    found = pooled([np.array([[1, 2], [3, 6]], np.float32), np.array([[5, 5]], np.float32)], 2)
    np.testing.assert_array_equal(found, [[2, 4], [5, 5]])
    assert found.dtype == np.float32
    np.testing.assert_array_equal(pooled(np.ones((2, 3), np.float32), 3), np.ones((2, 3)))
    assert pooled([], 4).shape == (0, 4)


def test_the_nearest_are_those_of_a_whole_sort():
    draw = np.random.default_rng(0)
    queries, documents = draw.standard_normal((3, 5)), draw.standard_normal((40, 5))
    documents[17] = documents[4]  # equally near: the first comes first
    nearest = Nearest(queries, 6)
    for start in range(0, 40, 7):
        nearest.add(documents[start : start + 7], [f"text {i}" for i in range(start, min(start + 7, 40))])
    cosines = queries @ documents.T / np.linalg.norm(queries, axis=1)[:, None] / np.linalg.norm(documents, axis=1)
    cosines[:, 17] = cosines[:, 4]
    for row, found in zip(cosines, nearest.found(), strict=True):
        best = np.argsort(-row, kind="stable")[:6]
        assert [near.number for near in found] == best.tolist()
        assert [near.text for near in found] == [f"text {i}" for i in best]
        np.testing.assert_allclose([near.similarity for near in found], row[best])


def test_fewer_documents_than_wanted_and_none():
    nearest = Nearest(np.eye(2), 5)
    assert nearest.found() == [[], []]
    nearest.add(np.array([[0.0, 2.0], [0.0, 0.0]]), ["a", "nothing"])
    assert nearest.found()[1] == [(1.0, 0, "a"), (0.0, 1, "nothing")]
    with pytest.raises(ValueError, match="count of at least 1, received 0"):
        Nearest(np.eye(2), 0)


def test_draws_are_standard_normal_and_repeat():
    made = np.array(drawn(2000, 3, 4, 2))
    assert made.shape == (2000, 2, 4) and made.dtype == np.float32
    assert abs(made.mean()) < 0.02 and abs(made.std() - 1) < 0.02
    np.testing.assert_array_equal(made[:10], drawn(10, 3, 4, 2))
    assert np.abs(made[0] - drawn(1, 4, 4, 2)[0]).max() > 0.1
    assert drawn(1, 0, 4, None)[0].shape == (4,)


def test_only_variational_models_are_drawn_from():
    check_variational(True)
    with pytest.raises(ValueError, match=r"expected a run of a variational model \(model.variational=true\)"):
        check_variational(False)
