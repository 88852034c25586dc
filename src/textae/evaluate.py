"""`python -m textae.evaluate run=DIR [corpus=text corpus.files=[...]]`: a run's metrics on any corpus, as JSON."""

import logging
import math
from dataclasses import asdict
from typing import Any

from textae.cli.commands import announce, check_output, corpus_of, hydra_main, run_config, start_keras
from textae.config.metric_table import names

logger = logging.getLogger("textae.evaluate")


def main(composed: Any) -> None:
    """Print one JSON object with the keys of metrics.json; `by_length=FILE.csv` writes a table besides."""
    from textae.config.mapping import resolve

    options = resolve(composed)
    trained_with = run_config(options.run)
    options.corruption.require_alignment(trained_with.model)
    check_output(None)
    if options.by_length is not None:
        check_output(options.by_length, "by_length")
    corpus = corpus_of(options, trained_with)
    start_keras()
    from textae.evaluation.evaluator import final_evaluation
    from textae.files import write_csv
    from textae.inference.text_autoencoder import load
    from textae.runs.json_files import to_json
    from textae.runs.run_folder import RunDir

    autoencoder = load(options.run, latent_noise=options.latent_noise)
    autoencoder.codec.true_lengths = options.true_lengths
    trained = RunDir(options.run).metrics()
    found = final_evaluation(autoencoder, lambda: corpus.texts(options.split), corruption=asdict(options.corruption))
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


if __name__ == "__main__":
    hydra_main("evaluate", main)
