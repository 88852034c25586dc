"""Where runs and sweeps go: before Hydra makes a folder it is looked at, and what stays unused is removed.

Hydra tells `OwnFolder` what it is about to do. Whether a folder was there before is known from making it here.
"""

from __future__ import annotations

import errno
import logging
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback

from textae.cli.errors import shortened
from textae.cli.search import resume
from textae.cli.sweeps import PREFIX
from textae.config.composing import literal, quoted
from textae.runs.run_folder import LOCK, RunDir

logger = logging.getLogger(__name__)

_LONGEST_NAME = 255  # bytes, on every file system that is common
SWEEP = "multirun.yaml"  # what a sweep begins with: its configuration


class Refused(BaseException):
    """What is wrong with the folder of a run or sweep; no `Exception`, for Hydra makes warnings of those."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


class Folders:
    """The folders of one command: which it has made, and which of them are unused at its end.

    Within a `with` block it is the one that `OwnFolder` talks to.
    """

    current: Folders | None = None

    def __init__(self) -> None:
        self.sweep: Path | None = None
        self._made: list[Path] = []  # outermost first
        self._before: set[Path] = set()  # what the sweep's folder held
        self._lock: Any = None

    def __enter__(self) -> Folders:
        Folders.current = self
        return self

    def __exit__(self, *raised: object) -> None:
        Folders.current = None
        if self.sweep is not None:
            self._end_sweep(self.sweep)
        for folder in reversed(self._made):
            _remove(folder)

    def begin_run(self, config: Any) -> None:
        """Make the folder of a run; that which the configuration names by the time is a new one."""
        key = "hydra.run.dir"
        folder = _folder_of(config, key)
        _check_values(config, folder)
        if _by_time(config, key):
            with _writable(config):
                config.hydra.run.dir = literal(str(self._claim(key, folder)))
        else:
            self._make(key, folder)

    def begin_sweep(self, config: Any) -> None:
        """Make the folder of a sweep and keep other sweeps out of it.

        Raises:
            ValueError: it holds something else, or another sweep is at work in it.
        """
        from filelock import FileLock, Timeout
        from omegaconf import OmegaConf

        from textae.config.mapping import plain

        key = "hydra.sweep.dir"
        folder = _folder_of(config, key)
        _named("hydra.sweep.subdir", plain(config.hydra.sweep)["subdir"])
        if _by_time(config, key):
            folder = self._claim(key, folder)
            with _writable(config):
                config.hydra.sweep.dir = literal(str(folder))
                config.hydra.overrides.hydra.append(f"{key}={quoted(str(folder))}")  # of which jobs are composed
        else:
            self._make(key, folder)
            check_sweep(folder)
        lock = FileLock(folder / LOCK)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise ValueError(f"{key}: expected a folder of its own, found another sweep at work in {folder}") from None
        self._lock, self.sweep = lock, folder.absolute()
        self._before = set(_unused(self.sweep))
        OmegaConf.save(config, folder / SWEEP)
        if (jobs := resume(config, folder)) is not None:
            search = config.hydra.sweeper
            logger.info(f"the search {search.study_name} goes on: {jobs} of {search.n_trials} jobs")
            with _writable(config):
                config.hydra.sweeper.n_trials = jobs

    def _end_sweep(self, folder: Path) -> None:
        for place in _unused(folder):
            if place not in self._before:
                _remove(place)
        with suppress(OSError):
            if folder in self._made and {path.name for path in folder.iterdir()} <= {SWEEP, LOCK}:
                (folder / SWEEP).unlink(missing_ok=True)  # no job has come to anything
            (folder / LOCK).unlink()
        self._lock.release()

    def _make(self, key: str, folder: Path, new: bool = False) -> None:
        """Make a folder and those around it, and take note of what was not there; `new`: it must not have been."""
        for place in [*reversed(folder.absolute().parents), folder.absolute()]:
            try:
                place.mkdir()
            except FileExistsError:
                if not place.is_dir():
                    raise ValueError(f"{key}: expected a folder, found {shortened(place)}, which is none") from None
                if new and place == folder.absolute():
                    raise
            except OSError as error:  # what is there already needs no right to make it
                if not _is_folder(place):
                    found = f"{shortened(place)}: {error.strerror}"
                    raise ValueError(f"{key}: expected a folder that can be made, found {found}") from error
            else:
                self._made.append(place)

    def _claim(self, key: str, folder: Path) -> Path:
        """Make a folder that nobody else has: the one named, or one with the next free number behind its name."""
        names = numbered(folder)
        while True:
            with suppress(FileExistsError):
                self._make(key, own := next(names), new=True)
                return own


class OwnFolder(Callback):
    """Hydra's callback, of every command: looks at the folder of a run or sweep before anything is made."""

    def on_run_start(self, config: Any, **_: Any) -> None:
        """Make the run's folder."""
        _or_refuse("begin_run", config)

    def on_multirun_start(self, config: Any, **_: Any) -> None:
        """Make the sweep's folder, and have a search that was stopped go on."""
        _or_refuse("begin_sweep", config)


