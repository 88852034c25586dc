"""`python -m textae.interpolate run=DIR steps=7 < two_lines.txt`: texts on the way from one line to the other."""

from typing import Any

from textae.cli.commands import (
    check_output,
    hydra_main,
    line_writer,
    read_texts,
    run_config,
    start_keras,
    tell_truncated,
)


def main(composed: Any) -> None:
    """Write a line for each step, both ends among them."""
    from textae.config.mapping import resolve

    options = resolve(composed)
    run_config(options.run)
    check_output(options.output)
    first, last = read_texts(options.input, ["the first text", "the last text"])
    start_keras()
    from textae.inference.text_autoencoder import load

    autoencoder = load(options.run)
    with line_writer(options.output) as write:
        write(autoencoder.interpolate(first, last, options.steps))
    tell_truncated(autoencoder)


if __name__ == "__main__":
    hydra_main("interpolate", main)
