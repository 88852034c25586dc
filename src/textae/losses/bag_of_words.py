"""The bag-of-words loss: a text's vector predicts its tokens, whatever their order.

As in paragraph vectors (PV-DBOW, Le and Mikolov, arXiv 1405.4053), with an encoder in place of a table of vectors and
the whole softmax in place of a sample. With an encoder that is linear it is a latent semantic analysis whose errors are
cross-entropies.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops

from textae.data.positions import position_mask
from textae.models.autoencoder import Autoencoder, Reconstruction

SMOOTHING = 1e-3  # of inverse frequencies: `a` of the weights a / (a + p)


def token_weights(counts: np.ndarray) -> np.ndarray:
    """Return float32 (vocabulary,): inverse frequencies a / (a + p), of mean 1 over the tokens of a corpus.

    As smooth inverse frequencies (Arora et al., ICLR 2017, "A simple but tough-to-beat baseline for sentence
    embeddings").

    Args:
        counts: (vocabulary,), how often each id occurs in the corpus.
    """
    shares = counts / max(counts.sum(), 1)
    weights = SMOOTHING / (SMOOTHING + shares)
    return (weights / max((weights * shares).sum(), 1e-12)).astype(np.float32)


class BagOfWordsTerm:
    """Adds `bag_of_words_loss`: the weighted mean of the tokens' cross-entropies (nats), times the batch's tokens.

    Args:
        model: with a bag-of-words head.
        weight: of the loss, beside that of the reconstruction.
        token_weights: (vocabulary,), what each token of a text counts.
    """

    def __init__(self, model: Autoencoder, weight: float, token_weights: np.ndarray) -> None:
        self.model, self.weight, self.token_weights = model, weight, token_weights

    def __call__(self, sums: dict[str, Any], out: Reconstruction, tokens: Any, lengths: Any) -> None:
        """Add to the sums; `tokens` (batch, length) and `lengths` (batch,) are those of the text before corruption."""
        loss = bag_of_words_loss(self.model.bag_of_words(out.latent), tokens, lengths, self.token_weights)
        sums["bag_of_words_loss"] = loss * sums["tokens"]
        sums["total"] += self.weight * sums["bag_of_words_loss"]


def bag_of_words_loss(logits: Any, tokens: Any, lengths: Any, token_weights: Any) -> Any:
    """Return the mean cross-entropy of texts' tokens, in nats, each token with its weight; the end counts as a token.

    Args:
        logits: (batch, vocabulary) float32.
        tokens: (batch, length) int32 ids, padded; lengths: (batch,) int32, each text's own tokens.
        token_weights: (vocabulary,) float32.
    """
    rows, length = ops.shape(tokens)
    mask = ops.cast(position_mask(lengths, length, ops), "float32")
    weights = mask * ops.take(ops.convert_to_tensor(token_weights), tokens, axis=0)
    at = ops.repeat(ops.arange(rows, dtype="int32"), length) * logits.shape[-1] + ops.reshape(tokens, (-1,))
    bags = ops.segment_sum(ops.reshape(weights, (-1,)), at, num_segments=rows * logits.shape[-1])
    bags = ops.reshape(bags, (rows, logits.shape[-1]))
    loss = ops.sum(ops.sum(bags, axis=1) * ops.logsumexp(logits, axis=1)) - ops.sum(bags * logits)
    return loss / ops.maximum(ops.sum(weights), 1e-6)
