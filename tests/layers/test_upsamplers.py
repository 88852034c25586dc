"""`Downsample` and `Upsample`: lengths, values, masks, saving."""

import itertools

import keras
import numpy as np
import pytest

from helpers.backends import first_on_jax
from textae.layers import Conv1DTranspose, Downsample, Upsample
from textae.layers.upsamplers import KINDS

BACKEND = keras.backend.backend()


def codes_of(length, channels=3, seed=0):
    return np.random.default_rng(seed).standard_normal((2, length, channels)).astype("float32")


@pytest.mark.parametrize("kind", KINDS)
def test_the_pair_gives_the_length_back(kind):
    for kernel_size, stride in itertools.product([1, 2, 3, 5], [1, 2, 3]) if BACKEND == "tensorflow" else [(5, 3)]:
        down, up = Downsample(4, kernel_size, stride), Upsample(3, kernel_size, stride, kind=kind)
        for steps in (1, 2, 4) if BACKEND == "tensorflow" else (2,):
            code = down(codes_of(steps * stride))
            assert code.shape == (2, steps, 4) == down.compute_output_shape((2, steps * stride, 3))
            assert up(code).shape == (2, steps * stride, 3) == up.compute_output_shape(code.shape)


@pytest.mark.parametrize("kind", first_on_jax(KINDS))
def test_an_odd_length_comes_back_odd(kind):
    down, up = Downsample(4, 5, 3), Upsample(3, 5, 3, kind=kind)
    for length in (1, 2, 3, 7, 8):
        text = codes_of(length)
        assert up(down(text), output_length=length).shape == text.shape
        assert up(down(text), output_length=text).shape == text.shape
    with pytest.raises(ValueError, match="output_length must be 7 to 9"):
        up(down(codes_of(8)), output_length=6)


@pytest.mark.backend_free
@pytest.mark.parametrize("kind", KINDS)
def test_shapes_of_symbols(kind):
    inputs = keras.Input((None, 3))
    code = Downsample(4, 5, 3)(inputs)
    assert code.shape == (None, None, 4)
    assert Upsample(3, 5, 3, kind=kind)(code).shape == (None, None, 3)
    assert Upsample(3, 5, 3, kind=kind)(code, output_length=7).shape == (None, 7, 3)
    assert Downsample(4, 3, 3)(keras.Input((9, 3))).shape == (None, 3, 4)


@pytest.mark.parametrize(
    ("kernel_size", "stride"), first_on_jax([(5, 2), *itertools.product([1, 2, 3], [1, 2, 3]), (5, 1), (5, 3)])
)
def test_downsample_is_the_strided_convolution(kernel_size, stride):
    theirs = keras.layers.Conv1D(4, kernel_size, strides=stride, padding="same", bias_initializer="normal")
    ours = Downsample(4, kernel_size, stride)
    ours.build((2, 3, 3))
    for length in (1, 3, 4, 6, 7):
        expected = np.array(theirs(codes_of(length)))
        ours.set_weights(theirs.get_weights())
        np.testing.assert_allclose(np.array(ours(codes_of(length))), expected, rtol=1e-4, atol=1e-5)


def test_transpose_is_the_transposed_convolution():
    up = Upsample(4, 5, 2, activation="tanh")
    found = np.array(up(codes_of(6)))
    layer = Conv1DTranspose(4, 5, 2, "same", activation="tanh")
    layer.build((2, 6, 3))
    layer.set_weights(up.get_weights())
    np.testing.assert_allclose(found, np.array(layer(codes_of(6))), atol=1e-6)


def test_resize_nearest_is_upsampling_then_convolution():
    up = Upsample(4, 5, 3, kind="resize_nearest")
    found = np.array(up(codes_of(6)))
    convolution = keras.layers.Conv1D(4, 5, padding="same")
    repeated = keras.layers.UpSampling1D(3)(codes_of(6))
    convolution.build(repeated.shape)
    convolution.set_weights(up.get_weights())
    np.testing.assert_allclose(found, np.array(convolution(repeated)), atol=1e-5)


@pytest.mark.parametrize("stride", first_on_jax([3, 1, 2, 4]))
def test_resize_linear_is_interpolation_between_the_middles_of_steps(stride):
    up = Upsample(3, 1, stride, kind="resize_linear", use_bias=False)
    codes = codes_of(6)
    up.build(codes.shape)
    up.set_weights([np.eye(3, dtype="float32")[None]])
    at = (np.arange(6 * stride) + 0.5) / stride - 0.5
    expected = np.stack(
        [[np.interp(at, np.arange(6), codes[row, :, channel]) for channel in range(3)] for row in range(2)]
    ).transpose(0, 2, 1)
    np.testing.assert_allclose(np.array(up(codes)), expected, atol=1e-5)


