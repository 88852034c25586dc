"""Encoder states to latents: projection, bounding, and in training noise and dropout."""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
from keras import ops

from textae.layers import row_random
from textae.layers.latents import bounded
from textae.layers.linear import Linear
from textae.layers.seeds import Seed, seed_generator
from textae.layers.vectors import MeanToVector, SequenceToVector
from textae.models.specification import LatentSpec

LOG_VARIANCES = (-12.0, 6.0)  # the least and the greatest log-variance of a posterior


class Posterior(NamedTuple):
    """The normal distribution of a variational model's latents, each array of their shape, float32."""

    mean: Any
    log_variance: Any

    @property
    def kl(self) -> Any:
        """The divergence in nats of each dimension from N(0, 1)."""
        return 0.5 * (ops.square(self.mean) + ops.exp(self.log_variance) - 1 - self.log_variance)


@keras.saving.register_keras_serializable(package="textae")
class Bottleneck(keras.layers.Layer):
    """States (batch, positions, channels) -> latents (batch, positions, size) or, of kind "vector", (batch, size).

    Variational (Kingma and Welling, arXiv 1312.6114): mean and log-variance, sampled in training; the mean otherwise.

    Args:
        latent: a `LatentSpec`, or its `to_config`.
        max_positions: latent positions of the longest text, for one vector per text.
        seed: of noise, dropout and sampling: an int, a `keras.random.SeedGenerator` that may be shared, or None.
    """

    def __init__(self, latent: Any, max_positions: int | None = None, seed: Seed = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.latent, self.max_positions = LatentSpec.get(latent), max_positions
        self.seed = seed_generator(seed) if seed is not None or self._draws else None
        self.project = self._projection(2 * self.latent.size if self.latent.variational else self.latent.size)

    def _projection(self, outputs: int) -> Linear | SequenceToVector | MeanToVector:
        common = {"name": "project", "dtype": self.dtype_policy}
        if self.max_positions is None:
            return Linear(outputs, **common)
        if self.latent.pooling == "mean":
            return MeanToVector(outputs, **common)
        return SequenceToVector(outputs, self.max_positions, **common)

    @property
    def _draws(self) -> bool:
        return bool(self.latent.variational or self.latent.noise or self.latent.dropout)

    def build(self, input_shape: Any) -> None:
        """Build the projection."""
        self.project.build(input_shape)

    def call(self, states: Any, counts: Any = None, training: bool = False) -> tuple[Any, Posterior | None]:
        """Return the latents in float32, and the posterior of a variational model or None.

        `counts` (batch,) are each text's own positions, for the mean over them; states beyond them are 0.
        """
        projected = self.project(states, counts) if isinstance(self.project, MeanToVector) else self.project(states)
        latent, posterior, deviation = ops.cast(projected, "float32"), None, None
        if self.latent.variational:
            latent, log_variance = ops.split(latent, 2, axis=-1)
            posterior = Posterior(latent, ops.clip(log_variance, *LOG_VARIANCES))
            deviation = ops.exp(0.5 * posterior.log_variance) if training else None
        latent = bounded(latent, self.latent.normalization)
        return self._with_noise(latent, deviation) if training else latent, posterior

    def _with_noise(self, latent: Any, deviation: Any) -> Any:
        """Return what is decoded in training; `deviation` is that of a variational model's latents."""
        if deviation is not None:
            latent = latent + deviation * self._normal(latent)
        if self.latent.noise:
            latent = latent + self.latent.noise * self._normal(latent)
        if self.latent.dropout:
            latent = row_random.dropout(latent, self.latent.dropout, seed=self.seed)
        return latent

    def _normal(self, like: Any) -> Any:
        return row_random.normal(ops.shape(like), seed=self.seed)

    def get_config(self) -> dict[str, Any]:
        """Return every argument of the constructor."""
        return {
            **super().get_config(),
            "latent": self.latent.to_config(),
            "max_positions": self.max_positions,
            "seed": self.seed and self.seed.get_config()["seed"],
        }
