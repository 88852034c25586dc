"""`python -m textae.export run=DIR output=FOLDER [format=onnx]`: encoder and decoder for programs without textae."""

import os
from typing import Any

from textae.cli.commands import announce, hydra_main, run_config
from textae.hardware import start_keras


def main(options: Any) -> None:
    """Write the folder, and print its name when what it holds has been tried."""
    from textae.exporting.exporter import check_possible

    run_config(options.run)
    check_possible(options.output, options.format.name)
    os.environ["KERAS_BACKEND"] = "tensorflow"  # both formats are written from its graphs, whatever trained the run
    start_keras()
    from textae.inference.text_autoencoder import load

    announce(str(load(options.run).export(options.output, options.format.name)))


if __name__ == "__main__":
    hydra_main("export", main)
