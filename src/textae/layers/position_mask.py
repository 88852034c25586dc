"""Which positions of a padded sequence are a text's own, at each level of a model."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="textae")
class PositionMask(keras.layers.Layer):
    """Lengths (batch,) and values (batch, positions, channels) -> (batch, positions, 1): 1 at own positions, 0 at
    padding, in the values' type.

    Args:
        downsampling: how many of what the lengths count share a position.
        upsampling: how many positions each of those has.
    """

    def __init__(self, downsampling: int = 1, upsampling: int = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.downsampling, self.upsampling = downsampling, upsampling
        self.built = True  # there are no weights

    def call(self, lengths: Any, values: Any, tokens: Any = None) -> Any:
        """Return the mask.

        Args:
            lengths: (batch,) int32, counted in tokens or in latent positions.
            values: (batch, positions, channels); its number of positions and its type are read.
            tokens: (batch, positions) int32 ids; positions of id 0 are masked as well. None: none is.
        """
        counts = (lengths + (self.downsampling - 1)) // self.downsampling * self.upsampling
        own = ops.arange(ops.shape(values)[1], dtype="int32")[None, :] < counts[:, None]
        mask = ops.cast(own[:, :, None], values.dtype)
        return mask if tokens is None else mask * ops.cast(ops.not_equal(tokens, 0), values.dtype)[:, :, None]

    def compute_output_spec(self, lengths: Any, values: Any, tokens: Any = None) -> Any:
        """Return the shape (batch, positions, 1) and the type."""
        return keras.KerasTensor((*values.shape[:2], 1), dtype=values.dtype)

    def get_config(self) -> dict[str, Any]:
        """Return every argument of the constructor."""
        return {**super().get_config(), "downsampling": self.downsampling, "upsampling": self.upsampling}
