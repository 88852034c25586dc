"""What a run shows while it runs: lines or a bar on standard error, and TensorBoard."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from tqdm import tqdm

from textae.batches import Batches
from textae.config import Config, flat, to_mapping
from textae.evaluation import Evaluation
from textae.figures import accuracy_by_position, quality_by_length
from textae.prepared import Prepared
from textae.progress import say
from textae.rundir import RunDir
from textae.tensorboard import TensorBoardWriter, TextRow

# Metrics of a validation that go to TensorBoard's scalars.
_CHARTED = ("loss", "token_accuracy", "exact_match", "bleu", "cer")


class Reporter:
    """Says how a run goes; `log_every` steps are put together into one point or line."""

    def __init__(self, run: RunDir, config: Config, step: int) -> None:
        self.run, self.config = run, config
        self.board = TensorBoardWriter(run.folder)
        self.board.purge_from(step + 1)
        self._bar = None
        if sys.stderr.isatty():
            self._bar = tqdm(total=1000, file=sys.stderr, bar_format="{l_bar}{bar}| {elapsed}<{remaining} {postfix}")
        self._sums: dict[str, float] = {}
        self._seconds = 0.0
        self._steps = 0
        self._share = 0.0

    def __enter__(self) -> Reporter:
        return self

    def __exit__(self, *raised: object) -> None:
        if self._bar is not None:
            self._bar.close()
        self.board.close()

    def says(self, line: str) -> None:
        """Write a line to standard error, above the bar where there is one."""
        if self._bar is not None:
            self._bar.write(line, file=sys.stderr)
        else:
            say(line)

    def begins(self, model: Any, prepared: Prepared, batches: Batches, precision: str, xla: bool, step: int) -> None:
        """Say what is about to be trained, and on what."""
        sizes = prepared.corpus.sizes
        self.says(
            f"corpus {prepared.corpus.name}: {sizes['train']:,} train, {sizes['validation']:,} validation, "
            f"{sizes['test']:,} test documents; {prepared.train.tokens:,} train tokens, "
            f"{100 * batches.tokens / max(batches.positions, 1):.1f} % of computed positions"
        )
        for what, how in (("split", "split into pieces"), ("cut", "cut"), ("dropped", "left out")):
            if count := getattr(batches.pieces, what):
                self.says(f"{count:,} documents of more than {model.max_length} tokens are {how}")
        self.says(
            f"model: {model.count_params():,} parameters, vocabulary {model.vocabulary_size:,}, "
            f"{model.latent_size} numbers per {'text' if model.latent == 'vector' else f'{model.stride} tokens'}; "
            f"{precision} products, {'XLA' if xla else 'graph'}"
        )
        if step:
            self.says(f"continuing after step {step:,}")
        self.says(f"run folder: {self.run.folder}; to watch it: tensorboard --logdir {self.run.folder}")

    def trained(self, state: Any, sums: dict[str, float], rate: float, seconds: float) -> None:
        """Take note of one update."""
        for name, value in sums.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        self._seconds += seconds
        self._steps += 1
        if state.step % self.config.training.log_every:
            return
        tokens = max(self._sums["tokens"], 1.0)
        values = {
            "loss": self._sums["loss"] / tokens,
            "token_accuracy": self._sums["correct"] / tokens,
            "gradient_norm": self._sums["gradient_norm"] / self._steps,
            "learning_rate": rate,
            "tokens_per_second": tokens / max(self._seconds, 1e-9),
        }
        if "kl" in self._sums:
            values["kl"] = self._sums["kl"] / tokens
        self.board.scalars(values, state.step, "train")
        self._sums, self._seconds, self._steps = {}, 0.0, 0
        text = (
            f"loss {values['loss']:.4f} accuracy {values['token_accuracy']:.4f} "
            f"{values['tokens_per_second']:,.0f} tokens/s"
        )
        if self._bar is not None:
            self._bar.set_postfix_str(f"step {state.step} {text}", refresh=False)
        else:
            self.says(f"step {state.step:,} ({100 * self._share:.0f} %): {text}")

    def progress(self, share: float) -> None:
        """Move the bar."""
        self._share = share
        if self._bar is not None:
            self._bar.update(int(1000 * share) - self._bar.n)

    def validated(self, judge: Any, evaluation: Evaluation, state: Any) -> None:
        """Write a validation's figures, texts and pictures."""
        metrics = evaluation.metrics
        mark = " (best)" if state.best_step == state.step else ""
        self.says(
            f"validation at step {state.step:,}: loss {metrics['loss']:.4f}, token accuracy "
            f"{metrics['token_accuracy']:.4f}, exact match {metrics['exact_match']:.4f}, "
            f"BLEU {metrics['bleu']:.2f}{mark}"
        )
        self.board.scalars({name: metrics[name] for name in _CHARTED}, state.step, "validation")
        self._pictures(judge, evaluation, state.step, "validation")

    def ends(self, judge: Any, evaluation: Evaluation, metrics: dict[str, Any], state: Any) -> None:
        """Write the test split's figures and this run's row of the HParams table."""
        self._pictures(judge, evaluation, state.step, "test")
        numbers = {name: float(value) for name, value in metrics.items() if value is not None}
        self.board.hparams(flat(to_mapping(self.config)), numbers, state.step)
        self.says(
            f"test: loss {metrics['loss']:.4f}, token accuracy {metrics['token_accuracy']:.5f}, exact match "
            f"{metrics['exact_match']:.4f}, BLEU {metrics['bleu']:.2f}, character error rate {metrics['cer']:.4f}; "
            f"weights of step {state.best_step:,}"
        )

    def _pictures(self, judge: Any, evaluation: Evaluation, step: int, split: str) -> None:
        worst = len(evaluation.samples) // 2
        rows = [
            TextRow(
                "worst" if i < worst else "example",
                _tokens(judge.tokenizer, original),
                _tokens(judge.tokenizer, answer),
            )
            for i, (original, answer) in enumerate(evaluation.samples)
        ]
        if rows:
            self.board.texts("reconstructions", rows, step, split)
        self.board.figures("quality_by_length", quality_by_length(evaluation.by_length), step, split)
        shown = evaluation.total > 0
        self.board.figures(
            "accuracy_by_position",
            accuracy_by_position(evaluation.correct[shown], evaluation.total[shown], judge.model.stride),
            step,
            split,
        )


def _tokens(tokenizer: Any, ids: np.ndarray) -> list[str]:
    return tokenizer.decode([[i] for i in ids[:400]])
