"""What a run shows while it runs: messages, a bar on a terminal, and what its loggers record."""

from __future__ import annotations

import logging
import math
import time
from itertools import islice
from typing import Any, Protocol

import numpy as np

from textae.config.choices import LoggerKind
from textae.config.mapping import flat, to_mapping
from textae.config.metric_table import CHARTS
from textae.config.schema import Config
from textae.data.batching import Batches
from textae.data.corpora import Corpus
from textae.data.preparation import Prepared
from textae.data.tokenizers import Tokenizer
from textae.evaluation.evaluator import Evaluation, Sample
from textae.evaluation.latent_statistics import ACTIVE
from textae.inference.text_autoencoder import TextAutoencoder
from textae.models.autoencoder import Autoencoder
from textae.models.isolation import default_style
from textae.progress import new_bar, shows_bar
from textae.reporting.aligned_parts import aligned_parts
from textae.reporting.loggers.opening import open_loggers
from textae.reporting.tensorboard import ComparedText
from textae.runs.run_folder import RunDir

logger = logging.getLogger(__name__)

POINTS = 2000  # documents in the projector
SHOWN_TOKENS = 300  # of a document among the texts
BAR_SECONDS = 0.1  # between two states of the bar
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
        self.loggers = open_loggers(run, config, state.step, state.validation_due)
        self._bar = Bar() if shows_bar() else None
        self._share = 0.0

    def __enter__(self) -> Reporter:
        return self

    def __exit__(self, *raised: object) -> None:
        if self._bar is not None:
            self._bar.close()
        self.loggers.close()

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
        self.loggers.settings(flat(to_mapping(self.config)))
        logger.info(f"run folder: {self.run.folder}{self._watch('; to watch it: ')}")

    def _watch(self, words: str) -> str:
        """Return the command that shows what TensorBoard was given, after some words; nothing where it was not."""
        used = LoggerKind.tensorboard in self.config.training.loggers
        return f"{words}tensorboard --logdir {self.run.folder}" if used else ""

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
        if self._bar is not None and state.unlogged:
            self._bar.show(self._share, f"step {state.step:,} {_in_words(_averages(state.unlogged))}")
        if state.step % self.config.training.log_every_steps or not state.unlogged:
            return
        since, state.unlogged = state.unlogged, {}
        values = _averages(since) | {"learning_rate": rate}
        if "kl" in since:
            values["kl_weight"] = state.kl_weight
        if state.skipped:
            values["steps_skipped"] = state.skipped
        self.loggers.scalars(values, state.step, "train")
        if self._bar is None:
            logger.info(f"step {state.step:,} ({100 * self._share:.0f} %): {_in_words(values)}")

    def flush(self) -> None:
        """Have the loggers write what waits."""
        self.loggers.flush()

    def progress(self, share: float) -> None:
        """Take note of the share of the training that is done with the update that is reported next."""
        self._share = share

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
        charted = {name: value for name, value in metrics.items() if CHARTS.get(name) != "run"}
        self.loggers.scalars(charted, state.step, "validation")
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
        self.loggers.results({k: float(value) for k, value in metrics.items() if value is not None}, state.step)
        logger.info(
            f"test: loss {metrics['loss']:.4f}, token accuracy {metrics['token_accuracy']:.5f}, exact match "
            f"{metrics['exact_match']:.4f}, BLEU {metrics['bleu']:.2f}, character error rate {metrics['cer']:.4f}; "
            f"weights of step {state.best_step:,}"
        )
        if cut := metrics.get("documents_truncated"):
            logger.info(
                f"{cut:,} of {metrics['documents']:,} test documents are longer than model.max_length: truncated"
            )
        if look := self._watch("to look at the run: "):
            logger.info(look)

    @default_style()
    def _pictures(self, autoencoder: TextAutoencoder, evaluation: Evaluation, step: int, split: str) -> None:
        """Write texts, figures and histograms of the evaluated weights."""
        from textae.reporting.figures import (  # Matplotlib takes a second, and an update is made before it is needed
            accuracy_by_phase,
            accuracy_by_position,
            latent_dimensions,
            quality_by_length,
        )

        if texts := [_compared(autoencoder.tokenizer, sample) for sample in evaluation.samples]:
            self.loggers.texts("reconstructions", texts, step, split)
        shown, latents = evaluation.total > 0, evaluation.latents
        correct, total, stride = evaluation.correct[shown], evaluation.total[shown], autoencoder.model.stride
        figures = {
            "quality_by_length": quality_by_length(evaluation.by_length),
            "accuracy_by_position": accuracy_by_position(correct, total),
            "latent_variance": latent_dimensions(latents.variance, latents.active_variance, "variance"),
        }
        if stride > 1:
            figures["accuracy_by_phase"] = accuracy_by_phase(correct, total, stride)
        if latents.kl is not None:
            figures["latent_kl"] = latent_dimensions(latents.kl, ACTIVE, "KL divergence in nats")
        for name, figure in figures.items():
            self.loggers.figure(name, figure, step, split)
        weights = {f"weights/{name}": _some(weight.value) for name, weight in autoencoder.model.named_weights().items()}
        self.loggers.histograms({"latents": latents.values} | weights, step, split)

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
        self.loggers.points(np.stack(points.latents), columns, step, "test")


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


class Bar:
    """A bar on a terminal, for the share of the training that is done, with how it stands."""

    def __init__(self) -> None:
        shown = "{percentage:3.0f} %|{bar}| {elapsed}<{remaining}{postfix}"
        self._bar = new_bar(total=1000, bar_format=shown, dynamic_ncols=True)
        self._begun = False
        self._shown = -math.inf

    def show(self, share: float, text: str) -> None:
        """Show a share and a text, unless the last ones have been there for a moment only."""
        self._bar.n = round(1000 * share)
        if not self._begun:  # of a continued run, the time that is left goes by what is done from now on
            self._begun, self._bar.initial = True, self._bar.n if share > 0.02 else 0
        self._bar.set_postfix_str(text, refresh=False)
        if share >= 1 or time.monotonic() - self._shown >= BAR_SECONDS:
            self._bar.refresh()
            self._shown = time.monotonic()

    def close(self) -> None:
        """Leave the bar as it is, with the last text."""
        self._bar.close()


def _averages(sums: dict[str, float]) -> dict[str, float]:
    """Return the averages of the updates that `sums` are of, by the names that loggers have."""
    tokens = max(sums["tokens"], 1.0)
    values = {
        "loss": sums["loss"] / tokens,
        "token_accuracy": sums["correct"] / tokens,
        "gradient_norm": sums["gradient_norm"] / sums["updates"],
        "tokens_per_second": tokens / max(sums["seconds"], 1e-9),
    }
    for name in ("bag_of_words_loss", "contrastive_loss"):
        if name in sums:
            values[name] = sums[name] / tokens
    if "kl" in sums:
        values["kl"] = sums["kl"] / max(sums["documents"], 1.0)
        values["rate"] = sums["kl"] / math.log(2) / tokens
    return values


def _in_words(values: dict[str, float]) -> str:
    return (
        f"loss {values['loss']:.4f} accuracy {values['token_accuracy']:.4f} {values['tokens_per_second']:,.0f} tokens/s"
    )


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
