"""Training speed of two processes with a core each, beside one process with one core, on JAX.

    KERAS_BACKEND=jax python scripts/benchmark_distributed.py [rounds=7] [steps=4] [tokens_per_batch=8192] [KEY=VALUE]

KEY=VALUE are settings of the model, as channels=[256,384]. Both train the same model on batches of the same size. All
processes stay, and take turns; the table has the medians of the rounds, in tokens per second, and the median of the
ratios within a round.
"""

import json
import os
import socket
import subprocess
import sys
import time
from typing import Any

import numpy as np
import yaml

VOCABULARY, LENGTH = 8192, 64


def work(core: int, process_id: int, num_processes: int, port: int, settings: dict[str, Any]) -> None:
    """Train as one process of several on one core: so many steps for each line of standard input."""
    os.sched_setaffinity(0, {core})
    from textae.config.schema import Config, DistributedConfig, ModelConfig
    from textae.training.processes import joined

    steps, tokens_per_batch = settings.pop("steps"), settings.pop("tokens_per_batch")
    together: dict[str, Any] = {"mode": "auto"} if num_processes > 1 else {}
    if together:
        together |= {"coordinator": f"127.0.0.1:{port}", "process_id": process_id, "num_processes": num_processes}
    distributed = DistributedConfig(**together)
    with joined(distributed):
        from textae.training.setup import Arithmetic, training_model

        config = Config(model=ModelConfig(**settings), distributed=distributed)
        arithmetic = Arithmetic.of(config)
        model, step = training_model(config, VOCABULARY, 2, arithmetic)
        draw, own = np.random.default_rng(0), arithmetic.rows.numbers(tokens_per_batch // LENGTH)
        batches = [draw.integers(2, VOCABULARY, (tokens_per_batch // LENGTH, LENGTH)).astype("int32") for _ in range(8)]
        given = [(batch[own], np.full(len(own), LENGTH, "int32")) for batch in batches]
        step([given[0]], 1e-4)
        print(json.dumps(model.count_params()), flush=True)
        for _ in sys.stdin:
            start = time.perf_counter()
            for number in range(steps):
                step([given[number % len(given)]], 1e-4)
            print(json.dumps(steps * tokens_per_batch / (time.perf_counter() - start)), flush=True)


def started(count: int, settings: dict[str, Any]) -> list[subprocess.Popen]:
    """Start processes that train together, each on a core of its own."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    cores = sorted(os.sched_getaffinity(0))[:count]
    arguments = [[str(core), str(index), str(count), str(port)] for index, core in enumerate(cores)]
    return [
        subprocess.Popen(
            [sys.executable, __file__, "work", *each, json.dumps(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for each in arguments
    ]


def replies(processes: list[subprocess.Popen], asked: bool = True) -> list[float]:
    """Have processes do a round, and return what each of them replies."""
    for process in processes if asked else []:
        print("go", file=process.stdin, flush=True)
    return [json.loads(process.stdout.readline()) for process in processes]


def main(words: list[str]) -> None:
    """Print the table."""
    settings: dict[str, Any] = {"steps": 4, "tokens_per_batch": 8192}
    settings |= {key: yaml.safe_load(value) for key, _, value in (word.partition("=") for word in words)}
    rounds = settings.pop("rounds", 7)
    one, two = started(1, settings), started(2, settings)
    parameters = replies(one, asked=False)[0]
    replies(two, asked=False)
    found = []
    for turn in range(rounds + 1):
        order = [one, two] if turn % 2 else [two, one]
        rates = {len(processes): replies(processes)[0] for processes in order}
        if turn:  # the first one warms up
            found.append((rates[1], rates[2]))
    for process in [*one, *two]:
        process.stdin.close()
    rates = np.array(found)
    batch = settings["tokens_per_batch"]
    print(f"{parameters:,} parameters, batches of {batch:,} tokens, gradients of {4 * parameters / 1e6:.1f} MB")
    print("\n| processes | cores | tokens/s |\n| --- | --- | --- |")
    for count, rate in zip((1, 2), np.median(rates, axis=0), strict=True):
        print(f"| {count} | {count} | {rate:,.0f} |")
    ratios = rates[:, 1] / rates[:, 0]
    print(f"\nratio {np.median(ratios):.2f} (from {ratios.min():.2f} to {ratios.max():.2f} in {rounds} rounds)")


if __name__ == "__main__":
    if sys.argv[1:2] == ["work"]:
        work(*map(int, sys.argv[2:6]), json.loads(sys.argv[6]))
    else:
        main(sys.argv[1:])
