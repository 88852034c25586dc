"""What the model of a configuration holds, known without building it: its weights' names and shapes.

A run folder's weights are compared with it before anything is read or built. A test compares it with built models.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Shapes = dict[str, tuple[int, ...]]


def weight_shapes(config: Any, vocabulary_size: int) -> Shapes:
    """Return the shape of each weight that `textae.models.autoencoder.build` makes of a `ModelConfig`, by its name."""
    return dict(_all(config, vocabulary_size))


def parameters(config: Any, vocabulary_size: int) -> int:
    """Return how many parameters the weights have together."""
    return numbers(weight_shapes(config, vocabulary_size))


def numbers(shapes: Shapes) -> int:
    """Return how many numbers arrays of these shapes hold together."""
    return sum(math.prod(shape) for shape in shapes.values())


def check_shapes(expected: Shapes, found: Shapes, path: Path | str) -> None:
    """Raise a ValueError if weights of these names and shapes are not those of the model."""
    if odd := sorted(set(expected) ^ set(found)):
        raise ValueError(
            f"expected in {path} the {len(expected)} weights of the run's model, found others: {odd[0]:.100}"
        )
    for name, shape in expected.items():
        if found[name] != shape:
            raise ValueError(f"expected in {path} {name} of shape {shape}, found {found[name]}")


def _all(config: Any, vocabulary_size: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    channels = list(config.channels)
    table = (vocabulary_size, channels[0])
    yield "encoder/embedding/embeddings", table
    if not config.tie_embeddings:
        yield "output_embedding/embeddings", table
    if config.output_bias:
        yield "output_bias", (vocabulary_size,)
    yield from _levels(
        "encoder",
        config,
        config.residual_blocks if config.encoder_residual_blocks is None else config.encoder_residual_blocks,
    )
    yield from _levels("decoder", config, config.residual_blocks)
    for i, (stride, low, high) in enumerate(zip(config.strides, channels[:-1], channels[1:], strict=True)):
        yield from _with_bias(f"encoder/down_{i}", (config.upsampler.kernel_factor * stride, low, high))
        kind = config.upsampler.kind.name
        up = f"decoder/up_{len(config.strides) - 1 - i}/{kind}"
        yield from _upsampler(up, kind, config.upsampler.kernel_factor, stride, low, high)
    yield from _latent(config, channels[-1], vocabulary_size)
    if config.normalization.name != "none":
        yield "final_normalize/scale", (channels[0],)


def _with_bias(name: str, kernel: tuple[int, ...], outputs: int | None = None) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{name}/kernel", kernel
    yield f"{name}/bias", (kernel[-1] if outputs is None else outputs,)


def _levels(half: str, config: Any, counts: list[int]) -> Iterator[tuple[str, tuple[int, ...]]]:
    for level, (width, count) in enumerate(zip(config.channels, counts, strict=True)):
        inner = max(int(width * config.expansion), 1)
        for block in range(count):
            name = f"{half}/level_{level}/block_{block}"
            if config.normalization.name != "none":
                yield f"{name}/normalize/scale", (width,)
            yield from _with_bias(f"{name}/widen", (config.kernel_size, width, inner))
            yield from _with_bias(f"{name}/narrow", (inner, width))


def _upsampler(
    name: str, kind: str, kernel_factor: int, stride: int, low: int, high: int
) -> Iterator[tuple[str, tuple[int, ...]]]:
    if kind == "transpose":
        yield from _with_bias(name, (kernel_factor * stride, low, high), low)
    elif kind == "subpixel":
        yield from _with_bias(name, (kernel_factor, high, low * stride))
    else:
        yield from _with_bias(name, (kernel_factor * stride, high, low))


def _latent(config: Any, width: int, vocabulary_size: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    size, stride = config.latent_size, math.prod(config.strides)
    drawn = 2 * size if config.variational else size
    fourier = config.fourier_features
    project, channels = ("decoder/project/frequencies", width // 2) if fourier else ("decoder/project", width)
    if config.latent.name == "sequence":
        yield from _with_bias("encoder/bottleneck/project", (width, drawn))
        yield from _with_bias(project, (size, channels))
        return
    positions = config.max_length // stride
    if config.pooling.name == "mean":
        yield from _with_bias("encoder/bottleneck/project", (width, drawn))
    else:
        yield "encoder/bottleneck/project/kernel", (positions, width, drawn)
    if config.bag_of_words:
        yield from _with_bias("bag_of_words", (size, vocabulary_size))
    yield f"{project}/kernel", (positions, channels, size)
    if fourier:
        yield from _with_bias("decoder/length_head/linear", (width, stride))
        yield "decoder/length_head/no_end", ()
    else:
        yield from _with_bias("decoder/length_head", (size, positions))
