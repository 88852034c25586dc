"""From a projection to latents, as they are after training: the mean of a posterior, bounded."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

BOUNDS = ("none", "rms", "tanh")


def bounded(latents: Any, normalization: str) -> Any:
    """Return latents (..., size) with a mean square of 1 ("rms"), within -1 and 1 ("tanh"), or as they are ("none")."""
    if normalization == "rms":
        return latents * ops.rsqrt(ops.mean(ops.square(latents), axis=-1, keepdims=True) + 1e-6)
    return ops.tanh(latents) if normalization == "tanh" else latents


@keras.saving.register_keras_serializable(package="textae")
class LatentMean(keras.layers.Layer):
    """Projections (..., size) or, of a posterior's mean and log-variance, (..., 2 * size) -> latents (..., size),
    float32.

    Args:
        size: dimensions of a latent.
        normalization: "none", "rms" or "tanh"; see `bounded`.

    Raises:
        ValueError: another normalization.
    """

    def __init__(self, size: int, normalization: str = "none", dtype: Any = "float32", **kwargs: Any) -> None:
        super().__init__(dtype=dtype, **kwargs)
        if normalization not in BOUNDS:
            raise ValueError(f"normalization must be one of {', '.join(BOUNDS)}; received {normalization!r}")
        self.size, self.normalization = size, normalization

    def call(self, inputs: Any) -> Any:
        """Return the latents."""
        return bounded(ops.cast(inputs, "float32")[..., : self.size], self.normalization)

    def get_config(self) -> dict[str, Any]:
        """Return every argument of the constructor."""
        return {**super().get_config(), "size": self.size, "normalization": self.normalization}
