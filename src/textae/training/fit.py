"""Training, from a configuration to a run folder: one story, read top to bottom."""

from __future__ import annotations

import gc
import logging
import platform
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, NoReturn

import keras
import numpy as np
import psutil
from filelock import FileLock, Timeout

from textae.config.mapping import flat, from_mapping, to_mapping
from textae.config.schema import PATHS, Config
from textae.data.batching import Batch, Batches
from textae.data.corpora import fingerprint_of
from textae.data.corruption import corruption_from
from textae.data.preparation import Prepared, first_documents, in_portions, prepare
from textae.data.tokenizers import load_tokenizer
from textae.evaluation.evaluator import evaluate, final_evaluation
from textae.files import write_csv, write_text
from textae.hardware import choose_compile, choose_precision, processor
from textae.inference.text_autoencoder import TextAutoencoder, load, set_weights
from textae.losses.reconstruction import ReconstructionObjective
from textae.models.autoencoder import build
from textae.models.initialization import initialize
from textae.models.isolation import default_style, isolated
from textae.models.shapes import check_shapes, numbers, parameters, weight_shapes
from textae.reporting.model_card import model_card
from textae.reporting.reporter import POINTS, Reporter
from textae.runs import run_folder as rundir
from textae.runs.provenance import commit, sessions, versions
from textae.runs.run_folder import RunDir
from textae.training import schedules as schedule
from textae.training.interrupts import Interrupted, Interrupts
from textae.training.optimizers import optimizer
from textae.training.steps import training_step

logger = logging.getLogger(__name__)

# What may differ between a run and its continuation: where things lie, and how often one looks.
MAY_CHANGE = {
    "data_dir",
    "objective",
    "training.resume",
    "training.log_every_steps",
    "training.checkpoint_every_minutes",
    "training.on_nonfinite",
}
PLACES = {f"corpus.{name}" for name in PATHS}  # may change if the documents are the same
SKIPPED_IN_A_ROW = 100  # updates that are not finite, after which skipping more of them is no help


@dataclass
class TrainingState:
    """Where a run stands, beside the numbers that the step holds; kept in the checkpoint as JSON."""

    step: int = 0
    epoch: int = 0
    batch: int = 0  # the next one of the epoch
    examples_seen: int = 0
    tokens_seen: int = 0
    skipped: int = 0  # updates that were not finite
    skipped_in_a_row: int = 0
    stopped: str | None = None  # what was not finite
    seconds: float = 0.0
    step_seconds: float = 0.0
    best_loss: float | None = None
    best_step: int = 0
    validations_since_best: int = 0
    validation_due: bool = False
    over: bool = False  # no more updates
    unlogged: dict[str, float] = field(default_factory=dict)  # the reporter's sums since its last point
    history: list[dict[str, float]] = field(default_factory=list)


def fit(config: Config, folder: Path, command: Sequence[str] | None = None) -> dict[str, Any]:
    """Train, keep the best weights, evaluate them on the test split, and return what metrics.json holds.

    A folder with an unfinished run of the same configuration is continued from its checkpoint; that of a finished
    one is left as it is, and its metrics are returned. `command` is what the model card says trains it; None: that of
    this process.

    Raises:
        ValueError: the configuration or the corpus will not do, or the folder is another run's.
        FloatingPointError: a loss or gradient was not finite.
        Interrupted: Ctrl-C or SIGTERM; a checkpoint was written.
    """
    config = config.located()
    run = RunDir(folder)
    run.check_place(Path(config.data_dir))
    run.folder.mkdir(parents=True, exist_ok=True)
    run.check_files()
    try:
        with FileLock(run / rundir.LOCK, timeout=0):
            run.tidy()
            if continues(config, run) and run.finished:
                return run.metrics()
            with isolated(exact=config.model.fourier_features), default_style():
                return _fit(config, run, command)
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
    config = config.located()
    before, now = flat(to_mapping(from_mapping(run.config()).located())), flat(to_mapping(config))
    different = [k for k in sorted((before.keys() | now.keys()) - MAY_CHANGE) if before.get(k) != now.get(k)]
    for key in different:
        if key not in PLACES or not _same_corpus(config, run):
            raise ValueError(
                f"expected the configuration of the run in {run.folder}: {key}={before.get(key)!r}, "
                f"found {now.get(key)!r}"
            )
    return True


