"""Names of keys that are not known: what they are called now, or which known one was probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

# Keys that were renamed, by group: what they were called, and what they are called now.
RENAMED = {
    "model": {
        "widths": "channels",
        "units": "residual_blocks",
        "encoder_units": "encoder_residual_blocks",
        "unit_dropout": "residual_dropout",
        "long_documents": "overflow",
    },
    "training": {
        "batch_tokens": "tokens_per_batch",
        "buckets": "num_length_buckets",
        "clip_norm": "max_gradient_norm",
        "accumulate": "gradient_accumulation_steps",
        "ema": "ema_decay",
        "short_first": "length_curriculum",
        "random_tokens": "random_token_rate",
        "log_every": "log_every_steps",
        "validate_every": "eval_every_steps",
        "checkpoint_minutes": "checkpoint_every_minutes",
        "samples": "num_logged_samples",
    },
}
# Values that were renamed, by group and key.
RENAMED_VALUES = {("model", "latent"): {"chunk": "sequence"}, ("model", "overflow"): {"cut": "truncate"}}
# Keys that became part of another one, with other values.
_REPLACED = {
    "model.decoder_input": "model.initialization",
    "training.informed_start": "model.initialization",
    "training.train_encoder": "training.freeze_encoder",
    "training.train_waves": "training.train_frequencies",
    "blocks": "positions",  # of textae.sample
}
# Keys that no longer exist, and why.
REMOVED = {"training.gradient_filter": "models that begin well have no gradients that it could skip"}
_RENAMED_OPTIONS = {("model", "chunk"): "sequence"}
_CLOSE = 0.75


def unknown_key(key: str, known: Iterable[str]) -> str:
    """Return the line that says that a key is unknown: its new name, why it is gone, or known keys that are like it."""
    if key in REMOVED:
        return f"unknown key {key}; it was removed, for {REMOVED[key]}"
    known = [other for other in dict.fromkeys(known) if other != key]
    group, _, name = key.rpartition(".")
    new = f"{group}.{RENAMED.get(group, {}).get(name)}" if name in RENAMED.get(group, {}) else _REPLACED.get(key)
    if new in known:
        return f"unknown key {key}; it was renamed to {new}"
    return f"unknown key {key}{_meant(_like(key, known))}"


def unknown_option(group: str, option: str, known: Iterable[str]) -> str:
    """Return the line that says that a group has no such option: its new name, one that is like it, or all of them."""
    known = list(known)
    if new := _RENAMED_OPTIONS.get((group, option)):
        return f"unknown option {group}={option}; it was renamed to {group}={new}"
    return f"unknown option {group}={option}{_nearest(option, known, f'{group}=')}"


def unknown_command(name: str, known: Iterable[str]) -> str:
    """Return the line that says that there is no such command: one that is like it, or all of them."""
    return f"unknown command {name!r}{_nearest(name, list(known))}"


def _nearest(name: str, known: list[str], prefix: str = "") -> str:
    """Return what may have been meant by a name, with what stands in front of it, or all known ones."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return _meant([prefix + each for each in close]) or f"; expected one of {', '.join(known)}"


def unknown_value(key: str, value: str, known: str) -> str:
    """Return the line that says that a key cannot have a value, and which ones it can have."""
    group, _, name = key.rpartition(".")
    new = RENAMED_VALUES.get((group, name), {}).get(value)
    renamed = f"; it was renamed to {new}" if new else ""
    return f"{key}: expected one of {known}, found {value}{renamed}"


def _meant(names: list[str]) -> str:
    return f"; did you mean {' or '.join(names)}?" if names else ""


def _like(key: str, known: list[str]) -> list[str]:
    """Return at most three known keys that are like one: of the same name elsewhere, abbreviated, or misspelt."""
    group, _, name = key.lower().rpartition(".")
    last = {other: other.rpartition(".")[2] for other in known}
    found = [other for other in known if last[other] == name]
    if not found:
        found = [other for other in known if "".join(word[0] for word in last[other].split("_") if word) == name]
    if not found:
        close = difflib.get_close_matches(name, dict.fromkeys(last.values()), n=3, cutoff=_CLOSE)
        found = [other for part in close[:1] for other in known if last[other] == part]
    own = [other for other in found if other.rpartition(".")[0] == group]
    return (own or found)[:3]
