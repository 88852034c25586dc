"""Training, from a configuration to a run folder: one story, read top to bottom."""

from __future__ import annotations

import os
import platform
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import keras
import numpy as np
import psutil
from filelock import FileLock, Timeout

from textae import rundir, schedule
from textae.autoencoder import TextAutoencoder, load, set_weights
from textae.batches import Batch, Batches
from textae.config import Config, flat, to_mapping
from textae.corruption import corruption_from
from textae.evaluation import evaluate, final_evaluation
from textae.interrupts import Interrupted, Interrupts
from textae.machine import choose_compile, choose_precision, processor
from textae.model import build
from textae.objectives import reconstruction_sums
from textae.optimizers import optimizer
from textae.prepared import Prepared, prepare
from textae.reporting import Reporter
from textae.rundir import RunDir
from textae.steps import training_step

# What may differ between a run and its continuation: where things lie, and how often one looks.
MAY_CHANGE = {"data_dir", "training.resume", "training.log_every", "training.checkpoint_minutes"}


@dataclass
class TrainingState:
    """Where a run stands, beside the numbers that the step holds; kept in the checkpoint as JSON."""

    step: int = 0
    epoch: int = 0
    batch: int = 0  # the next one of the epoch
    examples_seen: int = 0
    tokens_seen: int = 0
    skipped: int = 0  # updates that were not finite
    seconds: float = 0.0
    step_seconds: float = 0.0
    best_loss: float | None = None
    best_step: int = 0
    validations_since_best: int = 0
    over: bool = False
    history: list[dict[str, float]] = field(default_factory=list)


def fit(config: Config, folder: Path) -> dict[str, Any]:
    """Train, keep the best weights, evaluate them on the test split, and return what metrics.json holds.

    A folder with an unfinished run of the same configuration is continued from its checkpoint; that of a finished
    one is left as it is, and its metrics are returned.

    Raises:
        ValueError: the configuration or the corpus will not do, or the folder is another run's.
        FloatingPointError: a loss or gradient was not finite.
        Interrupted: Ctrl-C or SIGTERM; a checkpoint was written.
    """
    run = RunDir(folder)
    run.folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(run / rundir.LOCK, timeout=0):
            if continues(config, run) and run.finished:
                return rundir.read_json(run / rundir.METRICS)
            return _fit(config, run)
    except Timeout:
        raise ValueError(f"expected a run folder of its own, found another process in {folder}") from None


def continues(config: Config, run: RunDir) -> bool:
    """Return whether the folder holds a run of this configuration.

    Raises:
        ValueError: it holds another run, or one at all where `training.resume` is "never".
    """
    if not (run / rundir.CONFIG).is_file():
        return False
    if config.training.resume.name == "never":
        raise ValueError(f"expected a new run folder with training.resume=never, found a run in {run.folder}")
    before, now = flat(run.config()), flat(to_mapping(config))
    for key in sorted((before.keys() | now.keys()) - MAY_CHANGE):
        if before.get(key) != now.get(key):
            raise ValueError(
                f"expected the configuration of the run in {run.folder}: {key}={before.get(key)!r}, "
                f"found {now.get(key)!r}"
            )
    return True


