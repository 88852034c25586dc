"""What a run shows while it runs: messages, a bar on a terminal, and TensorBoard."""

from __future__ import annotations

import logging
import math
import sys
from itertools import islice
from typing import Any, Protocol

import numpy as np
from tqdm import tqdm

from textae.config.mapping import flat, to_mapping
from textae.config.metric_table import names
from textae.config.schema import Config
from textae.data.batching import Batches
from textae.data.corpora import Corpus
from textae.data.preparation import Prepared
from textae.data.tokenizers import Tokenizer
from textae.evaluation.evaluator import Evaluation, Sample
from textae.evaluation.latent_statistics import ACTIVE
from textae.inference.text_autoencoder import TextAutoencoder
from textae.models.autoencoder import Autoencoder
from textae.progress import shows_bar
from textae.reporting.aligned_parts import aligned_parts
from textae.reporting.figures import accuracy_by_position, latent_dimensions, quality_by_length
from textae.reporting.tensorboard import ComparedText, TensorBoardWriter
from textae.runs.run_folder import RunDir

logger = logging.getLogger(__name__)

CHARTS = names(chart=True)
POINTS = 2000  # documents in the projector
SHOWN_TOKENS = 300  # of a document among the texts
WEIGHTS_COUNTED = 100_000  # numbers of one weight in its histogram


class RunState(Protocol):
    """What a report shows of where a run stands; see `textae.training.state`."""

    step: int
    best_step: int
    skipped: int
    validation_due: bool
    kl_weight: float
    unlogged: dict[str, float]


