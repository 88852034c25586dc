"""What every layer with a kernel has: Keras's arguments for the kernel and the bias."""

from __future__ import annotations

from typing import Any

import keras
from keras import constraints, initializers, ops, regularizers


class KernelLayer(keras.layers.Layer):
    """A layer that makes its kernel by `add_kernel` and its bias by `add_bias`. The arguments are those of `Conv1D`.

    Args:
        use_bias: whether there is a bias.
        kernel_initializer, bias_initializer: of the first weights.
        kernel_regularizer, bias_regularizer, activity_regularizer: terms for the loss, or None.
        kernel_constraint, bias_constraint: applied after each update, or None.
        kwargs: as for every Keras layer: `name`, `dtype`, `trainable`.
    """

    kernel: keras.Variable
    bias: keras.Variable | None

    def __init__(
        self,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        self.use_bias = use_bias
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.bias_constraint = constraints.get(bias_constraint)

    def add_kernel(self, shape: tuple[int, ...]) -> keras.Variable:
        """Return a new weight, the kernel."""
        return self.add_weight(
            name="kernel",
            shape=shape,
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )

    def add_bias(self, size: int) -> keras.Variable | None:
        """Return a new weight, the bias (size,), or None without one."""
        if not self.use_bias:
            return None
        return self.add_weight(
            name="bias",
            shape=(size,),
            initializer=self.bias_initializer,
            regularizer=self.bias_regularizer,
            constraint=self.bias_constraint,
        )

    def with_bias(self, outputs: Any) -> Any:
        """Return outputs (..., size) plus the bias, where there is one."""
        return outputs if self.bias is None else outputs + ops.convert_to_tensor(self.bias, dtype=outputs.dtype)

    def kernel_arguments(self) -> dict[str, Any]:
        """Return the arguments for kernel and bias, for another layer that makes them in this one's place."""
        return {
            "use_bias": self.use_bias,
            "kernel_initializer": self.kernel_initializer,
            "bias_initializer": self.bias_initializer,
            "kernel_regularizer": self.kernel_regularizer,
            "bias_regularizer": self.bias_regularizer,
            "kernel_constraint": self.kernel_constraint,
            "bias_constraint": self.bias_constraint,
        }

    def get_config(self) -> dict[str, Any]:
        """Return every argument of the constructor."""
        return {
            **super().get_config(),
            "use_bias": self.use_bias,
            "kernel_initializer": initializers.serialize(self.kernel_initializer),
            "bias_initializer": initializers.serialize(self.bias_initializer),
            "kernel_regularizer": regularizers.serialize(self.kernel_regularizer),
            "bias_regularizer": regularizers.serialize(self.bias_regularizer),
            "activity_regularizer": regularizers.serialize(self.activity_regularizer),
            "kernel_constraint": constraints.serialize(self.kernel_constraint),
            "bias_constraint": constraints.serialize(self.bias_constraint),
        }
