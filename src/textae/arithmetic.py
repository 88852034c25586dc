"""`python -m textae.arithmetic run=DIR < three_lines.txt`: the text at z(first) - z(second) + z(third)."""

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


def main(options: Any) -> None:
    """Write one line."""
    run_config(options.run)
    check_output(options.output)
    texts = read_texts(options.input, ["a text", "one to take away", "one to add"])
    start_keras()
    autoencoder = load_for_lines(options.run)
    with line_writer(options.output) as write:
        write([autoencoder.arithmetic(*texts)])
    tell_truncated(autoencoder)


if __name__ == "__main__":
    hydra_main("arithmetic", main)
