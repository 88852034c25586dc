"""What this machine does best: the choices behind `training.precision=auto` and `training.compile=auto`.

docs/speed.md has the measurements.
"""

from __future__ import annotations

import os
from pathlib import Path

import keras

_BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16"}


def choose_precision(asked: str, fine_latents: bool = False) -> str:
    """Return "float32" or "bfloat16": with "auto", bfloat16 where the machine multiplies it faster.

    Fine latents, whose numbers need more than the 8 bits of bfloat16, are for float32 alone.
    """
    if asked != "auto":
        return asked
    if fine_latents:
        return "float32"
    if on_accelerator():
        return "bfloat16"
    if keras.backend.backend() == "jax":  # whose products on a CPU are no faster in bfloat16
        return "float32"
    return "bfloat16" if _BFLOAT16_FLAGS & processor_flags() else "float32"


def choose_compile(asked: str) -> str:
    """Return "graph" or "xla"; JAX knows only the latter, and TensorFlow's graphs are faster on a CPU."""
    if keras.backend.backend() == "jax":
        return "xla"
    return "graph" if asked == "auto" else asked


def on_accelerator() -> bool:
    """Return whether the backend computes on a GPU or the like."""
    if keras.backend.backend() == "jax":
        import jax

        return jax.default_backend() != "cpu"
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))


def multiply_exactly() -> None:
    """Let this process multiply float32 as it is, on GPUs too, which else keep 11 bits of each factor (TF32)."""
    if keras.backend.backend() == "jax":
        import jax

        jax.config.update("jax_default_matmul_precision", "highest")
    else:
        import tensorflow as tf

        tf.config.experimental.enable_tensor_float_32_execution(False)


def processor_flags() -> set[str]:
    """Return the processor's instruction sets, as Linux names them; empty elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return set()
    return {flag for line in lines if line.startswith("flags") for flag in line.partition(":")[2].split()}


def processor() -> str:
    """Return the processor's name and how many of its cores this process may use."""
    name = "unknown processor"
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                name = line.partition(":")[2].strip()
                break
    except OSError:
        pass
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{name}, {cores} cores"
