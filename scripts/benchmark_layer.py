"""Time the implementations of a one-dimensional transposed convolution, on this machine.

    python scripts/benchmark_layer.py                       # TensorFlow: graph and XLA, float32 and bfloat16
    KERAS_BACKEND=jax python scripts/benchmark_layer.py     # JAX, which is always compiled by XLA

All of them run in one process and take turns: a round times each of them once, and ratios are medians over rounds
of the ratio within a round. A rate is the arithmetic of the overlap-add (2*batch*length*kernel_size*channels*
filters a pass, three passes forward and backward) over the time, as a share of the rate of 1024 x 1024 matrix
products in the same rounds, mode and precision.
"""

import argparse
import json
import os
import platform
import random
import statistics
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

from textae.layers import Conv1DTranspose
from textae.layers.choice import choose
from textae.layers.implementations import IMPLEMENTATIONS

# batch, length, channels, filters, kernel_size, stride
SHAPES = [
    (128, 1, 1024, 384, 8, 6),  # from one vector per text to its first steps
    (128, 6, 384, 256, 8, 4),  # and on
    (32, 128, 256, 256, 5, 2),  # the stacks of stride 2
    (64, 64, 256, 256, 4, 2),
    (16, 256, 256, 256, 3, 2),
    (64, 32, 512, 512, 5, 2),
    (64, 16, 1024, 256, 16, 16),  # kernel = stride: one latent per K tokens
    (64, 16, 512, 256, 4, 4),
    (64, 16, 128, 512, 4, 4),
    (64, 16, 512, 512, 5, 4),
]
DTYPES = ["float32", "bfloat16"]
CANDIDATES = [*IMPLEMENTATIONS, "auto", "keras", "expand_dims", "torch"]


def layers_of(shape, methods, dtype):
    """The layers by name, with equal weights."""
    batch, length, channels, filters, kernel_size, stride = shape
    rng = np.random.default_rng(0)
    kernel = rng.standard_normal((kernel_size, filters, channels)).astype("float32")
    kernel /= (kernel_size * channels) ** 0.5
    found = {}
    for method in methods:
        if method == "torch":
            continue
        common = {"padding": "same", "use_bias": False, "dtype": dtype}
        if method == "keras":
            layer = keras.layers.Conv1DTranspose(filters, kernel_size, strides=stride, **common)
        elif method == "expand_dims":
            inner = keras.layers.Conv2DTranspose(filters, (kernel_size, 1), strides=(stride, 1), **common)
            inputs = keras.Input((length, channels), dtype=dtype)
            picture = inner(keras.ops.expand_dims(inputs, 2))
            layer = keras.Model(inputs, keras.ops.squeeze(picture, 2))
        else:
            layer = Conv1DTranspose(filters, kernel_size, stride, implementation=method, **common)
        layer.build((batch, length, channels))
        layer.set_weights([kernel[:, None] if method == "expand_dims" else kernel])
        found[method] = layer
    return found


def tensorflow_calls(layers, shape, dtype, backward, xla):
    """Functions that run one call each and wait for it."""
    import tensorflow as tf

    batch, length, channels, filters, _, stride = shape
    inputs = tf.cast(tf.random.stateless_normal((batch, length, channels), (1, 2)), dtype)
    upstream = tf.cast(tf.random.stateless_normal((batch, length * stride, filters), (3, 4)), dtype)
    square = tf.cast(tf.random.stateless_normal((1024, 1024), (5, 6)), dtype)

    def timed(function):
        compiled = tf.function(function, jit_compile=xla, autograph=False)
        return lambda: [output.numpy() for output in compiled()[:1]]

    def of(layer):
        def forward():
            return [layer(inputs)]

        def both():
            with tf.GradientTape() as tape:
                tape.watch(inputs)
                outputs = layer(inputs)
            return [outputs, *tape.gradient(outputs, [inputs, *layer.trainable_variables], upstream)]

        return both if backward else forward

    calls = {method: timed(of(layer)) for method, layer in layers.items()}
    return {"product": timed(lambda: [square @ square]), **calls}


