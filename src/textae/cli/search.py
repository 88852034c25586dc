"""A search that goes on: each trial has a folder of its number, and what was stopped is taken up again.

Hydra's Optuna sweeper numbers its jobs from 0 in every command, while a study that is kept goes on counting.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

_FOLDER = "textae.folder"  # the attribute of a trial that holds the folder of its sweep
_SUBDIR = "hydra.sweep.subdir"


def by_number(config: Any, trial: Any) -> None:
    """Have a trial's job go to the folder of its number, unless the user names folders; the sweeper calls it."""
    from textae.config.mapping import plain

    trial.set_user_attr(_FOLDER, str(Path(config.hydra.sweep.dir).absolute()))
    if plain(config.hydra.sweep)["subdir"] == "${hydra.job.num}":
        trial.suggest_int(_SUBDIR, trial.number, trial.number)


def number_of(settings: Any) -> int:
    """Return the number of a sweep's job: in a search that of its trial."""
    from textae.config.mapping import plain

    given = plain(settings.overrides.hydra)
    found = [setting.removeprefix(f"{_SUBDIR}=") for setting in given if setting.startswith(f"{_SUBDIR}=")]
    searched = "optuna" in str(settings.sweeper.get("_target_"))
    return int(found[-1]) if searched and found and found[-1].isdigit() else settings.job.num


def resume(config: Any, folder: Path) -> int | None:
    """Return how many jobs a search that is kept has still to do; None if there is none to go on with.

    Trials that a command in this folder has left unfinished are the next ones: of the same number, with the same
    settings, so that their runs go on.

    Raises:
        ValueError: the search's storage cannot be opened.
    """
    sweeper = config.hydra.sweeper
    storage, name = sweeper.get("storage"), sweeper.get("study_name")
    if "optuna" not in str(sweeper.get("_target_")) or not isinstance(storage, str) or name is None:
        return None
    try:
        import optuna
    except ImportError:  # that it is missing is said when it is needed
        return None
    optuna.logging.set_verbosity(logging.ERROR)
    try:
        study = optuna.load_study(study_name=name, storage=storage)
    except KeyError:
        return None
    except Exception as error:  # of SQLAlchemy, of a driver of its, or of a package that is missing
        found = f"{storage}: {str(error).splitlines()[0]}"
        raise ValueError(f"hydra.sweeper.storage: expected a database that can be opened, found {found}") from error
    finished = 0
    for trial in study.get_trials(deepcopy=False):
        finished += trial.state.is_finished()
        if trial.state == optuna.trial.TrialState.RUNNING and trial.user_attrs.get(_FOLDER) == str(folder.absolute()):
            study._storage.set_trial_state(trial._trial_id, optuna.trial.TrialState.WAITING)
    return max(sweeper.n_trials - finished, 0)
