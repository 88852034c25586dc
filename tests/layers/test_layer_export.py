"""Models with each way to make a sequence longer, exported with dynamic length, values compared."""

import keras
import numpy as np
import pytest

from textae.layers import Conv1DTranspose, Downsample, Upsample
from textae.layers.implementations import IMPLEMENTATIONS
from textae.layers.upsamplers import KINDS

pytestmark = [
    pytest.mark.compiled,
    pytest.mark.skipif(
        keras.backend.backend() != "tensorflow", reason="these formats are written from TensorFlow graphs"
    ),
]
WAYS = [*KINDS, *IMPLEMENTATIONS]
LENGTHS = (6, 2, 14)
FAST = ("transpose", "subpixel")  # the others take the slow suite
ways = [pytest.param(way, marks=[] if way in FAST else pytest.mark.slow) for way in WAYS]


def model_of(way, batch=None):
    inputs = keras.Input((None, 3), batch_size=batch)
    code = Downsample(4, 2, 2, activation="tanh")(Downsample(4, 5, 2)(inputs))
    code = Upsample(4, 2, 2, kind=way if way in KINDS else "transpose")(code)
    if way in KINDS:
        outputs = Upsample(3, 5, 2, kind=way)(code)
    else:
        outputs = Conv1DTranspose(3, 5, 2, "same", implementation=way)(code)
    model = keras.Model(inputs, outputs)
    model(inputs_of(6, batch or 2))  # export refuses a model that was never called
    return model


def inputs_of(length, batch=2):
    return np.random.default_rng(length).standard_normal((batch, length * 2, 3)).astype("float32")


@pytest.mark.parametrize("way", ways)
def test_savedmodel_and_litert_with_dynamic_length(way, tmp_path):
    import tensorflow as tf

    # `from_concrete_functions` gives garbage for any Keras 3 model, even one Conv1D: go by the SavedModel.
    model = model_of(way, batch=1)
    model.export(tmp_path / "saved", format="tf_saved_model", verbose=False)
    served = tf.saved_model.load(tmp_path / "saved")
    converter = tf.lite.TFLiteConverter.from_saved_model(str(tmp_path / "saved"))
    interpreter = tf.lite.Interpreter(model_content=converter.convert())
    where = interpreter.get_input_details()[0]["index"]
    for length in LENGTHS:
        inputs = inputs_of(length, batch=1)
        np.testing.assert_allclose(served.serve(inputs), model(inputs), atol=1e-5)
        interpreter.resize_tensor_input(where, inputs.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(where, inputs)
        interpreter.invoke()
        found = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
        np.testing.assert_allclose(found, model(inputs), atol=1e-4)


@pytest.mark.parametrize("way", ways)
def test_onnx_with_dynamic_length(way, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("tf2onnx")
    model = model_of(way)
    model.export(tmp_path / "model.onnx", format="onnx", verbose=False)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    for length in LENGTHS:
        inputs = inputs_of(length)
        (found,) = session.run(None, {session.get_inputs()[0].name: inputs})
        np.testing.assert_allclose(found, model(inputs), atol=1e-4)
