"""`python -m textae.export run=DIR output=FOLDER [format=onnx]`: encoder and decoder for programs without textae."""

import os
from itertools import islice
from typing import Any

from textae.cli.commands import announce, corpus_of, hydra_main, run_config
from textae.hardware import start_keras


def main(composed: Any) -> None:
    """Write the folder, and print its name when what it holds has been tried."""
    from textae.config.mapping import resolve
    from textae.exporting.exporter import check_possible

    options = resolve(composed)
    trained_with = run_config(options.run)
    check_possible(options.output, options.format.name)
    corpus = corpus_of(options, trained_with) if options.int8 else None
    os.environ["KERAS_BACKEND"] = "tensorflow"  # both formats are written from its graphs, whatever trained the run
    start_keras()
    from textae.inference.text_autoencoder import load

    texts = None if corpus is None else list(islice(corpus.texts("test"), options.documents))
    announce(str(load(options.run).export(options.output, options.format.name, texts)))


if __name__ == "__main__":
    hydra_main("export", main)
