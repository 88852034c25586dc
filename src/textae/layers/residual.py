"""Residual blocks, and the levels that they form: what the model holds between its strides.

Shapes are (batch, length, channels).
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from textae.layers import row_random
from textae.layers.linear import Linear, SameConv1D
from textae.layers.seeds import Seed, seed_generator

NORMALIZATIONS = ("rms", "layer", "none")


@keras.saving.register_keras_serializable(package="textae")
class Normalize(keras.layers.Layer):
    """Root-mean-square or layer normalization over channels, or none; sums are in float32.

    RMS: Zhang and Sennrich, arXiv 1910.07467. The difference from Keras's layers: there is one class for a setting of
    three values, no offset, and under mixed precision the scale multiplies in the compute type.

    Args:
        kind: "rms", "layer" or "none".

    Raises:
        ValueError: another kind.
    """

    def __init__(self, kind: str = "rms", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if kind not in NORMALIZATIONS:
            raise ValueError(f"kind must be one of {', '.join(NORMALIZATIONS)}; received {kind!r}")
        self.kind = kind

    def build(self, input_shape: Any) -> None:
        """Make the scale (channels,)."""
        if self.kind != "none":
            self.scale = self.add_weight(shape=(input_shape[-1],), initializer="ones", name="scale")

    def call(self, inputs: Any) -> Any:
        """Return the normalized inputs, (batch, length, channels)."""
        if self.kind == "none":
            return inputs
        values = ops.cast(inputs, "float32")
        if self.kind == "layer":
            values = values - ops.mean(values, axis=-1, keepdims=True)
        values = values * ops.rsqrt(ops.mean(ops.square(values), axis=-1, keepdims=True) + 1e-6)
        return ops.cast(values, inputs.dtype) * ops.cast(self.scale, inputs.dtype)

    def get_config(self) -> dict[str, Any]:
        """Return every argument of the constructor."""
        return {**super().get_config(), "kind": self.kind}


@keras.saving.register_keras_serializable(package="textae")
class ResidualBlock(keras.layers.Layer):
    """inputs + Linear(gelu(Conv1D(normalize(inputs)))), with as many channels out as in.

    The second kernel begins as zero, so a new block is the identity, and depth costs nothing early in training.

    Args:
        kernel_size: of the convolution.
        expansion: channels between convolution and `Linear`, as a multiple of the channels outside.
        normalization: "rms", "layer" or "none", in front of the convolution.
        dropout: share of the values that are left out in training.
        seed: of the dropout: an int, a `keras.random.SeedGenerator` that may be shared, or None.
    """

    def __init__(
        self,
        kernel_size: int = 3,
        expansion: float = 2.0,
        normalization: str = "rms",
        dropout: float = 0.0,
        seed: Seed = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.kernel_size, self.expansion, self.dropout = kernel_size, expansion, dropout
        self.normalize = Normalize(normalization, name="normalize", dtype=self.dtype_policy)
        self.seed = seed_generator(seed) if dropout else None

    def build(self, input_shape: Any) -> None:
        """Build both products."""
        channels = input_shape[-1]
        inner = max(int(channels * self.expansion), 1)
        self.widen = SameConv1D(inner, self.kernel_size, name="widen", dtype=self.dtype_policy)
        self.narrow = Linear(channels, "zeros", name="narrow", dtype=self.dtype_policy)
        self.normalize.build(input_shape)
        self.widen.build(input_shape)
        self.narrow.build((*input_shape[:-1], inner))

    def call(self, inputs: Any, mask: Any, training: bool = False) -> Any:
        """Return (batch, length, channels).

        Args:
            inputs: (batch, length, channels), 0 at padding.
            mask: (batch, length, 1), 1 where a position counts and 0 at padding, which stays 0.
            training: whether dropout applies.
        """
        values = self.widen(self.normalize(inputs) * mask)
        values = self.narrow(keras.activations.gelu(values, approximate=True))
        if training and self.dropout:
            values = row_random.dropout(values, self.dropout, seed=self.seed)
        return inputs + values * mask

    def get_config(self) -> dict[str, Any]:
        """Return every argument of the constructor."""
        return {
            **super().get_config(),
            "kernel_size": self.kernel_size,
            "expansion": self.expansion,
            "normalization": self.normalize.kind,
            "dropout": self.dropout,
            "seed": self.seed and self.seed.get_config()["seed"],
        }


@keras.saving.register_keras_serializable(package="textae")
class Level(keras.layers.Layer):
    """Several residual blocks at one resolution.

    Args:
        num_blocks: how many.
        kernel_size, expansion, normalization, dropout, seed: of each `ResidualBlock`.
    """

    def __init__(
        self,
        num_blocks: int,
        kernel_size: int = 3,
        expansion: float = 2.0,
        normalization: str = "rms",
        dropout: float = 0.0,
        seed: Seed = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.kernel_size, self.expansion, self.normalization = kernel_size, expansion, normalization
        self.dropout, self.seed = dropout, seed_generator(seed) if dropout else None
        common = {"dropout": dropout, "seed": self.seed, "dtype": self.dtype_policy}
        self.residual_blocks = [
            ResidualBlock(kernel_size, expansion, normalization, name=f"block_{i}", **common) for i in range(num_blocks)
        ]

    def build(self, input_shape: Any) -> None:
        """Build the residual blocks."""
        for block in self.residual_blocks:
            block.build(input_shape)

    def call(self, inputs: Any, mask: Any, training: bool = False) -> Any:
        """Return (batch, length, channels); arguments as of `ResidualBlock`."""
        for block in self.residual_blocks:
            inputs = block(inputs, mask, training=training)
        return inputs

    def get_config(self) -> dict[str, Any]:
        """Return every argument of the constructor."""
        return {
            **super().get_config(),
            "num_blocks": len(self.residual_blocks),
            "kernel_size": self.kernel_size,
            "expansion": self.expansion,
            "normalization": self.normalization,
            "dropout": self.dropout,
            "seed": self.seed and self.seed.get_config()["seed"],
        }
