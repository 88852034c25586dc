"""The pair that changes a length by a stride: a strided convolution, and several upsampling methods."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from textae.layers.conv1d_transpose import Conv1DTranspose
from textae.layers.convolution import convolve
from textae.layers.implementations import part_of
from textae.layers.kernels import KernelLayer
from textae.layers.lengths import convolved_length
from textae.layers.linear import SameConv1D
from textae.layers.masks import Stretch, masked, shrink
from textae.layers.windows import LEFT_OUT, asked_length, given_length, known_length, one_of, whole, window

KINDS = ("transpose", "resize_nearest", "resize_linear", "subpixel")


@keras.saving.register_keras_serializable(package="textae")
class Downsample(KernelLayer):
    """Strided convolution: `(batch, length, channels)` to `(batch, ceil(length/stride), filters)`.

    The padding is `same`: n*stride positions make n steps. With `kernel_size == stride` it is a reshape and a matrix
    product. Masked positions count as zeros, and the mask goes on at the new length.

    Args:
        filters: channels of the output, at least 1.
        kernel_size: positions that each step sees, at least 1.
        stride: positions from one step to the next, at least 1.
        activation: a function of the output, or its name in Keras. None: none.
        use_bias: whether a bias of each filter is added.
        kwargs: initializers, regularizers and constraints as for `Conv1D`, and what every Keras layer takes.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int,
        stride: int,
        activation: Any = None,
        use_bias: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(use_bias=use_bias, **kwargs)
        self.filters = whole("filters", filters)
        self.kernel_size = whole("kernel_size", kernel_size)
        self.stride = whole("stride", stride)
        self.activation = keras.activations.get(activation)
        self.supports_masking = True

    def build(self, input_shape):
        """Make the kernel `(kernel_size, channels, filters)` and the bias."""
        self.kernel = self.add_kernel((self.kernel_size, input_shape[-1], self.filters))
        self.bias = self.add_bias(self.filters)

    def call(self, inputs, mask=None):
        """Return `(batch, steps, filters)` of inputs `(batch, length, channels)`."""
        if mask is not None:
            inputs = masked(inputs, mask)
        kernel = ops.convert_to_tensor(self.kernel, dtype=self.compute_dtype)
        outputs = self.with_bias(convolve(inputs, kernel, self.stride))
        return outputs if self.activation is None else self.activation(outputs)

    def compute_mask(self, inputs, previous_mask=None):
        """Return the mask `(batch, ceil(length/stride))`: a step counts where any of its positions does."""
        return None if previous_mask is None else shrink(previous_mask, self.stride)

    def compute_output_shape(self, input_shape):
        """Return `(batch, ceil(length/stride), filters)`."""
        length = input_shape[1]
        steps = None if length is None else convolved_length(length, self.kernel_size, self.stride, "same")
        return (input_shape[0], steps, self.filters)

    def get_config(self):
        """Return every argument of the constructor."""
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "stride": self.stride,
            "activation": keras.activations.serialize(self.activation),
        }


