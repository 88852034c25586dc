"""Rows of decoder states and their targets."""

import numpy as np

VOCABULARY, CHANNELS = 23, 7


def example(rows, seed=0, bias=True):
    draw = np.random.default_rng(seed)
    weights = draw.uniform(0.5, 2, rows) * (draw.uniform(size=rows) > 0.3)
    if rows == 1:
        weights[:] = 1.5
    return (
        draw.standard_normal((rows, CHANNELS)).astype(np.float32),
        draw.standard_normal((VOCABULARY, CHANNELS)).astype(np.float32),
        draw.integers(0, VOCABULARY, rows).astype(np.int32),
        weights.astype(np.float32),
        draw.standard_normal(VOCABULARY).astype(np.float32) if bias else None,
    )
