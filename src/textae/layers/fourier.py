"""Fourier features of a latent, for a decoder that has to tell apart what lies close together."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from textae.layers.linear import Linear
from textae.layers.vectors import VectorToSequence


@keras.saving.register_keras_serializable(package="textae")
class FourierFeatures(keras.layers.Layer):
    """(..., size) -> (..., 2 * num_frequencies): cosines, then sines, of projections of the input; of mean square 1.

    A network of few inputs has trouble to tell apart inputs that lie close together; features of high frequency tell
    them apart. Random Fourier features: Rahimi and Recht, NIPS 2007; in front of a network: Tancik et al., arXiv
    2006.10739. The projection is float32 in any case: 16 bits are not enough for the high frequencies.

    Args:
        num_frequencies: half of the channels of the output.
        max_positions: with it the input is a vector (batch, size), and the output a sequence (batch, positions,
            channels) of at most so many positions: the projection is a `VectorToSequence`. None: a `Linear`.
        frequencies_initializer: of the kernel of the `Linear`; a `VectorToSequence` has its own.
    """

    def __init__(
        self,
        num_frequencies: int,
        max_positions: int | None = None,
        frequencies_initializer: Any = "random_normal",
        **kwargs: Any,
    ) -> None:
        super().__init__(autocast=False, **kwargs)
        self.num_frequencies, self.max_positions = num_frequencies, max_positions
        self.frequencies_initializer = keras.initializers.get(frequencies_initializer)
        common: dict[str, Any] = {"name": "frequencies", "dtype": "float32"}
        self.frequencies: Linear | VectorToSequence = (
            Linear(num_frequencies, self.frequencies_initializer, **common)
            if max_positions is None
            else VectorToSequence(num_frequencies, max_positions, **common)
        )

    def build(self, input_shape: Any) -> None:
        """Build the projection."""
        self.frequencies.build(input_shape)

    def call(self, inputs: Any, **positions: Any) -> Any:
        """Return the features; `positions` is that of `VectorToSequence`."""
        angles = self.frequencies(inputs, **positions)
        features = ops.concatenate([ops.cos(angles), ops.sin(angles)], axis=-1)
        return ops.cast(math.sqrt(2) * features, self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        """Return every argument of the constructor."""
        return {
            **super().get_config(),
            "num_frequencies": self.num_frequencies,
            "max_positions": self.max_positions,
            "frequencies_initializer": keras.initializers.serialize(self.frequencies_initializer),
        }
