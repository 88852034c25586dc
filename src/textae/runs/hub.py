"""Runs on the Hugging Face Hub: fetch one by the name `hf://USER/NAME[@REVISION]`, or write one there.

A repository is as untrusted as any run folder. The files of a run are fetched and nothing else, their sizes are looked
at first, and they lie in a folder as files, where `RunDir` checks them. `HF_ENDPOINT` names another server, and
`HF_HUB_OFFLINE=1` uses what was fetched before.
"""

from __future__ import annotations

import logging
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from textae.config.run_names import HUB
from textae.runs.json_files import read_json
from textae.runs.run_folder import (
    BY_LENGTH,
    CARD,
    CONFIG,
    ENVIRONMENT,
    FORMAT,
    HISTORY,
    METRICS,
    TOKENIZER,
    WEIGHTS,
    RunDir,
)
from textae.untrusted_files import entries, one_line

logger = logging.getLogger(__name__)

MOST_FILES = 100  # of a run on the Hub
MOST_BYTES = 20 << 30  # of all of them
_DESCRIBED = (CONFIG, ENVIRONMENT)
_READ = (*_DESCRIBED, METRICS, CARD)  # what is read beside weights and tokenizer
_WRITTEN = (*_READ, WEIGHTS, HISTORY, BY_LENGTH)
_NAME = re.compile(r"(?P<name>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w./-]+))?", re.ASCII)
_TOKENIZER_FILE = re.compile(rf"{TOKENIZER}/\w[\w.-]*", re.ASCII)


class HubName(NamedTuple):
    """A repository of the Hub, and a branch, tag or commit of it; None: its main branch."""

    name: str
    revision: str | None


def parse(run: str) -> HubName:
    """Return what `hf://USER/NAME[@REVISION]` names.

    Raises:
        ValueError: it is written in another form.
    """
    match = _NAME.fullmatch(run.removeprefix(HUB))
    if match is None or ".." in run:
        raise ValueError(f"run: expected {HUB}USER/NAME or {HUB}USER/NAME@REVISION, found {run!r:.200}")
    return HubName(match["name"], match["revision"])


def local_folder(run: str, weights: str = WEIGHTS) -> Path:
    """Return the folder that a run of the Hub was fetched to.

    Args:
        run: `hf://USER/NAME[@REVISION]`.
        weights: the file of weights that is fetched.

    Raises:
        ValueError: huggingface_hub is missing, there is no such repository, or it holds no run.
        OSError: the Hub cannot be asked, and nothing was fetched before.
    """
    repository = parse(run)
    hub, api = _client()
    library = hub.cached_assets_path(
        "textae",
        repository.name.replace("/", "--"),
        (repository.revision or "main").replace("/", "--"),
        assets_dir=os.environ.get("HF_ASSETS_CACHE"),
    )
    folder = Path(library)
    if hub.constants.is_offline_mode():
        if not (folder / CONFIG).is_file():
            raise OSError(f"run: expected {run} to be fetched before with HF_HUB_OFFLINE=1, found nothing in {folder}")
        return folder
    with _one_line(run):
        info = api.model_info(repository.name, revision=repository.revision, files_metadata=True)
        names = _wanted(run, {file.rfilename: file.size for file in info.siblings or ()}, weights)
        api.snapshot_download(repository.name, revision=info.sha, allow_patterns=names, local_dir=folder)
    for path in entries(folder):
        name = path.relative_to(folder).as_posix()
        if (name in _WRITTEN or name.startswith(f"{TOKENIZER}/")) and name not in names and name != weights:
            path.unlink()  # of an earlier state of the branch
    return folder


