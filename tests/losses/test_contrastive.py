"""The contrastive loss: values by NumPy, rows without a text, and that it draws two corruptions together."""

import numpy as np
import pytest
from keras import ops

from textae.losses.contrastive import ContrastiveTerm, contrastive_loss
from textae.losses.reconstruction import ReconstructionObjective


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def cross_entropy(logits):
    return np.log(np.exp(logits).sum(axis=1)) - np.diag(logits)


def test_both_directions_over_the_rows_that_are_texts():
    draw = np.random.default_rng(0)
    one, other = draw.normal(size=(2, 5, 3)).astype("float32")
    is_text = np.array([True, True, False, True, False])
    logits = unit(one[is_text]) @ unit(other[is_text]).T / 0.2
    expected = (cross_entropy(logits).mean() + cross_entropy(logits.T).mean()) / 2
    found = contrastive_loss(*map(ops.convert_to_tensor, (one, other, is_text)), 0.2)
    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_the_same_vectors_cost_less_than_those_of_others():
    rows = np.eye(4, dtype="float32")
    same = contrastive_loss(rows, rows, ops.ones(4, "bool"), 0.1)
    assert float(same) < 0.01 < float(contrastive_loss(rows, rows[::-1].copy(), ops.ones(4, "bool"), 0.1))


def test_the_second_vector_is_that_of_another_corruption(small_model):
    model = small_model(latent="vector", pooling="mean")
    tokens, lengths = np.array([[3, 4, 5, 1], [6, 7, 1, 0]], np.int32), np.array([4, 3], np.int32)
    other = np.array([[4, 5, 1, 0], [7, 1, 0, 0]], np.int32), np.array([3, 2], np.int32)
    term = ContrastiveTerm(model, 2.0, 0.1, lambda ids, counts: other)
    found = ReconstructionObjective(model, terms=[term])(tokens, lengths, True)
    latents = [model.encoder(*given)[0] for given in ((tokens, lengths), other)]
    expected = float(contrastive_loss(*latents, lengths > 0, 0.1))
    assert float(found["contrastive_loss"]) == pytest.approx(7 * expected, rel=1e-5)
    assert float(found["total"]) == pytest.approx(
        sum(float(found[name]) for name in ("loss", "length_loss")) + 2 * 7 * expected, rel=1e-5
    )
