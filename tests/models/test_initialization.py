"""The initializations: an untrained model already reconstructs tokens, by a transpose or by codewords."""

import keras
import numpy as np
import pytest
from keras import ops

from helpers.backends import first_on_jax
from helpers.jax_compiling import at_once
from textae.config.choices import Initialization, LatentKind, LatentNormalization, UpsamplerKind
from textae.config.schema import ModelConfig, UpsamplerConfig
from textae.data.special_tokens import END_ID
from textae.inference.codec import Codec
from textae.layers import Downsample, Upsample
from textae.layers.fourier import FourierFeatures
from textae.layers.vectors import SequenceToVector, VectorToSequence
from textae.models.autoencoder import build
from textae.models.initialization import evenly_spaced, initialize, initialize_orthogonal
from textae.models.initialization.codebook import learnt_codewords, loss_and_gradient
from textae.models.initialization.orthogonal import (
    LOG_VARIANCE,
    projections_of_tokens,
    separate,
    with_even_projections,
)


def inner(one, two):
    return float((ops.convert_to_numpy(one).astype(np.float64) * ops.convert_to_numpy(two)).sum())


@pytest.mark.parametrize(
    "kind,factor,exact",
    first_on_jax([
        ("transpose", 2, True), ("subpixel", 1, True), ("resize_linear", 1, False), ("transpose", 1, True),
        ("transpose", 3, True), ("subpixel", 2, False), ("resize_nearest", 1, False),
    ], 3),
)  # fmt: skip
def test_up_is_the_transpose_of_down(kind, factor, exact):
    draw = np.random.default_rng(0)
    positions, steps = draw.normal(size=(2, 12, 5)).astype("float32"), draw.normal(size=(2, 4, 7)).astype("float32")
    down, up = Downsample(7, factor * 3, 3), Upsample(5, factor * 3, 3, kind=kind)
    down(positions), up(steps)
    before = ops.convert_to_numpy(up.layer.kernel)
    up.assign_transpose(down.kernel)
    if exact:
        assert inner(down(positions), steps) == pytest.approx(inner(positions, up(steps)), rel=1e-4)
    else:
        np.testing.assert_array_equal(ops.convert_to_numpy(up.layer.kernel), before)


def test_vector_to_sequence_is_the_transpose_of_sequence_to_vector():
    draw = np.random.default_rng(0)
    states, vectors = draw.normal(size=(3, 4, 5)).astype("float32"), draw.normal(size=(3, 6)).astype("float32")
    down, up = SequenceToVector(6, 8), VectorToSequence(5, 8)
    down(states), up(vectors, positions=4)
    up.assign_transpose(down.kernel)
    assert inner(down(states), vectors) == pytest.approx(inner(states, up(vectors, positions=4)), rel=1e-4)


def latents_of(model, tokens):
    """Return the latents of texts that are all as long as their row."""
    encode = at_once(lambda tokens, lengths: model.encoder(tokens, lengths)[0])
    return ops.convert_to_numpy(encode(tokens, np.full(len(tokens), tokens.shape[1], np.int32)))


def share_right(model, length=40, count=50):
    draw = np.random.default_rng(1)
    documents = [draw.integers(2, model.vocabulary_size, length - 1).astype(np.int32) for _ in range(count)]
    return np.concatenate([document.correct for document in Codec(model).reconstruct(documents)]).mean()


@pytest.mark.parametrize(
    "changes",
    first_on_jax([
        {"strides": [2, 2], "channels": [64, 96, 128], "residual_blocks": [1, 1, 1]}, {}, {"tie_embeddings": False},
        {"latent_normalization": "rms"}, {"variational": True},
    ]),
    ids=str,
)  # fmt: skip
def test_an_untrained_orthogonal_model_reconstructs_random_tokens(changes):
    """16 floats per token: sqrt(16) deviations, against the highest of 255 others at about 2.8."""
    keras.utils.set_random_seed(0)
    if "latent_normalization" in changes:
        changes = {"latent_normalization": LatentNormalization.rms}
    model = build(ModelConfig(**{"channels": [64, 128], "latent_size": 64} | changes), vocabulary_size=256)
    assert share_right(model) < 0.05
    initialize_orthogonal(model)
    assert share_right(model) > 0.8


