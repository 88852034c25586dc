"""Matrix products over channels, and the `same` convolution made of one.

Shapes are (batch, length, channels). Products go over (batch * length, channels): of a product of three axes
TensorFlow computes the gradient of the kernel for each text apart, at two to three times the cost.
"""

from typing import Any

import keras
from keras import ops

from textae.layers.implementations import LAYOUT, part_of


def product(values: Any, kernel: Any) -> Any:
    """Return (..., outputs): the last axis of `values` times `kernel` (inputs, outputs)."""
    shape = ops.shape(values)
    flat = ops.matmul(ops.reshape(values, (-1, shape[-1])), kernel)
    return ops.reshape(flat, (*shape[:-1], kernel.shape[-1]))


def convolve(inputs: Any, kernel: Any, stride: int = 1) -> Any:
    """Return (batch, ceil(length / stride), filters): the convolution with padding `same`.

    `kernel` is (kernel_size, channels, filters). Where it is no longer than the stride, and always on TensorFlow,
    it is one product of each step's window: there the gradient of a convolution's kernel over short sequences takes
    twice as long as its arithmetic; docs/speed.md has the measurement.
    """
    taps, channels, filters = kernel.shape
    if taps > stride and keras.backend.backend() != "tensorflow":
        return ops.conv(inputs, kernel, strides=stride, padding="same", data_format=LAYOUT)
    return product(_windows(inputs, taps, stride), ops.reshape(kernel, (taps * channels, filters)))


def _windows(inputs: Any, taps: int, stride: int) -> Any:
    """Return (batch, steps, taps * channels): what each step of a `same` convolution sees, zeros outside."""
    if taps == stride == 1:
        return inputs
    batch, length, channels = ops.shape(inputs)
    steps = -(-length // stride)
    missing = (steps - 1) * stride + taps - length
    missing = max(missing, 0) if isinstance(missing, int) else ops.maximum(missing, 0)
    before = missing // 2
    # In rows of `stride` positions a window is a run of rows, of which the last may be a part.
    rows_per_window = -(-taps // stride)
    after = (steps - 1 + rows_per_window) * stride - length - before
    if not (isinstance(length, int) and before == after == 0):
        inputs = ops.pad(inputs, ((0, 0), (before, after), (0, 0)))
    rows = ops.reshape(inputs, (batch, steps - 1 + rows_per_window, stride * channels))
    runs = []
    for row in range(rows_per_window):
        width = min(stride, taps - row * stride) * channels
        runs.append(part_of(rows, (0, row, 0), (batch, steps, width)))
    return runs[0] if rows_per_window == 1 else ops.concatenate(runs, axis=-1)
