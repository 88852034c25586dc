"""`python -m textae.evaluate run=DIR [corpus=text corpus.files=[...]]`: a run's metrics on any corpus, as JSON."""

import logging
import math
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

from textae.cli.commands import announce, check_output, corpus_of, hydra_main, run_config
from textae.config.metric_table import names
from textae.hardware import start_keras

logger = logging.getLogger("textae.evaluate")


def main(composed: Any) -> None:
    """Print one JSON object with the keys of metrics.json, or a curve; CSV and image files are written besides."""
    from textae.config.mapping import resolve
    from textae.inference.latent_operations import check_variational

    options = resolve(composed)
    trained_with = run_config(options.run)
    options.corruption.require_alignment(trained_with.model)
    if options.importance_samples:
        check_variational(trained_with.model.variational)
    check_output(None)
    for key in ("by_length", "csv", "plot"):
        if (name := getattr(options, key)) is not None:
            check_output(name, key)
    if options.plot is not None:
        from textae.reporting.run_table import image_kind

        image_kind(Path(options.plot))
    corpus = corpus_of(options, trained_with)
    start_keras()
    (_evaluate if options.curve is None else _curve)(options, corpus)


def _evaluate(options: Any, corpus: Any) -> None:
    """Print the metrics of metrics.json; `by_length=FILE.csv` writes a table besides."""
    from textae.evaluation.evaluator import final_evaluation
    from textae.files import write_csv
    from textae.inference.text_autoencoder import load
    from textae.runs.json_files import to_json
    from textae.runs.run_folder import RunDir

    autoencoder = load(options.run, latent_noise=options.latent_noise)
    autoencoder.codec.true_lengths = options.true_lengths
    trained = RunDir(options.run).metrics()
    found = final_evaluation(
        autoencoder,
        lambda: islice(corpus.texts(options.split), options.documents),
        corruption=asdict(options.corruption),
        importance_samples=options.importance_samples,
    )
    if options.by_length is not None:
        write_csv(options.by_length, [row._asdict() for row in found.by_length])
    of_training = {name: trained[name] for name in names(group="training") if name in trained}
    metrics = of_training | found.metrics
    announce(to_json(metrics))
    if cut := metrics["documents_truncated"]:
        logger.warning(
            f"{cut:,} of {metrics['documents']:,} documents are longer than model.max_length and were truncated"
        )
    if odd := [f"{name} {value}" for name, value in found.metrics.items() if not math.isfinite(value)]:
        logger.warning(f"expected finite metrics, found {', '.join(odd)}: null in the JSON object")


def _curve(options: Any, corpus: Any) -> None:
    """Print the points of a curve and what they are compared with; `csv` and `plot` write files besides."""
    from textae.evaluation.baselines import bits_per_token
    from textae.evaluation.curves import Bits, Noise, curve, train_statistics
    from textae.files import write_csv
    from textae.inference.text_autoencoder import load
    from textae.reporting.curve_files import plot, rows_of, table
    from textae.runs.json_files import to_json

    autoencoder = load(options.run)
    if options.curve.name == "noise":
        disturbance = Noise(options.noise_levels, train_statistics(autoencoder, corpus.texts("train")))
    else:
        disturbance = Bits(options.bits, autoencoder.model.latent_size)
    total = corpus.sizes[options.split]
    found = curve(
        autoencoder,
        islice(corpus.texts(options.split), options.documents),
        disturbance,
        total if options.documents is None else min(total, options.documents),
    )
    baselines = bits_per_token(
        corpus.texts(options.split), corpus.texts("train"), autoencoder.tokenizer, autoencoder.codec.left_out
    )
    name = Path(options.run).resolve().name
    rows = rows_of(name, options.curve.name, found.points, baselines)
    if options.csv is not None:
        write_csv(options.csv, rows)
    if options.plot is not None:
        plot(rows, Path(options.plot))
    logger.info(f"{options.curve.name} of {name}, {found.metrics['documents']:,} documents:")
    for line in table(rows).split("\n"):
        logger.info(line)
    own = {f"{other}_bits_per_token": bits for other, bits in baselines.items()}
    announce(to_json({**found.metrics, **own, "curve": found.points}))


if __name__ == "__main__":
    hydra_main("evaluate", main)
