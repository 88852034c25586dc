"""The codebook initialization: as the orthogonal one, with codewords of the tokens that are learnt for the noise.

A token of a latent position has few dimensions, in which the orthogonal initialization gives it a random point of a
sphere. Noise mistakes a random point for its nearest neighbours. Points that are learnt lie further apart where it
counts: the codeword of a frequent token has more room. They minimise the cross-entropy of the token that was sent,
given its codeword with noise, by stochastic gradients: an autoencoder of single tokens (O'Shea and Hoydis, "An
Introduction to Deep Learning for the Physical Layer", arXiv 1702.00832, learn codes for a channel so). This takes
seconds, and the training of the model begins where single tokens have learnt what they can.
"""

from __future__ import annotations

import numpy as np

from textae.models.frequencies import log_frequencies

STEPS = 200
TOKENS_PER_STEP = 1024
LEARNING_RATE = 0.05  # of Adam, for codewords with a mean square of 1; it decays linearly
_MOST_LOGITS = 1 << 23  # of a step: larger vocabularies have fewer tokens a step
_ROWS = 64  # tokens whose logits are computed at once, so that these stay in the processor's cache
_GOOD_ENOUGH = 1e-5  # nats a token; there is nothing left to learn


def learnt_codewords(codewords: np.ndarray, variance: float, counts: np.ndarray, seed: int = 0) -> np.ndarray:
    """Return codewords (vocabulary, dimensions) of which fewer are mistaken for others under noise.

    Each has a mean square of 1, before and after.

    Args:
        codewords: (vocabulary, dimensions), float32, to begin with.
        variance: of the Gaussian noise that is added to each dimension.
        counts: (vocabulary,), how often each token occurs; one that does not counts as occurring once.
        seed: of the tokens and the noise that are drawn.
    """
    draw = np.random.default_rng(seed)
    prior = log_frequencies(counts)
    cumulative = np.cumsum(np.exp(prior, dtype=np.float64))
    rows = max(_ROWS, min(TOKENS_PER_STEP, _MOST_LOGITS // len(codewords)))
    codewords = _with_mean_square_1(codewords.astype(np.float32))
    first, second = np.zeros_like(codewords), np.zeros_like(codewords)
    for step in range(STEPS):
        tokens = np.searchsorted(cumulative, draw.random(rows) * cumulative[-1])
        noise = draw.standard_normal((rows, codewords.shape[1]), dtype=np.float32)
        received = codewords[tokens] + np.float32(np.sqrt(variance)) * noise
        loss, gradient = loss_and_gradient(codewords, tokens, received, variance, prior)
        if loss < _GOOD_ENOUGH:
            break
        gradient -= codewords * np.mean(gradient * codewords, axis=1, keepdims=True)  # along the sphere
        first += 0.1 * (gradient - first)
        second += 0.02 * (gradient**2 - second)
        scale = np.sqrt(second / (1 - 0.98 ** (step + 1))) + 1e-12
        rate = LEARNING_RATE * (1 - step / STEPS) / (1 - 0.9 ** (step + 1))
        codewords = _with_mean_square_1(codewords - np.float32(rate) * first / scale)
    return codewords


def loss_and_gradient(
    codewords: np.ndarray, tokens: np.ndarray, received: np.ndarray, variance: float, prior: np.ndarray
) -> tuple[float, np.ndarray]:
    """Return the mean cross-entropy in nats of tokens given what was received, and its gradient by the codewords.

    Args:
        codewords: (vocabulary, dimensions), of equal length.
        tokens: (count,), those that were sent.
        received: (count, dimensions), their codewords with noise.
        variance: of the noise.
        prior: (vocabulary,), the tokens' log probabilities.
    """
    loss, gradient = 0.0, np.zeros_like(codewords)
    for start in range(0, len(tokens), _ROWS):
        sent, near = tokens[start : start + _ROWS], received[start : start + _ROWS]
        numbers = np.arange(len(sent))
        logits = (near / np.float32(variance)) @ codewords.T + prior
        logits -= logits.max(axis=1, keepdims=True)
        error = np.exp(logits)
        total = error.sum(axis=1, keepdims=True)
        loss += float((np.log(total[:, 0]) - logits[numbers, sent]).sum())
        error /= total
        error[numbers, sent] -= 1
        gradient += error.T @ near
        np.add.at(gradient, sent, error @ codewords)
    return loss / len(tokens), gradient / np.float32(variance * len(tokens))


def _with_mean_square_1(rows: np.ndarray) -> np.ndarray:
    return rows / np.sqrt(np.mean(rows**2, axis=1, keepdims=True))
