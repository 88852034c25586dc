"""Where training begins: a model that gives tokens back before the first update.

With independent random weights a decoder has to learn what the encoder's random numbers mean before anything comes
back, and with one vector for a long text it hardly finds a way to begin. The residual blocks begin as the identity, so
the rest can be set up to carry tokens through.

A decoder that sees projections begins as the transpose of the encoder. A projection by orthonormal vectors and its
transpose give, for each position, what went in plus the crosstalk of the others: with `m` numbers for `n` tokens the
right token stands sqrt(m / n) standard deviations above a wrong one, whatever the width is. The likelihood ratio of two
normal distributions so far apart is the product times that distance, which gives the logits their scale. All that
training has to do is to make less of the crosstalk.

Few numbers per token leave more crosstalk than signal. A decoder that sees waves (`Fourier`) begins with places
instead: `d = m // n` numbers of a latent belong to each position and hold the place of its token, a point in a cube in
which tokens lie evenly. The waves of a place are the token's embedding, so the product is highest at the nearest token.
"""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from textae.data.special_tokens import END_ID
from textae.layers.blocks import Fourier

_SIDE = 2 * math.sqrt(3)  # of the cube of places, whose numbers are then of mean square 1
_BOUNDED_SIDE = 1.9  # the same where latents are bounded by tanh
_END_MARGIN = 16.0  # logits between the end, the score of no end, and what looks most like the end; log(1024) is 7
_DRAWS = 64  # sets of frequencies among which a vector's is chosen
_SHARPNESS = 1.5  # deviation of the waves' frequencies, times the distance between neighbouring places


def initialize(model: Any, kind: str) -> None:
    """Give a built `Autoencoder` the weights that training begins with: "random", "orthogonal" or "lattice".

    Raises:
        ValueError: another kind, or one that the model's decoder is not made for.
    """
    kinds = {"random": None, "orthogonal": initialize_orthogonal, "lattice": initialize_lattice}
    if kind not in kinds:
        raise ValueError(f"initialization: expected one of {', '.join(kinds)}, received {kind!r}")
    if isinstance(model.decoder.project, Fourier) != (kind == "lattice"):
        raise ValueError(f"initialization: expected lattice with Fourier features and only then, received {kind!r}")
    if (assign := kinds[kind]) is not None:
        assign(model)


def initialize_orthogonal(model: Any) -> None:
    """Give a built `Autoencoder` an orthonormal encoder, and a decoder that is its transpose, step by step.

    Ways up that are no transpose of a strided convolution (`resize_nearest`, `resize_linear`, and `subpixel` where
    windows overlap) keep the weights that they have. The log-variance of a variational model begins as 0.
    """
    encoder, decoder = model.encoder, model.decoder
    for down, up in zip(encoder.downsamplers, reversed(decoder.upsamplers), strict=True):
        down.kernel.assign(_orthonormal(down.kernel.shape))
        up.assign_transpose(down.kernel)
    project = encoder.bottleneck.project.kernel
    mean = _orthonormal((*project.shape[:-1], model.latent_size))
    _assign_mean(project, mean)
    decoder.project.assign_transpose(mean)
    if model.final_normalize.kind != "none" and model.latent == "sequence":  # vectors end worse with it, docs/study.md
        scale = model.final_normalize.scale
        scale.assign(ops.full(scale.shape, math.sqrt(model.latent_size / model.stride)))
    if model.untied is not None:
        model.untied.embeddings.assign(encoder.embedding.embeddings)


