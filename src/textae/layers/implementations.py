"""Ways to compute a one-dimensional transposed convolution, with equal results.

Each takes inputs `(batch, length, channels)`, a kernel `(kernel_size, filters, channels)` and the window of the
overlap-add to keep (see `lengths`): positions `start` to `start + (length - 1)*stride + tail`. `start` and `tail`
are ints, or scalar integer tensors where the output length is one. Each returns `(batch, new_length, filters)`.
"""

from keras import ops

from textae.layers.lengths import reach


def native(inputs, kernel, stride, dilation_rate, start, tail):
    """The transposed convolution of the backend."""
    return _by_backend(inputs, kernel, stride, dilation_rate, start, tail, _conv_transpose_1d)


def conv2d(inputs, kernel, stride, dilation_rate, start, tail):
    """The two-dimensional detour: a picture of width 1, a two-dimensional transposed convolution, and back."""
    return _by_backend(inputs, kernel, stride, dilation_rate, start, tail, _conv_transpose_2d)


def matmul(inputs, kernel, stride, dilation_rate, start, tail):
    """One matrix product of every step with every tap, then an overlap-add."""
    batch, length, channels = ops.shape(inputs)
    taps, filters, _ = kernel.shape
    weights = ops.reshape(kernel, (taps * filters, channels))
    products = ops.matmul(inputs, ops.transpose(weights))
    blocks = -(-reach(taps, dilation_rate) // stride)
    if dilation_rate == 1:
        extra = blocks * stride - taps
        rows = ops.pad(products, ((0, 0), (0, 0), (0, extra * filters))) if extra else products
    else:
        zeros = ops.zeros_like(products[:, :, :filters])
        at = {tap * dilation_rate: products[:, :, tap * filters : (tap + 1) * filters] for tap in range(taps)}
        rows = ops.concatenate([at.get(place, zeros) for place in range(blocks * stride)], axis=-1)
    width = stride * filters
    total = None
    for block in range(blocks):
        part = rows[:, :, block * width : (block + 1) * width]
        part = ops.pad(part, ((0, 0), (block, blocks - 1 - block), (0, 0))) if blocks > 1 else part
        total = part if total is None else total + part
    full = ops.reshape(total, (batch, (length + blocks - 1) * stride, filters))
    return _cut(full, length, stride, start, tail, blocks * stride)


def polyphase(inputs, kernel, stride, dilation_rate, start, tail):
    """A plain convolution that makes the `stride` phases of the output as channels, then an interleave."""
    kernel = _spread(kernel, dilation_rate)
    batch, length, channels = ops.shape(inputs)
    taps, filters, _ = kernel.shape
    blocks = -(-taps // stride)
    kernel = ops.pad(kernel, ((0, blocks * stride - taps), (0, 0), (0, 0)))
    kernel = ops.flip(ops.reshape(kernel, (blocks, stride * filters, channels)), axis=0)
    padded = ops.pad(inputs, ((0, 0), (blocks - 1, blocks - 1), (0, 0)))
    phases = ops.conv(padded, ops.transpose(kernel, (0, 2, 1)), strides=1, padding="valid")
    full = ops.reshape(phases, (batch, (length + blocks - 1) * stride, filters))
    return _cut(full, length, stride, start, tail, blocks * stride)


def _by_backend(inputs, kernel, stride, dilation_rate, start, tail, conv_transpose):
    # Dilated transposed convolutions are missing or refused on some backends and devices: spread the taps.
    kernel = _spread(kernel, dilation_rate)
    span = kernel.shape[0]
    if _is(tail, stride) and _is(start, max(span - stride, 0) // 2):
        return conv_transpose(inputs, kernel, stride, "same")
    full = conv_transpose(inputs, kernel, stride, "valid")
    return _cut(full, ops.shape(inputs)[1], stride, start, tail, max(span, stride))


def _conv_transpose_1d(inputs, kernel, stride, padding):
    return ops.conv_transpose(inputs, kernel, strides=stride, padding=padding)


def _conv_transpose_2d(inputs, kernel, stride, padding):
    outputs = ops.conv_transpose(
        ops.expand_dims(inputs, 2), ops.expand_dims(kernel, 1), strides=(stride, 1), padding=padding
    )
    return ops.squeeze(outputs, 2)


def _spread(kernel, dilation_rate):
    """The same kernel with its dilation written out as taps of zeros."""
    if dilation_rate == 1 or kernel.shape[0] == 1:
        return kernel
    taps, filters, channels = kernel.shape
    spread = ops.pad(kernel[:, None], ((0, 0), (0, dilation_rate - 1), (0, 0), (0, 0)))
    return ops.reshape(spread, (taps * dilation_rate, filters, channels))[: reach(taps, dilation_rate)]


def _cut(full, length, stride, start, tail, full_tail):
    """Positions `start` to `start + (length-1)*stride + tail` of an overlap-add that ends `full_tail` on."""
    if _is(start, 0) and _is(tail, full_tail):
        return full
    if isinstance(start, int) and isinstance(tail, int):
        missing = max(start + tail - full_tail, 0)
    else:
        missing = stride  # a tail reaches at most a stride further than the reach
    if missing:
        full = ops.pad(full, ((0, 0), (0, missing), (0, 0)))
    return full[:, start : start + (length - 1) * stride + tail]


def _is(value, number):
    return isinstance(value, int) and value == number


IMPLEMENTATIONS = {"native": native, "conv2d": conv2d, "matmul": matmul, "polyphase": polyphase}
