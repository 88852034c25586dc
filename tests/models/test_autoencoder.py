"""The model: a text's latent and states are its own, weights have names, and every setting is read."""

import keras
import numpy as np
import pytest
from keras import ops

from helpers.backends import first_on_jax
from helpers.jax_compiling import at_once
from textae.config.choices import Normalization, UpsamplerKind
from textae.config.schema import ModelConfig, UpsamplerConfig
from textae.data.positions import num_positions
from textae.layers.embedding import TokenEmbedding
from textae.layers.position_mask import PositionMask
from textae.models.autoencoder import build
from textae.models.length_head import FourierLengthHead

EDGE = {"strides": [3, 2], "kernel_size": 5}  # strides and kernels whose windows reach over the padding's edge
# Models in which each value of each setting stands with both kinds of latent, and each upsampler with each kernel.
CASES = [
    {**EDGE, "upsampler": {"kind": "transpose", "kernel_factor": 2}, "normalization": "layer", "tie_embeddings": False},
    {
        **EDGE,
        "upsampler": {"kind": "transpose", "kernel_factor": 3},
        "output": "cosine",
        "latent_normalization": "tanh",
    },
    {**EDGE, "upsampler": {"kind": "resize_nearest", "kernel_factor": 2}, "output_bias": True, "expansion": 0.5},
    {**EDGE, "upsampler": {"kind": "resize_nearest", "kernel_factor": 3}, "normalization": "none", "variational": True},
    {**EDGE, "upsampler": {"kind": "resize_linear", "kernel_factor": 2}, "initialization": "lattice"},
    {**EDGE, "upsampler": {"kind": "resize_linear", "kernel_factor": 3}, "residual_blocks": [2, 0, 1]},
    {
        **EDGE,
        "upsampler": {"kind": "subpixel", "kernel_factor": 2},
        "latent_normalization": "rms",
        "normalization": "rms",
    },
    {
        **EDGE,
        "upsampler": {"kind": "subpixel", "kernel_factor": 3},
        "initialization": "lattice",
        "tie_embeddings": False,
    },
    {
        "strides": [4],
        "channels": [6, 8],
        "residual_blocks": [1, 1],
        "upsampler": {"kind": "resize_linear"},
        "kernel_size": 1,
    },
    {"strides": [1, 4], "upsampler": {"kind": "resize_nearest", "kernel_factor": 1}, "kernel_size": 3},
    {"strides": [2, 2], "upsampler": {"kind": "subpixel", "kernel_factor": 1}, "output": "dot", "tie_embeddings": True},
    {"strides": [2, 2], "upsampler": {"kind": "transpose", "kernel_factor": 1}, "latent_normalization": "none"},
]


def rows_of(model, tokens, lengths):
    @at_once
    def computed(tokens, lengths):
        out = model(tokens, lengths)
        rows, embedding, bias = model.output_rows(out.hidden)
        logits = ops.matmul(rows, ops.transpose(embedding))
        return out.latent, logits if bias is None else logits + bias, out.length_logits

    return [None if part is None else ops.convert_to_numpy(part) for part in computed(tokens, lengths)]


def text(length, seed):
    ids = np.random.default_rng(seed).integers(2, 20, length)
    ids[-1] = 1
    return ids


ON_JAX = (1, 3, 4, 6)  # both latents, each way up; variational, the lattice, cosine, tanh and rms


def of_both_halves(number, latent):
    """Every other case of `CASES` with either kind of latent is fast; of these a third runs on JAX."""
    if number % 2 != (latent == "vector"):
        return (pytest.mark.slow, pytest.mark.backend_free)
    return () if number in ON_JAX else (pytest.mark.backend_free,)