def jax_calls(layers, shape, dtype, backward, xla):
    """Functions that run one call each and wait for it."""
    import jax

    batch, length, channels, filters, _, stride = shape
    keys = jax.random.split(jax.random.key(0), 3)
    inputs = jax.random.normal(keys[0], (batch, length, channels), dtype)
    upstream = jax.random.normal(keys[1], (batch, length * stride, filters), dtype)
    square = jax.random.normal(keys[2], (1024, 1024), dtype)

    def of(layer):
        weights = [variable.value for variable in layer.trainable_variables]

        def forward(inputs, weights):
            return layer.stateless_call(weights, [], inputs)[0]

        def both(inputs, weights):
            outputs, back = jax.vjp(forward, inputs, weights)
            return outputs, back(upstream)

        compiled = jax.jit(both if backward else forward)
        return lambda: jax.block_until_ready(compiled(inputs, weights))

    product = jax.jit(lambda square: square @ square)  # as an argument: a constant would be multiplied beforehand
    return {
        "product": lambda: jax.block_until_ready(product(square)),
        **{method: of(layer) for method, layer in layers.items()},
    }


def torch_call(shape, dtype, backward):
    """A function that runs `torch.nn.functional.conv_transpose1d` once, in PyTorch's own layout."""
    import torch

    batch, length, channels, filters, kernel_size, stride = shape
    kind = getattr(torch, dtype)
    inputs = torch.randn(batch, channels, length).to(kind).requires_grad_(backward)
    kernel = torch.randn(channels, filters, kernel_size).to(kind).requires_grad_(backward)
    padding = max(kernel_size - stride, 0) // 2
    extra = length * stride - ((length - 1) * stride + kernel_size - 2 * padding)
    if extra < 0:
        padding, extra = padding + 1, extra + 2
    upstream = torch.randn(batch, filters, length * stride).to(kind)

    def call():
        with torch.set_grad_enabled(backward):
            outputs = torch.nn.functional.conv_transpose1d(
                inputs, kernel, stride=stride, padding=padding, output_padding=extra
            )
            if backward:
                torch.autograd.grad(outputs, [inputs, kernel], upstream)

    return call


def measure(calls, rounds, longest):
    """Seconds by name, one per round, in an order drawn for each round.

    What takes longer than `longest` seconds is timed in the first three rounds only, and counts with their
    median in the others. A short rest goes before each call: thread pools of another library spin on a while.
    """
    slow = set()
    for name, call in calls.items():
        call()
        began = time.perf_counter()
        call()
        if time.perf_counter() - began > longest:
            slow.add(name)
    seconds = {name: [] for name in calls}
    order = list(calls)
    for turn in range(rounds):
        random.Random(turn).shuffle(order)
        for name in order:
            if name in slow and turn >= 3:
                seconds[name].append(statistics.median(seconds[name][:3]))
                continue
            time.sleep(0.005)
            began = time.perf_counter()
            calls[name]()
            seconds[name].append(time.perf_counter() - began)
    return seconds


def row_of(shape, seconds, backward, backend, xla, dtype):
    """One measurement: milliseconds, share of the rate of products, and how far behind the best `auto` is."""
    batch, length, channels, filters, kernel_size, stride = shape
    arithmetic = 2 * batch * length * kernel_size * channels * filters * (3 if backward else 1)
    product = 2 * 1024**3
    rounds = range(len(seconds["product"]))
    share = {
        name: statistics.median(arithmetic / taken[i] / (product / seconds["product"][i]) for i in rounds)
        for name, taken in seconds.items()
        if name != "product"
    }
    row = {
        "backend": backend,
        "mode": "xla" if xla else "graph",
        "dtype": dtype,
        "pass": "forward+backward" if backward else "forward",
        "shape": shape,
        "chosen": choose(length, kernel_size, stride, 1, "jax" if backend == "jax" else "xla" if xla else "graph"),
        "product_gflops": product / statistics.median(seconds["product"]) / 1e9,
        "ms": {name: statistics.median(taken) * 1e3 for name, taken in seconds.items() if name != "product"},
        "share": share,
    }
    if "auto" in share:
        ratios = {
            name: statistics.median(taken[i] / seconds["auto"][i] for i in rounds)
            for name, taken in seconds.items()
            if name not in ("product", "auto")
        }
        row["speed_of_auto_over"] = ratios
    return row


