"""Transposed convolution over sequences, a superset of `keras.layers.Conv1DTranspose`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import activations, ops

from textae.layers.choice import choose, compiler
from textae.layers.implementations import IMPLEMENTATIONS
from textae.layers.kernels import KernelLayer
from textae.layers.lengths import PADDINGS, steps_for
from textae.layers.masks import Stretch, masked
from textae.layers.windows import LEFT_OUT, asked_length, given_length, known_length, one_of, whole, window


@keras.saving.register_keras_serializable(package="textae")
class Conv1DTranspose(KernelLayer):
    """Transposed convolution: `(batch, length, channels)` to `(batch, new_length, filters)`.

    A drop-in for `keras.layers.Conv1DTranspose`: the arguments that both have mean the same, and the weights
    (`kernel` `(kernel_size, filters, channels)`, `bias` `(filters,)`) have the same shapes. It adds `output_length`,
    `padding="causal"`, `dilation_rate` together with `strides`, `implementation`, and masks: masked steps count as
    zeros, and the mask goes on at the new length.

    With n steps, stride s and effective kernel size `e = dilation_rate*(kernel_size-1) + 1`, `valid` makes
    `(n-1)*s + max(e, s)` positions, `same` and `causal` make `n*s`. With `output_padding`, `valid` makes
    `(n-1)*s + e + output_padding` and `same` makes `(n-1)*s + e % 2 + output_padding`.

    Args:
        filters: channels of the output, at least 1.
        kernel_size: taps of the kernel: the positions of the output that one step adds to (with dilation, their
            number). An int or a sequence of one, as for `strides`, `dilation_rate` and `output_padding`.
        strides: positions of the output from one step of the input to the next, at least 1.
        padding: which positions of the sum of all steps are kept. "valid": all; "same": `n*s` in the middle, so that
            the layer is the adjoint of a forward `same` convolution; "causal": the first `n*s`, so that no position
            depends on a later step.
        output_padding: positions added to the length that Keras gives, 0 to `strides - 1`; not with "causal" nor with
            `output_length`. None: the length is as above.
        data_format: "channels_last", `(batch, length, channels)`, or "channels_first", `(batch, channels, length)`.
            None: Keras's global setting.
        dilation_rate: positions of the output from one tap to the next, at least 1.
        activation: a function of the output, or its name in Keras. None: none.
        use_bias: whether a bias of each filter is added.
        kernel_initializer: of the kernel's first values, `(kernel_size, filters, channels)`.
        bias_initializer: of the bias's first values, `(filters,)`.
        kernel_regularizer: a term of the kernel for the loss. None: none.
        bias_regularizer: a term of the bias for the loss. None: none.
        activity_regularizer: a term of the output for the loss. None: none.
        kernel_constraint: what is applied to the kernel after each update. None: nothing.
        bias_constraint: what is applied to the bias after each update. None: nothing.
        output_length: positions to make, any number of which a forward convolution with the same arguments makes as
            many steps as the input has. None: as `padding` says. A call may give another one: an int, a scalar integer
            tensor (where the backend has dynamic shapes), or a tensor `(batch, length, ...)` whose length is taken.
        implementation: how the result is computed: "native" (the backend's operation), "conv2d" (the backend's
            operation of two dimensions), "matmul" (one product and an overlap-add), "polyphase" (a convolution and an
            interleave), or "auto", which chooses by measurements. All give equal results.
        kwargs: as for every Keras layer: `name`, `dtype`, `trainable`.

    Raises:
        ValueError: an argument is out of range, or the length cannot be made.

    Example:
        >>> codes = np.zeros((2, 5, 16), "float32")
        >>> Conv1DTranspose(8, 4, strides=2, padding="same")(codes).shape
        (2, 10, 8)
        >>> Conv1DTranspose(8, 4, strides=2, padding="same")(codes, output_length=9).shape
        (2, 9, 8)
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int | Sequence[int],
        strides: int | Sequence[int] = 1,
        padding: str = "valid",
        output_padding: int | Sequence[int] | None = None,
        data_format: str | None = None,
        dilation_rate: int | Sequence[int] = 1,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        output_length: int | None = None,
        implementation: str = "auto",
        **kwargs: Any,
    ) -> None:
        super().__init__(
            use_bias=use_bias,
            kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            bias_regularizer=bias_regularizer,
            activity_regularizer=activity_regularizer,
            kernel_constraint=kernel_constraint,
            bias_constraint=bias_constraint,
            **kwargs,
        )
        self.filters = whole("filters", filters)
        self.kernel_size = (whole("kernel_size", kernel_size),)
        self.strides = (whole("strides", strides),)
        self.dilation_rate = (whole("dilation_rate", dilation_rate),)
        self.padding = one_of("padding", str(padding).lower(), PADDINGS, padding)
        self.output_padding = None if output_padding is None else (whole("output_padding", output_padding, least=0),)
        self._check_output_padding(output_length)
        self.output_length = None if output_length is None else whole("output_length", output_length)
        if self.output_length is not None:
            steps_for(self.output_length, *self._geometry[:4])
        layout = keras.config.image_data_format() if data_format is None else str(data_format).lower()
        self.data_format = one_of("data_format", layout, ("channels_last", "channels_first"), data_format)
        self.implementation = one_of("implementation", implementation, ("auto", *IMPLEMENTATIONS))
        self.activation = activations.get(activation)
        self.supports_masking = True
        self._asked_in_call: Any = None
        self.input_spec = keras.layers.InputSpec(ndim=3)

    def _check_output_padding(self, output_length: int | None) -> None:
        """Raise a ValueError for an output padding beyond the stride, or beside what excludes it."""
        if self.output_padding is None:
            return
        padding, stride = self.output_padding[0], self.strides[0]
        if padding >= stride:
            raise ValueError(f"output_padding must be less than strides={stride}; received {padding}")
        if self.padding == "causal":
            raise ValueError(f"output_padding must be None with padding='causal'; received {padding}")
        if output_length is not None:
            raise ValueError(
                f"output_padding must be None where output_length is given; received {padding} and {output_length}"
            )

    def build(self, input_shape):
        """Make the kernel `(kernel_size, filters, channels)` and the bias `(filters,)`."""
        channel_axis = 2 if self.data_format == "channels_last" else 1
        channels = input_shape[channel_axis]
        if channels is None:
            raise ValueError(f"the channels of the input must be known; received shape {tuple(input_shape)}")
        self.input_spec = keras.layers.InputSpec(ndim=3, axes={channel_axis: channels})
        self.kernel = self.add_kernel((*self.kernel_size, self.filters, channels))
        self.bias = self.add_bias(self.filters)

    def call(self, inputs, output_length=LEFT_OUT, mask=None, inputs_mask=None):
        """Return `(batch, new_length, filters)` of inputs `(batch, length, channels)`.

        Args:
            inputs: floats, laid out as `data_format` says.
            output_length: goes before the constructor's; see there.
            mask: `(batch, length)` bools, False at steps that count as zeros; Keras hands it over.
            inputs_mask: the same under the name that Keras uses where `output_length` is a tensor.
        """
        mask = inputs_mask if mask is None else mask
        output_length = given_length(output_length, inputs, self._length_axis)
        self._asked_in_call = output_length
        if self.data_format == "channels_first":
            inputs = ops.transpose(inputs, (0, 2, 1))
        inputs, start, remainder = window(inputs, self._asked(output_length), *self._geometry)
        if mask is not None:
            inputs = masked(inputs, mask)
        kernel_size, stride, _, dilation_rate, _ = self._geometry
        implementation = self.implementation
        if implementation == "auto":
            implementation = choose(inputs.shape[1], kernel_size, stride, dilation_rate, compiler())
        kernel = ops.convert_to_tensor(self.kernel, dtype=self.compute_dtype)
        outputs = IMPLEMENTATIONS[implementation](inputs, kernel, stride, dilation_rate, start, remainder)
        outputs = self.with_bias(outputs)
        if self.activation is not None:
            outputs = self.activation(outputs)
        if self.data_format == "channels_first":
            outputs = ops.transpose(outputs, (0, 2, 1))
        return outputs

    def compute_output_spec(self, inputs, output_length=LEFT_OUT, **kwargs):
        """Return shape and dtype of the output, without computing it."""
        output_length = given_length(output_length, inputs, self._length_axis)
        self._asked_in_call = output_length
        steps = inputs.shape[self._length_axis]
        length = known_length(steps, self._asked(output_length), *self._geometry)
        return keras.KerasTensor(self._shape(inputs.shape, length), dtype=self.compute_dtype)

    def compute_mask(self, inputs, previous_mask=None):
        """Return the mask `(batch, new_length)`: m first steps mark the positions that m steps alone would make."""
        # Keras hands no second argument over here: `call` left behind the output length it was given.
        asked, self._asked_in_call = self._asked_in_call, None
        if previous_mask is None:
            return None
        if hasattr(asked, "shape"):
            return Stretch(self._geometry, length_axis=self._length_axis)(previous_mask, asked)
        return Stretch(self._geometry, self.output_length if asked is None else asked)(previous_mask)

    def compute_output_shape(self, input_shape):
        """Return the shape of the output with the constructor's output length; what is None stays None."""
        length = known_length(input_shape[self._length_axis], self.output_length, *self._geometry)
        return self._shape(input_shape, length)

    def get_config(self):
        """Return every argument of the constructor."""
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "padding": self.padding,
            "output_padding": self.output_padding,
            "data_format": self.data_format,
            "dilation_rate": self.dilation_rate,
            "activation": activations.serialize(self.activation),
            "output_length": self.output_length,
            "implementation": self.implementation,
        }

    @property
    def _geometry(self):
        extra = None if self.output_padding is None else self.output_padding[0]
        return self.kernel_size[0], self.strides[0], self.padding, self.dilation_rate[0], extra

    @property
    def _length_axis(self):
        return 1 if self.data_format == "channels_last" else 2

    def _shape(self, input_shape, length):
        if self.data_format == "channels_last":
            return (input_shape[0], length, self.filters)
        return (input_shape[0], self.filters, length)

    def _asked(self, output_length):
        """Return the output length asked for in the call, or else in the constructor."""
        if output_length is None:
            return self.output_length
        if self.output_padding is not None:
            raise ValueError(
                f"output_length must be None where output_padding={self.output_padding[0]} is given; "
                f"received {output_length}"
            )
        return asked_length(output_length, self._length_axis)
