"""A trained run in Python: `textae.load(run)` returns a `TextAutoencoder`."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import keras
import numpy as np

from textae.config.mapping import from_mapping, to_mapping
from textae.config.schema import Config
from textae.data.corruption import Corruption, corruption_from
from textae.data.inputs import each_text, latents_of, one_text
from textae.data.positions import num_positions
from textae.data.preparation import in_portions
from textae.data.special_tokens import END_ID
from textae.data.tokenizers import Tokenizer, load_tokenizer
from textae.exporting.exporter import export
from textae.files import write_text
from textae.inference.anomalies import anomaly_score
from textae.inference.codec import Codec
from textae.inference.latent_operations import (
    Nearest,
    Neighbour,
    check_variational,
    combined,
    drawn,
    interpolated,
    pooled,
)
from textae.models.autoencoder import Autoencoder, build
from textae.models.functional import decoder_model, encoder_model, reconstruction_model
from textae.models.isolation import isolated
from textae.models.shapes import check_shapes, weight_shapes
from textae.progress import escaped
from textae.runs.arrays import write_arrays
from textae.runs.finding import find_run
from textae.runs.hub import push
from textae.runs.json_files import read_json, write_json
from textae.runs.provenance import environment
from textae.runs.run_folder import (
    CARD,
    CHECKPOINT,
    CONFIG,
    ENVIRONMENT,
    METRICS,
    TOKENIZER,
    WEIGHTS,
    RunDir,
)


@dataclass(frozen=True)
class RunRecord:
    """What a run folder tells about itself: its environment, its test metrics, and its card; empty where unknown."""

    environment: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, float | int | None] = field(default_factory=dict)
    card: str = ""


class TextAutoencoder:
    """Texts to latents, and latents to texts. The process's settings, such as Keras's, have no effect and stay.

    Methods that take texts raise a TypeError for one string in place of a list, and for anything in the list that is no
    string. `pickle` and `copy.deepcopy` return an equal one.

    Attributes:
        model: the Keras model that was trained.
        encoder, decoder, reconstructor: functional Keras models of its parts, and of the whole.
        tokenizer: text to ids.
        config: the run's configuration.
        codec: ids to latents and latents to ids, in bulk.
        texts, truncated: how many texts were encoded, and how many of them not to their ends.
        record: what the run that trained it tells about itself.
    """

    def __init__(
        self,
        model: Autoencoder,
        tokenizer: Tokenizer,
        config: Config,
        latent_noise: float = 0.0,
        record: RunRecord | None = None,
    ) -> None:
        self.model, self.tokenizer, self.config = model, tokenizer, config
        self.record = record or RunRecord()
        tokens_per_batch = config.model.positions_at_once()
        self.codec = Codec(model, config.model.overflow.name, latent_noise, config.training.seed, tokens_per_batch)
        self.texts = self.truncated = 0

    def __getstate__(self) -> dict[str, Any]:
        """Return what an equal one is made from: no graphs, which belong to this process."""
        return {
            "config": self.config,
            "tokenizer": self.tokenizer,
            "dtype": self.model.dtype_policy.name,
            "weights": self._arrays(),
            "latent_noise": self.codec.latent_noise,
            "random": self.codec.random,
            "record": self.record,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Build the model anew, and take over its weights and where the noise stands."""
        config, tokenizer = state["config"], state["tokenizer"]
        model = _built(config, tokenizer, state["weights"], "the copy", state["dtype"])
        self.__init__(model, tokenizer, config, state["latent_noise"], state["record"])
        self.codec.random = state["random"]

    def __repr__(self) -> str:
        model, shown = self.config.model, []
        unit = f"{self.model.stride} tokens" if self.model.latent != "vector" else "text"
        if self.model.latent == "vector" and model.overflow.name == "split":
            unit = f"segment of up to {self.model.max_length} tokens"
        if (accuracy := self.metrics.get("token_accuracy")) is not None:
            shown = [f"test token accuracy {accuracy:.5f}"]
        parts = [
            f"{self.model.latent_size} floats per {unit}",
            f"{self.config.tokenizer.kind.name} vocabulary of {self.tokenizer.vocabulary_size:,}",
            f"{self.model.count_params():,} parameters",
            *shown,
        ]
        return f"<TextAutoencoder {escaped(self.config.name)}: {', '.join(parts)}>"

    @property
    def metrics(self) -> dict[str, float | int | None]:
        """The metrics of the test split, by the names of docs/metrics.md; empty of a run that is not finished."""
        return dict(self.record.metrics)

    def save(self, folder: Path | str, overwrite: bool = False) -> Path:
        """Write a folder that `textae.load` reads: configuration, tokenizer, weights, and what is known of the run.

        It holds no training state: a run folder does, and can be continued.

        Args:
            folder: a new one, or an empty one.
            overwrite: whether what was saved in the folder before is replaced.

        Returns:
            The folder.

        Raises:
            ValueError: the folder holds anything else, or a run and `overwrite` is false.
        """
        run = RunDir(folder)
        run.check_place()
        if run.is_own() and not overwrite:
            raise ValueError(f"expected a new folder, found a run in {run.folder}; overwrite=True replaces it")
        if (run / CHECKPOINT).exists():
            raise ValueError(f"expected a folder without a run that can go on, found one in {run.folder}")
        described = self.record.environment or environment("float32", False)
        run.create(to_mapping(self.config.located()), {k: v for k, v in described.items() if k != "format"})
        self.tokenizer.save(run / TOKENIZER)
        write_arrays(run / WEIGHTS, self._arrays(), {})
        if self.record.card:
            write_text(run / CARD, self.record.card, own=True)
        if self.record.metrics:
            write_json(run / METRICS, self.record.metrics)
        return run.folder

    @isolated()
    def encode(self, texts: Sequence[str]) -> np.ndarray | list[np.ndarray]:
        """Return latents: float32 (texts, size) with one vector per text, else an array (latents, size) for each.

        A text of more than `max_length` tokens is split into segments, and nothing of it is lost; with
        `overflow=truncate`, and with one vector per text and `drop`, it is truncated. With `latent=vector` and `split`
        a text has a vector for each segment, so each text's array is (segments, size).
        """
        latents = self.codec.encode(self._ids(texts))
        if self.codec.single:
            return np.stack(latents) if latents else np.zeros((0, self.model.latent_size), np.float32)
        return latents

    @isolated()
    def decode(self, latents: Sequence[np.ndarray]) -> list[str]:
        """Return the texts that latents stand for.

        Raises:
            ValueError: latents of another shape than `encode` returns, or that are not finite in float32.
        """
        dimensions = 1 if self.codec.single else 2
        with np.errstate(over="ignore"):  # the codec refuses what becomes infinite
            arrays = latents_of(latents, dimensions)
        return self.tokenizer.decode(self.codec.decode(arrays))

    @isolated()
    def reconstruct(self, texts: Sequence[str]) -> list[str]:
        """Return each text's reconstruction: what `decode` makes of `encode`."""
        found = self.codec.reconstruct_all(self._ids(texts))
        return self.tokenizer.decode([document.ids for document in found])

    @isolated()
    def score(self, texts: Sequence[str], masked_passes: int | None = None) -> np.ndarray:
        """Return how odd each text is, float64 (texts,): high for an anomaly.

        Without passes it is the reconstruction error: mean cross-entropy in nats of its tokens. With passes each token
        is predicted by an encoder that did not see it, and the score is that of `anomaly_score`: how far the oddest
        tokens are from what was predicted, in standard deviations of the prediction.

        Of a text that is truncated (see `encode`), of the tokens that were encoded. A text is scored once, however
        often it occurs.

        Args:
            texts: any number.
            masked_passes: in how many passes each token is masked once; 0: none is masked; None: as many as leave the
                share of masked tokens that the run was trained with, 0 for a run trained without masks.

        Raises:
            ValueError: one pass, or fewer than none.
        """
        corruption = self.config.training.corruption
        if masked_passes is None:
            masked_passes = max(math.ceil(1 / corruption.mask), 2) if corruption.mask else 0
        if masked_passes < 0 or masked_passes == 1:
            raise ValueError(f"expected masked_passes of 0 or at least 2, received {masked_passes}")
        ids = self._ids(texts)
        distinct = dict.fromkeys(array.tobytes() for array in ids)
        positions = {content: position for position, content in enumerate(distinct)}
        different = [np.frombuffer(content, np.int32) for content in positions]
        if masked_passes:
            found = self.codec.surprise(different, masked_passes, corruption.mask_span)
            scores = [anomaly_score(surprise) for surprise in found]
        else:
            reconstructed = self.codec.reconstruct_all(different)
            scores = [document.token_losses.mean(dtype=np.float64) for document in reconstructed]
        return np.array([scores[positions[array.tobytes()]] for array in ids], np.float64)

    @isolated()
    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Return float32 (texts, size): one vector for each text, the mean of its latents where it has several."""
        return pooled(self.encode(texts), self.model.latent_size)

    @isolated()
    def interpolate(self, first: str, last: str, steps: int = 7) -> list[str]:
        """Return what `steps` points on the line between two texts' latents decode to, both ends among them.

        If the texts differ in their number of latent positions, both are stretched to a number in between.

        Raises:
            ValueError: fewer than two steps.
        """
        one, other = self.encode([one_text(first, "first"), one_text(last, "last")])
        return self.decode(interpolated(one, other, steps))

    @isolated()
    def arithmetic(self, first: str, less: str, plus: str) -> str:
        """Return what z(first) - z(less) + z(plus) decodes to; their numbers of positions are added alike."""
        given = [one_text(text, name) for name, text in (("first", first), ("less", less), ("plus", plus))]
        return self.decode([combined(*self.encode(given))])[0]

    @isolated()
    def neighbours(self, texts: Sequence[str], documents: Iterable[str], count: int = 10) -> list[list[Neighbour]]:
        """Return the documents nearest to each text, by the cosine of what `embed` returns, the nearest first.

        Documents are read and encoded a portion at a time; only the nearest are held.

        Raises:
            ValueError: a count below one.
        """
        documents = each_text(documents, "documents")
        nearest = Nearest(self.embed(texts), count)
        for portion in in_portions(documents):
            nearest.add(self.embed(portion), portion)
        return nearest.found()

    @isolated()
    def sample(self, count: int, seed: int = 0, positions: int = 8) -> list[str]:
        """Return texts decoded from latents drawn from N(0, 1), of a variational model.

        `positions` is how many latent positions a text has; of a vector the length head predicts it.

        Raises:
            ValueError: the model is not variational, or there is nothing to draw.
        """
        check_variational(self.model.variational)
        if count < 0 or positions < 1:
            raise ValueError(
                f"expected a count of at least 0 and positions of at least 1, received {count} and {positions}"
            )
        vector = self.model.latent == "vector"
        return self.decode(drawn(count, seed, self.model.latent_size, None if vector else positions))

    @isolated()
    def export(self, output: Path | str, format: str = "saved_model", int8_texts: Sequence[str] | None = None) -> Path:
        """Write encoder and decoder as "saved_model" or "onnx" into a new folder, for programs without textae.

        With `int8_texts`, the weights of "onnx" are quantised to 8 bits, and what that costs is measured on these texts
        and written into the folder's README.md and int8.json.

        Raises:
            ValueError: the folder exists, a library is missing, Keras does not run on TensorFlow, or the texts are
                empty or given with "saved_model".
            textae.exporting.exporter.ExportError: what was written does not do what this does.
        """
        return export(self.codec, self.tokenizer, output, format, int8_texts)

    def push_to_hub(self, name: str, *, revision: str | None = None, private: bool = False, message: str = "") -> str:
        """Write this into a repository of the Hugging Face Hub, which is made where there is none.

        See `textae.runs.hub.push` for what is written. Needs huggingface_hub, and a token as that takes it.

        Args:
            name: `USER/NAME`.
            revision: a branch of the repository; None: its main branch.
            private: whether a repository that is made is private.
            message: of the commit.

        Returns:
            The repository's address.

        Raises:
            ValueError: this is of no finished run, the library is missing, or the Hub refuses.
            OSError: the Hub cannot be asked.
        """
        with tempfile.TemporaryDirectory() as folder:
            return push(self.save(folder), name, revision=revision, private=private, message=message)

    def _arrays(self) -> dict[str, np.ndarray]:
        """Return copies of the weights, by name."""
        weights = self.model.named_weights()
        return {name: np.array(keras.ops.convert_to_numpy(weight)) for name, weight in weights.items()}

    def _ids(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Return the texts' ids, and count those that are truncated."""
        ids = self.tokenizer.encode(texts)
        self.texts += len(ids)
        self.truncated += self.codec.truncated(ids)
        return ids

    @cached_property
    def encoder(self) -> keras.Model:
        """A functional Keras model, {"tokens", "lengths"} as of `inputs` to latents; see `encoder_model`.

        It shares the weights, can be a part of another model, and is saved and loaded as any Keras model, by a program
        that imports `textae.layers`.
        """
        return encoder_model(self.model)

    @cached_property
    def decoder(self) -> keras.Model:
        """A functional Keras model, {"latents"} and, of sequences, {"positions"} to {"ids", "logits"}; see
        `decoder_model`."""
        return decoder_model(self.model)

    @cached_property
    def reconstructor(self) -> keras.Model:
        """A functional Keras model, {"tokens", "lengths"} as of `inputs` to logits, which `compile` and `fit` train."""
        return reconstruction_model(self.model)

    def inputs(self, texts: Sequence[str]) -> dict[str, np.ndarray]:
        """Return what the Keras models take of texts.

        Returns:
            "tokens", int32 (texts, length): ids, the end token behind each text, then zeros. Texts of more than
            `max_length` tokens are truncated. `length` is a multiple of the stride, and `max_length` of one vector per
            text. "lengths", int32 (texts,): each text's own tokens.
        """
        ids = [np.append(array, END_ID)[: self.model.max_length] for array in self._ids(texts)]
        lengths = np.array([len(array) for array in ids], np.int32)
        longest, stride = int(lengths.max(initial=1)), self.model.stride
        width = self.model.max_length if self.model.latent == "vector" else num_positions(longest, stride) * stride
        tokens = np.zeros((len(ids), width), np.int32)
        for row, array in zip(tokens, ids, strict=True):
            row[: len(array)] = array
        return {"tokens": tokens, "lengths": lengths}

    def corruption(self, settings: Mapping[str, Any]) -> Corruption | None:
        """Return what corrupts ids as training does, a repeatable sequence from its start; None for no corruption."""
        return corruption_from(
            settings,
            first_id=self.tokenizer.first_text_id,
            vocabulary_size=self.tokenizer.vocabulary_size,
            seed=keras.random.SeedGenerator(self.config.training.seed),
        )


