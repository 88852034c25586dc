"""The transposed start: the decoder is the encoder's transpose, and an untrained model already gives texts back."""

import keras
import numpy as np
import pytest
from keras import ops

from textae.codec import Codec
from textae.config import LatentKind, ModelConfig
from textae.initialization import start_transposed
from textae.layers import Downsample, Upsample
from textae.layers.blocks import Collapse, Expand
from textae.model import build


def inner(one, two):
    return float((ops.convert_to_numpy(one).astype(np.float64) * ops.convert_to_numpy(two)).sum())


@pytest.mark.parametrize(
    "kind,factor,exact",
    [("transpose", 1, True), ("transpose", 2, True), ("transpose", 3, True), ("subpixel", 1, True),
     ("subpixel", 2, False), ("resize_nearest", 1, False), ("resize_linear", 1, False)],
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


def test_expand_is_the_transpose_of_collapse():
    draw = np.random.default_rng(0)
    blocks, vectors = draw.normal(size=(3, 4, 5)).astype("float32"), draw.normal(size=(3, 6)).astype("float32")
    collapse, expand = Collapse(6, 8), Expand(5, 8)
    collapse(blocks), expand(vectors, blocks=4)
    expand.assign_transpose(collapse.kernel)
    assert inner(collapse(blocks), vectors) == pytest.approx(inner(blocks, expand(vectors, blocks=4)), rel=1e-4)


def share_right(model, length=40, count=50):
    draw = np.random.default_rng(1)
    documents = [draw.integers(2, model.vocabulary_size, length - 1).astype(np.int32) for _ in range(count)]
    return np.concatenate([document.correct for document in Codec(model).reconstruct(documents)]).mean()


@pytest.mark.parametrize(
    "changes",
    [{}, {"tie_embeddings": False}, {"strides": [2, 2], "widths": [64, 96, 128], "units": [1, 1, 1]},
     {"latent_normalization": "rms"}, {"variational": True}],
    ids=str,
)  # fmt: skip
def test_an_untrained_model_gives_random_tokens_back(changes):
    """16 numbers a token: sqrt(16) deviations, against the highest of 255 others at about 2.8."""
    keras.utils.set_random_seed(0)
    if "latent_normalization" in changes:
        from textae.config import LatentNormalization

        changes = {"latent_normalization": LatentNormalization.rms}
    model = build(ModelConfig(**{"widths": [64, 128], "latent_size": 64} | changes), vocabulary_size=256)
    assert share_right(model) < 0.05
    start_transposed(model)
    assert share_right(model) > 0.8


def test_an_untrained_vector_gives_more_back_than_chance():
    keras.utils.set_random_seed(0)
    model = build(ModelConfig(latent=LatentKind.vector, latent_size=320, max_length=40), vocabulary_size=256)
    start_transposed(model)
    model.decoder.block_counter.bias.assign(np.eye(10)[9] * 100)
    assert share_right(model) > 0.4


def test_latents_of_any_stride_have_mean_square_one():
    for strides in ([2], [4], [2, 4]):
        widths = [64, 128, 192][: len(strides) + 1]
        model = build(ModelConfig(strides=strides, widths=widths, units=[1] * len(widths), latent_size=48), 256)
        start_transposed(model)
        tokens = np.random.default_rng(0).integers(2, 256, (20, 64)).astype(np.int32)
        latents = ops.convert_to_numpy(model.encoder(tokens, np.full(20, 64, np.int32))[0])
        assert np.mean(np.square(latents)) == pytest.approx(1, rel=0.1)
