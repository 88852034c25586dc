"""What a run goes on from: whether a folder holds the same run, and the checkpoint that is read and written there."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import Any, NamedTuple

import numpy as np

from textae.config.mapping import flat, from_mapping, to_mapping
from textae.config.schema import PATHS, Config, DistributedConfig
from textae.data.corpora import Corpus, fingerprint_of
from textae.data.preparation import Prepared
from textae.data.tokenizers import load_tokenizer
from textae.models.shapes import check_shapes, numbers, weight_shapes
from textae.runs.arrays import Shapes, read_arrays
from textae.runs.json_files import read_json
from textae.runs.run_folder import CONFIG, ENVIRONMENT, TOKENIZER, WEIGHTS, RunDir
from textae.training.state import TrainingState
from textae.training.steps import TrainingStep

# What may differ between a run and its continuation: where things lie, and how often one looks.
MAY_CHANGE = {
    "corpus.beam",
    "corpus.workers",
    "data_dir",
    "objective",
    "training.resume",
    "training.keep_checkpoint",
    "training.log_every_steps",
    "training.loggers",
    "training.checkpoint_every_minutes",
    "training.on_nonfinite",
    *(f"distributed.{field.name}" for field in fields(DistributedConfig)),
}
LIMITS = ("training.max_steps", "training.max_epochs", "training.max_minutes")  # may be raised
CORPUS_PATHS = {f"corpus.{name}" for name in PATHS}  # may change if the documents are the same


class Checkpoint(NamedTuple):
    """What training goes on from: the step's arrays, the state, and a remark on a checkpoint that was damaged."""

    arrays: dict[str, np.ndarray]
    state: TrainingState
    remark: str | None = None


class Continuation(NamedTuple):
    """Whether a folder holds a run of a configuration, and whether that now has higher limits."""

    same: bool
    longer: bool


def continues(config: Config, run: RunDir, corpus: Corpus | None = None) -> Continuation:
    """Return whether the folder holds a run of this configuration, or of one with lower limits.

    `corpus` is that of the configuration, where it is open already.

    Raises:
        ValueError: it holds another run, or one at all where `training.resume` is "never".
    """
    if not (run / CONFIG).is_file():
        return Continuation(False, False)
    if config.training.resume.name == "never":
        raise ValueError(f"expected a new run folder with training.resume=never, found a run in {run.folder}")
    config = config.located()
    before, now = flat(to_mapping(from_mapping(run.config()).located())), flat(to_mapping(config))
    different = [k for k in sorted((before.keys() | now.keys()) - MAY_CHANGE) if before.get(k) != now.get(k)]
    longer = False
    for key in different:
        if key in LIMITS and _raised(before.get(key), now.get(key)):
            longer = True
        elif key not in CORPUS_PATHS or not _same_corpus(config, run, corpus):
            raise ValueError(
                f"expected the configuration of the run in {run.folder}: {key}={before.get(key)!r}, "
                f"found {now.get(key)!r}"
            )
    return Continuation(True, longer)


def _raised(before: Any, now: Any) -> bool:
    """Return whether a limit is higher than it was; None is no limit."""
    return before is not None and (now is None or now > before)


def _same_corpus(config: Config, run: RunDir, corpus: Corpus | None) -> bool:
    """Return whether the configuration's corpus has what that of the run had, wherever it lies now."""
    if corpus is not None:
        return corpus.fingerprint == corpus_fingerprint(run)
    return fingerprint_of(config.corpus) == corpus_fingerprint(run)


def corpus_fingerprint(run: RunDir) -> str | None:
    """Return the fingerprint of the corpus that a run was begun on, None where its files do not have it."""
    corpus: Any = read_json(run / ENVIRONMENT).get("corpus")
    return corpus.get("fingerprint") if isinstance(corpus, dict) else None


def read_checkpoint(config: Config, run: RunDir, prepared: Prepared) -> Checkpoint | None:
    """Return what the run's checkpoint holds; None where there is none.

    Raises:
        ValueError: the checkpoint is damaged, or the run was begun on other text or other tokens.
    """
    weights = weight_shapes(config.model, prepared.tokenizer.vocabulary_size)
    found = run.read_checkpoint(lambda shapes: _check_size(weights, shapes, run))
    if found is None:
        return None
    arrays, described, remark = found
    state = TrainingState.from_mapping(described, str(run.folder))
    _check_data(run, prepared)
    if state.best_step:
        path = run / WEIGHTS  # damage is reported now, not after the training
        read_arrays(path, lambda shapes: check_shapes(weights, shapes, path))
    return Checkpoint(arrays, state, remark)


def _check_data(run: RunDir, prepared: Prepared) -> None:
    """Raise a ValueError if the corpus or the tokenizer is another one than when the run began."""
    before = corpus_fingerprint(run)
    if before != prepared.corpus.fingerprint:
        raise ValueError(
            f"expected the corpus that the run in {run.folder} was begun on ({before!s:.100}), found another one "
            f"({prepared.corpus.fingerprint}): its files or packages have changed; another run folder begins anew"
        )
    if not load_tokenizer(run / TOKENIZER).equals(prepared.tokenizer):
        raise ValueError(
            f"expected the tokenizer that the run in {run.folder} was begun with, found that the corpus now gives "
            "another one; another run folder begins anew"
        )


def _check_size(weights: Shapes, found: Shapes, run: RunDir) -> None:
    """Raise a ValueError if a checkpoint holds more than a model of these weights and its optimizer can need."""
    most_arrays, most_numbers = (8 * count(weights) + 100 for count in (len, numbers))
    if len(found) > most_arrays or numbers(found) > most_numbers:
        raise ValueError(
            f"expected in the checkpoint in {run.folder} at most {most_arrays:,} arrays of {most_numbers:,} numbers, "
            f"found {len(found):,} of {numbers(found):,}"
        )


def write_checkpoint(run: RunDir, step: TrainingStep, state: TrainingState) -> None:
    """Write what training goes on from."""
    run.write_checkpoint(step.state(), asdict(state))
