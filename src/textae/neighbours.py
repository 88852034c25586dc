"""`python -m textae.neighbours run=DIR [documents=FILE] < lines.txt`: the nearest documents in latent space.

A line of the answer is `line number<TAB>cosine<TAB>document number<TAB>document`; numbers begin with 1. With
`baselines=true` the name of the vectors stands before it: `latent`, `bag_of_words`, `lsa` or `static_embedding`.
"""

import os
import stat
from typing import Any, BinaryIO

from textae.cli.commands import (
    check_output,
    corpus_of,
    hydra_main,
    line_writer,
    open_input,
    portions_of,
    read_lines,
    run_config,
    tell_truncated,
)
from textae.hardware import start_keras


def main(composed: Any) -> None:
    """Write `count` rows for each line of the input, the nearest document first."""
    from textae.config.mapping import resolve

    options = resolve(composed)
    trained_with = run_config(options.run)
    check_output(options.output)
    source = open_input(options.input)
    if options.documents is not None:
        stream = open_input(options.documents, "documents")
        if _same_stream(source, stream):
            raise ValueError(f"expected input and documents of their own, found both from {options.documents}")
        documents = read_lines(stream, options.documents)
    else:
        documents = corpus_of(options, trained_with).texts(options.split)
    if options.baselines:
        documents = list(documents)  # what the baselines are fitted on
    texts = portions_of(source, options.input)
    start_keras()
    from textae.data.preparation import in_portions
    from textae.inference.latent_operations import VectorIndex
    from textae.inference.text_autoencoder import load

    autoencoder = load(options.run)
    compared = _baselines(list(documents), autoencoder.model.latent_size, options.count) if options.baselines else {}
    with VectorIndex(autoencoder.model.latent_size) as index, line_writer(options.output) as write:
        for portion in in_portions(documents):
            index.add(autoencoder.embed(portion), portion)
        seen = 0
        for lines in texts:
            answers = {"latent": index.nearest(autoencoder.embed(lines), options.count)}
            answers |= {name: nearest(lines) for name, nearest in compared.items()}
            write(
                "\t".join([*([name] if compared else []), f"{seen + i + 1}", *_columns(near)])
                for i in range(len(lines))
                for name, found in answers.items()
                for near in found[i]
            )
            seen += len(lines)
    tell_truncated(autoencoder)


def _columns(near: Any) -> tuple[str, str, str]:
    """Return what a line says of a neighbour."""
    return f"{near.similarity:.4f}", f"{near.number + 1}", near.text


def _baselines(documents: list[str], size: int, count: int) -> dict[str, Any]:
    """Return what finds the nearest documents to texts by the vectors of each baseline, fitted on the documents."""
    from textae.evaluation.vector_baselines import baselines, nearest_by

    return {baseline.name: nearest_by(baseline, documents, count) for baseline in baselines(size)}


def _same_stream(one: BinaryIO, other: BinaryIO) -> bool:
    """Return whether what is read from one is missing from the other: two names of a pipe, not of a file."""
    try:
        states = [os.fstat(stream.fileno()) for stream in (one, other)]
    except OSError:  # not of the system
        return one is other
    return os.path.samestat(*states) and not any(stat.S_ISREG(state.st_mode) for state in states)


if __name__ == "__main__":
    hydra_main("neighbours", main)
