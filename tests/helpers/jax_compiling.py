"""On JAX compiling takes most of a test's time, and most of that what makes the code fast.

Without optimization, without the emitters of fused loops and with one module for each function, models are built and
called in half the time that the optimization level alone leaves. A flag that XLA does not know ends the process.
"""

from importlib import metadata

XLA_FLAGS = (
    "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true "
    "--xla_cpu_parallel_codegen_split_count=1"
)
if tuple(map(int, metadata.version("jax").split(".")[:2])) < (0, 11):  # from 0.11 on there is nothing but emitters
    XLA_FLAGS += " --xla_cpu_use_fusion_emitters=false"


def at_once(function):
    """Have JAX compile a function whole, which is faster than each of its operations; on TensorFlow it is as it is."""
    import keras

    if keras.backend.backend() != "jax":
        return function
    import jax

    return jax.jit(function)
