"""The metrics of a run: how well texts are reconstructed, on any corpus."""

from __future__ import annotations

import random
from bisect import insort
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import numpy as np

from textae.config.metric_table import names
from textae.data.corruption import Corruption
from textae.data.preparation import in_portions
from textae.evaluation.bag_of_words_loss import BagOfWordsLoss
from textae.evaluation.latent_statistics import LatentStatistics
from textae.evaluation.metrics import LengthRow, TextMetrics, edit_distance
from textae.evaluation.noisy_metrics import NoisyMetrics
from textae.evaluation.posterior_statistics import kl_from_normal
from textae.evaluation.rates import capacity
from textae.evaluation.token_sums import TokenSums
from textae.inference.codec import Reconstructed
from textae.inference.text_autoencoder import TextAutoencoder

LENGTH_EDGES = (8, 16, 32, 64, 128, 256, 512, 1024)
POSITIONS_SHOWN = 512
RANDOM_DOCUMENTS = 500
# Metrics on input with the run's own corruption, beside those of clean input.
CORRUPTED = names(corrupted=True)
CHARACTERS = 1 << 20  # reconstructed at a time, with their latents
CANDIDATES = 32  # documents drawn for each typical one that is kept


class Sample(NamedTuple):
    """A document and its reconstruction, as ids without the end; `kind` is "worst" or "typical"."""

    kind: str
    score: float
    original: np.ndarray
    answer: np.ndarray


@dataclass
class Points:
    """The first documents as points: `latents` (documents, size), the mean of each document's, and what they are.

    `numbers` are their positions in the corpus, `tokens` and `scores` their lengths and shares of right tokens.
    """

    latents: list[np.ndarray] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)


@dataclass
class Evaluation:
    """Metrics over a corpus, by the names of metrics.json, and what figures and tables are drawn from.

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
    autoencoder: TextAutoencoder,
    texts: Callable[[], Iterable[str]],
    keep: int = 0,
    points: int = 0,
    corruption: Mapping[str, Any] | None = None,
    importance_samples: int = 0,
) -> Evaluation:
    """Evaluate a trained run: what metrics.json and the command `evaluate` show of its quality.

    In addition to the metrics of `evaluate`: `random_token_accuracy` and, where the run was trained with corruption,
    the metrics of input that is corrupted in the same way, as `corrupted_NAME`.

    Args:
        autoencoder: as `textae.load` gives it.
        texts: gives the documents, each time from the first.
        keep, points: as in `evaluate`.
        corruption: settings of another corruption, of the input of all metrics.
        importance_samples: draws for the metric `nll` of a variational run; 0: without it.

    Raises:
        ValueError: no texts.
    """
    other = autoencoder.corruption(corruption or {})
    found = evaluate(autoencoder, texts(), keep, points, other, importance_samples)
    found.metrics["random_token_accuracy"] = random_token_accuracy(autoencoder, found.lengths)
    own = autoencoder.corruption(asdict(autoencoder.config.training.corruption))
    if own is not None and other is None:
        corrupted = evaluate(autoencoder, texts(), corruption=own).metrics
        found.metrics |= {f"corrupted_{name}": corrupted[name] for name in CORRUPTED}
    return found


def random_token_accuracy(autoencoder: TextAutoencoder, lengths: np.ndarray) -> float:
    """Return the token accuracy on random ids in place of documents of these lengths, or of some of them.

    Ids are drawn evenly from those of text. A model whose latents hold any text has the same accuracy as on text; one
    that predicts what is likely has a far lower one.
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
    autoencoder: TextAutoencoder,
    texts: Iterable[str],
    keep: int = 0,
    points: int = 0,
    corruption: Corruption | None = None,
    importance_samples: int = 0,
) -> Evaluation:
    """Reconstruct texts and compare; a portion of them is held at a time.

    Averages are over tokens (`loss`, `token_accuracy`) or documents. A document's tokens are those of its text and
    its end. `keep` documents are kept with their reconstructions, half of them the worst and the others typical ones,
    near the median; the first `points` documents are kept as points. With a corruption, of ids and lengths, the texts
    are compared with the reconstructions of their corrupted ids; `cer_before` is the character error rate of the
    corrupted texts themselves, in which masked tokens are missing. A model whose latents have noise in training has
    metrics of latents with that noise too (`NoisyMetrics`), among them `nll` from so many `importance_samples`.

    Raises:
        ValueError: no texts.
    """
    evaluator = _Evaluator(autoencoder, keep, points, corruption)
    if autoencoder.codec.draws:
        evaluator.noisy = NoisyMetrics(autoencoder.codec, importance_samples)
    for portion in in_portions(texts, CHARACTERS):
        evaluator.add(portion)
    return evaluator.result()


