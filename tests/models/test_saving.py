"""Every layer and model of the package comes back from its configuration and from a saved file, with equal outputs."""

import importlib
import pkgutil

import keras
import numpy as np
import pytest
from keras import ops

from helpers.backends import first_on_jax
from textae.exporting.export_graphs import GraphModel
from textae.layers import Conv1DTranspose, Downsample, Upsample
from textae.layers.embedding import TokenEmbedding
from textae.layers.fourier import FourierFeatures
from textae.layers.kernels import KernelLayer
from textae.layers.latents import LatentMean
from textae.layers.linear import Linear, SameConv1D
from textae.layers.logits import OutputBias, TokenLogits
from textae.layers.position_mask import PositionMask
from textae.layers.residual import Level, Normalize, ResidualBlock
from textae.layers.upsamplers import KINDS
from textae.layers.vectors import MeanToVector, SequenceToVector, VectorToSequence
from textae.models.autoencoder import Autoencoder
from textae.models.bag_of_words_head import BagOfWordsHead
from textae.models.bottleneck import Bottleneck
from textae.models.decoder import Decoder
from textae.models.encoder import Encoder
from textae.models.length_head import FourierLengthHead, LengthHead
from textae.models.specification import BackboneSpec, LatentSpec, OutputSpec

ABSTRACT = {KernelLayer}
BACKBONE = BackboneSpec(
    strides=(2, 2), channels=(6, 8, 10), residual_blocks=(1, 0, 1), encoder_residual_blocks=(0, 1, 1), kernel_size=5,
    expansion=1.5, normalization="layer", residual_dropout=0.25, upsampler="subpixel", kernel_factor=2,
)  # fmt: skip
SEQUENCE = LatentSpec(size=5, normalization="tanh", noise=0.1, dropout=0.1, variational=True)
VECTOR = LatentSpec(kind="vector", size=5)
POOLED = LatentSpec(kind="vector", size=5, pooling="mean", bag_of_words=True)
LATTICE = LatentSpec(kind="vector", size=12, fourier_features=True)

draw = np.random.default_rng(0)
STATES, VECTORS = draw.normal(size=(2, 4, 10)).astype("float32"), draw.normal(size=(2, 5)).astype("float32")
MASK = np.array([[1, 1, 1, 0], [1, 1, 1, 1]], "float32")[:, :, None]
TOKENS, LENGTHS = draw.integers(2, 20, (2, 8)).astype("int32"), np.array([8, 5], "int32")
COUNTS = np.array([4, 2], "int32")


def autoencoder(latent=SEQUENCE, **output):
    return Autoencoder(20, 16, BACKBONE, latent, OutputSpec(**output), seed=3)


def graph_model(part):
    model = autoencoder(VECTOR)
    model.build()
    return GraphModel(model, part, truncates=True)


@keras.saving.register_keras_serializable(package="test_saving")
class Holder(keras.Model):
    """A model of one layer, whatever the layer takes and returns."""

    def __init__(self, layer, **kwargs):
        super().__init__(**kwargs)
        self.layer = layer
        self.built = True

    def get_config(self):
        return {"layer": keras.saving.serialize_keras_object(self.layer)}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        return cls(keras.saving.deserialize_keras_object(config["layer"]))


