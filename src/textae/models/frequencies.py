"""Biases that say how frequent each token is."""

import numpy as np


def log_frequencies(counts: np.ndarray) -> np.ndarray:
    """Return the logarithms of frequencies, float32 (vocabulary,).

    As the bias of logits that are likelihood ratios, they make posterior probabilities of them: where a latent says
    little of a token, a frequent one is the better answer.

    Args:
        counts: (vocabulary,), how often each id occurs; one that does not counts as occurring once.
    """
    at_least_one = np.maximum(counts, 1.0)
    return np.log(at_least_one / at_least_one.sum()).astype(np.float32)
