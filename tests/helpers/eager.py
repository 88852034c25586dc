"""Tests compute eagerly: for a model of some hundred weights, tracing and compiling a graph takes nearly all the time.

What a graph may change is tested where the marker `compiled` stands.
"""

import contextlib

import keras

from textae.models import isolation


class _Mode:
    """Whether TensorFlow computes eagerly now, also where `isolated` sets the process's settings."""

    def __init__(self):
        self.eagerly = False
        self.process_settings = isolation._process_settings

    def settings(self):
        import tensorflow as tf

        changed = tf.config.run_functions_eagerly
        return [(get, put, self.eagerly if put is changed else own) for get, put, own in self.process_settings()]


_mode = _Mode()


def compute_eagerly(eagerly=True):
    """Let TensorFlow compile nothing from now on, or as usual; on JAX this does nothing."""
    if keras.backend.backend() != "tensorflow":
        return
    import tensorflow as tf

    _mode.eagerly = eagerly
    isolation._process_settings = _mode.settings
    tf.config.run_functions_eagerly(eagerly)


@contextlib.contextmanager
def eager():
    """Compute eagerly within, whatever the test that asks for it does."""
    before = _mode.eagerly
    compute_eagerly()
    try:
        yield
    finally:
        compute_eagerly(before)
