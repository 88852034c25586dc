"""Arithmetic of lengths, against counting positions one by one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from textae.layers.lengths import (
    convolved_length,
    effective_kernel_size,
    output_lengths,
    output_remainder,
    remainder_range,
    steps_for,
    transposed_length,
    window_start,
)

pytestmark = pytest.mark.backend_free

sizes = {
    "kernel_size": st.integers(1, 9),
    "stride": st.integers(1, 9),
    "dilation_rate": st.integers(1, 4),
    "padding": st.sampled_from(["valid", "same", "causal"]),
}


def test_the_worked_example():
    assert effective_kernel_size(5) == 5
    assert transposed_length(3, 5, 2, "valid") == 9
    assert transposed_length(3, 5, 2, "same") == 6
    assert transposed_length(3, 5, 2, "causal") == 6
    assert window_start(output_remainder(5, 2, "same"), 5, "same") == 1
    assert output_lengths(3, 5, 2, "same") == (5, 6)
    assert window_start(1, 5, "same") == 2
    assert convolved_length(5, 5, 2, "same") == convolved_length(6, 5, 2, "same") == 3


@given(**sizes)
def test_effective_kernel_size_is_the_span_of_the_taps(kernel_size, dilation_rate, **_):
    taps = [tap * dilation_rate for tap in range(kernel_size)]
    assert effective_kernel_size(kernel_size, dilation_rate) == taps[-1] - taps[0] + 1


@given(length=st.integers(1, 40), **sizes)
def test_convolved_length_counts_the_windows(length, kernel_size, stride, padding, dilation_rate):
    span = effective_kernel_size(kernel_size, dilation_rate)
    padded = length
    if padding == "same":  # TensorFlow's rule: enough zeros for ceil(length/stride) windows
        padded = max((-(-length // stride) - 1) * stride + span, length)
    if padding == "causal":
        padded = length + span - 1
    windows = len(range(0, padded - span + 1, stride))
    assert convolved_length(length, kernel_size, stride, padding, dilation_rate) == windows


@given(length=st.integers(1, 20), **sizes)
def test_every_length_that_may_be_asked_for_comes_back(length, kernel_size, stride, padding, dilation_rate):
    geometry = kernel_size, stride, padding, dilation_rate
    low, high = output_lengths(length, *geometry)
    assert high - low == stride - 1
    for output_length in range(low, high + 1):
        assert steps_for(output_length, *geometry) == length
        assert convolved_length(output_length, *geometry) == length
    assert convolved_length(low - 1, *geometry) == length - 1
    assert convolved_length(high + 1, *geometry) == length + 1


@given(length=st.integers(1, 20), **sizes)
def test_the_default_length_may_be_asked_for(length, kernel_size, stride, padding, dilation_rate):
    geometry = kernel_size, stride, padding, dilation_rate
    low, high = remainder_range(*geometry)
    assert low <= output_remainder(*geometry) <= high
    assert steps_for(transposed_length(length, *geometry), *geometry) == length


def test_a_length_that_no_input_makes_is_refused():
    with pytest.raises(ValueError, match=r"output_length must be at least 5 .* received 4"):
        steps_for(4, 5, 2, "valid")