@pytest.mark.parametrize(
    "changes",
    first_on_jax([
        {"latent_size": 12},
        {"latent_size": 13, "strides": [2, 2], "channels": [64, 97, 130], "residual_blocks": [1, 1, 1]},
    ]),
    ids=str,
)  # fmt: skip
def test_tokens_of_a_latent_have_dimensions_of_their_own(changes):
    """Another token changes the dimensions of its own place alone, 12 / 4 of them or one more."""
    keras.utils.set_random_seed(0)
    model = build(ModelConfig(**{"channels": [64, 128], "max_length": 4} | changes), vocabulary_size=256)
    initialize_orthogonal(model)
    tokens = np.array([[5, 6, 7, 8]] + [[5 + 9 * (i == j) + j for j in range(4)] for i in range(4)], np.int32)
    latents = latents_of(model, tokens)[:, 0]
    changed = np.abs(latents[1:] - latents[0]) > 1e-6
    np.testing.assert_array_equal(changed.sum(axis=0), 1)
    assert set(changed.sum(axis=1)) <= {3, 4}


@pytest.mark.parametrize("strides", first_on_jax([[4], [2, 2]]), ids=str)
def test_an_untrained_model_with_three_dimensions_for_a_token_loses_none(strides):
    """The nearest of equally long vectors is the one of the largest product, so each token is its own."""
    keras.utils.set_random_seed(0)
    levels = {
        "strides": strides,
        "channels": [64, 128, 128][: len(strides) + 1],
        "residual_blocks": [0] * len(strides) + [1],
    }
    model = build(ModelConfig(latent_size=12, **levels), vocabulary_size=256)
    initialize_orthogonal(model)
    assert share_right(model) == 1.0


@pytest.mark.parametrize(
    "changes,ratio,rate",
    first_on_jax([
        ({"variational": True}, 0.25 / 0.75, 3.0),  # a bit a dimension: deviations of a half
        ({}, None, None),
        ({"latent_noise": 0.3}, 0.09, None),
        ({"variational": True}, np.exp(LOG_VARIANCE), None),
        ({"latent_noise": 0.3}, 0.09, 3.0),  # the rate of a model that is not variational has no effect
    ]),
)  # fmt: skip
def test_logits_begin_as_likelihood_ratios_under_the_noise(changes, ratio, rate):
    keras.utils.set_random_seed(0)
    model = build(ModelConfig(channels=[64, 128], latent_size=12, **changes), vocabulary_size=256)
    initialize_orthogonal(model, target_rate=rate)
    scale = np.sqrt(3) * (1.0 if ratio is None else np.sqrt(1 + ratio) / ratio)
    np.testing.assert_allclose(ops.convert_to_numpy(model.final_normalize.scale), scale, rtol=1e-6)


def test_a_variational_model_begins_with_its_target_rate():
    keras.utils.set_random_seed(0)
    config = ModelConfig(channels=[64, 128], latent_size=16, variational=True, target_rate=8.0, max_length=64)
    model = build(config, vocabulary_size=256)
    initialize_orthogonal(model, target_rate=config.target_rate)
    tokens = np.random.default_rng(0).integers(2, 256, (8, 64)).astype(np.int32)
    latents, posterior = model.encoder(tokens, np.full(8, 64, np.int32))
    kl = float(ops.sum(posterior.kl)) / np.log(2) / tokens.size
    assert kl == pytest.approx(8.0, rel=0.02)
    assert float(ops.mean(latents**2 + ops.exp(posterior.log_variance))) == pytest.approx(1, rel=0.02)


