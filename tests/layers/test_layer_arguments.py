"""What the layers share with Keras's: initializers, regularizers and constraints; and lengths that come late."""

import keras
import numpy as np
import pytest
from keras import ops

from helpers.backends import first_on_jax
from textae.layers import Conv1DTranspose, Downsample, Upsample
from textae.layers.linear import Linear, SameConv1D
from textae.layers.upsamplers import KINDS

ARGUMENTS = {
    "kernel_initializer": keras.initializers.RandomNormal(stddev=0.5, seed=3),
    "bias_initializer": keras.initializers.Constant(-0.25),
    "kernel_regularizer": keras.regularizers.L2(0.5),
    "bias_regularizer": keras.regularizers.L1(2.0),
    "activity_regularizer": keras.regularizers.L1(0.125),
    "kernel_constraint": keras.constraints.NonNeg(),
    "bias_constraint": keras.constraints.MaxNorm(0.1),
}
LAYERS = {
    "Conv1DTranspose": lambda **more: Conv1DTranspose(4, 3, 2, "same", **more),
    "Downsample": lambda **more: Downsample(4, 3, 2, **more),
    "Linear": lambda **more: Linear(4, **more),
    "SameConv1D": lambda **more: SameConv1D(4, 3, **more),
    **{kind: lambda kind=kind, **more: Upsample(4, 3, 2, kind=kind, **more) for kind in KINDS},
}
pytestmark = pytest.mark.compiled
needs_graphs = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="lengths of JAX are static")


def codes_of(length, channels=3, seed=0):
    return np.random.default_rng(seed).standard_normal((2, length, channels)).astype("float32")


@pytest.mark.parametrize("name", first_on_jax(LAYERS))
def test_initializers_regularizers_and_constraints_are_those_of_keras(name):
    layer = LAYERS[name](**ARGUMENTS)
    outputs = np.array(layer(codes_of(6)))
    kernel, bias = (np.array(weight) for weight in layer.trainable_variables)
    np.testing.assert_array_equal(kernel, np.array(ARGUMENTS["kernel_initializer"](kernel.shape)))
    np.testing.assert_array_equal(bias, np.full(bias.shape, -0.25, "float32"))
    losses = [0.5 * np.sum(kernel**2), 2 * np.sum(np.abs(bias)), 0.125 * np.sum(np.abs(outputs)) / len(outputs)]
    assert sorted(map(float, layer.losses)) == pytest.approx(sorted(map(float, losses)), rel=1e-4)
    optimizer = keras.optimizers.SGD(0.0)
    optimizer.build(layer.trainable_variables)
    optimizer.apply([ops.zeros(weight.shape) for weight in layer.trainable_variables])
    constrained_kernel, constrained_bias = (np.array(weight) for weight in layer.trainable_variables)
    np.testing.assert_array_equal(constrained_kernel, np.maximum(kernel, 0))
    assert np.linalg.norm(constrained_bias) == pytest.approx(0.1, rel=1e-3)


@pytest.mark.backend_free
@pytest.mark.parametrize("name", LAYERS)
def test_every_argument_comes_back_from_a_configuration(name):
    layer = LAYERS[name](**ARGUMENTS, use_bias=False, dtype="mixed_bfloat16")
    config = layer.get_config()
    assert {**ARGUMENTS, "use_bias": 0}.keys() <= config.keys()
    again = type(layer).from_config(config)
    assert again.get_config() == config
    again.build((2, 6, 3))
    layer.build((2, 6, 3))
    assert len(again.weights) == 1
    np.testing.assert_array_equal(np.array(again.weights[0]), np.array(layer.weights[0]))


@pytest.mark.backend_free
def test_a_saved_model_has_them(tmp_path):
    inputs = keras.Input((None, 3))
    states = Downsample(4, 3, 2, **ARGUMENTS)(inputs)
    for kind in KINDS:
        states = Upsample(4, 3, 2, kind=kind, **ARGUMENTS)(Downsample(4, 3, 2)(states))
    model = keras.Model(inputs, Conv1DTranspose(3, 3, 2, "same", **ARGUMENTS)(states))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(np.array(loaded(codes_of(5))), np.array(model(codes_of(5))))
    assert [layer.get_config() for layer in loaded.layers] == [layer.get_config() for layer in model.layers]
    assert len(loaded.losses) == len(model.losses) == 3 * (2 + len(KINDS))


