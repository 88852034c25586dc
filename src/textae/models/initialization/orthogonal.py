"""The orthogonal initialization: an orthonormal encoder, and a decoder that is its transpose.

A projection by orthonormal vectors and its transpose give, for each position, what went in plus the interference of the
other positions: with `m` dimensions for `n` tokens the right token is sqrt(m / n) standard deviations above a wrong
one, whatever the number of channels is. The likelihood ratio of two normal distributions so far apart is the product
times that distance, which gives the logits their scale. Training has only to lower the interference.
"""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from textae.models.autoencoder import Autoencoder


def initialize_orthogonal(model: Autoencoder) -> None:
    """Give a built `Autoencoder` an orthonormal encoder, and a decoder that is its transpose, step by step.

    Upsampling methods that are no transpose of a strided convolution (`resize_nearest`, `resize_linear`, and `subpixel`
    where windows overlap) keep the weights that they have. The log-variance of a variational model begins as 0.
    """
    encoder, decoder = model.encoder, model.decoder
    for down, up in zip(encoder.downsamplers, reversed(decoder.upsamplers), strict=True):
        down.kernel.assign(orthonormal(down.kernel.shape))
        up.assign_transpose(down.kernel)
    project = encoder.bottleneck.project.kernel
    mean = orthonormal((*project.shape[:-1], model.latent_size))
    assign_mean(project, mean)
    if encoder.bottleneck.latent.pooling == "positions":  # the mean over positions has no transpose
        decoder.project.assign_transpose(mean)  # pyright: ignore[reportAttributeAccessIssue]  # `initialize` has checked it
    if model.final_normalize.kind != "none" and model.latent == "sequence":  # vectors end worse with it, docs/study.md
        scale = model.final_normalize.scale
        scale.assign(ops.full(scale.shape, math.sqrt(model.latent_size / model.stride)))
    if model.output_embedding is not None:
        model.output_embedding.set_weights(encoder.embedding.get_weights())


def assign_mean(kernel: keras.Variable, mean: Any) -> None:
    """Put the projection to the mean into the bottleneck's kernel; that to a log-variance becomes 0."""
    rest = ops.zeros((*kernel.shape[:-1], kernel.shape[-1] - mean.shape[-1]))
    kernel.assign(ops.concatenate([mean, rest], axis=-1))


def orthonormal(shape: tuple[int, ...]) -> Any:
    """Return a kernel (..., channels) that is a projection from all its other axes, or from fewer, an isometry."""
    return keras.initializers.Orthogonal()(shape)
