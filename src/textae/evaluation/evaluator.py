"""The figures of a run: how well texts come back, on any corpus."""

from __future__ import annotations

import random
from bisect import insort
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import numpy as np

from textae.data.preparation import in_portions
from textae.evaluation.latent_statistics import LatentStatistics
from textae.evaluation.metrics import LengthRow, TextMetrics, edit_distance
from textae.inference.codec import Reconstructed

LENGTH_EDGES = (8, 16, 32, 64, 128, 256, 512, 1024)
POSITIONS_SHOWN = 512
RANDOM_DOCUMENTS = 500
# Figures of a run's own corruption that stand beside those of clean input.
CORRUPTED = ("loss", "token_accuracy", "exact_match", "bleu", "cer", "cer_before", "wer")
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
    lengths: each document's tokens.
    latents: statistics of the latents' dimensions.
    samples: the worst documents and typical ones.
    points: the first documents' latents.
    """

    metrics: dict[str, float]
    by_length: list[LengthRow]
    correct: np.ndarray
    total: np.ndarray
    scores: np.ndarray
    lengths: np.ndarray
    latents: LatentStatistics
    samples: list[Sample]
    points: Points


def final_evaluation(
    autoencoder: Any,
    texts: Callable[[], Iterable[str]],
    keep: int = 0,
    points: int = 0,
    corruption: Mapping[str, Any] | None = None,
) -> Evaluation:
    """Evaluate a trained run: what metrics.json and the command `evaluate` show of its quality.

    To the figures of `evaluate` come `random_token_accuracy` and, where the run was trained with corruption, those
    of input so corrupted, as `corrupted_NAME`.

    Args:
        autoencoder: as `textae.load` gives it.
        texts: gives the documents, each time from the first.
        keep, points: as in `evaluate`.
        corruption: settings of another corruption, of the input of all figures.

    Raises:
        ValueError: no texts.
    """
    other = autoencoder.corruption(corruption or {})
    found = evaluate(autoencoder, texts(), keep, points, other)
    found.metrics["random_token_accuracy"] = random_token_accuracy(autoencoder, found.lengths)
    own = autoencoder.corruption(asdict(autoencoder.config.training.corruption))
    if own is not None and other is None:
        corrupted = evaluate(autoencoder, texts(), corruption=own).metrics
        found.metrics |= {f"corrupted_{name}": corrupted[name] for name in CORRUPTED}
    return found


def random_token_accuracy(autoencoder: Any, lengths: np.ndarray) -> float:
    """Return the token accuracy on random ids in place of documents of these lengths, or of some of them.

    Ids are drawn evenly from those of text. A model whose latents hold any text does as well here as on text; one
    that lives by what is likely falls far below.
    """
    chosen = np.linspace(0, len(lengths) - 1, min(len(lengths), RANDOM_DOCUMENTS)).round().astype(int)
    draw, tokenizer = np.random.default_rng(0), autoencoder.tokenizer
    documents = [
        draw.integers(tokenizer.first_text_id, tokenizer.vocabulary_size, lengths[i] - 1, dtype=np.int32)
        for i in chosen
    ]
    found = [document.correct for document in autoencoder.codec.reconstruct(documents) if document is not None]
    return float(np.concatenate(found).mean())


def evaluate(
    autoencoder: Any,
    texts: Iterable[str],
    keep: int = 0,
    points: int = 0,
    corruption: Callable[[Any, Any], tuple[Any, Any]] | None = None,
) -> Evaluation:
    """Reconstruct texts and compare; a portion of them is held at a time.

    Averages are over tokens (`loss`, `token_accuracy`) or documents. A document's tokens are those of its text and
    its end. `keep` documents are kept with their reconstructions, half of them the worst and the others typical ones,
    near the median; the first `points` documents are kept as points. With a corruption, of ids and lengths, the texts
    are compared with what comes back of them corrupted; `cer_before` is the character error rate of the corrupted texts
    themselves, in which masked tokens are missing.

    Raises:
        ValueError: no texts.
    """
    texts_metrics = TextMetrics()
    nats = right = tokens = encoded = dropped = cut = read = characters = edits = 0
    correct, total = np.zeros(POSITIONS_SHOWN, np.int64), np.zeros(POSITIONS_SHOWN, np.int64)
    scores: list[float] = []
    lengths: list[int] = []
    statistics, chosen, first = LatentStatistics(), _Samples(keep), Points()
    tokenizer, codec = autoencoder.tokenizer, autoencoder.codec
    for portion in in_portions(texts, CHARACTERS):
        ids = tokenizer.encode(portion)
        found = codec.reconstruct(ids, corruption)
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
        if corruption is not None:
            for i, given in zip(kept, tokenizer.decode([document.corrupted for document in documents]), strict=True):
                edits += edit_distance(portion[i], given)
                characters += len(portion[i])
        if documents:
            divergences = [document.kl for document in documents if document.kl is not None]
            statistics.update(
                np.concatenate([document.latents for document in documents]),
                np.concatenate(divergences) if divergences else None,
            )
        for i, document in zip(kept, documents, strict=True):
            nats += float(document.token_losses.sum(dtype=np.float64))
            encoded += len(document.token_losses)
            right += int(document.correct.sum())
            tokens += len(document.correct)
            cut += len(document.token_losses) < len(document.correct)
            shown = document.correct[:POSITIONS_SHOWN]
            correct[: len(shown)] += shown
            total[: len(shown)] += 1
            share = float(document.correct.mean())
            scores.append(share)
            lengths.append(len(document.correct))
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
        **({"cer_before": edits / max(characters, 1)} if corruption is not None else {}),
        "latent_floats_per_token": statistics.numbers / encoded,
        "active_units": statistics.alive,
        "documents": len(scores),
        "documents_truncated": cut,
        "documents_dropped": dropped,
        "tokens": tokens,
    }
    return Evaluation(
        metrics,
        texts_metrics.by_length(LENGTH_EDGES),
        correct,
        total,
        np.array(scores),
        np.array(lengths),
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
