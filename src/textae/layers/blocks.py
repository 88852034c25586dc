"""What the model is built of between its strides: products, normalization, residual blocks, and one vector for all.

Shapes are (batch, length, channels).
"""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from textae.layers.convolution import convolve, product
from textae.layers.kernels import KernelLayer


@keras.saving.register_keras_serializable(package="textae")
class Linear(KernelLayer):
    """(..., channels) -> (..., units): one product and a bias."""

    def __init__(self, units: int, kernel_initializer: Any = "glorot_uniform", **kwargs: Any) -> None:
        super().__init__(kernel_initializer=kernel_initializer, **kwargs)
        self.units = units

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Add kernel and bias."""
        self.kernel = self.add_kernel((shape[-1], self.units))
        self.bias = self.add_bias(self.units)

    def call(self, inputs: Any) -> Any:
        """Return (..., units)."""
        values = product(inputs, ops.convert_to_tensor(self.kernel, dtype=self.compute_dtype))
        if self.bias is None:
            return values
        return values + ops.convert_to_tensor(self.bias, dtype=self.compute_dtype)

    def assign_transpose(self, kernel: Any) -> None:
        """Make this the transpose of a `Linear` with that kernel, (units, channels)."""
        self.kernel.assign(ops.transpose(kernel))

    def get_config(self) -> dict[str, Any]:
        """Return every argument of the constructor."""
        return {**super().get_config(), "units": self.units}


@keras.saving.register_keras_serializable(package="textae")
class SameConv1D(KernelLayer):
    """`Conv1D(filters, kernel_size, padding="same")`, in the way that is fast on the backend."""

    def __init__(self, filters: int, kernel_size: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.filters, self.kernel_size = filters, kernel_size

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Add kernel (kernel_size, channels, filters) and bias."""
        self.kernel = self.add_kernel((self.kernel_size, shape[-1], self.filters))
        self.bias = self.add_bias(self.filters)

    def call(self, inputs: Any) -> Any:
        """Return (batch, length, filters)."""
        values = convolve(inputs, ops.convert_to_tensor(self.kernel, dtype=self.compute_dtype))
        if self.bias is None:
            return values
        return values + ops.convert_to_tensor(self.bias, dtype=self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        """Return every argument of the constructor."""
        return {**super().get_config(), "filters": self.filters, "kernel_size": self.kernel_size}


@keras.saving.register_keras_serializable(package="textae")
class TokenEmbedding(keras.layers.Embedding):
    """Ids (batch, length) -> (batch, length, output_dim), with a dense gradient.

    TensorFlow's own gradient of a lookup is a list of rows. Where the table is the output layer's too, that layer's
    would be made a list of rows as well, both be joined, and the whole added up row by row.
    """

    def call(self, inputs: Any) -> Any:
        """Return the ids' rows of the table, in the compute type."""
        if keras.backend.backend() != "tensorflow":
            return super().call(inputs)
        import tensorflow as tf

        @tf.custom_gradient
        def lookup(table: Any) -> Any:
            def backward(upstream: Any) -> Any:
                rows = tf.reshape(upstream, (-1, self.output_dim))
                return tf.math.unsorted_segment_sum(rows, tf.reshape(inputs, (-1,)), self.input_dim)

            return tf.gather(table, inputs), backward

        return ops.cast(lookup(tf.convert_to_tensor(self.embeddings.value)), self.compute_dtype)


class Normalize(keras.layers.Layer):
    """Root-mean-square or layer normalization over channels, or nothing; sums in float32.

    RMS: Zhang and Sennrich, arXiv 1910.07467.
    """

    def __init__(self, kind: str = "rms", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.kind = kind

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Add the scale."""
        if self.kind != "none":
            self.scale = self.add_weight(shape=(shape[-1],), initializer="ones", name="scale")

    def call(self, inputs: Any) -> Any:
        """Return the normalized inputs, (batch, length, channels)."""
        if self.kind == "none":
            return inputs
        values = ops.cast(inputs, "float32")
        if self.kind == "layer":
            values = values - ops.mean(values, axis=-1, keepdims=True)
        values = values * ops.rsqrt(ops.mean(ops.square(values), axis=-1, keepdims=True) + 1e-6)
        return ops.cast(values, inputs.dtype) * ops.cast(self.scale, inputs.dtype)


class ResidualBlock(keras.layers.Layer):
    """inputs + Conv1D(gelu(Conv1D(normalize(inputs)))); starts as the identity, so depth costs nothing early.

    Args:
        kernel_size: of the first convolution; the second has 1.
        expansion: channels between the two, as a multiple of the channels outside.
    """

    def __init__(
        self,
        kernel_size: int,
        expansion: float,
        normalization: str,
        dropout: float = 0.0,
        seed: Any = None,
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        self.kernel_size, self.expansion = kernel_size, expansion
        self.normalize = Normalize(normalization, name="normalize", dtype=self.dtype_policy)
        self.dropout, self.seed = dropout, seed

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Build both convolutions."""
        channels = shape[-1]
        inner = max(int(channels * self.expansion), 1)
        self.widen = SameConv1D(inner, self.kernel_size, name="widen", dtype=self.dtype_policy)
        self.narrow = Linear(channels, "zeros", name="narrow", dtype=self.dtype_policy)
        self.normalize.build(shape)
        self.widen.build(shape)
        self.narrow.build((*shape[:-1], inner))

    def call(self, inputs: Any, real: Any, training: bool = False) -> Any:
        """Return (batch, length, channels); `real` (batch, length, 1) is 0 at padding and keeps it so."""
        values = self.widen(self.normalize(inputs) * real)
        values = self.narrow(keras.activations.gelu(values, approximate=True))
        if training and self.dropout:
            values = keras.random.dropout(values, self.dropout, seed=self.seed)
        return inputs + values * real


class Level(keras.layers.Layer):
    """Some residual blocks at one resolution."""

    def __init__(self, residual_blocks: list[ResidualBlock], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.residual_blocks = residual_blocks

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Build the residual blocks."""
        for block in self.residual_blocks:
            block.build(shape)

    def call(self, inputs: Any, real: Any, training: bool = False) -> Any:
        """Return (batch, length, channels) of the same shape."""
        for block in self.residual_blocks:
            inputs = block(inputs, real, training=training)
        return inputs


class Collapse(keras.layers.Layer):
    """(batch, blocks, channels) -> (batch, size): one convolution over the whole rest, as in arXiv 1708.04729.

    Shorter inputs count as if padded with zeros to `max_blocks`, but cost only what they hold.
    """

    def __init__(self, size: int, max_blocks: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.size, self.max_blocks = size, max_blocks

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Add the kernel."""
        deviation = 1 / math.sqrt(shape[-1] * self.max_blocks / 4)
        self.kernel = self.add_weight(
            shape=(self.max_blocks, shape[-1], self.size),
            initializer=keras.initializers.RandomNormal(stddev=deviation),
            name="kernel",
        )

    def call(self, inputs: Any) -> Any:
        """Return (batch, size)."""
        blocks, channels = ops.shape(inputs)[1], inputs.shape[-1]
        kernel = ops.reshape(self.kernel[:blocks], (-1, self.size))
        return ops.matmul(ops.reshape(inputs, (-1, blocks * channels)), ops.cast(kernel, inputs.dtype))


class Expand(keras.layers.Layer):
    """(batch, size) -> (batch, blocks, channels): the transpose of `Collapse`, computed for `blocks` only."""

    def __init__(self, channels: int, max_blocks: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.channels, self.max_blocks = channels, max_blocks

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Add the kernel."""
        self.kernel = self.add_weight(
            shape=(self.max_blocks, self.channels, shape[-1]),
            initializer=keras.initializers.RandomNormal(stddev=1 / math.sqrt(shape[-1])),
            name="kernel",
        )

    def assign_transpose(self, kernel: Any) -> None:
        """Make this the transpose of a `Collapse` with that kernel, (max_blocks, channels, size)."""
        self.kernel.assign(kernel)

    def call(self, inputs: Any, *, blocks: Any) -> Any:
        """Return (batch, blocks, channels)."""
        kernel = ops.reshape(self.kernel[:blocks], (-1, inputs.shape[-1]))
        values = ops.matmul(inputs, ops.transpose(ops.cast(kernel, inputs.dtype)))
        return ops.reshape(values, (-1, blocks, self.channels))


class Fourier(keras.layers.Layer):
    """(..., size) -> (..., 2 * angles): cosines, then sines, of what a layer makes of the inputs; of mean square 1.

    A network has trouble to tell apart what lies close together in few numbers; waves of high frequency do it.
    Random Fourier features: Rahimi and Recht, NIPS 2007; in front of a network: Tancik et al., arXiv 2006.10739.

    Args:
        angles: a `Linear` or an `Expand` in float32: 16 bits of a latent are not enough for the high frequencies.
    """

    def __init__(self, angles: keras.layers.Layer, **kwargs: Any) -> None:
        super().__init__(autocast=False, **kwargs)
        self.angles = angles

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Build the projection."""
        self.angles.build(shape)

    def call(self, inputs: Any, **blocks: Any) -> Any:
        """Return the waves; `blocks` is that of an `Expand`."""
        angles = self.angles(inputs, **blocks)
        waves = ops.concatenate([ops.cos(angles), ops.sin(angles)], axis=-1)
        return ops.cast(math.sqrt(2) * waves, self.compute_dtype)
