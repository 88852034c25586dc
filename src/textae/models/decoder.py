"""The decoder: latents to states, a position for each token; and the length head of vectors."""

from __future__ import annotations

import math
from typing import Any

import keras

from textae.layers import Upsample
from textae.layers.fourier import FourierFeatures
from textae.layers.linear import Linear
from textae.layers.position_mask import PositionMask
from textae.layers.seeds import Seed, seed_generator
from textae.layers.vectors import VectorToSequence
from textae.models.encoder import levels
from textae.models.length_head import FourierLengthHead, LengthHead
from textae.models.specification import BackboneSpec, LatentSpec


@keras.saving.register_keras_serializable(package="textae")
class Decoder(keras.layers.Layer):
    """Latents -> decoder states (batch, positions * stride, channels), and the predicted lengths of vectors.

    Args:
        backbone: a `BackboneSpec`, or its `to_config`.
        latent: a `LatentSpec`, or its `to_config`.
        max_positions: latent positions of the longest text, for one vector per text.
        seed: of dropout: an int, a `keras.random.SeedGenerator` that may be shared, or None.

    Attributes:
        project: latents to the channels of the shortest level.
        length_head: of vectors; None for sequences.
    """

    def __init__(
        self, backbone: Any, latent: Any, max_positions: int | None = None, seed: Seed = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.backbone, self.latent = BackboneSpec.get(backbone), LatentSpec.get(latent)
        self.max_positions, self.seed = max_positions, seed_generator(seed)
        channels, policy = self.backbone.channels, self.dtype_policy
        # In the order in which these lines make weights, they draw their seeds and are listed. So each of the two heads
        # has its place in it.
        self.project = self._projection()
        self.length_head: LengthHead | FourierLengthHead | None = None
        if max_positions is not None and not self.latent.fourier_features:
            self.length_head = LengthHead(max_positions, name="length_head", dtype="float32")
        self.levels = levels(self.backbone, self.backbone.residual_blocks, self.seed, policy)[::-1]
        self.upsamplers = [
            Upsample(
                filters,
                self.backbone.kernel_factor * stride,
                stride,
                kind=self.backbone.upsampler,
                name=f"up_{i}",
                dtype=policy,
            )
            for i, (filters, stride) in enumerate(zip(channels[-2::-1], self.backbone.strides[::-1], strict=True))
        ]
        strides = self.backbone.strides[::-1]
        self.masks = [
            PositionMask(upsampling=math.prod(strides[:i]), name=f"mask_{i}", dtype=policy)
            for i in range(len(self.levels))
        ]
        if max_positions is not None and self.latent.fourier_features:
            self.length_head = FourierLengthHead(self.backbone.stride, name="length_head")

    def _projection(self) -> Linear | VectorToSequence | FourierFeatures:
        channels, common = self.backbone.channels[-1], {"name": "project", "dtype": self.dtype_policy}
        frequencies = keras.initializers.RandomNormal(stddev=1.0)  # draws its seed for every model
        if self.latent.fourier_features:
            return FourierFeatures(channels // 2, self.max_positions, frequencies, **common)
        if self.max_positions is None:
            return Linear(channels, **common)
        return VectorToSequence(channels, self.max_positions, **common)

    def build(self, input_shape: Any) -> None:
        """Build all parts, in the order in which they are called; `input_shape` is that of the latents."""
        shapes = [(None, None, channels) for channels in self.backbone.channels[::-1]]
        self.project.build(input_shape)
        self.levels[0].build(shapes[0])
        for upsampler, level, above, here in zip(
            self.upsamplers, self.levels[1:], shapes[:-1], shapes[1:], strict=True
        ):
            upsampler.build(above)
            level.build(here)
        if isinstance(self.length_head, LengthHead):
            self.length_head.build(input_shape)
        elif self.length_head is not None:
            self.length_head.build((None, self.max_positions, self.backbone.channels[-1]))

    def call(self, latents: Any, num_positions: Any, *, positions: Any, training: bool = False) -> Any:
        """Return decoder states, (batch, positions * stride, channels); of symbols, a graph of layers.

        Args:
            latents: (batch, positions, size) or (batch, size).
            num_positions: (batch,) int32, each text's own number of latent positions.
            positions: the number of latent positions of the longest, an int or a scalar tensor.
            training: whether dropout applies.
        """
        values = self._project(latents, positions)
        mask = self.masks[0](num_positions, values)
        values = self.levels[0](values * mask, mask, training=training)
        for upsampler, level, masks in zip(self.upsamplers, self.levels[1:], self.masks[1:], strict=True):
            within = mask[:, :, 0] > 0 if upsampler.kind == "resize_linear" else None  # no line into the padding
            values = upsampler(values, mask=within)
            mask = masks(num_positions, values)
            values = level(values * mask, mask, training=training)
        return values

    def length_logits(self, latents: Any) -> Any:
        """Return (batch, max_positions): entry i stands for a text of i + 1 latent positions; None for sequences."""
        if isinstance(self.length_head, FourierLengthHead):
            return self.length_head(self._project(latents, self.max_positions))
        return None if self.length_head is None else self.length_head(latents)

    def _project(self, latents: Any, positions: Any) -> Any:
        return self.project(latents) if self.max_positions is None else self.project(latents, positions=positions)

    def get_config(self) -> dict[str, Any]:
        """Return every argument of the constructor."""
        return {
            **super().get_config(),
            "backbone": self.backbone.to_config(),
            "latent": self.latent.to_config(),
            "max_positions": self.max_positions,
            "seed": self.seed.get_config()["seed"],
        }
