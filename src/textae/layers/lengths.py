"""Arithmetic of lengths of strided and transposed convolutions: pure functions of ints.

A transposed convolution adds, for every input step i and tap j, a term at position i*stride + j*dilation_rate: the
overlap-add. A padding keeps a window of it. A window is given by its first position `start` and its output
`remainder`: of the overlap-add of n steps it keeps (n - 1)*stride + remainder positions from `start` on, so neither
depends on n.

Worked example: 3 steps, kernel 5, stride 2. The effective kernel size is 5, and the overlap-add has (3-1)*2 + 5 = 9
positions, 0 to 8. `valid` keeps them all (start 0, remainder 5). `same` keeps 3*2 = 6 of them from (5-2)//2 = 1 on
(start 1, remainder 2). `causal` keeps the first 6 (start 0, remainder 2). A forward `same` convolution with stride 2
makes 3 steps of 5 and of 6 positions, so the output lengths that `same` can be asked for are 5 (start 2, remainder 1)
and 6.
"""

PADDINGS = ("valid", "same", "causal")


def effective_kernel_size(kernel_size: int, dilation_rate: int = 1) -> int:
    """Return the positions that a dilated kernel spans, first and last tap counted: kernel 3, dilation 2: 5."""
    return dilation_rate * (kernel_size - 1) + 1


def convolved_length(length: int, kernel_size: int, stride: int, padding: str, dilation_rate: int = 1) -> int:
    """Return the steps that a forward convolution makes of `length` positions: 5 positions, stride 2, same: 3."""
    if padding == "valid":
        return max((length - effective_kernel_size(kernel_size, dilation_rate)) // stride + 1, 0)
    return -(-length // stride)


def output_remainder(
    kernel_size: int, stride: int, padding: str, dilation_rate: int = 1, output_padding: int | None = None
) -> int:
    """Return the output remainder that a padding keeps: 5, stride 2, same: 2 (so that n steps give (n-1)*2 + 2).

    With `output_padding` the length is Keras's. With an effective kernel size e it is `(n-1)*stride + e +
    output_padding` for `valid`, and `(n-1)*stride + e % 2 + output_padding` for `same`.
    """
    span = effective_kernel_size(kernel_size, dilation_rate)
    if output_padding is not None:
        return (span if padding == "valid" else span % 2) + output_padding
    return max(span, stride) if padding == "valid" else stride


def remainder_range(kernel_size: int, stride: int, padding: str, dilation_rate: int = 1) -> tuple[int, int]:
    """Return the least and the largest remainder of which a convolution makes n steps: 5, stride 2, same: (1, 2)."""
    span = effective_kernel_size(kernel_size, dilation_rate)
    return (span, span + stride - 1) if padding == "valid" else (1, stride)


def window_start(remainder: int, kernel_size: int, padding: str, dilation_rate: int = 1) -> int:
    """Return the first position of the window: kernel 5, remainder 2, same: 1.

    For `same` this is the left padding of the forward convolution over the output, so that the layer is its
    adjoint; the others keep the overlap-add from position 0 on.
    """
    return max(effective_kernel_size(kernel_size, dilation_rate) - remainder, 0) // 2 if padding == "same" else 0


def steps_for(output_length: int, kernel_size: int, stride: int, padding: str, dilation_rate: int = 1) -> int:
    """Return the steps that an output of this length comes from: length 5, kernel 5, stride 2, same: 3.

    Raises ValueError where no number of steps gives this length.
    """
    steps = convolved_length(output_length, kernel_size, stride, padding, dilation_rate)
    if steps < 1:
        shortest = remainder_range(kernel_size, stride, padding, dilation_rate)[0]
        raise ValueError(
            f"output_length must be at least {shortest} for kernel_size={kernel_size}, strides={stride}, "
            f"padding={padding!r}, dilation_rate={dilation_rate}; received {output_length}"
        )
    return steps


def output_lengths(length: int, kernel_size: int, stride: int, padding: str, dilation_rate: int = 1) -> tuple[int, int]:
    """Return the shortest and longest output that can be asked for: 3 steps, kernel 5, stride 2, same: (5, 6)."""
    low, high = remainder_range(kernel_size, stride, padding, dilation_rate)
    return (length - 1) * stride + low, (length - 1) * stride + high


def transposed_length(
    length: int,
    kernel_size: int,
    stride: int,
    padding: str,
    dilation_rate: int = 1,
    output_padding: int | None = None,
) -> int:
    """Return the positions that a transposed convolution makes of `length` steps: 3, kernel 5, stride 2, valid: 9."""
    return (length - 1) * stride + output_remainder(kernel_size, stride, padding, dilation_rate, output_padding)
