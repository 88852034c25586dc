"""Training, from a configuration to a run folder: one story, read top to bottom."""

from __future__ import annotations

import gc
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from textae.config.mapping import to_mapping
from textae.config.schema import Config
from textae.data.corpora import Corpus
from textae.data.preparation import Prepared
from textae.data.tokenizers import load_tokenizer
from textae.evaluation.evaluator import Evaluation, final_evaluation
from textae.files import write_csv, write_text
from textae.hardware import peak_memory_mb
from textae.inference.text_autoencoder import TextAutoencoder, set_weights
from textae.models.isolation import isolated
from textae.reporting.loggers.opening import check_loggers
from textae.reporting.model_card import model_card
from textae.reporting.reporter import POINTS, Reporter
from textae.runs.arrays import read_arrays
from textae.runs.json_files import read_json, write_json
from textae.runs.provenance import environment, sessions
from textae.runs.run_folder import (
    BY_LENGTH,
    CARD,
    CHECKPOINT,
    ENVIRONMENT,
    LOCK,
    METRICS,
    PREVIOUS,
    TOKENIZER,
    WEIGHTS,
    RunDir,
)
from textae.training.callbacks import Callbacks
from textae.training.checkpoint import Checkpoint, continues, read_checkpoint
from textae.training.following import follow, lead
from textae.training.initial_run import InitialRun, read_initial_run
from textae.training.interrupts import Interrupts
from textae.training.loop import SKIPPED_IN_A_ROW, TrainingLoop
from textae.training.processes import Processes, joined
from textae.training.setup import (
    Arithmetic,
    check_memory,
    check_splits,
    evaluation_model,
    prepared_corpus,
    token_statistics,
    training_batches,
    training_model,
)
from textae.training.state import TrainingState

logger = logging.getLogger(__name__)


def fit(
    config: Config,
    folder: Path,
    command: Sequence[str] | None = None,
    corpus: Corpus | None = None,
    callbacks: Callbacks | None = None,
    processes: Processes | None = None,
) -> dict[str, Any]:
    """Train, keep the best weights, evaluate them on the test split, and return what metrics.json holds.

    A folder with an unfinished run of the same configuration is continued from its checkpoint; that of a finished
    one is left as it is, and its metrics are returned. If the configuration has a higher limit of steps, epochs or
    minutes, the run goes on in either case.

    Args:
        config: the configuration.
        folder: of the run.
        command: what the model card says trains it; None: that of this process.
        corpus: that of the configuration, where it is open already.
        callbacks: called as the training goes on; not for a run that is finished already.
        processes: those that train together, where this one has joined them already. Process 0 writes all files, and
            the others do what it says.

    Raises:
        ValueError: the configuration or the corpus is invalid, or the folder is another run's.
        FloatingPointError: a loss or gradient was not finite.
        Interrupted: Ctrl-C or SIGTERM; a checkpoint was written.
        ProcessEnded: another process ended the training.
    """
    if processes is None:
        with joined(config.distributed) as found:
            return fit(config, folder, command, corpus, callbacks, found)
    config = config.located()
    if not processes.leads:
        with isolated(exact=config.model.fourier_features):
            return follow(config, processes, corpus)
    return _lead(config, folder, command, corpus, callbacks or Callbacks(), processes)


def _lead(
    config: Config,
    folder: Path,
    command: Sequence[str] | None,
    corpus: Corpus | None,
    callbacks: Callbacks,
    processes: Processes,
) -> dict[str, Any]:
    """Train in a folder that is this run's, or that becomes it; see `fit`."""
    check_loggers(config.training.loggers)
    run = RunDir(folder)
    run.check_place(Path(config.data_dir))
    run.folder.mkdir(parents=True, exist_ok=True)
    run.check_files()
    try:
        with FileLock(run / LOCK, timeout=0):
            run.tidy()
            found = continues(config, run, corpus)
            if found.same and run.finished and not found.longer:
                metrics = run.metrics()
            else:
                run.reopen()
                processes.tell("begin")
                with isolated(exact=config.model.fourier_features):
                    metrics = _fit(config, run, command, corpus, callbacks, found.longer, processes)
            processes.tell("finished", metrics=metrics)
            return metrics
    except Timeout:
        raise ValueError(f"expected a run folder of its own, found another process in {folder}") from None


