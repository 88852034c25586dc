"""The weight of the KL divergence in each update: by a schedule, or so that the divergence keeps a rate."""

from __future__ import annotations

import math

from textae.config.schema import ModelConfig
from textae.training import schedules
from textae.training.state import TrainingState

MEMORY = 0.9  # of the running mean of the rate
INTEGRAL_GAIN = 0.03  # by which the weight's logarithm changes in an update, for each e-fold of the rate
PROPORTIONAL_GAIN = 1.0  # by which the weight's logarithm is higher at once, for each e-fold
LARGEST_ERROR = 1.0  # e-folds
WEIGHTS = (1e-6, 100.0)  # the smallest and the largest weight that control reaches


def kl_weight(model: ModelConfig, state: TrainingState, done: float) -> float:
    """Return the weight of the next update; 0 for a model that is not variational.

    With `target_rate` it is a proportional-integral control of the rate's logarithm (after Shao et al., ControlVAE,
    arXiv 2004.05988); `kl_weight` is where it begins.

    Args:
        model: the configuration's `model`.
        state: where the run stands; `observe` keeps the control's part of it.
        done: share of the training that is done.
    """
    if not model.variational:
        return 0.0
    if model.target_rate is None:
        return schedules.kl_weight(
            model.kl_weight, model.kl_schedule.name, done=done, warmup=model.kl_warmup, cycles=model.kl_cycles
        )
    error = _error(model.target_rate, state.rate)
    logarithm = math.log(model.kl_weight) + state.kl_integral + PROPORTIONAL_GAIN * error
    return min(max(math.exp(logarithm), WEIGHTS[0]), WEIGHTS[1])


def observe(model: ModelConfig, state: TrainingState, kl: float, tokens: float) -> None:
    """Take note of an update's divergence in nats, summed over so many tokens."""
    if model.target_rate is None:
        return
    rate = kl / math.log(2) / max(tokens, 1.0)
    state.rate = rate if state.rate is None else MEMORY * state.rate + (1 - MEMORY) * rate
    low, high = (math.log(bound / model.kl_weight) for bound in WEIGHTS)
    state.kl_integral = min(max(state.kl_integral + INTEGRAL_GAIN * _error(model.target_rate, state.rate), low), high)


def _error(target: float, rate: float | None) -> float:
    """Return by how many e-folds the rate is above its target, within bounds."""
    if rate is None:
        return 0.0
    return min(max(math.log(max(rate, 1e-9) / target), -LARGEST_ERROR), LARGEST_ERROR)


def validation_objective(model: ModelConfig, metrics: dict[str, float]) -> float:
    """Return by what the best weights of a run are chosen, in nats per token: what training minimises.

    That is the loss, of latents with their noise in training where they have one, and for a variational model the KL
    divergence by its full weight. With `target_rate`, divergence up to it is free, and what is above weighs 1.
    """
    loss = metrics.get("noisy_loss", metrics["loss"])
    if not model.variational:
        return loss
    if model.target_rate is None:
        return loss + model.kl_weight * math.log(2) * metrics["rate"]
    return loss + math.log(2) * max(metrics["rate"] - model.target_rate, 0.0)
