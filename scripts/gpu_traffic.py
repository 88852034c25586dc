"""Reckon what a training step moves through the memory of an NVIDIA H100, without one.

export KERAS_BACKEND=jax JAX_PLATFORMS=cpu JAX_SKIP_CUDA_CONSTRAINTS_CHECK=1 JAX_ENABLE_COMPILATION_CACHE=0
python scripts/gpu_traffic.py [--rows 1024] [--vocabulary 8192]

XLA compiles the step for a GPU that is described to it, and the program says what each of its kernels reads and writes.
Needs Python 3.12, JAX 0.11 and its libraries for CUDA, but no driver: `pip install jax-cuda13-plugin jax-cuda13-pjrt`.
How long a kernel takes only a GPU says. XLA also finds out on it which form of a product is fastest, so products
can be others there.
"""

import argparse
import math
import re
from collections.abc import Iterator
from typing import Any, NamedTuple
from unittest import mock

import numpy as np

from measuring import TextaeTrainer, random_batch, table
from textae.config.schema import ModelConfig, Precision, TrainingConfig
from textae.losses import row_blocks, vocabulary_loss

NAME = "NVIDIA H100 80GB HBM3"
H100 = """
gpu_device_info {
  threads_per_block_limit: 1024 threads_per_warp: 32 threads_per_core_limit: 2048
  shared_memory_per_block: 49152 shared_memory_per_core: 233472 shared_memory_per_block_optin: 232448
  core_count: 132 fpus_per_core: 128 clock_rate_ghz: 1.98
  block_dim_limit_x: 2147483647 block_dim_limit_y: 65535 block_dim_limit_z: 65535
  memory_bandwidth: 3352320000000 l2_cache_size: 52428800 device_memory_size: 84978434048
  registers_per_core_limit: 65536 registers_per_block_limit: 65536
  cuda_compute_capability { major: 9 minor: 0 }
}
platform_name: "CUDA"
dnn_version_info { major: 9 minor: 10 patch: 0 }
"""
SIZES = {"pred": 1, "s8": 1, "u8": 1, "bf16": 2, "f16": 2, "s32": 4, "u32": 4, "f32": 4, "s64": 8, "u64": 8}
NO_KERNELS = {"parameter", "tuple", "get-tuple-element", "constant", "bitcast", "after-all"}


class Kernel(NamedTuple):
    """A kernel of a program: how often it runs, bytes that it reads and writes each time, and what it is part of."""

    times: int
    bytes: int
    name: str
    source: str


def size(types: str) -> int:
    """Return the bytes of all arrays of an HLO type."""
    arrays = re.findall(r"\b([a-z]+\d*)\[([\d,]*)\]", types)
    return sum(SIZES[kind] * math.prod(int(n) for n in shape.split(",") if n) for kind, shape in arrays)


def kernels(program: str) -> list[Kernel]:
    """Return the kernels of an optimized HLO program; those of a loop as often as it runs."""
    computations: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in program.splitlines():
        if begin := re.match(r"(ENTRY )?%([\w.\-]+) \(.*\{$", line):
            lines = computations.setdefault("ENTRY" if begin[1] else begin[2], [])
        else:
            lines.append(line.strip())
    return list(_kernels(computations, "ENTRY", 1))


def _kernels(computations: dict[str, list[str]], name: str, times: int) -> Iterator[Kernel]:
    types: dict[str, str] = {}
    for line in computations[name]:
        parsed = re.match(r"(?:ROOT )?%([\w.\-]+) = (\(.*?\)|\S+) ([\w\-]+)\((.*)$", line)
        if parsed is None:
            continue
        own, types[own], operation, rest = parsed[1], parsed[2], parsed[3], parsed[4]
        if operation == "while":
            body, count = re.search(r"body=%([\w.\-]+)", rest), re.search(r'known_trip_count":\{"n":"(\d+)"', rest)
            if body is None or count is None:
                raise ValueError(f"expected a loop with a known number of rounds, received {line}")
            yield from _kernels(computations, body[1], times * int(count[1]))
        elif operation not in NO_KERNELS and not operation.endswith("-done"):
            operands = re.findall(r"%([\w.\-]+)", rest.split("), ")[0])
            source = re.search(r'op_name="([^"]*)"', rest)
            moved = size(types[own]) + sum(size(types[operand]) for operand in operands if operand in types)
            yield Kernel(times, moved, own, source[1] if source else "")


def compiled(step: Any, *arguments: Any) -> str:
    """Return the program that XLA makes of a jitted function for the GPU."""
    import jax
    from jax._src import xla_bridge  # registers the libraries for CUDA, which `jax.devices` does only with a GPU
    from jax._src.mesh import AbstractDevice
    from jax.experimental import topologies

    xla_bridge._discover_and_register_pjrt_plugins()
    topology = topologies.get_topology_desc("", platform="cuda", target_config=H100, topology="1x1x1")
    devices = jax.sharding.Mesh(np.array(topology.devices), ("device",))
    place = jax.sharding.NamedSharding(devices, jax.sharding.PartitionSpec())
    shapes = jax.tree.map(lambda a: jax.ShapeDtypeStruct(np.shape(a), a.dtype, sharding=place), arguments)
    abstract = jax.sharding.AbstractMesh((), (), abstract_device=AbstractDevice(NAME, 132, "gpu"))
    with jax.sharding.use_abstract_mesh(abstract):
        return step.trace(*shapes).lower(lowering_platforms=("cuda",)).compile().as_text()


def training_kernels(rows: int, vocabulary: int, loss: str) -> list[Kernel]:
    """Return the kernels of a training step of `rows` x 64 tokens, with the loss of GPUs or the one of CPUs."""
    with (
        mock.patch.object(row_blocks, "on_gpu", lambda: True),
        mock.patch.object(vocabulary_loss, "on_gpu", lambda: loss == "gpu"),
    ):
        step = TextaeTrainer(ModelConfig(), vocabulary, TrainingConfig(precision=Precision.bfloat16)).step
        state = {name: [variable.value for variable in group] for name, group in step._groups.items()}
        rest, weights, scalar = {"rest": state.pop("rest")}, state["weights"], np.float32(0)
        backward = compiled(step._backward, rest, weights, *random_batch(vocabulary, rows, 64), scalar)
        update = compiled(step._update, state, weights, scalar, scalar, scalar)  # gradients have the weights' shapes
    return kernels(backward) + kernels(update)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1024, help="texts of 64 tokens in a batch")
    parser.add_argument("--vocabulary", type=int, default=8192)
    parser.add_argument("--loss", nargs="+", choices=("gpu", "blocks"), default=("gpu", "blocks"))
    parser.add_argument("--kernels", type=int, default=10, help="of the largest, in a table")
    options = parser.parse_args()
    for loss in options.loss:
        found = training_kernels(options.rows, options.vocabulary, loss)
        print(f"\nLoss {loss!r}: {sum(k.times for k in found)} kernels, "
              f"{sum(k.times * k.bytes for k in found) / 1e9:.2f} GB read and written.")  # fmt: skip
        largest = sorted(found, key=lambda k: k.times * k.bytes, reverse=True)[: options.kernels]
        rows = [[k.name, k.times, f"{k.bytes / 1e6:,.0f}", k.source.partition("/")[2]] for k in largest]
        table("The largest.", ["kernel", "times", "MB each", "of"], rows)


if __name__ == "__main__":
    main()
