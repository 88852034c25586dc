"""The objective of training: reconstruction, and the terms of variational models and of the length head."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from keras import ops

from textae.data.positions import num_positions, position_mask
from textae.layers.data_parallel import num_devices, row_numbers, total
from textae.layers.embedding import rows_of
from textae.losses.candidates import draw_candidates
from textae.losses.vocabulary_loss import VocabularyLoss, vocabulary_loss
from textae.models.autoencoder import Autoencoder, Reconstruction

Ids = tuple[Any, Any]  # (ids, lengths) of a batch
# Adds its own sums of a batch, and to "total": (sums, what the model made, the texts, what was encoded of them).
Term = Callable[[dict[str, Any], Reconstruction, Ids, Ids], None]
Replacement = Callable[[Any, Any], tuple[Any, Any]]  # (ids, lengths) -> (ids, lengths), of the same shapes


@dataclass(frozen=True)
class VocabularySample:
    """How the vocabulary is sampled in training, as of `draw_candidates`: how many ids, by which distribution."""

    drawn: int
    distribution: np.ndarray | None = None


class ReconstructionObjective:
    """Called with a batch: what a training step minimises (`total`) and reports, as sums over tokens without padding.

    Args:
        model: whose reconstructions are compared with their texts.
        free_bits: nats per latent dimension below which the KL divergence costs nothing (Kingma et al., arXiv
            1606.04934).
        label_smoothing: share of each target that is spread evenly over the vocabulary.
        precision: "float32" or "bfloat16", the type of the output layer's products.
        gather: project only positions that are no padding; needs shapes that may depend on the data.
        substitution: makes the (ids, lengths) that training goes by in place of a batch's own, or None.
        corruption: makes the (ids, lengths) that are encoded in training in place of those, or None.
        terms: add what else training minimises, such as that of `textae.losses.bag_of_words`.
        reconstruction_share: share of a batch's texts that are decoded in training, at least one; sums over them are
            scaled up to the batch. Where several devices share the batch, all sums are of this one's rows.
        sample: how the vocabulary is sampled in training, or None: the loss is that of all of it; each
            device has the ids of its own rows.
    """

    def __init__(
        self,
        model: Autoencoder,
        *,
        free_bits: float = 0.0,
        label_smoothing: float = 0.0,
        precision: str = "float32",
        gather: bool = False,
        substitution: Replacement | None = None,
        corruption: Replacement | None = None,
        terms: Sequence[Term] = (),
        reconstruction_share: float = 1.0,
        sample: VocabularySample | None = None,
    ) -> None:
        self.model, self.free_bits = model, free_bits
        self.label_smoothing, self.precision = label_smoothing, precision
        self.gather = gather
        self.substitution, self.corruption = substitution, corruption
        self.terms, self.reconstruction_share, self.sample = terms, reconstruction_share, sample

    def __call__(self, tokens: Any, lengths: Any, training: bool, kl_weight: Any = 0.0) -> dict[str, Any]:
        """Return scalars by name: `total`, `loss` (nats), `correct`, `tokens`, `documents`, and what the model adds.

        Args:
            tokens: (batch, length) int32 ids, padded; `length` is a multiple of the model's stride.
            lengths: (batch,) int32, each text's own tokens; 0 for a row that is none.
            training: whether the model's noise, substitution and corruption apply.
            kl_weight: weight of the KL divergence of a variational model, which a schedule may change.
        """
        if training and self.substitution is not None:
            tokens, lengths = self.substitution(tokens, lengths)
        encoded = (tokens, lengths)
        if training and self.corruption is not None:
            encoded = self.corruption(tokens, lengths)
        rows = decoded_rows(self.reconstruction_share, ops.shape(tokens)[0]) if training else None
        out = self.model(*encoded, target_lengths=lengths, decoded_rows=rows, training=training)
        decoded = lengths if rows is None else first_texts(self.reconstruction_share, lengths)[:rows]
        loss = self._vocabulary_loss(out.hidden, tokens[:rows], decoded, training)
        sums = {"loss": loss.loss, "correct": loss.correct, "tokens": loss.weight, "total": loss.loss}
        if rows is not None:
            sums = scaled(sums, total(ops.sum(ops.cast(lengths, "float32"))) / ops.maximum(total(loss.weight), 1.0))
        self._add_kl(sums, out, lengths, kl_weight)
        self._add_length_loss(sums, out, lengths)
        if training:
            for term in self.terms:
                term(sums, out, (tokens, lengths), encoded)
        sums["documents"] = ops.cast(ops.sum(ops.cast(lengths > 0, "int32")), "float32")
        return sums

    def _vocabulary_loss(self, hidden: Any, tokens: Any, lengths: Any, training: bool) -> VocabularyLoss:
        mask = position_mask(lengths, ops.shape(tokens)[1], ops)
        hidden = ops.reshape(hidden, (-1, hidden.shape[-1]))
        targets = ops.reshape(tokens, (-1,))
        weights = ops.cast(ops.reshape(mask, (-1,)), "float32")
        if self.gather:
            where = ops.nonzero(weights)[0]
            hidden, targets = ops.take(hidden, where, axis=0), ops.take(targets, where, axis=0)
            weights = ops.ones_like(ops.cast(targets, "float32"))
        rows, embedding, bias = self.model.output_rows(hidden)
        id_weights = None
        if training and self.sample is not None:
            ids, id_weights, targets = draw_candidates(
                targets,
                self.model.vocabulary_size,
                self.sample.drawn,
                self.model.seeds,
                self.sample.distribution,
                fixed_shape=not self.gather,
            )
            embedding, bias = rows_of(embedding, ids), None if bias is None else ops.take(bias, ids)
        return vocabulary_loss(
            rows,
            embedding,
            targets,
            weights,
            bias=bias,
            label_smoothing=self.label_smoothing,
            precision=self.precision,
            id_weights=id_weights,
        )

    def _add_kl(self, sums: dict[str, Any], out: Reconstruction, lengths: Any, kl_weight: Any) -> None:
        """Add the KL divergence (nats) of a variational model's latents."""
        if out.posterior is None:
            return
        kl = out.posterior.kl
        counts = num_positions(lengths, self.model.stride)
        mask = counts[:, None] > 0
        if len(kl.shape) == 3:
            mask = position_mask(counts, ops.shape(kl)[1], ops)[:, :, None]
        mask = ops.cast(mask, "float32")
        sums["kl"] = ops.sum(mask * kl)
        sums["total"] += kl_weight * ops.sum(mask * ops.maximum(kl, self.free_bits))

    def _add_length_loss(self, sums: dict[str, Any], out: Reconstruction, lengths: Any) -> None:
        """Add the cross-entropy (nats) of the length head."""
        logits = out.length_logits
        if logits is None:
            return
        counts = num_positions(lengths, self.model.stride)
        target = ops.one_hot(ops.maximum(counts, 1) - 1, logits.shape[-1])
        mask = ops.cast(counts > 0, "float32")
        loss = ops.sum(mask * (ops.logsumexp(logits, axis=1) - ops.sum(target * logits, axis=1)))
        sums["length_loss"] = loss
        sums["total"] += loss


def decoded_rows(share: float, rows: Any) -> Any:
    """Return how many of so many rows are decoded, so that the first texts are among them; None where that is all.

    With several devices it is how many of each one's rows.
    """
    if share >= 1:
        return None
    if isinstance(rows, int):
        devices = num_devices()
        texts = int(np.round(np.float32(share) * np.float32(rows * devices)))  # to float32, as `_decoded_texts`
        return math.ceil(max(1, texts) / devices)
    return _decoded_texts(share, rows)


def first_texts(share: float, lengths: Any) -> Any:
    """Return the lengths of the texts that are decoded, a share of the batch's texts and at least one; 0 for others.

    A batch has its texts first, and behind them rows that are none.
    """
    texts = total(ops.sum(ops.cast(lengths > 0, "int32")))
    return ops.where(row_numbers(ops.shape(lengths)[0]) < _decoded_texts(share, texts), lengths, 0)


def _decoded_texts(share: float, texts: Any) -> Any:
    return ops.maximum(1, ops.cast(ops.round(share * ops.cast(texts, "float32")), "int32"))


def scaled(sums: dict[str, Any], factor: Any) -> dict[str, Any]:
    """Return sums times a factor."""
    return {name: factor * value for name, value in sums.items()}
