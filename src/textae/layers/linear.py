"""Products over channels: `Linear`, and the `same` convolution `SameConv1D`. Shapes are (batch, length, channels)."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from textae.layers.convolution import convolve, product
from textae.layers.kernels import KernelLayer


@keras.saving.register_keras_serializable(package="textae")
class Linear(KernelLayer):
    """(..., channels) -> (..., units): one product and a bias.

    Args:
        units: channels of the output.
        kernel_initializer: of the kernel (channels, units).
        kwargs: as for `KernelLayer`.
    """

    def __init__(self, units: int, kernel_initializer: Any = "glorot_uniform", **kwargs: Any) -> None:
        super().__init__(kernel_initializer=kernel_initializer, **kwargs)
        self.units = units

    def build(self, input_shape: Any) -> None:
        """Make the kernel and the bias."""
        self.kernel = self.add_kernel((input_shape[-1], self.units))
        self.bias = self.add_bias(self.units)

    def call(self, inputs: Any) -> Any:
        """Return (..., units)."""
        return self.with_bias(product(inputs, ops.convert_to_tensor(self.kernel, dtype=self.compute_dtype)))

    def assign_transpose(self, kernel: Any) -> None:
        """Make this the transpose of a `Linear` with that kernel, (units, channels)."""
        self.kernel.assign(ops.transpose(kernel))

    def get_config(self) -> dict[str, Any]:
        """Return every argument of the constructor."""
        return {**super().get_config(), "units": self.units}


@keras.saving.register_keras_serializable(package="textae")
class SameConv1D(KernelLayer):
    """`Conv1D(filters, kernel_size, padding="same")`, by the implementation that is fast on the backend.

    Args:
        filters: channels of the output.
        kernel_size: positions that each position of the output sees.
        kwargs: as for `KernelLayer`.
    """

    def __init__(self, filters: int, kernel_size: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.filters, self.kernel_size = filters, kernel_size

    def build(self, input_shape: Any) -> None:
        """Make the kernel (kernel_size, channels, filters) and the bias."""
        self.kernel = self.add_kernel((self.kernel_size, input_shape[-1], self.filters))
        self.bias = self.add_bias(self.filters)

    def call(self, inputs: Any) -> Any:
        """Return (batch, length, filters)."""
        return self.with_bias(convolve(inputs, ops.convert_to_tensor(self.kernel, dtype=self.compute_dtype)))

    def get_config(self) -> dict[str, Any]:
        """Return every argument of the constructor."""
        return {**super().get_config(), "filters": self.filters, "kernel_size": self.kernel_size}
