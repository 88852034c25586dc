"""`python -m textae.neighbours run=DIR [documents=FILE] < lines.txt`: the nearest documents in latent space.

A line of the answer is `line number<TAB>cosine<TAB>document number<TAB>document`; numbers begin with 1.
"""

from pathlib import Path
from typing import Any

from textae.commands import (
    answers,
    check_output,
    hydra_main,
    open_input,
    read_lines,
    run_config,
    start_keras,
    tell_truncated,
)


def main(composed: Any) -> None:
    """Write `count` rows for each line of the input, the nearest document first."""
    from textae.config import resolve

    options = resolve(composed)
    trained_with = run_config(options.run)
    check_output(options.output)
    source = open_input(options.input)
    if options.documents is not None:
        documents = read_lines(open_input(options.documents, "documents"), options.documents)
    else:
        from textae.corpora import open_corpus

        corpus = options.corpus if options.corpus.kind != "run" else trained_with.corpus
        opened = open_corpus(corpus.kind, Path(options.data_dir) / "corpora", **corpus.settings())
        documents = opened.texts(options.split)
    texts = list(read_lines(source, options.input or "standard input"))
    start_keras()
    from textae.autoencoder import load

    autoencoder = load(options.run)
    with answers(options.output) as write:
        for number, found in enumerate(autoencoder.neighbours(texts, documents, options.count), 1):
            for near in found:
                write(f"{number}\t{near.similarity:.4f}\t{near.number + 1}\t{near.text}")
    tell_truncated(autoencoder)


if __name__ == "__main__":
    hydra_main("neighbours", main)
