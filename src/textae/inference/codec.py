"""Token ids to latents and back, in bulk: pieces of similar length together, documents put together again.

The ids that come in and go out are whole documents without their end; a document's last block holds the end, and
decoding looks for it there and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from textae.data.batching import Batch, Batches
from textae.data.special_tokens import END_ID
from textae.losses.objectives import predict
from textae.models.autoencoder import Autoencoder
from textae.models.isolation import isolated

POSITIONS = 16384  # padded positions of a batch
SHAPES = 8  # padded lengths where each costs a compilation


@dataclass
class Reconstructed:
    """What came back of a document, and how it compares with what went in.

    ids: without the end. correct: for each token of the document, its end last, whether it came back at its place.
    nats: the cross-entropy of each token that was encoded. latents: float32 (blocks, size), what the document became,
    without the noise that was added. kl: the same shape, each number's divergence in nats; None but from variational
    models. given: the ids that were encoded, without the end, where they are corrupted ones; a masked one is 0.
    """

    ids: np.ndarray
    correct: np.ndarray
    nats: np.ndarray
    latents: np.ndarray
    kl: np.ndarray | None = None
    given: np.ndarray | None = None


class Codec:
    """Encodes, decodes and reconstructs ids with a model.

    Args:
        model: built.
        overflow: "split", "truncate" or "drop", for documents of more than `model.max_length` tokens: what
            `config.ModelConfig` says of them.
        latent_noise: standard deviation of normal noise that is added to latents before they are decoded, of a
            repeatable sequence that begins with `seed`.
        positions: padded positions of a batch, where a wide model has room for fewer than usual.
    """

    def __init__(
        self,
        model: Autoencoder,
        overflow: str = "split",
        latent_noise: float = 0.0,
        seed: int = 0,
        positions: int | None = None,
    ) -> None:
        self.model, self.overflow, self.latent_noise = model, overflow, latent_noise
        self.random = np.random.default_rng(seed)
        self.positions = POSITIONS if positions is None else min(positions, POSITIONS)
        self._vector = model.latent == "vector"
        self._fixed = keras.backend.backend() == "jax"  # each shape is compiled anew
        shape = (None, model.latent_size) if self._vector else (None, None, model.latent_size)
        ids, lengths = ((None, None), "int32"), ((None,), "int32")
        self._encode = compiled(model, self._encode_batch, [ids, lengths])
        self._decode = compiled(model, self._decode_batch, [(shape, "float32"), lengths, ids])
        self._judge = compiled(model, self._judge_batch, [(shape, "float32"), lengths, ids])
        self._count = compiled(model, self._count_batch, [(shape, "float32")])

    @property
    def answers(self) -> str:
        """What happens to a long document that may not be left out: "split" or "truncate".

        A dropped one is split, which loses nothing, unless the model has one vector for a document.
        """
        if self.overflow != "drop":
            return self.overflow
        return "truncate" if self._vector else "split"

    @property
    def single(self) -> bool:
        """Whether each document has exactly one latent."""
        return self._vector and self.answers == "truncate"

    def truncated(self, documents: Sequence[np.ndarray]) -> int:
        """Return how many of the documents `encode` does not encode to their ends."""
        return sum(len(ids) + 1 > self.model.max_length for ids in documents) if self.answers == "truncate" else 0

    @isolated()
    def encode(self, documents: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return each document's latents: float32 (latents, size), or (size,) where each document has exactly one.

        A latent stands for `model.stride` tokens, or for a segment of `model.max_length` with a vector per text.
        """
        tokens, size = self.model.max_length if self._vector else self.model.stride, self.model.latent_size
        batches = self._batches(documents, self.answers)
        longest = self.model.max_length if self.answers == "truncate" else None
        totals = [-(-min(len(ids) + 1, longest or len(ids) + 1) // tokens) for ids in documents]
        out = [np.zeros((total, size), np.float32) for total in totals]
        for batch in batches.epoch(0):
            latents = self._encode(batch.tokens, batch.lengths)[0]
            if self._vector:
                latents = latents[:, None]
            for row, document in self._rows(batch):
                first, count = batch.starts[row] // tokens, -(-batch.lengths[row] // tokens)
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
        if self._vector:
            latents = [np.reshape(array, (-1, self.model.latent_size)) for array in latents]
        most = 1 if self._vector else self.model.max_length // self.model.stride
        parts = [
            (document, first, min(most, len(array) - first))
            for document, array in enumerate(latents)
            for first in range(0, len(array), most)
        ]
        out: list[list[np.ndarray]] = [[] for _ in latents]
        for chosen in self._groups([count for _, _, count in parts]):
            rows = [parts[i] for i in chosen]
            height, blocks = self._fitting(len(rows), max(count for _, _, count in rows))
            counts = np.zeros(height, np.int32)
            counts[: len(rows)] = [count for _, _, count in rows]
            padded = np.zeros((height, blocks, self.model.latent_size), np.float32)
            for i, (document, first, count) in enumerate(rows):
                padded[i, :count] = latents[document][first : first + count]
            counts, ids, ends, _ = self._decoded(padded[:, 0] if self._vector else padded, counts)
            for i, (document, first, count) in enumerate(rows):
                last = first + count == len(latents[document])
                out[document].append((first, self._text(ids[i], ends[i], int(counts[i]), last)))
        return [np.concatenate([ids for _, ids in sorted(found, key=lambda f: f[0])]) for found in out]

    @isolated()
    def reconstruct(
        self,
        documents: Sequence[np.ndarray],
        corruption: Callable[[Any, Any], tuple[Any, Any]] | None = None,
        every: bool = False,
    ) -> list[Reconstructed | None]:
        """Encode and decode documents and compare; None for one that `overflow: drop` leaves out.

        Of a document that is cut, the tokens beyond `max_length` count as wrong. `corruption` gives the (ids, lengths)
        that are encoded in place of a batch's own. With `every` no document is left out: what comes back is what
        `decode` gives of `encode`.
        """
        batches = self._batches(documents, self.answers if every else self.overflow)
        found: list[list[tuple]] = [[] for _ in documents]
        for batch in batches.epoch(0):
            given, lengths = batch.tokens, batch.lengths
            if corruption is not None:
                given, lengths = map(ops.convert_to_numpy, corruption(given, lengths))
            encoded = self._encode(given, lengths)
            latents = encoded[0]
            if self.latent_noise:
                latents = latents + np.float32(self.latent_noise) * self.random.standard_normal(
                    latents.shape, np.float32
                )
            true = np.asarray(-(-batch.lengths // self.model.stride), np.int32)
            counts, ids, ends, nats = self._decoded(latents, true, batch.tokens)
            for row, document in self._rows(batch):
                start, length = int(batch.starts[row]), int(batch.lengths[row])
                tokens = batch.tokens[row, :length]
                last = tokens[-1] == END_ID
                text = self._text(ids[row], ends[row], int(counts[row]), last)
                answered = np.concatenate([text, [END_ID]]) if last else text
                right = np.zeros(length, bool)
                shared = min(length, len(answered))
                right[:shared] = tokens[:shared] == answered[:shared]
                own = [array[row][None] if self._vector else array[row, : true[row]] for array in encoded]
                if corruption is not None:
                    own = [own[0], own[1] if len(own) > 1 else None, given[row, : lengths[row] - bool(last)]]
                found[document].append((start, text, right, nats[row][:length], *own))
        return [self._joined(ids, parts) if parts else None for ids, parts in zip(documents, found, strict=True)]

    def _joined(self, document: np.ndarray, parts: list[tuple]) -> Reconstructed:
        parts.sort(key=lambda part: part[0])
        _, *columns = zip(*parts, strict=True)
        texts, right, nats, *encoded = (None if column[0] is None else np.concatenate(column) for column in columns)
        missing = np.zeros(len(document) + 1 - len(right), bool)
        if len(missing):  # cut: what stood there was not encoded, and the end was answered too early
            right[-1] = False
        return Reconstructed(texts, np.concatenate([right, missing]), nats, *encoded)

    def _batches(self, documents: Sequence[np.ndarray], overflow: str) -> Batches:
        return Batches(
            documents,
            max_length=self.model.max_length,
            stride=self.model.stride,
            tokens_per_batch=max(self.positions, self.model.max_length),
            length_buckets=_even_lengths(self.model.max_length, self.model.stride) if self._fixed else 64,
            overflow=overflow,
            shuffle=False,
            fixed_rows=self._fixed,
        )

    def _fitting(self, rows: int, blocks: int) -> tuple[int, int]:
        """Return the rows and blocks to compute for so many: the same, or one of few shapes if each is compiled."""
        if not self._fixed:
            return rows, blocks
        stride = self.model.stride
        length = next(n for n in _even_lengths(self.model.max_length, stride) if n >= blocks * stride)
        return max(rows, self.positions // length), length // stride

    def _rows(self, batch: Batch) -> Iterator[tuple[int, int]]:
        for row, document in enumerate(batch.documents.tolist()):
            if document >= 0:
                yield row, document

    def _text(self, ids: np.ndarray, ends: np.ndarray, count: int, last: bool) -> np.ndarray:
        """Return a piece's ids: all of its blocks, but only up to the first end in the last block of a document."""
        length = count * self.model.stride
        if last:
            block = ends[length - self.model.stride : length]
            if block.any():
                length = length - self.model.stride + int(block.argmax())
        return ids[:length]

    def _decoded(self, latents: Any, counts: np.ndarray, targets: np.ndarray | None = None) -> tuple:
        """Return counts, ids, ends and nats of each row; without targets the nats are empty."""
        if self._vector:
            return self._decoded_vectors(latents, counts, targets)
        if targets is not None:
            return counts, *self._judge(latents, counts, targets)
        shape = np.zeros((len(counts), latents.shape[1] * self.model.stride), np.int32)
        return counts, *self._decode(latents, counts, shape), [np.zeros(0)] * len(counts)

    def _decoded_vectors(self, latents: np.ndarray, counts: np.ndarray, targets: np.ndarray | None) -> tuple:
        """As `_decoded`: a vector tells its own number of blocks, nats go by the true one.

        Rows go by what they tell, and so many at a time that wrong numbers cost time but no memory.
        """
        told = np.where(counts > 0, self._told(latents), 0).astype(np.int32)
        needed = told if targets is None else np.maximum(told, counts)
        real = np.flatnonzero(counts)
        ids, ends, nats = ([np.zeros(0)] * len(counts) for _ in range(3))
        for group in self._groups(needed[real].tolist()):
            rows = real[group]
            height, blocks = self._fitting(len(rows), int(needed[rows].max()))
            length = blocks * self.model.stride
            some = np.zeros((height, self.model.latent_size), np.float32)
            some[: len(rows)] = latents[rows]
            own, true = np.zeros(height, np.int32), np.zeros(height, np.int32)
            own[: len(rows)], true[: len(rows)] = told[rows], counts[rows]
            wanted = np.zeros((height, length), np.int32)
            if targets is None:
                found = self._decode(some, own, wanted)
            else:
                width = min(length, targets.shape[1])
                wanted[: len(rows), :width] = targets[rows, :width]
                found = measured = self._judge(some, own, wanted)
                if (own != true).any():
                    measured = self._judge(some, true, wanted)
            for place, row in enumerate(rows):
                ids[row], ends[row] = found[0][place], found[1][place]
                if targets is not None:
                    nats[row] = measured[2][place]
        return told, ids, ends, nats

    def _told(self, latents: np.ndarray) -> np.ndarray:
        """Return the number of blocks that each vector tells."""
        if self.model.end_finder is None:
            return self._count(latents)
        told, blocks = np.zeros(len(latents), np.int32), self.model.max_length // self.model.stride
        for rows in self._groups([blocks] * len(latents)):  # of each the waves at full length
            some = np.zeros((self._fitting(len(rows), blocks)[0], latents.shape[1]), np.float32)
            some[: len(rows)] = latents[rows]
            told[rows] = self._count(some)[: len(rows)]
        return told

    def _groups(self, blocks: Sequence[int]) -> Iterator[list[int]]:
        """Yield the indices of rows of so many blocks, as many at a time as a batch may hold."""
        return _together([self._fitting(1, count)[1] for count in blocks], self.positions // self.model.stride)

    def _encode_batch(self, tokens: Any, lengths: Any) -> tuple:
        """Return the latents and, from a variational model, their divergence."""
        latents, kl = self.model.encoder(tokens, lengths)
        return (latents,) if kl is None else (latents, kl)

    def _count_batch(self, latents: Any) -> Any:
        return ops.cast(ops.argmax(self.model.block_logits(latents), axis=-1), "int32") + 1

    def _decode_batch(self, latents: Any, counts: Any, wanted: Any) -> tuple[Any, Any]:
        """Return ids and ends, (batch, length) as `wanted`, whose values do not matter."""
        return self._answers(latents, counts, ops.shape(wanted))

    def _judge_batch(self, latents: Any, counts: Any, wanted: Any) -> tuple[Any, Any, Any]:
        """Return ids, ends, and the nats of the ids that are wanted."""
        return self._answers(latents, counts, ops.shape(wanted), ops.reshape(wanted, (-1,)))

    def _answers(self, latents: Any, counts: Any, shape: tuple, targets: Any = None) -> tuple:
        states = self.model.decode(latents, counts, shape[1] // self.model.stride)
        rows, embedding, bias = self.model.output_rows(ops.reshape(states, (-1, states.shape[-1])))
        found = predict(rows, embedding, targets, bias=bias)
        return tuple(ops.reshape(values, (shape[0], shape[1])) for values in found if values is not None)

    def _check(self, array: np.ndarray) -> None:
        dimensions, size = {1} if self.single else {1, 2} if self._vector else {2}, self.model.latent_size
        if array.ndim not in dimensions or array.shape[-1] != size or not array.size:
            several = "segments" if self._vector else "blocks"
            expected = f"({size},)" if self.single else f"({several}, {size}) with at least one {several[:-1]}"
            raise ValueError(f"expected a document's latents of shape {expected}, received {array.shape}")
        if odd := int(array.size - np.isfinite(array).sum()):
            raise ValueError(
                f"expected a document's latents to be finite, received {odd:,} of {array.size:,} that are not"
            )


def compiled(
    model: keras.Model, function: Callable[..., Any], signature: list[tuple[tuple, str]]
) -> Callable[..., Any]:
    """Return `function` of arrays compiled for the backend, giving NumPy arrays; it may use the model's weights.

    `signature` is the shape (None: any) and type of each argument. The weights are read at each call. The process's
    settings play no part.
    """
    return isolated(exact=model.exact)(_compiled(model, function, signature))


def _compiled(
    model: keras.Model, function: Callable[..., Any], signature: list[tuple[tuple, str]]
) -> Callable[..., Any]:
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        specs = [tf.TensorSpec(shape, dtype) for shape, dtype in signature]
        graph = tf.function(function, input_signature=specs)

        def call(*arrays: Any) -> Any:
            return tf.nest.map_structure(lambda t: t.numpy(), graph(*map(tf.convert_to_tensor, arrays)))

        return call

    import jax

    def stateless(values: list[Any], *arrays: Any) -> Any:
        with keras.StatelessScope(state_mapping=list(zip(model.variables, values, strict=True))):
            return function(*arrays)

    jitted = jax.jit(stateless)

    def call(*arrays: Any) -> Any:
        result = jitted([variable.value for variable in model.variables], *arrays)
        return jax.tree.map(np.asarray, result)

    return call


def _even_lengths(max_length: int, stride: int) -> list[int]:
    """Return a few padded lengths that grow by equal factors, for backends that compile each anew."""
    exact = np.geomspace(stride, max_length, SHAPES)
    return sorted({int(-(-length // stride) * stride) for length in np.round(exact)} | {max_length})


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
