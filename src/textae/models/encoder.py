"""The encoder: token ids to latents."""

from __future__ import annotations

import math
from typing import Any

import keras

from textae.data.positions import num_positions
from textae.layers import Downsample
from textae.layers.embedding import TokenEmbedding
from textae.layers.position_mask import PositionMask
from textae.layers.residual import Level
from textae.layers.seeds import Seed, seed_generator
from textae.models.bottleneck import Bottleneck, Posterior
from textae.models.specification import BackboneSpec, LatentSpec


def levels(backbone: BackboneSpec, residual_blocks: tuple[int, ...], seed: Seed, dtype: Any) -> list[Level]:
    """Return a level of so many residual blocks for each entry, from the one with a position per token upwards."""
    return [
        Level(
            count,
            backbone.kernel_size,
            backbone.expansion,
            backbone.normalization,
            backbone.residual_dropout,
            seed,
            name=f"level_{i}",
            dtype=dtype,
        )
        for i, count in enumerate(residual_blocks)
    ]


@keras.saving.register_keras_serializable(package="textae")
class Encoder(keras.layers.Layer):
    """Token ids (batch, length) -> latents: (batch, length / stride, size) or, of kind "vector", (batch, size).

    Id 0 has no embedding, be it padding or, within a text, a token that is masked. Padding is set to zero before every
    convolution, so a text's latents do not depend on the batch that it is in.

    Args:
        vocabulary_size: ids.
        backbone: a `BackboneSpec`, or its `to_config`.
        latent: a `LatentSpec`, or its `to_config`.
        max_positions: latent positions of the longest text, for one vector per text.
        seed: of what is drawn in training: an int, a `keras.random.SeedGenerator` that may be shared, or None.
    """

    def __init__(
        self,
        vocabulary_size: int,
        backbone: Any,
        latent: Any,
        max_positions: int | None = None,
        seed: Seed = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.backbone = BackboneSpec.get(backbone)
        self.seed = seed_generator(seed)
        channels, policy = self.backbone.channels, self.dtype_policy
        self.embedding = TokenEmbedding(
            vocabulary_size,
            channels[0],
            embeddings_initializer=embedding_initializer(channels[0]),
            scale=math.sqrt(channels[0]),  # rows have a mean square of 1, as all that follows
            name="embedding",
            dtype=policy,
        )
        counts = self.backbone.encoder_residual_blocks or self.backbone.residual_blocks
        self.levels = levels(self.backbone, counts, self.seed, policy)
        self.downsamplers = [
            Downsample(filters, self.backbone.kernel_factor * stride, stride, name=f"down_{i}", dtype=policy)
            for i, (filters, stride) in enumerate(zip(channels[1:], self.backbone.strides, strict=True))
        ]
        self.masks = [
            PositionMask(math.prod(self.backbone.strides[:i]), name=f"mask_{i}", dtype=policy)
            for i in range(len(self.levels))
        ]
        self.bottleneck = Bottleneck(LatentSpec.get(latent), max_positions, self.seed, name="bottleneck", dtype=policy)

    def build(self, input_shape: Any = None) -> None:
        """Build all parts, in the order in which they are called."""
        self.embedding.build(input_shape)
        shapes = [(None, None, channels) for channels in self.backbone.channels]
        self.levels[0].build(shapes[0])
        for downsampler, level, below, here in zip(
            self.downsamplers, self.levels[1:], shapes[:-1], shapes[1:], strict=True
        ):
            downsampler.build(below)
            level.build(here)
        self.bottleneck.build(shapes[-1])

    def call(self, tokens: Any, lengths: Any, training: bool = False) -> tuple[Any, Posterior | None]:
        """Return the latents and their posterior (or None), as `Bottleneck` does.

        Args:
            tokens: (batch, length) int32 ids, padded; `length` is a multiple of the strides' product.
            lengths: (batch,) int32, each text's own tokens.
            training: whether dropout and noise apply.
        """
        values, counts = self.states(tokens, lengths, training)
        return self.bottleneck(values, counts, training=training)

    def states(self, tokens: Any, lengths: Any, training: bool = False) -> tuple[Any, Any]:
        """Return what the bottleneck takes: states (batch, positions, channels), and how many of them are each text's.

        Arguments as for `call`; they may be symbols, of which this makes a graph of layers.
        """
        values = self.embedding(tokens)
        mask, visible = self.masks[0](lengths, values), self.masks[0](lengths, values, tokens)
        values = self.levels[0](values * visible, mask, training=training)
        for downsampler, level, masks in zip(self.downsamplers, self.levels[1:], self.masks[1:], strict=True):
            values = downsampler(values)
            mask = masks(lengths, values)
            values = level(values * mask, mask, training=training)
        return values, num_positions(lengths, self.backbone.stride)

    def get_config(self) -> dict[str, Any]:
        """Return every argument of the constructor."""
        return {
            **super().get_config(),
            "vocabulary_size": self.embedding.input_dim,
            "backbone": self.backbone.to_config(),
            "latent": self.bottleneck.latent.to_config(),
            "max_positions": self.bottleneck.max_positions,
            "seed": self.seed.get_config()["seed"],
        }


def embedding_initializer(channels: int) -> Any:
    """Return the initializer of a table of ids, whose rows have an expected length of 1."""
    return keras.initializers.RandomNormal(stddev=1 / math.sqrt(channels))
