"""What a code costs, in bits: how much of a latent is left under Gaussian noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def capacity(variances: ArrayLike, noise: ArrayLike) -> float:
    """Return the bits of a latent that Gaussian noise leaves: 1/2 log2(1 + signal / noise), summed over dimensions.

    It is the capacity of parallel Gaussian channels (Shannon 1948), a limit that no code of these variances exceeds.

    Args:
        variances: of each dimension over all latents, (dimensions,).
        noise: variance of the noise, above 0: one number, or one for each dimension.

    Raises:
        ValueError: noise of no variance, whose capacity has no limit.
    """
    noise = np.asarray(noise, np.float64)
    if not (noise > 0).all():
        raise ValueError(f"expected noise of a variance above 0, received {noise.min()}")
    return float(0.5 * np.log2(1 + np.asarray(variances, np.float64) / noise).sum())
