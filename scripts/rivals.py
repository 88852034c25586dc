"""textae's default architecture as a user of plain Keras would write it; `rivals_torch.py` has it in PyTorch.

One strided convolution down, one residual block on either side of the latent, one transposed convolution up, logits by
the embedding that also reads the tokens. What textae does beside that is left out: padding is not kept at zero, and
weights begin as Keras draws them. Nothing but the loss is computed in training, where textae counts right tokens too.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from measuring import Batch, count_trainable
from textae.config.schema import ModelConfig, TrainingConfig

_gelu = functools.partial(keras.activations.gelu, approximate=True)


def sizes(config: ModelConfig) -> tuple[int, int, int, int, int, int]:
    """Return width, inner width, widened width, latent size, stride and kernel size of a model with one stride.

    Raises:
        ValueError: the model is not one that the rivals have.
    """
    shape = (len(config.strides), list(config.residual_blocks), config.normalization.name, config.tie_embeddings)
    if shape != (1, [0, 1], "rms", True):
        raise ValueError(
            f"expected one stride, residual_blocks [0, 1], RMS normalization and tied embeddings, received {shape}"
        )
    width, inner = config.channels
    return width, inner, int(inner * config.expansion), config.latent_size, config.strides[0], config.kernel_size


def keras_autoencoder(config: ModelConfig, vocabulary: int) -> keras.Model:
    """Return token ids (batch, length) -> logits (batch, length, vocabulary)."""
    width, inner, wide, latent, stride, kernel_size = sizes(config)

    def residual(inputs: Any) -> Any:
        values = keras.layers.RMSNormalization()(inputs)
        values = keras.layers.Conv1D(wide, kernel_size, padding="same", activation=_gelu)(values)
        return keras.layers.Add()([inputs, keras.layers.Dense(inner)(values)])

    tokens = keras.Input((None,), dtype="int32")
    embedding = keras.layers.ReversibleEmbedding(
        vocabulary, width, embeddings_initializer=keras.initializers.RandomNormal(stddev=width**-0.5)
    )
    values = embedding(tokens) * width**0.5
    values = residual(keras.layers.Conv1D(inner, stride, strides=stride)(values))
    values = keras.layers.Dense(latent)(values)
    values = residual(keras.layers.Dense(inner)(values))
    values = keras.layers.Conv1DTranspose(width, stride, strides=stride)(values)
    values = keras.layers.RMSNormalization()(values)
    return keras.Model(tokens, embedding(values, reverse=True))


class KerasTrainer:
    """`compile` and `fit`, float32, graph; padding has sample weights of 0."""

    def __init__(self, config: ModelConfig, vocabulary: int) -> None:
        training = TrainingConfig()
        self.model = keras_autoencoder(config, vocabulary)
        self.parameters = count_trainable(self.model)
        self.model.compile(
            optimizer=keras.optimizers.AdamW(
                1e-4,
                weight_decay=training.weight_decay,
                beta_1=training.beta_1,
                beta_2=training.beta_2,
                global_clipnorm=training.max_gradient_norm,
            ),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="mean_with_sample_weight"),
            jit_compile=keras.backend.backend() == "jax",  # which knows nothing else
        )

    def __call__(self, batches: Sequence[Batch], rate: Callable[[int], float] | None = None) -> int:
        """Train on batches of equal shape, one `fit` for all; return their real tokens.

        `rate` gives each batch's learning rate by its number.
        """
        tokens = np.concatenate([tokens for tokens, _ in batches])
        lengths = np.concatenate([lengths for _, lengths in batches])
        weights = (np.arange(tokens.shape[1]) < lengths[:, None]).astype("float32")
        callbacks = []
        if rate is not None:

            def begin(number: int, logs: Any = None) -> None:
                self.model.optimizer.learning_rate = rate(number)

            callbacks.append(keras.callbacks.LambdaCallback(on_train_batch_begin=begin))
        self.model.fit(
            tokens,
            tokens,
            sample_weight=weights,
            batch_size=len(batches[0][0]),
            shuffle=False,
            verbose=0,
            callbacks=callbacks,
        )
        return int(lengths.sum())
