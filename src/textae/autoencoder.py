"""A trained run in Python: `textae.load(run)` gives an `Autoencoder` of texts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from textae import rundir
from textae.codec import Codec
from textae.config import Config, from_mapping
from textae.corruption import Corruption, corruption_from
from textae.exporting import export
from textae.latents import Nearest, Neighbour, check_variational, combined, drawn, interpolated, pooled
from textae.machine import multiply_exactly
from textae.model import Autoencoder, build
from textae.prepared import in_portions
from textae.rundir import RunDir
from textae.tokenizers import Tokenizer, load_tokenizer


class TextAutoencoder:
    """Texts to latents and back.

    Attributes:
        model: the Keras model, with `.encoder` and `.decoder`.
        tokenizer: text to ids.
        config: the run's configuration.
        codec: ids to latents and back, in bulk.
        texts, truncated: how many texts were encoded, and how many of them not to their ends.
    """

    def __init__(self, model: Autoencoder, tokenizer: Tokenizer, config: Config, latent_noise: float = 0.0) -> None:
        if config.model.decoder_input.name == "fourier":  # places are finer than GPUs multiply by themselves
            multiply_exactly()
        self.model, self.tokenizer, self.config = model, tokenizer, config
        self.codec = Codec(model, config.model.long_documents.name, latent_noise, config.training.seed)
        self.texts = self.truncated = 0

    def encode(self, texts: Sequence[str]) -> np.ndarray | list[np.ndarray]:
        """Return latents: float32 (texts, size) with one vector per text, else an array (latents, size) for each.

        A text of more than `max_length` tokens is split into segments, and nothing of it is lost; with
        `long_documents=cut`, and with one vector per text and `drop`, it is truncated. With `latent=vector` and `split`
        a text has a vector for each segment, so each text's array is (segments, size).
        """
        latents = self.codec.encode(self._ids(texts))
        if self.codec.single:
            return np.stack(latents) if latents else np.zeros((0, self.model.latent_size), np.float32)
        return latents

    def decode(self, latents: Sequence[np.ndarray]) -> list[str]:
        """Return the texts that latents stand for.

        Raises:
            ValueError: latents of another shape than `encode` gives, or that are not finite in float32.
        """
        with np.errstate(over="ignore"):  # the codec refuses what becomes infinite
            arrays = [np.asarray(a, np.float32) for a in latents]
        return self.tokenizer.decode(self.codec.decode(arrays))

    def reconstruct(self, texts: Sequence[str]) -> list[str]:
        """Return each text as it comes back: what `decode` gives of `encode`."""
        found = self.codec.reconstruct(self._ids(texts), every=True)
        return self.tokenizer.decode([document.ids for document in found])

    def score(self, texts: Sequence[str]) -> np.ndarray:
        """Return each text's reconstruction error: mean cross-entropy of its tokens, in nats, float64 (texts,).

        Of a text that is truncated (see `encode`), of the tokens that were encoded.
        """
        found = self.codec.reconstruct(self._ids(texts), every=True)
        return np.array([document.nats.mean(dtype=np.float64) for document in found])

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Return float32 (texts, size): one vector for each text, the mean of its latents where it has several."""
        return pooled(self.encode(texts), self.model.latent_size)

    def interpolate(self, first: str, last: str, steps: int = 7) -> list[str]:
        """Return what `steps` points on the line between two texts' latents decode to, both ends among them.

        Texts of another number of blocks are stretched to that of the point, which goes from one to the other.

        Raises:
            ValueError: fewer than two steps.
        """
        one, other = self.encode([first, last])
        return self.decode(interpolated(one, other, steps))

    def arithmetic(self, first: str, less: str, plus: str) -> str:
        """Return what z(first) - z(less) + z(plus) decodes to; the number of blocks is reckoned alike."""
        return self.decode([combined(*self.encode([first, less, plus]))])[0]

    def neighbours(self, texts: Sequence[str], documents: Iterable[str], count: int = 10) -> list[list[Neighbour]]:
        """Return the documents nearest to each text, by the cosine of what `embed` gives, the nearest first.

        Documents are read and encoded a portion at a time; only the nearest are held.

        Raises:
            ValueError: a count below one.
        """
        nearest = Nearest(self.embed(texts), count)
        for portion in in_portions(documents):
            nearest.add(self.embed(portion), portion)
        return nearest.found()

    def sample(self, count: int, seed: int = 0, blocks: int = 8) -> list[str]:
        """Return texts decoded from latents drawn from N(0, 1), of a variational model.

        `blocks` is how many latents a text has, where the model has several for one; a vector tells its own length.

        Raises:
            ValueError: the model is not variational, or there is nothing to draw.
        """
        check_variational(self.model.variational)
        if count < 0 or blocks < 1:
            raise ValueError(f"expected a count of at least 0 and blocks of at least 1, received {count} and {blocks}")
        vector = self.model.latent == "vector"
        return self.decode(drawn(count, seed, self.model.latent_size, None if vector else blocks))

    def export(self, output: Path | str, format: str = "saved_model") -> Path:
        """Write encoder and decoder as "saved_model" or "onnx" into a new folder, for programs without textae.

        Raises:
            ValueError: the folder exists, a library is missing, or Keras does not run on TensorFlow.
            textae.exporting.ExportError: what was written does not give what this gives.
        """
        return export(self.codec, self.tokenizer, output, format)

    def _ids(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Return the texts' ids, and count those that are truncated."""
        ids = self.tokenizer.encode(list(texts))
        self.texts += len(ids)
        self.truncated += self.codec.truncated(ids)
        return ids

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
    values = folder.config()
    try:
        config = from_mapping(values)
    except ValueError as error:
        raise ValueError(f"{folder / rundir.CONFIG}: {error}") from error
    tokenizer = load_tokenizer(folder / rundir.TOKENIZER)
    arrays, _ = rundir.read_arrays(folder / weights)
    _check_size(config, tokenizer.vocabulary_size, arrays, folder / weights)
    model = build(config.model, tokenizer.vocabulary_size)
    set_weights(model, arrays, folder / weights)
    return TextAutoencoder(model, tokenizer, config, latent_noise)


def _check_size(config: Config, vocabulary_size: int, arrays: dict[str, np.ndarray], path: Path) -> None:
    """Raise a ValueError if the model of a configuration would be far larger than its weights, before it is made."""
    found, expected = sum(array.size for array in arrays.values()), config.model.about_parameters(vocabulary_size)
    if expected > 2 * found + 1_000_000:
        raise ValueError(f"expected in {path} about {expected:,} numbers, as config.yaml says, found {found:,}")


def set_weights(model: Autoencoder, arrays: dict[str, np.ndarray], path: Path | str) -> None:
    """Put arrays by path into the model.

    Raises:
        ValueError: a weight is missing, unknown, or of another shape or type.
    """
    own = model.named_weights()
    if odd := sorted(set(own) ^ set(arrays)):
        raise ValueError(f"expected in {path} the {len(own)} weights of the run's model, found others: {odd[0]}")
    for name, variable in own.items():
        if arrays[name].shape != tuple(variable.shape):
            raise ValueError(f"expected in {path} {name} of shape {tuple(variable.shape)}, found {arrays[name].shape}")
        if arrays[name].dtype.kind != "f":
            raise ValueError(f"expected in {path} {name} of floats, found {arrays[name].dtype}")
        variable.assign(arrays[name])
