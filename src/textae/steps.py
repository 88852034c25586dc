"""One training step, compiled for the backend: gradients, clipping, the optimizer's update, the running average.

The two classes differ in how a backend holds its state, not in what a step does: gradients of the summed loss are
added up over `accumulate` batches and divided by their tokens, so that every token weighs the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

Objective = Callable[[Any, Any, bool], dict[str, Any]]  # (tokens, lengths, training) -> sums; "total" is minimised


def training_step(model: keras.Model, objective: Objective, optimizer: Any, **settings: Any) -> Any:
    """Return the training step of the running backend.

    Args:
        model: built; its trainable variables are trained, and no others cost anything.
        objective: gives sums over the batch: `total` (what is minimised) and `tokens` among them.
        optimizer: a Keras optimizer without clipping, averaging or accumulation of its own.
        settings: `accumulate` batches an update, `clip_norm` or None, `ema` decay (0: none), `xla`.

    An update whose loss or gradient is not finite is left out; the caller sees it in the sums.
    """
    kinds = {"tensorflow": TensorFlowStep, "jax": JaxStep}
    backend = keras.backend.backend()
    if backend not in kinds:
        raise ValueError(f"expected the Keras backend to be one of {', '.join(kinds)}, received {backend!r}")
    return kinds[backend](model, objective, optimizer, **settings)


def ema_decay(decay: float, step: Any) -> Any:
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
        accumulate: int = 1,
        clip_norm: float | None = None,
        ema: float = 0.0,
        xla: bool = False,
    ) -> None:
        self.model, self.objective, self.optimizer = model, objective, optimizer
        self.accumulate, self.clip_norm, self.ema = accumulate, clip_norm, ema
        self.xla = xla
        self.weights = model.trainable_variables
        optimizer.build(self.weights)

        def copies(name: str, start: Callable[[Any], Any]) -> list[keras.Variable]:
            return [
                keras.Variable(start(w), trainable=False, dtype="float32", name=f"{name}_{i}")
                for i, w in enumerate(self.weights)
            ]

        self.averages = copies("average", lambda w: ops.convert_to_numpy(w)) if ema else []
        self.sums = copies("sum", lambda w: np.zeros(w.shape, "float32")) if accumulate > 1 else []

    def update(self, gradients: list[Any], tokens: Any) -> tuple[list[Any], Any]:
        """Return the clipped gradients per token, and their norm before clipping."""
        scale = 1.0 / ops.maximum(ops.cast(tokens, "float32"), 1.0)
        norm = global_norm(gradients) * scale
        if self.clip_norm is not None:
            scale = scale * ops.minimum(1.0, self.clip_norm / (norm + 1e-6))
        return [ops.cast(g, "float32") * scale for g in gradients], norm

    def kept_weights(self) -> dict[str, np.ndarray]:
        """Return what the model is judged by, by the weights' names: the running averages, or the weights."""
        self.synchronize()
        trained = self.weights if self.averages else []
        averages = {id(weight): average for weight, average in zip(trained, self.averages, strict=True)}
        return {
            name: np.array(ops.convert_to_numpy(averages.get(id(weight), weight)))
            for name, weight in self.model.named_weights().items()
        }

    def state(self) -> dict[str, np.ndarray]:
        """Return everything that the next step depends on, by name."""
        self.synchronize()
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
        self._loaded()

    def _named(self) -> dict[str, keras.Variable]:
        groups = {
            "model": self.model.variables,
            "optimizer": self.optimizer.variables,
            "average": self.averages,
            "sum": self.sums,
        }
        return {f"{group}/{i}": v for group, variables in groups.items() for i, v in enumerate(variables)}

    def synchronize(self) -> None:
        """Make the model's own variables hold the state."""

    def _loaded(self) -> None:
        """Take over what the model's own variables hold."""


