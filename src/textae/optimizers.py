"""The optimizers, with the settings that training a text autoencoder wants."""

import math
from typing import Any

import keras
from keras import ops

MOST_ELEMENTS = 1 << 22  # of a matrix that Muon takes: its products cost rows * columns * the smaller of both


def optimizer(kind: str, *, weight_decay: float = 0.0, beta_1: float = 0.9, beta_2: float = 0.98) -> Any:
    """Return a Keras optimizer whose learning rate is set at each step.

    "adamw" (Loshchilov and Hutter, arXiv 1711.05101); "muon" (Jordan et al. 2024, with the scale of arXiv
    2502.16982, so that it takes the learning rate of Adam): kernels by orthogonalised momentum, the rest by Adam.

    Raises:
        ValueError: another kind.
    """
    if kind == "adamw":
        return keras.optimizers.AdamW(1e-3, weight_decay=weight_decay, beta_1=beta_1, beta_2=beta_2)
    if kind == "muon":
        return KernelMuon(
            1e-3, adam_weight_decay=weight_decay, weight_decay=weight_decay, adam_beta_1=beta_1,
            adam_beta_2=beta_2,
        )  # fmt: skip
    raise ValueError(f"expected an optimizer among adamw, muon, received {kind!r}")


@keras.saving.register_keras_serializable(package="textae")
class KernelMuon(keras.optimizers.Muon):
    """Muon for convolutional kernels too, which Keras's own leaves to Adam: as matrices (taps * channels, outputs).

    Embeddings, biases, scales, and matrices of more than `MOST_ELEMENTS` go by Adam: there an update by Muon would
    cost more than the batch.
    """

    def _should_use_adamw(self, variable: Any) -> bool:
        too_many = math.prod(variable.shape) > MOST_ELEMENTS
        return len(variable.shape) < 2 or too_many or "embedding" in variable.path

    def _muon_update_step(self, gradient: Any, variable: Any, lr: Any, m: Any) -> None:
        self.assign_add(m, gradient + m * (self.momentum - 1))
        direction = gradient + self.momentum * m if self.nesterov else m
        matrix = ops.reshape(direction, (-1, variable.shape[-1]))
        update = self.lr_adjust(lr * self.zeropower_via_newtonschulz5(matrix, self.ns_steps))
        self.assign_sub(variable, ops.reshape(update, variable.shape))
