"""Time the vocabulary loss and a whole training step, with each setting that `auto` knows; tables, and JSON.

python scripts/benchmark_step.py [--vocabulary 8192] [--rows 4096] [--repeats 9] [--json FILE]

Variants are timed in turn, round by round, and compared by the median of their ratios within a round; the machine's
own matrix-product rate is measured in the same rounds.
"""

import argparse
import json
import time
from pathlib import Path

from textae.hardware import start_keras

start_keras()

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

from measuring import product  # noqa: E402
from textae.config.schema import ModelConfig  # noqa: E402
from textae.hardware import processor  # noqa: E402
from textae.losses.reconstruction import ReconstructionObjective  # noqa: E402
from textae.losses.vocabulary_loss import vocabulary_loss  # noqa: E402
from textae.models.autoencoder import build  # noqa: E402
from textae.training.optimizers import optimizer  # noqa: E402
from textae.training.steps import training_step  # noqa: E402


def interleaved(variants: dict, repeats: int) -> dict[str, list[float]]:
    """Return each variant's seconds, one for each round, after two rounds that are not counted."""
    times: dict[str, list[float]] = {name: [] for name in variants}
    for number in range(repeats + 2):
        for name, run in variants.items():
            start = time.perf_counter()
            run()
            if number >= 2:
                times[name].append(time.perf_counter() - start)
    return times


def show(title: str, times: dict[str, list[float]], base: str, flops: float, rates: dict[str, float]) -> dict:
    """Print a table of medians, ratios to `base`, and the share of the machine's rate; return its rows."""
    print(f"\n{title}\n\n| variant | ms | times `{base}` | share of the product rate |\n| --- | --- | --- | --- |")
    rows = {}
    for name, seconds in times.items():
        ratio = float(np.median(np.array(times[base]) / np.array(seconds)))
        rate = rates["bfloat16" if "bfloat16" in name else "float32"]
        share = flops / float(np.median(seconds)) / rate
        rows[name] = {"ms": 1e3 * float(np.median(seconds)), "ratio": ratio, "share": share}
        print(f"| {name} | {rows[name]['ms']:.0f} | {ratio:.2f} | {share:.2f} |")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vocabulary", type=int, default=8192)
    parser.add_argument("--channels", type=int, default=256)
    parser.add_argument("--rows", type=int, default=4096)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    vocabulary, channels, rows = options.vocabulary, options.channels, options.rows
    random = np.random.default_rng(0)
    hidden = tf.constant(random.normal(size=(rows, channels)).astype("float32") / channels**0.5)
    embedding = tf.constant(random.normal(size=(vocabulary, channels)).astype("float32"))
    targets = tf.constant(random.integers(0, vocabulary, rows).astype("int32"))
    weights = tf.ones((rows,))

    def gradients(loss):
        def both(hidden, embedding):
            with tf.GradientTape() as tape:
                tape.watch([hidden, embedding])
                value = loss(hidden, embedding)
            return tf.reduce_sum(tape.gradient(value, embedding)[0]) + value

        graph = tf.function(both)
        return lambda: float(graph(hidden, embedding))

    def plain(hidden, embedding):
        logits = tf.matmul(hidden, embedding, transpose_b=True)
        return tf.reduce_sum(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=targets, logits=logits))

    def fused(precision, block):
        return lambda h, e: vocabulary_loss(h, e, targets, weights, precision=precision, block_rows=block).loss

    products = {dtype: product(dtype, 2048) for dtype in ("float32", "bfloat16")}
    losses = {"full logits, float32": gradients(plain)}
    for precision in ("float32", "bfloat16"):
        for block in (256, 512, 1024, 2048):
            losses[f"blocks of {block}, {precision}"] = gradients(fused(precision, block))
    times = interleaved(products | losses, options.repeats)
    rates = {dtype: 2 * 2048**3 / float(np.median(times.pop(dtype))) for dtype in products}
    print(f"{processor()}; matrix products: " + ", ".join(f"{k} {v / 1e9:.0f} GFLOP/s" for k, v in rates.items()))
    flops = 6.0 * rows * channels * vocabulary
    title = f"Loss alone, forward and backward: {rows} rows, {channels} channels, vocabulary {vocabulary}"
    report = {"machine": processor(), "rates": rates}
    report["loss"] = show(title, times, "full logits, float32", flops, rates)

    tokens = random.integers(2, vocabulary, (rows // 64, 64)).astype("int32")
    lengths = np.full((rows // 64,), 64, "int32")
    variants, parameters = {}, 0
    for layers, loss, xla in (
        ("float32", "float32", False),
        ("float32", "bfloat16", False),
        ("mixed_bfloat16", "bfloat16", False),
        ("float32", "float32", True),
        ("mixed_bfloat16", "bfloat16", True),
    ):
        config = ModelConfig(strides=[4], channels=[channels, 2 * channels], residual_blocks=[0, 1])
        model = build(config, vocabulary, dtype=layers)
        parameters = model.count_params()
        sums = ReconstructionObjective(model, precision=loss, gather=not xla)
        step = training_step(model, sums, optimizer("adamw"), max_gradient_norm=1.0, xla=xla)
        name = f"layers {layers}, loss {loss}, {'XLA' if xla else 'graph'}"
        variants[name] = lambda step=step: float(step([(tokens, lengths)], 1e-4)["loss"])
    times = interleaved(variants, options.repeats)
    inside = parameters - vocabulary * channels
    title = f"Whole step of {rows} tokens, {parameters:,} parameters"
    flops += 6.0 * rows / 4 * inside
    report["step"] = show(title, times, next(iter(variants)), flops, rates)
    if options.json:
        options.json.write_text(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
