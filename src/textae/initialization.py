"""Where training begins: an encoder that projects, and a decoder that is the encoder's transpose.

With independent random weights a decoder has to learn what the encoder's random numbers mean before anything comes
back, and with one vector for a long text it hardly finds a way to begin. A projection by orthonormal vectors and its
transpose give, for each position, what went in plus the crosstalk of the others: with `m` numbers for `n` tokens the
right token stands sqrt(m / n) standard deviations above a wrong one, whatever the width is. The likelihood ratio of two
normal distributions so far apart is the product times that distance, which gives the logits their scale. All that
training has to do is to make less of the crosstalk. The residual units begin as the identity and do not disturb it.
"""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops


def start_transposed(model: Any) -> None:
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
    rest = ops.zeros((*project.shape[:-1], project.shape[-1] - model.latent_size))
    project.assign(ops.concatenate([mean, rest], axis=-1))
    decoder.project.assign_transpose(mean)
    if model.final_normalize.kind != "none" and model.latent == "chunk":  # vectors end worse with it, docs/study.md
        scale = model.final_normalize.scale
        scale.assign(ops.full(scale.shape, math.sqrt(model.latent_size / model.stride)))
    if model.untied is not None:
        model.untied.embeddings.assign(encoder.embedding.embeddings)


def _orthonormal(shape: tuple[int, ...]) -> Any:
    """Return a kernel (..., channels) that is a projection from all its other axes, or from fewer, an isometry."""
    return keras.initializers.Orthogonal()(shape)
