"""`python -m textae.sample run=DIR count=10 seed=0`: texts from latents drawn from N(0, 1), of a variational model."""

from typing import Any

from textae.cli.commands import check_output, hydra_main, line_writer, load_for_lines, run_config
from textae.hardware import start_keras


def main(composed: Any) -> None:
    """Write a line for each text drawn."""
    from textae.config.mapping import resolve
    from textae.inference.latent_operations import check_variational

    options = resolve(composed)
    check_variational(run_config(options.run).model.variational)
    check_output(options.output)
    start_keras()
    autoencoder = load_for_lines(options.run)
    with line_writer(options.output) as write:
        write(autoencoder.sample(options.count, options.seed, options.positions))


if __name__ == "__main__":
    hydra_main("sample", main)