def table(rows, methods):
    """The rows as a table in Markdown, one block for each mode, precision and pass."""
    lines = []
    blocks = list(dict.fromkeys((row["backend"], row["mode"], row["dtype"], row["pass"]) for row in rows))
    for block in blocks:
        mine = [row for row in rows if (row["backend"], row["mode"], row["dtype"], row["pass"]) == block]
        lines += ["", "**" + ", ".join(block) + "** (ms; the last columns are of auto)", ""]
        heads = ["batch, length, in, out, kernel, stride", *methods, "method", "over best", "of product rate"]
        lines += ["| " + " | ".join(heads) + " |", "| --- " * len(heads) + "|"]
        for row in mine:
            over = row.get("speed_of_auto_over", {})
            cells = [", ".join(map(str, row["shape"]))]
            cells += [f"{row['ms'][method]:.1f}" if method in row["ms"] else "" for method in methods]
            best = f"{min(over.values()):.2f}" if over else ""
            cells += [row["chosen"], best, f"{row['share'].get('auto', float('nan')):.2f}"]
            lines.append("| " + " | ".join(cells) + " |")
        for name in ("keras", "expand_dims", "torch"):
            over = [row["speed_of_auto_over"][name] for row in mine if name in row.get("speed_of_auto_over", {})]
            if over:
                mean = statistics.geometric_mean(over)
                lines.append(f"\nSpeed of auto over {name}: geometric mean {mean:.2f}, least {min(over):.2f}.")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--dtypes", nargs="+", default=DTYPES, choices=DTYPES)
    parser.add_argument("--modes", nargs="+", default=["graph", "xla"], choices=["graph", "xla"])
    parser.add_argument("--passes", nargs="+", default=["forward", "both"], choices=["forward", "both"])
    parser.add_argument("--methods", nargs="+", default=CANDIDATES, choices=CANDIDATES)
    parser.add_argument("--shapes", nargs="+", help="batch,length,channels,filters,kernel_size,stride")
    parser.add_argument("--longest", type=float, default=0.25, help="seconds; slower calls run three rounds")
    parser.add_argument("--json", type=Path, help="file to write the measurements to")
    arguments = parser.parse_args()
    shapes = SHAPES
    if arguments.shapes:
        shapes = [tuple(int(part) for part in shape.split(",")) for shape in arguments.shapes]
    backend = keras.backend.backend()
    modes = ["xla"] if backend == "jax" else arguments.modes
    methods = list(arguments.methods)
    try:
        import torch

        torch.set_num_threads(len(os.sched_getaffinity(0)))
    except ImportError:
        methods = [method for method in methods if method != "torch"]
    calls_of = {"tensorflow": tensorflow_calls, "jax": jax_calls}[backend]
    rows = []
    for mode in modes:
        for dtype in arguments.dtypes:
            for a_pass in arguments.passes:
                for shape in shapes:
                    backward, xla = a_pass == "both", mode == "xla"
                    calls = calls_of(layers_of(shape, methods, dtype), shape, dtype, backward, xla)
                    if "torch" in methods:
                        calls["torch"] = torch_call(shape, dtype, backward)
                    seconds = measure(calls, arguments.rounds, arguments.longest)
                    rows.append(row_of(shape, seconds, backward, backend, xla, dtype))
                    print(f"{mode} {dtype} {a_pass} {shape}", file=sys.stderr, flush=True)
                block = [row for row in rows if (row["mode"], row["dtype"]) == (mode, dtype)]
                print(table([row for row in block if row["pass"] == block[-1]["pass"]], methods), flush=True)
                if arguments.json:
                    versions = {"python": platform.python_version(), "keras": keras.__version__}
                    report = {"versions": versions, "threads": len(os.sched_getaffinity(0)), "rows": rows}
                    arguments.json.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