def _fit(
    config: Config,
    run: RunDir,
    command: Sequence[str] | None,
    corpus: Corpus | None,
    callbacks: Callbacks,
    longer: bool,
    processes: Processes,
) -> dict[str, Any]:
    gc.collect()  # what another run in this process has left
    arithmetic = Arithmetic.of(config)
    initial = None if (run / CHECKPOINT).is_file() else read_initial_run(config)
    prepared = _prepared(config, corpus, initial, run)
    tokenizer = prepared.tokenizer
    batches = training_batches(config, prepared, arithmetic)
    check_splits(config, prepared)
    checkpoint = read_checkpoint(config, run, prepared)
    state = _state(config, checkpoint)
    state.over = state.over and not longer

    check_memory(config, tokenizer.vocabulary_size)
    goes_on = checkpoint is not None
    statistics = token_statistics(config, prepared.train, goes_on or initial is not None)
    model, step = training_model(
        config, tokenizer.vocabulary_size, tokenizer.first_text_id, arithmetic, initial, goes_on, **statistics
    )
    evaluated = evaluation_model(config, tokenizer)

    settings = to_mapping(config)
    described = _describe(run, prepared, arithmetic, command, state if checkpoint else None)
    run.create(settings, described)
    tokenizer.save(run / TOKENIZER)
    if checkpoint:
        step.load_state(checkpoint.arrays)

    processes.remedy = f"; the same commands, with hydra.run.dir={run.folder}, go on from its last checkpoint"
    step = lead(processes, step, evaluated, state, prepared)

    with Reporter(run, config, state) as reporter, Interrupts() as interrupts:
        if checkpoint and checkpoint.remark:
            logger.warning(checkpoint.remark)
        reporter.begins(model, prepared, batches, arithmetic.precision, arithmetic.xla, state.step)
        train = TrainingLoop(
            config.training, run, batches, step, evaluated, prepared.validation, state, reporter, interrupts, callbacks
        )
        train()
        with interrupts.at_once():
            evaluation = _evaluate_best(run, evaluated, prepared, config, state)
        metrics = evaluation.metrics | _training_metrics(state, model.count_params())
        reporter.ends(evaluated, evaluation, metrics, state, prepared.corpus)
    texts = [tokenizer.decode([sample.original, sample.answer]) for sample in evaluation.samples]
    examples = [(sample.kind, text, answer) for sample, (text, answer) in zip(evaluation.samples, texts, strict=True)]
    write_text(run / CARD, model_card(settings, described, metrics, examples), own=True)
    write_csv(run / BY_LENGTH, [row._asdict() for row in evaluation.by_length], own=True)
    write_json(run / METRICS, metrics)
    run.remove(PREVIOUS, *([] if config.training.keep_checkpoint else [CHECKPOINT]))
    callbacks.on_end(evaluated, metrics)
    return metrics


def _prepared(config: Config, corpus: Corpus | None, initial: InitialRun | None, run: RunDir) -> Prepared:
    """Return the corpus, the tokenizer and the tokens that the run trains on.

    A run that goes on has a tokenizer of its own, so the run that it began with may be gone.
    """
    given = None if initial is None else initial.tokenizer
    if given is None and config.training.initial_run is not None:
        given = load_tokenizer(run / TOKENIZER)
    return prepared_corpus(config, corpus, given)


def _state(config: Config, checkpoint: Checkpoint | None) -> TrainingState:
    """Return the state to go on from.

    Raises:
        FloatingPointError: the run stopped because something was not finite, and may not skip it.
    """
    state = checkpoint.state if checkpoint else TrainingState()
    if state.stopped and (config.training.on_nonfinite.name == "stop" or state.skipped_in_a_row >= SKIPPED_IN_A_ROW):
        raise FloatingPointError(state.stopped)
    state.stopped = None
    return state


def _describe(
    run: RunDir,
    prepared: Prepared,
    arithmetic: Arithmetic,
    command: Sequence[str] | None,
    continued: TrainingState | None,
) -> dict[str, Any]:
    """Return what environment.json is to hold of this session, and of those before it where a run is continued."""
    corpus = prepared.corpus
    now = environment(arithmetic.precision, arithmetic.xla, command) | {
        "devices": max(len(arithmetic.devices), 1),
        "corpus": {"name": corpus.name, "fingerprint": corpus.fingerprint} | corpus.sizes,
        "vocabulary_size": prepared.tokenizer.vocabulary_size,
    }
    before = read_json(run / ENVIRONMENT) if continued else None
    return now | {"sessions": sessions(before, now, continued.step if continued else 0)}


def _evaluate_best(
    run: RunDir, evaluated: TextAutoencoder, prepared: Prepared, config: Config, state: TrainingState
) -> Evaluation:
    """Evaluate the weights that were kept on the test split.

    Raises:
        FloatingPointError: the loss is not finite.
    """
    logger.info("evaluating on the test split")
    kept, _ = read_arrays(run / WEIGHTS)
    set_weights(evaluated.model, kept, run / WEIGHTS)
    evaluated.codec.weights_changed()
    evaluation = final_evaluation(
        evaluated, prepared.test_texts, keep=config.training.num_logged_samples, points=POINTS
    )
    if not np.isfinite(evaluation.metrics["loss"]):
        raise FloatingPointError(
            f"expected a finite loss of the test split, found {evaluation.metrics['loss']} with the weights of "
            f"step {state.best_step}, the best by the validation split"
        )
    return evaluation


def _training_metrics(state: TrainingState, parameters: int) -> dict[str, float]:
    """Return the metrics of the training itself."""
    return {
        "examples_seen": state.examples_seen,
        "steps": state.step,
        "steps_skipped": state.skipped,
        "train_seconds": state.seconds,
        "tokens_per_second": state.tokens_seen / max(state.step_seconds, 1e-9),
        "parameters": parameters,
        "peak_memory_mb": peak_memory_mb(),
    }
