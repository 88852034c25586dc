"""Functions of a model, compiled for the running backend: NumPy arrays in and out."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, Protocol

import keras
import numpy as np

from textae.models.isolation import isolated

SMALL_BYTES = 1 << 17  # of arrays that may be computed without being compiled: a line's, not a batch's
Signature = list[tuple[tuple[int | None, ...], str]]


class Model(Protocol):
    """What is read of a model: its variables, and whether its products have to be exact."""

    exact: bool

    @property
    def variables(self) -> list[Any]:
        """All Keras variables."""
        ...


def compiled(
    model: Model, function: Callable[..., Any], signature: Signature, first_eagerly: Callable[[], bool] = bool
) -> Callable[..., Any]:
    """Return `function` of arrays compiled for the backend; it returns NumPy arrays; it may use the model's weights.

    The weights are read at each call. The process's settings have no effect.

    Args:
        model: whose weights the function uses.
        function: of tensors.
        signature: the shape (None: any) and type of each argument.
        first_eagerly: asked at the first call, whether that is computed without being compiled if its arrays are small;
            on TensorFlow, where a trace takes longer than such a call. By default it is not.
    """
    return isolated(exact=model.exact)(_compiled(model, function, signature, first_eagerly))


def _compiled(
    model: Model, function: Callable[..., Any], signature: Signature, first_eagerly: Callable[[], bool]
) -> Callable[..., Any]:
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        specs = [tf.TensorSpec(shape, dtype) for shape, dtype in signature]
        graph = tf.function(function, input_signature=specs, autograph=False)

        calls = itertools.count()

        def call(*arrays: Any) -> Any:
            is_first = next(calls) == 0 and first_eagerly()
            chosen = function if is_first and sum(array.nbytes for array in arrays) <= SMALL_BYTES else graph
            return tf.nest.map_structure(lambda t: t.numpy(), chosen(*map(tf.convert_to_tensor, arrays)))

        return call

    import jax

    def stateless(values: list[Any], *arrays: Any) -> Any:
        with keras.StatelessScope(state_mapping=list(zip(model.variables, values, strict=True))):
            return function(*arrays)

    jitted = jax.jit(stateless)

    def call(*arrays: Any) -> Any:
        result = jitted([variable.value for variable in model.variables], *arrays)
        return jax.tree.map(np.asarray, result)

    return call
