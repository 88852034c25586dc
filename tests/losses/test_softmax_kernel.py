"""The kernel of a GPU, interpreted, against the same in several passes."""

import keras
import numpy as np
import pytest

from textae.losses import softmax_kernel
from textae.losses.gpu_loss import compare_rows

pytestmark = [
    pytest.mark.skipif(keras.backend.backend() != "jax", reason="a GPU is used with JAX"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of Pallas's Triton, by JAX 0.11
]


@pytest.mark.parametrize("kind", ["float32", "bfloat16"])
def test_one_pass_is_several(kind):
    from jax import numpy as jnp

    draw = np.random.default_rng(0)
    values = draw.normal(size=(5, 23)) * 4
    values[1] -= 90  # a row that is right with certainty
    values[2] += 200  # and one that is wrong
    ids = draw.integers(0, 23, 5).astype("int32")
    values[np.arange(5), ids] = 0
    distances, weights = jnp.asarray(values, kind), np.float32([1, 1, 1, 0, 2])
    losses, right, gradients = softmax_kernel.loss_and_gradients(distances, ids, weights, interpret=True)
    expected = compare_rows(distances, ids, weights, None, 0.0)
    np.testing.assert_allclose(losses, expected[0], rtol=1e-6)
    np.testing.assert_array_equal(right, expected[1])
    assert losses[1] < 1e-30 and losses[2] > 190 and list(right)[1:3] == [1, 0]
    assert gradients.dtype == distances.dtype
    of_kind = np.asarray(expected[2].astype(kind), "float32")
    np.testing.assert_allclose(np.asarray(gradients, "float32"), of_kind, rtol=1e-2 if kind == "bfloat16" else 1e-6)
    assert not np.asarray(gradients[3], "float32").any()


def test_a_cpu_has_none():
    assert not softmax_kernel.available(8)
