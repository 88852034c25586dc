"""The bag-of-words loss: a text's vector predicts its tokens, whatever their order.

As in paragraph vectors (PV-DBOW, Le and Mikolov, arXiv 1405.4053), with an encoder in place of a table of vectors and
the whole softmax in place of a sample. Of a text that is corrupted, the tokens that the encoder did not see are
predicted, as word2vec predicts a word from those around it: a vector then says which words go together. All tokens
would make a latent semantic analysis whose errors are cross-entropies (docs/embeddings.md compares both).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops

from textae.data.positions import position_mask
from textae.layers.data_parallel import total
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
    """Adds `bag_of_words_loss`: the mean cross-entropy (nats) of tokens not encoded, times the batch's tokens.

    Args:
        model: with a bag-of-words head.
        weight: of the loss, beside that of the reconstruction.
        token_weights: (vocabulary,), what each token of a text counts.
    """

    def __init__(self, model: Autoencoder, weight: float, token_weights: np.ndarray) -> None:
        self.model, self.weight, self.token_weights = model, weight, token_weights

    def __call__(
        self, sums: dict[str, Any], out: Reconstruction, texts: tuple[Any, Any], encoded: tuple[Any, Any]
    ) -> None:
        """Add to the sums.

        Args:
            sums: of the batch so far.
            out: what the model made.
            texts: ids (batch, length) and lengths (batch,) before corruption.
            encoded: the same as they were encoded; where that is the text itself, all of its tokens are predicted.
        """
        head = self.model.bag_of_words
        if head is None:
            raise ValueError("expected a model with a bag-of-words head, received one without")
        logits = head(out.latent)
        target_bags = bags(*texts, self.model.vocabulary_size)
        if encoded[0] is not texts[0]:
            target_bags = ops.maximum(target_bags - bags(*encoded, self.model.vocabulary_size), 0.0)
        loss = bag_of_words_loss(logits, target_bags * ops.convert_to_tensor(self.token_weights))
        sums["bag_of_words_loss"] = loss * total(sums["tokens"])
        sums["total"] += self.weight * sums["bag_of_words_loss"]


def bags(tokens: Any, lengths: Any, vocabulary_size: int) -> Any:
    """Return float32 (batch, vocabulary): how often each text has each id; the end counts as a token.

    Args:
        tokens: (batch, length) int32 ids, padded; lengths: (batch,) int32, each text's own tokens.
        vocabulary_size: ids.
    """
    rows, length = ops.shape(tokens)
    mask = ops.cast(position_mask(lengths, length, ops), "float32")
    row = ops.repeat(ops.arange(rows, dtype="int32"), length)
    at = row * vocabulary_size + ops.reshape(tokens, (-1,))
    counts = ops.segment_sum(ops.reshape(mask, (-1,)), at, num_segments=rows * vocabulary_size)
    return ops.reshape(counts, (rows, vocabulary_size))


def bag_of_words_loss(logits: Any, target_bags: Any) -> Any:
    """Return the mean cross-entropy of texts' tokens, in nats, each token with its weight.

    Where several devices share the batch it is what this device's texts add to the mean over all of them.

    Args:
        logits: (batch, vocabulary) float32.
        target_bags: (batch, vocabulary) float32, the weights of each text's tokens, summed.
    """
    loss = ops.sum(ops.sum(target_bags, axis=1) * ops.logsumexp(logits, axis=1)) - ops.sum(target_bags * logits)
    return loss / ops.maximum(total(ops.sum(target_bags)), 1e-6)