@pytest.mark.parametrize(
    ("changes", "latent"),
    [
        pytest.param(changes, latent, marks=of_both_halves(number, latent), id=f"{changes}-{latent}")
        for number, changes in enumerate(CASES)
        for latent in ("sequence", "vector")
    ],
)
def test_a_text_does_not_depend_on_its_batch(small_model, latent, changes):
    model = small_model(latent=latent, **changes)
    lengths = np.array([7, 12, 1, 0, 24, 9], np.int32)
    longest = 24
    together = np.zeros((len(lengths), longest), np.int32)
    for row, length in enumerate(lengths):
        if length:
            together[row, :length] = text(length, row)
    latents, logits, length_logits = rows_of(model, together, lengths)
    for row, length in enumerate(lengths):
        if not length or row == 4:
            continue
        count = -(-int(length) // model.stride)
        alone = rows_of(model, together[row : row + 1, : count * model.stride], lengths[row : row + 1])
        own = latents[row] if latent == "vector" else latents[row, :count]
        np.testing.assert_allclose(own, alone[0][0], rtol=1e-4, atol=1e-5)
        rounding = 1e-5 * max(10, np.abs(alone[1][0]).max())  # of sums with terms of the largest logits' size
        np.testing.assert_allclose(logits[row, : count * model.stride], alone[1][0], rtol=1e-4, atol=rounding)
        if latent == "vector":
            np.testing.assert_allclose(length_logits[row], alone[2][0], rtol=1e-4, atol=1e-5)


def test_a_text_does_not_depend_on_its_neighbours(small_model):
    model = small_model()
    tokens = np.stack([np.resize(text(8, 1), 8), text(8, 2)]).astype(np.int32)
    lengths = np.array([8, 8], np.int32)
    before = rows_of(model, tokens, lengths)
    tokens[1] = text(8, 3)
    after = rows_of(model, tokens, lengths)
    for first, second in zip(before[:2], after[:2], strict=True):
        np.testing.assert_allclose(first[0], second[0], rtol=1e-5, atol=1e-6)
        assert np.abs(first[1] - second[1]).max() > 1e-3


def test_shapes(small_model):
    tokens, lengths = np.full((3, 12), 5, np.int32), np.array([12, 5, 0], np.int32)
    out = small_model(variational=True)(tokens, lengths)
    assert [tuple(a.shape) for a in (out.hidden, out.latent, out.posterior.kl)] == [(3, 12, 6), (3, 3, 5), (3, 3, 5)]
    assert out.length_logits is None
    out = small_model(latent="vector")(tokens, lengths)
    assert [tuple(a.shape) for a in (out.hidden, out.latent, out.length_logits)] == [(3, 12, 6), (3, 5), (3, 6)]
    assert out.posterior is None


@pytest.mark.backend_free
def test_residual_units_begin_as_the_identity(small_model):
    model = small_model(random_weights=False, residual_blocks=[0, 2, 0])
    level = model.encoder.levels[1]
    values = np.random.default_rng(0).standard_normal((2, 6, 8)).astype(np.float32)
    np.testing.assert_array_equal(ops.convert_to_numpy(level(values, np.ones((2, 6, 1), np.float32))), values)


@pytest.mark.backend_free
def test_normalizations_have_their_values(small_model):
    tokens, lengths = np.full((2, 8), 5, np.int32), np.array([8, 4], np.int32)
    values = {}
    for kind in ("none", "rms", "tanh"):
        values[kind] = ops.convert_to_numpy(small_model(latent_normalization=kind)(tokens, lengths).latent)
    plain = values["none"]
    np.testing.assert_allclose(values["tanh"], np.tanh(plain), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        values["rms"], plain / np.sqrt((plain**2).mean(-1, keepdims=True) + 1e-6), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("setting", ["latent_noise", "latent_dropout", "residual_dropout", "variational"])
@pytest.mark.parametrize("latent", first_on_jax(["sequence", "vector"]))
def test_noise_is_there_in_training_alone(small_model, setting, latent):
    model = small_model(latent=latent, **{setting: True if setting == "variational" else 0.4})
    tokens, lengths = np.arange(2, 18, dtype=np.int32)[None], np.array([16], np.int32)

    def hidden(training):
        return ops.convert_to_numpy(model(tokens, lengths, training=training).hidden)

    np.testing.assert_array_equal(hidden(False), hidden(False))
    first, second = hidden(True), hidden(True)
    assert np.abs(first - second).max() > 1e-4
    assert np.abs(first - hidden(False)).max() > 1e-4


@pytest.mark.parametrize("latent", first_on_jax(["sequence", "vector"]))
def test_a_masked_token_has_no_embedding(small_model, latent):
    model = small_model(latent=latent)
    tokens, lengths = text(8, 1)[None].astype(np.int32), np.array([8], np.int32)
    masked = tokens.copy()
    masked[0, 3] = 0
    table = np.array(ops.convert_to_numpy(model.encoder.embedding.embeddings))
    table[0] = 50
    model.encoder.embedding.embeddings.assign(table)
    latents = [ops.convert_to_numpy(model(ids, lengths).latent) for ids in (tokens, masked)]
    table[tokens[0, 3]] = 0  # as if that token's embedding were zero; it stands there alone
    assert (tokens == tokens[0, 3]).sum() == 1
    model.encoder.embedding.embeddings.assign(table)
    zeroed = ops.convert_to_numpy(model(tokens, lengths).latent)
    np.testing.assert_allclose(latents[1], zeroed, rtol=1e-5, atol=1e-6)
    assert np.abs(latents[0] - latents[1]).max() > 1e-3


def test_what_is_decoded_may_be_longer_than_what_was_encoded(small_model):
    model = small_model(latent="vector")
    tokens, lengths, target_lengths = (
        text(12, 1)[None].astype(np.int32),
        np.array([3], np.int32),
        np.array([12], np.int32),
    )
    out = model(tokens, lengths, target_lengths)
    short = model(tokens[:, :4], lengths)
    np.testing.assert_allclose(
        ops.convert_to_numpy(out.latent), ops.convert_to_numpy(short.latent), rtol=1e-5, atol=1e-6
    )
    expected = model.decode(short.latent, np.array([3], np.int32), 3)
    np.testing.assert_allclose(ops.convert_to_numpy(out.hidden), ops.convert_to_numpy(expected), rtol=1e-4, atol=1e-5)


def test_noise_has_its_size(small_model):
    model = small_model(latent_noise=0.5)
    tokens = np.random.default_rng(0).integers(2, 20, (200, 24)).astype(np.int32)
    lengths = np.full(200, 24, np.int32)
    clean, noisy = (ops.convert_to_numpy(model(tokens, lengths, training=t).latent) for t in (False, True))
    assert np.std(noisy - clean) == pytest.approx(0.5, rel=0.05)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"latent": "vector"},
        {"variational": True},
        {"tie_embeddings": False, "output_bias": True},
        {"normalization": "none"},
    ],
    ids=str,
)
@pytest.mark.backend_free
def test_every_weight_has_a_name_of_its_own(small_model, changes):
    model = small_model(**changes)
    names = list(model.named_weights())
    assert len(names) == len(model.trainable_variables)
    assert names == list(small_model(**changes).named_weights())
    assert "encoder/embedding/embeddings" in names
    assert all("autoencoder" not in name for name in names)


