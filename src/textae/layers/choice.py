"""The rule of `implementation="auto"`; docs/layers.md has the measurements it comes from."""

import keras

SHORT = 8  # steps; convolutions lose more on shorter inputs than the overlap-add costs
SHORT_UNDER_XLA = 16
WIDE = 512  # channels; the overlap-add costs as much whatever they are, and the product grows with them


def choose(length, channels, kernel_size, stride, dilation_rate=1, dtype="float32", xla=False) -> str:
    """Name of the implementation to use for inputs of `length` steps, None where it is not known.

    - Nothing overlaps (kernel up to the stride), or the kernel is dilated: `matmul`. In the first case there is no
      overlap-add to pay for, in the second it multiplies no zeros.
    - Short inputs: `matmul`. Native convolutions take up to 60 times as long as their arithmetic under XLA.
    - Under XLA with a length that is not known when it is traced: `matmul`, a few percent behind at worst.
    - Outside XLA with a stride of 4 and more, many channels or bfloat16: `matmul`; with many channels in bfloat16
      whatever the stride. The native gradient of the kernel is slow there.
    - Else `native`, which runs at about the rate of matrix products.
    """
    if kernel_size <= stride or dilation_rate > 1:
        return "matmul"
    if xla:
        return "matmul" if length is None or length <= SHORT_UNDER_XLA else "native"
    if length is not None and length <= SHORT:
        return "matmul"
    reasons = (stride >= 4) + (channels >= WIDE) + (dtype == "bfloat16")
    return "matmul" if reasons >= 2 else "native"


def under_xla() -> bool:
    """Whether what is being traced will be compiled by XLA."""
    if keras.backend.backend() != "tensorflow":
        return keras.backend.backend() == "jax"
    import tensorflow as tf
    from tensorflow.python.ops import control_flow_util  # TensorFlow has no public name for the question

    return control_flow_util.GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph())
