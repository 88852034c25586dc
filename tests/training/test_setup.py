"""The model that training begins with."""

import keras
import numpy as np
import pytest

from textae.training.setup import SAMPLED_FROM, Arithmetic, training_model


def test_an_output_bias_begins_as_log_frequencies(tiny_config):
    counts = np.arange(258)
    model, _ = training_model(
        tiny_config(**{"model.output_bias": True}), 258, 2, Arithmetic("float32", False), token_counts=counts
    )
    bias = keras.ops.convert_to_numpy(model.bias)
    np.testing.assert_allclose(np.exp(bias), np.maximum(counts, 1) / np.maximum(counts, 1).sum(), rtol=1e-5)


def test_random_tokens_are_of_all_ids_and_substitutes_of_those_of_text(tiny_config):
    """Bytes among them: a model that was shown none would not keep the characters that no token covers."""
    settings = {"training.random_token_rate": 0.5, "training.corruption.substitute": 0.5}
    _, step = training_model(tiny_config(**settings), 300, 260, Arithmetic("float32", False))
    tokens = np.full((50, 32), 299, np.int32)
    lengths = np.full(50, 32, np.int32)
    drawn = {}
    for name in ("substitution", "corruption"):
        found = keras.ops.convert_to_numpy(getattr(step.objective, name)(tokens, lengths)[0])
        drawn[name] = found[found != 299]
    assert 0.4 < len(drawn["substitution"]) / tokens.size < 0.6
    assert drawn["substitution"].min() == 2 and (drawn["substitution"] < 260).mean() > 0.8
    assert drawn["corruption"].min() >= 260


@pytest.mark.backend_free
@pytest.mark.parametrize(
    ("vocabulary_size", "settings", "drawn"),
    [
        (SAMPLED_FROM, {}, 1024),
        (SAMPLED_FROM - 1, {}, None),
        (SAMPLED_FROM, {"training.vocabulary_loss": "full"}, None),
        (300, {"training.vocabulary_loss": "sampled", "training.sampled_ids": 9}, 9),
        (SAMPLED_FROM, {"training.label_smoothing": 0.1}, None),
        (SAMPLED_FROM, {"distributed.mode": "auto"}, None),
    ],
)
def test_training_samples_large_vocabularies(tiny_config, vocabulary_size, settings, drawn):
    settings = {"model.initialization": "random"} | settings
    _, step = training_model(tiny_config(**settings), vocabulary_size, 2, Arithmetic("float32", False))
    sample = step.objective.sample
    assert (sample and sample.drawn) == drawn
