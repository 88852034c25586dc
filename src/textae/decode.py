"""`python -m textae.decode run=DIR input=FILE.npy > lines.out`: the inverse of `textae.encode`."""

from typing import Any

from textae.commands import answers, hydra_main, start_keras


def main(options: Any) -> None:
    """Write a line for each text in the latents file."""
    start_keras()
    from textae.autoencoder import load
    from textae.latentfiles import read

    autoencoder = load(options.run)
    with answers(options.output) as write:
        for latents in read(options.input, autoencoder.model.latent, autoencoder.model.latent_size):
            for text in autoencoder.decode(latents):
                write(text)


if __name__ == "__main__":
    hydra_main("decode", main)