def test_subpixel_is_a_convolution_whose_channels_become_positions():
    up = Upsample(4, 5, 3, kind="subpixel", use_bias=False)
    found = np.array(up(codes_of(6)))
    kernel = up.get_weights()[0]
    assert kernel.shape == (2, 3, 12)
    padded = np.pad(codes_of(6), ((0, 0), (0, 1), (0, 0)))
    expected = padded[:, :6] @ kernel[0] + padded[:, 1:] @ kernel[1]
    np.testing.assert_allclose(found, expected.reshape(2, 18, 4), atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("kernel_size", first_on_jax([5, 2, 3]))
def test_a_padded_text_gives_what_it_gives_alone(kind, kernel_size):
    down, up = Downsample(4, kernel_size, 3), Upsample(3, kernel_size, 3, kind=kind)
    alone = codes_of(9)[:1]
    padded = np.concatenate([alone, codes_of(6, seed=1)[:1]], axis=1)
    mask = np.array([[True] * 9 + [False] * 6])
    code = down(padded, mask=mask)
    code_mask = np.array(down.compute_mask(padded, mask))
    assert code_mask.tolist() == [[True] * 3 + [False] * 2]
    outputs = up(code, mask=code_mask)
    assert np.array(up.compute_mask(code, code_mask)).tolist() == [[True] * 9 + [False] * 6]
    np.testing.assert_allclose(np.array(outputs)[:, :9], np.array(up(down(alone))), atol=1e-5)


@pytest.mark.parametrize("kind", first_on_jax(KINDS))
def test_masks_go_through_a_model(kind):
    ids = keras.Input((None,), dtype="int32")
    codes = keras.layers.Embedding(9, 3, mask_zero=True)(ids)
    model = keras.Model(ids, Upsample(3, 5, 2, kind=kind)(Downsample(4, 5, 2)(codes), output_length=codes))
    found = keras.src.backend.get_keras_mask(model(np.array([[1, 2, 3, 4, 5], [1, 2, 0, 0, 0]])))
    assert np.array(found).tolist() == [[True] * 5, [True] * 2 + [False] * 3]


@pytest.mark.backend_free
@pytest.mark.parametrize("kind", KINDS)
def test_saved_and_loaded_in_safe_mode(kind, tmp_path):
    inputs = keras.Input((None, 3))
    code = Downsample(4, 5, 2, activation="gelu")(inputs)
    model = keras.Model(inputs, Upsample(3, 3, 2, kind=kind, activation="tanh", use_bias=False)(code))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(np.array(loaded(codes_of(6))), np.array(model(codes_of(6))))
    assert [layer.get_config() for layer in loaded.layers] == [layer.get_config() for layer in model.layers]


@pytest.mark.parametrize("policy", first_on_jax(["mixed_float16", "float32", "mixed_bfloat16"]))
def test_one_step_changes_every_weight(policy):
    one_step_changes_every_weight(policy)


@pytest.mark.compiled
@pytest.mark.backend_free  # JAX compiles always
def test_one_compiled_step_changes_every_weight():
    one_step_changes_every_weight("mixed_float16", jit_compile=True)


def one_step_changes_every_weight(policy, jit_compile=False):
    """A model with an output of each kind, as compiling takes nearly all the time."""
    inputs = keras.Input((None, 3))
    code = Downsample(4, 3, 3, dtype=policy)(inputs)
    model = keras.Model(inputs, [Upsample(3, 5, 3, kind=kind, dtype=policy, name=kind)(code) for kind in KINDS])
    model.compile(keras.optimizers.SGD(1.0), ["mse"] * len(KINDS), jit_compile=jit_compile)
    before = model.get_weights()
    model.fit(codes_of(6), [codes_of(6, seed=1)] * len(KINDS), verbose=0)
    assert len(before) == 2 + 2 * len(KINDS)
    for old, new in zip(before, model.get_weights(), strict=True):
        assert (old != new).any()


@pytest.mark.backend_free
def test_the_ways_to_train_begin_with_outputs_of_like_size():
    sizes = {kind: float(np.std(np.array(Upsample(64, 6, 3, kind=kind)(codes_of(64, channels=64))))) for kind in KINDS}
    assert max(sizes.values()) < 4 * min(sizes.values()), sizes


@pytest.mark.backend_free
@pytest.mark.parametrize("layer", [Downsample, Upsample])
@pytest.mark.parametrize("wrong", [(0, 3, 2), (4, 0, 2), (4, 3, 0), (4, 3, 1.5)])
def test_nonsense_is_refused(layer, wrong):
    with pytest.raises(ValueError, match="must be a whole number of at least 1; received"):
        layer(*wrong)


@pytest.mark.backend_free
def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match=r"kind must be one of transpose, .* received 'bicubic'"):
        Upsample(4, 3, 2, kind="bicubic")
