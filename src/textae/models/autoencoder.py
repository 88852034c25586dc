"""The autoencoder: embedding -> encoder (strided Conv1D) -> latent -> decoder (Conv1DTranspose) -> hidden states.

Level 0 holds one position per token; stride i leads from level i to level i + 1. One list of strides drives both
halves. Padding is set to zero before every convolution, so a text's latent does not depend on the batch it came in.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import keras
from keras import ops

from textae.layers import Downsample, Upsample
from textae.layers.blocks import Collapse, Expand, Fourier, Level, Linear, Normalize, ResidualBlock, TokenEmbedding


class Reconstruction(NamedTuple):
    """What one pass gives: decoder states (batch, length, channels), the latent, and terms for the loss.

    `kl` is (batch, latents, latent_size), nats per dimension, or None; `blocks` is (batch, max_blocks), logits of
    the number of blocks, or None where the latent's own length tells it.
    """

    hidden: Any
    latent: Any
    kl: Any
    blocks: Any


def build(config: Any, vocabulary_size: int, seed: int = 0, dtype: str = "float32") -> Autoencoder:
    """Return a built `Autoencoder` from a `ModelConfig`; the only place here that reads one.

    `dtype` is the policy of its layers, whatever Keras's global one is.
    """
    model = Autoencoder(
        vocabulary_size=vocabulary_size,
        strides=list(config.strides),
        channels=list(config.channels),
        residual_blocks=list(config.residual_blocks),
        encoder_residual_blocks=None
        if config.encoder_residual_blocks is None
        else list(config.encoder_residual_blocks),
        kernel_size=config.kernel_size,
        expansion=config.expansion,
        normalization=config.normalization.name,
        upsampler=config.upsampler.kind.name,
        kernel_factor=config.upsampler.kernel_factor,
        latent=config.latent.name,
        latent_size=config.latent_size,
        fourier_features=config.fourier_features,
        latent_normalization=config.latent_normalization.name,
        latent_noise=config.latent_noise,
        latent_dropout=config.latent_dropout,
        variational=config.variational,
        residual_dropout=config.residual_dropout,
        tie_embeddings=config.tie_embeddings,
        output=config.output.name,
        logit_scale=config.logit_scale,
        output_bias=config.output_bias,
        max_length=config.max_length,
        seed=seed,
        dtype=dtype,
    )
    stride = model.stride
    model(ops.zeros((1, stride), "int32"), ops.full((1,), stride, "int32"))
    return model


def real_positions(lengths: Any, length: Any, dtype: str) -> Any:
    """Return (batch, length, 1): 1 where a position lies below the text's own length, else 0."""
    positions = ops.arange(length, dtype="int32")
    return ops.cast(positions[None, :, None] < lengths[:, None, None], dtype)


def blocks_of(lengths: Any, stride: int) -> Any:
    """Return how many blocks of `stride` positions hold `lengths` positions."""
    return (lengths + (stride - 1)) // stride