class Reporter:
    """Logs how a run goes; `log_every_steps` steps are put together into one point or line."""

    def __init__(self, run: RunDir, config: Config, state: RunState) -> None:
        self.run, self.config = run, config
        self.board = TensorBoardWriter(run.folder)
        self.board.purge_from(state.step + 1, ("train",))
        self.board.purge_from(state.step + (not state.validation_due), ("validation",))
        self.board.purge_from(0, ("test",))  # written after the last step alone
        self._bar = None
        if shows_bar():
            self._bar = tqdm(total=1000, file=sys.stderr, bar_format="{l_bar}{bar}| {elapsed}<{remaining} {postfix}")
        self._share = 0.0

    def __enter__(self) -> Reporter:
        return self

    def __exit__(self, *raised: object) -> None:
        if self._bar is not None:
            self._bar.close()
        self.board.close()

    def begins(
        self, model: Autoencoder, prepared: Prepared, batches: Batches, precision: str, xla: bool, step: int
    ) -> None:
        """Say what is about to be trained, and on what."""
        sizes = prepared.corpus.sizes
        logger.info(
            f"corpus {prepared.corpus.name}: {sizes['train']:,} train, {sizes['validation']:,} validation, "
            f"{sizes['test']:,} test documents; {prepared.train.tokens:,} train tokens, "
            f"{100 * batches.tokens / max(batches.positions, 1):.1f} % padding efficiency"
        )
        if self.config.training.overfit_documents is not None:
            logger.info(f"training and validation are on {len(prepared.train):,} documents of the train split alone")
        if long := overlong_documents(batches, model.max_length):
            logger.info(long)
        logger.info(
            f"model: {model.count_params():,} parameters, vocabulary {model.vocabulary_size:,}, "
            f"{model.latent_size} floats per {self._unit(model)}; "
            f"{precision} products, {'XLA' if xla else 'graph'}"
        )
        if step:
            logger.info(f"continuing after step {step:,}")
        logger.info(f"run folder: {self.run.folder}; to watch it: tensorboard --logdir {self.run.folder}")

    def _unit(self, model: Autoencoder) -> str:
        """Return what one latent stands for."""
        if model.latent != "vector":
            return f"{model.stride} tokens"
        return "segment" if self.config.model.overflow.name == "split" else "text"

    def trained(self, state: RunState, sums: dict[str, float], rate: float, seconds: float) -> None:
        """Take note of one update; one that was skipped has no sums."""
        if sums:
            for name, value in (sums | {"seconds": seconds, "updates": 1}).items():
                state.unlogged[name] = state.unlogged.get(name, 0.0) + value
        if state.step % self.config.training.log_every_steps or not state.unlogged:
            return
        since, state.unlogged = state.unlogged, {}
        tokens = max(since["tokens"], 1.0)
        values = {
            "loss": since["loss"] / tokens,
            "token_accuracy": since["correct"] / tokens,
            "gradient_norm": since["gradient_norm"] / since["updates"],
            "learning_rate": rate,
            "tokens_per_second": tokens / max(since["seconds"], 1e-9),
        }
        for name in ("bag_of_words_loss", "contrastive_loss"):
            if name in since:
                values[name] = since[name] / tokens
        if "kl" in since:
            values["kl"] = since["kl"] / max(since["documents"], 1.0)
            values["rate"] = since["kl"] / math.log(2) / tokens
            values["kl_weight"] = state.kl_weight
        if state.skipped:
            values["steps_skipped"] = state.skipped
        self.board.scalars(values, state.step, "train")
        text = (
            f"loss {values['loss']:.4f} accuracy {values['token_accuracy']:.4f} "
            f"{values['tokens_per_second']:,.0f} tokens/s"
        )
        if self._bar is not None:
            self._bar.set_postfix_str(f"step {state.step} {text}", refresh=False)
        else:
            logger.info(f"step {state.step:,} ({100 * self._share:.0f} %): {text}")

    def flush(self) -> None:
        """Write what TensorBoard is to show to the disk."""
        self.board.flush()

    def progress(self, share: float) -> None:
        """Move the bar."""
        self._share = share
        if self._bar is not None:
            self._bar.update(int(1000 * share) - self._bar.n)

    def validated(self, autoencoder: TextAutoencoder, evaluation: Evaluation, state: RunState) -> None:
        """Write a validation's metrics, texts and figures."""
        metrics = evaluation.metrics
        mark = " (best)" if state.best_step == state.step else ""
        noisy = "".join(
            f", {words} {metrics[name]:.4f}"
            for name, words in (("noisy_token_accuracy", "with noise"), ("rate", "bits per token"))
            if name in metrics
        )
        logger.info(
            f"validation at step {state.step:,}: loss {metrics['loss']:.4f}, token accuracy "
            f"{metrics['token_accuracy']:.4f}, exact match {metrics['exact_match']:.4f}, "
            f"BLEU {metrics['bleu']:.2f}{noisy}{mark}"
        )
        charted = {name: value for name, value in metrics.items() if _has_chart(name)}
        self.board.scalars(charted, state.step, "validation")
        self._pictures(autoencoder, evaluation, state.step, "validation")

    def ends(
        self,
        autoencoder: TextAutoencoder,
        evaluation: Evaluation,
        metrics: dict[str, Any],
        state: RunState,
        corpus: Corpus,
    ) -> None:
        """Write the test split's metrics, texts and points, and this run's row of the HParams table."""
        self._pictures(autoencoder, evaluation, state.step, "test")
        self._points(evaluation, corpus, state.step)
        numbers = {
            name if _has_chart(name) else f"run/{name}": float(value)
            for name, value in metrics.items()
            if value is not None
        }
        self.board.hparams(flat(to_mapping(self.config)), numbers, state.step)
        logger.info(
            f"test: loss {metrics['loss']:.4f}, token accuracy {metrics['token_accuracy']:.5f}, exact match "
            f"{metrics['exact_match']:.4f}, BLEU {metrics['bleu']:.2f}, character error rate {metrics['cer']:.4f}; "
            f"weights of step {state.best_step:,}"
        )
        if cut := metrics.get("documents_truncated"):
            logger.info(
                f"{cut:,} of {metrics['documents']:,} test documents are longer than model.max_length: truncated"
            )
        logger.info(f"to look at the run: tensorboard --logdir {self.run.folder}")

    def _pictures(self, autoencoder: TextAutoencoder, evaluation: Evaluation, step: int, split: str) -> None:
        """Write texts, figures and histograms of the evaluated weights."""
        if texts := [_compared(autoencoder.tokenizer, sample) for sample in evaluation.samples]:
            self.board.texts("reconstructions", texts, step, split)
        shown, latents = evaluation.total > 0, evaluation.latents
        figures = {
            "quality_by_length": quality_by_length(evaluation.by_length),
            "accuracy_by_position": accuracy_by_position(
                evaluation.correct[shown], evaluation.total[shown], autoencoder.model.stride
            ),
            "latent_variance": latent_dimensions(latents.variance, latents.active_variance, "variance"),
        }
        if latents.kl is not None:
            figures["latent_kl"] = latent_dimensions(latents.kl, ACTIVE, "KL divergence in nats")
        for tag, figure in figures.items():
            self.board.figures(tag, figure, step, split)
        weights = {f"weights/{name}": _some(weight.value) for name, weight in autoencoder.model.named_weights().items()}
        self.board.histograms({"latents": latents.values} | weights, step, split)

    def _points(self, evaluation: Evaluation, corpus: Corpus, step: int) -> None:
        """Write documents for the projector: the mean of each one's latents, its text, label, length and accuracy."""
        points = evaluation.points
        if not points.texts:
            return
        columns: dict[str, list[Any]] = {"text": points.texts}
        if corpus.labelled:
            labels = list(islice(corpus.labels("test"), points.numbers[-1] + 1))
            columns["label"] = [labels[number] for number in points.numbers]
        columns["tokens"] = points.tokens
        columns["token_accuracy"] = [f"{score:.4f}" for score in points.scores]
        self.board.embeddings(np.stack(points.latents), columns, step, "test")