def pairs():
    return [Conv1DTranspose(3, 5, 2, "same"), *(Upsample(3, 5, 2, kind=kind) for kind in KINDS)]


@pytest.mark.backend_free
def test_a_length_that_is_none_yet_is_refused_and_not_rounded():
    inputs = keras.Input((None, 3))
    for up in pairs():
        code = Downsample(4, 5, 2)(inputs)
        for length in (ops.shape(inputs)[1], inputs.shape[1]):
            with pytest.raises(ValueError, match=r"received None.*give the tensor itself, output_length=x"):
                up(code, output_length=length)
        with pytest.raises(ValueError, match="received None"):
            up(keras.Input((4, 4)), output_length=ops.shape(inputs)[1])


def test_a_length_that_comes_late_is_taken_from_the_tensor():
    inputs = keras.Input((None, 3))
    for up in pairs():
        code = Downsample(4, 5, 2)(inputs)
        model = keras.Model(inputs, up(code, output_length=inputs))
        for length in (1, 5, 6):
            assert model.predict(codes_of(length), verbose=0).shape == (2, length, 3)


@pytest.mark.backend_free
def test_a_known_length_is_honoured_or_left_out():
    inputs = keras.Input((7, 3))
    for up in pairs():
        code = Downsample(4, 5, 2)(inputs)
        assert up(code, output_length=ops.shape(inputs)[1]).shape == (None, 7, 3)
        assert up(code).shape == (None, 8, 3)
        assert up(codes_of(4, channels=4)).shape == up(codes_of(4, channels=4), output_length=None).shape == (2, 8, 3)


@needs_graphs
def test_lengths_within_a_graph():
    import tensorflow as tf

    signature = [tf.TensorSpec((None, None, 3))]
    down = Downsample(4, 5, 2)
    for up in pairs():
        asked = tf.function(
            lambda x, up=up: up(down(x), output_length=ops.shape(x)[1]), input_signature=signature, autograph=False
        )
        for length in (1, 5, 6):
            assert asked(codes_of(length)).shape == (2, length, 3)
        unknown = tf.function(
            lambda x, up=up: up(down(x), output_length=x.shape[1]), input_signature=signature, autograph=False
        )
        with pytest.raises(ValueError, match="received None"):
            unknown(codes_of(5))


@pytest.mark.backend_free
def test_the_layers_follow_keras_s_global_settings_as_its_own_do():
    before = keras.config.dtype_policy(), keras.config.image_data_format()
    expected = {kind: Upsample(4, 3, 2, kind=kind) for kind in KINDS}
    outputs = {kind: np.array(layer(codes_of(6))) for kind, layer in expected.items()}
    down = Downsample(4, 3, 2)
    downs = np.array(down(codes_of(6)))
    try:
        keras.config.set_dtype_policy("mixed_bfloat16")
        assert Downsample(4, 3, 2)(codes_of(6)).dtype == Upsample(4, 3, 2)(codes_of(6)).dtype == "bfloat16"
        assert Conv1DTranspose(4, 3, 2)(codes_of(6)).dtype == keras.layers.Conv1D(4, 3)(codes_of(6)).dtype
        keras.config.set_dtype_policy("float32")
        keras.config.set_image_data_format("channels_first")
        assert Conv1DTranspose(4, 3, 2).data_format == "channels_first"
        first = Conv1DTranspose(4, 3, 2, "same", implementation="native")
        first.build((2, 3, 6))
        first.set_weights(expected["transpose"].get_weights())
        found = np.array(first(codes_of(6).transpose(0, 2, 1))).transpose(0, 2, 1)
        np.testing.assert_allclose(found, outputs["transpose"], atol=1e-5)
        np.testing.assert_array_equal(np.array(down(codes_of(6))), downs)
        for kind in KINDS:  # of the pair the channels are always last
            layer = Upsample(4, 3, 2, kind=kind)
            layer.build((2, 6, 3))
            layer.set_weights(expected[kind].get_weights())
            np.testing.assert_array_equal(np.array(layer(codes_of(6))), outputs[kind])
    finally:
        keras.config.set_dtype_policy(before[0])
        keras.config.set_image_data_format(before[1])
