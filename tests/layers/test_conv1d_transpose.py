"""`Conv1DTranspose` against a loop in float64, against Keras's and PyTorch's, and what people asked of it."""

import functools
import importlib.util
import itertools
import os
import random
import subprocess
import sys

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.backends import first_on_jax
from textae.layers import Conv1DTranspose
from textae.layers.choice import choose
from textae.layers.implementations import IMPLEMENTATIONS

pytestmark = pytest.mark.compiled
BACKEND = keras.backend.backend()
needs_tensorflow = pytest.mark.skipif(BACKEND != "tensorflow", reason="dynamic shapes are TensorFlow's")


def naive(inputs, kernel, upstream, stride, dilation, start, length):
    """Outputs and both gradients, one term at a time; `upstream` is made up where it is None."""
    batch, steps, _ = inputs.shape
    taps, filters, _ = kernel.shape
    outputs = np.zeros((batch, length, filters))
    if upstream is None:
        upstream = np.random.default_rng(5).standard_normal(outputs.shape)
    by_inputs, by_kernel = np.zeros(inputs.shape), np.zeros(kernel.shape)
    for step, tap in itertools.product(range(steps), range(taps)):
        position = step * stride + tap * dilation - start
        if 0 <= position < length:
            outputs[:, position] += inputs[:, step] @ kernel[tap].T
            by_inputs[:, step] += upstream[:, position] @ kernel[tap]
            by_kernel[tap] += upstream[:, position].T @ inputs[:, step]
    return outputs, by_inputs, by_kernel, upstream


