"""The model card of a run: what it was trained on, how good it is, how it is loaded. Markdown, from plain values."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

# Metrics of the card, and what they say.
FIGURES = {
    "token_accuracy": "share of tokens that come back at their place",
    "exact_match": "share of documents that come back exactly",
    "loss": "nats per token",
    "bleu": "corpus BLEU, 0 to 100",
    "cer": "character error rate",
    "wer": "word error rate",
    "latent_floats_per_token": "numbers a token becomes",
    "documents": "documents of the test split",
    "tokens": "their tokens",
}
LONG_DOCUMENTS = {
    "split": "Texts of more than {length} tokens, the end counted, are split into segments{vectors}; nothing is lost.",
    "truncate": "Texts of more than {length} tokens, the end counted, are truncated.",
    "drop": "Training and metrics leave out texts of more than {length} tokens, the end counted; in use they are "
    "{answer}.",
}


def model_card(config: Mapping[str, Any], environment: Mapping[str, Any], metrics: Mapping[str, Any]) -> str:
    """Return the card of a finished run from what its config.yaml, environment.json and metrics.json hold."""
    model, tokenizer, corpus = config["model"], config["tokenizer"], environment["corpus"]
    stride = 1
    for factor in model["strides"]:
        stride *= factor
    vector, overflow = model["latent"] == "vector", model["overflow"]
    segment = f"segment of at most {model['max_length']} tokens" if overflow == "split" else "text"
    unit = segment if vector else f"{stride} tokens"
    figures = [f"| `{name}` | {_number(metrics[name])} | {what} |" for name, what in FIGURES.items() if name in metrics]
    versions = ", ".join(f"{name} {found}" for name, found in environment["versions"].items() if found)
    return "\n".join(
        [
            f"# {config['name']}",
            "",
            "A one-dimensional convolutional autoencoder of text, trained with textae"
            f" {environment['versions']['textae']}: {model['latent_size']} numbers for each {unit}, and back to text.",
            "",
            "## What it was trained on",
            "",
            "| | |",
            "| --- | --- |",
            f"| corpus | {corpus['name']}, fingerprint {corpus['fingerprint']} |",
            f"| documents | {corpus['train']:,} train, {corpus['validation']:,} validation, {corpus['test']:,} test |",
            f"| tokenizer | {tokenizer['kind']}, vocabulary {environment['vocabulary_size']:,} |",
            f"| model | {metrics['parameters']:,} parameters{', variational' if model['variational'] else ''} |",
            f"| training | {metrics['steps']:,} steps, {metrics['examples_seen']:,} examples, "
            f"{metrics['train_seconds']:,.0f} s |",
            *_sessions(environment),
            f"| with | {versions} |",
            "",
            "```sh",
            _command(environment["command"]),
            "```",
            "",
            "config.yaml holds every setting.",
            "",
            "## Figures",
            "",
            "Of the test split, with the weights that were kept; metrics.json has them all.",
            "",
            "| figure | value | what it is |",
            "| --- | --- | --- |",
            *figures,
            "",
            "## How to load it",
            "",
            "```python",
            "import textae",
            "",
            'ae = textae.load("THIS_FOLDER")',
            'latents = ae.encode(["Any text.", "Another one."])',
            "texts = ae.decode(latents)",
            "```",
            "",
            LONG_DOCUMENTS[overflow].format(
                length=model["max_length"],
                vectors=", with a vector for each" if vector else "",
                answer="truncated" if vector else "split into segments",
            ),
            *(["The tokenizer does not keep white space and rare words."] if tokenizer["kind"] == "words" else []),
            "",
        ]
    )


def _sessions(environment: Mapping[str, Any]) -> list[str]:
    """Return the rows of what a run ran on: one, or one of each session if they differ."""
    shown: list[tuple[int, str]] = []
    for session in environment.get("sessions") or [environment]:
        on = ", ".join(str(session.get(name)) for name in ("machine", "backend", "precision"))
        if not shown or shown[-1][1] != on:
            shown.append((session.get("from_step", 0), on))
    return [f"| on{f', from step {step:,}' if step else ''} | {on} |" for step, on in shown]


def _command(words: list[str]) -> str:
    name, *arguments = words
    start = f"python -m textae.{name.removesuffix('.py')}" if name == "train.py" else shlex.quote(name)
    return " ".join([start, *map(shlex.quote, arguments)])


def _number(value: Any) -> str:
    if value is None:
        return "not finite"
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
