"""What a training step is on every backend: its settings, its variables, and the arithmetic of an update.

Gradients of the summed loss are added up over `gradient_accumulation_steps` batches and divided by their tokens, so
that every token weighs the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import keras
import numpy as np
from keras import ops

Arrays = tuple[np.ndarray, np.ndarray]  # of a batch: tokens (rows, length), lengths (rows,)
# (tokens, lengths, training, kl_weight) -> sums; "total" is minimised
Objective = Callable[[Any, Any, bool, Any], dict[str, Any]]


class NamedModel(Protocol):
    """A Keras model whose weights have names that a file of weights keeps."""

    trainable_variables: list[Any]
    non_trainable_variables: list[Any]
    variables: list[Any]

    def named_weights(self) -> Mapping[str, Any]:
        """Return the weights by their paths in the model."""
        ...


class TrainingStep(Protocol):
    """What the training loop needs of a step."""

    def __call__(self, batches: list[Arrays], learning_rate: float, kl_weight: float = 0.0) -> dict[str, Any]:
        """Make one update from some batches, and return sums over them and `gradient_norm`."""
        ...

    def kept_weights(self) -> dict[str, np.ndarray]:
        """Return the weights that are evaluated and kept, by their names."""
        ...

    def state(self) -> dict[str, np.ndarray]:
        """Return everything that the next step depends on, by name."""
        ...

    def load_state(self, state: dict[str, np.ndarray]) -> None:
        """Take over what `state` returned."""
        ...


def warmed_up_decay(decay: float, step: Any) -> Any:
    """Return the running average's decay at an update: small at first, so that the start is soon forgotten."""
    return ops.minimum(decay, (1.0 + step) / (10.0 + step))


def global_norm(gradients: list[Any]) -> Any:
    """Return the Euclidean norm of all gradients together."""
    return ops.sqrt(sum(_square_sum(ops.cast(g, "float32")) for g in gradients))


def _square_sum(values: Any) -> Any:
    """Return the sum of squares, on TensorFlow too without an array of squares."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return 2.0 * tf.nn.l2_loss(values)
    return ops.sum(ops.square(values))


class BaseStep:
    """What both backends share; see `training_step` for the arguments."""

    def __init__(
        self,
        model: NamedModel,
        objective: Objective,
        optimizer: Any,
        *,
        gradient_accumulation_steps: int = 1,
        max_gradient_norm: float | None = None,
        ema_decay: float = 0.0,
        xla: bool = False,
        devices: Sequence[Any] = (),
    ) -> None:
        self.model, self.objective, self.optimizer = model, objective, optimizer
        self.max_gradient_norm, self.ema_decay, self.xla = max_gradient_norm, ema_decay, xla
        self.devices = devices
        self.weights = model.trainable_variables
        optimizer.build(self.weights)

        def copies(name: str, start: Callable[[Any], Any]) -> list[keras.Variable]:
            return [
                keras.Variable(start(w), trainable=False, dtype="float32", name=f"{name}_{i}")
                for i, w in enumerate(self.weights)
            ]

        self.averages = copies("average", lambda w: ops.convert_to_numpy(w)) if ema_decay else []
        self.sums = copies("sum", lambda w: np.zeros(w.shape, "float32")) if gradient_accumulation_steps > 1 else []

    def update(self, gradients: list[Any], tokens: Any) -> tuple[list[Any], Any]:
        """Return the clipped gradients per token, and their norm before clipping."""
        scale = 1.0 / ops.maximum(ops.cast(tokens, "float32"), 1.0)
        norm = global_norm(gradients) * scale
        if self.max_gradient_norm is not None:
            scale = scale * ops.minimum(1.0, self.max_gradient_norm / (norm + 1e-6))
        return [ops.cast(g, "float32") * scale for g in gradients], norm

    def kept_weights(self) -> dict[str, np.ndarray]:
        """Return the weights that are evaluated and kept, by their names: the running averages, or the weights."""
        trained = self.weights if self.averages else []
        averages = {id(weight): average for weight, average in zip(trained, self.averages, strict=True)}
        return {
            name: np.array(ops.convert_to_numpy(averages.get(id(weight), weight)))
            for name, weight in self.model.named_weights().items()
        }

    def state(self) -> dict[str, np.ndarray]:
        """Return everything that the next step depends on, by name."""
        return {name: ops.convert_to_numpy(variable) for name, variable in self._named().items()}

    def load_state(self, state: dict[str, np.ndarray]) -> None:
        """Take over what `state` returned.

        Raises:
            ValueError: names or shapes differ.
        """
        named = self._named()
        if set(named) != set(state):
            odd = sorted(set(named) ^ set(state))
            raise ValueError(f"expected a training state with {len(named)} entries, received other names: {odd[:3]}")
        for name, variable in named.items():
            if tuple(variable.shape) != state[name].shape:
                raise ValueError(f"expected {name} of shape {tuple(variable.shape)}, received {state[name].shape}")
            variable.assign(state[name])

    def _named(self) -> dict[str, keras.Variable]:
        groups = {
            "model": self.model.variables,
            "optimizer": self.optimizer.variables,
            "average": self.averages,
            "sum": self.sums,
        }
        return {f"{group}/{i}": v for group, variables in groups.items() for i, v in enumerate(variables)}


def add_sums(totals: dict[str, Any], sums: dict[str, Any]) -> None:
    """Add sums of one batch to those of the batches before it, by name."""
    for name, value in sums.items():
        totals[name] = totals[name] + value if name in totals else value