@keras.saving.register_keras_serializable(package="textae")
class Upsample(KernelLayer):
    """Inverse of `Downsample` in shape: `(batch, length, channels)` to `(batch, length*stride, filters)`.

    Masked steps count as not there, and the mask goes on at the new length.

    Args:
        filters: channels of the output, at least 1.
        kernel_size: positions of the output that the kernel spans, whatever `kind` is; at least 1.
        stride: positions that are made of a step, at least 1.
        kind: the upsampling method. "transpose": `Conv1DTranspose` with padding `same`. "resize_nearest" and
            "resize_linear": each step repeated, or joined to the next by a straight line, and then a `Conv1D`.
            "subpixel": a `Conv1D` over `ceil(kernel_size/stride)` steps to `stride*filters` channels, which become
            positions.
        activation: a function of the output, or its name in Keras. None: none.
        use_bias: whether a bias of each filter is added.
        kwargs: initializers, regularizers and constraints as for `Conv1D`, and what every Keras layer takes.

    A call takes an `output_length`, any of which `Downsample` makes as many steps as the input has: more than
    `(length - 1)*stride` and at most `length*stride`.

    Raises:
        ValueError: an argument is out of range, or the length cannot be made.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int,
        stride: int,
        kind: str = "transpose",
        activation: Any = None,
        use_bias: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(use_bias=use_bias, **kwargs)
        self.filters = whole("filters", filters)
        self.kernel_size = whole("kernel_size", kernel_size)
        self.stride = whole("stride", stride)
        self.kind = one_of("kind", kind, KINDS)
        self.activation = keras.activations.get(activation)
        self.supports_masking = True
        self._asked_in_call = None
        common = {**self.kernel_arguments(), "dtype": self.dtype_policy, "name": kind}
        if kind == "transpose":
            own = {"padding": "same", "data_format": "channels_last"}
            self.layer = Conv1DTranspose(self.filters, self.kernel_size, self.stride, **own, **common)
        elif kind == "subpixel":
            self.layer = SameConv1D(self.filters * self.stride, -(-self.kernel_size // self.stride), **common)
        else:
            self.layer = SameConv1D(self.filters, self.kernel_size, **common)

    def build(self, input_shape):
        """Make the weights."""
        self.layer.build(input_shape)

    def assign_transpose(self, kernel):
        """Make this the transpose of a `Downsample` with that kernel, `(kernel_size, filters, channels)`.

        The upsampling methods that are no transposed convolution stay as they are.
        """
        if self.kind == "transpose":
            self.layer.kernel.assign(kernel)
        elif self.kind == "subpixel" and self.kernel_size == self.stride:
            rows = ops.reshape(kernel, (self.stride * self.filters, -1))
            self.layer.kernel.assign(ops.transpose(rows)[None])

    def call(self, inputs, output_length=LEFT_OUT, mask=None, inputs_mask=None):
        """Return `(batch, new_length, filters)` of inputs `(batch, length, channels)`."""
        mask = inputs_mask if mask is None else mask
        output_length = given_length(output_length, inputs)
        self._asked_in_call = output_length
        if self.kind == "transpose":
            asked = LEFT_OUT if output_length is None else output_length
            outputs = self.layer(inputs, output_length=asked, mask=mask)
        else:
            inputs, _, remainder = window(inputs, asked_length(output_length), *self._geometry)
            outputs = self._by_convolution(inputs, mask)
            if not isinstance(remainder, int) or remainder < self.stride:
                batch, length, _ = ops.shape(inputs)
                outputs = part_of(outputs, (0, 0, 0), (batch, (length - 1) * self.stride + remainder, self.filters))
        return outputs if self.activation is None else self.activation(outputs)

    def _by_convolution(self, inputs, mask):
        batch, length, _ = ops.shape(inputs)
        if mask is not None:
            inputs = masked(inputs, mask)
        if self.kind == "subpixel":
            return ops.reshape(self.layer(inputs), (batch, length * self.stride, self.filters))
        resized = ops.repeat(inputs, self.stride, axis=1)
        if self.kind == "resize_linear":
            resized = _linear(inputs, mask, self.stride)
        if mask is not None:
            resized = masked(resized, ops.repeat(mask, self.stride, axis=1))
        return self.layer(resized)

    def compute_mask(self, inputs, previous_mask=None):
        """Return the mask `(batch, new_length)`: each step's counts for its `stride` positions."""
        asked, self._asked_in_call = self._asked_in_call, None
        if previous_mask is None:
            return None
        if hasattr(asked, "shape"):
            return Stretch(self._geometry)(previous_mask, asked)
        return Stretch(self._geometry, asked)(previous_mask)

    def compute_output_spec(self, inputs, output_length=LEFT_OUT, **kwargs):
        """Return shape and dtype of the output, without computing it."""
        output_length = given_length(output_length, inputs)
        self._asked_in_call = output_length
        length = known_length(inputs.shape[1], asked_length(output_length), *self._geometry)
        return keras.KerasTensor((inputs.shape[0], length, self.filters), dtype=self.compute_dtype)

    def compute_output_shape(self, input_shape):
        """Return `(batch, length*stride, filters)`."""
        return (input_shape[0], known_length(input_shape[1], None, *self._geometry), self.filters)

    def get_config(self):
        """Return every argument of the constructor."""
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "stride": self.stride,
            "kind": self.kind,
            "activation": keras.activations.serialize(self.activation),
        }

    @property
    def _geometry(self):
        # The window without a shift: what a causal transposed convolution keeps.
        return 1, self.stride, "causal"


def _linear(inputs, mask, stride):
    """Return positions on straight lines between the middles of steps; flat before the first and after the last."""
    batch, length, channels = ops.shape(inputs)
    before = ops.concatenate([inputs[:, :1], inputs[:, :-1]], axis=1)
    after = ops.concatenate([inputs[:, 1:], inputs[:, -1:]], axis=1)
    if mask is not None:
        here = ops.expand_dims(mask, -1)
        before = ops.where(ops.concatenate([here[:, :1], here[:, :-1]], axis=1), before, inputs)
        after = ops.where(ops.concatenate([here[:, 1:], here[:, -1:]], axis=1), after, inputs)
    shifts = (np.arange(stride) + 0.5) / stride - 0.5  # of each position from the middle of its step
    early = int((shifts < 0).sum())

    def between(neighbours, shares):
        shares = ops.cast(ops.convert_to_tensor(np.abs(shares)[:, None], "float32"), inputs.dtype)
        return (1 - shares) * inputs[:, :, None] + shares * neighbours[:, :, None]

    positions = ops.concatenate([between(before, shifts[:early]), between(after, shifts[early:])], axis=2)
    return ops.reshape(positions, (batch, length * stride, channels))
