"""The orthogonal initialization: an orthonormal encoder, and a decoder that is its transpose.

A projection by orthonormal vectors and its transpose give, for each position, what went in plus the interference of the
other positions: with `m` dimensions for `n` tokens the right token is sqrt(m / n) standard deviations above a wrong
one, whatever the number of channels is. The likelihood ratio of two normal distributions so far apart is the product
times that distance, which gives the logits their scale: with noise on the latents, divided by its variance. Training
has only to lower the interference.

In a sequence, each token of a latent position has dimensions of its own, as many as any other. So there is no
interference between tokens, and noise on the latents makes fewer tokens wrong, the more so the fewer dimensions there
are. The embeddings are given projections of equal length, since a product finds the nearest of several vectors only
where these are equally long: with 12 dimensions for a token, every untrained product is right instead of a third. The
projections may also be codewords that are learnt for the noise (`textae.models.initialization.codebook`). A vector has
no such shares: a text of any length may use all of its dimensions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from textae.layers.linear import Linear
from textae.models.autoencoder import Autoencoder
from textae.models.bottleneck import LOG_VARIANCES
from textae.models.initialization.codebook import learnt_codewords

SWEEPS = 20  # over the tokens of a latent position, until the projections of an embedding are equally long
HIGHEST_LOG_VARIANCE = -0.01  # with a target rate: the signal has some variance
LOG_VARIANCE = -2.0  # of posteriors before training: 1.4 bits a dimension, where the means have a variance of 1


def initialize_orthogonal(
    model: Autoencoder, counts: np.ndarray | None = None, target_rate: float | None = None
) -> None:
    """Give a built `Autoencoder` an orthonormal encoder, and a decoder that is its transpose, step by step.

    Upsampling methods that are no transpose of a strided convolution (`resize_nearest`, `resize_linear`, and `subpixel`
    where windows overlap) keep the weights that they have. The log-variances of a variational model's sequences begin
    as `LOG_VARIANCE`, or so that the rate is the target; those of vectors begin as 0.

    Args:
        model: built.
        counts: (vocabulary,), how often each token occurs, for codewords that are learnt for the latents' noise; None:
            random codewords.
        target_rate: bits per token of a variational model's sequences; None: as `LOG_VARIANCE` makes it.

    Raises:
        ValueError: the tokens of a latent position have no dimensions of their own, which learnt codewords need.
    """
    encoder, decoder = model.encoder, model.decoder
    kernels = [down.kernel.shape for down in encoder.downsamplers]
    project = encoder.bottleneck.project
    shape = (*project.kernel.shape[:-1], model.latent_size)
    noise = Noise.of(model, target_rate)
    if _has_shares(model):
        *down_kernels, mean = separate([*kernels, (1, *shape)])
        embeddings: Any = encoder.embedding.embeddings
        projections = projections_of_tokens([*down_kernels, mean])
        rows = with_even_projections(ops.convert_to_numpy(embeddings), projections)
        if counts is not None:
            rows = _with_codebooks(rows, projections, noise.ratio, counts, model.seed)
        embeddings.assign(rows)
        mean = mean[0] * math.sqrt(noise.signal)
    else:
        if counts is not None:
            raise ValueError(
                "initialization: expected kernel_factor 1 and, of each level, at least as many channels as tokens with "
                f"codebook, received {model.specifications[0]}"
            )
        *down_kernels, mean = [orthonormal(each) for each in (*kernels, shape)]
    for kernel, down, up in zip(down_kernels, encoder.downsamplers, reversed(decoder.upsamplers), strict=True):
        down.kernel.assign(kernel)
        up.assign_transpose(down.kernel)
    assign_mean(project.kernel, mean)
    if model.variational and isinstance(project, Linear) and project.bias is not None:
        size = model.latent_size
        project.bias.assign(ops.concatenate([ops.zeros(size), ops.full((size,), noise.log_variance)]))
    if encoder.bottleneck.latent.pooling == "positions":  # the mean over positions has no transpose
        decoder.project.assign_transpose(mean)  # pyright: ignore[reportAttributeAccessIssue]  # `initialize` has checked it
    if model.final_normalize.kind != "none" and model.latent == "sequence":  # vectors end worse with it, docs/study.md
        scale = model.final_normalize.scale
        scale.assign(ops.full(scale.shape, math.sqrt(model.latent_size / model.stride) * noise.likelihood_ratio))
    if model.output_embedding is not None:
        model.output_embedding.set_weights(encoder.embedding.get_weights())


class Noise(NamedTuple):
    """The noise that latents begin with in training.

    `signal` is the mean square of latents without noise, `ratio` the noise's variance as a multiple of it, and
    `log_variance` that of posteriors.
    """

    signal: float
    ratio: float
    log_variance: float

    @classmethod
    def of(cls, model: Autoencoder, target_rate: float | None = None) -> Noise:
        """Return the noise of a model.

        With a target rate latents and posteriors have a variance of 1 together, as the prior has. The divergence of a
        dimension is then half the negative log-variance.
        """
        latent, log_variance, signal = model.specifications[1], LOG_VARIANCE, 1.0
        if target_rate is not None and latent.variational:
            log_variance = -2 * math.log(2) * target_rate * model.stride / model.latent_size
            log_variance = min(max(log_variance, LOG_VARIANCES[0]), HIGHEST_LOG_VARIANCE)
            signal = 1 - math.exp(log_variance)
        drawn = math.exp(log_variance) if latent.variational else 0.0
        return cls(signal, (latent.noise**2 + drawn) / signal, log_variance)

    @property
    def likelihood_ratio(self) -> float:
        """What the product of a codeword and what is received has to be multiplied by, both with a mean square of 1.

        For two normal distributions it is the product over the variance, of a signal with a mean square of 1. Without
        noise it is 1.
        """
        return math.sqrt(1 + self.ratio) / self.ratio if self.ratio else 1.0


def _has_shares(model: Autoencoder) -> bool:
    """Return whether each token of a latent position can have channels and dimensions of its own."""
    backbone = model.specifications[0]
    channels, tokens = [*backbone.channels[1:], model.latent_size], 1
    for stride, width in zip([*backbone.strides, 1], channels, strict=True):
        tokens *= stride
        if width < tokens:
            return False
    return model.latent == "sequence" and backbone.kernel_factor == 1


def separate(shapes: Sequence[tuple[int, ...]]) -> list[np.ndarray]:
    """Return kernels (taps, channels, filters) that are applied one after the other and keep tokens apart.

    The channels are divided evenly among the tokens of a position. Each tap projects a token's channels to those that
    the token has in the next level, by orthonormal vectors.
    """
    kernels, shares = [], [np.arange(shapes[0][1])]
    for taps, channels, filters in shapes:
        kernel = np.zeros((taps, channels, filters), np.float32)
        shares_above = np.array_split(np.arange(filters), taps * len(shares))
        for number, above in enumerate(shares_above):
            tap, token = divmod(number, len(shares))
            below = shares[token]
            kernel[tap, below[:, None], above] = ops.convert_to_numpy(orthonormal((len(below), len(above))))
        kernels.append(kernel)
        shares = shares_above
    return kernels


def projections_of_tokens(kernels: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return what `separate` kernels do with each token of a position: matrices (channels, dimensions of the token)."""
    paths = [np.eye(kernels[0].shape[1], dtype=np.float32)]
    for kernel in kernels:
        paths = [path @ tap for tap in kernel for path in paths]
    return [path[:, np.abs(path).sum(axis=0) > 0] for path in paths]


