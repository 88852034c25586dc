"""One training step, compiled for the backend: gradients, clipping, the optimizer's update, the running average.

The backends differ in how they hold the step's state, not in what a step does.
"""

from __future__ import annotations

from typing import Any

from textae.models.isolation import check_backend
from textae.training.steps.base import Arrays, NamedModel, Objective, TrainingStep, warmed_up_decay
from textae.training.steps.jax import JaxStep
from textae.training.steps.tensorflow import TensorFlowStep

__all__ = [
    "Arrays",
    "JaxStep",
    "NamedModel",
    "Objective",
    "TensorFlowStep",
    "TrainingStep",
    "training_step",
    "warmed_up_decay",
]


def training_step(model: NamedModel, objective: Objective, optimizer: Any, **settings: Any) -> TrainingStep:
    """Return the training step of the running backend.

    Args:
        model: built; its trainable variables are trained, and no others cost anything.
        objective: gives sums over the batch: `total` (what is minimised) and `tokens` among them.
        optimizer: a Keras optimizer without clipping, averaging or accumulation of its own.
        settings: `gradient_accumulation_steps` batches an update, `max_gradient_norm` or None, `ema_decay` (0: no
            averages), `xla`, and `devices` of JAX that share each batch, those of other processes among them (none:
            the default device). A process gives the step the rows of its own devices, one device after the other.

    An update whose loss or gradient is not finite is skipped; the caller sees it in the sums.
    """
    kinds = {"tensorflow": TensorFlowStep, "jax": JaxStep}
    return kinds[check_backend()](model, objective, optimizer, **settings)
