"""How well vectors predict their texts' tokens by the model's bag-of-words head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

from textae.data.special_tokens import END_ID
from textae.models.autoencoder import Autoencoder

ROWS = 256  # vectors whose logits are held at a time


class BagOfWordsLoss:
    """The mean cross-entropy of tokens, the end of each text among them, over documents that are added.

    Args:
        model: with a bag-of-words head; its weights are read now.
    """

    def __init__(self, model: Autoencoder) -> None:
        head = model.bag_of_words
        if head is None:
            raise ValueError("expected a model with a bag-of-words head, received one without")
        self._max_length = model.max_length
        self._kernel, self._bias = (ops.convert_to_numpy(weight) for weight in (head.kernel, head.bias))
        self._loss, self._tokens = 0.0, 0

    def add(self, documents: Sequence[np.ndarray], latents: Sequence[np.ndarray]) -> None:
        """Add documents, as ids without their ends, and the vectors (segments, size) of each."""
        from scipy.special import logsumexp

        segments = []
        for ids, vectors in zip(documents, latents, strict=True):
            tokens = np.append(ids, END_ID)
            starts = range(0, len(vectors) * self._max_length, self._max_length)
            segments += [tokens[start : start + self._max_length] for start in starts]
        rows = np.concatenate(list(latents))
        for first in range(0, len(rows), ROWS):
            logits = rows[first : first + ROWS] @ self._kernel + self._bias
            totals: Any = logsumexp(logits, axis=1)
            for row, total, tokens in zip(logits, totals, segments[first : first + ROWS], strict=True):
                self._loss += float(len(tokens) * total - row[tokens].sum(dtype=np.float64))
                self._tokens += len(tokens)

    def result(self) -> float:
        """Return the mean (nats)."""
        return self._loss / max(self._tokens, 1)