class TensorFlowStep(_Step):
    """A training step as one TensorFlow graph, for batches of any shape."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        import tensorflow as tf

        signature = [
            tf.TensorSpec((None, None), tf.int32),
            tf.TensorSpec((None,), tf.int32),
            tf.TensorSpec((), tf.float32),
            tf.TensorSpec((2,), tf.float32),  # tokens and total of the batches before
        ]
        if self.xla:  # XLA wants shapes: one graph per bucket
            self._step = tf.function(self._one_step, jit_compile=True)
        else:
            self._step = tf.function(self._one_step, input_signature=signature)
        self._accumulate = tf.function(self._one_accumulation, jit_compile=self.xla)

    def __call__(self, batches: list[tuple[Any, Any]], learning_rate: float) -> dict[str, Any]:
        """Train on one update's batches, (tokens, lengths) each; return sums over them and `gradient_norm`."""
        import tensorflow as tf

        totals: dict[str, Any] = {}
        for tokens, lengths in batches[:-1]:
            _add(totals, self._accumulate(tf.constant(tokens), tf.constant(lengths)))
        tokens, lengths = batches[-1]
        before = tf.constant([float(totals.get(name, 0.0)) for name in ("tokens", "total")])
        sums = self._step(tf.constant(tokens), tf.constant(lengths), tf.constant(learning_rate), before)
        norm = sums.pop("gradient_norm")
        return _add(totals, sums) | {"gradient_norm": norm}

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

    def _one_step(self, tokens: Any, lengths: Any, learning_rate: Any, before: Any) -> dict[str, Any]:
        sums, gradients = self._gradients(tokens, lengths)
        norm = self._one_update(gradients, sums["tokens"] + before[0], sums["total"] + before[1], learning_rate)
        return sums | {"gradient_norm": norm}

    def _one_update(self, gradients: list[Any], tokens: Any, total: Any, learning_rate: Any) -> Any:
        import tensorflow as tf

        if self.sums:
            gradients = [before + g for before, g in zip(self.sums, gradients, strict=True)]
        gradients, norm = self.update(gradients, tokens)

        def apply() -> Any:
            self.optimizer.learning_rate.assign(learning_rate)
            self.optimizer.apply(gradients, self.weights)
            decay = ema_decay(self.ema, tf.cast(self.optimizer.iterations.value, tf.float32))
            for average, weight in zip(self.averages, self.weights if self.averages else [], strict=True):
                average.assign_add((1 - decay) * (tf.cast(weight, tf.float32) - average))
            return tf.constant(0)

        tf.cond(tf.math.is_finite(norm) & tf.math.is_finite(total), apply, lambda: tf.constant(0))
        for before in self.sums:
            before.assign(tf.zeros_like(before.value))
        return norm


class JaxStep(_Step):
    """A training step as one compiled JAX function, its state handed from call to call without copies."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        import jax

        self.rest = self.model.non_trainable_variables
        self._rate_at = next(i for i, v in enumerate(self.optimizer.variables) if v is self.optimizer.learning_rate)
        self._step = jax.jit(self._one_step, donate_argnums=0)
        self._accumulate = jax.jit(self._one_accumulation, donate_argnums=0)
        self._loaded()

    def __call__(self, batches: list[tuple[Any, Any]], learning_rate: float) -> dict[str, Any]:
        """Train on one update's batches, (tokens, lengths) each; return sums over them and `gradient_norm`."""
        import jax

        totals: dict[str, Any] = {}
        for tokens, lengths in batches[:-1]:
            self._state, sums = self._accumulate(self._state, tokens, lengths)
            _add(totals, sums)
        tokens, lengths = batches[-1]
        rate = np.float32(learning_rate)
        before = np.array([totals.get(name, 0.0) for name in ("tokens", "total")], np.float32)
        self._state, sums = self._step(self._state, tokens, lengths, rate, before)
        sums = jax.device_get(sums)  # at once: one after the other they wait for a GPU each time
        norm = sums.pop("gradient_norm")
        return _add(totals, sums) | {"gradient_norm": norm}

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

    def _one_accumulation(self, state: Any, tokens: Any, lengths: Any) -> Any:
        sums, rest, gradients = self._gradients(state["weights"], state["rest"], tokens, lengths)
        added = [total + g for total, g in zip(state["sums"], gradients, strict=True)]
        return state | {"rest": rest, "sums": added}, sums

    def _one_step(self, state: Any, tokens: Any, lengths: Any, learning_rate: Any, before: Any) -> Any:
        import jax

        sums, rest, gradients = self._gradients(state["weights"], state["rest"], tokens, lengths)
        if self.sums:
            gradients = [total + g for total, g in zip(state["sums"], gradients, strict=True)]
        gradients, norm = self.update(gradients, sums["tokens"] + before[0])
        slots = list(state["optimizer"])
        slots[self._rate_at] = learning_rate
        weights, slots = self.optimizer.stateless_apply(slots, gradients, state["weights"])
        new = {"weights": weights, "optimizer": slots, "averages": state["averages"]}
        if self.averages:
            decay = ema_decay(self.ema, ops.cast(slots[0], "float32"))
            new["averages"] = [decay * a + (1 - decay) * w for a, w in zip(state["averages"], weights, strict=True)]
        finite = ops.isfinite(norm) & ops.isfinite(sums["total"] + before[1])
        old = {key: state[key] for key in new}
        new = jax.tree.map(lambda n, o: ops.where(finite, n, o), new, old)
        new |= {"rest": rest, "sums": [ops.zeros_like(total) for total in state["sums"]]}
        return new, sums | {"gradient_norm": norm}

    def _loaded(self) -> None:
        import jax.numpy as jnp

        self._groups = {
            "weights": self.weights,
            "rest": self.rest,
            "optimizer": self.optimizer.variables,
            "averages": self.averages,
            "sums": self.sums,
        }
        self._state = {
            group: [jnp.array(variable.value, copy=True) for variable in variables]
            for group, variables in self._groups.items()
        }

    def synchronize(self) -> None:
        """Make the model's own variables hold the state."""
        import jax.numpy as jnp

        for group, variables in self._groups.items():
            for variable, value in zip(variables, self._state[group], strict=True):
                variable.assign(jnp.array(value, copy=True))


def _add(totals: dict[str, Any], sums: dict[str, Any]) -> dict[str, Any]:
    for name, value in sums.items():
        totals[name] = totals[name] + value if name in totals else value
    return totals
