"""The rule of segments, latent positions and ends, against texts that are gone through token by token."""

import numpy as np
import pytest

from textae.data.positions import num_positions, num_segments, position_mask, segment_counts, text_lengths

pytestmark = pytest.mark.backend_free


def test_latent_positions_and_segments_are_counted_upwards():
    assert num_positions(np.array([0, 1, 4, 5, 8]), 4).tolist() == [0, 1, 1, 2, 2]
    assert num_segments(17, 8) == 3


def test_a_mask_marks_what_counts():
    assert position_mask(np.array([0, 2, 3]), 3).tolist() == [[False] * 3, [True, True, False], [True] * 3]


def test_segments_have_their_shares():
    assert segment_counts(np.array([0, 5, 9]), 3, 4).tolist() == [0, 0, 0, 4, 1, 0, 4, 4, 1]


def by_hand(ends, positions, stride, holds_end):
    """Ids in front of the first end of the last latent position."""
    length = positions * stride
    if holds_end:
        for place in range(max(length - stride, 0), length):
            if ends[place]:
                return place
    return length


@pytest.mark.parametrize("stride", [1, 3, 4])
def test_a_text_ends_in_its_last_latent_position(stride):
    draw = np.random.default_rng(stride)
    ends = draw.random((200, 4 * stride)) < 0.3
    positions = draw.integers(0, 5, 200).astype(np.int32)
    holds_end = draw.random(200) < 0.7
    found = text_lengths(ends, positions, stride, holds_end)
    rows = zip(ends, positions.tolist(), holds_end, strict=True)
    assert found.tolist() == [by_hand(row, count, stride, holds) for row, count, holds in rows]
    alone = text_lengths(ends, positions, stride, True)
    rows = zip(ends, positions.tolist(), strict=True)
    assert alone.tolist() == [by_hand(row, count, stride, True) for row, count in rows]
