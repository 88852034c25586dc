"""On JAX compiling takes most of a test's time, and half of that the passes that make the code fast."""

XLA_FLAGS = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"


def at_once(function):
    """Have JAX compile a function whole, which is faster than each of its operations; on TensorFlow it is as it is."""
    import keras

    if keras.backend.backend() != "jax":
        return function
    import jax

    return jax.jit(function)
