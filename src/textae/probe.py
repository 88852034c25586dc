"""`python -m textae.probe run=DIR corpus=text corpus.files=[...] corpus.label=NAME`: what linear classifiers read."""

from collections.abc import Callable
from itertools import repeat
from typing import Any

from textae.cli.commands import announce, check_output, corpus_of, hydra_main, run_config, tell_truncated
from textae.hardware import start_keras


def main(composed: Any) -> None:
    """Print one JSON object: accuracies on the test split, of frozen latents, of baselines and of one answer."""
    from textae.config.mapping import resolve

    options = resolve(composed)
    check_output(None)
    corpus = corpus_of(options, run_config(options.run))
    _check_labels(options, corpus)
    start_keras()
    from textae.evaluation.probe import probe, probe_containment
    from textae.evaluation.vector_baselines import baselines
    from textae.inference.text_autoencoder import load
    from textae.runs.json_files import to_json

    autoencoder = load(options.run)
    size = autoencoder.model.latent_size * (1 if autoencoder.codec.single else 2)
    compared = list(baselines(size)) if options.baselines else []
    encode, splits = _encoder(autoencoder), _splits(options, corpus)
    if options.task.name == "containment":
        texts = {split: given for split, (given, _) in splits.items()}
        found = probe_containment(encode, texts, options.seed, compared)
    else:
        found = probe(encode, splits, compared)
    announce(to_json(found))
    tell_truncated(autoencoder)


def _check_labels(options: Any, corpus: Any) -> None:
    """Raise a ValueError if a classifier would find no labels, or fewer than asked for."""
    if options.task.name == "containment":
        return
    if not corpus.labelled:
        raise ValueError(f"corpus {corpus.name}: expected corpus.label=NAME for a corpus with labels, found none")
    if options.labels is not None and options.labels > corpus.sizes["train"]:
        raise ValueError(
            f"expected labels of at most {corpus.sizes['train']}, the documents of train, found {options.labels}"
        )


def _splits(options: Any, corpus: Any) -> dict[str, tuple[list[str], list[Any]]]:
    """Return the texts and labels of each split; without labels in the corpus, each label is None."""
    from textae.config.choices import SPLITS
    from textae.evaluation.probe import sample

    limits = {"train": options.labels, "validation": options.labels, "test": None}
    return {
        split: sample(
            corpus.texts(split),
            corpus.labels(split) if corpus.labelled else repeat(None, corpus.sizes[split]),
            corpus.sizes[split],
            limits[split],
            options.seed,
        )
        for split in SPLITS
    }


def _encoder(autoencoder: Any) -> Callable[[list[str]], Any]:
    """Return what makes features of texts, a portion at a time."""
    import numpy as np

    from textae.data.preparation import in_portions
    from textae.evaluation.probe import pooled
    from textae.progress import Progress

    def encode(texts: list[str]) -> Any:
        features = []
        with Progress("encoding", len(texts), "documents") as progress:
            for portion in in_portions(texts):
                features.append(pooled(autoencoder.encode(portion)))
                progress.advance(len(portion))
        return np.concatenate(features)

    return encode


if __name__ == "__main__":
    hydra_main("probe", main)
