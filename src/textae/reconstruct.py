"""`python -m textae.reconstruct run=DIR < lines.txt > lines.out`: each line, reconstructed from its latent."""

from typing import Any

from textae.cli.commands import (
    check_output,
    hydra_main,
    input_portions,
    line_writer,
    load_for_lines,
    run_config,
    tell_truncated,
)
from textae.hardware import start_keras


def main(options: Any) -> None:
    """Write as many lines as there are in the input."""
    run_config(options.run)
    check_output(options.output)
    texts = input_portions(options.input)
    start_keras()
    autoencoder = load_for_lines(options.run)
    with line_writer(options.output) as write:
        for lines in texts:
            write(autoencoder.reconstruct(lines))
    tell_truncated(autoencoder)


if __name__ == "__main__":
    hydra_main("reconstruct", main)