def _same_corpus(config: Config, run: RunDir) -> bool:
    """Return whether the configuration's corpus has what that of the run had, wherever it lies now."""
    return fingerprint_of(config.corpus) == _fingerprint(run)


def _fingerprint(run: RunDir) -> str | None:
    corpus = rundir.read_json(run / rundir.ENVIRONMENT).get("corpus")
    return corpus.get("fingerprint") if isinstance(corpus, dict) else None


def _fit(config: Config, run: RunDir, command: Sequence[str] | None) -> dict[str, Any]:
    training = config.training
    gc.collect()  # what another run in this process has left
    precision = choose_precision(training.precision.name, config.model.fourier_features)
    xla = choose_compile(training.compile.name) == "xla"

    prepared = prepare(
        Path(config.data_dir),
        config.corpus,
        config.tokenizer,
        training.validation_documents,
    )
    if training.overfit_documents is not None:
        prepared = first_documents(prepared, training.overfit_documents)
    tokenizer = prepared.tokenizer
    batches = _batches(config, prepared, fixed_rows=xla)
    _check_splits(config, prepared)
    arrays, state, remark = _checkpoint(config, run, prepared)
    if state.stopped and (training.on_nonfinite.name == "stop" or state.skipped_in_a_row >= SKIPPED_IN_A_ROW):
        raise FloatingPointError(state.stopped)
    state.stopped = None

    _check_memory(config, tokenizer.vocabulary_size)
    with isolated(seed=training.seed):
        dtype = "mixed_bfloat16" if precision == "bfloat16" else "float32"
        model = build(config.model, tokenizer.vocabulary_size, training.seed, dtype)
        initialize(model, config.model.initialization.name)
        judge = TextAutoencoder(build(config.model, tokenizer.vocabulary_size), tokenizer, config)
    model.encoder.trainable = not config.encoder_frozen
    model.decoder.project.trainable = training.train_frequencies
    substitution, corruption = (
        corruption_from(
            settings,
            first_id=tokenizer.first_text_id,
            vocabulary_size=tokenizer.vocabulary_size,
            seed=model.seeds,
        )
        for settings in ({"substitute": training.random_token_rate}, asdict(training.corruption))
    )
    step = training_step(
        model,
        ReconstructionObjective(
            model,
            kl_weight=config.model.kl_weight,
            free_bits=config.model.free_bits,
            label_smoothing=training.label_smoothing,
            precision=precision,
            gather=not xla,
            gradient_filter=training.gradient_filter,
            substitution=substitution,
            corruption=corruption,
        ),
        optimizer(
            training.optimizer.name,
            weight_decay=training.weight_decay,
            beta_1=training.beta_1,
            beta_2=training.beta_2,
        ),
        gradient_accumulation_steps=training.gradient_accumulation_steps,
        max_gradient_norm=training.max_gradient_norm,
        ema_decay=training.ema_decay,
        xla=xla,
    )

    now = environment(prepared, precision, xla, command)
    before = rundir.read_json(run / rundir.ENVIRONMENT) if arrays else None
    run.create(to_mapping(config), now | {"sessions": sessions(before, now, state.step)})
    tokenizer.save(run / rundir.TOKENIZER)
    if arrays:
        step.load_state(arrays)

    with Reporter(run, config, state) as reporter, Interrupts() as interrupts:
        if remark:
            logger.warning(remark)
        reporter.begins(model, prepared, batches, precision, xla, state.step)
        _train(config, run, batches, step, judge, prepared.validation, state, reporter, interrupts)
        with interrupts.at_once():
            logger.info("evaluating on the test split")
            kept = load(run.folder)
            evaluation = final_evaluation(kept, prepared.test_texts, keep=training.num_logged_samples, points=POINTS)
        if not np.isfinite(evaluation.metrics["loss"]):
            raise FloatingPointError(
                f"expected a finite loss of the test split, found {evaluation.metrics['loss']} with the weights of "
                f"step {state.best_step}, the best by the validation split"
            )
        metrics = evaluation.metrics | {
            "examples_seen": state.examples_seen,
            "steps": state.step,
            "steps_skipped": state.skipped,
            "train_seconds": state.seconds,
            "tokens_per_second": state.tokens_seen / max(state.step_seconds, 1e-9),
            "parameters": model.count_params(),
            "peak_memory_mb": peak_memory_mb(),
        }
        reporter.ends(kept, evaluation, metrics, state, prepared.corpus)
    card = model_card(run.config(), rundir.read_json(run / rundir.ENVIRONMENT), metrics)
    write_text(run / rundir.CARD, card, own=True)
    write_csv(run / rundir.BY_LENGTH, [row._asdict() for row in evaluation.by_length], own=True)
    rundir.write_json(run / rundir.METRICS, metrics)
    run.remove(rundir.CHECKPOINT, rundir.PREVIOUS)
    return metrics


