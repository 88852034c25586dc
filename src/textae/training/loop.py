"""The training loop: updates until a limit is reached, with validations and checkpoints on the way."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any, NoReturn, Protocol

import numpy as np

from textae.config.schema import TrainingConfig
from textae.data.batching import Batch, Batches
from textae.evaluation.evaluator import Evaluation, evaluate
from textae.inference.text_autoencoder import TextAutoencoder, set_weights
from textae.runs.arrays import write_arrays
from textae.runs.run_folder import LAST, WEIGHTS, RunDir
from textae.training import kl_control, schedules
from textae.training.callbacks import Callbacks
from textae.training.checkpoint import write_checkpoint
from textae.training.interrupts import Interrupted, Interrupts
from textae.training.state import TrainingState
from textae.training.steps import TrainingStep

logger = logging.getLogger(__name__)

SKIPPED_IN_A_ROW = 100  # updates that are not finite, after which skipping more of them is no help


class LoopReporter(Protocol):
    """What records the progress of the loop."""

    def progress(self, share: float) -> None:
        """Take note of the share of the training that is done with the update that is reported next."""
        ...

    def trained(self, state: Any, sums: dict[str, float], rate: float, seconds: float) -> None:
        """Take note of one update; one that was skipped has no sums."""
        ...

    def validated(self, autoencoder: TextAutoencoder, evaluation: Evaluation, state: Any) -> None:
        """Take note of a validation."""
        ...

    def flush(self) -> None:
        """Write what waits to be written."""
        ...


class TrainingLoop:
    """Updates until a limit is reached; `state` moves along.

    Args:
        settings: the configuration's `training`.
        run: the folder that weights, history and checkpoints are written to.
        batches: of the train split.
        step: makes an update.
        evaluated: the model that takes over the step's weights for a validation.
        validation: texts of the validation split.
        state: where the run stands.
        reporter: records the progress.
        interrupts: Ctrl-C and SIGTERM.
        callbacks: called after updates and validations; one of them may end the training.
    """

    def __init__(
        self,
        settings: TrainingConfig,
        run: RunDir,
        batches: Batches,
        step: TrainingStep,
        evaluated: TextAutoencoder,
        validation: list[str],
        state: TrainingState,
        reporter: LoopReporter,
        interrupts: Interrupts,
        callbacks: Callbacks | None = None,
    ) -> None:
        self.callbacks = callbacks or Callbacks()
        self.settings, self.run, self.batches, self.step = settings, run, batches, step
        self.model, self.learning_rate = evaluated.config.model, evaluated.config.learning_rate
        self.evaluated, self.validation, self.state = evaluated, validation, state
        self.reporter, self.interrupts = reporter, interrupts
        self._stream = stream(batches, state, settings.gradient_accumulation_steps)
        self._compiled = False

    def __call__(self) -> None:
        """Train to the end.

        Raises:
            FloatingPointError: a loss or gradient was not finite.
            Interrupted: Ctrl-C or SIGTERM; a checkpoint was written.
        """
        state = self.state
        self._began, saved = time.monotonic() - state.seconds, time.monotonic()
        while not state.over or state.validation_due:
            if not state.validation_due:
                self.update(next(self._stream))
            if state.validation_due and self.interrupts.received is None:
                self._try_validation()
            finished = state.over and not state.validation_due
            due = time.monotonic() - saved >= self.settings.checkpoint_every_minutes * 60
            if finished or due or self.interrupts.received is not None:
                self.save()
                saved = time.monotonic()
            self.interrupts.check()
        write_arrays(self.run / LAST, self.step.kept_weights(), {"step": state.step})
        if state.skipped == state.step:
            raise FloatingPointError(
                f"expected updates with a finite loss and gradient, found none: all {state.step:,} were skipped"
            )

    def done(self) -> float:
        """Return the share of the training that is done; 1 or more when it is over."""
        state, settings = self.state, self.settings
        return schedules.progress(
            step=state.step,
            epochs=state.epoch + state.batch / len(self.batches),
            minutes=state.seconds / 60,
            max_steps=settings.max_steps,
            max_epochs=settings.max_epochs,
            max_minutes=settings.max_minutes,
        )

    def update(self, group: list[Batch]) -> None:
        """Make one update from its batches."""
        state, settings = self.state, self.settings
        rate = schedules.learning_rate(
            self.learning_rate,
            settings.schedule.name,
            step=state.step,
            done=self.done(),
            warmup_steps=settings.warmup_steps,
            final_share=settings.final_learning_rate,
        )
        started = time.monotonic()
        state.kl_weight = kl_control.kl_weight(self.model, state, self.done())
        arrays = [(batch.tokens, batch.lengths) for batch in group]
        # Compiling takes long, and before the first update there is nothing to save.
        with nullcontext() if self._compiled else self.interrupts.at_once():
            sums = {name: float(value) for name, value in self.step(arrays, rate, state.kl_weight).items()}
        self._compiled = True
        elapsed = time.monotonic() - started
        finite = bool(np.isfinite(sums["total"]) and np.isfinite(sums["gradient_norm"]))
        state.step += 1
        state.skipped += not finite
        state.skipped_in_a_row = 0 if finite else state.skipped_in_a_row + 1
        state.examples_seen += int(sums["documents"])
        state.tokens_seen += int(sums["tokens"])
        state.step_seconds += elapsed
        state.seconds = time.monotonic() - self._began
        state.over = self.done() >= 1
        state.validation_due = state.over or state.step % settings.eval_every_steps == 0
        if finite and "kl" in sums:
            kl_control.observe(self.model, state, sums["kl"], sums["tokens"])
        self.reporter.progress(min(self.done(), 1.0))
        self.reporter.trained(state, sums if finite else {}, rate, elapsed)
        self._tell_update(sums if finite else {}, rate)
        if not finite:
            self._skip(_not_finite(state, sums, rate, group))

    def _tell_update(self, sums: dict[str, float], rate: float) -> None:
        """Tell the callbacks of an update; one that was skipped has no sums."""
        state, progress = self.state, self.callbacks.progress
        tokens = max(sums.get("tokens", 0.0), 1.0)
        progress.step, progress.share = state.step, min(self.done(), 1.0)
        progress.loss = sums["loss"] / tokens if sums else None
        progress.token_accuracy = sums["correct"] / tokens if sums else None
        progress.learning_rate, progress.seconds, progress.examples_seen = rate, state.seconds, state.examples_seen
        self.callbacks.on_step()
        if progress.stopped and not state.over:
            state.over = state.validation_due = True

    def _try_validation(self) -> None:
        """Validate, unless a signal comes: then the run begins with this validation when it goes on."""
        state, settings = self.state, self.settings
        try:
            self.validate()
        except Interrupted:
            pass
        else:
            state.validation_due = False
            state.over |= self.callbacks.progress.stopped
            state.over |= settings.patience is not None and state.validations_since_best >= settings.patience
            if settings.on_nonfinite.name == "stop" and not np.isfinite(state.history[-1]["loss"]):
                self._stop(_validation_not_finite(state))
        state.seconds = time.monotonic() - self._began

    def validate(self) -> None:
        """Evaluate the weights on the validation split, and keep them if they are the best so far.

        The best have the lowest loss; with a bag-of-words head its loss counts too, with its weight.

        Raises:
            Interrupted: a signal came before the weights were evaluated; nothing has changed.
        """
        state = self.state
        weights = self.step.kept_weights()
        set_weights(self.evaluated.model, weights, "the training step")
        self.evaluated.codec.weights_changed()
        with self.interrupts.at_once():
            evaluation = evaluate(self.evaluated, self.validation, keep=self.settings.num_logged_samples)
        loss = kl_control.validation_objective(self.model, evaluation.metrics)
        loss += self.settings.bag_of_words_weight * evaluation.metrics.get("bag_of_words_loss", 0.0)
        if state.best_loss is None or loss < state.best_loss or not np.isfinite(state.best_loss):
            state.best_loss, state.best_step, state.validations_since_best = loss, state.step, 0
            known = loss if np.isfinite(loss) else None
            write_arrays(self.run / WEIGHTS, weights, {"step": state.step, "validation_loss": known})
        else:
            state.validations_since_best += 1
        state.history.append(
            {"step": state.step, "examples_seen": state.examples_seen, "seconds": round(state.seconds, 3)}
            | evaluation.metrics
        )
        self.run.write_history(state.history)
        self.reporter.validated(self.evaluated, evaluation, state)
        self.callbacks.on_validation(evaluation.metrics)

    def save(self) -> None:
        """Write a checkpoint; what TensorBoard shows reaches as far."""
        self.reporter.flush()
        write_checkpoint(self.run, self.step, self.state)

    def _skip(self, what: str) -> None:
        """Report that an update was skipped, or give up."""
        state = self.state
        if self.settings.on_nonfinite.name == "stop":
            self._stop(f"{what}; training.on_nonfinite=skip goes on without such updates")
        if state.skipped_in_a_row >= SKIPPED_IN_A_ROW:
            self._stop(f"{what}, the last of {SKIPPED_IN_A_ROW} in a row")
        if state.skipped <= 10 or state.skipped % 100 == 0:
            logger.warning(f"skipped an update ({state.skipped:,} so far): {what}")

    def _stop(self, what: str) -> NoReturn:
        """Save, and give up: the same command says the same again, unless it has training.on_nonfinite=skip."""
        self.state.stopped = what
        self.save()
        raise FloatingPointError(what)


def stream(batches: Batches, state: TrainingState, gradient_accumulation_steps: int) -> Iterator[list[Batch]]:
    """Yield one update's batches after the other, from where `state` stands; it is moved along."""
    group: list[Batch] = []
    epoch, first = state.epoch, state.batch
    while True:
        for number, batch in enumerate(batches.epoch(epoch, start=first), first + 1):
            group.append(batch)
            if len(group) == gradient_accumulation_steps:
                state.epoch, state.batch = epoch, number
                yield group
                group = []
        epoch, first = epoch + 1, 0


def _not_finite(state: TrainingState, sums: dict[str, float], rate: float, group: list[Batch]) -> str:
    documents = sorted({int(d) for batch in group for d in batch.documents if d >= 0})
    shown = ", ".join(map(str, documents[:20]))
    more = f" and {len(documents) - 20} more" if len(documents) > 20 else ""
    return (
        f"expected a finite loss, found {sums['total']} with gradient norm {sums['gradient_norm']} at step "
        f"{state.step}, learning rate {rate:.3g}, train documents {shown}{more}"
    )


def _validation_not_finite(state: TrainingState) -> str:
    kept = f"the weights of step {state.best_step} are kept" if state.best_step < state.step else "no good weights yet"
    return f"expected a finite validation loss, found {state.history[-1]['loss']} at step {state.step}; {kept}"
