"""What data-parallel training costs by number of devices: reckoned from a few constants, and checked by a simulation.

    python scripts/scaling_plan.py                                  the tables of docs/scale.md
    KERAS_BACKEND=jax python scripts/scaling_plan.py measure        sums over two processes of this machine (gloo)

A step has each device compute its share of the batch, then the gradients are summed by a ring (each device sends and
receives 2 (n - 1) / n of them), then each device updates all weights. The sum does not overlap with the computation.
"""

import heapq
import json
import os
import socket
import subprocess
import sys
import time
from typing import NamedTuple

import numpy as np

BYTES_PER_TOKEN = 4.09  # of text, hotel reviews with a vocabulary of 8,192
EFFICIENT = 0.8  # share of n times the speed of one device, below which another device is poorly used


class Link(NamedTuple):
    """What connects devices: bytes per second that each sends while it receives as many, and seconds of a message."""

    name: str
    bandwidth: float
    latency: float


class Model(NamedTuple):
    """A model on a device: its parameters, the tokens a second that one device trains, seconds of an update."""

    name: str
    parameters: float
    rate: float
    update: float


def ring(bytes_summed: float, devices: int, link: Link) -> float:
    """Return the seconds that a ring takes to sum so many bytes over the devices."""
    if devices == 1:
        return 0.0
    return 2 * (devices - 1) * (bytes_summed / devices / link.bandwidth + link.latency)


def step_seconds(model: Model, tokens: float, devices: int, link: Link) -> float:
    """Return the seconds of an update on a batch of so many tokens."""
    return tokens / devices / model.rate + ring(4 * model.parameters, devices, link) + model.update


def efficiency(model: Model, tokens: float, devices: int, link: Link) -> float:
    """Return the speed of so many devices as a share of that many times the speed of one, with the same batch."""
    return step_seconds(model, tokens, 1, link) / step_seconds(model, tokens, devices, link) / devices


def most_devices(model: Model, tokens: float, link: Link) -> int:
    """Return how many devices, a power of two, keep `EFFICIENT` of their speed."""
    devices = 1
    while devices < 1 << 16 and efficiency(model, tokens, 2 * devices, link) >= EFFICIENT:
        devices *= 2
    return devices


def simulated(model: Model, tokens: float, devices: int, link: Link, spread: float = 0.0, seed: int = 0) -> float:
    """Return the seconds of an update, every message of the ring as an event of its own.

    Args:
        model, tokens, devices, link: as of `step_seconds`.
        spread: standard deviation of a device's computing time, as a share of it: a ring waits for the slowest.
        seed: of these times.
    """
    draw = np.random.default_rng(seed)
    ready = tokens / devices / model.rate * np.maximum(1 + spread * draw.standard_normal(devices), 0.1)
    if devices == 1:
        return float(ready[0]) + model.update
    message = 4 * model.parameters / devices / link.bandwidth + link.latency
    rounds = 2 * (devices - 1)
    # Device d sends its message of round r when it has that of round r - 1, and its line is free.
    events = [(float(ready[device]), device, 0) for device in range(devices)]
    heapq.heapify(events)
    has = [[-1.0] * (rounds + 1) for _ in range(devices)]  # when a device may send in each round
    for device in range(devices):
        has[device][0] = float(ready[device])
    free = [0.0] * devices
    finished = 0.0
    while events:
        now, device, number = heapq.heappop(events)
        arrival = max(now, free[device]) + message
        free[device] = arrival
        following = (device + 1) % devices
        done = max(arrival, has[following][0])
        has[following][number + 1] = done
        finished = max(finished, done)
        if number + 1 < rounds:
            heapq.heappush(events, (done, following, number + 1))
    return finished + model.update


def sum_on_gloo(megabytes: float, index: int, port: int) -> None:
    """As one process of two, print the seconds in which arrays of so many MB are summed, the median of 15."""
    from textae.config.schema import DistributedConfig
    from textae.training.processes import joined

    place = {"coordinator": f"127.0.0.1:{port}", "process_id": index, "num_processes": 2}
    with joined(DistributedConfig(mode="auto", **place)):
        import jax
        from jax.sharding import Mesh, NamedSharding, PartitionSpec

        mesh = Mesh(np.array(jax.devices()), ("batch",))
        rows = NamedSharding(mesh, PartitionSpec("batch"))
        own = np.ones((1, int(megabytes * 250_000)), np.float32)
        values = jax.make_array_from_process_local_data(rows, own)
        summed = jax.jit(
            jax.shard_map(
                lambda x: jax.lax.psum(x, "batch"),
                mesh=mesh,
                in_specs=PartitionSpec("batch"),
                out_specs=PartitionSpec(),
                check_vma=False,
            )
        )
        found = []
        for _ in range(18):
            start = time.perf_counter()
            summed(values).block_until_ready()
            found.append(time.perf_counter() - start)
        if index == 0:
            print(json.dumps(float(np.median(found[3:]))), flush=True)


