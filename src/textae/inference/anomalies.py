"""How odd a text is, from how its tokens compare with what was predicted for their positions."""

from __future__ import annotations

import numpy as np

from textae.losses.prediction import Surprise

ODDEST = 4  # tokens of a text that its score is the mean of
_LEAST_VARIANCE = 1.0  # nats squared: where the prediction is sure, a wrong token's deviation stays finite


def anomaly_score(surprise: Surprise) -> float:
    """Return the mean deviation of a text's oddest tokens, a number of standard deviations.

    A token's deviation is its cross-entropy minus the entropy of the prediction, divided by the standard deviation that
    a cross-entropy has under the prediction. So a rare name where any name may stand counts for little, and a rare word
    where always the same stands counts for much. A mean over all tokens would hide one odd word in a long line.

    Args:
        surprise: of the text's tokens, arrays (tokens,).
    """
    losses, entropies, variances = (np.asarray(values, np.float64) for values in surprise)
    deviations = (losses - entropies) / np.sqrt(variances + _LEAST_VARIANCE)
    return float(np.sort(deviations)[-ODDEST:].sum() / ODDEST)
