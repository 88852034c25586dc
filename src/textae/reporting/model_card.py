"""The model card of a run: what it was trained on, how good it is, how it is loaded.

The text stands in model_card.md, with metadata of the Hugging Face Hub in front. Names that come from the user's files
and settings are escaped: they show as they are, and neither a terminal nor Markdown takes them for commands.
"""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import PurePath
from string import Template
from typing import Any

import yaml

from textae.config.metric_table import METRICS
from textae.progress import escaped

LONG_TEXTS = {
    "split": "Texts of more than {length} tokens, the end counted, are split into segments{vectors}; nothing is lost.",
    "truncate": "Texts of more than {length} tokens, the end counted, are truncated.",
    "drop": "Training and metrics leave out texts of more than {length} tokens, the end counted; in use they are "
    "{answer}.",
}
MOST_FILES = 10  # paths and globs that are named
_SHOWN = 200  # characters of an example
_EXAMPLES = 2  # of each kind
_TAGS = ("autoencoder", "text", "convolutional", "keras", "textae")
_MARKDOWN = re.compile(r"[\\`*_\[\]<>|#&~$!]")


def model_card(
    config: Mapping[str, Any],
    environment: Mapping[str, Any],
    metrics: Mapping[str, Any],
    examples: Sequence[tuple[str, str, str]] = (),
) -> str:
    """Return the card of a finished run.

    Args:
        config, environment, metrics: what its config.yaml, environment.json and metrics.json hold.
        examples: documents of the test split: which kind of example, the text, and its reconstruction. Two of each kind
            are shown.
    """
    model, tokenizer, corpus = config["model"], config["tokenizer"], environment["corpus"]
    command = _command(environment["command"])
    sizes = [f"{corpus[split]:,} {split}" for split in ("train", "validation", "test")]
    versions = [f"{name} {_plain(found)}" for name, found in environment["versions"].items() if found]
    return Template(files("textae.reporting").joinpath("model_card.md").read_text(encoding="utf-8")).substitute(
        metadata=_metadata(config, environment, metrics),
        name=_plain(config["name"]),
        textae=_plain(environment["versions"]["textae"]),
        latent_size=model["latent_size"],
        unit=_unit(model),
        corpus=_corpus(corpus["name"], config["corpus"]),
        fingerprint=_plain(corpus["fingerprint"]),
        documents=", ".join(sizes),
        tokenizer=_plain(tokenizer["kind"]),
        vocabulary=f"{environment['vocabulary_size']:,}",
        parameters=f"{metrics['parameters']:,}",
        variational=", variational" if model["variational"] else "",
        training=f"{metrics['steps']:,} steps, {metrics['examples_seen']:,} examples, "
        f"{metrics['train_seconds']:,.0f} s",
        sessions="\n".join(_sessions(environment)),
        versions=", ".join(versions),
        fence=_fence(command),
        command=command,
        metrics="\n".join(
            f"| `{metric.name}` | {metric.shown(metrics[metric.name])} | {metric.meaning} | {metric.unit} |"
            for metric in METRICS
            if metric.card and metric.name in metrics
        ),
        shown=_SHOWN,
        examples="\n".join(_examples(examples)),
        use=_use(config),
        long_texts=_long_texts(model, tokenizer),
    )


def _corpus(name: str, settings: Mapping[str, Any]) -> str:
    """Return a corpus by its name and, where it is read from files, those of each split, without their folders."""
    parts = [_plain(name)]
    for key, split in (("files", ""), ("validation_files", "validation split: "), ("test_files", "test split: ")):
        names = [_plain(PurePath(path).name or path) for path in settings.get(key) or ()]
        if (more := len(names) - MOST_FILES) > 0:
            names = [*names[:MOST_FILES], f"{more:,} more"]
        if names:
            parts.append(split + ", ".join(names))
    if settings.get("field"):
        parts.append(f"field {_plain(settings['field'])}")
    return "; ".join(parts)


