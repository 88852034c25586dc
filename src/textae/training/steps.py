"""One training step, compiled for the backend: gradients, clipping, the optimizer's update, the running average.

The two classes differ in how a backend holds its state, not in what a step does: gradients of the summed loss are
added up over `gradient_accumulation_steps` batches and divided by their tokens, so that every token weighs the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import keras
import numpy as np
from keras import ops

from textae.models.isolation import check_backend

Objective = Callable[[Any, Any, bool], dict[str, Any]]  # (tokens, lengths, training) -> sums; "total" is minimised


def training_step(model: keras.Model, objective: Objective, optimizer: Any, **settings: Any) -> Any:
    """Return the training step of the running backend.

    Args:
        model: built; its trainable variables are trained, and no others cost anything.
        objective: gives sums over the batch: `total` (what is minimised) and `tokens` among them.
        optimizer: a Keras optimizer without clipping, averaging or accumulation of its own.
        settings: `gradient_accumulation_steps` batches an update, `max_gradient_norm` or None, `ema_decay` (0: no
            averages), `xla`.

    An update whose loss or gradient is not finite is left out; the caller sees it in the sums.
    """
    kinds = {"tensorflow": TensorFlowStep, "jax": JaxStep}
    return kinds[check_backend()](model, objective, optimizer, **settings)


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


class _Step:
    """What both backends share: the settings, the variables, and the pure arithmetic of an update."""

    def __init__(
        self,
        model: keras.Model,
        objective: Objective,
        optimizer: Any,
        *,
        gradient_accumulation_steps: int = 1,
        max_gradient_norm: float | None = None,
        ema_decay: float = 0.0,
        xla: bool = False,
    ) -> None:
        self.model, self.objective, self.optimizer = model, objective, optimizer
        self.gradient_accumulation_steps, self.max_gradient_norm, self.ema_decay = (
            gradient_accumulation_steps,
            max_gradient_norm,
            ema_decay,
        )
        self.xla = xla
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
        """Return what the model is judged by, by the weights' names: the running averages, or the weights."""
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
        """Put back what `state` returned.

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


class TensorFlowStep(_Step):
    """A training step as TensorFlow graphs, traced once for batches of any shape; under XLA once for each shape."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        import tensorflow as tf

        number = tf.TensorSpec((), tf.float32)
        batch = [tf.TensorSpec((None, None), tf.int32), tf.TensorSpec((None,), tf.int32)]

        def compiled(function: Callable[..., Any], signature: list[tf.TensorSpec]) -> Callable[..., Any]:
            if self.xla:  # which wants shapes: one graph per bucket
                return tf.function(function, jit_compile=True)
            return tf.function(function, input_signature=signature)

        self._step = compiled(self._one_step, [*batch, number])
        self._accumulate = compiled(self._one_accumulation, batch)
        self._update = compiled(self._one_update, [number, number, number])

    def __call__(self, batches: list[tuple[Any, Any]], learning_rate: float) -> dict[str, Any]:
        """Train on one update's batches, (tokens, lengths) each; return sums over them and `gradient_norm`."""
        import tensorflow as tf

        rate = tf.constant(learning_rate, tf.float32)
        given = [(tf.constant(tokens), tf.constant(lengths)) for tokens, lengths in batches]
        if not self.sums:
            return self._step(*given[0], rate)
        totals: dict[str, Any] = {}
        for tokens, lengths in given:
            _add(totals, self._accumulate(tokens, lengths))
        return totals | {"gradient_norm": self._update(totals["tokens"], totals["total"], rate)}

    def _gradients(self, tokens: Any, lengths: Any) -> tuple[dict[str, Any], list[Any]]:
        import tensorflow as tf

        with tf.GradientTape() as tape:
            sums = self.objective(tokens, lengths, True)
        gradients = tape.gradient(sums["total"], [w.value for w in self.weights])
        return sums, [
            tf.zeros_like(w.value) if g is None else tf.convert_to_tensor(g)
            for g, w in zip(gradients, self.weights, strict=True)
        ]

    def _one_accumulation(self, tokens: Any, lengths: Any) -> dict[str, Any]:
        sums, gradients = self._gradients(tokens, lengths)
        for total, gradient in zip(self.sums, gradients, strict=True):
            total.assign_add(gradient)
        return sums

    def _one_step(self, tokens: Any, lengths: Any, learning_rate: Any) -> dict[str, Any]:
        sums, gradients = self._gradients(tokens, lengths)
        return sums | {"gradient_norm": self._apply(gradients, sums["tokens"], sums["total"], learning_rate)}

    def _one_update(self, tokens: Any, total: Any, learning_rate: Any) -> Any:
        norm = self._apply([added.value for added in self.sums], tokens, total, learning_rate)
        for added in self.sums:
            added.assign(ops.zeros_like(added.value))
        return norm

    def _apply(self, gradients: list[Any], tokens: Any, total: Any, learning_rate: Any) -> Any:
        """Update the weights by summed gradients, unless something is not finite; return the gradients' norm."""
        import tensorflow as tf

        gradients, norm = self.update(gradients, tokens)

        def apply() -> Any:
            self.optimizer.learning_rate.assign(learning_rate)
            self.optimizer.apply(gradients, self.weights)
            decay = warmed_up_decay(self.ema_decay, tf.cast(self.optimizer.iterations.value, tf.float32))
            for average, weight in zip(self.averages, self.weights if self.averages else [], strict=True):
                average.assign_add((1 - decay) * (tf.cast(weight, tf.float32) - average))
            return tf.constant(0)

        tf.cond(tf.math.is_finite(norm) & tf.math.is_finite(total), apply, lambda: tf.constant(0))
        return norm


