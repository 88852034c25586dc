"""The weights that training begins with: "random", "orthogonal", "codebook", "lattice" or "cooccurrence".

With independent random weights a decoder has to learn what the encoder's random projections mean before any token is
reconstructed, and with one vector for a long text it hardly finds a way to begin. The residual blocks begin as the
identity, so the rest can be initialized to carry tokens through. `orthogonal` ties the decoder to the encoder's
transpose; `codebook` also learns codewords of single tokens for the latents' noise; `lattice` gives each token a fixed
codeword, for latents of few dimensions per token; `cooccurrence` gives each token a vector by the tokens that occur
near it, for vectors of meaning.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from textae.layers.fourier import FourierFeatures
from textae.models.autoencoder import Autoencoder
from textae.models.initialization.cooccurrence import initialize_cooccurrence
from textae.models.initialization.lattice import evenly_spaced, initialize_lattice
from textae.models.initialization.orthogonal import initialize_orthogonal

__all__ = ["evenly_spaced", "initialize", "initialize_cooccurrence", "initialize_lattice", "initialize_orthogonal"]


def initialize(
    model: Autoencoder,
    kind: str,
    *,
    vectors: np.ndarray | None = None,
    counts: np.ndarray | None = None,
    target_rate: float | None = None,
) -> None:
    """Give a built `Autoencoder` the weights that training begins with.

    Args:
        model: built.
        kind: "random", "orthogonal", "codebook", "lattice" or "cooccurrence".
        vectors: (vocabulary, size) of tokens, for "cooccurrence".
        counts: (vocabulary,), how often each token occurs, for "codebook".
        target_rate: bits per token of a variational model's sequences, for "orthogonal" and "codebook"; None: the
            posteriors begin with a log-variance of `LOG_VARIANCE`.

    Raises:
        ValueError: another kind, or one that the model's decoder is not made for, or its vectors or counts missing.
    """
    kinds: dict[str, Callable[[Autoencoder], None] | None] = {
        "random": None,
        "orthogonal": partial(initialize_orthogonal, target_rate=target_rate),
        "codebook": partial(_with_counts, counts=counts, target_rate=target_rate),
        "lattice": initialize_lattice,
        "cooccurrence": partial(_with_vectors, vectors=vectors),
    }
    if kind not in kinds:
        raise ValueError(f"initialization: expected one of {', '.join(kinds)}, received {kind!r}")
    if isinstance(model.decoder.project, FourierFeatures) != (kind == "lattice"):
        raise ValueError(f"initialization: expected lattice with Fourier features and only then, received {kind!r}")
    if (assign := kinds[kind]) is not None:
        assign(model)


def _with_vectors(model: Autoencoder, vectors: np.ndarray | None) -> None:
    if vectors is None:
        raise ValueError("initialization: expected vectors of tokens with cooccurrence, received None")
    initialize_cooccurrence(model, vectors)


def _with_counts(model: Autoencoder, counts: np.ndarray | None, target_rate: float | None) -> None:
    if counts is None:
        raise ValueError("initialization: expected counts of tokens with codebook, received None")
    initialize_orthogonal(model, counts, target_rate)
