"""The length head: how many latent positions the text of a vector has.

A latent of a sequence needs none: the sequence's own length says it.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from textae.layers.linear import Linear


@keras.saving.register_keras_serializable(package="textae")
class LengthHead(Linear):
    """Vectors (batch, size) -> logits (batch, max_positions): entry i stands for i + 1 latent positions."""


@keras.saving.register_keras_serializable(package="textae")
class FourierLengthHead(keras.layers.Layer):
    """Fourier features (batch, max_positions, channels) -> logits (batch, max_positions), as of `LengthHead`.

    The codewords of a lattice are not linear in the latent, so this head looks for the end token: a product and a bias
    say how much each token of a latent position looks like the end, and a latent position counts as its best token
    does. A text of `max_length` tokens may have no end: the last position also counts with a score of its own.

    Args:
        stride: tokens of a latent position.
    """

    def __init__(self, stride: int, dtype: Any = "float32", **kwargs: Any) -> None:
        super().__init__(dtype=dtype, **kwargs)
        self.stride = stride
        self.linear = Linear(stride, name="linear", dtype="float32")

    def build(self, input_shape: Any) -> None:
        """Build the product, and the score of no end."""
        self.linear.build(input_shape)
        self.no_end = self.add_weight(shape=(), initializer="zeros", name="no_end")

    def call(self, features: Any) -> Any:
        """Return the logits."""
        logits = ops.logsumexp(self.linear(features), axis=-1)
        last = ops.stack([logits[:, -1], ops.zeros_like(logits[:, -1]) + self.no_end], axis=1)
        return ops.concatenate([logits[:, :-1], ops.logsumexp(last, axis=1, keepdims=True)], axis=1)

    def get_config(self) -> dict[str, Any]:
        """Return every argument of the constructor."""
        return {**super().get_config(), "stride": self.stride}
