"""What this machine has and does best: its GPUs and memory, and the choices behind `precision=auto` and `compile=auto`.

docs/speed.md has the measurements. Keras is imported only where it is asked: GPUs are looked for before that.
"""

from __future__ import annotations

import gc
import hashlib
import json
import os
import sys
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_CACHE_BYTES = 1 << 30  # of what JAX has compiled; what was not read for longest goes first
_BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16"}
_UNUSED = ("sklearn", "pandas", "matplotlib", "matplotlib.pyplot", "h5py", "PIL", "IPython")
_GPU_TRACES = (  # globs below the root
    "dev/nvidia[0-9]*",
    "dev/nvidiactl",
    "dev/nvidia-caps*",  # slices of one GPU (MIG)
    "dev/nvhost-*",  # on Jetson boards
    "dev/dxg",  # WSL2
    "dev/kfd",  # ROCm
    "proc/driver/nvidia",
)


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
    if _backend() == "jax":  # whose products on a CPU are no faster in bfloat16
        return "float32"
    return "bfloat16" if _BFLOAT16_FLAGS & processor_flags() else "float32"


def choose_compile(asked: str) -> str:
    """Return "graph" or "xla"; JAX knows only the latter, and TensorFlow's graphs are faster on a CPU."""
    if _backend() == "jax":
        return "xla"
    return "graph" if asked == "auto" else asked


def on_accelerator() -> bool:
    """Return whether the backend computes on a GPU or the like."""
    if _backend() == "jax":
        import jax

        return jax.default_backend() != "cpu"
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))


def all_devices() -> tuple[Any, ...]:
    """Return JAX's devices, of all processes that are connected, where there are several; else none.

    Raises:
        ValueError: the backend is not JAX.
    """
    require_jax()
    import jax

    devices = jax.devices()
    return tuple(devices) if len(devices) > 1 else ()


def require_jax() -> None:
    """Raise a ValueError unless the backend is JAX, on which alone several devices train together."""
    if _backend() != "jax":
        raise ValueError(
            f"expected KERAS_BACKEND=jax with distributed=auto, found {_backend()}: only on JAX several devices train "
            "together"
        )


def process_index() -> int:
    """Return the number of this process among those that JAX has connected."""
    if _backend() != "jax":
        return 0
    import jax

    return jax.process_index()


def has_gpu(root: Path = Path("/"), environment: Mapping[str, str] = os.environ) -> bool:
    """Return whether there may be a GPU that CUDA or ROCm reaches, without loading a library; True where unknown.

    A container may have any one of several GPUs, WSL2 has a device of its own, and a driver may show itself before
    its devices are made. So a trace of one is enough: what finds no GPU after all computes on the processor.

    Args:
        root: the folder that holds `dev` and `proc`.
        environment: the environment's variables.
    """
    if not sys.platform.startswith("linux"):
        return True
    given = environment.get("NVIDIA_VISIBLE_DEVICES", "")  # what the NVIDIA container toolkit goes by
    if given not in ("", "void", "none"):
        return True
    return any(next(root.glob(pattern), None) is not None for pattern in _GPU_TRACES)


def hide_missing_gpu(root: Path = Path("/"), environment: MutableMapping[str, str] = os.environ) -> None:
    """Let libraries not look for a GPU where there is none, which takes time and lines; the user's word goes first."""
    if not has_gpu(root, environment):
        environment.setdefault("CUDA_VISIBLE_DEVICES", "-1")


