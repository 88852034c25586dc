"""`python -m textae.interpolate run=DIR steps=7 < two_lines.txt`: texts on the way from one line to the other."""

import logging
from typing import Any

from textae.cli.commands import (
    check_output,
    hydra_main,
    line_writer,
    load_for_lines,
    read_texts,
    run_config,
    tell_truncated,
)
from textae.hardware import start_keras

logger = logging.getLogger("textae.interpolate")


def main(composed: Any) -> None:
    """Write a line for each step, both ends among them."""
    from textae.config.mapping import resolve

    options = resolve(composed)
    run_config(options.run)
    check_output(options.output)
    first, last = read_texts(options.input, ["the first text", "the last text"])
    start_keras()
    from textae.evaluation.metrics import step_sizes

    autoencoder = load_for_lines(options.run)
    texts = autoencoder.interpolate(first, last, options.steps)
    with line_writer(options.output) as write:
        write(texts)
    tell_truncated(autoencoder)
    shares = step_sizes(texts)
    logger.info(f"distances of neighbours, in distances of the ends: {', '.join(f'{share:.2f}' for share in shares)}")


if __name__ == "__main__":
    hydra_main("interpolate", main)
