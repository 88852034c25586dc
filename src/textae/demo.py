"""`python -m textae.demo run=DIR`: a page in the browser to play with a trained run; Ctrl-C ends it.

Only programs of this machine can reach it, and it sends nothing anywhere.
"""

import gc
import importlib.util
import logging
import os
import socket
import tempfile
import threading
from itertools import islice
from pathlib import Path
from typing import Any

from textae.cli.commands import announce, corpus_of, hydra_main, run_config
from textae.hardware import start_keras

logger = logging.getLogger("textae.demo")

_EXAMPLES = ["A text of your own.", "Another one, a little longer than the first."]
_LONGEST_EXAMPLE = 160  # characters


def main(composed: Any) -> None:
    """Serve the page until the process is stopped."""
    from textae.config.mapping import resolve

    options = resolve(composed)
    trained_with = run_config(options.run)
    if importlib.util.find_spec("gradio") is None:
        raise ValueError("expected the package gradio, found none: pip install 'textae[demo]'")
    port = _free(options.port)
    corpus = _corpus(options, trained_with)
    start_keras()
    from textae.evaluation.curves import train_latents
    from textae.evaluation.single_text import LatentChannel
    from textae.inference.text_autoencoder import load
    from textae.reporting.demo_answers import DemoAnswers
    from textae.reporting.demo_page import demo_page, start

    autoencoder = load(options.run)
    channel = train = None
    examples = list(_EXAMPLES)
    if corpus is not None:
        logger.info("encoding some of the train split, for noise and bits")
        channel = LatentChannel(train_latents(autoencoder, corpus.texts("train")))
        train = lambda: corpus.texts("train")  # noqa: E731
        short = (text for text in corpus.texts("test") if 20 <= len(text) <= _LONGEST_EXAMPLE and "\n" not in text)
        examples = [*islice(short, 2), *examples][:2]
    model, name = autoencoder.model, Path(options.run).resolve().name
    unit = "a text or segment" if model.latent == "vector" else f"{model.stride} tokens"
    about = f"{model.latent_size:,} floats for {unit}; {model.count_params():,} parameters; {options.run}"
    with tempfile.TemporaryDirectory(prefix=f"textae_demo_{os.getpid()}_") as uploads:
        os.environ["GRADIO_TEMP_DIR"] = uploads
        page = demo_page(DemoAnswers(autoencoder, channel, train), name, about, examples)
        try:
            address = start(page, port, options.open)
        except OSError as error:
            raise ValueError(f"port: expected a free port, found {port}: {error}") from None
        gc.freeze()  # Python looks through all that the libraries made when it ends, for seconds
        announce(address)
        logger.info("the page is there until Ctrl-C")
        threading.Event().wait()


def _free(port: int) -> int:
    """Return the port, or any free one for 0.

    Raises:
        ValueError: it is taken, or not this user's to take.
    """
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind(("127.0.0.1", port))
        except OSError as error:
            raise ValueError(
                f"port: expected a free port, found {port}: {error.strerror}; port=0 takes any free one"
            ) from None
        return tried.getsockname()[1]


def _corpus(options: Any, trained_with: Any) -> Any:
    """Return the corpus that noise, bits and baselines need; None, and a warning, if that of the run is not there."""
    try:
        return corpus_of(options, trained_with)
    except FileNotFoundError as error:
        if options.corpus.kind != "run":
            raise
        logger.warning(f"no noise, bits and baselines: {error}")
        return None


if __name__ == "__main__":
    hydra_main("demo", main)