class Bottleneck(keras.layers.Layer):
    """Encoder states -> latent: projection, bounding, and in training noise and dropout.

    Variational (Kingma and Welling, arXiv 1312.6114): mean and log-variance, sampled in training; the mean otherwise.
    """

    def __init__(
        self,
        size: int,
        normalization: str = "none",
        noise: float = 0.0,
        dropout: float = 0.0,
        variational: bool = False,
        max_blocks: int | None = None,
        seed: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.size, self.normalization, self.noise = size, normalization, noise
        self.dropout, self.variational, self.seed = dropout, variational, seed
        outputs = 2 * size if variational else size
        self.project = (
            Linear(outputs, name="project", dtype=self.dtype_policy)
            if max_blocks is None
            else Collapse(outputs, max_blocks, name="project", dtype=self.dtype_policy)
        )

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Build the projection."""
        self.project.build(shape)

    def call(self, states: Any, training: bool = False) -> tuple[Any, Any]:
        """Return the latent in float32, and its KL divergence from N(0, 1) per dimension, or None."""
        latent = ops.cast(self.project(states), "float32")
        kl = None
        if self.variational:
            latent, log_variance = ops.split(latent, 2, axis=-1)
            log_variance = ops.clip(log_variance, -12.0, 6.0)
            kl = 0.5 * (ops.square(latent) + ops.exp(log_variance) - 1 - log_variance)
        if self.normalization == "rms":
            latent = latent * ops.rsqrt(ops.mean(ops.square(latent), axis=-1, keepdims=True) + 1e-6)
        elif self.normalization == "tanh":
            latent = ops.tanh(latent)
        if training:
            if self.variational:
                latent = latent + ops.exp(0.5 * log_variance) * self._normal(latent)
            if self.noise:
                latent = latent + self.noise * self._normal(latent)
            if self.dropout:
                latent = keras.random.dropout(latent, self.dropout, seed=self.seed)
        return latent, kl

    def _normal(self, like: Any) -> Any:
        return keras.random.normal(ops.shape(like), dtype="float32", seed=self.seed)


class Encoder(keras.layers.Layer):
    """Token ids (batch, length) -> latents: (batch, length / stride, size) or, for `vector`, (batch, size).

    Id 0 has no embedding, be it padding or, within a text, a token that is masked.
    """

    def __init__(self, embedding, levels, downsamplers, bottleneck, **kwargs) -> None:
        super().__init__(**kwargs)
        self.embedding, self.levels, self.downsamplers = embedding, levels, downsamplers
        self.bottleneck = bottleneck

    def call(self, tokens: Any, lengths: Any, training: bool = False) -> tuple[Any, Any]:
        """Return the latents and their KL divergence (or None); `lengths` is (batch,), in tokens."""
        values = self.embedding(tokens) * math.sqrt(self.embedding.output_dim)  # of mean square 1, as all that follows
        real = real_positions(lengths, ops.shape(values)[1], values.dtype)
        seen = real * ops.cast(ops.not_equal(tokens, 0), values.dtype)[:, :, None]
        values = self.levels[0](values * seen, real, training=training)
        for downsampler, level in zip(self.downsamplers, self.levels[1:], strict=True):
            values = downsampler(values)
            lengths = blocks_of(lengths, downsampler.stride)
            real = real_positions(lengths, ops.shape(values)[1], values.dtype)
            values = level(values * real, real, training=training)
        return self.bottleneck(values, training=training)


class Decoder(keras.layers.Layer):
    """Latents -> decoder states (batch, blocks * stride, channels); a block counter reads `vector` latents, or none."""

    def __init__(self, project, block_counter, max_blocks, levels, upsamplers, **kwargs) -> None:
        super().__init__(**kwargs)
        self.project, self.block_counter, self.max_blocks = project, block_counter, max_blocks
        self.levels, self.upsamplers = levels, upsamplers

    def build(self, latents_shape: tuple[int | None, ...], counts_shape: tuple[int | None, ...]) -> None:
        """Build what `call` does not reach; the rest is built on its way."""
        if self.block_counter is not None:
            self.block_counter.build(latents_shape)

    def call(self, latents: Any, counts: Any, *, blocks: Any, training: bool = False) -> Any:
        """Return decoder states.

        Args:
            latents: (batch, blocks, size) or (batch, size).
            counts: (batch,), each text's own number of blocks.
            blocks: the number of blocks of the longest.
        """
        values = self.project(latents) if self.max_blocks is None else self.project(latents, blocks=blocks)
        real = real_positions(counts, ops.shape(values)[1], values.dtype)
        values = self.levels[0](values * real, real, training=training)
        lengths = counts
        for upsampler, level in zip(self.upsamplers, self.levels[1:], strict=True):
            mask = real[:, :, 0] > 0 if upsampler.kind == "resize_linear" else None  # no line into the padding
            values = upsampler(values, mask=mask)
            lengths = lengths * upsampler.stride
            real = real_positions(lengths, ops.shape(values)[1], values.dtype)
            values = level(values * real, real, training=training)
        return values


class EndFinder(keras.layers.Layer):
    """Waves (batch, max_blocks, channels) -> (batch, max_blocks): in which block the text's end is.

    A product and a bias say how much each position of a block looks like the end, and a block counts as its best
    position does. A text of `max_length` tokens may have no end: the last block also counts with a score of its own.
    """

    def __init__(self, stride: int, **kwargs: Any) -> None:
        super().__init__(dtype="float32", **kwargs)
        self.linear = Linear(stride, name="linear", dtype="float32")

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Build the product, and the score of no end."""
        self.linear.build(shape)
        self.no_end = self.add_weight(shape=(), initializer="zeros", name="no_end")

    def call(self, waves: Any) -> Any:
        """Return the logits."""
        logits = ops.logsumexp(self.linear(waves), axis=-1)
        last = ops.stack([logits[:, -1], ops.zeros_like(logits[:, -1]) + self.no_end], axis=1)
        return ops.concatenate([logits[:, :-1], ops.logsumexp(last, axis=1, keepdims=True)], axis=1)


class Autoencoder(keras.Model):
    """A convolutional autoencoder of token ids, with named parts `encoder` and `decoder`.

    Arguments are those of `textae.config.schema.ModelConfig`, as plain values. `stride` is the product of the strides:
    the number of tokens in a block. `exact` says that products have to be exact: places in a latent are finer than GPUs
    multiply by themselves. All layers have the `dtype` policy that the model is given, or Keras's global one.
    """

    def __init__(
        self,
        *,
        vocabulary_size: int,
        strides: list[int],
        channels: list[int],
        residual_blocks: list[int],
        encoder_residual_blocks: list[int] | None = None,
        kernel_size: int = 3,
        expansion: float = 2.0,
        normalization: str = "rms",
        upsampler: str = "transpose",
        kernel_factor: int = 1,
        latent: str = "sequence",
        latent_size: int = 128,
        fourier_features: bool = False,
        latent_normalization: str = "none",
        latent_noise: float = 0.0,
        latent_dropout: float = 0.0,
        variational: bool = False,
        residual_dropout: float = 0.0,
        tie_embeddings: bool = True,
        output: str = "dot",
        logit_scale: float = 100.0,
        output_bias: bool = False,
        max_length: int = 256,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.vocabulary_size, self.max_length = vocabulary_size, max_length
        self.stride, self.latent, self.latent_size = math.prod(strides), latent, latent_size
        self.output_kind, self.logit_scale = output, logit_scale
        self.variational, self.exact = variational, fourier_features
        self.seeds = keras.random.SeedGenerator(seed)
        max_blocks = max_length // self.stride if latent == "vector" else None
        policy = self.dtype_policy
        fourier = self.exact

        def levels(name: str, counts: list[int]) -> list[Level]:
            return [
                Level(
                    [
                        ResidualBlock(
                            kernel_size, expansion, normalization, residual_dropout, self.seeds,
                            name=f"{name}_{i}_unit_{j}", dtype=policy,
                        )
                        for j in range(count)
                    ],
                    name=f"{name}_{i}",
                    dtype=policy,
                )
                for i, count in enumerate(counts)
            ]  # fmt: skip

        self.encoder = Encoder(
            embedding=TokenEmbedding(
                vocabulary_size,
                channels[0],
                embeddings_initializer=keras.initializers.RandomNormal(stddev=1 / math.sqrt(channels[0])),
                name="embedding",
                dtype=policy,
            ),
            levels=levels("encoder", residual_blocks if encoder_residual_blocks is None else encoder_residual_blocks),
            downsamplers=[
                Downsample(width, kernel_factor * stride, stride, name=f"down_{i}", dtype=policy)
                for i, (width, stride) in enumerate(zip(channels[1:], strides, strict=True))
            ],
            bottleneck=Bottleneck(
                latent_size,
                latent_normalization,
                latent_noise,
                latent_dropout,
                variational,
                max_blocks,
                self.seeds,
                name="bottleneck",
                dtype=policy,
            ),
            name="encoder",
            dtype=policy,
        )
        normal = keras.initializers.RandomNormal(stddev=1.0)
        if fourier:
            count, common = channels[-1] // 2, {"name": "angles", "dtype": "float32"}
            angles = Linear(count, normal, **common) if max_blocks is None else Expand(count, max_blocks, **common)
            project = Fourier(angles, name="project", dtype=policy)
        elif max_blocks is None:
            project = Linear(channels[-1], name="project", dtype=policy)
        else:
            project = Expand(channels[-1], max_blocks, name="project", dtype=policy)
        self.decoder = Decoder(
            project=project,
            block_counter=(
                None if max_blocks is None or fourier else Linear(max_blocks, name="block_counter", dtype="float32")
            ),
            max_blocks=max_blocks,
            levels=levels("decoder", residual_blocks)[::-1],
            upsamplers=[
                Upsample(width, kernel_factor * stride, stride, kind=upsampler, name=f"up_{i}", dtype=policy)
                for i, (width, stride) in enumerate(zip(channels[-2::-1], strides[::-1], strict=True))
            ],
            name="decoder",
            dtype=policy,
        )
        self.end_finder = None
        if max_blocks is not None and fourier:  # a product makes nothing of the numbers themselves
            self.end_finder = EndFinder(self.stride, name="end_finder")
        self.final_normalize = Normalize(normalization, name="final_normalize", dtype=policy)
        self.untied = None
        if not tie_embeddings:
            self.untied = keras.layers.Embedding(
                vocabulary_size,
                channels[0],
                embeddings_initializer=keras.initializers.RandomNormal(stddev=1 / math.sqrt(channels[0])),
                name="output_embedding",
                dtype=policy,
            )
            self.untied.build(None)
        self.bias = None
        if output_bias:
            self.bias = self.add_weight(shape=(vocabulary_size,), initializer="zeros", name="output_bias")

    def call(self, tokens: Any, lengths: Any, wanted: Any = None, training: bool = False) -> Reconstruction:
        """Encode and decode (batch, length) ids; `length` is a multiple of `stride`, `lengths` (batch,) tokens.

        `wanted` (batch,) are the lengths to decode to, where they are not those of what is encoded.
        """
        latent, kl = self.encoder(tokens, lengths, training=training)
        blocks = ops.shape(tokens)[1] // self.stride
        counts = blocks_of(lengths if wanted is None else wanted, self.stride)
        hidden = self.decode(latent, counts, blocks, training=training)
        return Reconstruction(hidden, latent, kl, self.block_logits(latent))

    def decode(self, latent: Any, counts: Any, blocks: Any, training: bool = False) -> Any:
        """Return the states that `output_rows` takes, (batch, blocks * stride, channels), from latents.

        `counts` is (batch,), each text's own number of blocks; `blocks` that of the longest.
        """
        return self.final_normalize(self.decoder(latent, counts, blocks=blocks, training=training))

    def block_logits(self, latent: Any) -> Any:
        """Return (batch, max_blocks), logits of the number of blocks less one; None for `chunk` latents."""
        if self.end_finder is not None:
            return self.end_finder(self.decoder.project(latent, blocks=self.decoder.max_blocks))
        return None if self.decoder.block_counter is None else self.decoder.block_counter(latent)

    def named_weights(self) -> dict[str, keras.Variable]:
        """Return the weights by their paths within the model."""
        return {weight.path.partition("/")[2]: weight for weight in self.weights}

    def output_rows(self, rows: Any) -> tuple[Any, Any, Any]:
        """Return what the vocabulary loss takes: rows (rows, channels), embedding (vocabulary, channels), bias."""
        embedding = (self.untied or self.encoder.embedding).embeddings
        rows = ops.cast(rows, "float32")
        if self.output_kind == "cosine":
            rows = self.logit_scale * rows * _inverse_norm(rows)
            embedding = embedding * _inverse_norm(embedding)
        return rows, embedding, self.bias


def _inverse_norm(rows: Any) -> Any:
    return ops.rsqrt(ops.sum(ops.square(rows), axis=-1, keepdims=True) + 1e-12)