class _Evaluator:
    """Sums over the documents of a corpus, which are added a portion at a time; see `evaluate`."""

    def __init__(self, autoencoder: TextAutoencoder, keep: int, points: int, corruption: Corruption | None) -> None:
        self.autoencoder, self.corruption, self.most_points = autoencoder, corruption, points
        self.text_metrics, self.statistics = TextMetrics(), LatentStatistics()
        self.noisy: NoisyMetrics | None = None
        head = autoencoder.model.bag_of_words
        self.bag_of_words = None if head is None else BagOfWordsLoss(autoencoder.model)
        self.samples, self.points = _Samples(keep), Points()
        self.sums = TokenSums()
        self.own_lengths = 0  # documents with as many tokens in their reconstructions
        self.dropped = self.truncated = self.read = 0
        self.characters = self.edits = 0  # of the corrupted texts
        self.correct_at = np.zeros(POSITIONS_SHOWN, np.int64)
        self.total_at = np.zeros(POSITIONS_SHOWN, np.int64)
        self.scores: list[float] = []
        self.lengths: list[int] = []

    def add(self, portion: list[str]) -> None:
        """Reconstruct texts and add what they show."""
        tokenizer = self.autoencoder.tokenizer
        ids = tokenizer.encode(portion)
        reconstructed = self.autoencoder.codec.reconstruct(ids, self.corruption)
        kept = {i: document for i, document in enumerate(reconstructed) if document is not None}
        self.dropped += len(portion) - len(kept)
        documents = list(kept.values())
        self.text_metrics.update(
            [portion[i] for i in kept],
            tokenizer.decode([document.ids for document in documents]),
            [len(document.correct) for document in documents],
            [int(document.correct.sum()) for document in documents],
        )
        if self.corruption is not None:
            corrupted = [document.corrupted for document in documents if document.corrupted is not None]
            for i, text in zip(kept, tokenizer.decode(corrupted), strict=True):
                self.edits += edit_distance(portion[i], text)
                self.characters += len(portion[i])
        if documents:
            latents = np.concatenate([document.latents for document in documents])
            found = [document.log_variances for document in documents if document.log_variances is not None]
            log_variances = np.concatenate(found) if found else None
            self.statistics.update(latents, None if log_variances is None else kl_from_normal(latents, log_variances))
            if self.noisy is not None:
                self.noisy.update([ids[i] for i in kept], documents)
            if self.bag_of_words is not None:
                self.bag_of_words.add([ids[i] for i in kept], [document.latents for document in documents])
        for i, document in kept.items():
            self._add_document(self.read + i, portion[i], ids[i], document)
        self.read += len(portion)

    def _add_document(self, number: int, text: str, ids: np.ndarray, document: Reconstructed) -> None:
        """Add a document; `number` is its position in the corpus."""
        losses, correct = document.token_losses, document.correct
        self.sums.add(document)
        self.own_lengths += len(document.ids) + 1 == len(correct)
        self.truncated += len(losses) < len(correct)
        shown = correct[:POSITIONS_SHOWN]
        self.correct_at[: len(shown)] += shown
        self.total_at[: len(shown)] += 1
        share = float(correct.mean())
        self.scores.append(share)
        self.lengths.append(len(correct))
        self.samples.add(share, ids, document.ids)
        if len(self.points.numbers) < self.most_points:
            self.points.latents.append(document.latents.mean(axis=0))
            self.points.numbers.append(number)
            self.points.texts.append(text)
            self.points.tokens.append(len(correct))
            self.points.scores.append(share)

    def result(self) -> Evaluation:
        """Return the metrics of all documents so far.

        Raises:
            ValueError: there were none.
        """
        if not self.scores:
            raise ValueError(f"expected documents to evaluate, found none (dropped as too long: {self.dropped})")
        return Evaluation(
            self._metrics(),
            self.text_metrics.by_length(LENGTH_EDGES),
            self.correct_at,
            self.total_at,
            np.array(self.scores),
            np.array(self.lengths),
            self.statistics,
            self.samples.result(float(np.median(self.scores))),
            self.points,
        )

    def _metrics(self) -> dict[str, float]:
        corrupted = {} if self.corruption is None else {"cer_before": self.edits / max(self.characters, 1)}
        rate = {}
        if (noise := self.autoencoder.codec.noise) and self.statistics.kl is None:
            bits = self.statistics.count * capacity(self.statistics.variance, noise**2)
            rate = {"rate": bits / self.sums.encoded}
        kl = 0.0 if self.statistics.kl is None else float(self.statistics.kl.sum()) * self.statistics.count
        return {
            "loss": self.sums.mean_loss,
            "token_accuracy": self.sums.token_accuracy,
            **self.text_metrics.result(),
            **corrupted,
            **({} if self.noisy is None else self.noisy.result(kl)),
            "length_accuracy": self.own_lengths / len(self.scores),
            **({} if self.bag_of_words is None else {"bag_of_words_loss": self.bag_of_words.result()}),
            "latent_floats_per_token": self.statistics.numbers / self.sums.encoded,
            "active_units": self.statistics.active_units,
            **rate,
            "documents": len(self.scores),
            "documents_truncated": self.truncated,
            "documents_dropped": self.dropped,
            "tokens": self.sums.tokens,
        }


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
        elif (index := self.random.randrange(self.seen)) < len(self.drawn):
            self.drawn[index] = sample

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
