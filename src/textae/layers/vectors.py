"""One vector for a whole sequence, and the sequence again.

Either by one convolution over all positions, and its transpose, as the last and the first convolution of arXiv
1708.04729; or by the mean over the positions, whatever their order.
"""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from textae.layers.linear import Linear


@keras.saving.register_keras_serializable(package="textae")
class SequenceToVector(keras.layers.Layer):
    """(batch, positions, channels) -> (batch, size): one product with all positions.

    A shorter input counts as if it were padded with zeros to `max_positions`, but costs only what it holds.

    Args:
        size: of the vector.
        max_positions: positions of the longest input.
    """

    def __init__(self, size: int, max_positions: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.size, self.max_positions = size, max_positions

    def build(self, input_shape: Any) -> None:
        """Make the kernel (max_positions, channels, size)."""
        deviation = 1 / math.sqrt(input_shape[-1] * self.max_positions / 4)
        self.kernel = self.add_weight(
            shape=(self.max_positions, input_shape[-1], self.size),
            initializer=keras.initializers.RandomNormal(stddev=deviation),
            name="kernel",
        )

    def call(self, inputs: Any) -> Any:
        """Return (batch, size)."""
        positions, channels = ops.shape(inputs)[1], inputs.shape[-1]
        kernel = ops.reshape(self.kernel[:positions], (-1, self.size))
        return ops.matmul(ops.reshape(inputs, (-1, positions * channels)), ops.cast(kernel, inputs.dtype))

    def compute_output_spec(self, inputs: Any) -> Any:
        """Return the shape (batch, size); JAX cannot find it for a number of positions that is not known."""
        return keras.KerasTensor((inputs.shape[0], self.size), dtype=self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        """Return every argument of the constructor."""
        return {**super().get_config(), "size": self.size, "max_positions": self.max_positions}


@keras.saving.register_keras_serializable(package="textae")
class MeanToVector(Linear):
    """(batch, positions, channels) -> (batch, units): the mean over the positions that count, and a product.

    Args:
        units: of the vector.
        kwargs: as for `Linear`.
    """

    def call(self, inputs: Any, counts: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]  # one more
        """Return (batch, units).

        Args:
            inputs: (batch, positions, channels), 0 at padding.
            counts: (batch,) int32, how many positions of each row count.
        """
        total = ops.sum(ops.cast(inputs, "float32"), axis=1)
        mean = total / ops.maximum(ops.cast(counts, "float32"), 1.0)[:, None]
        return super().call(ops.cast(mean, inputs.dtype))


@keras.saving.register_keras_serializable(package="textae")
class VectorToSequence(keras.layers.Layer):
    """(batch, size) -> (batch, positions, channels): the transpose of `SequenceToVector`.

    Args:
        channels: of the output.
        max_positions: positions of the longest output.
    """

    def __init__(self, channels: int, max_positions: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.channels, self.max_positions = channels, max_positions

    def build(self, input_shape: Any) -> None:
        """Make the kernel (max_positions, channels, size)."""
        self.kernel = self.add_weight(
            shape=(self.max_positions, self.channels, input_shape[-1]),
            initializer=keras.initializers.RandomNormal(stddev=1 / math.sqrt(input_shape[-1])),
            name="kernel",
        )

    def assign_transpose(self, kernel: Any) -> None:
        """Make this the transpose of a `SequenceToVector` with that kernel, (max_positions, channels, size)."""
        self.kernel.assign(kernel)

    def call(self, inputs: Any, *, positions: Any) -> Any:
        """Return (batch, positions, channels); only so many positions, an int or a scalar tensor, are computed."""
        kernel = ops.reshape(self.kernel[:positions], (-1, inputs.shape[-1]))
        values = ops.matmul(inputs, ops.transpose(ops.cast(kernel, inputs.dtype)))
        return ops.reshape(values, (-1, positions, self.channels))

    def get_config(self) -> dict[str, Any]:
        """Return every argument of the constructor."""
        return {**super().get_config(), "channels": self.channels, "max_positions": self.max_positions}