def window_in_words(steps, kernel_size, stride, padding, dilation, extra):
    """Start and length of the window, from the sentences that describe the paddings."""
    span = dilation * (kernel_size - 1) + 1
    if padding == "valid":
        start, length = 0, (steps - 1) * stride + max(span, stride)
    else:
        start, length = (max(span - stride, 0) // 2 if padding == "same" else 0), steps * stride
    kind, value = extra
    if kind == "output_padding":
        length = (steps - 1) * stride + (span if padding == "valid" else span % 2) + value
    if kind == "output_length":
        length = value
    if padding == "same" and kind is not None:  # what a forward same convolution over the output would pad
        start = max((steps - 1) * stride + span - length, 0) // 2
    return start, length


def gradients(layers, inputs, upstreams):
    """Of each layer the outputs and the gradients by inputs and kernel, on either backend."""
    if BACKEND == "tensorflow":
        import tensorflow as tf

        found = []
        for layer, given, upstream in zip(layers, map(tf.convert_to_tensor, inputs), upstreams, strict=True):
            with tf.GradientTape() as tape:
                tape.watch(given)
                outputs = layer(given)
            found.append((outputs, *tape.gradient(outputs, [given, layer.kernel], tf.cast(upstream, outputs.dtype))))
    else:
        import jax

        # Compiling takes most of the time of these tests: all in one, and without what makes the code fast.
        @functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
        def all_of_them(inputs, kernels):
            found = []
            for layer, given, kernel, upstream in zip(layers, inputs, kernels, upstreams, strict=True):
                outputs, back = jax.vjp(lambda i, k, own=layer: own.stateless_call([k], [], i)[0], given, kernel)
                found.append((outputs, *back(jax.numpy.asarray(upstream, outputs.dtype))))
            return found

        found = all_of_them(inputs, [layer.kernel.value for layer in layers])
    return [[np.array(part, "float64") for part in parts] for parts in found]


def geometries(count, seed):
    """Drawn cases: (length, kernel_size, stride, padding, dilation, (kind, its value), channels, filters)."""
    draw = random.Random(seed)
    cases = []
    while len(cases) < count:
        steps, kernel_size = draw.choice([1, 1, 2, 3, 4, 5, 7, 11, 17]), draw.choice([1, 2, 3, 4, 5, 6, 8])
        stride, dilation = draw.choice([1, 2, 2, 3, 4, 6]), draw.choice([1, 1, 1, 2, 3])
        padding = draw.choice(["valid", "same", "causal"])
        span = dilation * (kernel_size - 1) + 1
        extra = (None, None)
        wish = draw.choice(["none", "none", "output_padding", "output_length"])
        if wish == "output_padding" and padding != "causal":
            extra = ("output_padding", draw.randrange(stride))
        if wish == "output_length":
            low = (steps - 1) * stride + (span if padding == "valid" else 1)
            extra = ("output_length", draw.randrange(low, low + stride))
        if window_in_words(steps, kernel_size, stride, padding, dilation, extra)[1] > 0:
            case = (
                steps,
                kernel_size,
                stride,
                padding,
                dilation,
                extra,
                draw.choice([1, 3]),
                draw.choice([1, 2, 5]),
            )
            cases.append(case)
    return cases


def name_of(case):
    steps, kernel_size, stride, padding, dilation, (kind, value), channels, filters = case
    extra = f"-{kind}{value}" if kind else ""
    return f"n{steps}-k{kernel_size}-s{stride}-{padding}-d{dilation}{extra}-c{channels}-f{filters}"


@functools.cache
def expected_of(case):
    """Inputs, kernel, outputs, both gradients and what they are the gradients by, of the loop."""
    steps, kernel_size, stride, padding, dilation, extra, channels, filters = case
    rng = np.random.default_rng(steps * 100 + kernel_size)
    inputs = rng.standard_normal((2, steps, channels)).astype("float32")
    kernel = rng.standard_normal((kernel_size, filters, channels)).astype("float32")
    start, length = window_in_words(steps, kernel_size, stride, padding, dilation, extra)
    return (
        inputs,
        kernel,
        naive(inputs.astype("float64"), kernel.astype("float64"), None, stride, dilation, start, length),
    )


def layer_of(case, implementation):
    """The layer of a case, with the kernel of the loop."""
    _, kernel_size, stride, padding, dilation, (kind, value), _, filters = case
    inputs, kernel, _ = expected_of(case)
    layer = Conv1DTranspose(
        filters,
        kernel_size,
        stride,
        padding,
        dilation_rate=dilation,
        use_bias=False,
        implementation=implementation,
        **({kind: value} if kind else {}),
    )
    layer.build(inputs.shape)
    layer.set_weights([kernel])
    return layer


def apart(found, expected):
    """What is wrong with an array, or None."""
    if found.shape != expected.shape:
        return f"shape {found.shape} in place of {expected.shape}"
    close = np.isclose(found, expected, rtol=1e-4, atol=1e-4)
    return None if close.all() else f"{(~close).sum()} values are wrong, by up to {np.abs(found - expected).max():.3g}"


PARTS = ("outputs", "gradient by inputs", "gradient by kernel")


def with_unknown_lengths(layers, inputs):
    """The layers' outputs from TensorFlow graphs that know no length, ten layers in each."""
    import tensorflow as tf

    found = []
    for start in range(0, len(layers), 10):
        some, given = layers[start : start + 10], inputs[start : start + 10]

        def outputs(*arrays, some=some):
            return [layer(array) for layer, array in zip(some, arrays, strict=True)]

        specs = [tf.TensorSpec((None, None, array.shape[-1]), "float32") for array in given]
        found += tf.function(outputs, input_signature=specs, autograph=False)(*given)
    return [outputs.numpy() for outputs in found]


def check(cases, implementation, dynamic=()):
    """Compare outputs and gradients with the loop's, and outputs without a known length of the cases in `dynamic`.

    What is wrong is said of all cases together, with the case's name.
    """
    layers = [layer_of(case, implementation) for case in cases]
    given, _, loops = zip(*map(expected_of, cases), strict=True)
    found = gradients(layers, given, [upstream for *_, upstream in loops])
    compared = {}
    for case, own, (*loop, _) in zip(cases, found, loops, strict=True):
        for what, pair in zip(PARTS, zip(own, loop, strict=True), strict=True):
            compared[f"{name_of(case)}: {what}"] = pair
    if dynamic:
        rows = [cases.index(case) for case in dynamic]
        unknown = with_unknown_lengths([layers[row] for row in rows], [given[row] for row in rows])
        for row, own in zip(rows, unknown, strict=True):
            compared[f"{name_of(cases[row])}: outputs of an unknown length"] = own, loops[row][0]
    wrong = {name: fault for name, pair in compared.items() if (fault := apart(*pair))}
    for case, layer, inputs, loop in zip(cases, layers, given, loops, strict=True):
        if (shape := layer.compute_output_shape(inputs.shape)) != loop[0].shape:
            wrong[f"{name_of(case)}: compute_output_shape"] = shape
    assert not wrong, "\n".join([f"{implementation}:", *(f"{name}: {fault}" for name, fault in wrong.items())])


TABLE = geometries(48, seed=1)
LONG_TABLE = geometries(150, seed=2)
WAYS = [*IMPLEMENTATIONS, "auto"]


@pytest.mark.parametrize("implementation", [*IMPLEMENTATIONS])
def test_values_and_gradients_against_a_loop(implementation):
    # Every case is also run with a length that is not known, by one way in turn. JAX compiles every case anew,
    # so there each case goes by one of the four ways; TensorFlow has them all.
    own = TABLE[[*IMPLEMENTATIONS].index(implementation) :: len(IMPLEMENTATIONS)]
    check(own if BACKEND == "jax" else TABLE, implementation, dynamic=own if BACKEND == "tensorflow" else ())


@pytest.mark.slow
@pytest.mark.parametrize("implementation", WAYS)
def test_values_and_gradients_against_a_loop_at_length(implementation):
    own = LONG_TABLE[WAYS.index(implementation) :: len(WAYS)]
    check(LONG_TABLE, implementation, dynamic=own if BACKEND == "tensorflow" else ())


@settings(max_examples=30 if BACKEND == "tensorflow" else 10, deadline=None)
@given(
    steps=st.integers(1, 9),
    kernel_size=st.integers(1, 9),
    stride=st.integers(1, 6),
    dilation=st.integers(1, 3),
    padding=st.sampled_from(["valid", "same", "causal"]),
    implementation=st.sampled_from([*IMPLEMENTATIONS, "auto"]),
    data=st.data(),
)
def test_it_is_the_adjoint_of_the_forward_convolution(
    steps, kernel_size, stride, dilation, padding, implementation, data
):
    """<transposed(x), y> = <x, convolution(y)>, whatever length is asked for (causal: the mirrored one)."""
    span = dilation * (kernel_size - 1) + 1
    low = (steps - 1) * stride + (span if padding == "valid" else 1)
    length = data.draw(st.integers(low, low + stride - 1))
    rng = np.random.default_rng(3)
    inputs = rng.standard_normal((2, steps, 3)).astype("float32")
    layer = Conv1DTranspose(
        2, kernel_size, stride, padding, dilation_rate=dilation, use_bias=False, implementation=implementation
    )
    outputs = np.array(layer(inputs, output_length=length))
    assert outputs.shape == (2, length, 2)
    other = rng.standard_normal(outputs.shape).astype("float32")
    left = 0
    if padding == "same":
        left = max((steps - 1) * stride + span - length, 0) // 2
    padded = np.pad(other, ((0, 0), (left, (steps - 1) * stride + span), (0, 0)))
    kernel = np.array(layer.kernel)
    convolved = np.zeros(inputs.shape)
    for step, tap in itertools.product(range(steps), range(kernel_size)):
        convolved[:, step] += padded[:, step * stride + tap * dilation] @ kernel[tap]
    np.testing.assert_allclose(np.sum(outputs * other), np.sum(inputs * convolved), rtol=1e-3, atol=1e-3)


KERAS_CASES = [
    (steps, kernel_size, stride, padding, output_padding)
    for steps, kernel_size, stride, padding, output_padding in itertools.product(
        [1, 2, 5], [1, 2, 3, 5], [1, 2, 3, 6], ["same", "valid"], [None, 0, 1]
    )
    if output_padding is None or output_padding < stride
]


@pytest.mark.backend_free  # the layer's values on JAX are those of the loop, as those of Keras are
@pytest.mark.parametrize(("steps", "padding"), itertools.product([1, 2, 5], ["same", "valid"]))
def test_equal_to_keras_and_weights_move_both_ways(steps, padding):
    inputs = np.random.default_rng(0).standard_normal((2, steps, 3)).astype("float32")
    compared = 0
    for case in KERAS_CASES:
        if (case[0], case[3]) != (steps, padding):
            continue
        _, kernel_size, stride, _, output_padding = case
        arguments = {"strides": stride, "padding": padding, "output_padding": output_padding}
        arguments |= {"activation": "tanh", "bias_initializer": "normal"}
        keras_layer = keras.layers.Conv1DTranspose(4, kernel_size, **arguments)
        try:
            expected = np.array(keras_layer(inputs))
        except Exception:  # TensorFlow refuses `same` with an even kernel and no output padding
            assert kernel_size % 2 == 0 and output_padding == 0
            continue
        layer = Conv1DTranspose(4, kernel_size, **arguments)
        layer.build(inputs.shape)
        layer.set_weights(keras_layer.get_weights())
        np.testing.assert_allclose(np.array(layer(inputs)), expected, rtol=1e-5, atol=1e-5)
        shape = keras_layer.compute_output_shape((None, None, 3))
        assert layer.compute_output_shape((None, None, 3)) == tuple(shape)
        keras_layer.set_weights([weight + 1 for weight in layer.get_weights()])
        layer.set_weights(keras_layer.get_weights())
        np.testing.assert_allclose(np.array(layer(inputs)), np.array(keras_layer(inputs)), rtol=1e-5, atol=1e-5)
        compared += 1
    assert compared >= 30


def test_every_argument_of_keras_is_taken():
    config = keras.layers.Conv1DTranspose(3, 2).get_config()
    layer = Conv1DTranspose.from_config(config)
    ours = layer.get_config()
    assert {key: ours[key] for key in config} == config


@pytest.mark.parametrize(("kernel_size", "stride", "dilation"), itertools.product([1, 2, 3, 5], [1, 2, 3], [1, 2]))
def test_equal_to_torch(kernel_size, stride, dilation):
    torch = pytest.importorskip("torch")
    inputs = np.random.default_rng(0).standard_normal((2, 4, 3)).astype("float32")
    for extra in range(stride):
        theirs = torch.nn.ConvTranspose1d(3, 2, kernel_size, stride, dilation=dilation, output_padding=extra)
        expected = theirs(torch.tensor(inputs.transpose(0, 2, 1))).detach().numpy().transpose(0, 2, 1)
        layer = Conv1DTranspose(2, kernel_size, stride, output_padding=extra, dilation_rate=dilation)
        layer.build(inputs.shape)
        layer.set_weights([theirs.weight.detach().numpy().transpose(2, 1, 0), theirs.bias.detach().numpy()])
        np.testing.assert_allclose(np.array(layer(inputs)), expected, rtol=1e-5, atol=1e-5)


# What people asked for.


@needs_tensorflow
@pytest.mark.parametrize("implementation", [*IMPLEMENTATIONS, "auto"])
def test_dynamic_length_and_static_shape_kept_when_known(implementation):
    import tensorflow as tf

    layer = Conv1DTranspose(4, 5, 2, "same", implementation=implementation)
    inputs = tf.random.normal((2, 7, 3))
    expected = layer(inputs)
    known, unknown = [], []

    @tf.function(input_signature=[tf.TensorSpec((None, None, 3))])
    def with_unknown(inputs):
        unknown.append(layer(inputs).shape)
        return layer(inputs)

    @tf.function(input_signature=[tf.TensorSpec((None, 7, 3))])
    def with_known(inputs):
        known.append(layer(inputs).shape)
        return layer(inputs)

    np.testing.assert_allclose(with_unknown(inputs), expected, atol=1e-5)
    np.testing.assert_allclose(with_known(inputs), expected, atol=1e-5)
    assert with_unknown(inputs[:, :1]).shape == (2, 2, 4)
    assert known[0].as_list() == [None, 14, 4]
    assert unknown[0].as_list() == [None, None, 4]


def test_symbolic_shapes():
    inputs = keras.Input((None, 3))
    assert Conv1DTranspose(4, 5, 2, "same")(inputs).shape == (None, None, 4)
    assert Conv1DTranspose(4, 5, 2, "same", output_length=9)(inputs).shape == (None, 9, 4)
    assert Conv1DTranspose(4, 5, 2, "same")(keras.Input((7, 3))).shape == (None, 14, 4)
    assert Conv1DTranspose(4, 5, 2, "same")(inputs, output_length=keras.Input((13, 1))).shape == (None, 13, 4)
    assert Conv1DTranspose(4, 5, 2, data_format="channels_first")(keras.Input((3, 7))).shape == (None, 4, 17)


@pytest.mark.backend_free
def test_an_odd_length_comes_back_odd():
    for length in (1, 2, 3, 10, 11, 13):
        text = np.random.default_rng(0).standard_normal((2, length, 3)).astype("float32")
        code = keras.layers.Conv1D(4, 5, strides=2, padding="same")(text)
        assert Conv1DTranspose(3, 5, 2, "same")(code, output_length=length).shape == text.shape
        assert Conv1DTranspose(3, 5, 2, "same")(code, output_length=text).shape == text.shape
        assert Conv1DTranspose(3, 5, 2, "same", output_length=length)(code).shape == text.shape


@needs_tensorflow
@pytest.mark.parametrize("padding", ["same", "valid", "causal"])
@pytest.mark.parametrize("implementation", [*IMPLEMENTATIONS])
def test_output_length_as_a_second_input(padding, implementation):
    import tensorflow as tf

    layer = Conv1DTranspose(4, 5, 3, padding, implementation=implementation)
    inputs, length = keras.Input((None, 3)), keras.Input(batch_shape=(), dtype="int32")
    model = keras.Model([inputs, length], layer(inputs, output_length=length))
    compiled = tf.function(lambda *arguments: model(list(arguments)), reduce_retracing=True, autograph=False)
    codes = tf.random.normal((2, 4, 3))
    low = 3 * 3 + (5 if padding == "valid" else 1)
    for wanted in range(low, low + 3):
        expected = layer(codes, output_length=wanted)
        np.testing.assert_allclose(compiled(codes, tf.constant(wanted)), expected, atol=1e-5)
    with pytest.raises(tf.errors.InvalidArgumentError, match="output_length"):
        compiled(codes, tf.constant(low + 3))


@needs_tensorflow
def test_output_length_that_does_not_fit_is_refused_where_the_length_comes_late():
    import tensorflow as tf

    layer = Conv1DTranspose(4, 5, 3, "same", output_length=12)
    call = tf.function(layer, input_signature=[tf.TensorSpec((None, None, 3))], autograph=False)
    assert call(tf.zeros((2, 4, 3))).shape == (2, 12, 4)
    with pytest.raises(tf.errors.InvalidArgumentError):
        call(tf.zeros((2, 5, 3)))


@pytest.mark.backend_free
def test_output_length_out_of_range_is_refused():
    layer = Conv1DTranspose(4, 5, 3, "same")
    codes = np.zeros((1, 4, 3), "float32")
    for wrong in (9, 13):
        with pytest.raises(ValueError, match=f"output_length must be 10 to 12 .* received {wrong}"):
            layer(codes, output_length=wrong)
    with pytest.raises(ValueError, match="output_length must be a whole number"):
        layer(codes, output_length=10.5)
    with pytest.raises(ValueError, match="received a tensor of shape"):
        layer(codes, output_length=np.array([10, 11]))
    with pytest.raises(ValueError, match="at least 5"):
        Conv1DTranspose(4, 5, 3, output_length=4)


@pytest.mark.backend_free
def test_output_padding_zero_and_none_mean_what_they_say():
    codes = np.zeros((1, 4, 3), "float32")
    for padding, output_padding, length in [
        ("same", None, 12),
        ("same", 0, 10),
        ("same", 2, 12),
        ("valid", None, 14),
        ("valid", 0, 14),
        ("valid", 1, 15),
    ]:
        assert Conv1DTranspose(2, 5, 3, padding, output_padding)(codes).shape[1] == length
    assert Conv1DTranspose(2, 2, 3, "valid", None)(codes).shape[1] == 12
    assert Conv1DTranspose(2, 2, 3, "valid", 0)(codes).shape[1] == 11


@pytest.mark.backend_free
def test_output_padding_too_large_is_a_clear_error():
    with pytest.raises(ValueError, match="output_padding must be less than strides=3; received 3"):
        Conv1DTranspose(2, 5, 3, output_padding=3)
    with pytest.raises(ValueError, match="output_padding must be a whole number of at least 0; received -1"):
        Conv1DTranspose(2, 5, 3, output_padding=-1)


@pytest.mark.parametrize("implementation", [*IMPLEMENTATIONS])
def test_causal_padding_no_position_depends_on_a_later_step(implementation):
    layer = Conv1DTranspose(2, 5, 2, "causal", implementation=implementation)
    codes = np.random.default_rng(0).standard_normal((1, 6, 3)).astype("float32")
    before = np.array(layer(codes))
    for step in range(6):
        changed = codes.copy()
        changed[:, step] += 1
        same = np.isclose(np.array(layer(changed)), before, atol=1e-6).all(axis=(0, 2))
        assert same[: step * 2].all()
        assert not same[step * 2 : step * 2 + 5].any()


@pytest.mark.backend_free  # JAX has such cases in the table
@pytest.mark.parametrize("implementation", [*IMPLEMENTATIONS, "auto"])
@pytest.mark.parametrize("stride", [1, 3])
def test_dilation_with_strides_on_cpu(implementation, stride):
    check([(4, 3, stride, "same", 2, (None, None), 3, 2)], implementation)


@pytest.mark.backend_free  # JAX has such cases in the table
@pytest.mark.parametrize("implementation", [*IMPLEMENTATIONS])
def test_right_values_for_same_padding_odd_kernels_and_strides(implementation):
    shapes = itertools.product([3, 5, 7], [2, 3])
    check([(5, size, stride, "same", 1, (None, None), 2, 3) for size, stride in shapes], implementation)


@pytest.mark.backend_free
def test_speed_on_cpu_no_shape_is_chosen_a_way_known_to_be_slow():
    assert choose(16, 16, 16) == choose(16, 16, 16, compiler="xla") == choose(16, 16, 16, compiler="jax") == "matmul"
    assert choose(1, 8, 6) == choose(6, 8, 4) == choose(128, 5, 2) == choose(None, 5, 2) == "polyphase"
    assert choose(256, 3, 2) == choose(None, 5, 4) == "matmul"
    assert choose(1, 8, 6, compiler="xla") == "polyphase"  # native: 75 times slower
    assert choose(6, 8, 4, compiler="xla") == choose(None, 8, 4, compiler="xla") == "polyphase"
    assert choose(128, 5, 2, compiler="xla") == "native"
    assert choose(1, 8, 6, compiler="jax") == choose(None, 8, 6, compiler="jax") == "polyphase"
    assert choose(128, 5, 2, compiler="jax") == "matmul"  # native: 40 times slower
    for compiler in ("graph", "xla"):
        assert choose(128, 5, 2, dilation_rate=2, compiler=compiler) == "polyphase"


@needs_tensorflow
def test_auto_knows_xla_when_it_is_traced(monkeypatch):
    import tensorflow as tf

    import textae.layers.conv1d_transpose as module

    seen = []
    monkeypatch.setattr(module, "choose", lambda *arguments: seen.append(arguments[-1]) or "matmul")
    layer = Conv1DTranspose(2, 5, 2, "same")
    model = keras.Sequential([keras.Input((None, 3)), layer])
    layer(tf.zeros((1, 4, 3)))
    tf.function(layer, jit_compile=False, autograph=False)(tf.zeros((1, 4, 3)))
    assert seen == ["graph", "graph"]
    tf.function(layer, jit_compile=True, autograph=False)(tf.zeros((1, 4, 3)))
    assert seen[2:] == ["xla"]
    model.compile("sgd", "mse", jit_compile=True)
    model.predict(np.zeros((1, 4, 3)), verbose=0)
    assert seen[-1] == "xla"


@needs_tensorflow
@pytest.mark.parametrize("implementation", [*IMPLEMENTATIONS, "auto"])
def test_jit_compile_with_dynamic_data(implementation):
    import tensorflow as tf

    layer = Conv1DTranspose(2, 5, 2, "same", implementation=implementation)
    layer.build((None, None, 3))
    call = tf.function(layer, input_signature=[tf.TensorSpec((None, None, 3))], jit_compile=True, autograph=False)
    for length in (1, 4, 9):
        codes = tf.random.normal((2, length, 3))
        np.testing.assert_allclose(call(codes), layer(codes), atol=1e-5)


@pytest.mark.parametrize(
    ("policy", "jit_compile"),
    first_on_jax([("mixed_float16", True), ("mixed_bfloat16", False), ("bfloat16", False), ("float32", True)]),
)
def test_mixed_precision_trains(policy, jit_compile):
    inputs = keras.Input((None, 3))
    outputs = Conv1DTranspose(2, 5, 2, "same", dtype=policy)(inputs)
    model = keras.Model(inputs, outputs)
    assert keras.backend.standardize_dtype(outputs.dtype) == policy.removeprefix("mixed_")
    model.compile("sgd", "mse", jit_compile=jit_compile)
    before = model.get_weights()
    model.fit(np.ones((4, 6, 3)), np.ones((4, 12, 2)), verbose=0)
    for old, new in zip(before, model.get_weights(), strict=True):
        assert np.isfinite(new.astype("float32")).all()
        assert (old != new).any()


@pytest.mark.parametrize("implementation", [*IMPLEMENTATIONS])
@pytest.mark.parametrize("dtype", first_on_jax(["bfloat16", "float16"]))
def test_low_precision_values(implementation, dtype):
    codes = np.random.default_rng(0).standard_normal((2, 6, 16)).astype("float32")
    exact = Conv1DTranspose(4, 5, 2, "same")
    exact.build(codes.shape)
    layer = Conv1DTranspose(4, 5, 2, "same", implementation=implementation, dtype=dtype)
    layer.build(codes.shape)
    layer.set_weights(exact.get_weights())
    outputs = keras.ops.cast(layer(codes), "float32")
    np.testing.assert_allclose(outputs, np.array(exact(codes)), atol=0.06)


@pytest.mark.parametrize("implementation", [*IMPLEMENTATIONS])
def test_channels_first(implementation):
    codes = np.random.default_rng(0).standard_normal((2, 6, 3)).astype("float32")
    last = Conv1DTranspose(4, 5, 2, "same", implementation=implementation)
    first = Conv1DTranspose(4, 5, 2, "same", data_format="channels_first", implementation=implementation)
    first.build((2, 3, 6))
    expected = np.array(last(codes))
    first.set_weights(last.get_weights())
    found = np.array(first(codes.transpose(0, 2, 1)))
    np.testing.assert_allclose(found.transpose(0, 2, 1), expected, atol=1e-5)
    like = np.zeros((2, 3, 11), "float32")
    assert first(codes.transpose(0, 2, 1), output_length=like).shape == (2, 4, 11)


def masked_pair(layer, padding_steps=3):
    """Outputs and mask for a padded batch of one text, and the outputs for the text alone."""
    rng = np.random.default_rng(0)
    alone = rng.standard_normal((1, 4, 3)).astype("float32")
    padded = np.concatenate([alone, rng.standard_normal((1, padding_steps, 3)).astype("float32")], axis=1)
    mask = np.array([[True] * 4 + [False] * padding_steps])
    outputs = layer(padded, mask=mask)
    return np.array(outputs), layer.compute_mask(padded, mask), np.array(layer(alone))


@pytest.mark.parametrize("kernel_size", first_on_jax([5, 1, 2, 3, 8]))
@pytest.mark.parametrize("padding", ["valid", "same", "causal"])
def test_masks_are_not_silently_dropped(kernel_size, padding):
    outputs, mask, alone = masked_pair(Conv1DTranspose(2, kernel_size, 3, padding))
    mask = np.array(mask)
    assert mask.shape == outputs.shape[:2]
    assert mask.sum() == alone.shape[1]
    assert mask[0, : alone.shape[1]].all()
    np.testing.assert_allclose(outputs[:, : alone.shape[1]], alone, atol=1e-5)


def mask_of(outputs):
    return np.array(keras.src.backend.get_keras_mask(outputs))


def test_masks_go_through_a_model_to_the_loss():
    ids = keras.Input((None,), dtype="int32")
    codes = keras.layers.Embedding(9, 3, mask_zero=True)(ids)
    outputs = Conv1DTranspose(2, 3, 2, "same")(codes)
    model = keras.Model(ids, outputs)
    found = mask_of(model(np.array([[1, 2, 0], [1, 0, 0]])))
    assert found.tolist() == [[True] * 4 + [False] * 2, [True] * 2 + [False] * 4]
    model.compile("sgd", "mse")
    model.fit(np.array([[1, 2, 0], [1, 0, 0]]), np.ones((2, 6, 2)), verbose=0)


@pytest.mark.backend_free
def test_masks_follow_the_output_length_of_the_call():
    layer = Conv1DTranspose(2, 5, 2, "same")
    codes, mask = np.zeros((1, 3, 3), "float32"), np.array([[True, True, False]])
    assert mask_of(layer(codes, output_length=5, mask=mask)).tolist() == [[True] * 4 + [False]]
    assert mask_of(layer(codes, mask=mask)).tolist() == [[True] * 4 + [False] * 2]
    like = np.zeros((1, 5, 2), "float32")
    assert mask_of(layer(codes, output_length=like, mask=mask)).tolist() == [[True] * 4 + [False]]


@pytest.mark.backend_free
def test_saved_and_loaded_in_safe_mode(tmp_path):
    inputs = keras.Input((None, 3))
    hidden = Conv1DTranspose(
        4,
        5,
        3,
        "causal",
        dilation_rate=2,
        activation="gelu",
        kernel_regularizer="l2",
        implementation="polyphase",
    )(inputs)
    hidden = Conv1DTranspose(4, 3, 2, "same", output_padding=0, bias_constraint="non_neg")(hidden)
    model = keras.Model(inputs, Conv1DTranspose(2, 3, 2, "same")(hidden))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    codes = np.random.default_rng(0).standard_normal((2, 5, 3)).astype("float32")
    np.testing.assert_array_equal(np.array(loaded(codes)), np.array(model(codes)))
    assert [layer.get_config() for layer in loaded.layers] == [layer.get_config() for layer in model.layers]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"filters": 0}, "filters must be a whole number of at least 1; received 0"),
        ({"kernel_size": 0}, "kernel_size must be"),
        ({"kernel_size": (2, 3)}, "kernel_size must be"),
        ({"strides": 1.5}, "strides must be"),
        ({"dilation_rate": 0}, "dilation_rate must be"),
        ({"padding": "full"}, "padding must be one of valid, same, causal; received 'full'"),
        ({"implementation": "fast"}, "implementation must be one of auto, native"),
        ({"data_format": "NCW"}, "data_format must be"),
        (
            {"padding": "causal", "strides": 2, "output_padding": 1},
            "output_padding must be None with padding='causal'",
        ),
        (
            {"strides": 2, "output_padding": 1, "output_length": 9},
            "output_padding must be None where output_length",
        ),
    ],
)
def test_nonsense_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Conv1DTranspose(**{"filters": 2, "kernel_size": 3, **arguments})


@pytest.mark.slow
@pytest.mark.backend_free
def test_the_layers_import_nothing_else_of_textae():
    command = (
        "import sys, textae.layers; "
        "mine = {name.split('.')[1] for name in sys.modules if name.startswith('textae.')}; "
        "sys.exit(mine != {'layers'} or 'hydra' in sys.modules)"
    )
    # Keras on JAX starts in half the time that it takes with TensorFlow
    env = os.environ | ({"KERAS_BACKEND": "jax"} if importlib.util.find_spec("jax") else {})
    assert subprocess.run([sys.executable, "-c", command], check=False, env=env).returncode == 0
