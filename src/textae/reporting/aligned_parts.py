"""Two texts as parts that stand at the same tokens, to be compared one by one."""

from __future__ import annotations

import numpy as np

from textae.data.tokenizers import Tokenizer


def aligned_parts(
    tokenizer: Tokenizer, original: np.ndarray, reconstruction: np.ndarray
) -> tuple[list[str], list[str]]:
    """Return the texts of both in parts of one token, or of as many as hold a whole character of the original.

    Both are ids without the end. The longer text has more parts.
    """
    ends = _characters(tokenizer, original)
    starts = [0, *ends[:-1]] if ends else []
    ends += range(len(original) + 1, len(reconstruction) + 1)
    starts += range(len(original), len(reconstruction))
    between = "" if tokenizer.lossless else " "  # words
    first, second = (
        [
            text + between
            for text in tokenizer.decode(
                [ids[start:end] for start, end in zip(starts, ends, strict=True) if start < len(ids)]
            )
        ]
        for ids in (original, reconstruction)
    )
    return first, second


def _characters(tokenizer: Tokenizer, ids: np.ndarray) -> list[int]:
    """Return the positions where parts of ids end; ids that are bytes of one character stay together."""
    ends: list[int] = []
    single = tokenizer.decode([[i] for i in ids])
    start = 0
    while start < len(ids):
        end = start + 1
        if "\ufffd" in single[start]:
            candidates = [ids[start : start + size] for size in range(2, 5) if start + size <= len(ids)]
            texts = tokenizer.decode(candidates)
            whole = [len(c) for c, text in zip(candidates, texts, strict=True) if len(text) == 1 and text != "\ufffd"]
            end = start + whole[0] if whole else end
        ends.append(end)
        start = end
    return ends
