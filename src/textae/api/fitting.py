"""`textae.fit`: train an autoencoder from Python."""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from textae.api.texts import corpus_settings
from textae.cli.errors import check_settings, explain
from textae.cli.folders import numbered
from textae.config.composing import composed, override
from textae.config.ineffective import warn_without_effect
from textae.config.mapping import resolve
from textae.config.schema import Config
from textae.inference.text_autoencoder import TextAutoencoder, load
from textae.progress import shown
from textae.training.callbacks import Callbacks
from textae.training.fit import fit as train
from textae.training.interrupts import Interrupted

logger = logging.getLogger("textae.fit")

_GROUPS = ("corpus", "tokenizer", "model", "training", "distributed")


def fit(
    texts: Any = None,
    *,
    experiment: str | None = None,
    output: Path | str | None = None,
    test_texts: Any = None,
    validation_texts: Any = None,
    field: str | None = None,
    callbacks: Sequence[Any] = (),
    verbose: bool = True,
    **overrides: Any,
) -> TextAutoencoder:
    """Train an autoencoder of texts, and return the one with the best weights.

    It does what `python -m textae.train` does, into a run folder of the same kind. The same call with the same `output`
    continues a training that was stopped.

    ```python
    ae = textae.fit(["a text", "another one"], training={"max_minutes": 1})
    ae = textae.fit(frame["review"], experiment="chunk4", model={"latent_size": 64}, tokenizer="bpe")
    ae = textae.fit(Path("reviews.jsonl.xz"), field="body", **{"training.max_steps": 500})
    ```

    Args:
        texts: strings: a list, an iterator, which is read once, a column of pandas, Polars or Arrow, a table or a data
            set of Hugging Face with a column `field`; files: a `pathlib.Path` or a list of them, with what
            `corpus.files` reads; or "tfds:NAME", a data set of TensorFlow Datasets. None: the documentation of the
            running Python. Strings are written to a file in the folder `data_dir`, so they need not fit into memory.
        experiment: the name of a file in configs/experiment, as "chunk4".
        output: the run folder; None: outputs/NAME/DATE_TIME in the working directory.
        test_texts, validation_texts: those of these splits, given as `texts` are; None: a fraction of `texts`.
        field: the column or key that holds the text; None: "text", or the only column.
        callbacks: objects with one or more methods of `textae.Callback`.
        verbose: whether a terminal or a notebook shows a bar.
        overrides: settings: `training={"max_steps": 100}` sets keys of a group, `tokenizer="bytes"` chooses an option
            of a group, `name="trial"` sets a key, and `**{"model.latent_size": 64}` does so by a dotted name.
            docs/configuration.md lists all keys.

    Raises:
        TypeError: an argument of another kind, or a text that is no string.
        ValueError: settings or texts that cannot be, or `output` is no run folder.
        FileNotFoundError: a file that is missing.
        FloatingPointError: a loss or gradient was not finite.
        KeyboardInterrupt: Ctrl-C; the same call with the same `output` goes on.
    """
    checked = Callbacks(callbacks)
    words = _words(experiment, overrides)
    given = Path(_config(words).data_dir) / "given"  # what is wrong with settings is said before texts are read
    texts_given = {"test_texts": test_texts, "validation_texts": validation_texts, "field": field}
    words += [override(key, value) for key, value in corpus_settings(texts, given, **texts_given).items()]
    config = _config(words)
    warn_without_effect(config, logger)
    folder = _new_folder(config.name) if output is None else Path(output)
    try:
        with shown(verbose):
            train(config, folder, ["train.py", *words], callbacks=checked)
    except Interrupted as error:
        line = f"{error}; the same call with output={str(folder)!r} goes on"
        raise (KeyboardInterrupt if error.exit_code == 128 + signal.SIGINT else SystemExit)(line) from None
    return load(folder)


def _words(experiment: str | None, overrides: Mapping[str, Any]) -> list[str]:
    """Return the words of the command that has these settings: options of groups first, then keys."""
    options, keys = [], []
    if experiment is not None:
        if not isinstance(experiment, str):
            raise TypeError(f"expected experiment as a name, received {type(experiment).__name__}")
        options.append(f"+{override('experiment', experiment)}")
    for key, value in overrides.items():
        if key in _GROUPS and isinstance(value, Mapping):
            keys += [override(f"{key}.{name}", each) for name, each in value.items()]
        elif key in _GROUPS and not isinstance(value, str):
            raise TypeError(
                f"expected {key} as the name of an option or as a mapping of keys to values, "
                f"received {type(value).__name__}"
            )
        else:
            (options if key in _GROUPS else keys).append(override(key, value))
    return [*options, *keys]


def _config(words: Sequence[str]) -> Config:
    """Return the checked configuration of these words.

    Raises:
        ValueError: one of them cannot be; the message says what was expected and received.
    """
    try:
        config = composed("config", words)
        check_settings(config)
        return resolve(config)
    except (HydraException, OmegaConfBaseException, OverflowError) as error:
        raise ValueError(explain(error, "config", words)) from None


def _new_folder(name: str) -> Path:
    """Return a run folder that no other run has: outputs/NAME/DATE_TIME, with a number where that is taken."""
    names = numbered(Path("outputs", name, time.strftime("%Y-%m-%d_%H-%M-%S")).absolute())
    while True:
        with suppress(FileExistsError):
            (folder := next(names)).mkdir(parents=True)
            return folder
