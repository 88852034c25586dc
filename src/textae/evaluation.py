"""The figures of a run: how well texts come back, on any corpus."""

from __future__ import annotations

import random
from bisect import insort
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from textae.codec import Reconstructed
from textae.latentstats import LatentStatistics
from textae.metrics import LengthRow, TextMetrics
from textae.prepared import in_portions

LENGTH_EDGES = (8, 16, 32, 64, 128, 256, 512, 1024)
POSITIONS_SHOWN = 512
CHARACTERS = 1 << 20  # reconstructed at a time, with their latents
CANDIDATES = 32  # documents drawn for each typical one that is kept


class Sample(NamedTuple):
    """A document and how it came back, as ids without the end; `kind` is "worst" or "typical"."""

    kind: str
    score: float
    original: np.ndarray
    answer: np.ndarray


@dataclass
class Points:
    """The first documents as points: `latents` (documents, size), the mean of each document's, and what they are.

    `numbers` are their places in the corpus, `tokens` and `scores` their lengths and shares of right tokens.
    """

    latents: list[np.ndarray] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)


@dataclass
class Evaluation:
    """Figures over a corpus, by the names of metrics.json, and what the figures and tables are drawn from.

    by_length: quality by document length.
    correct, total: right tokens and all tokens at each of the first positions.
    scores: each document's share of right tokens.
    latents: statistics of the latents' dimensions.
    samples: the worst documents and typical ones.
    points: the first documents' latents.
    """

    metrics: dict[str, float]
    by_length: list[LengthRow]
    correct: np.ndarray
    total: np.ndarray
    scores: np.ndarray
    latents: LatentStatistics
    samples: list[Sample]
    points: Points


def evaluate(autoencoder: Any, texts: Iterable[str], keep: int = 0, points: int = 0) -> Evaluation:
    """Reconstruct texts and compare; a portion of them is held at a time.

    Averages are over tokens (`loss`, `token_accuracy`) or documents. A document's tokens are those of its text and
    its end. `keep` documents are kept with their reconstructions, half of them the worst and the others typical ones,
    near the median; the first `points` documents are kept as points.

    Raises:
        ValueError: no texts.
    """
    texts_metrics = TextMetrics()
    nats = right = tokens = encoded = dropped = cut = read = 0
    correct, total = np.zeros(POSITIONS_SHOWN, np.int64), np.zeros(POSITIONS_SHOWN, np.int64)
    scores: list[float] = []
    statistics, chosen, first = LatentStatistics(), _Samples(keep), Points()
    tokenizer, codec = autoencoder.tokenizer, autoencoder.codec
    for portion in in_portions(texts, CHARACTERS):
        ids = tokenizer.encode(portion)
        found = codec.reconstruct(ids)
        kept = [i for i, document in enumerate(found) if document is not None]
        dropped += len(found) - len(kept)
        documents: list[Reconstructed] = [found[i] for i in kept]
        answers = tokenizer.decode([document.ids for document in documents])
        texts_metrics.update(
            [portion[i] for i in kept],
            answers,
            [len(document.correct) for document in documents],
            [int(document.correct.sum()) for document in documents],
        )
        if documents:
            divergences = [document.kl for document in documents if document.kl is not None]
            statistics.update(
                np.concatenate([document.latents for document in documents]),
                np.concatenate(divergences) if divergences else None,
            )
        for i, document in zip(kept, documents, strict=True):
            nats += float(document.nats.sum(dtype=np.float64))
            encoded += len(document.nats)
            right += int(document.correct.sum())
            tokens += len(document.correct)
            cut += len(document.nats) < len(document.correct)
            shown = document.correct[:POSITIONS_SHOWN]
            correct[: len(shown)] += shown
            total[: len(shown)] += 1
            share = float(document.correct.mean())
            scores.append(share)
            chosen.add(share, ids[i], document.ids)
            if len(first.numbers) < points:
                first.latents.append(document.latents.mean(axis=0))
                first.numbers.append(read + i)
                first.texts.append(portion[i])
                first.tokens.append(len(document.correct))
                first.scores.append(share)
        read += len(portion)
    if not scores:
        raise ValueError(f"expected documents to evaluate, found none (dropped as too long: {dropped})")
    metrics = {
        "loss": nats / encoded,
        "token_accuracy": right / tokens,
        **texts_metrics.result(),
        "latent_floats_per_token": statistics.numbers / tokens,
        "documents": len(scores),
        "documents_cut": cut,
        "documents_dropped": dropped,
        "tokens": tokens,
    }
    return Evaluation(
        metrics,
        texts_metrics.by_length(LENGTH_EDGES),
        correct,
        total,
        np.array(scores),
        statistics,
        chosen.result(float(np.median(scores))),
        first,
    )


class _Samples:
    """The worst documents of a corpus and typical ones, chosen while it goes by."""

    def __init__(self, keep: int) -> None:
        self.worst_count, self.typical_count = keep // 2, keep - keep // 2
        self.seen = 0
        self.worst: list[tuple] = []  # (score, number, original, answer), sorted; numbers differ
        self.drawn: list[tuple] = []  # each document is here with the same probability
        self.random = random.Random(0)

    def add(self, score: float, original: np.ndarray, answer: np.ndarray) -> None:
        """Take note of the next document."""
        sample = (score, self.seen, original, answer)
        self.seen += 1
        insort(self.worst, sample, key=lambda s: s[:2])
        del self.worst[self.worst_count :]
        if len(self.drawn) < CANDIDATES * self.typical_count:
            self.drawn.append(sample)
        elif (place := self.random.randrange(self.seen)) < len(self.drawn):
            self.drawn[place] = sample

    def result(self, median: float) -> list[Sample]:
        """Return the worst documents, worst first, then others, those nearest to the median score first."""
        taken = {number for _, number, *_ in self.worst}
        others = [sample for sample in self.drawn if sample[1] not in taken]
        others.sort(key=lambda sample: (abs(sample[0] - median), sample[1]))
        return [
            Sample(kind, score, original, answer)
            for kind, samples in (("worst", self.worst), ("typical", others[: self.typical_count]))
            for score, _, original, answer in samples
        ]
