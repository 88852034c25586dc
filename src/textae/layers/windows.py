"""The length asked of a layer that makes sequences longer: an int, a scalar tensor, or a tensor to match."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from textae.layers.lengths import (
    effective_kernel_size,
    output_lengths,
    output_remainder,
    remainder_range,
    steps_for,
    window_start,
)


def one_of(name, value, choices, received=None):
    """Return a value that is one of the choices; raise a ValueError that shows what was received otherwise."""
    if value not in choices:
        shown = value if received is None else received
        raise ValueError(f"{name} must be one of {', '.join(choices)}; received {shown!r}")
    return value


def whole(name: str, value: Any, least: int = 1) -> int:
    """Return an int that was given as an int or as a sequence of one. Raises ValueError for anything else."""
    number: Any = value[0] if isinstance(value, list | tuple) and len(value) == 1 else value
    try:
        found = int(number)
    except (TypeError, ValueError):
        found = None
    if found is None or isinstance(number, bool) or found != number or found < least:
        raise ValueError(f"{name} must be a whole number of at least {least}; received {value!r}")
    return found


class _LeftOut:
    """The default of an output length in a call: what was not given, as opposed to what was given as None."""

    def __repr__(self):
        return "LEFT_OUT"


LEFT_OUT = _LeftOut()


def given_length(output_length, inputs, length_axis=1):
    """Return the output length that a call was given, or None where it was left out: the length is the padding's own.

    A length that is not known yet is None in Keras, as `ops.shape(x)[1]` of a model's input. Raises ValueError for
    it: taken as left out, it would become a multiple of the stride without a word. Where the length of the inputs is
    known no such length can be meant, and None counts as left out.
    """
    if output_length is None and (isinstance(inputs, keras.KerasTensor) or inputs.shape[length_axis] is None):
        raise ValueError(
            "output_length must be a length, or left out; received None, which ops.shape(x)[1] and x.shape[1] are "
            "while a length is not known: give the tensor itself, output_length=x, whose length is taken when it comes"
        )
    return None if output_length is LEFT_OUT else output_length


def asked_length(output_length, length_axis=1):
    """Return the length asked for: an int, a scalar integer tensor, a KerasTensor, or None for the padding's own.

    A tensor of rank 2 or 3 asks for its own length, which is at `length_axis` (rank 3) or 1 (rank 2).
    """
    if output_length is None:
        return None
    if not hasattr(output_length, "shape"):
        return whole("output_length", output_length)
    rank = len(output_length.shape)
    if rank in (2, 3):
        axis = length_axis if rank == 3 else 1
        known = output_length.shape[axis]
        if known is not None:
            return known
        return output_length if isinstance(output_length, keras.KerasTensor) else ops.shape(output_length)[axis]
    if rank:
        raise ValueError(
            "output_length must be an int, a scalar, or a tensor of rank 2 or 3 whose length is taken; "
            f"received a tensor of shape {tuple(output_length.shape)}"
        )
    if isinstance(output_length, keras.KerasTensor):
        return output_length
    try:
        return int(output_length)
    except Exception as error:  # a symbol, not a value yet; each backend refuses in its own way
        if keras.backend.backend() == "tensorflow":
            return ops.cast(output_length, "int32")
        raise ValueError(
            "output_length must be an int or a tensor whose length is taken on the "
            f"{keras.backend.backend()} backend, where shapes are static; received {output_length}"
        ) from error


def known_length(steps, asked, kernel_size, stride, padding, dilation_rate=1, output_padding=None):
    """Return the output length of `steps` steps, None where not known. Raises ValueError if it cannot be made."""
    if asked is None:
        remainder = output_remainder(kernel_size, stride, padding, dilation_rate, output_padding)
        return None if steps is None else (steps - 1) * stride + remainder
    if not isinstance(asked, int):
        return None
    geometry = (kernel_size, stride, padding, dilation_rate)
    if steps is not None and steps != steps_for(asked, *geometry):
        low, high = output_lengths(steps, *geometry)
        raise ValueError(
            f"output_length must be {low} to {high} for an input of length {steps} with "
            f"kernel_size={kernel_size}, strides={stride}, padding={padding!r}, "
            f"dilation_rate={dilation_rate}; received {asked}"
        )
    return asked


def window(inputs, asked, kernel_size, stride, padding, dilation_rate=1, output_padding=None):
    """Return inputs `(batch, length, ...)`, their length set where `asked` gives it, and `start` and `remainder`."""
    geometry = (kernel_size, stride, padding, dilation_rate)
    if asked is None:
        remainder = output_remainder(*geometry, output_padding)
    elif isinstance(asked, int):
        steps = steps_for(asked, *geometry)
        known_length(inputs.shape[1], asked, *geometry)
        if inputs.shape[1] is None:
            inputs = _with_length(inputs, steps)
        remainder = asked - (steps - 1) * stride
    else:
        remainder = _checked_remainder(asked - (ops.shape(inputs)[1] - 1) * stride, *remainder_range(*geometry))
        start = (
            ops.maximum(effective_kernel_size(kernel_size, dilation_rate) - remainder, 0) // 2
            if padding == "same"
            else 0
        )
        return inputs, start, remainder
    return inputs, window_start(remainder, kernel_size, padding, dilation_rate), remainder


def _with_length(inputs, steps):
    """Return inputs, checked at run time to have `steps` steps. Only TensorFlow has lengths that are not known."""
    import tensorflow as tf

    return tf.ensure_shape(inputs, (None, steps, *inputs.shape[2:]))


def _checked_remainder(remainder, low, high):
    """Return a remainder, checked at run time to be possible. Only TensorFlow has lengths that are not known."""
    import tensorflow as tf

    message = f"output_length - (length - 1)*strides must be {low} to {high}"
    checks = [
        tf.debugging.assert_greater_equal(remainder, low, message),
        tf.debugging.assert_less_equal(remainder, high, message),
    ]
    with tf.control_dependencies(checks):
        return tf.identity(remainder)
