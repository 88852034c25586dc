"""What survives of a code: metrics of texts that are decoded from latents under noise, or in few bits.

Each document is encoded once, and its latents are decoded once for each point of the curve; a portion of the documents
is held at a time.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from textae.data.preparation import in_portions
from textae.evaluation.latent_statistics import LatentStatistics
from textae.evaluation.metrics import TextMetrics
from textae.evaluation.rates import capacity
from textae.evaluation.token_sums import TokenSums
from textae.inference.codec import Reconstructed
from textae.inference.quantization import quantized
from textae.inference.text_autoencoder import TextAutoencoder
from textae.progress import Progress

CHARACTERS = 1 << 20  # of documents that are encoded at a time
NORMALIZED_BY = 4096  # latents of the train split, or a few more
_PORTION = 1 << 16  # characters of the train split that are encoded at a time
FLOAT32 = 32  # bits


@dataclass
class Curve:
    """A curve.

    Attributes:
        points: of each level a row: the level, `rate` in bits per token (None: without limit), and metrics.
        metrics: what holds for the whole curve, flat.
    """

    points: list[dict[str, Any]]
    metrics: dict[str, Any]


class Disturbance(ABC):
    """What is done to latents at each level of a curve."""

    levels: Sequence[Any]

    @abstractmethod
    def changed(self, level: Any, latents: list[np.ndarray], first: int) -> tuple[list[np.ndarray], float]:
        """Return the latents (latents, size) of consecutive documents at a level, and the bits that are left of them.

        `first` is the number of the first of them, from 0.
        """

    @abstractmethod
    def row(self, level: Any) -> dict[str, Any]:
        """Return what names a level."""

    @abstractmethod
    def metrics(self, points: list[dict[str, Any]]) -> dict[str, Any]:
        """Return what holds for the whole curve."""


class Noise(Disturbance):
    """Normalised latents under noise: x_a = sqrt(1 - a) x + sqrt(a) e, with e from N(0, 1).

    The fragility of Large Concept Models (arXiv 2412.08821, equations 26 to 28). Latents are normalised by the mean and
    the deviation of each dimension. The noise of a document is the same at each level, and that of document i, from 0,
    is what `numpy.random.default_rng([seed, i])` draws.

    Args:
        levels: values of a, from 0 to below 1.
        statistics: of the latents that latents are normalised by.
        seed: of the noise.
    """

    def __init__(self, levels: Sequence[float], statistics: LatentStatistics, seed: int = 0) -> None:
        self.levels, self.seed = levels, seed
        self.mean, self.deviation = statistics.mean, np.sqrt(statistics.variance)
        self.normalized_by = statistics.count

    def changed(self, level: float, latents: list[np.ndarray], first: int) -> tuple[list[np.ndarray], float]:
        """Return the latents under noise, and the capacity that it leaves."""
        if not level:
            return latents, float("inf")
        drawn = (
            np.random.default_rng([self.seed, number]).standard_normal(array.shape, np.float32)
            for number, array in enumerate(latents, first)
        )
        noisy = [
            (self.mean + np.sqrt(1 - level) * (array - self.mean) + np.sqrt(level) * self.deviation * noise)
            for array, noise in zip(latents, drawn, strict=True)
        ]
        bits = capacity((1 - level) * (self.deviation > 0), level)
        return [array.astype(np.float32) for array in noisy], bits * sum(map(len, latents))

    @property
    def _scale(self) -> float:
        return float(np.sqrt((self.deviation**2).mean()))

    def row(self, level: float) -> dict[str, Any]:
        """Return the level, and the deviation of the same noise beside latents that are not scaled down."""
        return {"noise_level": level, "latent_noise": float(np.sqrt(level / (1 - level))) * self._scale}

    def metrics(self, points: list[dict[str, Any]]) -> dict[str, Any]:
        """Return the scale of the latents."""
        return {
            "normalized_by": f"{self.normalized_by:,} latents of the train split",
            "latent_rms": float(np.sqrt((self.mean**2 + self.deviation**2).mean())),
            "latent_deviation": self._scale,
        }


class Bits(Disturbance):
    """Latents in fewer bits a number, as `encode bits=N` stores them; the first level is float32.

    Args:
        levels: bits, from 1 to 16.
        size: dimensions of a latent.
    """

    def __init__(self, levels: Sequence[int], size: int) -> None:
        self.levels, self.size = [FLOAT32, *levels], size

    def changed(self, level: int, latents: list[np.ndarray], first: int) -> tuple[list[np.ndarray], float]:
        """Return what is decoded of the stored latents, and the bits that they take, those of the ranges included."""
        if level == FLOAT32:
            return latents, float(FLOAT32 * sum(array.size for array in latents))
        blocks = list(quantized(latents, self.size, level))
        return [array for block in blocks for array in block.latents()], float(sum(b.stored_bits for b in blocks))

    def row(self, level: int) -> dict[str, Any]:
        """Return the bits."""
        return {"bits": level}

    def metrics(self, points: list[dict[str, Any]]) -> dict[str, Any]:
        """Return the fewest bits from which on nothing is lost that float32 keeps; None where each level loses."""
        lossless = None
        for point in sorted(points[1:], key=lambda point: -point["bits"]):
            if any(point[name] < points[0][name] for name in ("token_accuracy", "exact_match")):
                break
            lossless = point["bits"]
        return {"lossless_bits": lossless}


class _Point:
    """Sums of one level of a curve."""

    def __init__(self) -> None:
        self.texts = TextMetrics()
        self.bits, self.sums = 0.0, TokenSums()

    def add(self, portion: list[str], decoded: list[str], documents: list[Reconstructed], bits: float) -> None:
        self.bits += bits
        self.texts.update(portion, decoded)
        for document in documents:
            self.sums.add(document)

    def row(self) -> dict[str, Any]:
        found = self.texts.result()
        return {
            "rate": self.bits / self.sums.encoded if np.isfinite(self.bits) else None,
            "loss": self.sums.mean_loss,
            "token_accuracy": self.sums.token_accuracy,
            **{name: found[name] for name in ("exact_match", "bleu", "cer")},
        }


def curve(
    autoencoder: TextAutoencoder,
    texts: Iterable[str],
    disturbance: Disturbance,
    total: int = 0,
) -> Curve:
    """Return the curve of a run over documents.

    Args:
        autoencoder: as `textae.load` gives it.
        texts: the documents; those that `overflow=drop` leaves out are not counted.
        disturbance: what is done to the latents.
        total: how many documents there are, for the progress that is shown.

    Raises:
        ValueError: no documents.
    """
    tokenizer, codec, levels = autoencoder.tokenizer, autoencoder.codec, disturbance.levels
    points = [_Point() for _ in levels]
    read = dropped = floats = 0
    with Progress("decoding at each level", total * len(levels), unit="document") as progress:
        for given in in_portions(texts, CHARACTERS):
            pairs = zip(given, tokenizer.encode(given), strict=True)
            kept = [(text, ids) for text, ids in pairs if not codec.left_out(ids)]
            portion, documents = [text for text, _ in kept], [ids for _, ids in kept]
            latents = [np.reshape(array, (-1, codec.model.latent_size)) for array in codec.encode(documents)]
            for level, point in zip(levels, points, strict=True):
                changed, bits = disturbance.changed(level, latents, read) if latents else ([], 0.0)
                found = [one for one in codec.reconstruct(documents, latents=changed) if one is not None]
                point.add(portion, tokenizer.decode([one.ids for one in found]), found, bits)
                progress.advance(len(given))
            read, dropped = read + len(portion), dropped + len(given) - len(portion)
            floats += sum(array.size for array in latents)
    if not read:
        raise ValueError(f"expected documents to evaluate, found none (dropped as too long: {dropped})")
    rows = [disturbance.row(level) | point.row() for level, point in zip(levels, points, strict=True)]
    sizes = {
        "latent_floats_per_token": floats / points[0].sums.encoded,
        "documents": read,
        "documents_dropped": dropped,
        "tokens": points[0].sums.tokens,
    }
    return Curve(rows, disturbance.metrics(rows) | sizes)


def train_statistics(autoencoder: TextAutoencoder, train: Iterable[str]) -> LatentStatistics:
    """Return the statistics of the latents of the first documents of a train split: `NORMALIZED_BY` or a few more.

    Raises:
        ValueError: there are none.
    """
    statistics = LatentStatistics()
    statistics.update(train_latents(autoencoder, train))
    return statistics


def train_latents(autoencoder: TextAutoencoder, train: Iterable[str]) -> np.ndarray:
    """Return the latents of the first documents of a train split, float32 (latents, size): as `train_statistics`.

    Raises:
        ValueError: there are none.
    """
    found, count = [], 0
    for portion in in_portions(train, _PORTION):
        for latents in autoencoder.codec.encode(autoencoder.tokenizer.encode(portion)):
            found.append(np.reshape(latents, (-1, autoencoder.model.latent_size)))
            count += len(found[-1])
        if count >= NORMALIZED_BY:
            break
    if not count:
        raise ValueError("expected documents in the train split, to normalise latents by, found none")
    return np.concatenate(found)
