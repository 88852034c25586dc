"""The model that training begins with."""

import keras
import numpy as np
import pytest

from textae.training.setup import SAMPLED_FROM, Arithmetic, samples_vocabulary, training_model


def test_an_output_bias_begins_as_log_frequencies(tiny_config):
    counts = np.arange(258)
    model, _ = training_model(
        tiny_config(**{"model.output_bias": True}), 258, 2, Arithmetic("float32", False), token_counts=counts
    )
    bias = keras.ops.convert_to_numpy(model.bias)
    np.testing.assert_allclose(np.exp(bias), np.maximum(counts, 1) / np.maximum(counts, 1).sum(), rtol=1e-5)


@pytest.mark.parametrize(
    ("changes", "below", "above"),
    [
        ({}, False, True),
        ({"training.label_smoothing": 0.1}, False, False),
        ({"training.vocabulary_loss": "full"}, False, False),
        ({"training.vocabulary_loss": "sampled"}, True, True),
    ],
)
def test_large_vocabularies_are_sampled(tiny_config, changes, below, above):
    found = [samples_vocabulary(tiny_config(**changes), size) for size in (SAMPLED_FROM - 1, SAMPLED_FROM)]
    assert found == [below, above]
