"""The model card of a run: what it was trained on, how good it is, how it is loaded.

The text stands in model_card.md. Names that come from the user's files and settings are escaped: they show as they are,
and neither a terminal nor Markdown takes them for commands.
"""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Mapping
from importlib.resources import files
from pathlib import PurePath
from string import Template
from typing import Any

from textae.config.metric_table import METRICS
from textae.progress import escaped

LONG_TEXTS = {
    "split": "Texts of more than {length} tokens, the end counted, are split into segments{vectors}; nothing is lost.",
    "truncate": "Texts of more than {length} tokens, the end counted, are truncated.",
    "drop": "Training and metrics leave out texts of more than {length} tokens, the end counted; in use they are "
    "{answer}.",
}
MOST_FILES = 10  # paths and globs that are named
_MARKDOWN = re.compile(r"[\\`*_\[\]<>|#&~$!]")


def model_card(config: Mapping[str, Any], environment: Mapping[str, Any], metrics: Mapping[str, Any]) -> str:
    """Return the card of a finished run from what its config.yaml, environment.json and metrics.json hold."""
    model, tokenizer, corpus = config["model"], config["tokenizer"], environment["corpus"]
    command = _command(environment["command"])
    sizes = [f"{corpus[split]:,} {split}" for split in ("train", "validation", "test")]
    versions = [f"{name} {_plain(found)}" for name, found in environment["versions"].items() if found]
    return Template(files("textae.reporting").joinpath("model_card.md").read_text(encoding="utf-8")).substitute(
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