def _checkpoint(
    config: Config, run: RunDir, prepared: Prepared
) -> tuple[dict[str, np.ndarray], TrainingState, str | None]:
    """Return the arrays and the state to go on from, and a remark on them: none and a new one without a checkpoint.

    Raises:
        ValueError: the checkpoint is damaged, or the run was begun on other text or other tokens.
    """
    weights = weight_shapes(config.model, prepared.tokenizer.vocabulary_size)
    found = run.read_checkpoint(lambda shapes: _check_checkpoint(weights, shapes, run.folder))
    if found is None:
        return {}, TrainingState(), None
    arrays, described, remark = found
    if odd := sorted(set(described) - {f.name for f in fields(TrainingState)}):
        raise ValueError(
            f"expected a checkpoint of this version of textae in {run.folder}, found one that also holds "
            f"{odd[0]:.100}: the version in environment.json goes on from it"
        )
    for each in fields(TrainingState):
        if each.name in described and not _STATE_TYPES[each.type](described[each.name]):
            raise ValueError(
                f"expected in the checkpoint in {run.folder} {each.name} of type {each.type}, "
                f"found {described[each.name]!r:.100}"
            )
    state = TrainingState(**described)
    before = _fingerprint(run)
    if before != prepared.corpus.fingerprint:
        raise ValueError(
            f"expected the corpus that the run in {run.folder} was begun on ({before!s:.100}), found another one "
            f"({prepared.corpus.fingerprint}): its files or packages have changed; another run folder begins anew"
        )
    if not load_tokenizer(run / rundir.TOKENIZER).equals(prepared.tokenizer):
        raise ValueError(
            f"expected the tokenizer that the run in {run.folder} was begun with, found that the corpus now gives "
            "another one; another run folder begins anew"
        )
    if state.best_step:
        path = run / rundir.WEIGHTS  # damage is told now, not after the training
        rundir.read_arrays(path, lambda shapes: check_shapes(weights, shapes, path))
    return arrays, state, remark


def _check_checkpoint(weights: rundir.Shapes, found: rundir.Shapes, folder: Path) -> None:
    """Raise a ValueError if a checkpoint holds more than a model of these weights and its optimizer can need."""
    most_arrays, most_numbers = (8 * count(weights) + 100 for count in (len, numbers))
    if len(found) > most_arrays or numbers(found) > most_numbers:
        raise ValueError(
            f"expected in the checkpoint in {folder} at most {most_arrays:,} arrays of {most_numbers:,} numbers, "
            f"found {len(found):,} of {numbers(found):,}"
        )


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**53


def _is_number(value: Any) -> bool:
    return type(value) is float or _is_count(value)


def _are_numbers(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_is_number, value.values()))


_STATE_TYPES = {  # what a checkpoint may hold, by the type of the state's field
    "int": _is_count,
    "float": _is_number,
    "float | None": lambda value: value is None or _is_number(value),
    "bool": lambda value: type(value) is bool,
    "str | None": lambda value: value is None or isinstance(value, str),
    "dict[str, float]": _are_numbers,
    "list[dict[str, float]]": lambda value: isinstance(value, list) and all(map(_are_numbers, value)),
}


