"""The co-occurrence initialization: a text's vector begins as the mean of known vectors of its tokens.

All tokens go the same way: each tap of the strided convolutions and the projection begin as the identity, so the mean
over positions is that of the tokens' embeddings, up to a scale. What the bag-of-words head needs is the same table.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops

from textae.models.autoencoder import Autoencoder
from textae.models.initialization.orthogonal import assign_mean


def initialize_cooccurrence(model: Autoencoder, vectors: np.ndarray) -> None:
    """Give a built `Autoencoder` an encoder that begins with these vectors of tokens.

    Args:
        model: with one vector per text, by the mean over positions.
        vectors: (vocabulary, at most the model's channels).
    """
    embedding, rows = model.encoder.embedding, np.zeros((model.vocabulary_size, model.encoder.backbone.channels[0]))
    # A vector has a mean square of about 1, as states have; the encoder multiplies by the root of the channels.
    length = np.sqrt(np.mean(np.sum(np.square(vectors), axis=1)))
    rows[:, : vectors.shape[1]] = vectors / max(float(length), 1e-12)
    table: Any = embedding.embeddings  # a variable
    table.assign(rows.astype(np.float32))
    for down in model.encoder.downsamplers:
        down.kernel.assign(_identity(down.kernel.shape))
    project = model.encoder.bottleneck.project.kernel
    assign_mean(project, _identity((*project.shape[:-1], model.latent_size)))
    if model.bag_of_words is not None:
        model.bag_of_words.kernel.assign(rows[:, : model.latent_size].T.astype(np.float32))


def _identity(shape: tuple[int, ...]) -> Any:
    """Return a kernel (..., inputs, outputs), the same identity for each of its taps."""
    return ops.broadcast_to(ops.eye(shape[-2], shape[-1]), shape)
