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
        return InPlaceAdamW(1e-3, weight_decay=weight_decay, beta_1=beta_1, beta_2=beta_2)
    if kind == "muon":
        return KernelMuon(
            1e-3, adam_weight_decay=weight_decay, weight_decay=weight_decay, adam_beta_1=beta_1,
            adam_beta_2=beta_2,
        )  # fmt: skip
    raise ValueError(f"expected an optimizer among adamw, muon, received {kind!r}")


@keras.saving.register_keras_serializable(package="textae")
class InPlaceAdamW(keras.optimizers.AdamW):
    """AdamW whose update TensorFlow makes in place, in one pass over each weight.

    Keras's own goes over them once for each operation, through copies that are as large as the weights.
    """

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Update one weight and its two moments."""
        if keras.backend.backend() != "tensorflow":
            return super().update_step(gradient, variable, learning_rate)
        import tensorflow as tf

        index = self._get_variable_index(variable)
        iterations: Any = self.iterations  # a variable once the optimizer is built
        done = tf.cast(iterations.value + 1, variable.dtype)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=tf.pow(tf.cast(self.beta_1, variable.dtype), done),
            beta2_power=tf.pow(tf.cast(self.beta_2, variable.dtype), done),
            lr=tf.cast(learning_rate, variable.dtype),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=tf.cast(gradient, variable.dtype),
        )
        return None


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