@pytest.mark.backend_free
def test_tied_embeddings_are_the_output_layer(small_model):
    tied, untied = small_model(), small_model(tie_embeddings=False)
    assert untied.count_params() - tied.count_params() == 20 * 6
    rows, embedding, _ = tied.output_rows(np.ones((1, 6), np.float32))
    np.testing.assert_array_equal(
        ops.convert_to_numpy(embedding), ops.convert_to_numpy(tied.encoder.embedding.embeddings)
    )
    assert rows.shape == (1, 6)


def test_cosine_logits_lie_within_their_scale(small_model):
    model = small_model(output="cosine", logit_scale=7.0)
    _, logits, _ = rows_of(model, np.full((1, 8), 3, np.int32), np.array([8], np.int32))
    assert np.abs(logits).max() <= 7.0 + 1e-4
    assert np.abs(logits).max() > 1


@pytest.mark.backend_free
def test_build_reads_the_configuration():
    config = ModelConfig(
        strides=[3, 2],
        channels=[6, 8, 10],
        residual_blocks=[1, 0, 2],
        latent_size=4,
        max_length=12,
        normalization=Normalization.layer,
        upsampler=UpsamplerConfig(kind=UpsamplerKind.subpixel, kernel_factor=2),
    )
    assert [len(level.residual_blocks) for level in build(config, 11).encoder.levels] == [1, 0, 2]
    config.encoder_residual_blocks = [0, 1, 1]
    model = build(config, 11)
    assert (model.stride, model.latent_size, model.vocabulary_size, model.max_length) == (6, 4, 11, 12)
    assert model.encoder.embedding.embeddings.shape == (11, 6)
    assert [d.kernel.shape for d in model.encoder.downsamplers] == [(6, 6, 8), (4, 8, 10)]
    assert [u.kind for u in model.decoder.upsamplers] == ["subpixel", "subpixel"]
    assert [len(level.residual_blocks) for level in model.encoder.levels] == [0, 1, 1]
    assert [len(level.residual_blocks) for level in model.decoder.levels] == [2, 0, 1]