def _check_memory(config: Config, vocabulary_size: int) -> None:
    """Raise a ValueError if not even weights, gradients and the optimizer's state have room in the memory."""
    count, available = parameters(config.model, vocabulary_size), psutil.virtual_memory().available
    if 4 * 4 * count > available:
        raise ValueError(
            f"expected a model that {available / 1e9:.1f} GB of free memory can train, found {count:,} "
            f"parameters, which take {4 * 4 * count / 1e9:,.1f} GB"
        )


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
    stream = _stream(batches, state, training.gradient_accumulation_steps)
    began, saved = time.monotonic() - state.seconds, time.monotonic()
    compiled = False

    def done() -> float:
        return schedule.progress(
            step=state.step,
            epochs=state.epoch + state.batch / len(batches),
            minutes=state.seconds / 60,
            max_steps=training.max_steps,
            max_epochs=training.max_epochs,
            max_minutes=training.max_minutes,
        )

    while not state.over or state.validation_due:
        if not state.validation_due:
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
            # Compiling takes long, and before the first update there is nothing to save.
            with nullcontext() if compiled else interrupts.at_once():
                sums = {name: float(value) for name, value in step(_arrays(group), rate).items()}
            compiled = True
            elapsed = time.monotonic() - started
            finite = bool(np.isfinite(sums["total"]) and np.isfinite(sums["gradient_norm"]))
            state.step += 1
            state.skipped += not finite
            state.skipped_in_a_row = 0 if finite else state.skipped_in_a_row + 1
            state.examples_seen += int(sums["documents"])
            state.tokens_seen += int(sums["tokens"])
            state.step_seconds += elapsed
            state.seconds = time.monotonic() - began
            state.over = done() >= 1
            state.validation_due = state.over or state.step % training.eval_every_steps == 0
            reporter.trained(state, sums if finite else {}, rate, elapsed)
            if not finite:
                _leave_out(config, run, step, state, reporter, _not_finite(state, sums, rate, group))

        if state.validation_due and interrupts.received is None:
            try:
                _validate(run, step, judge, validation, state, reporter, training.num_logged_samples, interrupts)
            except Interrupted:
                pass  # the run begins with this validation when it goes on
            else:
                state.validation_due = False
                state.over |= training.patience is not None and state.validations_since_best >= training.patience
                if training.on_nonfinite.name == "stop" and not np.isfinite(state.history[-1]["loss"]):
                    _stop(run, step, state, reporter, _validation_not_finite(state))
            state.seconds = time.monotonic() - began
        reporter.progress(min(done(), 1.0))
        finished = state.over and not state.validation_due
        due = time.monotonic() - saved >= training.checkpoint_every_minutes * 60
        if finished or due or interrupts.received is not None:
            _save(run, step, state, reporter)
            saved = time.monotonic()
        interrupts.check()
    rundir.write_arrays(run / rundir.LAST, step.kept_weights(), {"step": state.step})
    if state.skipped == state.step:
        raise FloatingPointError(
            f"expected updates with a finite loss and gradient, found none: all {state.step:,} were skipped"
        )


def _not_finite(state: TrainingState, sums: dict[str, float], rate: float, group: list[Batch]) -> str:
    documents = sorted({int(d) for batch in group for d in batch.documents if d >= 0})
    return (
        f"expected a finite loss, found {sums['total']} with gradient norm {sums['gradient_norm']} at step "
        f"{state.step}, learning rate {rate:.3g}, train documents {_shortened(documents)}"
    )


def _leave_out(config: Config, run: RunDir, step: Any, state: TrainingState, reporter: Reporter, what: str) -> None:
    """Say that an update was left out, or give up."""
    if config.training.on_nonfinite.name == "stop":
        _stop(run, step, state, reporter, f"{what}; training.on_nonfinite=skip goes on without such updates")
    if state.skipped_in_a_row >= SKIPPED_IN_A_ROW:
        _stop(run, step, state, reporter, f"{what}, the last of {SKIPPED_IN_A_ROW} in a row")
    if state.skipped <= 10 or state.skipped % 100 == 0:
        logger.warning(f"skipped an update ({state.skipped:,} so far): {what}")


