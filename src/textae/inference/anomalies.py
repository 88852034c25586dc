"""How odd a text is, from how its tokens compare with what was predicted for their positions; lines by their scores."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np

from textae.losses.prediction import Surprise

ODDEST = 4  # tokens of a text that its score is the mean of
Detector = Callable[[Sequence[str]], np.ndarray]  # of lines; their scores, float64 (lines,)
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


class ScoredLine(NamedTuple):
    """A line of a log, its number from 1 on, and its score by each detector, the model's first."""

    scores: tuple[float, ...]
    number: int
    line: str


def scored_lines(lines: Sequence[str], detectors: Iterable[Detector], first: int = 1) -> list[ScoredLine]:
    """Return consecutive lines with their scores; `first` is the number of the first of them."""
    scores = zip(*(detect(lines).tolist() for detect in detectors), strict=True)
    return [ScoredLine(found, first + i, lines[i]) for i, found in enumerate(scores)]


def oddest_first(rows: Iterable[ScoredLine]) -> list[ScoredLine]:
    """Return rows sorted by the model's score: high ones first, and before them those that are no numbers."""
    return sorted(rows, key=lambda row: -row.scores[0] if math.isfinite(row.scores[0]) else -math.inf)
