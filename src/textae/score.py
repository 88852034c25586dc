"""`python -m textae.score run=DIR input=FILE`: each line's reconstruction error; with sort=true the oddest lines first.

A line of the answer is `score<TAB>line number<TAB>line`; the score is nats per token, and numbers begin with 1.
"""

import math
from collections.abc import Iterator
from itertools import chain
from typing import Any

from textae.cli.commands import (
    check_output,
    hydra_main,
    input_portions,
    line_writer,
    run_config,
    start_keras,
    tell_truncated,
)


def main(options: Any) -> None:
    """Write a row for each line of the input; sorted, they are all held in memory first."""
    run_config(options.run)
    check_output(options.output)
    texts = input_portions(options.input)
    start_keras()
    from textae.inference.text_autoencoder import load

    autoencoder = load(options.run)

    def rows() -> Iterator[list[tuple[float, int, str]]]:
        seen = 0
        for lines in texts:
            yield list(zip(autoencoder.score(lines), range(seen + 1, seen + len(lines) + 1), lines, strict=True))
            seen += len(lines)

    with line_writer(options.output) as write:
        for portion in [sorted(chain.from_iterable(rows()), key=_oddness)] if options.sort else rows():
            write(f"{score:.4f}\t{number}\t{line}" for score, number, line in portion)
    tell_truncated(autoencoder)


def _oddness(row: tuple[float, int, str]) -> float:
    """Return what rows are sorted by: high scores first, and before them those that are no numbers."""
    return -row[0] if math.isfinite(row[0]) else -math.inf


if __name__ == "__main__":
    hydra_main("score", main)
