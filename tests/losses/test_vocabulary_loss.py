"""The fused loss against its plain form in float64."""

import keras
import numpy as np
import pytest

from helpers.backends import first_on_jax
from helpers.rows import VOCABULARY, example
from textae.losses import vocabulary_loss as vocabulary_loss_module
from textae.losses.vocabulary_loss import vocabulary_loss

MACHINES = ["CPU", "GPU"] if keras.backend.backend() == "jax" else ["CPU"]  # whose way is computed, on the CPU


@pytest.fixture(autouse=True, params=MACHINES)
def machine(request, monkeypatch):
    monkeypatch.setattr(vocabulary_loss_module, "on_gpu", lambda: request.param == "GPU")
    return request.param


def plain(hidden, embedding, targets, weights, bias, smoothing):
    """Loss, right answers and the three gradients, in float64."""
    hidden, embedding, weights = (np.asarray(a, np.float64) for a in (hidden, embedding, weights))
    logits = hidden @ embedding.T + (0 if bias is None else bias.astype(np.float64))
    log_softmax = logits - logits.max(1, keepdims=True)
    log_softmax = log_softmax - np.log(np.exp(log_softmax).sum(1, keepdims=True))
    target = np.full(logits.shape, smoothing / VOCABULARY)
    target[np.arange(len(targets)), targets] += 1 - smoothing
    loss = -(weights[:, None] * target * log_softmax).sum()
    right = (weights * (logits.argmax(1) == targets)).sum()
    d_logits = weights[:, None] * (np.exp(log_softmax) - target)
    return loss, right, d_logits @ embedding, d_logits.T @ hidden, d_logits.sum(0)


def gradients(function, *arrays):
    """Value and gradients of a function of arrays on the running backend."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        @tf.function
        def run(*tensors):
            with tf.GradientTape() as tape:
                tape.watch(tensors)
                value, rest = function(*tensors)
            return value, rest, tape.gradient(value, tensors)

        value, rest, found = run(*map(tf.constant, arrays))
    else:
        import jax

        (value, rest), found = jax.jit(jax.value_and_grad(function, tuple(range(len(arrays))), has_aux=True))(*arrays)
    return float(value), [float(r) for r in rest], [np.asarray(g) for g in found]


@pytest.mark.parametrize("rows", first_on_jax([21, 1, 5, 8, 16]))
@pytest.mark.parametrize(
    ("bias", "smoothing", "table_rows"), [(False, 0.0, 8192), (True, 0.0, 9), (True, 0.1, 23), (False, 0.3, 10)]
)
def test_loss_and_gradients_equal_the_plain_form(rows, bias, smoothing, table_rows, monkeypatch):
    monkeypatch.setattr(vocabulary_loss_module, "TABLE_ROWS", table_rows)
    hidden, embedding, targets, weights, offset = example(rows, rows, bias)
    arrays = [hidden, embedding] + ([offset] if bias else [])

    def loss(hidden, embedding, offset=None):
        found = vocabulary_loss(
            3 * hidden, embedding, targets, weights, bias=offset, label_smoothing=smoothing, block_rows=8
        )
        return 2 * found.loss, (found.correct, found.weight)

    value, (right, weight), found = gradients(loss, *arrays)
    expected = plain(3 * hidden, embedding, targets, weights, offset, smoothing)
    assert value == pytest.approx(2 * expected[0], rel=2e-6)
    assert right == pytest.approx(expected[1], rel=1e-6)
    assert weight == pytest.approx(weights.sum(), rel=1e-6)
    np.testing.assert_allclose(found[0], 6 * expected[2], rtol=2e-5, atol=2e-5)
    np.testing.assert_allclose(found[1], 2 * expected[3], rtol=2e-5, atol=2e-5)
    if bias:
        np.testing.assert_allclose(found[2], 2 * expected[4], rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("bias", [False, True])
def test_bfloat16_is_near(bias):
    hidden, embedding, targets, weights, offset = example(50, bias=bias)
    arrays = [hidden, embedding] + ([offset] if bias else [])

    def loss(hidden, embedding, offset=None):
        found = vocabulary_loss(hidden, embedding, targets, weights, bias=offset, precision="bfloat16", block_rows=16)
        return found.loss, (found.weight,)

    value, _, found = gradients(loss, *arrays)
    expected = plain(hidden, embedding, targets, weights, offset, 0.0)
    assert value == pytest.approx(expected[0], rel=5e-3)
    for own, true in zip(found, expected[2:], strict=False):
        assert np.linalg.norm(own - true) < 0.02 * np.linalg.norm(true)


def test_large_logits_stay_finite():
    hidden, embedding, targets, weights, _ = example(9)
    value, _, found = gradients(
        lambda h, e: (vocabulary_loss(h, e, targets, weights).loss, ()), 1e4 * hidden, embedding
    )
    assert np.isfinite(value) and all(np.isfinite(g).all() for g in found)


def test_small_losses_keep_their_digits_beside_large_logits():
    margin = 9.0  # each loss is log(1 + 22 exp(-9)) = .0027 nats, with logits of 2,000
    embedding = np.eye(VOCABULARY, dtype=np.float32) * margin + 2000.0 - margin
    hidden, targets = np.eye(VOCABULARY, dtype=np.float32), np.arange(VOCABULARY, dtype=np.int32)
    loss = vocabulary_loss(hidden, embedding, targets, np.ones(VOCABULARY, np.float32)).loss
    assert float(loss) == pytest.approx(VOCABULARY * np.log1p((VOCABULARY - 1) * np.exp(-margin)), rel=1e-3)


@pytest.mark.skipif(keras.backend.backend() == "tensorflow", reason="its products hand logits over in bfloat16")
def test_small_losses_keep_their_digits_in_bfloat16():
    _, embedding, targets, weights, bias = example(60)
    embedding = rounded(embedding / np.linalg.norm(embedding, axis=1, keepdims=True))
    hidden = rounded(60 * embedding[targets])

    def loss(hidden, embedding, bias):
        found = vocabulary_loss(hidden, embedding, targets, weights, bias=bias, precision="bfloat16", block_rows=32)
        return found.loss, (found.correct,)

    value, (right,), found = gradients(loss, hidden, embedding, bias)
    expected = plain(hidden, embedding, targets, weights, bias, 0.0)
    assert expected[0] < 0.1 * weights.sum()
    assert value == pytest.approx(expected[0], rel=2e-3)
    assert right == pytest.approx(expected[1], rel=1e-6)
    for own, true in zip(found, expected[2:], strict=True):
        assert np.linalg.norm(own - true) < 5e-3 * np.linalg.norm(true)


def rounded(array):
    """The nearest numbers of bfloat16, but of ties."""
    return ((array.view(np.uint32) + 0x8000) & 0xFFFF0000).view(np.float32)


def test_unknown_precision():
    hidden, embedding, targets, weights, _ = example(2)
    with pytest.raises(ValueError, match=r"'float32' or 'bfloat16', received 'float16'"):
        vocabulary_loss(hidden, embedding, targets, weights, precision="float16")