# Each layer, the arrays that it is called with, and what else it is called with.
EXAMPLES = [
    (lambda: Conv1DTranspose(4, 3, 2, "same", output_length=7), [STATES], {}),
    (lambda: Downsample(4, 3, 2, activation="relu"), [STATES], {}),
    *((lambda kind=kind: Upsample(4, 3, 2, kind=kind), [STATES], {}) for kind in KINDS),
    (lambda: Linear(4, use_bias=False), [STATES], {}),
    (lambda: SameConv1D(4, 3), [STATES], {}),
    (lambda: TokenEmbedding(20, 6, scale=2.5), [TOKENS], {}),
    (lambda: TokenLogits(TokenEmbedding(20, 10), 7.0), [STATES], {}),
    (lambda: OutputBias(), [STATES], {}),
    (lambda: PositionMask(2, 3), [LENGTHS, STATES], {}),
    (lambda: LatentMean(6, "rms"), [STATES], {}),
    *((lambda kind=kind: Normalize(kind), [STATES], {}) for kind in ("rms", "layer", "none")),
    (lambda: ResidualBlock(5, 1.5, "layer", 0.2, 7), [STATES, MASK], {}),
    (lambda: Level(2, 5, 1.5, "none", 0.2, 7), [STATES, MASK], {}),
    (lambda: SequenceToVector(3, 6), [STATES], {}),
    (lambda: MeanToVector(3), [STATES, COUNTS], {}),
    (lambda: VectorToSequence(3, 6), [VECTORS], {"positions": 4}),
    (lambda: FourierFeatures(4, frequencies_initializer=keras.initializers.RandomNormal(3.0)), [STATES], {}),
    (lambda: FourierFeatures(4, 6), [VECTORS], {"positions": 5}),
    (lambda: Bottleneck(SEQUENCE, seed=7), [STATES], {}),
    (lambda: Bottleneck(VECTOR, 6), [STATES], {}),
    (lambda: Bottleneck(POOLED, 6), [STATES, COUNTS], {}),
    (lambda: BagOfWordsHead(20), [VECTORS], {}),
    (lambda: Encoder(20, BACKBONE, SEQUENCE, seed=7), [TOKENS, LENGTHS], {}),
    (lambda: Encoder(20, BACKBONE, VECTOR, 6), [TOKENS, LENGTHS], {}),
    (lambda: LengthHead(6), [VECTORS], {}),
    (lambda: FourierLengthHead(4), [STATES], {}),
    (lambda: Decoder(BACKBONE, SEQUENCE, seed=7), [VECTORS[:, None].repeat(4, 1), COUNTS], {"positions": 4}),
    (lambda: Decoder(BACKBONE, VECTOR, 6), [VECTORS, COUNTS], {"positions": 4}),
    (lambda: Decoder(BACKBONE, LATTICE, 6), [VECTORS, COUNTS], {"positions": 4}),
    (autoencoder, [TOKENS, LENGTHS], {}),
    (lambda: autoencoder(VECTOR, tie_embeddings=False, bias=True), [TOKENS, LENGTHS], {}),
    (lambda: autoencoder(POOLED), [TOKENS, LENGTHS], {}),
    (lambda: autoencoder(LATTICE, kind="cosine", logit_scale=9.0), [TOKENS, LENGTHS], {}),
    (lambda: graph_model("encode"), [TOKENS, LENGTHS], {}),
    (lambda: graph_model("decode"), [VECTORS], {}),
]
NAMES = [type(make()).__name__ for make, _, _ in EXAMPLES]


def classes():
    """All layers and models that these rooms define; no other one defines any."""
    for room in ("layers", "models", "losses", "inference", "exporting"):
        package = importlib.import_module(f"textae.{room}")
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            for value in vars(importlib.import_module(found.name)).values():
                layer = isinstance(value, type) and issubclass(value, keras.layers.Layer)
                if layer and value.__module__ == found.name and value not in ABSTRACT:
                    yield value


def outputs_of(layer, arrays, settings):
    found = layer(*map(ops.convert_to_tensor, arrays), **settings)
    found = list(found.values()) if isinstance(found, dict) else found if isinstance(found, tuple) else [found]
    return [ops.convert_to_numpy(value) for value in found if value is not None]


@pytest.mark.backend_free
def test_every_layer_has_an_example():
    assert {found.__name__ for found in classes()} == set(NAMES)


@pytest.mark.backend_free
@pytest.mark.parametrize(("make", "arrays", "settings"), EXAMPLES, ids=NAMES)
def test_every_argument_comes_back_from_a_configuration(make, arrays, settings):
    layer = make()
    expected = outputs_of(layer, arrays, settings)
    again = type(layer).from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    outputs_of(again, arrays, settings)
    assert [weight.shape for weight in again.weights] == [weight.shape for weight in layer.weights]
    again.set_weights(layer.get_weights())
    for own, true in zip(outputs_of(again, arrays, settings), expected, strict=True):
        np.testing.assert_array_equal(own, true)


@pytest.mark.parametrize(("make", "arrays", "settings"), first_on_jax(EXAMPLES[::-1], 4), ids=NAMES[::-1])
def test_a_saved_file_holds_the_layer(make, arrays, settings, tmp_path):
    layer = make()
    outputs_of(layer, arrays, settings)
    for weight in layer.trainable_variables:  # zeros and ones would hide a weight that is not read
        weight.assign(weight + 0.1)
    expected = outputs_of(layer, arrays, settings)
    model = layer if isinstance(layer, keras.Model) else Holder(layer)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    loaded = loaded if isinstance(layer, keras.Model) else loaded.layer
    assert loaded.get_config() == layer.get_config()
    for own, true in zip(outputs_of(loaded, arrays, settings), expected, strict=True):
        np.testing.assert_array_equal(own, true)
