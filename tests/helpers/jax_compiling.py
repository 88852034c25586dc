"""On JAX compiling takes most of a test's time, and half of that the passes that make the code fast."""

XLA_FLAGS = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
