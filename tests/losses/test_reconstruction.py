"""The sums of a batch: with and without padding, gathered, corrupted, and in parts."""

import keras
import numpy as np
import pytest
from keras import ops

from helpers.backends import first_on_jax
from textae.losses.reconstruction import ReconstructionObjective, VocabularySample


def batch(lengths, padded, rows, seed=3):
    draw = np.random.default_rng(seed)
    tokens = np.zeros((rows, padded), np.int32)
    for row, length in enumerate(lengths):
        tokens[row, :length] = draw.integers(2, 20, length)
        tokens[row, length - 1] = 1
    return tokens, np.array([*lengths, *[0] * (rows - len(lengths))], np.int32)


def sums_and_gradients(model, tokens, lengths, training=False, **settings):
    weights = model.trainable_variables

    def total(values):
        with keras.StatelessScope(state_mapping=list(zip(weights, values, strict=True))):
            sums = ReconstructionObjective(model, free_bits=0.2, **settings)(tokens, lengths, training, 0.3)
        return sums["total"], sums

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            sums = ReconstructionObjective(model, free_bits=0.2, **settings)(
                tf.constant(tokens), tf.constant(lengths), training, 0.3
            )
        found = tape.gradient(sums["total"], [w.value for w in weights], unconnected_gradients="zero")
        found = [tf.convert_to_tensor(g) for g in found]
    else:
        import jax

        (_, sums), found = jax.jit(jax.value_and_grad(total, has_aux=True))([w.value for w in weights])
    return {name: float(value) for name, value in sums.items()}, [np.asarray(g) for g in found]


KINDS = {
    "variational vector": {"variational": True, "latent": "vector"},
    "sequence": {},
    "vector": {"latent": "vector"},
    "variational": {"variational": True},
}


def close(found, expected):
    for name, value in expected[0].items():
        assert found[0][name] == pytest.approx(value, rel=1e-5), name
    for own, true in zip(found[1], expected[1], strict=True):
        np.testing.assert_allclose(own, true, rtol=2e-4, atol=2e-5 * np.abs(true).max(initial=1))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.backend_free  # JAX gathers nothing
def test_gathered_or_not_the_sums_are_equal(small_model, kind):
    model = small_model(**KINDS[kind])
    arrays = batch([9, 3, 16], 16, 3)
    close(
        sums_and_gradients(model, *arrays, gather=True, label_smoothing=0.1),
        sums_and_gradients(model, *arrays, gather=False, label_smoothing=0.1),
    )


@pytest.mark.parametrize("gather", [False, True])
@pytest.mark.parametrize("kind", first_on_jax(KINDS))
def test_padding_changes_nothing(small_model, kind, gather):
    if gather and keras.backend.backend() == "jax":
        pytest.skip("JAX has no shapes that depend on data")
    model = small_model(**KINDS[kind])
    expected = sums_and_gradients(model, *batch([9, 3, 16], 16, 3), gather=gather)
    assert expected[0]["tokens"] == 28 and expected[0]["documents"] == 3
    close(sums_and_gradients(model, *batch([9, 3, 16], 24, 3), gather=gather), expected)
    close(sums_and_gradients(model, *batch([9, 3, 16], 20, 7), gather=gather), expected)


@pytest.mark.parametrize("gather", [False, True])
def test_a_sample_of_all_ids_is_the_whole_vocabulary(small_model, gather):
    if gather and keras.backend.backend() == "jax":
        pytest.skip("JAX has no shapes that depend on data")
    model, arrays = small_model(), batch([9, 3, 16], 16, 3)
    sample = VocabularySample(model.vocabulary_size)
    close(
        sums_and_gradients(model, *arrays, training=True, gather=gather, sample=sample),
        sums_and_gradients(model, *arrays, gather=gather),
    )


def test_a_sample_is_for_training_alone(small_model):
    model, arrays = small_model(), batch([9, 3, 16], 16, 3)
    whole, sampled = (ReconstructionObjective(model, sample=s) for s in (None, VocabularySample(2)))
    assert float(whole(*arrays, False)["loss"]) == float(sampled(*arrays, False)["loss"])
    assert float(whole(*arrays, True)["loss"]) != float(sampled(*arrays, True)["loss"])


