"""The weights that training begins with: "random", "orthogonal", "lattice" or "cooccurrence".

With independent random weights a decoder has to learn what the encoder's random projections mean before any token is
reconstructed, and with one vector for a long text it hardly finds a way to begin. The residual blocks begin as the
identity, so the rest can be initialized to carry tokens through. `orthogonal` ties the decoder to the encoder's
transpose; `lattice` gives each token a fixed codeword, for latents of few dimensions per token; `cooccurrence` gives
each token a vector by the tokens that occur near it, for vectors of meaning.
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


def initialize(model: Autoencoder, kind: str, vectors: np.ndarray | None = None) -> None:
    """Give a built `Autoencoder` the weights that training begins with.

    Args:
        model: built.
        kind: "random", "orthogonal", "lattice" or "cooccurrence".
        vectors: (vocabulary, size) of tokens, for "cooccurrence".

    Raises:
        ValueError: another kind, or one that the model's decoder is not made for.
    """
    kinds: dict[str, Callable[[Autoencoder], None] | None] = {
        "random": None,
        "orthogonal": initialize_orthogonal,
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
