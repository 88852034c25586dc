"""What a model holds, known without building it."""

import math
from pathlib import Path

import keras
import pytest
from hydra import compose, initialize_config_dir

from textae.config.mapping import resolve
from textae.config.registration import config_dir, register
from textae.config.schema import ModelConfig, UpsamplerConfig
from textae.models.autoencoder import build
from textae.models.shapes import check_shapes, parameters, weight_shapes

pytestmark = pytest.mark.backend_free

MODELS = {
    "one latent a position": {},
    "one vector, variational, tables of its own": {
        "latent": "vector", "variational": True, "output_bias": True, "tie_embeddings": False,
        "normalization": "layer", "upsampler": {"kind": "resize_linear", "kernel_factor": 2},
    },
    "one vector, mean over positions": {"latent": "vector", "pooling": "mean", "bag_of_words": True},
    "one vector, Fourier": {
        "latent": "vector", "initialization": "lattice", "normalization": "none", "upsampler": {"kind": "subpixel"},
    },
    "sequences, Fourier, long kernels": {
        "initialization": "lattice", "upsampler": {"kind": "subpixel", "kernel_factor": 3},
    },
    "nearest": {"upsampler": {"kind": "resize_nearest"}, "expansion": 0.3, "kernel_size": 5},
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_names_and_shapes_are_those_of_the_built_model(name):
    base = {
        "strides": [2, 3],
        "channels": [6, 8, 10],
        "residual_blocks": [1, 0, 1],
        "encoder_residual_blocks": [0, 2, 0],
    }
    model = base | {"latent_size": 5, "max_length": 24} | MODELS[name]
    config = ModelConfig(**model | {"upsampler": UpsamplerConfig(**model.get("upsampler", {}))})
    built = {weight: tuple(v.shape) for weight, v in build(config, 20).named_weights().items()}
    assert weight_shapes(config, 20) == built
    assert parameters(config, 20) == sum(map(math.prod, built.values()))
    keras.backend.clear_session()


def test_weights_of_other_names_or_shapes_are_told():
    with pytest.raises(ValueError, match=r"expected in a the 1 weights of the run's model, found others: y"):
        check_shapes({"x": (2,)}, {"x": (2,), "y": ()}, "a")
    with pytest.raises(ValueError, match=r"expected in a x of shape \(2,\), found \(3,\)"):
        check_shapes({"x": (2,)}, {"x": (3,)}, "a")


EXPERIMENTS = sorted(path.stem for path in Path(config_dir(), "experiment").glob("*.yaml"))


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_is_far_from_the_largest_model(name):
    register()
    with initialize_config_dir(version_base="1.3", config_dir=str(config_dir())):
        needed = ["corpus=text", "corpus.files=[a.txt]"]
        composed = compose("config", [f"+experiment={name}", *needed])
    model = resolve(composed).model
    assert model.numbers_at_once(model.max_length) <= 1 << 22
    assert model.positions_at_once() >= 8 * model.max_length
