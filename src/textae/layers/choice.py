"""The rule of `implementation="auto"`; docs/layers.md has the measurements it comes from."""

import keras

# Inputs of at most this many steps go by the product: convolutions lose more on them than the overlap-add costs.
SHORT = 8
SHORT_UNDER_XLA = 16


def choose(length, kernel_size, stride, dilation_rate=1, dtype="float32", xla=False) -> str:
    """Name of the implementation to use for inputs of `length` steps, None where it is not known.

    - No overlap (reach up to the stride) or a dilated kernel: `matmul`, which has no overlap-add to pay for in the
      first case and in the second multiplies no zeros.
    - Short inputs: `matmul`; native convolutions take up to 60 times as long as their arithmetic under XLA.
    - Under XLA with a length that is not known yet: `matmul`, at most a tenth behind where native is ahead.
    - bfloat16 outside XLA: `matmul`; the native gradient of the kernel runs at half the rate of the product.
    - Else `native`, within a few percent of the machine's rate of matrix products.
    """
    if kernel_size <= stride or dilation_rate > 1:
        return "matmul"
    if xla:
        return "matmul" if length is None or length <= SHORT_UNDER_XLA else "native"
    if dtype == "bfloat16" or (length is not None and length <= SHORT):
        return "matmul"
    return "native"


def under_xla() -> bool:
    """Whether what is being traced will be compiled by XLA."""
    if keras.backend.backend() != "tensorflow":
        return keras.backend.backend() == "jax"
    import tensorflow as tf
    from tensorflow.python.ops import control_flow_util  # TensorFlow has no public name for the question

    return control_flow_util.GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph())
