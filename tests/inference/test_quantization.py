"""Latents in few bits: values, ranges, bits."""

import numpy as np
import pytest

from textae.inference import quantization
from textae.inference.quantization import packed, quantized, unpacked

pytestmark = pytest.mark.backend_free


def test_numbers_become_the_middle_of_their_level():
    rows = np.array([[0.0, 5.0], [1.0, 5.0], [2.0, 5.0], [4.0, 5.0]], np.float32)
    (block,) = quantized([rows[:1], rows[1:]], 2, 2)
    np.testing.assert_array_equal(block.ranges, [[0, 5], [4, 5]])
    np.testing.assert_array_equal(block.codes, [[0, 0], [1, 0], [2, 0], [3, 0]])
    first, second = block.latents()
    np.testing.assert_array_equal(first, [[0.5, 5]])
    np.testing.assert_array_equal(second, [[1.5, 5], [2.5, 5], [3.5, 5]])
    assert block.stored_bits == 16 + 4 * 32


@pytest.mark.parametrize("bits", [1, 3, 5, 8, 16])
def test_errors_of_even_numbers_are_half_a_step(bits):
    rows = np.linspace(-1, 1, 2**16 + 1, dtype=np.float32).reshape(-1, 1)
    (block,) = quantized([rows], 1, bits)
    assert np.abs(block.latents()[0] - rows).max() <= 2.0**-bits * 1.01 + 1e-7


def test_few_levels_are_spent_where_most_numbers_are():
    """Lloyd's best uniform quantiser of a Gaussian with 3 bits leaves an error of 0.0374 (Max 1960, table II)."""
    rows = np.random.default_rng(0).standard_normal((20_000, 4)).astype(np.float32)
    (block,) = quantized([rows], 4, 3)
    error = ((np.concatenate(block.latents()) - rows) ** 2).mean()
    assert 0.037 < error < 0.041
    farthest = np.abs(rows).max()
    assert error < (2 * farthest / 8) ** 2 / 12 / 1.5  # of levels that reach the farthest number


def test_blocks_have_ranges_of_their_own(monkeypatch):
    monkeypatch.setattr(quantization, "TEXTS", 2)
    texts = [np.full(3, value, np.float32) + np.arange(3) for value in (0, 1, 100)]
    first, second = quantized(texts, 3, 8)
    assert first.counts.tolist() == [1, 1] and second.counts.tolist() == [1]
    np.testing.assert_array_equal(second.ranges, [[100, 101, 102]] * 2)
    np.testing.assert_array_equal(second.latents()[0], [texts[2]])


@pytest.mark.parametrize("bits", range(1, 17))
@pytest.mark.parametrize("count", [0, 1, 7, 64, 131])
def test_packing(monkeypatch, bits, count):
    monkeypatch.setattr(quantization, "_AT_ONCE", 64)
    codes = np.random.default_rng(count).integers(0, 2**bits, count).astype(np.uint16)
    content = packed(codes, bits)
    assert len(content) == -(-count * bits // 8)
    np.testing.assert_array_equal(unpacked(content, count, bits), codes)
    text = "".join(f"{code:0{bits}b}" for code in codes)
    assert "".join(f"{byte:08b}" for byte in content)[: len(text)] == text
    with pytest.raises(ValueError, match="bytes of codes, found"):
        unpacked(content + b"x", count, bits)


@pytest.mark.parametrize("bits", [0, 17])
def test_bits_have_bounds(bits):
    with pytest.raises(ValueError, match=f"expected bits from 1 to 16, received {bits}"):
        list(quantized([np.zeros((1, 2), np.float32)], 2, bits))
