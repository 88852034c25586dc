"""A row's loss and its gradient in one pass, as a kernel for NVIDIA GPUs: Pallas writes it in Triton.

XLA makes three passes of it over the logits: their maximum, their sum, and the gradients.
"""

from __future__ import annotations

import functools
from typing import Any

MOST_LOGITS = 1 << 14  # of a row, which the registers of a program hold
_WARPS = 4
_LEAST_CAPABILITY = 8.0  # Ampere: Triton's language of Pallas has no older ones


def available(vocabulary: int) -> bool:
    """Return whether this machine has the kernel, for rows of so many logits."""
    import jax

    device = jax.devices()[0]
    capable = device.platform == "gpu" and float(getattr(device, "compute_capability", 0)) >= _LEAST_CAPABILITY
    if not capable or vocabulary > MOST_LOGITS:
        return False
    try:
        from jax.experimental.pallas import triton
    except ImportError:
        return False
    return hasattr(triton, "load")  # which early versions have elsewhere


def loss_and_gradients(distances: Any, ids: Any, weights: Any, interpret: bool = False) -> tuple[Any, Any, Any]:
    """Return rows' losses, whether each is right, and the gradients of the losses times the weights.

    Args:
        distances: (rows, vocabulary), logits less the target's; the gradients take their place and type.
        ids: (rows,) int32, the targets.
        weights: (rows,) float32.
        interpret: compute without a GPU, slowly.
    """
    import jax
    from jax.experimental import pallas
    from jax.experimental.pallas import triton

    rows, vocabulary = distances.shape
    of_a_row = jax.ShapeDtypeStruct((rows,), "float32")
    losses, right, gradients = pallas.pallas_call(
        functools.partial(_one_row, vocabulary=vocabulary),
        grid=(rows,),
        out_shape=(of_a_row, of_a_row, jax.ShapeDtypeStruct(distances.shape, distances.dtype)),
        input_output_aliases={0: 2},
        compiler_params=triton.CompilerParams(num_warps=_WARPS, num_stages=1),
        interpret=interpret,
        name="softmax_and_gradient",
    )(distances, ids, weights)
    return losses, right, gradients


def _one_row(
    distances: Any, ids: Any, weights: Any, losses: Any, right: Any, gradients: Any, *, vocabulary: int
) -> None:
    """Do as `gpu_loss.compare_rows` for one row, whose number is the program's."""
    from jax import lax
    from jax import numpy as jnp
    from jax.experimental import pallas
    from jax.experimental.pallas import triton

    row = (pallas.ds(pallas.program_id(0), 1),)
    width = pallas.next_power_of_2(vocabulary)
    columns = lax.broadcasted_iota(jnp.int32, (1, width), 1)
    whole, inside = (*row, pallas.ds(0, width)), columns < vocabulary
    is_target = columns == triton.load(ids.at[row])[:, None]
    values = triton.load(distances.at[whole], mask=inside, other=0.0).astype(jnp.float32)
    values = jnp.where(inside & ~is_target, values, 0.0)  # the target's own is 0, so no maximum is below
    top = jnp.max(values, axis=1)
    shares = jnp.where(inside & ~is_target, jnp.exp(values - top[:, None]), 0.0)
    others, own = jnp.sum(shares, axis=1), jnp.exp(-top)
    factor = triton.load(weights.at[row]) / (others + own)
    result = jnp.where(is_target, -others[:, None], shares) * factor[:, None]
    triton.store(gradients.at[whole], result.astype(gradients.dtype), mask=inside)
    triton.store(losses.at[row], top + jnp.log1p(others + (own - 1.0)))
    triton.store(right.at[row], (top <= 0.0).astype(jnp.float32))
