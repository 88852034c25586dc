"""Batches that several devices share: what is computed is what one device computes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from helpers.jax_compiling import XLA_FLAGS
from helpers.shared_batches import CASES
from textae.data.batching import Batches, RowShare
from textae.layers import row_random
from textae.losses.reconstruction import decoded_rows

on_jax = pytest.mark.skipif(keras.backend.backend() != "jax", reason="several devices train together on JAX only")
TESTS = Path(__file__).parents[1]


def test_the_shares_of_a_batch_are_the_batch():
    draw = np.random.default_rng(0)
    documents = [draw.integers(2, 50, int(length)) for length in draw.integers(1, 30, 60)]
    settings = {"max_length": 12, "stride": 4, "tokens_per_batch": 60, "length_buckets": 2, "fixed_rows": True}
    shares = [RowShare(3, (0, 2)), RowShare(3, (1,))]
    whole = Batches(documents, **settings)
    parts = [Batches(documents, **settings, rows=rows) for rows in shares]
    assert whole.positions < parts[0].positions == parts[1].positions
    for batch, first, second in zip(whole.epoch(1), *(part.epoch(1) for part in parts), strict=True):
        rows = len(first.lengths) // 2
        assert len(second.lengths) == rows == -(-len(batch.lengths) // 3)
        for name in batch._fields:
            one, two = getattr(first, name), getattr(second, name)
            joined = np.stack([one[:rows], two, one[rows:]], axis=1).reshape(-1, *one.shape[1:])
            np.testing.assert_array_equal(joined[: len(batch.lengths)], getattr(batch, name), err_msg=name)
            assert (joined[len(batch.lengths) :] == (-1 if name == "documents" else 0)).all()


def test_a_share_of_the_texts_is_at_least_one():
    assert decoded_rows(1.0, 7) is None
    assert [decoded_rows(0.5, rows) for rows in (1, 4, 10)] == [1, 2, 5]


@on_jax
def test_a_row_draws_its_own_numbers_whatever_the_batch():
    def drawn(rows):
        seed = keras.random.SeedGenerator(3)
        values = np.ones((rows, 5), np.float32)
        return [
            row_random.uniform((rows, 5), seed=seed),
            row_random.normal((rows, 5), seed=seed),
            row_random.integers((rows, 5), 2, 90, seed=seed),
            row_random.dropout(values, 0.5, seed=seed),
        ]

    for few, many in zip(drawn(4), drawn(400), strict=True):
        np.testing.assert_array_equal(few, many[:4])
        assert len(np.unique(np.asarray(many).round(5), axis=0)) > 30
    uniform, normal, integers, kept = map(np.asarray, drawn(400))
    assert abs(uniform.mean() - 0.5) < 0.03
    assert abs(normal.std() - 1) < 0.05
    assert (integers.min(), integers.max()) == (2, 89)
    assert set(np.unique(kept)) == {0, 2}
    assert abs(kept.mean() - 1) < 0.1


def compared(devices):
    """What `helpers.shared_batches` prints of each case with so many devices."""
    environment = os.environ | {
        "KERAS_BACKEND": "jax",
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": f"{XLA_FLAGS} --xla_force_host_platform_device_count={max(devices.values())}",
        "PYTHONPATH": os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")]),
    }
    command = [sys.executable, "-m", "helpers.shared_batches", *(f"{name}={count}" for name, count in devices.items())]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900)
    assert ran.returncode == 0, ran.stderr
    return [json.loads(line) for line in ran.stdout.splitlines()]


@pytest.mark.slow
@pytest.mark.backend_free
def test_several_devices_compute_what_one_does():
    devices = dict.fromkeys(CASES, 2) | {"sequence": 4}
    found = compared(devices)
    assert [(name, count) for name, count, *_ in found] == list(devices.items())
    for name, _, sums, weights in found:
        assert sums < 1e-5, name
        assert weights < 1e-4, name
