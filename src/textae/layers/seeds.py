"""Seeds of layers that draw random numbers in training."""

from __future__ import annotations

import keras

Seed = int | keras.random.SeedGenerator | None


def seed_generator(seed: Seed) -> keras.random.SeedGenerator:
    """Return the generator that was given, which layers share, or a new one that begins with an int, or anywhere."""
    return seed if isinstance(seed, keras.random.SeedGenerator) else keras.random.SeedGenerator(seed)
