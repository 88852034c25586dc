"""The parts of an autoencoder as functional Keras models, made of the layers of `textae.layers` alone.

They share the autoencoder's weights. A program that imports Keras and `textae.layers`, and nothing else of textae,
loads what `save` writes of them, or of models that they are a part of.
"""

from __future__ import annotations

import keras
from keras import ops

from textae.layers.latents import LatentMean
from textae.layers.logits import OutputBias, TokenLogits
from textae.layers.vectors import MeanToVector
from textae.models.autoencoder import Autoencoder


def encoder_model(model: Autoencoder) -> keras.Model:
    """Return tokens (batch, length) and lengths (batch,), int32, to latents, without noise or dropout.

    `length` is a multiple of the model's stride. Latents are float32, (batch, length / stride, size) or, of one vector
    per text, (batch, size).
    """
    tokens = keras.Input((None,), dtype="int32", name="tokens")
    lengths = keras.Input((), dtype="int32", name="lengths")
    bottleneck = model.encoder.bottleneck
    states, counts = model.encoder.states(tokens, lengths)
    project, latent = bottleneck.project, bottleneck.latent
    projected = project(states, counts) if isinstance(project, MeanToVector) else project(states)
    latents = LatentMean(latent.size, latent.normalization, name="latents")(projected)
    return keras.Model({"tokens": tokens, "lengths": lengths}, latents, name="encoder")


def decoder_model(model: Autoencoder) -> keras.Model:
    """Return latents to ids (batch, length) and logits (batch, length, vocabulary).

    A text ends before its first end token. Latents of sequences come with `positions` (batch,), int32: how many each
    text has. One vector per text is decoded at full length; the number of positions that it stands for is predicted,
    and those behind them mean nothing.
    """
    decoder, latent = model.decoder, model.specifications[1]
    if latent.is_vector:
        latents = keras.Input((latent.size,), name="latents")
        counts = ops.cast(ops.argmax(decoder.length_logits(latents), axis=-1), "int32") + 1
        inputs, positions = {"latents": latents}, decoder.max_positions
    else:
        latents = keras.Input((None, latent.size), name="latents")
        counts = keras.Input((), dtype="int32", name="positions")
        inputs, positions = {"latents": latents, "positions": counts}, None
    states = model.final_normalize(decoder.call(latents, counts, positions=positions))
    logits = _logits(model, states)
    return keras.Model(inputs, {"ids": ops.argmax(logits, axis=-1), "logits": logits}, name="decoder")


def reconstruction_model(model: Autoencoder) -> keras.Model:
    """Return tokens (batch, length) and lengths (batch,), int32, to logits (batch, length, vocabulary).

    Of one vector per text `length` is the model's `max_length`.
    """
    encoder, decoder = encoder_model(model), decoder_model(model)
    vector = model.specifications[1].is_vector
    tokens = keras.Input((model.max_length if vector else None,), dtype="int32", name="tokens")
    lengths = keras.Input((), dtype="int32", name="lengths")
    given = {"latents": encoder({"tokens": tokens, "lengths": lengths})}
    if not vector:
        given["positions"] = (lengths + (model.stride - 1)) // model.stride
    return keras.Model({"tokens": tokens, "lengths": lengths}, decoder(given)["logits"], name="autoencoder")


def _logits(model: Autoencoder, states: keras.KerasTensor) -> keras.KerasTensor:
    """Return the logits of decoder states, by the table that the model's output has."""
    output, table = model.specifications[2], model.output_embedding or model.encoder.embedding
    scale = output.logit_scale if output.kind == "cosine" else None
    logits = TokenLogits(table, scale, name="logits")(states)
    if model.bias is None:
        return logits
    bias = OutputBias(name="output_bias")
    bias.bias = model.bias
    return bias(logits)