@pytest.mark.backend_free
def test_building_warns_of_nothing(small_model, recwarn):
    small_model(latent="vector")
    small_model()
    assert [str(w.message) for w in recwarn if issubclass(w.category, UserWarning)] == []


def test_mixed_precision_keeps_latents_in_float32(small_model):
    exact = small_model()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = small_model()
    finally:
        keras.config.set_dtype_policy("float32")
    tokens, lengths = np.full((1, 8), 3, np.int32), np.array([7], np.int32)
    out = model(tokens, lengths)
    assert keras.backend.standardize_dtype(out.latent.dtype) == "float32"
    assert keras.backend.standardize_dtype(out.hidden.dtype) == "bfloat16"
    expected = ops.convert_to_numpy(exact(tokens, lengths).latent)
    np.testing.assert_allclose(ops.convert_to_numpy(out.latent), expected, atol=0.05 * np.abs(expected).max())


def test_the_arithmetic_of_lengths():
    lengths = np.array([0, 1, 4, 5, 8])
    assert ops.convert_to_numpy(num_positions(lengths, 4)).tolist() == [0, 1, 1, 2, 2]
    values = np.zeros((3, 3, 2), "float32")
    for mask, counts in ((PositionMask(), [0, 2, 3]), (PositionMask(2), [0, 3, 6]), (PositionMask(4, 2), [0, 4, 8])):
        found = ops.convert_to_numpy(mask(np.array(counts, np.int32), values))
        assert found[..., 0].tolist() == [[0, 0, 0], [1, 1, 0], [1, 1, 1]]
    tokens = np.array([[1, 1, 1], [0, 1, 1], [1, 0, 1]])
    found = ops.convert_to_numpy(PositionMask()(np.array([0, 2, 3], np.int32), values, tokens))
    assert found[..., 0].tolist() == [[0, 0, 0], [0, 1, 0], [1, 0, 1]]


def test_a_latent_position_counts_as_its_best_token_and_the_last_as_no_end_too():
    head = FourierLengthHead(stride=2)
    features = np.array([[[0.1, 2.0], [0.3, 1.0], [0.0, 0.5]]], np.float32)
    head.build(features.shape)
    head.linear.kernel.assign([[10.0, 0.0], [0.0, 10.0]])
    head.no_end.assign(7.0)
    scores = 10 * features[0].reshape(-1).astype(np.float64)
    expected = [np.log(np.exp(scores[[0, 1]]).sum()), np.log(np.exp(scores[[2, 3]]).sum())]
    expected.append(np.log(np.exp(scores[[4, 5]]).sum() + np.exp(7.0)))
    np.testing.assert_allclose(ops.convert_to_numpy(head(features))[0], expected, rtol=1e-5)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="JAX takes Keras's own")
@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_tokens_that_occur_twice_add_to_a_dense_gradient(dtype):
    import tensorflow as tf

    ids, upstream = np.array([[1, 2, 2], [0, 1, 4]], "int32"), np.random.default_rng(0).normal(size=(2, 3, 4))
    found = []
    for kind in (TokenEmbedding, keras.layers.Embedding):
        layer = kind(5, 4, dtype=dtype)
        layer.build(None)
        layer.set_weights([np.arange(20, dtype="float32").reshape(5, 4)])
        with tf.GradientTape() as tape:
            out = layer(ids)
            total = tf.reduce_sum(tf.cast(out, tf.float32) * upstream.astype("float32"))
        gradient = tape.gradient(total, layer.embeddings.value)
        found.append((out, gradient))
    (ours, dense), (theirs, rows) = found
    assert isinstance(dense, tf.Tensor) and ours.dtype == theirs.dtype
    np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_allclose(dense, tf.convert_to_tensor(rows), rtol=1e-2 if dtype != "float32" else 1e-6)