def cache_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Return the user's cache folder of textae, which may not exist: `$XDG_CACHE_HOME/textae`, or `~/.cache/textae`.

    Raises:
        RuntimeError: the user has no home.
    """
    named = environment.get("XDG_CACHE_HOME", "")
    return (Path(named) if Path(named).is_absolute() else Path.home() / ".cache") / "textae"


def keep_compiled(environment: MutableMapping[str, str] = os.environ) -> None:
    """Let JAX keep what it compiles, for other processes, in a folder of the user's cache; before JAX is imported.

    What JAX compiles for a processor need not run on another one, and a home may be that of several machines. So each
    kind of processor has a folder of its own. Without a folder that can be written to, nothing is kept. The user's own
    `JAX_COMPILATION_CACHE_DIR` goes first, and `JAX_ENABLE_COMPILATION_CACHE=0` turns all of it off.

    Args:
        environment: the environment's variables, which are changed.
    """
    if "JAX_COMPILATION_CACHE_DIR" in environment or "jax" in sys.modules:
        return
    kind = hashlib.sha256(" ".join([processor(), *sorted(processor_flags())]).encode()).hexdigest()[:16]
    try:
        folder = cache_folder(environment) / "jax" / kind
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):
        return
    if not os.access(folder, os.W_OK | os.X_OK):
        return
    environment["JAX_COMPILATION_CACHE_DIR"] = str(folder)
    environment.setdefault("JAX_COMPILATION_CACHE_MAX_SIZE", str(_CACHE_BYTES))
    environment.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    environment.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")


def import_keras() -> None:
    """Import Keras and its backend without what no command uses, in a process of which no other program is a part.

    Keras and TensorFlow import libraries where they are installed, for parts of theirs that no command uses: those take
    a third of the time. Here they seem not to be installed meanwhile; whoever needs one later can import it. Python's
    collections of garbage, each of which looks at all that was imported, wait as well, and leave it out afterwards.
    """
    modules: dict[str, Any] = sys.modules
    unused = _UNUSED + (("jax",) if _named_backend() == "tensorflow" else ())
    hidden = [name for name in unused if name not in modules]
    modules.update(dict.fromkeys(hidden))
    collecting = gc.isenabled()
    gc.disable()
    try:
        import keras  # noqa: F401
    finally:
        for name in hidden:
            del modules[name]
        gc.freeze()
        if collecting:
            gc.enable()


def _named_backend() -> str:
    """Return the backend that Keras will take when it is imported: that of its environment variable, or of its file."""
    if named := os.environ.get("KERAS_BACKEND"):
        return named
    try:
        folder = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
        found = json.loads((folder / "keras.json").read_text(encoding="utf-8"))
        return str(found.get("backend", "tensorflow"))
    except FileNotFoundError:
        return "tensorflow"
    except (OSError, ValueError, RuntimeError, AttributeError):
        return ""


def start_keras(own_process: bool = True, compute: bool = True) -> None:
    """Import Keras and its backend without the lines that TensorFlow's libraries print while they load.

    Where Keras is loaded already, its environment alone is set. The lines go to the process's standard error before any
    of TensorFlow's own settings can reach them. With `own_process` false all of Keras can be used. With `compute` false
    nothing is computed yet, so that JAX can still be connected to other processes.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # off by itself without AVX-512; docs/speed.md
    hide_missing_gpu()
    if "keras" in sys.modules:
        return
    sys.stderr.flush()
    with muted(2):
        if own_process:
            if _named_backend() == "jax":
                keep_compiled()
            import_keras()
        import keras

        if compute:
            keras.ops.zeros(())


@contextmanager
def muted(*streams: int) -> Iterator[None]:
    """Within this `with` block what libraries write to these streams, by default standard output, is lost."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    kept = {stream: os.dup(stream) for stream in streams or (1,)}
    for stream in kept:
        os.dup2(nowhere, stream)
    try:
        yield
    finally:
        for stream, copy in kept.items():
            os.dup2(copy, stream)
            os.close(copy)
        os.close(nowhere)


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
    return f"{name}, {usable_cores()} cores"


def usable_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def peak_memory_mb() -> float:
    """Return the most memory this process has held, in MB of 10^6 bytes."""
    try:
        import resource
    except ImportError:  # Windows
        import psutil

        return psutil.Process().memory_info().rss / 1e6
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def _backend() -> str:
    import keras

    return keras.backend.backend()
