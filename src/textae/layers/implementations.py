"""Implementations of a one-dimensional transposed convolution, with equal results.

Each takes inputs `(batch, length, channels)`, a kernel `(kernel_size, filters, channels)` and the window of the
overlap-add to keep (see `lengths`): `(length - 1)*stride + remainder` positions from `start` on. `start` and
`remainder` are ints, or scalar integer tensors where the output length is one. Each returns `(batch, new_length,
filters)`.
"""

import keras
from keras import ops

from textae.layers.lengths import effective_kernel_size

LAYOUT = "channels_last"  # of all that is computed here, whatever Keras's global one is


def native(inputs, kernel, stride, dilation_rate, start, remainder):
    """The transposed convolution of the backend."""
    return _by_backend(inputs, kernel, stride, dilation_rate, start, remainder, _conv_transpose_1d)


def conv2d(inputs, kernel, stride, dilation_rate, start, remainder):
    """The detour: a picture of height 1, a two-dimensional transposed convolution, and back."""
    return _by_backend(inputs, kernel, stride, dilation_rate, start, remainder, _conv_transpose_2d)


def matmul(inputs, kernel, stride, dilation_rate, start, remainder):
    """One matrix product of every step with every tap, then an overlap-add."""
    batch, length, channels = ops.shape(inputs)
    taps, filters, _ = kernel.shape
    static = isinstance(length, int) and isinstance(start, int) and isinstance(remainder, int)
    # The output is laid out in rows of `stride` positions. Where all is known the first row begins with the
    # window; else the whole overlap-add is made and the window cut out of it.
    extra = -(-(remainder if static else effective_kernel_size(taps, dilation_rate)) // stride)
    rows = length - 1 + extra
    origin = start if static else 0

    weights = ops.transpose(ops.reshape(kernel, (taps * filters, channels)))
    products = ops.matmul(ops.reshape(inputs, (-1, channels)), weights)
    products = ops.reshape(products, (batch, length, taps * filters))
    total = None
    for tap, count, row, phase in _runs(taps, stride, dilation_rate, origin):
        before, after = max(-row, 0), max(row + 1 - extra, 0)  # steps whose row falls out of the window
        if isinstance(length, int) and before + after >= length:
            continue
        part = part_of(products, (0, before, tap * filters), (batch, length - before - after, count * filters))
        across = (phase * filters, (stride - phase - count) * filters)
        part = ops.pad(part, ((0, 0), (max(row, 0), max(extra - 1 - row, 0)), across))
        total = part if total is None else total + part
    if total is None:  # no tap falls into the window
        total = ops.zeros((batch, rows, stride * filters), dtype=products.dtype)
    full = ops.reshape(total, (batch, rows * stride, filters))
    if not static:
        return _cut(full, length, stride, start, remainder, extra * stride)
    return part_of(full, (0, 0, 0), (batch, (length - 1) * stride + remainder, filters))


def _runs(taps, stride, dilation_rate, origin):
    """Taps in runs that stay together in one row of the output: (first tap, count, row, phase in the row).

    Kernel 5, stride 2, origin 1: tap 0 ends row -1, taps 1 and 2 fill row 0, taps 3 and 4 row 1.
    """
    runs = []
    for tap in range(taps):
        row, phase = divmod(tap * dilation_rate - origin, stride)
        if runs and runs[-1][2] == row and runs[-1][3] + runs[-1][1] == phase:
            runs[-1] = (runs[-1][0], runs[-1][1] + 1, row, runs[-1][3])
        else:
            runs.append((tap, 1, row, phase))
    return runs


def polyphase(inputs, kernel, stride, dilation_rate, start, remainder):
    """A plain convolution that makes the `stride` phases of the output as channels, then an interleave.

    Output position row*stride + phase has the taps that lead there from some step, row - shift for each. Phases
    with the same shifts are made together: one matrix product of each row's neighbouring steps. The arithmetic
    is that of the overlap-add and nothing is added up outside the products.
    """
    batch, length, channels = ops.shape(inputs)
    taps, filters, _ = kernel.shape
    static = isinstance(start, int) and isinstance(remainder, int)
    # As in `matmul`: rows begin with the window where it is known, else it is cut out of the whole.
    extra = -(-(remainder if static else max(effective_kernel_size(taps, dilation_rate), stride)) // stride)
    rows = length - 1 + extra
    groups = _phases(taps, stride, dilation_rate, start if static else 0, length, extra)

    every = [shift for shifts, _ in groups for shift in shifts] or [0]
    before, after = max(max(every), 0), max(extra - 1 - min(every), 0)
    padded = ops.pad(inputs, ((0, 0), (before, after), (0, 0))) if before or after else inputs
    parts = []
    for shifts, columns in groups:
        if not shifts:  # strides beyond the kernel: nothing leads there
            parts.append(ops.zeros((batch * rows, len(columns) * filters), dtype=inputs.dtype))
            continue
        steps = [part_of(padded, (0, before - shift, 0), (batch, rows, channels)) for shift in shifts]
        steps = ops.reshape(_joined(steps, axis=-1), (-1, len(shifts) * channels))
        weights = [
            ops.reshape(_taken(kernel, [column[i] for column in columns]), (len(columns) * filters, channels))
            for i in range(len(shifts))
        ]
        parts.append(ops.matmul(steps, ops.transpose(_joined(weights, axis=1))))
    full = ops.reshape(_joined(parts, axis=-1), (batch, rows * stride, filters))
    if not static:
        return _cut(full, length, stride, start, remainder, extra * stride)
    return part_of(full, (0, 0, 0), (batch, (length - 1) * stride + remainder, filters))


def _phases(taps, stride, dilation_rate, origin, length, extra):
    """Neighbouring phases with the same shifts: (shifts, the taps of each phase in the order of the shifts).

    Kernel 5, stride 2, origin 1: phase 0 is ((0, 1), [(1, 3)]), phase 1 is ((-1, 0, 1), [(0, 2, 4)]). Shifts that
    lead out of a known `length` from every row are left out.
    """
    groups = []
    for phase in range(stride):
        found = []
        for tap in range(taps):
            shift, rest = divmod(tap * dilation_rate - origin - phase, stride)
            if rest == 0 and (not isinstance(length, int) or -length < shift < length - 1 + extra):
                found.append((shift, tap))
        shifts, column = tuple(shift for shift, _ in found), tuple(tap for _, tap in found)
        if groups and groups[-1][0] == shifts:
            groups[-1][1].append(column)
        else:
            groups.append((shifts, [column]))
    return groups


def _taken(kernel, chosen):
    """The chosen taps of a kernel, in their order."""
    if chosen == list(range(chosen[0], chosen[0] + len(chosen))):
        return part_of(kernel, (chosen[0], 0, 0), (len(chosen), *kernel.shape[1:]))
    return ops.stack([kernel[tap] for tap in chosen])


def _joined(parts, axis):
    return parts[0] if len(parts) == 1 else ops.concatenate(parts, axis=axis)


def _by_backend(inputs, kernel, stride, dilation_rate, start, remainder, conv_transpose):
    # Dilated transposed convolutions are missing or refused on some backends and devices: spread the taps.
    kernel = _spread(kernel, dilation_rate)
    span = kernel.shape[0]
    if _is(remainder, stride) and _is(start, max(span - stride, 0) // 2):
        return conv_transpose(inputs, kernel, stride, "same")
    full = conv_transpose(inputs, kernel, stride, "valid")
    return _cut(full, ops.shape(inputs)[1], stride, start, remainder, max(span, stride))


def _conv_transpose_1d(inputs, kernel, stride, padding):
    return ops.conv_transpose(inputs, kernel, strides=stride, padding=padding, data_format=LAYOUT)


def _conv_transpose_2d(inputs, kernel, stride, padding):
    # Along the height, TensorFlow with oneDNN gets the gradient of a kernel of 1 with strides wrong.
    outputs = ops.conv_transpose(
        ops.expand_dims(inputs, 1),
        ops.expand_dims(kernel, 0),
        strides=(1, stride),
        padding=padding,
        data_format=LAYOUT,
    )
    return ops.squeeze(outputs, 1)


def _spread(kernel, dilation_rate):
    """The same kernel with its dilation written out as taps of zeros."""
    if dilation_rate == 1 or kernel.shape[0] == 1:
        return kernel
    taps, filters, channels = kernel.shape
    spread = ops.pad(kernel[:, None], ((0, 0), (0, dilation_rate - 1), (0, 0), (0, 0)))
    return ops.reshape(spread, (taps * dilation_rate, filters, channels))[: effective_kernel_size(taps, dilation_rate)]


def _cut(full, length, stride, start, remainder, full_remainder):
    """Positions `start` to `start + (length-1)*stride + remainder` of an overlap-add that ends `full_remainder` on."""
    if _is(start, 0) and _is(remainder, full_remainder):
        return full
    known = isinstance(start, int) and isinstance(remainder, int)
    missing = (
        max(start + remainder - full_remainder, 0) if known else stride
    )  # a remainder is below effective kernel size + stride
    if missing:
        full = ops.pad(full, ((0, 0), (0, missing), (0, 0)))
    batch, _, filters = ops.shape(full)
    return part_of(full, (0, start, 0), (batch, (length - 1) * stride + remainder, filters))


def part_of(whole, begin, size):
    """Return the part of a tensor that begins at `begin` and has `size` entries, along each axis."""
    if all(_is(first, 0) for first in begin) and all(map(_is, size, whole.shape)):
        return whole
    if keras.backend.backend() == "tensorflow":
        # The gradient of an index with colons (StridedSlice) takes several times as long as that of Slice.
        return ops.slice(whole, begin, size)
    return whole[tuple(slice(first, first + count) for first, count in zip(begin, size, strict=True))]


def _is(value, number):
    """Whether a value that may be a tensor is an int, and this one."""
    return isinstance(value, int) and value == number


IMPLEMENTATIONS = {"native": native, "conv2d": conv2d, "matmul": matmul, "polyphase": polyphase}
