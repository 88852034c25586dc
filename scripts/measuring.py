"""What the benchmarks of training share: textae's own step, turns of several variants, ratios and tables."""

import itertools
import json
import random
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from textae.hardware import processor, start_keras

start_keras()

import keras  # noqa: E402
import numpy as np  # noqa: E402

from textae.config.choices import VocabularyLossKind  # noqa: E402
from textae.config.schema import Config, ModelConfig, TrainingConfig  # noqa: E402
from textae.training.setup import Arithmetic, training_model  # noqa: E402

FIRST_TEXT_ID = 2  # after padding and the end of a text
Batch = tuple[np.ndarray, np.ndarray]  # tokens (rows, length), 0 at padding; lengths (rows,)


class TextaeTrainer:
    """textae's own training step of the default settings, with the softmax of all ids, or of other settings."""

    def __init__(self, config: ModelConfig, vocabulary: int, training: TrainingConfig | None = None) -> None:
        full = TrainingConfig(vocabulary_loss=VocabularyLossKind.full)  # as those that it is compared with
        settings = Config(model=config, training=training or full)
        arithmetic = Arithmetic.of(settings)
        model, self.step = training_model(settings, vocabulary, FIRST_TEXT_ID, arithmetic)
        self.precision = arithmetic.precision
        self.weights = model.named_weights()
        self.parameters = count_trainable(model)

    def __call__(self, batches: Sequence[Batch]) -> int:
        """Train on batches, of any shapes; return their tokens, padding not counted."""
        for batch in batches:
            sums = {name: float(value) for name, value in self.step([batch], 1e-4).items()}
            if not np.isfinite(sums["loss"]):
                raise ValueError(f"expected a finite loss, received {sums['loss']}")
        return sum(int(lengths.sum()) for _, lengths in batches)

    def operations(self, stride: int) -> float:
        """Return the operations of matrix products that a token costs, forward and backward."""
        return 6.0 * multiplied_weights(self.weights, stride)


def multiplied_weights(weights: Mapping[str, Any], stride: int) -> float:
    """Return how many weights a token is multiplied with, encoded and decoded once; weights by their names."""
    sizes = {name: int(np.prod(weight.shape)) for name, weight in weights.items() if len(weight.shape) > 1}
    embedding = sum(size for name, size in sizes.items() if "embedding" in name)
    return (sum(sizes.values()) - embedding) / stride + embedding


def rates(variants: dict[str, Callable[[], float]], repeats: int) -> dict[str, np.ndarray]:
    """Return each variant's work per second, one value for each round, after two rounds that are not counted.

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
    """Yield such batches without end, 64 different ones: what is is repeated would be memorised."""
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


def reported(
    only: Sequence[str], sections: Mapping[str, Callable[[Any], Any]], options: Any, path: Path | None
) -> dict[str, Any]:
    """Measure the sections that are named, each with the options, and return what they found.

    What is found so far is in the JSON file at `path`, if one is given, after each section.
    """
    print(f"{processor()}; keras {metadata.version('keras')} on {backend()}")
    report: dict[str, Any] = {"machine": processor()}
    for name in only:
        report[name] = sections[name](options)
        if path:
            path.write_text(json.dumps(report, indent=1) + "\n")
    return report
