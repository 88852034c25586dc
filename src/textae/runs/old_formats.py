"""Run folders of older formats: their settings and weights in today's names.

A finished run of format 2 is read as before. Its settings and the names of its weights are translated; nothing in its
folder is changed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeVar

from textae.config.key_names import REMOVED, RENAMED, RENAMED_VALUES


def without_removed_keys(values: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of a run folder without those that no longer exist."""
    new = dict(values)
    for key in REMOVED:
        group, _, removed = key.partition(".")
        if isinstance(found := new.get(group), dict):
            new[group] = {name: value for name, value in found.items() if name != removed}
    return new


def settings_of_format_2(values: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of a run folder of format 2 in today's names.

    Raises:
        ValueError: a model that is not made any more.
    """
    new = dict(values)
    for group, names in RENAMED.items():
        if isinstance(found := values.get(group), dict):
            renamed: dict[Any, Any] = {names.get(name, name): value for name, value in found.items()}
            for name, value in renamed.items():
                known = RENAMED_VALUES.get((group, name), {})
                renamed[name] = known.get(value, value) if isinstance(value, str) else value
            new[group] = renamed
    if isinstance(new.get("model"), dict) and isinstance(new.get("training"), dict):
        _join_initialization(new["model"], new["training"])
    return new


def _join_initialization(model: dict[str, Any], training: dict[str, Any]) -> None:
    """Replace the four settings that were one choice."""
    fourier = model.pop("decoder_input", "linear") == "fourier"
    informed = training.pop("informed_start", True)
    if fourier and not informed:
        raise ValueError(
            "expected a run whose Fourier features begin with the lattice, found one with informed_start=false: "
            "the version in its environment.json reads it"
        )
    model["initialization"] = "lattice" if fourier else "orthogonal" if informed else "random"
    frozen = not training.pop("train_encoder", True)
    training["freeze_encoder"] = None if frozen == fourier else frozen  # null: with the lattice
    training["train_frequencies"] = training.pop("train_waves", True)


# Format 2: how the names of weights began or went on, and how they do today.
_WEIGHTS = (
    (r"^(encoder|decoder)/\1_(\d+)/\1_\2_unit_(\d+)/", r"\1/level_\2/block_\3/"),
    (r"^decoder/block_counter/", "decoder/length_head/"),
    (r"^decoder/project/angles/", "decoder/project/frequencies/"),
    (r"^end_finder/", "decoder/length_head/"),
    (r"^embeddings$", "output_embedding/embeddings"),
)
_Value = TypeVar("_Value")


def weights_of_format_2(values: Mapping[str, _Value]) -> dict[str, _Value]:
    """Return what is known of a model's weights of format 2 (arrays, or shapes) by today's names."""
    renamed = {}
    for name, value in values.items():
        for old, new in _WEIGHTS:
            name = re.sub(old, new, name)
        renamed[name] = value
    return renamed