@pytest.mark.backend_free
def test_projections_become_equally_long_and_rows_change_little():
    draw = np.random.default_rng(0)
    rows = draw.normal(size=(50, 64)).astype(np.float32) / 8
    kernels = separate([(2, 64, 32), (2, 32, 16), (1, 16, 12)])
    projections = projections_of_tokens(kernels)
    assert [projection.shape for projection in projections] == [(64, 3)] * 4
    even = with_even_projections(rows, projections)
    lengths = [np.linalg.norm(even @ projection, axis=1) for projection in projections]
    np.testing.assert_allclose(lengths, np.sqrt(3 / 64), rtol=1e-4)
    assert np.abs(even - rows).mean() < 0.5 * np.abs(rows).mean()


def noisy_share_right(codewords, counts, deviation, count=4000):
    """Tokens drawn by their counts whose nearest codeword, given how frequent each is, is their own under noise."""
    draw = np.random.default_rng(1)
    tokens = draw.choice(len(counts), count, p=counts / counts.sum())
    received = codewords[tokens] + deviation * draw.normal(size=(count, codewords.shape[1]))
    scores = received @ codewords.T / deviation**2 + np.log(counts / counts.sum())
    return np.mean(scores.argmax(axis=1) == tokens)


@pytest.mark.backend_free
def test_learnt_codewords_are_told_apart_under_noise():
    draw = np.random.default_rng(0)
    random = draw.normal(size=(256, 5)).astype(np.float32)
    random /= np.sqrt(np.mean(random**2, axis=1, keepdims=True))
    counts = 1000 / (1 + np.arange(256.0))
    learnt = learnt_codewords(random, 0.09, counts)
    np.testing.assert_allclose(np.mean(learnt**2, axis=1), 1, rtol=1e-5)
    assert noisy_share_right(random, counts, 0.3) < 0.89
    assert noisy_share_right(learnt, counts, 0.3) > 0.94
    np.testing.assert_array_equal(learnt, learnt_codewords(random, 0.09, counts))
    assert np.abs(learnt - learnt_codewords(random, 0.09, counts, seed=1)).max() > 0.1


@pytest.mark.backend_free
def test_the_gradient_of_codewords_is_that_of_the_loss():
    draw = np.random.default_rng(0)
    codewords = draw.normal(size=(70, 3))
    tokens = draw.integers(70, size=130)  # more than are computed at once
    noise = 0.5 * draw.normal(size=(130, 3))
    prior = np.log(draw.dirichlet(np.ones(70)))

    def loss(changed):
        return loss_and_gradient(changed, tokens, changed[tokens] + noise, 0.25, prior)[0]

    gradient = loss_and_gradient(codewords, tokens, codewords[tokens] + noise, 0.25, prior)[1]
    for row, column in ((0, 0), (tokens[0], 1), (69, 2)):
        step = np.zeros_like(codewords)
        step[row, column] = 1e-5
        assert gradient[row, column] == pytest.approx(
            (loss(codewords + step) - loss(codewords - step)) / 2e-5, rel=1e-4
        )


@pytest.mark.parametrize("strides", first_on_jax([[4], [2, 2]]), ids=str)
def test_a_codebook_model_has_one_codeword_for_a_token_at_each_place(strides):
    keras.utils.set_random_seed(0)
    levels = {
        "strides": strides,
        "channels": [64, 128, 128][: len(strides) + 1],
        "residual_blocks": [0] * len(strides) + [1],
    }
    config = ModelConfig(latent_size=12, latent_noise=0.3, initialization=Initialization.codebook, **levels)
    model = build(config, vocabulary_size=256)
    counts = 1000 / (1 + np.arange(256.0))
    initialize(model, "codebook", counts=counts)
    latents = latents_of(model, np.full((1, 4), 7, np.int32))[0, 0]
    codewords = latents.reshape(4, 3)  # of the four places, in the order of the tokens
    np.testing.assert_allclose(codewords, np.broadcast_to(codewords[0], (4, 3)), atol=1e-3)
    assert share_right(model) == 1.0
    with pytest.raises(ValueError, match="expected counts of tokens with codebook, received None"):
        initialize(model, "codebook")


