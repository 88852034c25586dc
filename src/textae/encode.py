"""`python -m textae.encode run=DIR input=FILE output=FILE.npy`: the latents of a file's lines.

One vector per text: `.npy`, float32 (lines, size). Several: `.npz` with `latents` (latents, size) and `offsets`
(lines + 1), line i being latents[offsets[i]:offsets[i+1]]; or `.parquet` with a list of numbers and a count per line.
`bits=N`: `.npz` whose numbers have N bits each. `shard=I/N`: a part of a Parquet data set, in the folder `output`.
"""

from typing import Any

from textae.cli.commands import check_output, hydra_main, input_portions, load_for_lines, run_config, tell_truncated
from textae.hardware import start_keras


def main(composed: Any) -> None:
    """Write the latents file, whole or not at all."""
    from textae.config.mapping import resolve
    from textae.inference.latent_files import LatentWriter
    from textae.inference.packed_latents import PackedWriter

    options = resolve(composed)
    model = run_config(options.run).model
    if options.shard is not None:
        _write_parts(options, model)
        return
    check_output(options.output)
    writer: LatentWriter | PackedWriter
    if options.bits is None:
        writer = LatentWriter(options.output, model.latents_of_a_text, model.latent_size)
    else:
        writer = PackedWriter(options.output, model.latent_size, options.bits)
    texts = input_portions(options.input, live=False)  # nothing is there to be read before the end
    start_keras()
    autoencoder = load_for_lines(options.run)
    with writer as out:
        for lines in texts:
            out.write(autoencoder.encode(lines))
    tell_truncated(autoencoder)


def _write_parts(options: Any, model: Any) -> None:
    """Write the shards' parts of a data set."""
    from textae.cli.shards import data_set, write_parts
    from textae.inference.latent_files import parquet_arrays, parquet_columns

    latents = data_set(options, "encode", {})
    if not latents.numbers:
        return
    start_keras()
    from textae.inference.text_autoencoder import load

    autoencoder = load(options.run)

    def answer(lines: list[str]) -> list[Any]:
        return parquet_arrays(autoencoder.encode(lines), model.latents_of_a_text, model.latent_size)

    write_parts(latents, parquet_columns(), answer)
    tell_truncated(autoencoder)


if __name__ == "__main__":
    hydra_main("encode", main)
