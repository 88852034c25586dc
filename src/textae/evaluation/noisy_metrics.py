"""Metrics of latents with the noise of training, and of the posteriors of variational models."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from textae.evaluation.posterior_statistics import PosteriorStatistics
from textae.evaluation.token_sums import TokenSums
from textae.inference.codec import Codec, Reconstructed
from textae.inference.latent_operations import check_variational


class NoisyMetrics:
    """Metrics of documents whose latents are decoded with the noise of training, fed in portions.

    That noise is a draw from the posterior of a variational model, and `model.latent_noise`. The same documents have
    the same noise.

    Args:
        codec: that of the run.
        importance_samples: draws for the importance-weighted likelihood (Burda et al., arXiv 1509.00519); 0 for none.

    Raises:
        ValueError: importance samples of a model that is not variational.
    """

    def __init__(self, codec: Codec, importance_samples: int = 0) -> None:
        self.variational: bool = codec.model.variational
        if importance_samples:
            check_variational(self.variational)
        self.codec, self.importance_samples = codec, importance_samples
        self.posteriors, self.sums = PosteriorStatistics(), TokenSums()
        self._draw, self._importance_draw = np.random.default_rng(0), np.random.default_rng(1)
        self.documents = self.exact = 0
        self.nll = 0.0

    def update(self, documents: Sequence[np.ndarray], encoded: Sequence[Reconstructed]) -> None:
        """Add documents, as ids without their end, with what is known of their latents without noise."""
        latents, _ = drawn(self.codec, encoded, self._draw)
        for document in self.codec.reconstruct(documents, latents=latents):
            if document is not None:
                self.sums.add(document)
                self.documents += 1
                self.exact += bool(document.correct.all())
        log_variances = [document.log_variances for document in encoded if document.log_variances is not None]
        if log_variances:
            self.posteriors.update(
                np.concatenate([document.latents for document in encoded]), np.concatenate(log_variances)
            )
        if self.importance_samples:
            self.nll += self._importance_weighted(documents, encoded)

    def _importance_weighted(self, documents: Sequence[np.ndarray], encoded: Sequence[Reconstructed]) -> float:
        """Return the summed negative log-likelihood of documents in nats, a bound that more samples make tighter."""
        weights = []
        for _ in range(self.importance_samples):
            latents, ratios = drawn(self.codec, encoded, self._importance_draw)
            found = self.codec.reconstruct(documents, latents=latents)
            losses = [0.0 if each is None else float(each.token_losses.sum(dtype=np.float64)) for each in found]
            weights.append(ratios - np.array(losses))
        bounds = np.logaddexp.reduce(np.array(weights), axis=0) - math.log(self.importance_samples)
        return -float(bounds.sum())

    def result(self, kl: float) -> dict[str, float]:
        """Return the metrics by name; `kl` is the divergence (nats) of all documents' posteriors."""
        found = {
            "noisy_loss": self.sums.mean_loss,
            "noisy_token_accuracy": self.sums.token_accuracy,
            "noisy_exact_match": self.exact / self.documents,
        }
        if self.variational:
            found |= {
                "kl": kl / self.documents,
                "rate": kl / math.log(2) / self.sums.encoded,
                "elbo": -(self.sums.loss + kl) / self.documents,
                **self.posteriors.result(),
            }
        if self.importance_samples:
            found["nll"] = self.nll / self.documents
        return found


def drawn(
    codec: Codec, encoded: Sequence[Reconstructed], draw: np.random.Generator
) -> tuple[list[np.ndarray], np.ndarray]:
    """Return each document's latents with the noise that they have in training, and log p(z) - log q(z | x).

    The ratio (nats) is of the draw from the posterior of a variational model; it is 0 for others.
    """
    deviation = np.float32(codec.model.specifications[1].noise)
    noisy, ratios = [], np.zeros(len(encoded))
    for number, document in enumerate(encoded):
        latents = document.latents
        if document.log_variances is not None:
            noise = draw.standard_normal(latents.shape, np.float32)
            latents = latents + np.exp(0.5 * document.log_variances) * noise
            ratios[number] = 0.5 * (document.log_variances + noise**2 - latents**2).sum(dtype=np.float64)
        if deviation:
            latents = latents + deviation * draw.standard_normal(latents.shape, np.float32)
        noisy.append(latents)
    return noisy, ratios
