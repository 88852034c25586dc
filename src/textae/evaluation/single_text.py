"""One text: its latents, how they survive noise and few bits, and what is decoded of them.

The noise and the bits are those of `evaluate curve=noise` and `curve=bits`. A single text has no statistics of its own:
the noise is scaled, and the levels lie, as the latents of the train split say.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from textae.config.checks import MOST_BITS
from textae.evaluation.curves import FLOAT32, Noise
from textae.evaluation.latent_statistics import LatentStatistics
from textae.evaluation.metrics import edit_distance
from textae.evaluation.rates import capacity
from textae.inference.codec import Reconstructed
from textae.inference.quantization import codes_of, ranges_of, values_of
from textae.inference.text_autoencoder import TextAutoencoder


@dataclass(frozen=True)
class SingleText:
    """What becomes of a text.

    Attributes:
        text, ids: the text, and its tokens without the end.
        latents, decoded_latents: float32 (latents, size), as they are encoded and as they are decoded.
        document: the reconstruction's ids, and how they compare with the text's.
        reconstruction: as text.
        stored_bits: of the latents.
        capacity: bits that the noise leaves of the latents at most; None without noise.
    """

    text: str
    ids: np.ndarray
    latents: np.ndarray
    decoded_latents: np.ndarray
    document: Reconstructed
    reconstruction: str
    stored_bits: int
    capacity: float | None

    @property
    def metrics(self) -> dict[str, float | int]:
        """The metrics of this text, by the names that docs/metrics.md explains; rates are in bits per token."""
        encoded, correct = len(self.document.token_losses), self.document.correct
        found: dict[str, float | int] = {
            "tokens": len(correct),
            "wrong_tokens": int((~correct).sum()),
            "token_accuracy": float(correct.mean()),
            "cer": edit_distance(self.text, self.reconstruction) / max(len(self.text), 1),
            "loss": float(self.document.token_losses.mean(dtype=np.float64)),
            "latent_floats_per_token": self.latents.size / encoded,
            "stored_bits_per_token": self.stored_bits / encoded,
        }
        if self.capacity is not None:
            found["rate"] = self.capacity / encoded
        return found


class LatentChannel:
    """What happens to latents between encoder and decoder: few bits first, then noise.

    Args:
        train_latents: some latents of the train split, (latents, size); see `curves.train_latents`.
    """

    def __init__(self, train_latents: np.ndarray) -> None:
        self._train = train_latents
        self._ranges: dict[int, np.ndarray] = {}
        self._statistics = LatentStatistics()
        self._statistics.update(train_latents)

    def changed(self, latents: np.ndarray, noise_level: float = 0.0, bits: int = FLOAT32, seed: int = 0) -> np.ndarray:
        """Return latents (latents, size) as they arrive.

        Args:
            latents: of one text.
            noise_level: a of `curves.Noise`, from 0 to below 1.
            bits: of a float, from 1 to 16; `FLOAT32`: as it is.
            seed: of the noise, which grows with its level but stays the same otherwise.

        Raises:
            ValueError: another level or number of bits.
        """
        if not 0 <= noise_level < 1:
            raise ValueError(f"expected a noise_level from 0 to below 1, received {noise_level}")
        if bits != FLOAT32 and not 1 <= bits <= MOST_BITS:
            raise ValueError(f"expected bits from 1 to {MOST_BITS}, received {bits}")
        if bits != FLOAT32:
            if bits not in self._ranges:
                self._ranges[bits] = ranges_of(self._train, bits)
            ranges = self._ranges[bits]
            latents = values_of(codes_of(latents, ranges, bits), ranges, bits)
        return Noise([noise_level], self._statistics, seed).changed(noise_level, [latents], 0)[0][0]

    def capacity(self, noise_level: float) -> float:
        """Return the bits of a latent that the noise leaves at most."""
        return capacity((1 - noise_level) * (self._statistics.variance > 0), noise_level)


def single_text(
    autoencoder: TextAutoencoder,
    text: str,
    channel: LatentChannel | None = None,
    noise_level: float = 0.0,
    bits: int = FLOAT32,
    seed: int = 0,
) -> SingleText:
    """Return what becomes of a text whose latents go through a channel; without one they are decoded as they are.

    Raises:
        ValueError: noise or bits without a channel, or such as `LatentChannel.changed` refuses.
    """
    if channel is None and (noise_level or bits != FLOAT32):
        raise ValueError("expected latents of the train split for noise and bits, found none")
    codec = autoencoder.codec
    (ids,) = autoencoder.tokenizer.encode([text])
    latents = np.reshape(codec.encode([ids])[0], (-1, codec.model.latent_size))
    arrived = latents if channel is None else channel.changed(latents, noise_level, bits, seed)
    (document,) = codec.reconstruct_all([ids], [arrived])
    (reconstruction,) = autoencoder.tokenizer.decode([document.ids])
    left = channel.capacity(noise_level) * len(latents) if channel is not None and noise_level else None
    return SingleText(text, ids, latents, arrived, document, reconstruction, bits * latents.size, left)
