"""`python -m textae.probe run=DIR corpus=text corpus.files=[...] corpus.label=NAME`: what a linear classifier reads."""

from typing import Any

from textae.cli.commands import announce, check_output, corpus_of, hydra_main, run_config, start_keras, tell_truncated


def main(composed: Any) -> None:
    """Print one JSON object: accuracies on the test split, of frozen latents, of a bag of words and of one answer."""
    from textae.config.mapping import resolve

    options = resolve(composed)
    check_output(None)
    corpus = corpus_of(options, run_config(options.run))
    if not corpus.labelled:
        raise ValueError(f"corpus {corpus.name}: expected corpus.label=NAME for a corpus with labels, found none")
    if options.labels is not None and options.labels > corpus.sizes["train"]:
        raise ValueError(
            f"expected labels of at most {corpus.sizes['train']}, the documents of train, found {options.labels}"
        )
    start_keras()
    from textae.config.choices import SPLITS
    from textae.data.preparation import in_portions
    from textae.evaluation.probe import pooled, probe, sample
    from textae.inference.text_autoencoder import load
    from textae.progress import Progress
    from textae.runs.json_files import to_json

    autoencoder = load(options.run)
    limits = {"train": options.labels, "validation": options.labels, "test": None}
    splits = {
        split: sample(corpus.texts(split), corpus.labels(split), corpus.sizes[split], limits[split], options.seed)
        for split in SPLITS
    }

    def encode(texts: list[str]) -> Any:
        import numpy as np

        features = []
        with Progress("encoding", len(texts), "documents") as progress:
            for portion in in_portions(texts):
                features.append(pooled(autoencoder.encode(portion)))
                progress.advance(len(portion))
        return np.concatenate(features)

    announce(to_json(probe(encode, splits)))
    tell_truncated(autoencoder)


if __name__ == "__main__":
    hydra_main("probe", main)
