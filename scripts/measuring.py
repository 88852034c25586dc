"""What the benchmarks of training share: textae's own step, turns of several variants, ratios and tables."""

import itertools
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from textae.cli.commands import start_keras

start_keras()

import keras  # noqa: E402
import numpy as np  # noqa: E402

from textae.config.schema import ModelConfig, TrainingConfig  # noqa: E402
from textae.hardware import choose_compile, choose_precision  # noqa: E402
from textae.losses.reconstruction import ReconstructionObjective  # noqa: E402
from textae.models.autoencoder import build  # noqa: E402
from textae.models.initialization import initialize_orthogonal  # noqa: E402
from textae.training.optimizers import optimizer  # noqa: E402
from textae.training.steps import training_step  # noqa: E402

Batch = tuple[np.ndarray, np.ndarray]  # tokens (rows, length), 0 at padding; lengths (rows,)


class TextaeTrainer:
    """textae's step, put together as `textae.training.fit.fit` does with its default settings."""

    def __init__(self, config: ModelConfig, vocabulary: int) -> None:
        settings = TrainingConfig()
        self.precision = choose_precision(settings.precision.name)
        xla = choose_compile(settings.compile.name) == "xla"
        keras.config.set_dtype_policy("mixed_bfloat16" if self.precision == "bfloat16" else "float32")
        try:
            model = build(config, vocabulary, settings.seed)
        finally:
            keras.config.set_dtype_policy("float32")
        initialize_orthogonal(model)
        self.weights = model.named_weights()
        self.parameters = count_trainable(model)

        sums = ReconstructionObjective(
            model, precision=self.precision, gather=not xla, gradient_filter=settings.gradient_filter
        )
        adam = optimizer(
            settings.optimizer.name,
            weight_decay=settings.weight_decay,
            beta_1=settings.beta_1,
            beta_2=settings.beta_2,
        )
        self.step = training_step(model, sums, adam, max_gradient_norm=settings.max_gradient_norm, xla=xla)

    def __call__(self, batches: Sequence[Batch]) -> int:
        """Train on batches, of any shapes; return their real tokens."""
        for batch in batches:
            sums = {name: float(value) for name, value in self.step([batch], 1e-4).items()}
            if not np.isfinite(sums["loss"]):
                raise ValueError(f"expected a finite loss, received {sums['loss']}")
        return sum(int(lengths.sum()) for _, lengths in batches)

    def operations(self, stride: int) -> float:
        """Return the operations of matrix products that a token costs, forward and backward."""
        inside = sum(
            int(np.prod(w.shape)) for n, w in self.weights.items() if len(w.shape) > 1 and "embedding" not in n
        )
        table = sum(int(np.prod(w.shape)) for n, w in self.weights.items() if "embedding" in n)
        return 6.0 * (inside / stride + table)


def rates(variants: dict[str, Callable[[], float]], repeats: int) -> dict[str, np.ndarray]:
    """Return each variant's work per second, one figure for each round, after two rounds that are not counted.

    A variant returns how much it has done. The order is drawn for each round, and a short rest goes before each
    variant: thread pools of another library spin on a while.
    """
    found: dict[str, list[float]] = {name: [] for name in variants}
    for turn in range(-2, repeats):
        names = list(variants)
        random.Random(turn).shuffle(names)
        for name in names:
            time.sleep(0.02)
            start = time.perf_counter()
            work = variants[name]()
            seconds = time.perf_counter() - start
            if turn >= 0:
                found[name].append(work / seconds)
    return {name: np.array(values) for name, values in found.items()}


def ratio(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Return the median of the ratios within a round."""
    return float(np.median(ours / theirs))


def table(title: str, heads: list[str], rows: list[list[Any]]) -> None:
    """Print a table in Markdown."""
    print(f"\n{title}\n\n| " + " | ".join(heads) + " |\n" + "| --- " * len(heads) + "|")
    for row in rows:
        print("| " + " | ".join(f"{cell:.2f}" if isinstance(cell, float) else str(cell) for cell in row) + " |")
    sys.stdout.flush()


def random_batch(vocabulary: int, rows: int, length: int, seed: int = 0) -> Batch:
    """Return texts of full length, of random tokens."""
    tokens = np.random.default_rng(seed).integers(2, vocabulary, (rows, length)).astype("int32")
    return tokens, np.full((rows,), length, "int32")


def random_batches(vocabulary: int, rows: int, length: int) -> Iterator[Batch]:
    """Yield such batches without end, 64 different ones: what is seen again and again would be learnt by heart."""
    return itertools.cycle([random_batch(vocabulary, rows, length, seed) for seed in range(64)])


def taken(batches: Iterator[Any], count: int) -> list[Any]:
    """Return the next so many batches."""
    return list(itertools.islice(batches, count))


def product(dtype: str, size: int) -> Callable[[], float]:
    """Return a function that multiplies two matrices of `size` x `size` on the running backend."""
    matrix = keras.ops.cast(keras.random.normal((size, size), seed=0), dtype)

    def corner(matrix: Any) -> Any:
        return keras.ops.sum(keras.ops.matmul(matrix, matrix)[:1, :1])

    if backend() == "jax":
        import jax

        multiply = jax.jit(corner)
    else:
        import tensorflow as tf

        multiply = tf.function(corner)
    return lambda: float(multiply(matrix))


def count_trainable(model: Any) -> int:
    """Return how many numbers of a Keras model are trained."""
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_variables)


def backend() -> str:
    """Return what Keras runs on."""
    return keras.backend.backend()
