"""Metrics of latents with the noise of training, and of the posteriors of variational models."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from textae.data.corruption import Corruption
from textae.evaluation.posterior_statistics import PosteriorStatistics, kl_from_normal
from textae.inference.codec import Codec


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
        if importance_samples and not self.variational:
            raise ValueError(
                f"expected importance_samples=0 of a run that is not variational, received {importance_samples}"
            )
        self.codec, self.importance_samples = codec, importance_samples
        self.posteriors = PosteriorStatistics()
        self._draw, self._importance_draw = np.random.default_rng(0), np.random.default_rng(1)
        self.documents = self.tokens = self.encoded = self.right = self.exact = 0
        self.loss = self.kl = self.nll = 0.0

    def update(
        self,
        documents: Sequence[np.ndarray],
        latents: np.ndarray,
        log_variances: np.ndarray | None,
        corruption: Corruption | None = None,
    ) -> None:
        """Add documents, as ids without their end, with their latents (latents, dimensions) and log-variances."""
        for document in self.codec.reconstruct(documents, corruption, draw=self._draw):
            if document is not None:
                self.documents += 1
                self.tokens += len(document.correct)
                self.encoded += len(document.token_losses)
                self.right += int(document.correct.sum())
                self.exact += bool(document.correct.all())
                self.loss += float(document.token_losses.sum(dtype=np.float64))
        if log_variances is not None:
            self.posteriors.update(latents, log_variances)
            self.kl += float(kl_from_normal(latents, log_variances).sum(dtype=np.float64))
        if self.importance_samples:
            self.nll += self._importance_weighted(documents, corruption)

    def _importance_weighted(self, documents: Sequence[np.ndarray], corruption: Corruption | None) -> float:
        """Return the summed negative log-likelihood of documents in nats, a bound that more samples make tighter."""
        weights = []
        for _ in range(self.importance_samples):
            found = self.codec.reconstruct(documents, corruption, draw=self._importance_draw)
            weights.append(
                [
                    document.log_ratio - float(document.token_losses.sum(dtype=np.float64))
                    for document in found
                    if document is not None and document.log_ratio is not None
                ]
            )
        bounds = np.logaddexp.reduce(np.array(weights), axis=0) - math.log(self.importance_samples)
        return -float(bounds.sum())

    def result(self) -> dict[str, float]:
        """Return the metrics by name."""
        found = {
            "noisy_loss": self.loss / self.encoded,
            "noisy_token_accuracy": self.right / self.tokens,
            "noisy_exact_match": self.exact / self.documents,
        }
        if self.variational:
            found |= {
                "kl": self.kl / self.documents,
                "rate": self.kl / math.log(2) / self.encoded,
                "elbo": -(self.loss + self.kl) / self.documents,
                **self.posteriors.result(),
            }
        if self.importance_samples:
            found["nll"] = self.nll / self.documents
        return found
