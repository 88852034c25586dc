"""Token ids to latents and back, in bulk: segments of similar length together, documents joined again.

The ids that go in and come out are whole documents without their end; `textae.data.positions` has the rule of segments,
latent positions and ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from textae.data.batching import Batch, Batches, fixed_rows
from textae.data.corruption import MASK_ID
from textae.data.positions import num_positions, text_lengths
from textae.data.special_tokens import END_ID
from textae.inference.compiled import Signature, compiled
from textae.losses.prediction import Surprise, predict, surprise
from textae.models.autoencoder import Autoencoder
from textae.models.isolation import isolated

TOKENS_PER_BATCH = 16384  # padding included
FEW_ROWS = 1 / 128  # of a batch's rows are all that are computed where they are enough, as for one line
SHAPES = 8  # padded lengths where each costs a compilation


@dataclass
class Reconstructed:
    """A document's reconstruction, and how it compares with the document.

    Attributes:
        ids: of the reconstruction, without the end.
        correct: bools, for each token of the document, its end last: whether the reconstruction has it at its place.
        token_losses: the cross-entropy in nats of each token that was encoded.
        latents: float32 (latents, size), without the noise that was added.
        log_variances: of the posteriors whose means the latents are, of their shape; None where the model is not
            variational.
        corrupted: the ids that were encoded, without the end, where they are corrupted ones; a masked one is 0.
    """

    ids: np.ndarray
    correct: np.ndarray
    token_losses: np.ndarray
    latents: np.ndarray
    log_variances: np.ndarray | None = None
    corrupted: np.ndarray | None = None


class _Decoded(NamedTuple):
    """Each row's text, without the end, and the losses of its targets (more than the row has tokens, or none)."""

    texts: list[np.ndarray]
    token_losses: list[np.ndarray]


class _Part(NamedTuple):
    """What was found of a segment that begins at `start` of its document."""

    start: int
    text: np.ndarray
    correct: np.ndarray
    token_losses: np.ndarray
    latents: np.ndarray
    log_variances: np.ndarray | None
    corrupted: np.ndarray | None


