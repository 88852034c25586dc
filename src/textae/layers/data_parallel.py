"""A batch whose rows lie on several devices: what a computation on one of them knows of the others.

Within `sharded`, inside `jax.shard_map`, row j of device d is row j * devices + d of the whole batch: so the first rows
of a batch are spread over the devices. Elsewhere, and on TensorFlow, there is one device, which has all rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

from keras import ops


class Devices(NamedTuple):
    """The devices that share a batch: the name of their axis of the mesh, and how many there are."""

    axis: str
    number: int


_devices: ContextVar[Devices | None] = ContextVar("devices", default=None)


@contextmanager
def sharded(devices: Devices) -> Iterator[None]:
    """Within this `with` block a function is traced that has the rows of one device."""
    token = _devices.set(devices)
    try:
        yield
    finally:
        _devices.reset(token)


def num_devices() -> int:
    """Return how many devices share the batch."""
    devices = _devices.get()
    return 1 if devices is None else devices.number


def row_numbers(rows: Any) -> Any:
    """Return the numbers that this device's rows have in the whole batch, int32 (rows,)."""
    numbers = ops.arange(rows, dtype="int32")
    devices = _devices.get()
    if devices is None:
        return numbers
    import jax

    return numbers * devices.number + jax.lax.axis_index(devices.axis)


def total(value: Any) -> Any:
    """Return the sum of a value over the devices; no gradient goes through it."""
    devices = _devices.get()
    if devices is None:
        return ops.stop_gradient(value)
    import jax

    return jax.lax.psum(jax.lax.stop_gradient(value), devices.axis)


def all_rows(values: Any) -> Any:
    """Return the rows (batch, ...) of all devices, in the order of the whole batch, from those of this one."""
    devices = _devices.get()
    if devices is None:
        return values
    import jax

    gathered = jax.lax.all_gather(values, devices.axis, axis=1)
    return ops.reshape(gathered, (-1, *values.shape[1:]))
