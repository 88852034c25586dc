"""What a lattice whose frequent tokens lie further apart would win: codewords under noise, decoded without a model.

python scripts/benchmark_lattice.py RUN TEXT.txt [DIMENSIONS]

The tokens of TEXT (a document per line) are drawn by their frequencies, and their codewords are put under Gaussian
noise. "nearest" is the token of the nearest codeword; "prior" weighs distances against how frequent tokens are, as a
trained decoder does. Lattices: "even" is that of `model.initialization=lattice`; "cells^g" gives token i a cell of the
cube whose volume goes by the power g of its frequency. All have the same variance over the text, so that a level of
noise leaves the same capacity.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from textae.data.tokenizers import load_tokenizer
from textae.models.initialization.lattice import evenly_spaced
from textae.runs.run_folder import TOKENIZER, RunDir

SAMPLES, ROWS = 4096, 256
RATES = (8, 10, 12, 14, 16, 18, 20, 24)  # bits per token that the noise leaves
POWERS = (0.1, 0.2, 1 / 3, 0.5)


def cells(volumes: np.ndarray, dimensions: int) -> np.ndarray:
    """Return (tokens, dimensions): the middles of boxes of these volumes that fill a cube of side 1 around 0."""
    points = np.zeros((len(volumes), dimensions))
    stack = [(np.argsort(-volumes), np.full(dimensions, -0.5), np.full(dimensions, 0.5))]
    while stack:
        tokens, low, high = stack.pop()
        if len(tokens) == 1:
            points[tokens[0]] = (low + high) / 2
            continue
        axis, start = int(np.argmax(high - low)), low.copy()
        for part in (tokens[::2], tokens[1::2]):  # of nearly equal volumes
            share = volumes[part].sum() / volumes[tokens].sum()
            end = high.copy()
            end[axis] = start[axis] + share * (high[axis] - low[axis])
            stack.append((part, start.copy(), end))
            start[axis] = end[axis]
    return points


def accuracies(points: np.ndarray, chances: np.ndarray, rate: float) -> tuple[float, float]:
    """Return the shares of right tokens by the nearest codeword and with a prior, at so many bits per token."""
    draw = np.random.default_rng(0)
    mean = chances @ points
    points = (points - mean) / np.sqrt((chances @ (points - mean) ** 2).mean())
    dimensions = points.shape[1]
    noise = 1 / np.sqrt(2 ** (2 * rate / dimensions) - 1)
    tokens = draw.choice(len(chances), SAMPLES, p=chances)
    received = points[tokens] + noise * draw.standard_normal((SAMPLES, dimensions))
    nearest = prior = 0
    with np.errstate(divide="ignore"):
        logarithms = np.log(chances)
    for first in range(0, SAMPLES, ROWS):
        rows, true = received[first : first + ROWS], tokens[first : first + ROWS]
        distances = ((rows[:, None] - points[None]) ** 2).sum(axis=2)
        nearest += int((distances.argmin(axis=1) == true).sum())
        prior += int(((logarithms - distances / (2 * noise**2)).argmax(axis=1) == true).sum())
    return nearest / SAMPLES, prior / SAMPLES


def main(run: str, file: str, dimensions: str = "2") -> None:
    """Print a table of accuracies by rate and lattice."""
    tokenizer = load_tokenizer(RunDir(run) / TOKENIZER)
    lines = Path(file).read_text(encoding="utf-8").splitlines()
    counts = np.ones(tokenizer.vocabulary_size)  # each token once more than it came
    for ids in tokenizer.encode(lines):
        np.add.at(counts, ids, 1)
    chances = counts / counts.sum()
    print(f"{len(lines):,} documents, entropy of a token {-(chances * np.log2(chances)).sum():.2f} bits")
    lattices = {"even": evenly_spaced(len(chances), int(dimensions)).astype(np.float64)}
    lattices |= {f"cells^{power:.2f}": cells(chances**power, int(dimensions)) for power in POWERS}
    print("| rate | " + " | ".join(f"{name} nearest | {name} prior" for name in lattices) + " |")
    print("| --- |" + " --- | --- |" * len(lattices))
    for rate in RATES:
        found = [f"{a:.4f} | {b:.4f}" for a, b in (accuracies(points, chances, rate) for points in lattices.values())]
        print(f"| {rate} | " + " | ".join(found) + " |", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