class Codec:
    """Encodes, decodes and reconstructs ids with a model.

    Args:
        model: built.
        overflow: "split", "truncate" or "drop", for documents of more than `model.max_length` tokens: what
            `config.ModelConfig` says of them.
        latent_noise: standard deviation of normal noise that is added to latents before they are decoded, of a
            repeatable sequence that begins with `seed`.
        tokens_per_batch: padded tokens of a batch, where a large model has room for fewer than usual.

    Attributes:
        true_lengths: whether `reconstruct` decodes a text's vector at the text's own length, not the predicted one.
        first_eagerly: whether a first small batch is computed without being compiled; see `compiled`. For a process
            that may have to answer one line alone.
    """

    def __init__(
        self,
        model: Autoencoder,
        overflow: str = "split",
        latent_noise: float = 0.0,
        seed: int = 0,
        tokens_per_batch: int | None = None,
    ) -> None:
        self.model, self.overflow, self.latent_noise = model, overflow, latent_noise
        self.random = np.random.default_rng(seed)
        self.tokens_per_batch = min(tokens_per_batch or TOKENS_PER_BATCH, TOKENS_PER_BATCH)
        self.true_lengths = self.first_eagerly = False
        self._vector = model.latent == "vector"
        self._fixed = keras.backend.backend() == "jax"  # each shape is compiled anew
        shape = (None, model.latent_size) if self._vector else (None, None, model.latent_size)
        ids, lengths = ((None, None), "int32"), ((None,), "int32")

        def own(function: Callable[..., Any], signature: Signature) -> Callable[..., Any]:
            return compiled(model, function, signature, lambda: self.first_eagerly)

        self._encode = own(self._encode_batch, [ids, lengths])
        self._decode = own(self._decode_batch, [(shape, "float32"), lengths, ids])
        self._score = own(self._score_batch, [(shape, "float32"), lengths, ids])
        self._surprise = own(self._surprise_batch, [(shape, "float32"), lengths, ids])
        self._predict_lengths = own(self._length_batch, [(shape, "float32")])

    def weights_changed(self) -> None:
        """Take note that the model was given other weights, which count from the next call on."""

    @property
    def noise(self) -> float:
        """Standard deviation of the noise that the latents have to survive: `latent_noise` or, if 0, training's."""
        return self.latent_noise or self.model.encoder.bottleneck.latent.noise

    @property
    def effective_overflow(self) -> str:
        """What happens to a long document that may not be left out: "split" or "truncate".

        A dropped one is split, which loses nothing, unless the model has one vector for a document.
        """
        if self.overflow != "drop":
            return self.overflow
        return "truncate" if self._vector else "split"

    @property
    def single(self) -> bool:
        """Whether each document has exactly one latent."""
        return self._vector and self.effective_overflow == "truncate"

    @property
    def _tokens_per_latent(self) -> int:
        return self.model.max_length if self._vector else self.model.stride

    def truncated(self, documents: Sequence[np.ndarray]) -> int:
        """Return how many of the documents `encode` does not encode to their ends."""
        if self.effective_overflow != "truncate":
            return 0
        return sum(len(ids) + 1 > self.model.max_length for ids in documents)

    @isolated()
    def encode(self, documents: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return each document's latents: float32 (latents, size), or (size,) where each document has exactly one.

        A latent stands for `model.stride` tokens, or for a segment of `model.max_length` with a vector per text.
        """
        tokens, size = self._tokens_per_latent, self.model.latent_size
        batches = self._batches(documents, self.effective_overflow)
        lengths = np.array([len(ids) + 1 for ids in documents], np.int64)
        if self.effective_overflow == "truncate":
            lengths = np.minimum(lengths, self.model.max_length)
        out = [np.zeros((count, size), np.float32) for count in num_positions(lengths, tokens).tolist()]
        for batch in batches.epoch(0):
            latents = self._encode(batch.tokens, batch.lengths)[0]
            if self._vector:
                latents = latents[:, None]
            for row, document in self._rows(batch):
                first, count = batch.starts[row] // tokens, num_positions(batch.lengths[row], tokens)
                out[document][first : first + count] = latents[row, :count]
        return [latents[0] for latents in out] if self.single else out

    @isolated()
    def decode(self, latents: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return the ids that each document's latents stand for: the inverse of `encode`.

        Raises:
            ValueError: latents of another shape, or that are not finite.
        """
        for array in latents:
            self._check(array)
        size = self.model.latent_size
        if self._vector:
            latents = [np.reshape(array, (-1, size)) for array in latents]
        most = 1 if self._vector else num_positions(self.model.max_length, self.model.stride)
        segments = [
            (document, first, min(most, len(array) - first))
            for document, array in enumerate(latents)
            for first in range(0, len(array), most)
        ]
        texts: list[np.ndarray] = [np.zeros(0, np.int32)] * len(segments)
        for chosen in self._groups([count for _, _, count in segments]):
            rows = [segments[i] for i in chosen]
            height, positions = self._fitting(len(rows), max(count for _, _, count in rows))
            counts, padded = np.zeros(height, np.int32), np.zeros((height, positions, size), np.float32)
            holds_end = np.zeros(height, bool)
            for i, (document, first, count) in enumerate(rows):
                counts[i], padded[i, :count] = count, latents[document][first : first + count]
                holds_end[i] = first + count == len(latents[document])
            decoded = self._decoded(padded[:, 0] if self._vector else padded, counts, holds_end)
            for i, text in zip(chosen, decoded.texts, strict=False):  # rows beyond those chosen are empty
                texts[i] = text
        parts: list[list[np.ndarray]] = [[] for _ in latents]
        for (document, _, _), text in zip(segments, texts, strict=True):
            parts[document].append(text)
        return [np.concatenate(found) for found in parts]

    @property
    def draws(self) -> bool:
        """Whether training decodes latents with noise: that of a posterior, or `model.latent_noise`."""
        latent = self.model.specifications[1]
        return bool(latent.variational or latent.noise)

    def left_out(self, ids: np.ndarray) -> bool:
        """Return whether `reconstruct` leaves a document out: with `overflow="drop"`, one that is too long."""
        return self.overflow == "drop" and len(ids) + 1 > self.model.max_length

    @isolated()
    def reconstruct(
        self,
        documents: Sequence[np.ndarray],
        corruption: Callable[[Any, Any], tuple[Any, Any]] | None = None,
        latents: Sequence[np.ndarray] | None = None,
    ) -> list[Reconstructed | None]:
        """Encode and decode documents and compare; None for one that `overflow="drop"` leaves out.

        Of a document that is truncated, the tokens beyond `max_length` count as wrong. `corruption` returns the (ids,
        lengths) that are encoded in place of a batch's own. `latents`, each document's of the shape that `encode`
        returns, are decoded in place of the encoder's, and no noise is added to them.
        """
        found = self._reconstructed(documents, self.overflow, corruption, latents)
        return [_joined(ids, parts) if parts else None for ids, parts in zip(documents, found, strict=True)]

    @isolated()
    def reconstruct_all(
        self, documents: Sequence[np.ndarray], latents: Sequence[np.ndarray] | None = None
    ) -> list[Reconstructed]:
        """Return what `decode` makes of `encode`, and how it compares: of every document, none is left out.

        `latents` are those of `reconstruct`.
        """
        found = self._reconstructed(documents, self.effective_overflow, given_latents=latents)
        return [_joined(ids, parts) for ids, parts in zip(documents, found, strict=True)]

    @isolated()
    def surprise(self, documents: Sequence[np.ndarray], passes: int, span: int = 1) -> list[Surprise]:
        """Return for each token of each document how it compares with a prediction that did not see it.

        In each of so many passes one in `passes` spans of `span` tokens is masked, and each token is in one pass: a
        pseudo-likelihood (Salazar et al., arXiv 1910.14659). The end of a document is never masked.

        Returns:
            `Surprise` of arrays (tokens,), float32, for the tokens that are encoded, the end among them.
        """
        found: list[list[tuple[int, np.ndarray]]] = [[] for _ in documents]
        for batch in self._batches(documents, self.effective_overflow).epoch(0):
            counts = np.asarray(num_positions(batch.lengths, self.model.stride), np.int32)
            own_pass = np.arange(batch.tokens.shape[1]) // span % passes
            values = np.zeros((3, *batch.tokens.shape), np.float32)
            for number in range(passes):
                masked = (own_pass == number) & (batch.tokens != END_ID)
                latents = self._encode(np.where(masked, MASK_ID, batch.tokens), batch.lengths)[0]
                here = own_pass == number
                values[:, :, here] = np.stack(self._surprise(latents, counts, batch.tokens))[:, :, here]
            for row, document in self._rows(batch):
                found[document].append((int(batch.starts[row]), values[:, row, : batch.lengths[row]]))
        joined = ([part for _, part in sorted(parts, key=lambda part: part[0])] for parts in found)
        return [Surprise(*np.concatenate(parts, axis=1)) for parts in joined]

    def _reconstructed(
        self,
        documents: Sequence[np.ndarray],
        overflow: str,
        corruption: Any = None,
        given_latents: Any = None,
    ) -> list[list[_Part]]:
        """Return what was found of each document's segments."""
        found: list[list[_Part]] = [[] for _ in documents]
        for batch in self._batches(documents, overflow).epoch(0):
            given, lengths = batch.tokens, batch.lengths
            if corruption is not None:
                given, lengths = map(ops.convert_to_numpy, corruption(given, lengths))
            if given_latents is None:
                latents, *log_variances = self._encode(given, lengths)
                noisy = self._with_noise(latents)
            else:
                noisy = latents = self._gathered(batch, given_latents)
                log_variances = []
            counts = np.asarray(num_positions(batch.lengths, self.model.stride), np.int32)
            holds_end = batch.tokens[np.arange(len(counts)), batch.lengths - 1] == END_ID
            decoded = self._decoded(noisy, counts, holds_end, batch.tokens)
            for row, document in self._rows(batch):
                tokens = batch.tokens[row, : batch.lengths[row]]
                own = [
                    array[row][None] if self._vector else array[row, : counts[row]]
                    for array in (latents, *log_variances)
                ]
                part = _Part(
                    int(batch.starts[row]),
                    decoded.texts[row],
                    _correct(tokens, decoded.texts[row], bool(holds_end[row])),
                    decoded.token_losses[row][: len(tokens)],
                    own[0],
                    own[1] if log_variances else None,
                    None if corruption is None else given[row, : lengths[row] - int(holds_end[row])],
                )
                found[document].append(part)
        return found

    def _with_noise(self, latents: np.ndarray) -> np.ndarray:
        """Return a batch's latents with `latent_noise`."""
        if not self.latent_noise:
            return latents
        return latents + np.float32(self.latent_noise) * self.random.standard_normal(latents.shape, np.float32)

    def _gathered(self, batch: Batch, latents: Sequence[np.ndarray]) -> np.ndarray:
        """Return a batch's latents from those of each document."""
        tokens, size, height = self._tokens_per_latent, self.model.latent_size, len(batch.lengths)
        most = 1 if self._vector else batch.tokens.shape[1] // self.model.stride
        out = np.zeros((height, most, size), np.float32)
        for row, document in self._rows(batch):
            first, count = batch.starts[row] // tokens, num_positions(batch.lengths[row], tokens)
            out[row, :count] = np.reshape(latents[document], (-1, size))[first : first + count]
        return out[:, 0] if self._vector else out

    def _batches(self, documents: Sequence[np.ndarray], overflow: str) -> Batches:
        return Batches(
            documents,
            max_length=self.model.max_length,
            stride=self.model.stride,
            tokens_per_batch=max(self.tokens_per_batch, self.model.max_length),
            length_buckets=_even_lengths(self.model.max_length, self.model.stride) if self._fixed else 64,
            overflow=overflow,
            shuffle=False,
            fixed_rows=self._fixed,
            few_rows=FEW_ROWS,
        )

    def _fitting(self, rows: int, positions: int) -> tuple[int, int]:
        """Return the rows and latent positions to compute: the same, or one of few shapes if each is compiled."""
        if not self._fixed:
            return rows, positions
        stride = self.model.stride
        length = next(n for n in _even_lengths(self.model.max_length, stride) if n >= positions * stride)
        return max(rows, fixed_rows(rows, self.tokens_per_batch // length, FEW_ROWS)), length // stride

    def _rows(self, batch: Batch) -> Iterator[tuple[int, int]]:
        for row, document in enumerate(batch.documents.tolist()):
            if document >= 0:
                yield row, document

    def _decoded(
        self, latents: np.ndarray, counts: np.ndarray, holds_end: np.ndarray, targets: np.ndarray | None = None
    ) -> _Decoded:
        """Decode rows of `counts` latent positions, of which `holds_end` are the last segments of their texts.

        How many positions the last vector of a text has is predicted; those before it are full. The losses of
        `targets` (rows, length) go by `counts`.
        """
        if self._vector:
            return self._decoded_vectors(latents, counts, holds_end, targets)
        if targets is None:
            shape = np.zeros((len(counts), latents.shape[1] * self.model.stride), np.int32)
            (ids, ends), losses = self._decode(latents, counts, shape), [np.zeros(0)] * len(counts)
        else:
            ids, ends, losses = self._score(latents, counts, targets)
        return _Decoded(self._texts(ids, ends, counts, holds_end), list(losses))

    def _decoded_vectors(
        self, latents: np.ndarray, counts: np.ndarray, holds_end: np.ndarray, targets: np.ndarray | None
    ) -> _Decoded:
        """Do as `_decoded`, so many rows at a time that a wrong prediction costs time but no memory."""
        full = num_positions(self.model.max_length, self.model.stride)
        if targets is not None and self.true_lengths:
            predicted = counts
        else:
            predicted = np.where(holds_end, self._predicted_lengths(latents), full)
            predicted = np.where(counts > 0, predicted, 0).astype(np.int32)
        needed = predicted if targets is None else np.maximum(predicted, counts)
        filled = np.flatnonzero(counts)
        found = _Decoded([np.zeros(0, np.int32)] * len(counts), [np.zeros(0)] * len(counts))
        for group in self._groups(needed[filled].tolist()):
            rows = filled[group]
            height, positions = self._fitting(len(rows), int(needed[rows].max()))
            some = _padded(latents[rows], (height, self.model.latent_size))
            own, true, last = (_padded(array[rows], (height,)) for array in (predicted, counts, holds_end))
            length = positions * self.model.stride
            if targets is None:
                ids, ends = self._decode(some, own, np.zeros((height, length), np.int32))
            else:
                wide = _padded(targets[rows, :length], (height, length))
                ids, ends, losses = self._score(some, own, wide)
                if (own != true).any():
                    losses = self._score(some, true, wide)[2]
                for row, values in zip(rows, losses, strict=False):
                    found.token_losses[row] = values
            for row, text in zip(rows, self._texts(ids, ends, own, last), strict=False):
                found.texts[row] = text
        return found

    def _texts(
        self, ids: np.ndarray, ends: np.ndarray, positions: np.ndarray, holds_end: np.ndarray
    ) -> list[np.ndarray]:
        lengths = text_lengths(ends, positions, self.model.stride, holds_end).tolist()
        return [row[:length] for row, length in zip(ids, lengths, strict=True)]

    def _predicted_lengths(self, latents: np.ndarray) -> np.ndarray:
        """Return the number of latent positions that the length head predicts for each vector."""
        if not self.model.exact:
            return self._predict_lengths(latents)
        most = num_positions(self.model.max_length, self.model.stride)
        predicted = np.zeros(len(latents), np.int32)
        for rows in self._groups([most] * len(latents)):  # of each the Fourier features at full length
            some = _padded(latents[rows], (self._fitting(len(rows), most)[0], latents.shape[1]))
            predicted[rows] = self._predict_lengths(some)[: len(rows)]
        return predicted

    def _groups(self, positions: Sequence[int]) -> Iterator[list[int]]:
        """Yield the indices of rows of so many latent positions, as many at a time as a batch may hold."""
        return _together(
            [self._fitting(1, count)[1] for count in positions], self.tokens_per_batch // self.model.stride
        )

    def _encode_batch(self, tokens: Any, lengths: Any) -> tuple[Any, ...]:
        """Return the latents and, from a variational model, the log-variances of their posteriors."""
        latents, posterior = self.model.encoder(tokens, lengths)
        return (latents,) if posterior is None else (latents, posterior.log_variance)

    def _length_batch(self, latents: Any) -> Any:
        return ops.cast(ops.argmax(self.model.decoder.length_logits(latents), axis=-1), "int32") + 1

    def _decode_batch(self, latents: Any, positions: Any, targets: Any) -> tuple[Any, ...]:
        """Return ids and ends, (batch, length) as `targets`, whose values do not matter."""
        return self._predictions(latents, positions, ops.shape(targets))

    def _score_batch(self, latents: Any, positions: Any, targets: Any) -> tuple[Any, ...]:
        """Return ids, ends, and the losses of the targets."""
        return self._predictions(latents, positions, ops.shape(targets), ops.reshape(targets, (-1,)))

    def _surprise_batch(self, latents: Any, positions: Any, targets: Any) -> tuple[Any, ...]:
        """Return what `surprise` does of each target, three arrays of its shape."""
        states = self.model.decode(latents, positions, ops.shape(targets)[1] // self.model.stride)
        rows, embedding, bias = self.model.output_rows(ops.reshape(states, (-1, states.shape[-1])))
        found = surprise(rows, embedding, ops.reshape(targets, (-1,)), bias=bias)
        return tuple(ops.reshape(values, ops.shape(targets)) for values in found)

    def _predictions(self, latents: Any, positions: Any, shape: Any, targets: Any = None) -> tuple[Any, ...]:
        states = self.model.decode(latents, positions, shape[1] // self.model.stride)
        rows, embedding, bias = self.model.output_rows(ops.reshape(states, (-1, states.shape[-1])))
        found = predict(rows, embedding, targets, bias=bias)
        return tuple(ops.reshape(values, (shape[0], shape[1])) for values in found if values is not None)

    def _check(self, array: np.ndarray) -> None:
        dimensions, size = {1} if self.single else {1, 2} if self._vector else {2}, self.model.latent_size
        if array.ndim not in dimensions or array.shape[-1] != size or not array.size:
            several = "segments" if self._vector else "positions"
            expected = f"({size},)" if self.single else f"({several}, {size}) with at least one {several[:-1]}"
            raise ValueError(f"expected a document's latents of shape {expected}, received {array.shape}")
        if infinite := int(array.size - np.isfinite(array).sum()):
            raise ValueError(
                f"expected a document's latents to be finite, received {infinite:,} of {array.size:,} that are not"
            )


def _correct(tokens: np.ndarray, text: np.ndarray, holds_end: bool) -> np.ndarray:
    """Return bools, as many as tokens: whether the decoded text, and its end, are the tokens."""
    decoded = np.concatenate([text, [END_ID]]) if holds_end else text
    correct = np.zeros(len(tokens), bool)
    shared = min(len(tokens), len(decoded))
    correct[:shared] = tokens[:shared] == decoded[:shared]
    return correct


def _joined(document: np.ndarray, parts: list[_Part]) -> Reconstructed:
    """Join what was found of a document's segments."""
    parts = sorted(parts, key=lambda part: part.start)
    correct = np.concatenate([part.correct for part in parts])
    missing = np.zeros(len(document) + 1 - len(correct), bool)
    if len(missing):  # truncated: the rest was not encoded, and the end was answered too early
        correct[-1] = False
    return Reconstructed(
        ids=np.concatenate([part.text for part in parts]),
        correct=np.concatenate([correct, missing]),
        token_losses=np.concatenate([part.token_losses for part in parts]),
        latents=np.concatenate([part.latents for part in parts]),
        log_variances=_concatenated([part.log_variances for part in parts]),
        corrupted=_concatenated([part.corrupted for part in parts]),
    )


def _concatenated(arrays: list[np.ndarray | None]) -> np.ndarray | None:
    """Return arrays as one, or None where there are none."""
    given = [array for array in arrays if array is not None]
    return np.concatenate(given) if given else None


def _padded(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return an array with zeros after its last entries, up to a shape."""
    return np.pad(array, [(0, to - size) for size, to in zip(array.shape, shape, strict=True)])


def _even_lengths(max_length: int, stride: int) -> list[int]:
    """Return a few padded lengths that grow by equal factors, for backends that compile each anew."""
    exact = np.geomspace(stride, max_length, SHAPES)
    return sorted({int(num_positions(length, stride) * stride) for length in np.round(exact)} | {max_length})


def _together(sizes: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Yield the indices of items of similar size, so many at a time that the padded total stays in the budget."""
    chosen: list[int] = []
    for i in np.argsort(sizes, kind="stable")[::-1].tolist():
        if chosen and (len(chosen) + 1) * sizes[chosen[0]] > budget:
            yield chosen
            chosen = []
        chosen.append(i)
    if chosen:
        yield chosen
