"""`python -m textae.evaluate run=DIR [corpus=text corpus.files=[...]]`: a run's figures on any corpus, as JSON."""

import json
from pathlib import Path
from typing import Any

from textae.commands import hydra_main, run_config, start_keras


def main(composed: Any) -> None:
    """Print one JSON object with the keys of metrics.json."""
    from textae.config import resolve
    from textae.corpora import open_corpus

    options = resolve(composed)
    trained_with = run_config(options.run)
    corpus = options.corpus if options.corpus.kind != "run" else trained_with.corpus
    opened = open_corpus(corpus.kind, Path(options.data_dir) / "corpora", **corpus.settings())
    start_keras()
    from textae.autoencoder import load
    from textae.evaluation import evaluate
    from textae.rundir import METRICS, RunDir, read_json

    autoencoder = load(options.run, latent_noise=options.latent_noise)
    run = RunDir(options.run)
    trained = read_json(run / METRICS) if run.finished else {}
    metrics = trained | evaluate(autoencoder, opened.texts(options.split)).metrics
    print(json.dumps(metrics, indent=2), flush=True)


if __name__ == "__main__":
    hydra_main("evaluate", main)
