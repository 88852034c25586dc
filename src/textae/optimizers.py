"""The optimizers, with the settings that training a text autoencoder wants."""

from typing import Any

import keras


def optimizer(kind: str, *, weight_decay: float = 0.0, beta_1: float = 0.9, beta_2: float = 0.98) -> Any:
    """Return a Keras optimizer whose learning rate is set at each step.

    "adamw" (Loshchilov and Hutter, arXiv 1711.05101); "muon" (Jordan et al. 2024): matrices by orthogonalised
    momentum, the rest by Adam.

    Raises:
        ValueError: another kind.
    """
    if kind == "adamw":
        return keras.optimizers.AdamW(1e-3, weight_decay=weight_decay, beta_1=beta_1, beta_2=beta_2)
    if kind == "muon":
        return keras.optimizers.Muon(
            1e-3, adam_weight_decay=weight_decay, weight_decay=weight_decay, adam_beta_1=beta_1,
            adam_beta_2=beta_2,
        )  # fmt: skip
    raise ValueError(f"expected an optimizer among adamw, muon, received {kind!r}")