def push(
    folder: Path | str, name: str, *, revision: str | None = None, private: bool = False, message: str = ""
) -> str:
    """Write the files of a run into a repository of the Hub, which is made where there is none; return its address.

    Weights of the last step, checkpoints and TensorBoard's events stay behind. The paths of `corpus` in config.yaml are
    written without their folders.

    Args:
        folder: of a finished run.
        name: `USER/NAME`.
        revision: a branch of the repository; None: its main branch.
        private: whether a repository that is made is private.
        message: of the commit.

    Raises:
        ValueError: huggingface_hub is missing, the folder holds no finished run, or the Hub refuses.
    """
    run = RunDir(folder)
    config, environment = run.config(), read_json(run / ENVIRONMENT)
    if environment["format"] != FORMAT:
        raise ValueError(f"run: expected a run folder of format {FORMAT}, found one of {environment['format']}")
    if "@" in name:
        raise ValueError(f"expected USER/NAME, and revision=NAME for a branch, found {name!r:.200}")
    repository = parse(f"{HUB}{name}").name
    for needed in (WEIGHTS, METRICS, CARD):
        if not (run / needed).is_file():
            raise ValueError(f"run: expected a finished run with {needed}, found none in {run.folder}")
    hub, api = _client()
    names = [name for name in _WRITTEN if name not in _DESCRIBED and (run / name).is_file()]
    names += sorted(path.relative_to(run.folder).as_posix() for path in entries(run / TOKENIZER) if path.is_file())
    with _one_line(name), tempfile.TemporaryDirectory() as temporary:
        RunDir(temporary).create(without_folders(config), environment)
        files = {name: Path(temporary) / name for name in _DESCRIBED} | {name: run / name for name in names}
        url = api.create_repo(repository, private=private, exist_ok=True)
        if revision is not None:
            api.create_branch(repository, branch=revision, exist_ok=True)
        added = [hub.CommitOperationAdd(name, str(path)) for name, path in files.items()]
        api.create_commit(repository, added, commit_message=message or "Add a run of textae", revision=revision)
    return str(url)


def without_folders(config: dict[str, Any]) -> dict[str, Any]:
    """Return a configuration whose paths are names alone: folders of this machine say nothing on another one."""
    corpus = dict(config["corpus"])
    for key in ("files", "test_files", "validation_files"):
        if key in corpus:
            corpus[key] = [Path(path).name for path in corpus[key]]
    if corpus.get("tfds_dir"):
        corpus["tfds_dir"] = None
    return config | {"corpus": corpus, "data_dir": "data"}


def _wanted(run: str, sizes: dict[str, int | None], weights: str) -> list[str]:
    """Return the names of a run's files among those of a repository.

    Raises:
        ValueError: files are missing, or there are too many or too large ones.
    """
    names = [name for name in sizes if name in (*_READ, weights) or _TOKENIZER_FILE.fullmatch(name)]
    for needed in (CONFIG, ENVIRONMENT, weights):
        if needed not in names:
            raise ValueError(f"run: expected a run with {needed} at {run}, found none")
    total = sum(sizes[name] or 0 for name in names)
    if len(names) > MOST_FILES or total > MOST_BYTES:
        found = f"{len(names):,} of {total:,} bytes"
        raise ValueError(f"run: expected at most {MOST_FILES} files of {MOST_BYTES:,} bytes at {run}, found {found}")
    return names


def _client() -> tuple[Any, Any]:
    """Return the library, and its client of the server that HF_ENDPOINT names.

    Raises:
        ValueError: the library is missing.
    """
    try:
        import huggingface_hub
    except ImportError as error:
        raise ValueError("expected the package huggingface_hub, found none: pip install 'textae[hub]'") from error
    return huggingface_hub, huggingface_hub.HfApi(endpoint=os.environ.get("HF_ENDPOINT"), library_name="textae")


@contextmanager
def _one_line(name: str) -> Iterator[None]:
    """Raise what goes wrong at the Hub as a ValueError where it refuses, else as an OSError: one line each."""
    from huggingface_hub import errors

    http_error: Any = errors.__dict__["HTTPError"]  # of the library that it asks with
    try:
        yield
    except (errors.HfHubHTTPError, errors.HFValidationError) as error:
        raise ValueError(f"{name}: expected a repository that can be used, found {one_line(error)}") from None
    except (http_error, OSError) as error:
        raise OSError(f"{name}: the Hub cannot be asked: {one_line(error)}") from None