def _metadata(config: Mapping[str, Any], environment: Mapping[str, Any], metrics: Mapping[str, Any]) -> str:
    """Return what the Hugging Face Hub reads: the library, tags, and the metrics of quality as evaluation results."""
    corpus = environment["corpus"]["name"]
    shown = [m.name for m in METRICS if m.card and m.group == "quality" and metrics.get(m.name) is not None]
    result = {
        "task": {"type": "feature-extraction", "name": "Reconstruction"},
        "dataset": {"type": corpus, "name": corpus, "split": "test"},
        "metrics": [{"type": name, "name": name, "value": metrics[name]} for name in shown],
    }
    content = {
        "library_name": "textae",
        "pipeline_tag": "feature-extraction",
        "tags": [*_TAGS, *(["variational-autoencoder"] if config["model"]["variational"] else [])],
        "model-index": [{"name": config["name"], "results": [result] if shown else []}],
    }
    return yaml.safe_dump(content, sort_keys=False, width=10_000).rstrip()


def _examples(examples: Sequence[tuple[str, str, str]]) -> list[str]:
    """Return the lines of a table of some examples of each kind, or that there are none."""
    if not examples:
        return ["None were kept."]
    lines, count = ["| | text |", "| --- | --- |"], dict.fromkeys((kind for kind, *_ in examples), 0)
    for kind, text, reconstruction in examples:
        if count[kind] < _EXAMPLES:
            count[kind] += 1
            lines += [
                f"| {kind} | {_plain(text[:_SHOWN])} |",
                f"| reconstruction | {_plain(reconstruction[:_SHOWN])} |",
            ]
    return lines


def _use(config: Mapping[str, Any]) -> str:
    """Return what the model is for, by how it was trained."""
    corruption = config.get("training", {}).get("corruption", {})
    uses = ["latents as the input or output of another model", "compact storage of text like its corpus"]
    if config["model"]["latent"] == "vector":
        uses = ["one vector for each text, to compare and to interpolate", *uses[:1]]
    if corruption.get("substitute"):
        uses.append("correction of substituted tokens")
    if corruption.get("mask"):
        uses.append("scores that are high for anomalies")
    if config["model"]["variational"]:
        uses.append("texts drawn from N(0, 1)")
    return f"It is meant for: {'; '.join(uses)}."


def _unit(model: Mapping[str, Any]) -> str:
    """Return what one latent stands for."""
    if model["latent"] != "vector":
        return f"{math.prod(model['strides'])} tokens"
    return f"segment of at most {model['max_length']} tokens" if model["overflow"] == "split" else "text"


def _long_texts(model: Mapping[str, Any], tokenizer: Mapping[str, Any]) -> str:
    vector = model["latent"] == "vector"
    text = LONG_TEXTS[model["overflow"]].format(
        length=model["max_length"],
        vectors=", with a vector for each" if vector else "",
        answer="truncated" if vector else "split into segments",
    )
    if tokenizer["kind"] == "words":
        text += "\nThe tokenizer does not keep white space and rare words."
    if tokenizer["number_normalization"] != "none":
        text += "\nThe tokenizer reads numbers as zeros."
    return text


def _sessions(environment: Mapping[str, Any]) -> list[str]:
    """Return the rows of what a run ran on: one, or one of each session if they differ."""
    shown: list[tuple[int, str]] = []
    for session in environment.get("sessions") or [environment]:
        on = ", ".join(_plain(session.get(name)) for name in ("machine", "backend", "precision"))
        if not shown or shown[-1][1] != on:
            shown.append((session.get("from_step", 0), on))
    return [f"| on{f', from step {step:,}' if step else ''} | {on} |" for step, on in shown]


def _plain(value: Any) -> str:
    """Return a value as text that Markdown shows as it is."""
    return _MARKDOWN.sub(r"\\\g<0>", escaped(str(value)))


def _command(words: list[str]) -> str:
    name, *arguments = words
    start = f"python -m textae.{name.removesuffix('.py')}" if name == "train.py" else _quoted(name)
    return " ".join([start, *map(_quoted, arguments)])


def _quoted(word: str) -> str:
    """Return a word as a shell reads it, control characters as escapes."""
    if word.isprintable():
        return shlex.quote(word)
    return "$'" + escaped(word.replace("\\", "\\\\").replace("'", "\\'")) + "'"


def _fence(text: str) -> str:
    """Return a fence for a block of code that the text does not hold."""
    return "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
