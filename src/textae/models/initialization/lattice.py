"""The lattice initialization: a fixed codeword for each token, and a decoder that finds the nearest.

Few dimensions per token leave more interference than signal to an orthogonal initialization. A decoder that sees
Fourier features begins with codewords instead: `d = m // n` of the `m` dimensions of a latent belong to each of its `n`
tokens and hold the token's codeword, a point of a cube in which codewords lie evenly. The Fourier features of a
codeword are the token's embedding, so the product is highest at the nearest codeword.
"""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from textae.data.special_tokens import END_ID
from textae.layers.fourier import FourierFeatures
from textae.models.autoencoder import Autoencoder
from textae.models.initialization.orthogonal import assign_mean, orthonormal
from textae.models.length_head import FourierLengthHead

_SIDE = 2 * math.sqrt(3)  # of the cube of codewords, whose dimensions then have a mean square of 1
_BOUNDED_SIDE = 1.9  # the same where latents are bounded by tanh
_END_MARGIN = 16.0  # logits between the end, the score of no end, and what looks most like the end; log(1024) is 7
_DRAWS = 64  # sets of frequencies among which a vector's is chosen
_SHARPNESS = 1.5  # deviation of the frequencies, times the distance between neighbouring codewords


def initialize_lattice(model: Autoencoder) -> None:
    """Give a built `Autoencoder` an encoder that writes each token's codeword, and a decoder that finds it again.

    Embeddings hold the codeword and its Fourier features, both halves hand them on unchanged, and what room is left
    carries orthonormal projections of the rest. Upsampling methods that are no transpose of a strided convolution keep
    their weights. There has to be room for it: `textae.config.schema.ModelConfig.require_codewords`.
    """
    encoder = model.encoder
    tokens = model.stride if model.latent == "sequence" else model.max_length
    dimensions = model.latent_size // tokens
    channels = [encoder.embedding.output_dim, *(down.filters for down in encoder.downsamplers)]
    covered = np.cumprod([1, *(down.stride for down in encoder.downsamplers)]).tolist()  # tokens of a step
    count = min((width - (dimensions if i == 0 else 0)) // (2 * covered[i]) for i, width in enumerate(channels))

    frequencies = _assign_codewords(model, dimensions, count)
    for i, down in enumerate(encoder.downsamplers):
        down.kernel.assign(_passing_kernel(down.kernel.shape, covered[i] * dimensions, down.stride))
    positions = tokens // model.stride
    mean = _passing_kernel((positions, channels[-1], model.latent_size), model.stride * dimensions, positions)
    assign_mean(encoder.bottleneck.project.kernel, mean if model.latent == "vector" else mean[0])
    kernel = _codeword_kernel(frequencies, (positions, channels[-1] // 2, model.latent_size), model.stride)
    project = model.decoder.project
    if isinstance(project, FourierFeatures):
        project.frequencies.assign_transpose(kernel if model.latent == "vector" else kernel[0])

    cosines = np.arange(model.stride * count).reshape(model.stride, count)
    if isinstance(model.decoder.length_head, FourierLengthHead):
        _find_the_end(model, model.decoder.length_head, dimensions, cosines)
    _pass_on_features(model, channels, dimensions, np.concatenate([cosines, channels[-1] // 2 + cosines], axis=1))


def _pass_on_features(model: Autoencoder, channels: list[int], dimensions: int, above: np.ndarray) -> None:
    """Let each upsampler hand on the Fourier features of its positions.

    `above` (positions, 2 * frequencies) is which channels hold the features of each position of a step, in the level
    that an upsampler reads; it becomes what the upsampler writes, the next one's `above`.
    """
    features = above.shape[1]
    for up, width in zip(model.decoder.upsamplers, channels[:0:-1], strict=True):
        count = len(above) // up.stride
        below = np.arange(count * features).reshape(count, features) + (dimensions if count == 1 else 0)
        kernel = np.zeros((up.kernel_size, up.filters, width), np.float32)
        for step, rows in enumerate(above.reshape(up.stride, count, features)):
            kernel[(up.kernel_size - up.stride) // 2 + step, below, rows] = 1
        up.assign_transpose(kernel)
        above = below


def evenly_spaced(count: int, dimensions: int) -> np.ndarray:
    """Return (count, dimensions) float32: points that fill a cube of side 1 around 0 evenly, as do the first of them.

    Steps by powers of the generalized golden ratio, the root of x^(dimensions + 1) = x + 1 (M. Roberts, "The
    unreasonable effectiveness of quasirandom sequences", 2018).
    """
    root = 2.0
    for _ in range(64):
        root = (1 + root) ** (1 / (dimensions + 1))
    steps = root ** -np.arange(1.0, dimensions + 1)
    return (np.arange(1, count + 1)[:, None] * steps % 1 - 0.5).astype(np.float32)


def _assign_codewords(model: Autoencoder, dimensions: int, count: int) -> np.ndarray:
    """Put codewords and their Fourier features into the embeddings; return the frequencies, (dimensions, count)."""
    embeddings: Any = model.encoder.embedding.embeddings
    table = np.array(ops.convert_to_numpy(embeddings))
    bounded = model.encoder.bottleneck.latent.normalization == "tanh"
    side = _BOUNDED_SIDE if bounded else _SIDE
    spacing = side * len(table) ** (-1 / dimensions)
    codewords = side * evenly_spaced(len(table), dimensions)
    drawn = [_normal((dimensions, count), _SHARPNESS / spacing) for _ in range(_draws(model))]
    frequencies = min(drawn, key=lambda one: _likeness_to_end(_features(codewords @ one)))  # few: not every set will do
    table[:, :dimensions] = np.arctanh(codewords) if bounded else codewords
    table[:, :dimensions] /= math.sqrt(table.shape[1])  # the encoder takes embeddings times this root
    table[:, dimensions : dimensions + 2 * count] = _features(codewords @ frequencies)
    embeddings.assign(table)
    if model.output_embedding is not None:
        model.output_embedding.set_weights([table])
    return frequencies


def _draws(model: Autoencoder) -> int:
    """Return how many sets of frequencies there are to choose from: the end of a vector's text has to be found."""
    return 1 if model.decoder.length_head is None else _DRAWS


def _normal(shape: tuple[int, ...], deviation: float) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(keras.initializers.RandomNormal(stddev=deviation)(shape)))


def _features(angles: np.ndarray) -> np.ndarray:
    """Return (tokens, 2 * frequencies): cosines and sines, each row of length 1."""
    return np.concatenate([np.cos(angles), np.sin(angles)], axis=1) / math.sqrt(angles.shape[1])


def _likeness_to_end(features: np.ndarray) -> float:
    """Return how much the most similar token's features are like the end's, 1 if they are the same."""
    return float(np.delete(features @ features[END_ID], END_ID).max())


def _passing_kernel(shape: tuple[int, ...], held: int, stride: int) -> np.ndarray:
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
        kernel[others, stride * held :] = ops.convert_to_numpy(orthonormal((int(others.sum()), rest)))
    return kernel


def _codeword_kernel(frequencies: np.ndarray, shape: tuple[int, int, int], stride: int) -> np.ndarray:
    """Return a kernel (positions, rows, size) to the angles of each token's codeword; other rows have low frequencies.

    `frequencies` are (dimensions, count), and `stride` is the tokens of a latent position.
    """
    dimensions, count = frequencies.shape
    positions, rows, size = shape
    kernel = np.zeros(shape, np.float32)
    kernel[:, stride * count :] = _normal((positions, rows - stride * count, size), 1 / math.sqrt(size))
    for token in range(positions * stride):
        position, within = divmod(token, stride)
        own, columns = within * count + np.arange(count), token * dimensions + np.arange(dimensions)
        kernel[position, own[:, None], columns[None]] = frequencies.T
    return kernel


def _find_the_end(model: Autoencoder, head: FourierLengthHead, dimensions: int, cosines: np.ndarray) -> None:
    """Let the length head look for the features of the end's codeword; `cosines` (stride, count) are their channels.

    Up to `max_length` tokens add up against one end, so it has to score well above any that its features resemble.
    """
    count = cosines.shape[1]
    table = np.array(ops.convert_to_numpy(model.encoder.embedding.embeddings))[:, dimensions : dimensions + 2 * count]
    end, likeness = table[END_ID], _likeness_to_end(table)
    scale = 2 * _END_MARGIN / (1 - likeness)
    kernel = np.zeros(head.linear.kernel.shape, np.float32)
    for token, channels in enumerate(cosines):
        kernel[channels, token], kernel[len(kernel) // 2 + channels, token] = end[:count], end[count:]
    head.linear.kernel.assign(scale / math.sqrt(2 * count) * kernel)
    head.no_end.assign(scale * (1 + likeness) / 2)