def initialize_lattice(model: Any) -> None:
    """Give a built `Autoencoder` an encoder that lays down each token's place, and a decoder that finds it again.

    Embeddings hold the place and its waves, both halves hand them on unchanged, and what room is left carries
    orthonormal projections of the rest. Ways up that are no transpose of a strided convolution keep their weights.
    There has to be room for it: `textae.config.schema.ModelConfig.require_codewords`.
    """
    encoder, decoder = model.encoder, model.decoder
    tokens = model.stride if model.latent == "sequence" else model.max_length
    numbers = model.latent_size // tokens
    channels = [encoder.embedding.output_dim, *(down.filters for down in encoder.downsamplers)]
    covered = np.cumprod([1, *(down.stride for down in encoder.downsamplers)]).tolist()  # positions of a step
    waves = min((width - (numbers if i == 0 else 0)) // (2 * covered[i]) for i, width in enumerate(channels))

    frequencies = _place_tokens(model, numbers, waves)
    for i, down in enumerate(encoder.downsamplers):
        down.kernel.assign(_handing_on(down.kernel.shape, covered[i] * numbers, down.stride))
    blocks = tokens // model.stride
    mean = _handing_on((blocks, channels[-1], model.latent_size), model.stride * numbers, blocks)
    _assign_mean(encoder.bottleneck.project.kernel, mean if model.latent == "vector" else mean[0])
    angles = _angles_of_places(frequencies, blocks, model.stride, channels[-1] // 2, model.latent_size)
    decoder.project.angles.assign_transpose(angles if model.latent == "vector" else angles[0])

    # Which channels hold the waves of each position of a step, in the level above and in the one below.
    cosines = np.arange(model.stride * waves).reshape(model.stride, waves)
    above = np.concatenate([cosines, channels[-1] // 2 + cosines], axis=1)
    if model.latent == "vector":
        _find_the_end(model, numbers, cosines)
    for up, width in zip(decoder.upsamplers, channels[:0:-1], strict=True):
        count = len(above) // up.stride
        below = np.arange(count * 2 * waves).reshape(count, 2 * waves) + (numbers if count == 1 else 0)
        kernel = np.zeros((up.kernel_size, up.filters, width), np.float32)
        for step, channels in enumerate(above.reshape(up.stride, count, 2 * waves)):
            kernel[(up.kernel_size - up.stride) // 2 + step, below, channels] = 1
        up.assign_transpose(kernel)
        above = below


def evenly_placed(count: int, dimensions: int) -> np.ndarray:
    """Return (count, dimensions) float32: points that fill a cube of side 1 around 0 evenly, as do the first of them.

    Steps by powers of the generalized golden ratio, the root of x^(dimensions + 1) = x + 1 (M. Roberts, "The
    unreasonable effectiveness of quasirandom sequences", 2018).
    """
    root = 2.0
    for _ in range(64):
        root = (1 + root) ** (1 / (dimensions + 1))
    steps = root ** -np.arange(1.0, dimensions + 1)
    return (np.arange(1, count + 1)[:, None] * steps % 1 - 0.5).astype(np.float32)


def _place_tokens(model: Any, numbers: int, waves: int) -> np.ndarray:
    """Put places and their waves into the embeddings; return the waves' frequencies, (numbers, waves)."""
    embeddings = model.encoder.embedding.embeddings
    table = ops.convert_to_numpy(embeddings).copy()
    bounded = model.encoder.bottleneck.normalization == "tanh"
    side = _BOUNDED_SIDE if bounded else _SIDE
    spacing = side * len(table) ** (-1 / numbers)
    places = side * evenly_placed(len(table), numbers)
    drawn = [
        ops.convert_to_numpy(keras.initializers.RandomNormal(stddev=_SHARPNESS / spacing)((numbers, waves)))
        for _ in range(1 if model.end_finder is None else _DRAWS)
    ]
    frequencies = min(drawn, key=lambda one: _likeness_to_end(_waves(places @ one)))  # few waves: not every set will do
    table[:, :numbers] = np.arctanh(places) if bounded else places
    table[:, :numbers] /= math.sqrt(table.shape[1])  # the encoder takes embeddings times this root
    table[:, numbers : numbers + 2 * waves] = _waves(places @ frequencies)
    embeddings.assign(table)
    if model.untied is not None:
        model.untied.embeddings.assign(table)
    return frequencies


def _waves(angles: np.ndarray) -> np.ndarray:
    """Return (tokens, 2 * waves): cosines and sines, each row of length 1."""
    return np.concatenate([np.cos(angles), np.sin(angles)], axis=1) / math.sqrt(angles.shape[1])


def _likeness_to_end(waves: np.ndarray) -> float:
    """Return how much the most similar token's waves are like the end's, 1 if they are the same."""
    return float(np.delete(waves @ waves[END_ID], END_ID).max())


def _handing_on(shape: tuple[int, ...], held: int, stride: int) -> np.ndarray:
    """Return a kernel (taps, channels, filters) that lines up the first `held` channels of `stride` steps.

    The other filters are orthonormal projections of the other channels.
    """
    kernel = np.zeros(shape, np.float32)
    others = np.ones(shape[:2], bool)
    for step in range(stride):
        tap = (shape[0] - stride) // 2 + step
        kernel[tap, np.arange(held), step * held + np.arange(held)] = 1
        others[tap, :held] = False
    rest = shape[2] - stride * held
    if rest and others.any():
        kernel[others, stride * held :] = ops.convert_to_numpy(_orthonormal((int(others.sum()), rest)))
    return kernel


def _angles_of_places(frequencies: np.ndarray, blocks: int, stride: int, count: int, size: int) -> np.ndarray:
    """Return a kernel (blocks, count, size) to the angles of each position's place; others are of low frequency."""
    numbers, waves = frequencies.shape
    kernel = np.zeros((blocks, count, size), np.float32)
    kernel[:, stride * waves :] = ops.convert_to_numpy(
        keras.initializers.RandomNormal(stddev=1 / math.sqrt(size))((blocks, count - stride * waves, size))
    )
    for position in range(blocks * stride):
        block, place = divmod(position, stride)
        rows, columns = place * waves + np.arange(waves), position * numbers + np.arange(numbers)
        kernel[block, rows[:, None], columns[None]] = frequencies.T
    return kernel


def _find_the_end(model: Any, numbers: int, cosines: np.ndarray) -> None:
    """Let the end finder look for the waves of the end's place; `cosines` (stride, waves) are a position's channels.

    Up to `max_length` tokens add up against one end, so it has to score well above any that its waves resemble.
    """
    waves = cosines.shape[1]
    table = ops.convert_to_numpy(model.encoder.embedding.embeddings)[:, numbers : numbers + 2 * waves]
    end, likeness = table[END_ID], _likeness_to_end(table)
    scale = 2 * _END_MARGIN / (1 - likeness)
    kernel = np.zeros(model.end_finder.linear.kernel.shape, np.float32)
    for position, channels in enumerate(cosines):
        kernel[channels, position], kernel[len(kernel) // 2 + channels, position] = end[:waves], end[waves:]
    model.end_finder.linear.kernel.assign(scale / math.sqrt(2 * waves) * kernel)
    model.end_finder.no_end.assign(scale * (1 + likeness) / 2)


def _assign_mean(kernel: Any, mean: Any) -> None:
    """Put the projection to the mean into the bottleneck's kernel; that to a log-variance becomes 0."""
    rest = ops.zeros((*kernel.shape[:-1], kernel.shape[-1] - mean.shape[-1]))
    kernel.assign(ops.concatenate([mean, rest], axis=-1))


def _orthonormal(shape: tuple[int, ...]) -> Any:
    """Return a kernel (..., channels) that is a projection from all its other axes, or from fewer, an isometry."""
    return keras.initializers.Orthogonal()(shape)
