"""From what names a run to its folder."""

from __future__ import annotations

import logging
from pathlib import Path

from textae.config.run_names import is_hub_name, pretrained_folder, pretrained_models
from textae.runs.hub import local_folder
from textae.runs.run_folder import WEIGHTS

logger = logging.getLogger(__name__)


def find_run(run: Path | str, weights: str = WEIGHTS) -> Path:
    """Return the folder of a run.

    Args:
        run: a folder; or else the name of a pretrained model of the package; or `hf://USER/NAME[@REVISION]`, a
            repository of the Hugging Face Hub, whose files are fetched.
        weights: the file of weights that is fetched.

    Raises:
        ValueError: there is nothing of that name, or the Hub refuses.
        OSError: the Hub cannot be asked, and nothing was fetched before.
    """
    if is_hub_name(run):
        return local_folder(str(run), weights)
    if (pretrained := pretrained_folder(run)) is not None:
        return pretrained
    folder, known = Path(run), pretrained_models()
    if not folder.is_dir():
        raise ValueError(
            f"run: expected a run folder, found no folder {run}; the pretrained models are: {', '.join(known)}"
        )
    if isinstance(run, str) and run in known:
        logger.warning("%s is the folder in %s, not the pretrained model of that name", run, Path.cwd())
    return folder
