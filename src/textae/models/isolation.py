"""Computing apart from the process's settings: they are replaced while textae computes, and restored afterwards.

What a program has set for itself (a floating-point type, a data format, seeds, TensorFloat-32, errors of NumPy) does
not change what textae computes, and is not changed by it.
"""

from __future__ import annotations

import importlib
import logging
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import keras
import numpy as np

BACKENDS = ("tensorflow", "jax")


def check_backend() -> str:
    """Return the running Keras backend.

    Raises:
        ValueError: it is none that textae computes with.
    """
    backend = keras.backend.backend()
    if backend not in BACKENDS:
        raise ValueError(f"expected the Keras backend to be one of {', '.join(BACKENDS)}, received {backend!r}")
    return backend


@contextmanager
def isolated(*, exact: bool = False, seed: int | None = None) -> Iterator[None]:
    """Compute with textae's own settings; also a decorator. May be nested, and used by several threads at once.

    Args:
        exact: multiply float32 as it is, on GPUs too, which else keep 11 bits of each factor (TF32).
        seed: begin Python's own random sequence, from which Keras's initializers draw, with this one; it goes on
            afterwards as if nothing had been drawn.

    Raises:
        ValueError: Keras runs on a backend that textae does not compute with.
    """
    with ExitStack() as stack:
        stack.enter_context(_own_process_settings(exact))
        if check_backend() == "jax":
            _enter_own_jax_settings(stack, exact)
        stack.enter_context(np.errstate(all="ignore"))
        if seed is not None:
            stack.enter_context(_own_random(seed))
        yield


@contextmanager
def default_style() -> Iterator[None]:
    """Draw figures in Matplotlib's own style, whatever the program or a matplotlibrc has set; also a decorator."""
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        yield


@contextmanager
def _own_random(seed: int) -> Iterator[None]:
    before = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(before)


# Settings of the whole process. While several threads compute, the first to come sets them and the last to leave puts
# them back: each for itself, one would put back what it found of another.
_lock = threading.Lock()
_inside = {False: 0, True: 0}  # how many compute, by `exact`
_found: list[tuple[Callable[[Any], Any], Any]] = []  # how to put back, and what


@contextmanager
def _own_process_settings(exact: bool) -> Iterator[None]:
    with _lock:
        if not any(_inside.values()):
            for get, put, own in _process_settings():
                if (before := get()) != own:
                    _found.append((put, before))
                    put(own)
        _inside[exact] += 1
        _multiply_exactly(_inside[True] > 0)
    try:
        yield
    finally:
        with _lock:
            _inside[exact] -= 1
            _multiply_exactly(_inside[True] > 0)
            while _found and not any(_inside.values()):
                put, before = _found.pop()
                put(before)


def _process_settings() -> list[tuple[Callable[[], Any], Callable[[Any], Any], Any]]:
    """Return how to get and to set each setting, and the value to compute with."""
    config = keras.config
    settings = [
        (config.floatx, config.set_floatx, "float32"),
        (config.epsilon, config.set_epsilon, 1e-7),
        (config.image_data_format, config.set_image_data_format, "channels_last"),
    ]
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        exactness = tf.config.experimental
        settings += [
            (exactness.tensor_float_32_execution_enabled, exactness.enable_tensor_float_32_execution, True),
            (tf.config.functions_run_eagerly, tf.config.run_functions_eagerly, False),
            (tf.config.optimizer.get_jit, tf.config.optimizer.set_jit, ""),
            (_retracing_is_normal, _take_retracing_as_normal, True),
        ]
    return settings


def _is_no_retracing_warning(record: logging.LogRecord) -> bool:
    """Let through what is not TensorFlow's warning of retracing: the runs of a sweep trace the same lines of code."""
    return "triggered tf.function retracing" not in record.getMessage()


def _retracing_is_normal() -> bool:
    return _is_no_retracing_warning in logging.getLogger("tensorflow").filters


def _take_retracing_as_normal(normal: bool) -> None:
    logger = logging.getLogger("tensorflow")
    (logger.addFilter if normal else logger.removeFilter)(_is_no_retracing_warning)


def _multiply_exactly(exact: bool) -> None:
    """Let TensorFlow multiply float32 exactly, or by TF32; of exact and other work at once, all is exact."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        if tf.config.experimental.tensor_float_32_execution_enabled() == exact:
            tf.config.experimental.enable_tensor_float_32_execution(not exact)


def _enter_own_jax_settings(stack: ExitStack, exact: bool) -> None:
    """Enter JAX's settings, which are the thread's alone."""
    import jax

    experimental: Any = importlib.import_module("jax.experimental")  # has `enable_x64` before JAX 0.8
    enable_x64 = jax.enable_x64 if hasattr(jax, "enable_x64") else experimental.enable_x64
    for settings in (
        enable_x64(False),
        jax.default_matmul_precision("highest" if exact else None),
        jax.numpy_dtype_promotion("standard"),
        jax.numpy_rank_promotion("allow"),
        jax.default_prng_impl("threefry2x32"),
        jax.threefry_partitionable(True),
        jax.disable_jit(False),
        jax.debug_nans(False),
    ):
        stack.enter_context(settings)