@isolated()
def load(run: Path | str, weights: str = WEIGHTS, latent_noise: float = 0.0) -> TextAutoencoder:
    """Return the autoencoder of a run folder, with the weights that were kept.

    The folder may be untrusted: sizes, names and shapes are compared with its configuration before anything large is
    read or built, and an error's message holds no control characters.

    Args:
        run: the folder that training wrote; or else the name of a pretrained model of the package, as "pydocs-small";
            or `hf://USER/NAME[@REVISION]`, a repository of the Hugging Face Hub.
        weights: another file of it, such as `last.safetensors`.
        latent_noise: standard deviation of the normal noise added to latents in `reconstruct` and `score`.

    Raises:
        ValueError: the folder is not a run's, or a file in it is damaged or does not fit; the Hub cannot be asked.
    """
    try:
        return _load(RunDir(find_run(run, weights)), weights, latent_noise)
    except (ValueError, OSError) as error:
        if isinstance(error, ValueError) and str(error).isprintable():
            raise
        raise ValueError(escaped(str(error))) from None  # a traceback would print the cause as it is


def _load(folder: RunDir, weights: str, latent_noise: float) -> TextAutoencoder:
    values = folder.config()
    try:
        config = from_mapping(values)
    except ValueError as error:
        raise ValueError(f"{folder / CONFIG}: {error}") from error
    tokenizer = load_tokenizer(folder / TOKENIZER)
    path = folder / weights
    expected = weight_shapes(config.model, tokenizer.vocabulary_size)
    arrays = folder.weights(weights, lambda found: check_shapes(expected, found, path))
    model = _built(config, tokenizer, arrays, path)
    record = RunRecord(read_json(folder / ENVIRONMENT), folder.metrics(), folder.card())
    return TextAutoencoder(model, tokenizer, config, latent_noise, record)


@isolated()
def _built(
    config: Config, tokenizer: Tokenizer, arrays: dict[str, np.ndarray], path: Path | str, dtype: str = "float32"
) -> Autoencoder:
    """Return the model of a configuration with these weights, read from `path`."""
    with isolated(seed=config.training.seed):  # building draws weights, but not from the program's random sequence
        model = build(config.model, tokenizer.vocabulary_size, config.training.seed, dtype)
    set_weights(model, arrays, path)
    return model


def set_weights(model: Autoencoder, arrays: dict[str, np.ndarray], path: Path | str) -> None:
    """Put arrays by path into the model.

    Raises:
        ValueError: a weight is missing, unknown, or of another shape or type.
    """
    own = model.named_weights()
    shapes = {name: tuple(variable.shape) for name, variable in own.items()}
    check_shapes(shapes, {name: array.shape for name, array in arrays.items()}, path)
    for name, variable in own.items():
        if arrays[name].dtype.kind != "f":
            raise ValueError(f"expected in {path} {name} of floats, found {arrays[name].dtype}")
        variable.assign(arrays[name])
