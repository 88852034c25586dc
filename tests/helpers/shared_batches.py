"""Training on batches that several of JAX's devices share, beside one device: the sums of each update.

`python -m helpers.shared_batches CASE=DEVICES ...` prints, for each case, how far the sums with so many devices are
from those with one.
"""

import json
import sys

import numpy as np

from textae.config.mapping import from_mapping

# All that draws random numbers, and all that a batch's texts have in common; the last two by accumulation.
CASES = {
    "sequence": {
        "model.latent_noise": 0.3,
        "model.latent_dropout": 0.1,
        "model.residual_dropout": 0.2,
        "training.random_token_rate": 0.1,
        "training.corruption.mask": 0.2,
        "training.corruption.mask_span": 2,
        "training.corruption.shuffle": 2,
        "training.reconstruction_share": 0.4,
        "training.ema_decay": 0.9,
    },
    "vector": {
        "model.latent": "vector",
        "model.bag_of_words": True,
        "training.contrastive_weight": 0.5,
        "training.corruption.drop": 0.4,
        "training.corruption.substitute": 0.1,
        "training.gradient_accumulation_steps": 2,
    },
    "variational": {
        "model.variational": True,
        "model.free_bits": 0.01,
        "model.output_bias": True,
        "training.optimizer": "muon",
        "training.label_smoothing": 0.1,
        "training.gradient_accumulation_steps": 2,
        "training.ema_decay": 0.9,
    },
}
SMALL = {
    "corpus": {"kind": "text", "files": ["none"]},
    "model": {"strides": [4], "channels": [8, 12], "residual_blocks": [1, 0], "latent_size": 6, "max_length": 16},
    "training": {"max_steps": 1, "tokens_per_batch": 80, "learning_rate": 0.02, "precision": "float32"},
}
VOCABULARY = 40
LEARNING_RATE = 0.001  # with a high one Adam makes much of gradients that are 0 but for rounding


def configuration(case):
    values = {group: dict(settings) for group, settings in SMALL.items()}
    for name, value in CASES[case].items():
        *groups, last = name.split(".")
        place = values
        for group in groups:
            place = place.setdefault(group, {})
        place[last] = value
    return from_mapping(values)


def sums_of(case, devices, updates=3):
    """The sums of each update, and the weights that are kept after the last one."""
    from textae.data.batching import Batches, RowShare
    from textae.training.setup import Arithmetic, training_model

    config = configuration(case)
    draw = np.random.default_rng(0)
    documents = [draw.integers(2, VOCABULARY, int(length)) for length in draw.integers(1, 16, 40)]
    count = len(devices)
    batches = Batches(
        documents,
        max_length=16,
        stride=4,
        tokens_per_batch=config.training.tokens_per_batch,
        length_buckets=1,
        fixed_rows=True,
        rows=RowShare(count, tuple(range(count))) if count else None,
    )
    _, step = training_model(config, VOCABULARY, 2, Arithmetic("float32", True, tuple(devices)))
    group, found, given = config.training.gradient_accumulation_steps, [], iter(batches.epoch(0))
    for _ in range(updates):
        arrays = [(batch.tokens, batch.lengths) for batch, _ in zip(given, range(group), strict=False)]
        found.append({name: float(value) for name, value in step(arrays, LEARNING_RATE, 0.1).items()})
    return found, step.kept_weights()


def differences(case, devices):
    """The largest relative difference of a sum, and the largest one of a weight, from those of one device.

    Of all sums in the first update, and of the losses in each one.
    """
    (one, weights), (several, others) = sums_of(case, ()), sums_of(case, devices)
    assert [set(sums) for sums in one] == [set(sums) for sums in several]
    of_sums = max(
        abs(value - second[name]) / max(abs(value), 1.0)
        for number, (first, second) in enumerate(zip(one, several, strict=True))
        for name, value in first.items()
        if number == 0 or name in ("loss", "total", "tokens")
    )
    return of_sums, max(float(np.abs(weights[name] - others[name]).max()) for name in weights)


if __name__ == "__main__":
    import jax

    for name, _, count in (argument.partition("=") for argument in sys.argv[1:]):
        devices = jax.devices()[: int(count)]
        print(json.dumps([name, len(devices), *differences(name, devices)]), flush=True)