def test_substituted_tokens_are_encoded_and_are_the_targets(small_model):
    model = small_model(latent="vector")
    tokens, lengths = batch([9, 3, 16], 16, 3)
    others = batch([9, 3, 16], 16, 3, seed=4)[0]
    expected = float(ReconstructionObjective(model)(others, lengths, True)["loss"])
    found = ReconstructionObjective(model, substitution=lambda _, lengths: (others, lengths))(tokens, lengths, True)
    assert float(found["loss"]) == pytest.approx(expected)
    seen = []
    ReconstructionObjective(
        model,
        substitution=lambda _, lengths: (others, lengths),
        corruption=lambda *given: seen.append(given) or given,
    )(tokens, lengths, True)
    assert seen[0][0] is others  # corrupted in their turn
    clean = ReconstructionObjective(model, substitution=lambda _, lengths: (others, lengths))(tokens, lengths, False)
    assert float(clean["loss"]) == pytest.approx(float(ReconstructionObjective(model)(tokens, lengths, False)["loss"]))
    assert abs(float(clean["loss"]) - expected) > 0.1


@pytest.mark.parametrize("gather", [False, True])
def test_corrupted_tokens_are_encoded_and_clean_ones_are_the_targets(small_model, gather):
    if gather and keras.backend.backend() == "jax":
        pytest.skip("JAX has no shapes that depend on data")
    model = small_model(latent="vector")
    tokens, lengths = batch([9, 3, 16], 16, 3)
    other, fewer = batch([7, 2, 12], 16, 3, seed=4)
    sums = ReconstructionObjective(model, gather=gather, corruption=lambda *_: (other, fewer))(tokens, lengths, True)
    latent = model(other, fewer).latent
    hidden = model.decode(latent, -(-lengths // 4), 4)
    rows, embedding, _ = model.output_rows(hidden)
    logits = ops.convert_to_numpy(rows).astype(np.float64) @ ops.convert_to_numpy(embedding).T
    losses = np.log(np.exp(logits).sum(-1)) - np.take_along_axis(logits, tokens[..., None], -1)[..., 0]
    mask = np.arange(16) < lengths[:, None]
    assert float(sums["loss"]) == pytest.approx(losses[mask].sum(), rel=1e-5)
    assert float(sums["tokens"]) == 28
    logits = ops.convert_to_numpy(model.decoder.length_logits(latent)).astype(np.float64)
    length_losses = np.log(np.exp(logits).sum(1)) - logits[np.arange(3), -(-lengths // 4) - 1]
    assert float(sums["length_loss"]) == pytest.approx(length_losses.sum(), rel=1e-5)
    clean = ReconstructionObjective(model, corruption=lambda *_: (other, fewer))(tokens, lengths, False)
    assert float(clean["loss"]) == pytest.approx(float(ReconstructionObjective(model)(tokens, lengths, False)["loss"]))
    assert abs(float(clean["loss"]) - float(sums["loss"])) > 0.1


@pytest.mark.backend_free
def test_sums_add_up_over_batches(small_model):
    model = small_model(latent="vector", variational=True)
    tokens, lengths = batch([9, 3, 16], 16, 3)
    whole = sums_and_gradients(model, tokens, lengths)
    parts = [sums_and_gradients(model, tokens[[i]], lengths[[i]]) for i in range(3)]
    for name, value in whole[0].items():
        assert sum(part[0][name] for part in parts) == pytest.approx(value, rel=1e-5), name


def test_the_kl_divergence_has_its_value(small_model):
    model = small_model(variational=True)
    tokens, lengths = batch([8], 8, 1)
    kl = ops.convert_to_numpy(model(tokens, lengths).posterior.kl)
    sums, _ = sums_and_gradients(model, tokens, lengths)
    assert kl.shape == (1, 2, 5)
    assert sums["kl"] == pytest.approx(kl.sum(), rel=1e-5)
    assert sums["total"] == pytest.approx(sums["loss"] + 0.3 * np.maximum(kl, 0.2).sum(), rel=1e-5)
