"""`python -m textae.decode run=DIR input=FILE.npy > lines.out`: the inverse of `textae.encode`."""

from typing import Any

from textae.cli.commands import check_output, hydra_main, line_writer, load_for_lines, peek, run_config
from textae.hardware import start_keras


def main(options: Any) -> None:
    """Write a line for each text in the latents file."""
    from textae.inference.latent_files import read

    model = run_config(options.run).model
    check_output(options.output)
    portions = peek(read(options.input, model.latents_of_a_text, model.latent_size))
    start_keras()
    autoencoder = load_for_lines(options.run)
    with line_writer(options.output) as write:
        for latents in portions:
            write(autoencoder.decode(latents))


if __name__ == "__main__":
    hydra_main("decode", main)
