"""The figures of a run: how well texts come back, on any corpus."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from textae.codec import Reconstructed
from textae.dimensions import Variance, alive
from textae.metrics import LengthRow, TextMetrics, edit_distance
from textae.prepared import in_portions

LENGTH_EDGES = (8, 16, 32, 64, 128, 256, 512, 1024)
POSITIONS_SHOWN = 512
RANDOM_DOCUMENTS = 500
# Figures of a run's own corruption that stand beside those of clean input.
CORRUPTED = ("loss", "token_accuracy", "exact_match", "bleu", "cer", "cer_before", "wer")


@dataclass
class Evaluation:
    """Figures over a corpus, by the names of metrics.json, and what the figures and tables are drawn from.

    by_length: quality by document length.
    correct, total: right tokens and all tokens at each of the first positions.
    scores: each document's share of right tokens.
    lengths: each document's tokens.
    variance: of each dimension of the latents, (latent_size,).
    samples: (original ids, reconstructed ids) of some documents, the worst first.
    """

    metrics: dict[str, float]
    by_length: list[LengthRow]
    correct: np.ndarray
    total: np.ndarray
    scores: np.ndarray
    lengths: np.ndarray
    variance: np.ndarray
    samples: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)


def final_evaluation(
    autoencoder: Any,
    texts: Callable[[], Iterable[str]],
    keep: int = 0,
    corruption: Mapping[str, Any] | None = None,
) -> Evaluation:
    """Evaluate a trained run: what metrics.json and the command `evaluate` show of its quality.

    To the figures of `evaluate` come `random_token_accuracy` and, where the run was trained with corruption, those
    of input so corrupted, as `corrupted_NAME`.

    Args:
        autoencoder: as `textae.load` gives it.
        texts: gives the documents, each time from the first.
        keep: as in `evaluate`.
        corruption: settings of another corruption, of the input of all figures.

    Raises:
        ValueError: no texts.
    """
    other = autoencoder.corruption(corruption or {})
    found = evaluate(autoencoder, texts(), keep, other)
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
    corruption: Callable[[Any, Any], tuple[Any, Any]] | None = None,
) -> Evaluation:
    """Reconstruct texts and compare; a portion of them is held at a time.

    Averages are over tokens (`loss`, `token_accuracy`) or documents. A document's tokens are those of its text and
    its end. `keep` documents are kept with their reconstructions, the worst of all and the first ones. With a
    corruption, of ids and lengths, the texts are compared with what comes back of them corrupted; `cer_before` is the
    character error rate of the corrupted texts themselves, in which masked tokens are missing.

    Raises:
        ValueError: no texts.
    """
    texts_metrics, variance = TextMetrics(), Variance()
    nats = right = tokens = encoded = latents = dropped = cut = characters = edits = 0
    correct, total = np.zeros(POSITIONS_SHOWN, np.int64), np.zeros(POSITIONS_SHOWN, np.int64)
    scores: list[float] = []
    lengths: list[int] = []
    samples: list[tuple[float, int, np.ndarray, np.ndarray]] = []
    tokenizer, codec = autoencoder.tokenizer, autoencoder.codec
    for portion in in_portions(texts):
        ids = tokenizer.encode(portion)
        found = codec.reconstruct(ids, corruption, variance.update)
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
            for i, given in zip(kept, tokenizer.decode([document.encoded for document in documents]), strict=True):
                edits += edit_distance(portion[i], given)
                characters += len(portion[i])
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
            lengths.append(len(document.correct))
        if keep:
            samples = _worst_and_first(samples, keep)
    if not scores:
        raise ValueError(f"expected documents to evaluate, found none (dropped as too long: {dropped})")
    metrics = {
        "loss": nats / encoded,
        "token_accuracy": right / tokens,
        **texts_metrics.result(),
        **({"cer_before": edits / max(characters, 1)} if corruption is not None else {}),
        "latent_floats_per_token": latents / tokens,
        "alive_dimensions": alive(variance.result()),
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
        np.array(lengths),
        variance.result(),
        [(original, answer) for _, _, original, answer in samples],
    )


def _worst_and_first(samples: list[tuple], keep: int) -> list[tuple]:
    worst = sorted(samples, key=lambda sample: sample[:2])[: keep // 2]
    first = [sample for sample in sorted(samples, key=lambda s: s[1]) if all(sample is not w for w in worst)]
    return worst + first[: keep - len(worst)]
