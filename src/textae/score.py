"""`python -m textae.score run=DIR input=FILE`: how odd each line is; with sort=true the oddest lines first.

A line of the answer is `score<TAB>line number<TAB>line`; numbers begin with 1. With baseline=true the scores of the
baselines stand before the line, each in a column of its own. With labels=FILE one JSON object says how well each
detector tells the anomalies, and rows are written to output=FILE alone. `shard=I/N`: a part of a Parquet data set, in
the folder `output`.
"""

import logging
from collections.abc import Iterator
from itertools import chain
from typing import Any

from textae.cli.commands import (
    announce,
    check_output,
    corpus_of,
    hydra_main,
    input_portions,
    line_writer,
    load_for_lines,
    open_input,
    read_lines,
    run_config,
    tell_truncated,
)
from textae.hardware import start_keras

logger = logging.getLogger("textae.score")


def main(composed: Any) -> None:
    """Write a row for each line of the input; sorted, they are all held in memory first."""
    from textae.config.mapping import resolve

    options = resolve(composed)
    trained_with = run_config(options.run)
    if options.shard is not None:
        _write_parts(options, trained_with)
        return
    check_output(options.output)
    texts = input_portions(options.input)
    labels = _labels(options.labels) if options.labels is not None else None
    corpus = corpus_of(options, trained_with) if options.baseline else None
    autoencoder, detectors = _detectors(options, corpus)
    from textae.inference.anomalies import ScoredLine, oddest_first, scored_lines

    if corpus is not None:
        logger.info(f"columns: score, line number, {', '.join(list(detectors)[1:])}, line")
    seen: list[tuple[float, ...]] = []

    def portions() -> Iterator[list[ScoredLine]]:
        first = 1
        for lines in texts:
            found = scored_lines(lines, detectors.values(), first)
            if labels is not None:
                seen.extend(row.scores for row in found)
            first += len(found)
            yield found

    rows = [oddest_first(chain.from_iterable(portions()))] if options.sort else portions()
    if labels is None or options.output is not None:
        with line_writer(options.output) as write:
            for portion in rows:
                write(map(_written, portion))
    else:
        for _ in rows:
            pass
    if labels is not None:
        announce(_metrics(labels, dict(zip(detectors, zip(*seen, strict=True), strict=False))))
    tell_truncated(autoencoder)


def _detectors(options: Any, corpus: Any) -> tuple[Any, dict[str, Any]]:
    """Return the run, and what scores lines: the run, which has no name, then the baselines fitted to a corpus."""
    start_keras()
    autoencoder = load_for_lines(options.run)
    detectors: dict[str, Any] = {"": lambda lines: autoencoder.score(lines, options.masked_passes)}
    if corpus is not None:
        from textae.evaluation.anomaly_baselines import baseline_detectors

        detectors |= baseline_detectors(autoencoder.tokenizer, corpus.texts("train"))
    return autoencoder, detectors


def _write_parts(options: Any, trained_with: Any) -> None:
    """Write the shards' parts of a data set."""
    import pyarrow as pa

    from textae.cli.shards import data_set, write_parts

    corpus = corpus_of(options, trained_with) if options.baseline else None
    settings = {"masked_passes": options.masked_passes, "baseline": corpus and corpus.fingerprint}
    scores = data_set(options, "score", settings)
    if not scores.numbers:
        return
    autoencoder, detectors = _detectors(options, corpus)

    def answer(lines: list[str]) -> list[Any]:
        return [pa.array(detect(lines), pa.float64()) for detect in detectors.values()]

    write_parts(scores, {name or "score": pa.float64() for name in detectors}, answer)
    tell_truncated(autoencoder)


def _labels(name: str) -> list[int]:
    """Return the labels of the lines, read from a file.

    Raises:
        ValueError: a line is neither 0 nor 1.
    """
    found = []
    for number, line in enumerate(read_lines(open_input(name, "labels"), name), 1):
        if line.strip() not in ("0", "1"):
            raise ValueError(f"labels: expected 0 or 1 in line {number:,} of {name}, found {line!r:.100}")
        found.append(int(line))
    return found


def _metrics(labels: list[int], scores: dict[str, Any]) -> str:
    """Return the JSON object of how well detectors tell the anomalies.

    Raises:
        ValueError: there are more lines than labels, or fewer.
    """
    from textae.evaluation.anomaly_baselines import detection_metrics
    from textae.runs.json_files import to_json

    lines = len(next(iter(scores.values()), ()))
    if len(labels) != lines:
        raise ValueError(f"labels: expected one for each of {lines:,} lines of the input, found {len(labels):,}")
    return to_json(detection_metrics(labels, scores))


def _written(row: Any) -> str:
    (score, *others), number, line = row
    return "\t".join([f"{score:.4f}", str(number), *(f"{other:.4f}" for other in others), line])


if __name__ == "__main__":
    hydra_main("score", main)
