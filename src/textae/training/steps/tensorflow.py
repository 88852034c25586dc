"""A training step on TensorFlow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras import ops

from textae.training.steps.base import Arrays, BaseStep, add_sums, warmed_up_decay


class TensorFlowStep(BaseStep):
    """A training step as TensorFlow graphs, traced once for batches of any shape; under XLA once for each shape."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        import tensorflow as tf

        number = tf.TensorSpec((), tf.float32)
        batch = [tf.TensorSpec((None, None), tf.int32), tf.TensorSpec((None,), tf.int32)]

        def compiled(function: Callable[..., Any], signature: list[tf.TensorSpec]) -> Callable[..., Any]:
            if self.xla:  # which needs shapes: one graph per bucket
                return tf.function(function, jit_compile=True, autograph=False)
            return tf.function(function, input_signature=signature, autograph=False)

        self._step = compiled(self._one_step, [*batch, number, number])
        self._accumulate = compiled(self._one_accumulation, [*batch, number])
        self._update = compiled(self._one_update, [number, number, number])

    def __call__(self, batches: list[Arrays], learning_rate: float, kl_weight: float = 0.0) -> dict[str, Any]:
        """Train on one update's batches, (tokens, lengths) each; return sums over them and `gradient_norm`."""
        import tensorflow as tf

        rate, weight = tf.constant(learning_rate, tf.float32), tf.constant(kl_weight, tf.float32)
        given = [(tf.constant(tokens), tf.constant(lengths)) for tokens, lengths in batches]
        if not self.sums:
            return self._step(*given[0], weight, rate)
        totals: dict[str, Any] = {}
        for tokens, lengths in given:
            add_sums(totals, self._accumulate(tokens, lengths, weight))
        return totals | {"gradient_norm": self._update(totals["tokens"], totals["total"], rate)}

    def _gradients(self, tokens: Any, lengths: Any, kl_weight: Any) -> tuple[dict[str, Any], list[Any]]:
        import tensorflow as tf

        with tf.GradientTape() as tape:
            sums = self.objective(tokens, lengths, True, kl_weight)
        gradients = tape.gradient(sums["total"], [w.value for w in self.weights])
        return sums, [
            tf.zeros_like(w.value) if g is None else tf.convert_to_tensor(g)
            for g, w in zip(gradients, self.weights, strict=True)
        ]

    def _one_accumulation(self, tokens: Any, lengths: Any, kl_weight: Any) -> dict[str, Any]:
        sums, gradients = self._gradients(tokens, lengths, kl_weight)
        for total, gradient in zip(self.sums, gradients, strict=True):
            total.assign_add(gradient)
        return sums

    def _one_step(self, tokens: Any, lengths: Any, kl_weight: Any, learning_rate: Any) -> dict[str, Any]:
        sums, gradients = self._gradients(tokens, lengths, kl_weight)
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