def with_even_projections(rows: np.ndarray, projections: Sequence[np.ndarray]) -> np.ndarray:
    """Return rows (count, channels), changed as little as makes the lengths of their projections equal.

    A row of an expected length of 1 has a projection of the square root of its share of the channels. Where the
    projections have more dimensions in all than there are channels, they are nearly equal.

    Args:
        rows: embeddings.
        projections: matrices (channels, dimensions) with orthonormal columns.
    """
    rows = rows.copy()
    for _ in range(SWEEPS):
        for projection in projections:
            inside = rows @ projection
            length = math.sqrt(projection.shape[1] / len(projection))
            found = np.linalg.norm(inside, axis=1, keepdims=True)
            rows += inside * (length / np.maximum(found, 1e-12) - 1) @ projection.T
    return rows


def _with_codebooks(
    rows: np.ndarray, projections: Sequence[np.ndarray], variance: float, counts: np.ndarray, seed: int
) -> np.ndarray:
    """Return embeddings whose projections are codewords that are learnt: of one codebook for each size."""
    codebooks: dict[int, np.ndarray] = {}
    for projection in projections:
        size = projection.shape[1]
        if size not in codebooks:
            codebooks[size] = learnt_codewords(rows @ projection, variance, counts, seed)
    targets = [codebooks[projection.shape[1]] / math.sqrt(rows.shape[1]) for projection in projections]
    return with_projections(rows, projections, targets)


def with_projections(rows: np.ndarray, projections: Sequence[np.ndarray], targets: Sequence[np.ndarray]) -> np.ndarray:
    """Return rows (count, channels), changed as little as gives them these projections.

    Where the projections have more dimensions in all than there are channels, they come as near as they can.

    Args:
        rows: embeddings.
        projections: matrices (channels, dimensions).
        targets: (count, dimensions) of each of them.
    """
    together = np.concatenate(projections, axis=1)
    missing = np.concatenate(targets, axis=1) - rows @ together
    return (rows + missing @ np.linalg.pinv(together)).astype(np.float32)


def assign_mean(kernel: keras.Variable, mean: Any) -> None:
    """Put the projection to the mean into the bottleneck's kernel; that to a log-variance becomes 0."""
    rest = ops.zeros((*kernel.shape[:-1], kernel.shape[-1] - mean.shape[-1]))
    kernel.assign(ops.concatenate([mean, rest], axis=-1))


def orthonormal(shape: tuple[int, ...]) -> Any:
    """Return a kernel (..., channels) that is a projection from all its other axes, or from fewer, an isometry."""
    return keras.initializers.Orthogonal()(shape)
