"""What the posteriors of a variational model are like over a corpus, and how near their mixture is to N(0, I)."""

from __future__ import annotations

import numpy as np

from textae.evaluation.even_sample import EvenSample

LATENTS = 1000  # for the estimates that compare each latent with each other
RANGES = (1, 3, 10, 30)  # widths of the kernels of the discrepancy, as multiples of a tenth of 2 * dimensions


def kl_from_normal(means: np.ndarray, log_variances: np.ndarray) -> np.ndarray:
    """Return the divergence of posteriors from N(0, 1) in nats, of each latent and dimension."""
    return 0.5 * (means**2 + np.exp(log_variances) - 1 - log_variances)


class PosteriorStatistics:
    """Statistics of posteriors, each a normal distribution of (dimensions,), fed in portions.

    Means and variances are over all latents. The estimates that compare latents with each other are over at most
    `LATENTS` of them, of which each is chosen with the same probability; they are the same for the same latents.
    """

    def __init__(self) -> None:
        self.count = 0
        self._sample = EvenSample(LATENTS)
        self._mean: np.ndarray | float = 0.0
        self._squares: np.ndarray | float = 0.0  # of the means
        self._variances: np.ndarray | float = 0.0

    def update(self, means: np.ndarray, log_variances: np.ndarray) -> None:
        """Add posteriors, arrays of shape (latents, dimensions)."""
        exact = means.astype(np.float64)
        self.count += len(means)
        self._mean = self._mean + exact.sum(axis=0)
        self._squares = self._squares + (exact**2).sum(axis=0)
        self._variances = self._variances + np.exp(log_variances.astype(np.float64)).sum(axis=0)
        self._sample.update(np.concatenate([means, log_variances], axis=1))

    def result(self) -> dict[str, float]:
        """Return the metrics by name."""
        mean, variance_of_means = self._moments()
        means, log_variances = np.split(self._sample.rows.astype(np.float64), 2, axis=1)
        draw = np.random.default_rng(0)
        drawn = means + np.exp(0.5 * log_variances) * draw.standard_normal(means.shape)
        return {
            "mutual_information": mutual_information(means, log_variances, drawn),
            "posterior_mean_deviation": float(np.sqrt(variance_of_means.mean())),
            "aggregate_mean": float(np.sqrt((mean**2).mean())),
            "aggregate_variance": float((variance_of_means + self._variances / self.count).mean()),
            "mmd": squared_discrepancy(drawn, draw.standard_normal(means.shape)),
        }

    def _moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Return each dimension's mean and variance of the posteriors' means."""
        mean = np.asarray(self._mean / self.count)
        return mean, np.maximum(self._squares / self.count - mean**2, 0.0)


def mutual_information(means: np.ndarray, log_variances: np.ndarray, drawn: np.ndarray) -> float:
    """Return the mutual information of texts and latents in nats a latent, estimated from the posteriors of some texts.

    The mean of log q(z | x) - log q(z) over latents z drawn from the posteriors, where q(z) is the mixture of all of
    them (Hoffman and Johnson, 2016). So it is at most the logarithm of their number.

    Args:
        means: (latents, dimensions), of the posteriors.
        log_variances: of the same shape.
        drawn: a latent of each, of the same shape.
    """
    precisions = np.exp(-log_variances)
    distances = (
        drawn**2 @ precisions.T
        - 2 * drawn @ (means * precisions).T
        + (means**2 * precisions + log_variances).sum(axis=1)[None, :]
    )
    densities = -0.5 * distances  # without the constant, which cancels
    mixture = np.logaddexp.reduce(densities, axis=1) - np.log(len(means))
    return float((np.diag(densities) - mixture).mean())


def squared_discrepancy(one: np.ndarray, other: np.ndarray) -> float:
    """Return the squared maximum mean discrepancy of two samples (latents, dimensions), unbiased, so it may be below 0.

    The kernel is a sum of inverse multiquadrics c / (c + squared distance), as in Tolstikhin et al. (arXiv 1711.01558).
    """
    size = 2 * one.shape[1]
    scales = [size * factor / 10 for factor in RANGES]

    def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        squares = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1)[None, :] - 2 * a @ b.T
        return np.mean([scale / (scale + np.maximum(squares, 0.0)) for scale in scales], axis=0)

    def within(a: np.ndarray) -> float:
        values = kernel(a, a)
        return float((values.sum() - np.trace(values)) / max(len(a) * (len(a) - 1), 1))

    return within(one) + within(other) - 2 * float(kernel(one, other).mean())
