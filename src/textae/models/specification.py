"""What a model is made of, as plain values: its levels, its latent, and its output."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import Field, asdict, dataclass
from typing import Any, ClassVar, Protocol, Self


class _Specification(Protocol):
    """Values that a layer's configuration can hold; each subclass is a frozen dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    @classmethod
    def get(cls, value: Self | Mapping[str, Any]) -> Self:
        """Return a specification, also from what `to_config` returned."""
        return cls(**value) if isinstance(value, Mapping) else value

    def to_config(self) -> dict[str, Any]:
        """Return all values, with lists in place of tuples, as JSON has them."""
        values = asdict(self)
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


@dataclass(frozen=True, kw_only=True)
class BackboneSpec(_Specification):
    """The levels that encoder and decoder have in common. Level 0 has a position per token; stride i leads from level
    i to level i + 1.

    Args:
        strides: by what each level is shorter than the one below.
        channels: of each level; one entry more than strides.
        residual_blocks: of each level.
        encoder_residual_blocks: the encoder's, where it has others.
        kernel_size: of the residual blocks, in positions of their level.
        expansion: inner channels of a residual block, as a multiple of its level's channels.
        normalization: "rms", "layer" or "none".
        residual_dropout: share of the values of residual blocks that are left out in training.
        upsampler: an upsampling method of `textae.layers.Upsample`.
        kernel_factor: kernel size of the strided convolutions, in strides.
    """

    strides: tuple[int, ...]
    channels: tuple[int, ...]
    residual_blocks: tuple[int, ...]
    encoder_residual_blocks: tuple[int, ...] | None = None
    kernel_size: int = 3
    expansion: float = 2.0
    normalization: str = "rms"
    residual_dropout: float = 0.0
    upsampler: str = "transpose"
    kernel_factor: int = 1

    def __post_init__(self) -> None:
        for name in ("strides", "channels", "residual_blocks", "encoder_residual_blocks"):
            if (value := getattr(self, name)) is not None:
                object.__setattr__(self, name, tuple(value))

    @property
    def stride(self) -> int:
        """Tokens of a latent position: the product of the strides."""
        return math.prod(self.strides)


@dataclass(frozen=True, kw_only=True)
class LatentSpec(_Specification):
    """What is between encoder and decoder.

    Args:
        kind: "sequence" (a latent for each latent position) or "vector" (one for a text).
        size: dimensions of a latent.
        pooling: how a text's states become its vector: "positions" (a product with all of them) or "mean".
        bag_of_words: whether a head predicts a text's tokens from its vector.
        fourier_features: whether the decoder reads Fourier features of the latent in place of a projection.
        normalization: how the latent is bounded: "none", "rms" or "tanh".
        noise: standard deviation of normal noise that is added in training.
        dropout: share of the dimensions that are left out in training.
        variational: whether the latent is drawn in training, from a mean and a log-variance.
    """

    kind: str = "sequence"
    size: int = 128
    pooling: str = "positions"
    bag_of_words: bool = False
    fourier_features: bool = False
    normalization: str = "none"
    noise: float = 0.0
    dropout: float = 0.0
    variational: bool = False

    @property
    def is_vector(self) -> bool:
        """Whether a text has one latent."""
        return self.kind == "vector"


@dataclass(frozen=True, kw_only=True)
class OutputSpec(_Specification):
    """How decoder states become logits.

    Args:
        tie_embeddings: whether the output layer's table is that of the input.
        kind: "dot" (logits are dot products) or "cosine" (cosines times `logit_scale`).
        logit_scale: what cosines are multiplied by.
        bias: whether each id has a bias.
    """

    tie_embeddings: bool = True
    kind: str = "dot"
    logit_scale: float = 100.0
    bias: bool = False
