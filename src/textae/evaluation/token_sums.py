"""Sums over the tokens of reconstructed documents."""

from __future__ import annotations

import numpy as np

from textae.inference.codec import Reconstructed


class TokenSums:
    """Sums over documents: `loss` (nats) over the tokens that were `encoded`, and how many of `tokens` are `right`."""

    def __init__(self) -> None:
        self.loss = 0.0
        self.encoded = self.right = self.tokens = 0

    def add(self, document: Reconstructed) -> None:
        """Add a document."""
        self.loss += float(document.token_losses.sum(dtype=np.float64))
        self.encoded += len(document.token_losses)
        self.right += int(document.correct.sum())
        self.tokens += len(document.correct)

    @property
    def mean_loss(self) -> float:
        """The loss of an encoded token."""
        return self.loss / self.encoded

    @property
    def token_accuracy(self) -> float:
        """The share of right tokens."""
        return self.right / self.tokens