@pytest.mark.backend_free
def test_a_codebook_needs_dimensions_for_each_token():
    config = ModelConfig(channels=[64, 3], latent_size=12, latent_noise=0.3, initialization=Initialization.codebook)
    with pytest.raises(ValueError, match="at least as many channels as tokens with codebook"):
        initialize(build(config, vocabulary_size=256), "codebook", counts=np.ones(256))


@pytest.mark.backend_free
def test_log_variances_begin_with_little_noise():
    keras.utils.set_random_seed(0)
    model = build(ModelConfig(channels=[64, 128], latent_size=16, variational=True), vocabulary_size=256)
    initialize_orthogonal(model)
    tokens = np.random.default_rng(0).integers(2, 256, (8, 64)).astype(np.int32)
    latents, posterior = model.encoder(tokens, np.full(8, 64, np.int32))
    np.testing.assert_allclose(ops.convert_to_numpy(posterior.log_variance), LOG_VARIANCE, atol=1e-6)
    assert float(ops.mean(latents**2)) == pytest.approx(1, rel=0.2)


def test_an_untrained_vector_reconstructs_more_than_chance():
    keras.utils.set_random_seed(0)
    model = build(ModelConfig(latent=LatentKind.vector, latent_size=320, max_length=40), vocabulary_size=256)
    initialize_orthogonal(model)
    model.decoder.length_head.bias.assign(np.eye(10)[9] * 100)
    assert share_right(model) > 0.4


@pytest.mark.parametrize("strides", first_on_jax([[2, 4], [2], [4]]), ids=str)
def test_latents_of_any_stride_have_mean_square_one(strides):
    channels = [64, 128, 192][: len(strides) + 1]
    model = build(
        ModelConfig(strides=strides, channels=channels, residual_blocks=[1] * len(channels), latent_size=48), 256
    )
    initialize_orthogonal(model)
    tokens = np.random.default_rng(0).integers(2, 256, (20, 64)).astype(np.int32)
    assert np.mean(np.square(latents_of(model, tokens))) == pytest.approx(1, rel=0.1)


VECTOR = {"latent": LatentKind.vector, "max_length": 40}


@pytest.mark.parametrize(
    "changes",
    first_on_jax([
        {"latent_size": 10, "variational": True}, {"latent_size": 85} | VECTOR,
        {"latent_size": 4}, {"latent_size": 10}, {"latent_size": 13, "tie_embeddings": False},
        {"latent_size": 10, "latent_normalization": LatentNormalization.tanh},
        {"latent_size": 16, "strides": [2, 4], "channels": [128, 192, 512], "residual_blocks": [1, 1, 1]},
        {"latent_size": 40, "strides": [2, 2], "channels": [128, 192, 512], "residual_blocks": [1, 1, 1]} | VECTOR,
        {"upsampler": UpsamplerConfig(kernel_factor=2), "latent_size": 8},
        {"upsampler": UpsamplerConfig(kernel_factor=3), "latent_size": 8},
        {"upsampler": UpsamplerConfig(kind=UpsamplerKind.subpixel), "latent_size": 8},
    ], 2),
    ids=str,
)  # fmt: skip
def test_an_untrained_lattice_loses_nothing(changes):
    """Random ids and one float per token, or little more: nothing is likelier than anything else."""
    keras.utils.set_random_seed(0)
    config = ModelConfig(**{"channels": [128, 256], "initialization": Initialization.lattice} | changes)
    config.require_codewords()
    model = build(config, vocabulary_size=256)
    initialize(model, "lattice")
    assert share_right(model) > 0.998


