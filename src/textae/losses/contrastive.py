"""The contrastive loss: of two corruptions of a text, each is nearer to the other than to those of other texts.

As SimCSE (arXiv 2104.08821) without labels, with corruption of the tokens in place of dropout; the loss over the batch
is InfoNCE (arXiv 1807.03748), in both directions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras import ops

from textae.layers.data_parallel import all_rows, total
from textae.models.autoencoder import Autoencoder, Reconstruction

_NO_TEXT = -1e9  # the similarity of a row that holds no text


class ContrastiveTerm:
    """Adds `contrastive_loss`: the mean over the batch's texts (nats), times the batch's tokens.

    Args:
        model: whose encoder sees both corruptions.
        weight: of the loss, beside that of the reconstruction.
        temperature: what cosines are divided by.
        corruption: makes (ids, lengths) of a text's own; its random numbers differ from call to call.
    """

    def __init__(
        self, model: Autoencoder, weight: float, temperature: float, corruption: Callable[[Any, Any], tuple[Any, Any]]
    ) -> None:
        self.model, self.weight, self.temperature, self.corruption = model, weight, temperature, corruption

    def __call__(self, sums: dict[str, Any], out: Reconstruction, texts: tuple[Any, Any], encoded: Any) -> None:
        """Add to the sums; `texts` are ids (batch, length) and lengths (batch,) before corruption."""
        tokens, lengths = texts
        other, _ = self.model.encoder(*self.corruption(tokens, lengths), training=True)
        loss = contrastive_loss(out.latent, other, lengths > 0, self.temperature)
        sums["contrastive_loss"] = loss * total(sums["tokens"])
        sums["total"] += self.weight * sums["contrastive_loss"]


def contrastive_loss(one: Any, other: Any, is_text: Any, temperature: float) -> Any:
    """Return the mean cross-entropy, in nats, of finding a text's other vector among those of the batch.

    Where several devices share the batch it is what this device's texts add to the mean over all of them.

    Args:
        one, other: (batch, size), two vectors of each text.
        is_text: (batch,) bools; the other rows do not count.
        temperature: what cosines are divided by.
    """
    one, other, counted = _unit(one), _unit(other), ops.cast(is_text, "float32")
    candidates = all_rows(is_text)[None, :]
    found = []
    for own, others in ((one, other), (other, one)):
        similarities = ops.matmul(own, ops.transpose(all_rows(others))) / temperature
        found.append(ops.logsumexp(ops.where(candidates, similarities, _NO_TEXT), axis=1))
    losses = (found[0] + found[1]) / 2 - ops.sum(one * other, axis=1) / temperature
    return ops.sum(ops.where(is_text, losses, 0.0)) / ops.maximum(total(ops.sum(counted)), 1.0)


def _unit(rows: Any) -> Any:
    return rows * ops.rsqrt(ops.sum(ops.square(rows), axis=-1, keepdims=True) + 1e-12)
