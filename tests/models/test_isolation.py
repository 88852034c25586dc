"""What a program has set for itself neither changes what textae computes, nor is it changed by that."""

import logging
import os
import random
import threading
import warnings
from types import SimpleNamespace

import keras
import matplotlib
import numpy as np
import pytest

import textae
from helpers.backends import first_on_jax
from helpers.runs import history, same_result
from textae.config.choices import Initialization
from textae.config.schema import ModelConfig
from textae.inference.codec import Codec
from textae.inference.compiled import compiled
from textae.models.autoencoder import build
from textae.models.isolation import isolated
from textae.training.fit import fit

JAX = keras.backend.backend() == "jax"
TEXTS = ["the small red house", "", "naïve ☃ 日本", "under and over the tree, " * 5]


def get_settings():
    """All that a program may have set, as it is now."""
    found = {
        "policy": keras.config.dtype_policy().name,
        "floatx": keras.config.floatx(),
        "epsilon": keras.config.epsilon(),
        "data format": keras.config.image_data_format(),
        "random": random.getstate(),
        "numpy random": str(np.random.get_state()),
        "numpy errors": np.geterr(),
        "numpy printing": np.get_printoptions(),
        "warnings": list(warnings.filters),
        "logging": (logging.root.level, [*logging.root.handlers], logging.getLogger("tensorflow").level),
        "environment": {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"},
        "matplotlib": (matplotlib.get_backend(), dict(matplotlib.rcParams)),
    }
    if JAX:
        import jax

        names = ("jax_enable_x64", "jax_default_matmul_precision", "jax_numpy_dtype_promotion", "jax_debug_nans")
        return found | {name: getattr(jax.config, name) for name in names}
    import tensorflow as tf

    found["TF32"] = tf.config.experimental.tensor_float_32_execution_enabled()
    found["eager"] = tf.config.functions_run_eagerly()
    found["XLA"] = tf.config.optimizer.get_jit()
    return found


def put_settings(settings):
    keras.config.set_dtype_policy(settings["policy"])
    keras.config.set_floatx(settings["floatx"])
    keras.config.set_epsilon(settings["epsilon"])
    keras.config.set_image_data_format(settings["data format"])
    np.seterr(**settings["numpy errors"])
    np.set_printoptions(precision=settings["numpy printing"]["precision"])
    matplotlib.rcParams["font.size"] = settings["matplotlib"][1]["font.size"]
    if JAX:
        import jax

        for name in [name for name in settings if name.startswith("jax_")]:
            jax.config.update(name, settings[name])
    else:
        import tensorflow as tf

        tf.config.experimental.enable_tensor_float_32_execution(settings["TF32"])
        tf.config.run_functions_eagerly(settings["eager"])
        tf.config.optimizer.set_jit(settings["XLA"])


@pytest.fixture
def hostile():
    """Settings of a program that has little in common with ours; the random sequences stand somewhere."""
    before = get_settings()
    own = {
        "policy": "mixed_bfloat16",
        "floatx": "float16",
        "epsilon": 0.5,
        "data format": "channels_first",
        "numpy errors": dict.fromkeys(("divide", "over", "under", "invalid"), "raise"),
        "numpy printing": {"precision": 2},
        "matplotlib": (None, {"font.size": 30.0}),
        "TF32": False,
        "eager": not before.get("eager"),
        "XLA": "autoclustering",
        "jax_enable_x64": True,
        "jax_default_matmul_precision": "bfloat16",
        "jax_numpy_dtype_promotion": "strict",
    }
    put_settings({name: own.get(name, value) for name, value in before.items()})
    random.seed(7)
    np.random.seed(7)
    yield get_settings()
    put_settings(before)


def answers(folder):
    ae = textae.load(folder)
    latents = ae.encode(TEXTS)
    return [*latents, *ae.embed(TEXTS), ae.score(TEXTS)], ae.decode(latents), ae.reconstruct(TEXTS)


def test_a_loaded_run_answers_to_the_bit_whatever_the_program_has_set(trained, request):
    expected = answers(trained[0])
    hostile = request.getfixturevalue("hostile")
    found = answers(trained[0])
    assert found[1:] == expected[1:]
    for one, other in zip(found[0], expected[0], strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    assert get_settings() == hostile


def test_a_training_is_the_same_to_the_bit_whatever_the_program_has_set(trained, tiny_config, tmp_path, hostile):
    fit(tiny_config(), tmp_path / "run")
    assert get_settings() == hostile
    same_result(trained[0], tmp_path / "run")
    assert history(trained[0]) == history(tmp_path / "run")


def test_what_was_drawn_before_is_drawn_again_after_a_load(trained):
    random.seed(3)
    expected = [random.random() for _ in range(3)]
    random.seed(3)
    found = [random.random()]
    textae.load(trained[0]).encode(["a"])
    assert [*found, random.random(), random.random()] == expected


def is_exact():
    if JAX:
        import jax

        return jax.config.jax_default_matmul_precision == "highest"
    import tensorflow as tf

    return not tf.config.experimental.tensor_float_32_execution_enabled()


@pytest.mark.parametrize(
    "kind", first_on_jax(sorted(Initialization, key=lambda kind: kind is not Initialization.lattice), 2)
)
def test_products_are_exact_where_a_model_needs_it_and_only_there(kind):
    pooled = (
        {"latent": "vector", "pooling": "mean", "tie_embeddings": False} if kind is Initialization.cooccurrence else {}
    )
    if kind is Initialization.codebook:
        pooled = {"latent_noise": 0.1}
    settings = {"channels": [16, 32], "residual_blocks": [0, 0], "latent_size": 8, "initialization": kind}
    model = build(ModelConfig(**settings, **pooled), 258)
    assert model.exact == (kind is Initialization.lattice)
    Codec(model).encode([np.array([5, 6], np.int32)])
    assert not is_exact()
    seen = []
    call = compiled(
        SimpleNamespace(exact=model.exact, variables=[]), lambda x: seen.append(is_exact()) or x, [((), "float32")]
    )
    call(np.float32(1))
    assert seen == [model.exact]
    assert not is_exact()


def test_a_training_of_fine_latents_is_exact(tiny_config, tmp_path, monkeypatch):
    seen = {}
    monkeypatch.setattr("textae.training.fit._fit", lambda config, *_: seen.setdefault(config.name, is_exact()))
    for kind in ("orthogonal", "lattice"):
        changes = {"model.initialization": kind, "model.tie_embeddings": False, "name": kind}
        fit(tiny_config(**changes), tmp_path / kind)
    assert seen == {"orthogonal": False, "lattice": True}
    assert not is_exact()


def test_threads_that_overlap_put_back_what_the_first_found(hostile):
    inside, leave = threading.Event(), threading.Event()
    seen = []

    def first():
        with isolated():
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=first)
    thread.start()
    inside.wait(10)
    with isolated(exact=True):
        seen.append((keras.config.floatx(), is_exact()))
        leave.set()
        thread.join()
        seen.append((keras.config.floatx(), is_exact()))
    assert seen == [("float32", True)] * 2
    assert get_settings() == hostile


@pytest.mark.backend_free
def test_settings_come_back_after_an_error(hostile):
    with pytest.raises(ZeroDivisionError), isolated(seed=1):
        1 / 0  # noqa: B018
    assert get_settings() == hostile


@pytest.mark.backend_free
def test_another_backend_is_refused(monkeypatch):
    monkeypatch.setattr("keras.backend.backend", lambda: "torch")
    with pytest.raises(ValueError, match="expected the Keras backend to be one of tensorflow, jax, received 'torch'"):
        textae.load("nowhere")


@pytest.mark.skipif(JAX, reason="TensorFlow's warning")
@pytest.mark.compiled
def test_runs_of_a_sweep_are_traced_without_warnings():
    """They trace new functions of the same lines, which TensorFlow takes for a mistake; a program's it still tells."""
    import tensorflow as tf

    said = []
    handler = logging.Handler()
    handler.emit = lambda entry: said.append(entry.getMessage())
    logger = logging.getLogger("tensorflow")
    logger.addHandler(handler)
    try:
        for _ in range(8):
            with isolated():
                tf.function(lambda x: x + 1)(tf.zeros(()))
        assert said == []
        for _ in range(8):
            tf.function(lambda x: x + 2)(tf.zeros(()))
        assert "triggered tf.function retracing" in said[0]
    finally:
        logger.removeHandler(handler)
