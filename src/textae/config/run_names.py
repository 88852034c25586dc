"""What names a run: a folder, a repository of the Hugging Face Hub, or a model that the package brings along.

A folder goes first: where there is one of a pretrained model's name, the name is the folder's.
"""

from __future__ import annotations

from pathlib import Path

from textae.config.checks import absolute_path

HUB = "hf://"  # in front of USER/NAME[@REVISION]
_PRETRAINED = Path(__file__).parents[1] / "pretrained"


def is_hub_name(run: Path | str) -> bool:
    """Return whether a run is named on the Hub, not by its folder."""
    return isinstance(run, str) and run.startswith(HUB)


def pretrained_models() -> dict[str, Path]:
    """Return the run folders of the models that the package brings along, by name."""
    if not _PRETRAINED.is_dir():
        return {}
    return {path.name: path for path in sorted(_PRETRAINED.iterdir()) if path.is_dir()}


def pretrained_folder(run: Path | str) -> Path | None:
    """Return the folder of a pretrained model; None for what names none, and where a folder has its name."""
    return None if not isinstance(run, str) or Path(run).is_dir() else pretrained_models().get(run)


def located_run(run: str) -> str:
    """Return a name that means the same from every folder."""
    named = is_hub_name(run) or pretrained_folder(run) is not None
    return run if named else absolute_path(run)
