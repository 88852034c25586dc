"""Encoder and decoder as functional Keras models, alone, in other models, saved, and trained by Keras's `fit`."""

import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops

import textae
from helpers.backends import first_on_jax
from textae.config.choices import LatentKind, LatentNormalization, OutputKind, Pooling
from textae.config.schema import ModelConfig
from textae.inference.codec import Codec
from textae.models.autoencoder import build
from textae.models.functional import decoder_model, encoder_model, reconstruction_model
from textae.models.initialization import initialize

MODELS = {
    "sequence": {"strides": [2, 2], "channels": [16, 24, 32], "residual_blocks": [1, 0, 1]},
    "vector": {"latent": LatentKind.vector},
    "variational": {"variational": True, "latent_normalization": LatentNormalization.rms},
    "cosine": {"tie_embeddings": False, "output_bias": True, "output": OutputKind.cosine},
    "mean": {"latent": LatentKind.vector, "pooling": Pooling.mean, "latent_normalization": LatentNormalization.tanh},
}


@pytest.fixture(params=first_on_jax(MODELS, 2))
def model(request):
    settings = {"channels": [16, 32], "latent_size": 16, "max_length": 16} | MODELS[request.param]
    model = build(ModelConfig(**settings), 40)
    initialize(model, "orthogonal")
    for weight in model.weights:  # biases and scales too
        draw = np.random.default_rng(len(weight.shape))
        weight.assign(weight + draw.normal(0, 0.05, weight.shape).astype(np.float32))
    return model


def batch(model):
    lengths = np.array([16, 7, 1], np.int32)
    tokens = np.random.default_rng(0).integers(2, 40, (3, 16)).astype(np.int32)
    return {"tokens": tokens * (np.arange(16) < lengths[:, None]), "lengths": lengths}


def test_they_compute_what_the_autoencoder_does(model):
    given = batch(model)
    latents = ops.convert_to_numpy(model.encoder(given["tokens"], given["lengths"])[0])
    np.testing.assert_allclose(encoder_model(model)(given), latents, rtol=1e-6)
    counts = -(-given["lengths"] // model.stride)
    vector = model.latent == "vector"
    decoded = decoder_model(model)({"latents": latents} if vector else {"latents": latents, "positions": counts})
    if vector:
        counts = ops.cast(ops.argmax(model.decoder.length_logits(latents), axis=-1), "int32") + 1
    rows, table, bias = model.output_rows(model.decode(latents, counts, 16 // model.stride))
    logits = ops.matmul(rows, ops.transpose(table)) + (0 if bias is None else bias)
    np.testing.assert_allclose(decoded["logits"], logits, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(decoded["ids"], ops.argmax(logits, axis=-1))
    np.testing.assert_allclose(reconstruction_model(model)(given), logits, rtol=1e-4, atol=1e-5)


@pytest.mark.backend_free
def test_they_share_the_weights_and_show_their_shapes(model):
    encoder, decoder = encoder_model(model), decoder_model(model)
    own = {id(weight) for weight in model.trainable_weights}
    assert own >= {id(weight) for weight in encoder.trainable_weights + decoder.trainable_weights}
    shapes = {layer.name: layer.output.shape for layer in encoder.layers}
    assert shapes["embedding"] == (None, None, 16)
    assert shapes["latents"] == ((None, 16) if model.latent == "vector" else (None, None, 16))
    assert decoder.output["logits"].shape[-1] == 40


LOADING = """
import sys, keras, numpy as np
import textae.layers
model = keras.models.load_model(sys.argv[1])
given = dict(np.load(sys.argv[2]))
np.save(sys.argv[3], keras.ops.convert_to_numpy(model(given)))
others = {name.split(".")[1] for name in sys.modules if name.startswith("textae.")}
assert others == {"layers"}, others
"""


@pytest.mark.backend_free
def test_a_model_with_the_encoder_is_loaded_with_the_layers_alone(tmp_path):
    model = build(ModelConfig(channels=[16, 32], latent_size=16, max_length=16), 40)
    encoder = encoder_model(model)
    pooled = keras.layers.GlobalAveragePooling1D()(encoder.output)
    classifier = keras.Model(encoder.input, keras.layers.Dense(3, activation="softmax")(pooled))
    given = batch(model)
    expected = ops.convert_to_numpy(classifier(given))
    classifier.save(tmp_path / "classifier.keras")
    np.savez(tmp_path / "given.npz", **given)
    names = [str(tmp_path / name) for name in ("classifier.keras", "given.npz", "found.npy")]
    source = str(Path(textae.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {source!r}){LOADING}", *names],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(np.load(names[2]), expected, rtol=1e-5, atol=1e-6)


def test_decoders_are_saved_and_loaded(model, tmp_path):
    decoder = decoder_model(model)
    decoder.save(tmp_path / "decoder.keras")
    latents = np.random.default_rng(1).normal(size=(2, 16) if model.latent == "vector" else (2, 3, 16))
    given = {"latents": latents.astype(np.float32)}
    if model.latent != "vector":
        given["positions"] = np.array([3, 1], np.int32)
    loaded = keras.models.load_model(tmp_path / "decoder.keras")
    np.testing.assert_allclose(loaded(given)["logits"], decoder(given)["logits"], rtol=1e-5, atol=1e-6)


@pytest.mark.compiled
def test_keras_fit_trains_the_autoencoder():
    model = build(ModelConfig(channels=[16, 32], latent_size=4, max_length=16), 40)
    given = batch(model)
    whole = reconstruction_model(model)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=0)
    whole.compile(keras.optimizers.Adam(0.02), loss)
    before = Codec(model).reconstruct([given["tokens"][0][:15]])[0].token_losses.mean()
    history = whole.fit(given, given["tokens"], epochs=30, batch_size=3, verbose=0).history["loss"]
    assert history[-1] < 0.5 * history[0]
    assert Codec(model).reconstruct([given["tokens"][0][:15]])[0].token_losses.mean() < before
