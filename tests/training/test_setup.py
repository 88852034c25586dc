"""The model that training begins with."""

import keras
import numpy as np

from textae.training.setup import Arithmetic, training_model


def test_an_output_bias_begins_as_log_frequencies(tiny_config):
    counts = np.arange(258)
    model, _ = training_model(
        tiny_config(**{"model.output_bias": True}), 258, 2, Arithmetic("float32", False), token_counts=counts
    )
    bias = keras.ops.convert_to_numpy(model.bias)
    np.testing.assert_allclose(np.exp(bias), np.maximum(counts, 1) / np.maximum(counts, 1).sum(), rtol=1e-5)