def overlong_documents(batches: Batches, max_length: int) -> str | None:
    """Return how many documents are longer than that and what is lost of them; None if there are none."""
    found, documents = batches.segments, len(batches.store)
    count = found.split + found.truncated + found.dropped
    if not count:
        return None
    long = f"{count:,} of {documents:,} documents ({100 * count / documents:.1f} %) have more than {max_length} tokens"
    if found.split:
        return f"{long} and are split into segments"
    lost = 100 * (1 - batches.tokens / (batches.store.tokens + documents))
    how = "are truncated" if found.truncated else "are left out"
    return f"{long} and {how}: {lost:.1f} % of the train tokens; a larger model.max_length keeps more of them"


def _has_chart(name: str) -> bool:
    """Return whether a metric has a chart of its own, rather than one below the heading "run"."""
    return name.removeprefix("corrupted_") in CHARTS


def _compared(tokenizer: Tokenizer, sample: Sample) -> ComparedText:
    """Return a document and its reconstruction in parts of one token, or as many as hold a whole character."""
    length = max(len(sample.original), len(sample.answer))
    shared = min(len(sample.original), len(sample.answer))
    wrong = length - int((sample.original[:shared] == sample.answer[:shared]).sum())
    heading = f"{sample.kind}: {wrong:,} of {length:,} tokens wrong (original, below it the reconstruction)"
    if length > SHOWN_TOKENS:
        heading += f", the first {SHOWN_TOKENS} shown"
    original, answer = sample.original[:SHOWN_TOKENS], sample.answer[:SHOWN_TOKENS]
    return ComparedText(heading, *aligned_parts(tokenizer, original, answer))


def _some(weight: Any) -> np.ndarray:
    """Return a weight's numbers; of a large one some, drawn evenly from all rows and columns, always the same."""
    values = np.asarray(weight).ravel()
    if values.size <= WEIGHTS_COUNTED:
        return values
    return values[np.random.default_rng(0).choice(values.size, WEIGHTS_COUNTED, replace=False, shuffle=False)]