def measure() -> None:
    """Print what sums over two processes of this machine take, and the bandwidth that this is."""
    print("| MB | ms | MB/s in each direction |\n| --- | --- | --- |")
    for megabytes in (0.004, 1, 4, 16, 64):
        with socket.create_server(("127.0.0.1", 0)) as found:
            port = found.getsockname()[1]
        command = [sys.executable, __file__, "sum", str(megabytes)]
        two = [
            subprocess.Popen([*command, str(k), str(port)], stdout=subprocess.PIPE, text=True, env=os.environ)
            for k in (0, 1)
        ]
        seconds = json.loads(two[0].communicate()[0])
        two[1].communicate()
        print(f"| {megabytes:g} | {1000 * seconds:.1f} | {megabytes / seconds:,.0f} |", flush=True)


# Bandwidths of data sheets (NVLink 4 of an H200: 900 GB/s in both directions together); latencies are assumed.
LINKS = [
    Link("NVLink", 450e9, 5e-6),
    Link("Ethernet, 100 Gbit/s", 12.5e9, 30e-6),
    Link("Ethernet, 10 Gbit/s", 1.25e9, 50e-6),
]
# docs/speed.md: 8,795,461 tokens/s with 7,476,864 parameters on an H200. Larger models are assumed to do as many
# operations a second; an update goes over ten numbers for each parameter in a memory of 4.8 TB/s.
MEASURED_PARAMETERS, MEASURED_RATE, MEMORY = 7_476_864, 8_795_461, 4.8e12
MODELS = [
    Model(
        f"{parameters / 1e6:,.1f} M",
        parameters,
        MEASURED_RATE * MEASURED_PARAMETERS / parameters,
        40 * parameters / MEMORY,
    )
    for parameters in (MEASURED_PARAMETERS, 50e6, 400e6)
]
TOKENS = (65_536, 1_048_576)  # of a batch
COUNTS = (2, 8, 64)


def row(*cells: object) -> None:
    """Print a row of a table in Markdown."""
    print("| " + " | ".join(str(cell) for cell in cells) + " |")


def head(title: str, *names: str) -> None:
    """Print the head of a table in Markdown."""
    print(f"\n{title}\n")
    row(*names)
    row(*["---"] * len(names))


def tables() -> None:
    """Print the tables of docs/scale.md."""
    head(
        "What a device holds and sends",
        "parameters", "weights, gradients, two moments, averages, GB",
        *(f"sent a step by each of {n}, MB" for n in COUNTS),
    )  # fmt: skip
    for model in MODELS:
        sent = [2 * (n - 1) / n * 4 * model.parameters / 1e6 for n in COUNTS]
        row(model.name, f"{20 * model.parameters / 1e9:.2f}", *(f"{value:,.0f}" for value in sent))
    for tokens in TOKENS:
        head(
            f"Share of n times the speed of one H200, batches of {tokens:,} tokens",
            "parameters", "link", *(f"{n} devices" for n in COUNTS), f"devices at {EFFICIENT:g} and above",
        )  # fmt: skip
        for model in MODELS:
            for link in LINKS:
                shares = (f"{efficiency(model, tokens, n, link):.2f}" for n in COUNTS)
                row(model.name, link.name, *shares, most_devices(model, tokens, link))
    head(
        "A pass over a corpus on H200s, NVLink, batches of 1,048,576 tokens",
        "text",
        "tokens",
        "parameters",
        "1 device",
        "8",
        "64",
    )
    for name, size in (("100 GB", 100e9), ("10 TB", 10e12)):
        for model in MODELS:
            seconds = [
                step_seconds(model, TOKENS[1], n, LINKS[0]) * size / BYTES_PER_TOKEN / TOKENS[1] for n in (1, 8, 64)
            ]
            row(name, f"{size / BYTES_PER_TOKEN:.2g}", model.name, *(f"{value / 3600:,.1f} h" for value in seconds))
    head(
        "Seconds of a step, 50 M parameters, 1,048,576 tokens, 100 Gbit/s: reckoned, and every message simulated",
        "devices", "reckoned", "simulated", "with devices that differ by 5 %",
    )  # fmt: skip
    for n in COUNTS:
        found = [simulated(MODELS[1], TOKENS[1], n, LINKS[1], spread) for spread in (0.0, 0.05)]
        row(n, f"{step_seconds(MODELS[1], TOKENS[1], n, LINKS[1]):.4f}", *(f"{value:.4f}" for value in found))


if __name__ == "__main__":
    if sys.argv[1:2] == ["sum"]:
        sum_on_gloo(float(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
    elif sys.argv[1:] == ["measure"]:
        measure()
    else:
        tables()
