"""The fused loss against its plain form in float64."""

import keras
import numpy as np
import pytest

from helpers.rows import VOCABULARY, example
from textae.losses import vocabulary_loss as vocabulary_loss_module
from textae.losses.vocabulary_loss import vocabulary_loss


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


@pytest.mark.parametrize("rows", [1, 5, 8, 16, 21])
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


def confident(rows):
    """An example of whose rows two in three are right with an error below a hundred-thousandth."""
    _, embedding, targets, weights, bias = example(rows, rows, bias=True)
    embedding /= np.linalg.norm(embedding, axis=1, keepdims=True)
    factor = np.where(np.arange(rows) % 3 == 1, 1.0, 300.0).astype(np.float32)
    return factor[:, None] * embedding[targets], embedding, targets, weights, bias


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="shapes that depend on the data")
@pytest.mark.parametrize("step", [1, 4, 16])
def test_the_filter_leaves_out_no_more_than_its_share_and_only_what_is_right(step, monkeypatch):
    monkeypatch.setattr(vocabulary_loss_module, "STEP_ROWS", step)
    monkeypatch.setattr(vocabulary_loss_module, "TABLE_ROWS", 9)
    hidden, embedding, targets, weights, bias = confident(60)

    def loss(hidden, embedding, bias, share=0.01):
        found = vocabulary_loss(hidden, embedding, targets, weights, bias=bias, block_rows=16, gradient_filter=share)
        return found.loss, (found.correct,)

    value, (right,), found = gradients(loss, hidden, embedding, bias)
    exact_value, (exact_right,), exact = gradients(lambda *a: loss(*a, share=0.0), hidden, embedding, bias)
    assert (value, right) == (exact_value, exact_right)
    for own, true in zip(found, exact, strict=True):
        assert np.linalg.norm(own - true) < 0.01 * np.linalg.norm(true)
    wrong = np.flatnonzero((np.arange(60) % 3 == 1) & (weights > 0))
    np.testing.assert_allclose(found[0][wrong], exact[0][wrong], rtol=1e-5, atol=1e-7)
    left_out = np.flatnonzero(~found[0].any(1) & exact[0].any(1))
    assert (len(left_out) > 0) == (step < 16)  # of a block's 15 rows the next multiple of 16 is all of them


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="shapes that depend on the data")
def test_the_filter_takes_all_rows_where_all_are_wrong_and_none_where_none_is():
    hidden, embedding, targets, weights, _ = example(40)
    for rows, share in ((0.01 * hidden, 0.5), (hidden, 0.0)):
        exact, own = (
            gradients(
                lambda h, e, s=s: (
                    vocabulary_loss(h, e, targets, weights, block_rows=16, gradient_filter=s).loss,
                    (),
                ),
                rows,
                embedding,
            )
            for s in (0.0, share)
        )
        for a, b in zip(exact[2], own[2], strict=True):
            np.testing.assert_array_equal(a, b)
    none = np.zeros_like(weights)
    _, _, found = gradients(
        lambda h, e: (vocabulary_loss(h, e, targets, none, block_rows=16, gradient_filter=0.01).loss, ()),
        hidden,
        embedding,
    )
    assert not found[0].any() and not found[1].any()


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


def test_unknown_precision():
    hidden, embedding, targets, weights, _ = example(2)
    with pytest.raises(ValueError, match=r"'float32' or 'bfloat16', received 'float16'"):
        vocabulary_loss(hidden, embedding, targets, weights, precision="float16")
