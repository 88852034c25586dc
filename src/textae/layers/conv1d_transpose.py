"""Transposed convolution over sequences, a superset of `keras.layers.Conv1DTranspose`."""

import keras
from keras import activations, ops

from textae.layers.choice import choose, compiler
from textae.layers.implementations import IMPLEMENTATIONS
from textae.layers.kernels import KernelLayer
from textae.layers.lengths import PADDINGS, steps_for
from textae.layers.masks import Stretch, masked
from textae.layers.windows import LEFT_OUT, asked_length, given_length, known_length, whole, window


@keras.saving.register_keras_serializable(package="textae")
class Conv1DTranspose(KernelLayer):
    """Transposed convolution: `(batch, length, channels)` to `(batch, new_length, filters)`.

    A drop-in for `keras.layers.Conv1DTranspose`: the arguments it shares mean the same, and the weights
    (`kernel` `(kernel_size, filters, channels)`, `bias` `(filters,)`) have the same shapes. It adds:

    - `output_length`, here or in the call: the length to make, one that a forward convolution with the same
      arguments brings back to the length of the input. An int, or in the call also a scalar integer tensor (where
      the backend has dynamic shapes) or a tensor `(batch, length, ...)` whose length is taken.
    - `padding="causal"`: no position depends on a step after it.
    - `dilation_rate` together with `strides`.
    - `implementation`: `native`, `conv2d`, `matmul`, `polyphase`, or `auto`, which chooses by measurements.
    - Masks: masked steps count as zeros, and the mask goes on at the new length.

    With n steps, stride s and reach `r = dilation_rate*(kernel_size-1) + 1`, `valid` gives `(n-1)*s + max(r, s)`
    positions, `same` and `causal` give `n*s`. With `output_padding` (at most s - 1), `valid` gives
    `(n-1)*s + r + output_padding` and `same` gives `(n-1)*s + r % 2 + output_padding`.

    Raises ValueError for arguments out of range, and for a length that cannot be made.
    """

    def __init__(
        self,
        filters,
        kernel_size,
        strides=1,
        padding="valid",
        output_padding=None,
        data_format=None,
        dilation_rate=1,
        activation=None,
        use_bias=True,
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        kernel_regularizer=None,
        bias_regularizer=None,
        activity_regularizer=None,
        kernel_constraint=None,
        bias_constraint=None,
        output_length=None,
        implementation="auto",
        **kwargs,
    ):
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
        self.padding = str(padding).lower()
        if self.padding not in PADDINGS:
            raise ValueError(f"padding must be one of {', '.join(PADDINGS)}; received {padding!r}")
        self.output_padding = None
        if output_padding is not None:
            self.output_padding = (whole("output_padding", output_padding, least=0),)
            if self.output_padding[0] >= self.strides[0]:
                raise ValueError(
                    f"output_padding must be less than strides={self.strides[0]}; received {self.output_padding[0]}"
                )
            if self.padding == "causal":
                raise ValueError(
                    f"output_padding must be None with padding='causal'; received {self.output_padding[0]}"
                )
            if output_length is not None:
                raise ValueError(
                    "output_padding must be None where output_length is given; "
                    f"received {self.output_padding[0]} and {output_length}"
                )
        self.output_length = None
        if output_length is not None:
            self.output_length = whole("output_length", output_length)
            steps_for(self.output_length, *self._geometry[:4])
        self.data_format = keras.config.image_data_format() if data_format is None else str(data_format).lower()
        if self.data_format not in ("channels_last", "channels_first"):
            raise ValueError(f"data_format must be channels_last or channels_first; received {data_format!r}")
        if implementation != "auto" and implementation not in IMPLEMENTATIONS:
            raise ValueError(
                f"implementation must be one of auto, {', '.join(IMPLEMENTATIONS)}; received {implementation!r}"
            )
        self.implementation = implementation
        self.activation = activations.get(activation)
        self.supports_masking = True
        self._asked_in_call = None
        self.input_spec = keras.layers.InputSpec(ndim=3)

    def build(self, input_shape):
        """Make the kernel and the bias."""
        channel_axis = 2 if self.data_format == "channels_last" else 1
        channels = input_shape[channel_axis]
        if channels is None:
            raise ValueError(f"the channels of the input must be known; received shape {tuple(input_shape)}")
        self.input_spec = keras.layers.InputSpec(ndim=3, axes={channel_axis: channels})
        self.kernel = self.add_kernel((*self.kernel_size, self.filters, channels))
        self.bias = self.add_bias(self.filters)

    def call(self, inputs, output_length=LEFT_OUT, mask=None, inputs_mask=None):
        """Inputs `(batch, length, channels)`; an `output_length` given here goes before the constructor's."""
        # Keras hands the mask over as `inputs_mask` where `output_length` is a tensor too.
        mask = inputs_mask if mask is None else mask
        output_length = given_length(output_length, inputs, self._length_axis)
        self._asked_in_call = output_length
        if self.data_format == "channels_first":
            inputs = ops.transpose(inputs, (0, 2, 1))
        inputs, start, tail = window(inputs, self._asked(output_length), *self._geometry)
        if mask is not None:
            inputs = masked(inputs, mask)
        kernel_size, stride, _, dilation_rate, _ = self._geometry
        way = self.implementation
        if way == "auto":
            way = choose(inputs.shape[1], kernel_size, stride, dilation_rate, compiler())
        kernel = ops.convert_to_tensor(self.kernel, dtype=self.compute_dtype)
        outputs = IMPLEMENTATIONS[way](inputs, kernel, stride, dilation_rate, start, tail)
        if self.bias is not None:
            outputs = outputs + ops.convert_to_tensor(self.bias, dtype=outputs.dtype)
        if self.activation is not None:
            outputs = self.activation(outputs)
        if self.data_format == "channels_first":
            outputs = ops.transpose(outputs, (0, 2, 1))
        return outputs

    def compute_output_spec(self, inputs, output_length=LEFT_OUT, **kwargs):
        """Shape and dtype of the output, without computing it."""
        output_length = given_length(output_length, inputs, self._length_axis)
        self._asked_in_call = output_length
        steps = inputs.shape[self._length_axis]
        length = known_length(steps, self._asked(output_length), *self._geometry)
        return keras.KerasTensor(self._shape(inputs.shape, length), dtype=self.compute_dtype)

    def compute_mask(self, inputs, previous_mask=None):
        """Mask `(batch, new_length)`: m first steps marked give the positions that m steps alone would make."""
        # Keras hands no second argument over here: `call` left behind the output length it was given.
        asked, self._asked_in_call = self._asked_in_call, None
        if previous_mask is None:
            return None
        if hasattr(asked, "shape"):
            return Stretch(self._geometry, length_axis=self._length_axis)(previous_mask, asked)
        return Stretch(self._geometry, self.output_length if asked is None else asked)(previous_mask)

    def compute_output_shape(self, input_shape):
        """Shape of the output with the constructor's output length; what is None stays None."""
        length = known_length(input_shape[self._length_axis], self.output_length, *self._geometry)
        return self._shape(input_shape, length)

    def get_config(self):
        """Every argument of the constructor."""
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
        """The output length asked for in the call, or else in the constructor."""
        if output_length is None:
            return self.output_length
        if self.output_padding is not None:
            raise ValueError(
                f"output_length must be None where output_padding={self.output_padding[0]} is given; "
                f"received {output_length}"
            )
        return asked_length(output_length, self._length_axis)