@pytest.mark.backend_free
def test_codewords_lie_evenly():
    """No two of 500 in a square are nearer than half of what a grid leaves, and no two of the first 50."""
    for count in (50, 500):
        points = evenly_spaced(500, 2)[:count].astype(np.float64)
        apart = np.linalg.norm(points[:, None] - points[None], axis=-1) + 9 * np.eye(count)
        assert apart.min() > 0.5 * count**-0.5
        assert np.abs(points).max() <= 0.5
    assert np.mean(np.square(evenly_spaced(1000, 1))) == pytest.approx(1 / 12, rel=0.01)


@pytest.mark.parametrize("policy", first_on_jax(["mixed_bfloat16", "float32"]))
def test_fourier_features_are_of_the_latent_in_float32(policy):
    """An angle of 1,000 turns that bfloat16 would get wrong by several."""
    latents = np.random.default_rng(0).normal(size=(2, 5, 3)).astype("float32")
    layer = FourierFeatures(4, dtype=policy)
    layer(latents)
    kernel = np.random.default_rng(1).normal(size=(3, 4)).astype("float32") * 2000
    layer.frequencies.kernel.assign(kernel)
    angles = latents.astype(np.float64) @ kernel.astype(np.float64)
    features = np.sqrt(2) * np.concatenate([np.cos(angles), np.sin(angles)], axis=-1)
    found = layer(latents)
    assert keras.backend.standardize_dtype(found.dtype) == ("float32" if policy == "float32" else "bfloat16")
    np.testing.assert_allclose(ops.convert_to_numpy(ops.cast(found, "float32")), features, atol=0.02)


@pytest.mark.parametrize("seed", first_on_jax(range(4)))
def test_the_end_is_found_beside_what_looks_most_like_it(seed):
    """Four frequencies for a token, and texts full of the token whose features are nearest to the end's."""
    keras.utils.set_random_seed(seed)
    config = ModelConfig(
        **{"strides": [4], "channels": [128, 32], "residual_blocks": [0, 0], "initialization": Initialization.lattice},
        **VECTOR | {"latent_size": 256, "max_length": 256},
    )
    config.require_codewords()
    model = build(config, vocabulary_size=256)
    initialize(model, "lattice")
    table = ops.convert_to_numpy(model.encoder.embedding.embeddings)
    alike = table[:, 1:9] @ table[END_ID, 1:9]
    _, nearest, *_, farthest = np.argsort(-alike).tolist()
    tokens = np.full((3, 256), nearest, np.int32)
    tokens[0, :100] = tokens[0, 200:] = farthest
    lengths = np.array([256, 201, 3], np.int32)
    for row, length in zip(tokens[1:], lengths[1:], strict=True):
        row[length - 1 :] = [END_ID] + [0] * (256 - length)
    found = ops.convert_to_numpy(model(tokens, lengths).length_logits).argmax(1)
    assert found.tolist() == [63, 50, 0]


def test_cooccurrence_begins_with_the_mean_of_the_tokens_vectors(small_model):
    settings = {"latent": "vector", "pooling": "mean", "bag_of_words": True, "tie_embeddings": False}
    model = small_model(**settings, encoder_residual_blocks=[0, 0, 0], random_weights=False)
    vectors = np.random.default_rng(0).normal(size=(20, 5)).astype("float32")
    initialize(model, "cooccurrence", vectors=vectors)
    tokens = np.array([[3, 4, 5, 6, 7, 8, 9, 1]], np.int32)
    latent = latents_of(model, tokens)[0]
    mean = vectors[tokens[0]].mean(axis=0)
    np.testing.assert_allclose(latent / np.linalg.norm(latent), mean / np.linalg.norm(mean), atol=1e-5)
    with pytest.raises(ValueError, match="expected vectors of tokens with cooccurrence, received None"):
        initialize(model, "cooccurrence")
