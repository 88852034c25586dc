"""Which weights each optimizer takes how, and by how much it moves them."""

import keras
import numpy as np
import pytest

from helpers.backends import first_on_jax
from textae.training.optimizers import optimizer

ROWS, COLUMNS = 12, 6


def moved(shape, name, gradient, kind="muon"):
    """How far one update at learning rate 0.1 moves a weight of this shape."""
    weight = keras.Variable(np.zeros(shape, "float32"), name=name)
    chosen = optimizer(kind)
    chosen.build([weight])
    chosen.learning_rate = 0.1
    chosen.apply([keras.ops.convert_to_tensor(gradient.astype("float32"))], [weight])
    return -keras.ops.convert_to_numpy(weight)


def test_muon_makes_the_update_of_a_convolutional_kernel_orthogonal_as_a_matrix():
    gradient = np.random.default_rng(0).standard_normal((3, 4, COLUMNS))
    update = moved(gradient.shape, "kernel", gradient).reshape(ROWS, COLUMNS)
    singular = np.linalg.svd(update / (0.1 * 0.2 * ROWS**0.5), compute_uv=False)
    assert singular.min() > 0.6 and singular.max() < 1.3  # what five steps of its iteration leave
    left, _, right = np.linalg.svd(gradient.reshape(ROWS, COLUMNS), full_matrices=False)
    assert np.vdot(update, left @ right) / (np.linalg.norm(update) * COLUMNS**0.5) > 0.97


@pytest.mark.backend_free
@pytest.mark.parametrize(
    ("shape", "name"), [((COLUMNS,), "bias"), ((ROWS, COLUMNS), "embeddings"), ((2049, 2048), "kernel")]
)
def test_muon_leaves_to_adam_what_is_no_kernel_or_too_large(shape, name):
    gradient = np.sign(np.random.default_rng(0).standard_normal(shape))
    np.testing.assert_allclose(moved(shape, name, gradient), 0.1 * np.sign(gradient), rtol=1e-3)


def test_adamw_moves_every_weight_by_the_learning_rate_at_first():
    gradient = np.random.default_rng(0).standard_normal((3, 4, COLUMNS))
    np.testing.assert_allclose(moved((3, 4, COLUMNS), "kernel", gradient, "adamw"), 0.1 * np.sign(gradient), rtol=1e-3)


@pytest.mark.parametrize("weight_decay", first_on_jax([0.3, 0.0]))
def test_adamw_makes_the_updates_of_keras(weight_decay):
    draw = np.random.default_rng(0)
    start = draw.standard_normal((ROWS, COLUMNS)).astype("float32")
    gradients = draw.standard_normal((5, ROWS, COLUMNS)).astype("float32")
    ends = []
    for kind in (optimizer, lambda _, **settings: keras.optimizers.AdamW(**settings)):
        chosen, weight = kind("adamw", weight_decay=weight_decay, beta_1=0.8, beta_2=0.95), keras.Variable(start)
        chosen.build([weight])
        for number, gradient in enumerate(gradients):
            chosen.learning_rate = 0.1 / (1 + number)
            chosen.apply([keras.ops.convert_to_tensor(gradient)], [weight])
        ends.append([keras.ops.convert_to_numpy(v) for v in (weight, *chosen.variables[2:])])
    for ours, theirs in zip(*ends, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.backend_free
def test_an_unknown_optimizer():
    with pytest.raises(ValueError, match="among adamw, muon, received 'sgd'"):
        optimizer("sgd")


@pytest.mark.backend_free
def test_the_optimizers_read_their_settings():
    made = optimizer("adamw", weight_decay=0.3, beta_1=0.7, beta_2=0.8)
    assert (made.weight_decay, made.beta_1, made.beta_2) == (0.3, 0.7, 0.8)
    made = optimizer("muon", weight_decay=0.3, beta_1=0.7, beta_2=0.8)
    assert (made.weight_decay, made.adam_weight_decay, made.adam_beta_1, made.adam_beta_2) == (0.3, 0.3, 0.7, 0.8)