def _validation_not_finite(state: TrainingState) -> str:
    kept = f"the weights of step {state.best_step} are kept" if state.best_step < state.step else "no good weights yet"
    return f"expected a finite validation loss, found {state.history[-1]['loss']} at step {state.step}; {kept}"


def _stop(run: RunDir, step: Any, state: TrainingState, reporter: Reporter, what: str) -> NoReturn:
    """Save, and give up: the same command says the same again, unless it has training.on_nonfinite=skip."""
    state.stopped = what
    _save(run, step, state, reporter)
    raise FloatingPointError(what)


def _batches(config: Config, prepared: Prepared, fixed_rows: bool) -> Batches:
    batches = Batches(
        prepared.train,
        max_length=config.model.max_length,
        stride=int(np.prod(config.model.strides)),
        tokens_per_batch=config.training.tokens_per_batch,
        length_buckets=config.training.num_length_buckets,
        overflow=config.model.overflow.name,
        seed=config.training.seed,
        fixed_rows=fixed_rows,
        length_curriculum=config.training.length_curriculum,
    )
    if not len(batches):
        raise ValueError(
            f"expected training documents of at most model.max_length={config.model.max_length} tokens, found none; "
            "model.overflow=split or cut keeps longer ones"
        )
    return batches


def _check_splits(config: Config, prepared: Prepared) -> None:
    """Raise a ValueError if all that the weights would be judged by is left out as too long."""
    model = config.model
    if model.overflow.name != "drop":
        return
    for split, texts in (("validation", prepared.validation), ("test", prepared.test_texts())):
        encoded = (ids for portion in in_portions(texts, 1 << 16) for ids in prepared.tokenizer.encode(portion))
        if all(len(ids) >= model.max_length for ids in encoded):  # with its end a document has a token more
            raise ValueError(
                f"expected a document of at most model.max_length={model.max_length} tokens in the {split} split, "
                "found none; model.overflow=split or cut keeps longer ones"
            )


def _stream(batches: Batches, state: TrainingState, gradient_accumulation_steps: int) -> Iterator[list[Batch]]:
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
    interrupts: Interrupts,
) -> None:
    """Judge the weights by the validation split, and keep them if they are the best so far.

    Raises:
        Interrupted: a signal came before the weights were judged; nothing has changed.
    """
    weights = step.kept_weights()
    set_weights(judge.model, weights, "the training step")
    with interrupts.at_once():
        evaluation = evaluate(judge, validation, keep=samples)
    loss = evaluation.metrics["loss"]
    if state.best_loss is None or loss < state.best_loss or not np.isfinite(state.best_loss):
        state.best_loss, state.best_step, state.validations_since_best = loss, state.step, 0
        known = loss if np.isfinite(loss) else None
        rundir.write_arrays(run / rundir.WEIGHTS, weights, {"step": state.step, "validation_loss": known})
    else:
        state.validations_since_best += 1
    state.history.append(
        {"step": state.step, "examples_seen": state.examples_seen, "seconds": round(state.seconds, 3)}
        | evaluation.metrics
    )
    run.write_history(state.history)
    reporter.validated(judge, evaluation, state)


def _save(run: RunDir, step: Any, state: TrainingState, reporter: Reporter) -> None:
    reporter.flush()  # what TensorBoard shows reaches as far as the checkpoint
    run.write_checkpoint(step.state(), asdict(state))


def environment(prepared: Prepared, precision: str, xla: bool, command: Sequence[str] | None) -> dict[str, Any]:
    """Return what a session of a run runs on and with."""
    return {
        "python": platform.python_version(),
        "backend": keras.backend.backend(),
        "precision": precision,
        "compile": "xla" if xla else "graph",
        "machine": processor(),
        "versions": versions(),
        "commit": commit(Path(__file__)),
        "command": list(command or [Path(sys.argv[0]).name, *sys.argv[1:]]),
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


def _shortened(numbers: list[int]) -> str:
    shown = ", ".join(map(str, numbers[:20]))
    return f"{shown} and {len(numbers) - 20} more" if len(numbers) > 20 else shown
