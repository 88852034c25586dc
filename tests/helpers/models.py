"""Small built models, lent from test to test: building one takes a second, putting its weights back a hundredth."""

from collections import defaultdict

import keras
import numpy as np

from textae.config.schema import ModelConfig, UpsamplerConfig
from textae.models.autoencoder import build

SETTINGS = {
    "strides": [2, 2],
    "channels": [6, 8, 10],
    "residual_blocks": [1, 1, 1],
    "latent_size": 5,
    "max_length": 24,
}


def new_model(random_weights=True, **changes):
    """Return a built model over 20 ids, whose zero-initialised weights are drawn as well."""
    settings = SETTINGS | changes
    upsampler = UpsamplerConfig(**settings.pop("upsampler", {}))
    config = ModelConfig(**settings, upsampler=upsampler)
    keras.utils.set_random_seed(0)
    model = build(config, 20, dtype=keras.config.dtype_policy().name)
    if random_weights:
        draw = np.random.default_rng(1)
        for weight in model.trainable_variables:
            values = np.array(keras.ops.convert_to_numpy(weight))
            weight.assign(values + 0.2 * draw.standard_normal(values.shape).astype(np.float32))
    return model


class Models:
    """Models that no test holds, by their settings; each is given out as it was when it was new."""

    def __init__(self):
        self.free = defaultdict(list)

    def take(self, **settings):
        """Return a model's key, the model and its first values; `give_back` takes all three."""
        key = repr(sorted(settings.items())), keras.config.dtype_policy().name
        if self.free[key]:
            model, values = self.free[key].pop()
        else:
            model = new_model(**settings)
            values = [np.array(keras.ops.convert_to_numpy(variable)) for variable in model.variables]
        model.trainable = True
        for variable, value in zip(model.variables, values, strict=True):
            variable.assign(value)
        keras.utils.set_random_seed(0)
        return key, model, values

    def give_back(self, key, model, values):
        """Keep a model for the next test."""
        self.free[key].append((model, values))
