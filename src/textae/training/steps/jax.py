"""A training step on JAX, on one device or on several that share each batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import keras
import numpy as np
from keras import ops

from textae.layers.data_parallel import Devices, sharded
from textae.training.steps.base import Arrays, BaseStep, add_sums, warmed_up_decay

AXIS = "batch"  # of the mesh of devices


class JaxStep(BaseStep):
    """A training step as compiled JAX functions, which write what they return over what they were given.

    The variables hold all of the state, and nothing else does: a copy would take the room of weights and moments again.
    With several devices each of them has all variables and a share of each batch's rows. The objective and its
    gradients are computed on each device apart, and summed: so nothing of a batch goes from one device to another.
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
        self._mesh = jax.sharding.Mesh(np.array(self.devices), (AXIS,)) if self.devices else None
        for variables in self._groups.values():
            for variable in variables:  # two may share one array, which cannot be written over twice
                variable.assign(self._on_all_devices(variable.value))
        self._backward = jax.jit(self._one_backward, donate_argnums=0)
        self._update = jax.jit(self._one_update, donate_argnums=0)

    def __call__(self, batches: list[Arrays], learning_rate: float, kl_weight: float = 0.0) -> dict[str, Any]:
        """Train on one update's batches, (tokens, lengths) each; return sums over them and `gradient_norm`."""
        import jax

        rate, weight = np.float32(learning_rate), np.float32(kl_weight)
        totals: dict[str, Any] = {}
        gradients = None
        by_batch = ("rest", "sums") if self.sums else ("rest",)
        by_update = [name for name in self._groups if name != "rest"]
        for batch in batches:
            weights = [variable.value for variable in self.weights]
            sums, gradients = self._run(self._backward, by_batch, weights, *self._sharded(batch), weight)
            add_sums(totals, sums)
        norm = self._run(self._update, by_update, gradients, totals["tokens"], totals["total"], rate)
        return jax.device_get(totals | {"gradient_norm": norm})  # one by one: a wait each

    def load_state(self, state: dict[str, np.ndarray]) -> None:
        """Take over what `state` returned, whatever the number of devices was; see `BaseStep`."""
        super().load_state(state)
        for variable in self._named().values():
            variable.assign(self._on_all_devices(variable.value))

    def _on_all_devices(self, value: Any) -> Any:
        """Return a copy of an array that each device has."""
        import jax

        if self._mesh is None:
            return jax.numpy.array(value, copy=True)
        host = np.asarray(value)
        everywhere = jax.sharding.NamedSharding(self._mesh, jax.sharding.PartitionSpec())
        return jax.make_array_from_callback(host.shape, everywhere, lambda index: host[index])

    def _sharded(self, batch: Arrays) -> Arrays:
        """Return a batch of all devices from the rows of this process's devices."""
        import jax

        if self._mesh is None:
            return batch
        by_rows = jax.sharding.NamedSharding(self._mesh, jax.sharding.PartitionSpec(AXIS))
        tokens, lengths = (jax.make_array_from_process_local_data(by_rows, array) for array in batch)
        return tokens, lengths

    def _run(self, function: Callable[..., Any], groups: Iterable[str], *arguments: Any) -> Any:
        """Call a function with the values of groups of variables, and give them the new ones that it returns first."""
        state = {group: [variable.value for variable in self._groups[group]] for group in groups}
        state, result = function(state, *arguments)
        for group, values in state.items():
            for variable, value in zip(self._groups[group], values, strict=True):
                variable.assign(value)
        return result

    def _gradients(self, weights: list[Any], rest: list[Any], tokens: Any, lengths: Any, kl_weight: Any) -> Any:
        """Return the sums of a batch, the other variables after it, and the gradients of `total`."""
        if self._mesh is None:
            return self._own_gradients(weights, rest, tokens, lengths, kl_weight)
        import jax

        devices = Devices(AXIS, self._mesh.size)
        everywhere, by_rows = jax.sharding.PartitionSpec(), jax.sharding.PartitionSpec(AXIS)

        def of_a_device(*arguments: Any) -> Any:
            with sharded(devices):
                sums, rest, gradients = self._own_gradients(*arguments)
            sums, gradients = jax.lax.psum((sums, gradients), AXIS)
            return sums, rest, gradients

        taken = (everywhere, everywhere, by_rows, by_rows, everywhere)
        mapped = jax.shard_map(of_a_device, mesh=self._mesh, in_specs=taken, out_specs=everywhere, check_vma=False)
        return mapped(weights, rest, tokens, lengths, kl_weight)

    def _own_gradients(self, weights: list[Any], rest: list[Any], tokens: Any, lengths: Any, kl_weight: Any) -> Any:
        import jax

        def total(weights: list[Any]) -> Any:
            values = list(zip(self.weights, weights, strict=True)) + list(zip(self.rest, rest, strict=True))
            with keras.StatelessScope(state_mapping=values) as scope:
                sums = self.objective(tokens, lengths, True, kl_weight)
            after = [scope.get_current_value(variable) for variable in self.rest]
            return sums["total"], (sums, [b if a is None else a for a, b in zip(after, rest, strict=True)])

        (_, (sums, rest)), gradients = jax.value_and_grad(total, has_aux=True)(weights)
        return sums, rest, gradients

    def _one_backward(self, state: Any, weights: list[Any], tokens: Any, lengths: Any, kl_weight: Any) -> Any:
        """Return the other variables after a batch, and its sums and gradients: those go to the sums, if there are any.

        It is compiled for each shape of a batch, the update once: so the two are no single function.
        """
        sums, rest, gradients = self._gradients(weights, state["rest"], tokens, lengths, kl_weight)
        if "sums" not in state:
            return {"rest": rest}, (sums, gradients)
        return {"rest": rest, "sums": [a + g for a, g in zip(state["sums"], gradients, strict=True)]}, (sums, None)

    def _one_update(self, state: Any, gradients: Any, tokens: Any, total: Any, learning_rate: Any) -> Any:
        """Return the state after an update by these gradients, or by those that were summed, and their norm."""
        summed = state["sums"]
        new, norm = self._applied(state, summed or gradients, tokens, total, learning_rate)
        return new | {"sums": [ops.zeros_like(added) for added in summed]}, norm

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