def _fit(config: Config, run: RunDir) -> dict[str, Any]:
    training = config.training
    keras.backend.clear_session()
    random.seed(training.seed)  # initializers draw theirs from it; Keras's own function imports TensorFlow on JAX
    precision = choose_precision(training.precision.name)
    xla = choose_compile(training.compile.name) == "xla"

    prepared = prepare(
        Path(config.data_dir),
        {"kind": config.corpus.kind} | config.corpus.settings(),
        {
            "kind": config.tokenizer.kind.name,
            "vocabulary_size": config.tokenizer.vocabulary_size,
            "sample_megabytes": config.tokenizer.sample_megabytes,
        },
        training.validation_documents,
    )
    tokenizer = prepared.tokenizer
    batches = _batches(config, prepared, fixed_rows=xla)

    keras.config.set_dtype_policy("mixed_bfloat16" if precision == "bfloat16" else "float32")
    try:
        model = build(config.model, tokenizer.vocabulary_size, training.seed)
    finally:
        keras.config.set_dtype_policy("float32")
    judge = TextAutoencoder(build(config.model, tokenizer.vocabulary_size), tokenizer, config)
    corruption = corruption_from(
        asdict(training.corruption),
        first_id=tokenizer.first_text_id,
        vocabulary_size=tokenizer.vocabulary_size,
        seed=model.seeds,
    )
    step = training_step(
        model,
        lambda tokens, lengths, in_training: reconstruction_sums(
            model,
            tokens,
            lengths,
            in_training,
            kl_weight=config.model.kl_weight,
            free_bits=config.model.free_bits,
            label_smoothing=training.label_smoothing,
            precision=precision,
            gather=not xla,
            corruption=corruption,
        ),
        optimizer(
            training.optimizer.name,
            weight_decay=training.weight_decay,
            beta_1=training.beta_1,
            beta_2=training.beta_2,
        ),
        accumulate=training.accumulate,
        clip_norm=training.clip_norm,
        ema=training.ema,
        xla=xla,
    )

    run.create(to_mapping(config), environment(prepared, precision, xla))
    tokenizer.save(run / rundir.TOKENIZER)
    state = TrainingState()
    if (run / rundir.CHECKPOINT).is_file():
        arrays, described = rundir.read_arrays(run / rundir.CHECKPOINT)
        step.load_state(arrays)
        state = TrainingState(**described)

    with Reporter(run, config, state.step) as reporter:
        reporter.begins(model, prepared, batches, precision, xla, state.step)
        with Interrupts() as interrupts:
            _train(config, run, batches, step, judge, prepared.validation, state, reporter, interrupts)
        reporter.says("evaluating on the test split")
        kept = load(run.folder)
        evaluation = final_evaluation(kept, lambda: prepared.corpus.texts("test"), keep=training.samples)
        metrics = evaluation.metrics | {
            "examples_seen": state.examples_seen,
            "steps": state.step,
            "train_seconds": state.seconds,
            "tokens_per_second": state.tokens_seen / max(state.step_seconds, 1e-9),
            "parameters": model.count_params(),
            "peak_memory_mb": peak_memory_mb(),
        }
        reporter.ends(kept, evaluation, metrics, state)
    rundir.write_csv(run / rundir.BY_LENGTH, [row._asdict() for row in evaluation.by_length])
    rundir.write_json(run / rundir.METRICS, metrics)
    run.remove(rundir.CHECKPOINT)
    return metrics


def _train(
    config: Config,
    run: RunDir,
    batches: Batches,
    step: Any,
    judge: TextAutoencoder,
    validation: list[str],
    state: TrainingState,
    reporter: Reporter,
    interrupts: Interrupts,
) -> None:
    """Update until a limit is reached, validating and keeping the best; `state` moves along."""
    training = config.training
    stream = _stream(batches, state, training.accumulate)
    began, saved = time.monotonic() - state.seconds, time.monotonic()

    def done() -> float:
        return schedule.progress(
            step=state.step,
            epochs=state.epoch + state.batch / len(batches),
            minutes=state.seconds / 60,
            max_steps=training.max_steps,
            max_epochs=training.max_epochs,
            max_minutes=training.max_minutes,
        )

    while not state.over:
        group = next(stream)
        rate = schedule.learning_rate(
            training.learning_rate,
            training.schedule.name,
            step=state.step,
            done=done(),
            warmup_steps=training.warmup_steps,
            final_share=training.final_learning_rate,
        )
        started = time.monotonic()
        sums = {name: float(value) for name, value in step(_arrays(group), rate).items()}
        elapsed = time.monotonic() - started
        finite = np.isfinite(sums["total"]) and np.isfinite(sums["gradient_norm"])
        if not finite and training.on_nonfinite.name == "stop":
            _save(run, step, state)
            documents = sorted({int(d) for batch in group for d in batch.documents if d >= 0})
            raise FloatingPointError(
                f"expected a finite loss, found {sums['total']} with gradient norm {sums['gradient_norm']} at step "
                f"{state.step + 1}, learning rate {rate:.3g}, train documents {_shortened(documents)}; "
                "training.on_nonfinite=skip goes on without such updates"
            )
        state.step += 1
        state.skipped += not finite
        state.examples_seen += int(sums["documents"])
        state.tokens_seen += int(sums["tokens"])
        state.step_seconds += elapsed
        state.seconds = time.monotonic() - began
        if finite:
            reporter.trained(state, sums, rate, elapsed)

        share = done()
        state.over = share >= 1
        if state.over or state.step % training.validate_every == 0:
            _validate(run, step, judge, validation, state, reporter, training.samples)
            state.over |= training.patience is not None and state.validations_since_best >= training.patience
            state.seconds = time.monotonic() - began
        reporter.progress(min(share, 1.0))
        due = time.monotonic() - saved >= training.checkpoint_minutes * 60
        if state.over or due or interrupts.received is not None:
            _save(run, step, state)
            saved = time.monotonic()
        if interrupts.received is not None and not state.over:
            raise Interrupted(interrupts.received)
    rundir.write_arrays(run / rundir.LAST, step.kept_weights(), {"step": state.step})