def _or_refuse(what: str, config: Any) -> None:
    if Folders.current is None:  # composed by another program
        return
    try:
        getattr(Folders.current, what)(config)
    except Exception as error:
        raise Refused(error) from error


def check_sweep(folder: Path) -> None:
    """Raise a ValueError if a folder holds anything but a sweep's jobs or runs: nothing is to be overwritten there."""
    with suppress(OSError, UnicodeDecodeError), (folder / SWEEP).open(encoding="utf-8") as file:
        if "textae." in file.read(1 << 20):
            return
    for path in sorted(folder.iterdir()):
        if not _only_runs(path):
            raise ValueError(
                f"hydra.sweep.dir: expected an empty folder or that of a sweep, found {path.name!r} in {folder}"
            )


def _only_runs(path: Path) -> bool:
    """Return whether there is nothing but run folders, and what a sweep that was killed has left."""

    if path.name == LOCK or path.name.startswith(PREFIX):
        return True
    if path.is_symlink() or not path.is_dir():
        return False
    return RunDir(path).is_own() or all(_only_runs(inner) for inner in path.iterdir())


def _unused(folder: Path) -> list[Path]:
    """Return the folders below one that hold nothing but a lock, or such folders, innermost first."""
    found: list[Path] = []
    with suppress(OSError):
        for place in folder.iterdir():
            if place.is_dir() and not place.is_symlink():
                inner = _unused(place)
                found += inner
                if {path for path in place.iterdir() if path.name != LOCK} <= set(inner):
                    found.append(place)
    return found


def _remove(folder: Path) -> None:
    """Remove a folder that nothing was written to but a lock, unless another process holds that."""
    from filelock import FileLock, Timeout

    with suppress(OSError, Timeout):
        if (folder / LOCK).exists() and {path.name for path in folder.iterdir()} == {LOCK}:
            with FileLock(folder / LOCK, timeout=0):
                (folder / LOCK).unlink(missing_ok=True)
        folder.rmdir()


def _folder_of(config: Any, key: str) -> Path:
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        return _named(key, OmegaConf.select(config, key))
    except OmegaConfBaseException:
        _check_values(config, Path())  # which names the value that the folder's name refers to
        raise


def _named(key: str, name: str) -> Path:
    """Return the folder that a setting names."""
    if not name.strip() or "\0" in name:
        raise ValueError(f"{key}: expected the name of a folder, found {name!r}")
    return Path(name)


def _by_time(config: Any, key: str) -> bool:
    """Return whether a folder's name is made from the time, and not given on the command line."""
    from textae.config.mapping import plain

    given = plain(config.hydra.overrides.hydra)
    _, group, name = key.split(".")
    return "${now:" in plain(config.hydra[group])[name] and not any(
        override.lstrip("+").startswith(f"{key}=") for override in given
    )


def _check_values(config: Any, folder: Path) -> None:
    """Raise OmegaConf's error if a value refers to what there is not, as it would once the folder was made."""
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import OmegaConf

    instance = HydraConfig.instance()
    before = instance.cfg
    with _writable(config):
        config.hydra.runtime.output_dir = literal(str(folder.absolute()))
    try:
        instance.set_config(config)  # for values that refer to it
        own = OmegaConf.masked_copy(config, [key for key in config if key != "hydra"])
        OmegaConf.to_container(own, resolve=True, throw_on_missing=False)
    finally:
        instance.cfg = before


@contextmanager
def _writable(config: Any) -> Iterator[None]:
    from omegaconf import open_dict, read_write

    with read_write(config), read_write(config.hydra), open_dict(config.hydra):
        yield


def numbered(folder: Path) -> Iterator[Path]:
    """Yield a folder, and then those with a number behind its name, from 2 on."""
    yield folder
    for number in count(2):
        yield folder.with_name(f"{folder.name}_{number}")


def check_folder(key: str, name: str) -> None:
    """Raise a ValueError if a setting names no folder, and none that could be made."""
    folder = _named(key, name).absolute()
    if any(len(os.fsencode(part)) > _LONGEST_NAME for part in folder.parts):
        raise ValueError(f"{key}: expected a folder, found {shortened(folder)}: {os.strerror(errno.ENAMETOOLONG)}")
    for place in [folder, *folder.parents]:
        try:
            if stat.S_ISDIR(place.stat().st_mode):
                return
        except FileNotFoundError:
            continue
        except OSError as error:
            raise ValueError(f"{key}: expected a folder, found {shortened(place)}: {error.strerror}") from error
        raise ValueError(f"{key}: expected a folder, found {shortened(place)}, which is none")


def _is_folder(place: Path) -> bool:
    try:
        return place.is_dir()
    except OSError:
        return False
