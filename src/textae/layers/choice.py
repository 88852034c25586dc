"""The rule of `implementation="auto"`; docs/layers.md has the measurements it comes from."""

import keras

SHORT = 8  # steps up to which much of the overlap-add falls out of the window, and is not made by `polyphase`
LONG_UNDER_XLA = 64  # steps from which TensorFlow's transposed convolution under XLA is no slower than products
LONG_ON_JAX = 32  # steps from which XLA fuses the overlap-add so well that it costs less than neighbouring steps


def choose(length, kernel_size, stride, dilation_rate=1, compiler="graph") -> str:
    """Return the name of the implementation to use for inputs of `length` steps, None where it is not known.

    - Nothing overlaps (kernel up to the stride): `matmul`, one product with nothing to add up.
    - TensorFlow's graphs and eager calls: `matmul` where little overlaps (kernel below twice the stride), else
      `polyphase`. Both run at about the rate of matrix products; native convolutions come near it on some
      processors and take three to sixty times as long on others.
    - TensorFlow under XLA: `native` where the input is known to be long and the kernel is not dilated, else
      `polyphase`: native ones take up to 75 times as long as their arithmetic on short inputs.
    - JAX: `matmul` where the input is known to be long, else `polyphase`. Native ones take 40 times as long.

    `compiler` is what `compiler()` returns. Precision and channels make no difference to the order.
    """
    if kernel_size <= stride and dilation_rate == 1:
        return "matmul"
    if compiler == "xla" and dilation_rate == 1 and length is not None and length >= LONG_UNDER_XLA:
        return "native"
    if compiler == "jax" and length is not None and length >= LONG_ON_JAX:
        return "matmul"
    little = kernel_size < 2 * stride and dilation_rate == 1 and (length is None or length > SHORT)
    return "matmul" if compiler == "graph" and little else "polyphase"


def compiler() -> str:
    """What will run the code that is being traced: TensorFlow's "graph", its "xla", or "jax"."""
    if keras.backend.backend() != "tensorflow":
        return keras.backend.backend()
    import tensorflow as tf
    from tensorflow.python.ops import control_flow_util  # TensorFlow has no public name for the question

    under_xla = control_flow_util.GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph())
    return "xla" if under_xla else "graph"
