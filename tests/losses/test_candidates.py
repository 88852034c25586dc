"""A sample of the vocabulary in the loss: its mean over many draws, and the whole vocabulary as its limit."""

from functools import cached_property

import keras
import numpy as np
import pytest
from keras import ops

from helpers.backends import first_on_jax
from helpers.rows import VOCABULARY, example
from textae.layers.embedding import rows_of
from textae.losses import vocabulary_loss as vocabulary_loss_module
from textae.losses.candidates import draw_candidates, unigram_distribution
from textae.losses.vocabulary_loss import vocabulary_loss

COUNTS = np.random.default_rng(1).integers(20, 200, VOCABULARY)
DISTRIBUTIONS = [None, unigram_distribution(COUNTS)]


def drawn(targets, count, seed=0, distribution=None, fixed_shape=True):
    return [
        ops.convert_to_numpy(found)
        for found in draw_candidates(
            ops.convert_to_tensor(targets),
            VOCABULARY,
            count,
            keras.random.SeedGenerator(seed),
            distribution,
            fixed_shape,
        )
    ]


@pytest.mark.parametrize("fixed_shape", first_on_jax([True, False]))
@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_each_id_is_there_once_and_each_target_is_found(distribution, fixed_shape):
    targets = np.array([3, 9, 3, 22, 0, 9, 3], np.int32)
    ids, weights, places = drawn(targets, 6, 5, distribution, fixed_shape)
    counted = ids[weights > 0]
    assert len(set(counted)) == len(counted) == 4 + 6
    np.testing.assert_array_equal(ids[places], targets)
    np.testing.assert_array_equal(weights[places], 1)
    assert set(counted[:4]) == set(targets.tolist())
    assert np.all((ids >= 0) & (ids < VOCABULARY))


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_the_denominator_is_right_in_the_mean(distribution):
    """Of each id, how many times it is counted, on the average over draws, is 1: so every sum over ids is unbiased."""
    targets, seed = np.array([3, 9, 3], np.int32), keras.random.SeedGenerator(0)

    def one():
        ids, weights, _ = draw_candidates(ops.convert_to_tensor(targets), VOCABULARY, 8, seed, distribution)
        return ops.convert_to_numpy(ops.segment_sum(weights, ids, num_segments=VOCABULARY))

    counted = np.stack([one() for _ in range(200)])
    np.testing.assert_allclose(counted[:, [3, 9]], 1)
    errors = np.abs(counted.mean(0) - 1)
    assert (errors <= 4.5 * counted.std(0) / np.sqrt(len(counted)) + 1e-6).all()
    assert counted.mean() == pytest.approx(1, abs=0.03)


class Example:
    """Rows, and the loss of them with candidates, or with all ids: its value, right answers, and gradients."""

    def __init__(self, rows, seed, bias=True, factor=1.0):
        hidden, self.embedding, self.targets, self.weights, self.bias = example(rows, seed, bias)
        self.hidden = factor * hidden
        self.full = self(np.arange(VOCABULARY, dtype=np.int32), np.ones(VOCABULARY, np.float32), self.targets)

    def loss(self, hidden, embedding, ids, id_weights, places):
        bias = None if self.bias is None else ops.take(self.bias, ids)
        found = vocabulary_loss(
            hidden, rows_of(embedding, ids), places, self.weights, bias=bias, block_rows=8, id_weights=id_weights
        )
        return found.loss, found.correct

    @cached_property
    def jitted(self):
        import jax

        return jax.jit(jax.value_and_grad(self.loss, (0, 1), has_aux=True))

    def __call__(self, *candidates):
        if keras.backend.backend() == "jax":
            (value, correct), gradients = self.jitted(self.hidden, self.embedding, *candidates)
        else:
            import tensorflow as tf

            with tf.GradientTape() as tape:
                tensors = tf.constant(self.hidden), tf.constant(self.embedding)
                tape.watch(tensors)
                value, correct = self.loss(*tensors, *candidates)
            gradients = tape.gradient(value, tensors)
        return float(value), float(correct), [ops.convert_to_numpy(gradient) for gradient in gradients]


@pytest.mark.parametrize("count", first_on_jax([VOCABULARY - 1, VOCABULARY + 5]))
@pytest.mark.parametrize(("distribution", "bias"), [(DISTRIBUTIONS[0], True), (DISTRIBUTIONS[1], False)])
def test_with_as_many_ids_as_there_are_the_loss_is_the_full_one(distribution, bias, count):
    rows = Example(12, 3, bias)
    own = rows(*drawn(rows.targets, count, distribution=distribution))
    plain = vocabulary_loss(rows.hidden, rows.embedding, rows.targets, rows.weights, bias=rows.bias)
    assert own[0] == pytest.approx(float(plain.loss), rel=1e-5)
    assert own[1] == float(plain.correct)
    for a, b in zip(own[2], rows.full[2], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_loss_and_gradient_are_near_the_full_ones_in_the_mean(distribution):
    """The logarithm of an unbiased denominator is a little low, by half its relative variance."""
    rows = Example(6, 2, factor=0.3)
    found = [rows(*drawn(rows.targets, 12, seed, distribution)) for seed in range(30)]
    assert np.mean([value for value, _, _ in found]) == pytest.approx(rows.full[0], rel=0.02)
    for i in (0, 1):
        errors = [gradients[i] - rows.full[2][i] for _, _, gradients in found]
        error, single = np.linalg.norm(np.mean(errors, axis=0)), np.mean([np.linalg.norm(each) for each in errors])
        assert error < 0.6 * single and error < 0.12 * np.linalg.norm(rows.full[2][i])


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="a GPU is used with JAX")
def test_a_gpu_s_way_has_the_same_loss_and_gradients(monkeypatch):
    rows = Example(12, 3)
    candidates = drawn(rows.targets, 5, distribution=DISTRIBUTIONS[1])
    expected = rows(*candidates)
    assert len(set(candidates[1])) > 3  # ids that stand for several
    monkeypatch.setattr(vocabulary_loss_module, "on_gpu", lambda: True)
    own = Example(12, 3)(*candidates)
    assert own[:2] == pytest.approx(expected[:2], rel=1e-5)
    for a, b in zip(own[2], expected[2], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_smoothing_is_not_for_a_sample():
    hidden, embedding, targets, weights, _ = example(4)
    with pytest.raises(ValueError, match="label_smoothing of 0"):
        vocabulary_loss(hidden, embedding, targets, weights, label_smoothing=0.1, id_weights=np.ones(VOCABULARY))
