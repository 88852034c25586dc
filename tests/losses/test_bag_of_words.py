"""The bag-of-words loss and its head: values by NumPy, gradients, and what the weights of tokens are."""

import numpy as np
import pytest
from keras import ops

from helpers.backends import first_on_jax
from textae.losses.bag_of_words import BagOfWordsTerm, bag_of_words_loss, bags, token_weights
from textae.losses.reconstruction import ReconstructionObjective

TOKENS = np.array([[3, 4, 3, 1], [5, 1, 0, 0], [0, 0, 0, 0]], np.int32)
LENGTHS = np.array([4, 2, 0], np.int32)


def by_hand(logits, weights):
    """Return the weighted mean over the tokens, one after another."""
    losses = [
        (weights[token], np.log(np.exp(row).sum()) - row[token])
        for row, ids, length in zip(logits, TOKENS, LENGTHS, strict=True)
        for token in ids[:length]
    ]
    return sum(weight * loss for weight, loss in losses) / sum(weight for weight, _ in losses)


def test_the_mean_over_weighted_tokens():
    draw = np.random.default_rng(0)
    logits, weights = draw.normal(size=(3, 7)).astype("float32"), draw.random(7).astype("float32")
    target_bags = bags(ops.convert_to_tensor(TOKENS), ops.convert_to_tensor(LENGTHS), 7)
    assert ops.convert_to_numpy(target_bags)[0].tolist() == [0, 1, 0, 2, 1, 0, 0]
    found = bag_of_words_loss(ops.convert_to_tensor(logits), target_bags * weights)
    assert float(found) == pytest.approx(by_hand(logits, weights), rel=1e-5)


@pytest.mark.backend_free
def test_frequent_tokens_count_less_and_the_mean_is_one():
    counts = np.array([0, 50, 800, 100, 50])
    weights = token_weights(counts)
    assert weights[2] < weights[3] < weights[4] == weights[1]
    assert (weights * counts).sum() / counts.sum() == pytest.approx(1)


@pytest.mark.backend_free
def test_a_new_head_predicts_the_frequencies(small_model):
    model = small_model(latent="vector", pooling="mean", bag_of_words=True)
    counts = np.arange(20)
    model.bag_of_words.kernel.assign(np.zeros(model.bag_of_words.kernel.shape))
    model.bag_of_words.assign_frequencies(counts)
    shares = np.exp(ops.convert_to_numpy(model.bag_of_words(np.ones((1, model.latent_size), "float32"))))[0]
    np.testing.assert_allclose(shares, np.maximum(counts, 1) / np.maximum(counts, 1).sum(), rtol=1e-5)


def test_the_objective_adds_it_for_each_token(small_model):
    model = small_model(latent="vector", pooling="mean", bag_of_words=True)
    weights = token_weights(np.arange(1, 21))
    tokens, lengths = ops.convert_to_tensor(TOKENS), ops.convert_to_tensor(LENGTHS)
    without = ReconstructionObjective(model)(tokens, lengths, True)
    found = ReconstructionObjective(model, terms=[BagOfWordsTerm(model, 3.0, weights)])(tokens, lengths, True)
    logits = ops.convert_to_numpy(model.bag_of_words(model.encoder(tokens, lengths)[0]))
    assert float(found["bag_of_words_loss"]) == pytest.approx(6 * by_hand(logits, weights), rel=1e-4)
    assert float(found["total"]) == pytest.approx(
        float(without["total"]) + 3 * float(found["bag_of_words_loss"]), rel=1e-5
    )
    evaluated = ReconstructionObjective(model, terms=[BagOfWordsTerm(model, 3.0, weights)])(tokens, lengths, False)
    assert "bag_of_words_loss" not in evaluated


@pytest.mark.parametrize(("share", "texts"), first_on_jax([(0.5, 2), (1.0, 4), (0.01, 1)]))
def test_a_share_of_the_texts_is_decoded(small_model, share, texts):
    model = small_model(latent="vector")
    draw = np.random.default_rng(1)
    tokens, lengths = draw.integers(2, 20, (4, 8)).astype("int32"), np.array([8, 4, 8, 6], np.int32)
    whole = ReconstructionObjective(model)(tokens[:texts], lengths[:texts], True)
    found = ReconstructionObjective(model, reconstruction_share=share)(tokens, lengths, True)
    assert float(found["tokens"]) == 26
    assert float(found["loss"]) == pytest.approx(float(whole["loss"]) * 26 / lengths[:texts].sum(), rel=1e-5)


@pytest.mark.backend_free
def test_only_tokens_that_were_not_encoded_are_predicted(small_model):
    """Of two equal tokens one is encoded; of what is substituted, the token itself is predicted."""
    model = small_model(latent="vector", pooling="mean", bag_of_words=True)
    encoded = np.array([[3, 7, 1, 0], [5, 1, 0, 0], [0, 0, 0, 0]], np.int32), np.array([3, 2, 0], np.int32)
    term = BagOfWordsTerm(model, 1.0, np.ones(20, np.float32))
    objective = ReconstructionObjective(model, terms=[term], corruption=lambda tokens, lengths: encoded)
    found = objective(ops.convert_to_tensor(TOKENS), ops.convert_to_tensor(LENGTHS), True)
    logits = ops.convert_to_numpy(model.bag_of_words(model.encoder(*encoded)[0]))[0]
    expected = 2 * np.log(np.exp(logits).sum()) - logits[3] - logits[4]
    assert float(found["bag_of_words_loss"]) == pytest.approx(6 * expected / 2, rel=1e-4)
