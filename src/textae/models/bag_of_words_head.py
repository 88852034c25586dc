"""The bag-of-words head: which tokens a vector's text has, in whatever order."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from textae.layers.linear import Linear
from textae.models.frequencies import log_frequencies


@keras.saving.register_keras_serializable(package="textae")
class BagOfWordsHead(Linear):
    """Vectors (batch, size) -> logits (batch, vocabulary) of a token drawn from the vector's text.

    The kernel has a column for each token, as the output layer of word2vec (Mikolov et al., arXiv 1310.4546).
    """

    def assign_frequencies(self, counts: np.ndarray) -> None:
        """Make the bias the logarithm of the frequencies, so that a new head predicts those of the corpus.

        Args:
            counts: (vocabulary,), how often each id occurs; one that does not counts as occurring once.
        """
        bias: Any = self.bias  # it has one
        bias.assign(log_frequencies(counts))
