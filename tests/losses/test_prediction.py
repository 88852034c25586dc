"""What rows decode to, against plain logits."""

import numpy as np
import pytest
from keras import ops

from helpers.rows import example
from textae.losses import row_blocks
from textae.losses.prediction import highest, predict, surprise


@pytest.mark.parametrize("rows", [1, 6, 8, 19])
@pytest.mark.parametrize("with_bias", [False, True])
def test_predictions(rows, with_bias, monkeypatch):
    monkeypatch.setattr(row_blocks, "BLOCK_ROWS", 8)
    hidden, embedding, targets, _, bias = example(rows, bias=with_bias)
    embedding[0] = 5 * hidden[0]  # the pad would be the answer of the first row
    embedding[1] = 9 * hidden[-1]  # and the end of the last
    logits = (hidden @ embedding.T).astype(np.float64) + (0 if bias is None else bias)
    found = predict(hidden, embedding, targets, bias=bias)
    np.testing.assert_array_equal(ops.convert_to_numpy(found.ids), logits[:, 2:].argmax(1) + 2)
    np.testing.assert_array_equal(ops.convert_to_numpy(found.ends), logits[:, 1] > logits[:, 2:].max(1))
    assert bool(found.ends[-1])
    alone = predict(hidden, embedding, bias=bias)
    np.testing.assert_array_equal(ops.convert_to_numpy(alone.ids), ops.convert_to_numpy(found.ids))
    np.testing.assert_array_equal(ops.convert_to_numpy(alone.ends), ops.convert_to_numpy(found.ends))
    assert alone.token_losses is None
    losses = np.log(np.exp(logits - logits.max(1, keepdims=True)).sum(1)) + logits.max(1)
    losses -= logits[np.arange(rows), targets]
    np.testing.assert_allclose(ops.convert_to_numpy(found.token_losses), losses, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("rows", [1, 19])
@pytest.mark.parametrize("with_bias", [False, True])
def test_surprise(rows, with_bias, monkeypatch):
    monkeypatch.setattr(row_blocks, "BLOCK_ROWS", 8)
    hidden, embedding, targets, _, bias = example(rows, bias=with_bias)
    logits = (hidden @ embedding.T).astype(np.float64) + (0 if bias is None else bias)
    losses = np.log(np.exp(logits).sum(1, keepdims=True)) - logits
    entropies = (np.exp(-losses) * losses).sum(1)
    variances = (np.exp(-losses) * losses**2).sum(1) - entropies**2
    found = surprise(hidden, embedding, targets, bias=bias)
    for values, expected in zip(found, (losses[np.arange(rows), targets], entropies, variances), strict=True):
        np.testing.assert_allclose(ops.convert_to_numpy(values), expected, rtol=1e-4, atol=1e-4)


def test_the_logits_of_a_large_vocabulary_are_few_at_a_time(monkeypatch):
    hidden, embedding, targets, _, bias = example(31)
    expected, asked, in_blocks = predict(hidden, embedding, targets, bias=bias), [], row_blocks.in_blocks
    monkeypatch.setattr(row_blocks, "in_blocks", lambda arrays, rows: asked.append(rows) or in_blocks(arrays, rows))
    for name, value in (("BLOCK_ROWS", 8), ("LEAST_ROWS", 8), ("MOST_LOGITS", 2 * len(embedding))):
        monkeypatch.setattr(row_blocks, name, value)
    found = predict(hidden, embedding, targets, bias=bias)
    assert asked == [2]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(ops.convert_to_numpy(one), ops.convert_to_numpy(other), rtol=1e-6)


@pytest.mark.parametrize("candidates", [1, 2, 3, 8, 9, 23, 100, 110])
def test_the_first_of_the_highest(candidates):
    values = np.random.default_rng(candidates).integers(-3, 1, (candidates, 200)).astype(np.float32)  # many are equal
    which, top = map(ops.convert_to_numpy, highest(ops.convert_to_tensor(values)))
    np.testing.assert_array_equal(which, values.argmax(0))
    np.testing.assert_array_equal(top, values.max(0))