class JaxStep(_Step):
    """A training step as compiled JAX functions, which write what they return over what they were given.

    The variables hold all of the state, and nothing else does: a copy would take the room of weights and moments again.
    """

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        import jax

        self.rest = self.model.non_trainable_variables
        self._rate_at = next(i for i, v in enumerate(self.optimizer.variables) if v is self.optimizer.learning_rate)
        self._groups = {
            "weights": self.weights,
            "rest": self.rest,
            "optimizer": self.optimizer.variables,
            "averages": self.averages,
            "sums": self.sums,
        }
        for variables in self._groups.values():
            for variable in variables:  # two may share one array, which cannot be written over twice
                variable.assign(jax.numpy.array(variable.value, copy=True))
        self._step = jax.jit(self._one_step, donate_argnums=0)
        self._accumulate = jax.jit(self._one_accumulation, donate_argnums=0)
        self._update = jax.jit(self._one_update, donate_argnums=0)

    def __call__(self, batches: list[tuple[Any, Any]], learning_rate: float) -> dict[str, Any]:
        """Train on one update's batches, (tokens, lengths) each; return sums over them and `gradient_norm`."""
        import jax

        rate = np.float32(learning_rate)
        if not self.sums:
            return jax.device_get(self._run(self._step, self._groups, *batches[0], rate))  # one by one: a wait each
        totals: dict[str, Any] = {}
        for tokens, lengths in batches:
            weights = [variable.value for variable in self.weights]
            _add(totals, self._run(self._accumulate, ("rest", "sums"), weights, tokens, lengths))
        changed = ("weights", "optimizer", "averages", "sums")
        norm = self._run(self._update, changed, totals["tokens"], totals["total"], rate)
        return jax.device_get(totals | {"gradient_norm": norm})

    def _run(self, function: Callable[..., Any], groups: Iterable[str], *arguments: Any) -> Any:
        """Call a function with the values of groups of variables, and give them the new ones that it returns first."""
        state = {group: [variable.value for variable in self._groups[group]] for group in groups}
        state, result = function(state, *arguments)
        for group, values in state.items():
            for variable, value in zip(self._groups[group], values, strict=True):
                variable.assign(value)
        return result

    def _gradients(self, weights: list[Any], rest: list[Any], tokens: Any, lengths: Any) -> Any:
        import jax

        def total(weights: list[Any]) -> Any:
            values = list(zip(self.weights, weights, strict=True)) + list(zip(self.rest, rest, strict=True))
            with keras.StatelessScope(state_mapping=values) as scope:
                sums = self.objective(tokens, lengths, True)
            after = [scope.get_current_value(variable) for variable in self.rest]
            return sums["total"], (sums, [b if a is None else a for a, b in zip(after, rest, strict=True)])

        (_, (sums, rest)), gradients = jax.value_and_grad(total, has_aux=True)(weights)
        return sums, rest, gradients

    def _one_accumulation(self, state: Any, weights: list[Any], tokens: Any, lengths: Any) -> Any:
        sums, rest, gradients = self._gradients(weights, state["rest"], tokens, lengths)
        return {"rest": rest, "sums": [a + g for a, g in zip(state["sums"], gradients, strict=True)]}, sums

    def _one_step(self, state: Any, tokens: Any, lengths: Any, learning_rate: Any) -> Any:
        sums, rest, gradients = self._gradients(state["weights"], state["rest"], tokens, lengths)
        new, norm = self._applied(state, gradients, sums["tokens"], sums["total"], learning_rate)
        return new | {"rest": rest}, sums | {"gradient_norm": norm}

    def _one_update(self, state: Any, tokens: Any, total: Any, learning_rate: Any) -> Any:
        new, norm = self._applied(state, state["sums"], tokens, total, learning_rate)
        return new | {"sums": [ops.zeros_like(added) for added in state["sums"]]}, norm

    def _applied(self, state: Any, gradients: list[Any], tokens: Any, total: Any, learning_rate: Any) -> Any:
        """Return the state after an update by summed gradients, or as it is if one is not finite, and their norm."""
        import jax

        gradients, norm = self.update(gradients, tokens)
        slots = list(state["optimizer"])
        slots[self._rate_at] = learning_rate
        weights, slots = self.optimizer.stateless_apply(slots, gradients, state["weights"])
        new = {"weights": weights, "optimizer": slots, "averages": state["averages"]}
        if self.averages:
            decay = warmed_up_decay(self.ema_decay, ops.cast(slots[0], "float32"))
            new["averages"] = [decay * a + (1 - decay) * w for a, w in zip(state["averages"], weights, strict=True)]
        finite = ops.isfinite(norm) & ops.isfinite(total)
        return jax.tree.map(lambda n, o: ops.where(finite, n, o), new, {key: state[key] for key in new}), norm


def _add(totals: dict[str, Any], sums: dict[str, Any]) -> dict[str, Any]:
    for name, value in sums.items():
        totals[name] = totals[name] + value if name in totals else value
    return totals
