"""The autoencoder: embedding -> encoder (strided Conv1D) -> latent -> decoder (Conv1DTranspose) -> decoder states.

Level 0 holds one position per token; stride i leads from level i to level i + 1. One list of strides drives both
halves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import keras
from keras import ops

from textae.data.positions import num_positions
from textae.layers.embedding import TokenEmbedding
from textae.layers.logits import cosine_factors
from textae.layers.residual import Normalize
from textae.models.bag_of_words_head import BagOfWordsHead
from textae.models.bottleneck import Posterior
from textae.models.decoder import Decoder
from textae.models.encoder import Encoder, embedding_initializer
from textae.models.specification import BackboneSpec, LatentSpec, OutputSpec

if TYPE_CHECKING:
    from textae.config.schema import ModelConfig


class Reconstruction(NamedTuple):
    """What one pass makes: decoder states (decoded rows, length, channels), the latents, and terms for the loss.

    `posterior` is that of the latents, or None where the model is not variational. `length_logits` is (batch,
    max_positions), as of `LengthHead`, or None for sequences.
    """

    hidden: Any
    latent: Any
    posterior: Posterior | None
    length_logits: Any


def build(config: ModelConfig, vocabulary_size: int, seed: int = 0, dtype: str = "float32") -> Autoencoder:
    """Return a built `Autoencoder`; the only place here that reads a configuration.

    `dtype` is the policy of its layers, whatever Keras's global one is.
    """
    backbone = BackboneSpec(
        strides=tuple(config.strides),
        channels=tuple(config.channels),
        residual_blocks=tuple(config.residual_blocks),
        encoder_residual_blocks=None
        if config.encoder_residual_blocks is None
        else tuple(config.encoder_residual_blocks),
        kernel_size=config.kernel_size,
        expansion=config.expansion,
        normalization=config.normalization.name,
        residual_dropout=config.residual_dropout,
        upsampler=config.upsampler.kind.name,
        kernel_factor=config.upsampler.kernel_factor,
    )
    latent = LatentSpec(
        kind=config.latent.name,
        size=config.latent_size,
        pooling=config.pooling.name,
        bag_of_words=config.bag_of_words,
        fourier_features=config.fourier_features,
        normalization=config.latent_normalization.name,
        noise=config.latent_noise,
        dropout=config.latent_dropout,
        variational=config.variational,
    )
    output = OutputSpec(
        tie_embeddings=config.tie_embeddings,
        kind=config.output.name,
        logit_scale=config.logit_scale,
        bias=config.output_bias,
    )
    model = Autoencoder(vocabulary_size, config.max_length, backbone, latent, output, seed, dtype=dtype)
    model.build()
    return model


@keras.saving.register_keras_serializable(package="textae")
class Autoencoder(keras.Model):
    """A convolutional autoencoder of token ids, with named parts `encoder` and `decoder`.

    All layers have the `dtype` policy that the model is given, or Keras's global one.

    Args:
        vocabulary_size: ids.
        max_length: tokens that are encoded together at most, a multiple of the strides' product.
        backbone: a `BackboneSpec`, or its `to_config`.
        latent: a `LatentSpec`, or its `to_config`.
        output: an `OutputSpec`, or its `to_config`.
        seed: of what is drawn in training.

    Attributes:
        stride: tokens of a latent position.
        latent: the kind of the latents, "sequence" or "vector", of `latent_size` dimensions.
        exact: whether products have to be exact: codewords of a lattice are finer than GPUs multiply by default.
        seeds: draws what is random in training.
    """

    def __init__(
        self,
        vocabulary_size: int,
        max_length: int,
        backbone: Any,
        latent: Any,
        output: Any,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.specifications = BackboneSpec.get(backbone), LatentSpec.get(latent), OutputSpec.get(output)
        backbone, latent, output = self.specifications
        self.vocabulary_size, self.max_length, self.seed = vocabulary_size, max_length, seed
        self.stride, self.latent, self.latent_size = backbone.stride, latent.kind, latent.size
        self.variational, self.exact = latent.variational, latent.fourier_features
        self.seeds = keras.random.SeedGenerator(seed)
        max_positions = num_positions(max_length, self.stride) if latent.is_vector else None
        policy, channels = self.dtype_policy, backbone.channels[0]
        self.encoder = Encoder(
            vocabulary_size, backbone, latent, max_positions, self.seeds, name="encoder", dtype=policy
        )
        self.decoder = Decoder(backbone, latent, max_positions, self.seeds, name="decoder", dtype=policy)
        self.final_normalize = Normalize(backbone.normalization, name="final_normalize", dtype=policy)
        self.output_embedding: TokenEmbedding | None = None
        if not output.tie_embeddings:
            initializer: Any = embedding_initializer(channels)
            self.output_embedding = TokenEmbedding(
                vocabulary_size, channels, initializer, name="output_embedding", dtype=policy
            )
        self.bias: keras.Variable | None = None
        self.bag_of_words: BagOfWordsHead | None = None
        if latent.bag_of_words:
            self.bag_of_words = BagOfWordsHead(vocabulary_size, name="bag_of_words", dtype="float32")

    def build(self, input_shape: Any = None) -> None:
        """Make all weights; their shapes depend on no input's."""
        backbone, latent, output = self.specifications
        self.encoder.build((None, None))
        self.decoder.build((None, latent.size) if latent.is_vector else (None, None, latent.size))
        self.final_normalize.build((None, None, backbone.channels[0]))
        if self.output_embedding is not None:
            self.output_embedding.build(None)
        if output.bias:
            self.bias = self.add_weight(shape=(self.vocabulary_size,), initializer="zeros", name="output_bias")
        if self.bag_of_words is not None:
            self.bag_of_words.build((None, latent.size))

    def call(
        self,
        tokens: Any,
        lengths: Any,
        target_lengths: Any = None,
        decoded_rows: Any = None,
        training: bool = False,
    ) -> Reconstruction:
        """Encode and decode.

        Args:
            tokens: (batch, length) int32 ids, padded; `length` is a multiple of `stride`.
            lengths: (batch,) int32, each text's own tokens.
            target_lengths: (batch,) int32, the tokens to decode, where they are not as many as are encoded.
            decoded_rows: how many texts, the first ones, are decoded; None: all of them.
            training: whether dropout and noise apply.
        """
        latent, posterior = self.encoder(tokens, lengths, training=training)
        positions = ops.shape(tokens)[1] // self.stride
        counts = num_positions(lengths if target_lengths is None else target_lengths, self.stride)
        hidden = self.decode(latent[:decoded_rows], counts[:decoded_rows], positions, training=training)
        return Reconstruction(hidden, latent, posterior, self.decoder.length_logits(latent))

    def decode(self, latent: Any, num_positions: Any, positions: Any, training: bool = False) -> Any:
        """Return the states that `output_rows` takes, (batch, positions * stride, channels); arguments as `Decoder`."""
        return self.final_normalize(self.decoder(latent, num_positions, positions=positions, training=training))

    def named_weights(self) -> dict[str, keras.Variable]:
        """Return the weights by their paths within the model."""
        return {weight.path.partition("/")[2]: weight for weight in self.weights}

    def output_rows(self, rows: Any) -> tuple[Any, Any, Any]:
        """Return what the vocabulary loss takes: rows (rows, channels), embedding (vocabulary, channels), bias."""
        output, table = self.specifications[2], self.output_embedding or self.encoder.embedding
        embedding: Any = table.embeddings
        rows = ops.cast(rows, "float32")
        if output.kind == "cosine":
            rows, embedding = cosine_factors(rows, embedding, output.logit_scale)
        return rows, embedding, self.bias

    def get_config(self) -> dict[str, Any]:
        """Return every argument of the constructor."""
        backbone, latent, output = (specification.to_config() for specification in self.specifications)
        return {
            "name": self.name,
            "trainable": self.trainable,
            "dtype": keras.dtype_policies.serialize(self.dtype_policy),
            "vocabulary_size": self.vocabulary_size,
            "max_length": self.max_length,
            "backbone": backbone,
            "latent": latent,
            "output": output,
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Autoencoder:
        """Return the model of what `get_config` returned; not yet built."""
        return cls(**config)
