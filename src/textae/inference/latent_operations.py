"""Arithmetic in latent space, on plain arrays: (size,) for a vector, (positions, size) for a text of several latents.

Texts may differ in their number of latent positions. Where two are combined, each is stretched along the text to the
number that the result has: by linear interpolation between its latents, from the first to the last.
"""

from __future__ import annotations

import heapq
import os
import tempfile
from array import array
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

_DOCUMENTS = 8192  # whose vectors are compared at a time


class Neighbour(NamedTuple):
    """A document that is near in latent space: cosine similarity, its number from 0 on, and its text."""

    similarity: float
    number: int
    text: str


def stretched(latents: np.ndarray, positions: int) -> np.ndarray:
    """Return (positions, size) latents of a text as if it had so many latent positions."""
    if len(latents) == positions:
        return latents
    points = np.linspace(0, len(latents) - 1, positions)
    before = np.floor(points).astype(int)
    after = np.minimum(before + 1, len(latents) - 1)
    share = (points - before)[:, None].astype(latents.dtype)
    return (1 - share) * latents[before] + share * latents[after]


def interpolated(first: np.ndarray, last: np.ndarray, steps: int) -> list[np.ndarray]:
    """Return latents at equal distances on the line from `first` to `last`, both of them included.

    Their number of latent positions changes in equal steps too.

    Raises:
        ValueError: fewer than two steps.
    """
    if steps < 2:
        raise ValueError(f"expected steps of at least 2, the two texts themselves, received {steps}")
    made = []
    for share in np.linspace(0, 1, steps, dtype=np.float32):
        one, other = first, last
        if first.ndim == 2:
            positions = round((1 - share) * len(first) + share * len(last))
            one, other = stretched(first, positions), stretched(last, positions)
        made.append((1 - share) * one + share * other)
    return made


def combined(first: np.ndarray, less: np.ndarray, plus: np.ndarray) -> np.ndarray:
    """Return `first - less + plus`; the number of latent positions is added alike, and is at least one."""
    if first.ndim == 2:
        positions = max(len(first) - len(less) + len(plus), 1)
        first, less, plus = (stretched(latents, positions) for latents in (first, less, plus))
    return first - less + plus


def pooled(latents: np.ndarray | Sequence[np.ndarray], size: int) -> np.ndarray:
    """Return float32 (texts, size): one vector for each text, the mean of its latents where it has several."""
    rows = [array.mean(axis=0, dtype=np.float64) if array.ndim == 2 else array for array in latents]
    return np.array(rows, np.float32).reshape(-1, size)


def drawn(count: int, seed: int, size: int, positions: int | None) -> list[np.ndarray]:
    """Return `count` latents from N(0, 1), each (size,) or (positions, size); the same for a seed."""
    random = np.random.default_rng(seed)
    shape = (size,) if positions is None else (positions, size)
    return [random.standard_normal(shape, np.float32) for _ in range(count)]


def check_variational(variational: bool) -> None:
    """Raise a ValueError for a model whose latents follow no distribution that one could draw from."""
    if not variational:
        raise ValueError(
            "expected a run of a variational model (model.variational=true), whose latents training holds to N(0, 1), "
            "found one whose latents follow no known distribution"
        )


class Nearest:
    """The nearest documents to some queries, by the cosine of the angle between their vectors.

    Documents are given in portions, and only the best of each query are held.
    """

    def __init__(self, queries: np.ndarray, count: int) -> None:
        if count < 1:
            raise ValueError(f"expected count of at least 1, received {count}")
        self.queries, self.count = _unit(queries), count
        self._seen = 0
        self._best: list[list[Any]] = [[] for _ in queries]  # heaps of (similarity, -number, text)

    def add(self, vectors: np.ndarray, texts: Sequence[str]) -> None:
        """Take note of documents (documents, size) and their texts."""
        similarities = self.queries @ _unit(vectors).T
        for best, row in zip(self._best, similarities, strict=True):
            for i in np.argsort(-row, kind="stable")[: self.count].tolist():
                entry = (float(row[i]), -(self._seen + i), texts[i])  # of equal ones the first stays
                if len(best) < self.count:
                    heapq.heappush(best, entry)
                elif entry > best[0]:
                    heapq.heapreplace(best, entry)
        self._seen += len(texts)

    def found(self) -> list[list[Neighbour]]:
        """Return each query's neighbours, the nearest first."""
        ordered = (sorted(best, reverse=True) for best in self._best)
        return [[Neighbour(similarity, -number, text) for similarity, number, text in best] for best in ordered]


class VectorIndex:
    """Documents and their vectors in temporary files, for queries that come one after another."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._vectors = tempfile.TemporaryFile()  # noqa: SIM115, both are closed at the end of its block
        self._texts = tempfile.TemporaryFile()  # noqa: SIM115
        self._ends = array("q", [0])  # of the texts

    def __enter__(self) -> VectorIndex:
        return self

    def __exit__(self, *raised: object) -> None:
        self._vectors.close()
        self._texts.close()

    def add(self, vectors: np.ndarray, texts: Sequence[str]) -> None:
        """Take in documents (documents, size) and their texts."""
        self._vectors.seek(0, os.SEEK_END)
        self._vectors.write(np.ascontiguousarray(vectors, np.float32).tobytes())
        self._texts.seek(0, os.SEEK_END)
        for text in texts:
            self._ends.append(self._ends[-1] + self._texts.write(text.encode("utf-8", "surrogatepass")))

    def nearest(self, queries: np.ndarray, count: int) -> list[list[Neighbour]]:
        """Return the nearest documents to each query, the nearest first.

        Raises:
            ValueError: a count below one.
        """
        nearest = Nearest(queries, count)
        self._vectors.seek(0)
        while block := self._vectors.read(4 * self._size * _DOCUMENTS):
            vectors = np.frombuffer(block, np.float32).reshape(-1, self._size)
            nearest.add(vectors, [""] * len(vectors))
        return [[near._replace(text=self._text(near.number)) for near in found] for found in nearest.found()]

    def _text(self, number: int) -> str:
        start, end = self._ends[number : number + 2]
        self._texts.seek(start)
        return self._texts.read(end - start).decode("utf-8", "surrogatepass")


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-12)
