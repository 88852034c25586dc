"""Training on JAX beside TensorFlow, on the same machine, in float32; a table in Markdown, and JSON.

python scripts/benchmark_backends.py [--rows 64] [--length 64] [--vocabulary 8192] [--repeats 7]

Each backend has a process of its own. They take turns, one trains while the other waits, and the ratio is the median
over rounds of the ratio within a round. The tokens of a text are random, by Zipf's law, as in benchmark_vocabulary.py.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

BACKENDS = ("tensorflow", "jax")


def trained(options: argparse.Namespace) -> None:
    """Train in turns, one for each line of standard input, and print tokens per second of each."""
    import itertools
    import time

    from benchmark_vocabulary import zipf_batches
    from measuring import TextaeTrainer, taken
    from textae.config.choices import Precision
    from textae.config.schema import ModelConfig, TrainingConfig

    model = ModelConfig(channels=options.channels, latent_size=options.latent_size)
    trainer = TextaeTrainer(model, options.vocabulary, TrainingConfig(precision=Precision.float32))
    batches = itertools.cycle(zipf_batches(options.vocabulary, options.rows, options.length))
    for _ in sys.stdin:
        group = taken(batches, options.steps)
        start = time.perf_counter()
        tokens = trainer(group)
        print(tokens / (time.perf_counter() - start), flush=True)


def turns(options: argparse.Namespace, arguments: list[str]) -> dict[str, list[float]]:
    """Return each backend's tokens per second, one value for each round, after two rounds that are not counted."""
    command = [sys.executable, __file__, "--child", *arguments]
    workers = {
        name: subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | {"KERAS_BACKEND": name}
        )
        for name in BACKENDS
    }
    found: dict[str, list[float]] = {name: [] for name in BACKENDS}
    for turn in range(-2, options.repeats):
        for name, worker in workers.items():
            print(file=worker.stdin, flush=True)
            line = worker.stdout.readline() if worker.stdout else ""
            if not line:
                raise ValueError(f"expected a speed of {name}, its process ended")
            if turn >= 0:
                found[name].append(float(line))
    for worker in workers.values():
        worker.communicate()
    return found


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--length", type=int, default=64)
    parser.add_argument("--vocabulary", type=int, default=8192)
    parser.add_argument("--channels", type=int, nargs=2, default=(256, 512))
    parser.add_argument("--latent-size", type=int, default=128)
    parser.add_argument("--steps", type=int, default=2, help="batches of a turn")
    parser.add_argument("--repeats", type=int, default=7, help="rounds")
    parser.add_argument("--json", type=Path)
    given = sys.argv[1:] if arguments is None else arguments
    options = parser.parse_args(given)
    if options.child:
        return trained(options)
    found: dict[str, Any] = turns(options, given)
    ratio = statistics.median(jax / tf for tf, jax in zip(*found.values(), strict=True))
    print("| backend | tokens/s | times TensorFlow |\n| --- | --- | --- |")
    for name, speeds in found.items():
        print(f"| {name} | {statistics.median(speeds):,.0f} | {1.0 if name == BACKENDS[0] else ratio:.2f} |")
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")
    return None


if __name__ == "__main__":
    main()
