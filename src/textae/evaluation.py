"""The figures of a run: how well texts come back, on any corpus."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from textae.codec import Reconstructed
from textae.metrics import LengthRow, TextMetrics
from textae.prepared import in_portions

LENGTH_EDGES = (8, 16, 32, 64, 128, 256, 512, 1024)
POSITIONS_SHOWN = 512


@dataclass
class Evaluation:
    """Figures over a corpus, by the names of metrics.json, and what the figures and tables are drawn from.

    by_length: quality by document length.
    correct, total: right tokens and all tokens at each of the first positions.
    scores: each document's share of right tokens.
    samples: (original ids, reconstructed ids) of some documents, the worst first.
    """

    metrics: dict[str, float]
    by_length: list[LengthRow]
    correct: np.ndarray
    total: np.ndarray
    scores: np.ndarray
    samples: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)


def evaluate(autoencoder: Any, texts: Iterable[str], keep: int = 0) -> Evaluation:
    """Reconstruct texts and compare; a portion of them is held at a time.

    Averages are over tokens (`loss`, `token_accuracy`) or documents. A document's tokens are those of its text and
    its end. `keep` documents are kept with their reconstructions, the worst of all and the first ones.

    Raises:
        ValueError: no texts.
    """
    texts_metrics = TextMetrics()
    nats = right = tokens = encoded = latents = dropped = cut = 0
    correct, total = np.zeros(POSITIONS_SHOWN, np.int64), np.zeros(POSITIONS_SHOWN, np.int64)
    scores: list[float] = []
    samples: list[tuple[float, int, np.ndarray, np.ndarray]] = []
    tokenizer, codec = autoencoder.tokenizer, autoencoder.codec
    for portion in in_portions(texts):
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
        for i, document in zip(kept, documents, strict=True):
            nats += float(document.nats.sum(dtype=np.float64))
            encoded += len(document.nats)
            right += int(document.correct.sum())
            tokens += len(document.correct)
            cut += len(document.nats) < len(document.correct)
            latents += document.latents
            shown = document.correct[:POSITIONS_SHOWN]
            correct[: len(shown)] += shown
            total[: len(shown)] += 1
            share = float(document.correct.mean())
            if keep:
                samples.append((share, len(scores), ids[i], document.ids))
            scores.append(share)
        if keep:
            samples = _worst_and_first(samples, keep)
    if not scores:
        raise ValueError(f"expected documents to evaluate, found none (dropped as too long: {dropped})")
    metrics = {
        "loss": nats / encoded,
        "token_accuracy": right / tokens,
        **texts_metrics.result(),
        "latent_floats_per_token": latents / tokens,
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
        [(original, answer) for _, _, original, answer in samples],
    )


def _worst_and_first(samples: list[tuple], keep: int) -> list[tuple]:
    worst = sorted(samples, key=lambda sample: sample[:2])[: keep // 2]
    first = [sample for sample in sorted(samples, key=lambda s: s[1]) if all(sample is not w for w in worst)]
    return worst + first[: keep - len(worst)]
