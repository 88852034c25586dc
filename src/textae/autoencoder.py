"""A trained run in Python: `textae.load(run)` gives an `Autoencoder` of texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from textae import rundir
from textae.codec import Codec
from textae.config import Config, from_mapping
from textae.corruption import Corruption, corruption_from
from textae.model import Autoencoder, build
from textae.rundir import RunDir
from textae.tokenizers import Tokenizer, load_tokenizer


class TextAutoencoder:
    """Texts to latents and back.

    Attributes:
        model: the Keras model, with `.encoder` and `.decoder`.
        tokenizer: text to ids.
        config: the run's configuration.
        codec: ids to latents and back, in bulk.
    """

    def __init__(self, model: Autoencoder, tokenizer: Tokenizer, config: Config, latent_noise: float = 0.0) -> None:
        self.model, self.tokenizer, self.config = model, tokenizer, config
        long_documents = config.model.long_documents.name
        self.codec = Codec(model, long_documents, latent_noise, config.training.seed)
        self._answering = self.codec
        if long_documents == "drop":  # a line in is a line out
            self._answering = Codec(model, "cut", latent_noise, config.training.seed)

    def encode(self, texts: Sequence[str]) -> np.ndarray | list[np.ndarray]:
        """Return latents: float32 (texts, size) with one vector per text, else an array (blocks, size) for each.

        With one vector per text, a text of more than `max_length` tokens is cut.
        """
        latents = self.codec.encode(self.tokenizer.encode(list(texts)))
        if self.model.latent == "vector":
            return np.stack(latents) if latents else np.zeros((0, self.model.latent_size), np.float32)
        return latents

    def decode(self, latents: Sequence[np.ndarray]) -> list[str]:
        """Return the texts that latents stand for.

        Raises:
            ValueError: latents of another shape than `encode` gives.
        """
        return self.tokenizer.decode(self.codec.decode([np.asarray(a, np.float32) for a in latents]))

    def reconstruct(self, texts: Sequence[str]) -> list[str]:
        """Return each text as it comes back; one of more than `max_length` tokens is cut or goes in pieces."""
        found = self._answering.reconstruct(self.tokenizer.encode(list(texts)))
        return self.tokenizer.decode([document.ids for document in found])

    def score(self, texts: Sequence[str]) -> np.ndarray:
        """Return each text's reconstruction error: mean cross-entropy of its tokens, in nats, float64 (texts,)."""
        found = self._answering.reconstruct(self.tokenizer.encode(list(texts)))
        return np.array([document.nats.mean(dtype=np.float64) for document in found])

    def corruption(self, settings: Mapping[str, Any]) -> Corruption | None:
        """Return what corrupts ids as training does, a repeatable sequence from its start; None for no corruption."""
        return corruption_from(
            settings,
            first_id=self.tokenizer.first_text_id,
            vocabulary_size=self.tokenizer.vocabulary_size,
            seed=keras.random.SeedGenerator(self.config.training.seed),
        )


def load(run: Path | str, weights: str = rundir.WEIGHTS, latent_noise: float = 0.0) -> TextAutoencoder:
    """Return the autoencoder of a run folder, with the weights that were kept.

    Args:
        run: the folder that training wrote.
        weights: another file of it, such as `last.safetensors`.
        latent_noise: standard deviation of the normal noise added to latents in `reconstruct` and `score`.

    Raises:
        ValueError: the folder is not a run's, or a file in it is damaged or does not fit.
    """
    folder = RunDir(run)
    config = from_mapping(folder.config())
    tokenizer = load_tokenizer(folder / rundir.TOKENIZER)
    arrays, _ = rundir.read_arrays(folder / weights)
    model = build(config.model, tokenizer.vocabulary_size)
    set_weights(model, arrays, folder / weights)
    return TextAutoencoder(model, tokenizer, config, latent_noise)


def set_weights(model: Autoencoder, arrays: dict[str, np.ndarray], path: Path | str) -> None:
    """Put arrays by path into the model.

    Raises:
        ValueError: a weight is missing, unknown, or of another shape.
    """
    own = model.named_weights()
    if odd := sorted(set(own) ^ set(arrays)):
        raise ValueError(f"expected in {path} the {len(own)} weights of the run's model, found others: {odd[0]}")
    for name, variable in own.items():
        if arrays[name].shape != tuple(variable.shape):
            raise ValueError(f"expected in {path} {name} of shape {tuple(variable.shape)}, found {arrays[name].shape}")
        variable.assign(arrays[name])