def _batches(config: Config, prepared: Prepared, fixed_rows: bool) -> Batches:
    batches = Batches(
        prepared.train,
        max_length=config.model.max_length,
        stride=int(np.prod(config.model.strides)),
        batch_tokens=config.training.batch_tokens,
        buckets=config.training.buckets,
        long_documents=config.model.long_documents.name,
        seed=config.training.seed,
        fixed_rows=fixed_rows,
        short_first=config.training.short_first,
    )
    if not len(batches):
        raise ValueError(
            f"expected training documents of at most model.max_length={config.model.max_length} tokens, found none; "
            "model.long_documents=split or cut keeps longer ones"
        )
    return batches


def _stream(batches: Batches, state: TrainingState, accumulate: int) -> Iterator[list[Batch]]:
    """Yield one update's batches after the other, from where `state` stands; it is moved along."""
    group: list[Batch] = []
    epoch, first = state.epoch, state.batch
    while True:
        for number, batch in enumerate(batches.epoch(epoch, start=first), first + 1):
            group.append(batch)
            if len(group) == accumulate:
                state.epoch, state.batch = epoch, number
                yield group
                group = []
        epoch, first = epoch + 1, 0


def _arrays(group: list[Batch]) -> list[tuple[np.ndarray, np.ndarray]]:
    return [(batch.tokens, batch.lengths) for batch in group]


def _validate(
    run: RunDir,
    step: Any,
    judge: TextAutoencoder,
    validation: list[str],
    state: TrainingState,
    reporter: Reporter,
    samples: int,
) -> None:
    """Judge the weights by the validation split, and keep them if they are the best so far."""
    weights = step.kept_weights()
    set_weights(judge.model, weights, "the training step")
    evaluation = evaluate(judge, validation, keep=samples)
    loss = evaluation.metrics["loss"]
    if state.best_loss is None or loss < state.best_loss or not np.isfinite(state.best_loss):
        state.best_loss, state.best_step, state.validations_since_best = loss, state.step, 0
        rundir.write_arrays(run / rundir.WEIGHTS, weights, {"step": state.step, "validation_loss": loss})
    else:
        state.validations_since_best += 1
    state.history.append(
        {"step": state.step, "examples_seen": state.examples_seen, "seconds": round(state.seconds, 3)}
        | evaluation.metrics
    )
    run.write_history(state.history)
    reporter.validated(judge, evaluation, state)


def _save(run: RunDir, step: Any, state: TrainingState) -> None:
    rundir.write_arrays(run / rundir.CHECKPOINT, step.state(), asdict(state))


def environment(prepared: Prepared, precision: str, xla: bool) -> dict[str, Any]:
    """Return what a run ran on and with."""
    packages = ("textae", "keras", "tensorflow", "jax", "numpy", "sentencepiece", "tensorflow-datasets")
    return {
        "python": platform.python_version(),
        "backend": keras.backend.backend(),
        "precision": precision,
        "compile": "xla" if xla else "graph",
        "machine": processor(),
        "versions": {name: _version(name) for name in packages},
        "commit": _commit(),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "corpus": {"name": prepared.corpus.name, "fingerprint": prepared.corpus.fingerprint} | prepared.corpus.sizes,
        "vocabulary_size": prepared.tokenizer.vocabulary_size,
    }


def peak_memory_mb() -> float:
    """Return the most memory this process has held, in MB of 10^6 bytes."""
    try:
        import resource
    except ImportError:  # Windows
        return psutil.Process().memory_info().rss / 1e6
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _commit() -> str | None:
    """Return the commit of the checkout that this file lies in, with a + where it was changed."""
    try:
        found = subprocess.run(
            ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--abbrev=40", "--dirty=+"],
            capture_output=True,
            text=True,
            timeout=10,
            env=os.environ | {"LC_ALL": "C"},
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() or None


def _shortened(numbers: list[int]) -> str:
    shown = ", ".join(map(str, numbers[:20]))
    return f"{shown} and {len(numbers) - 20} more" if len(numbers) > 20 else shown
