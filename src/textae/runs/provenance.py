"""What a run was made with: versions, the commit of textae's own checkout, and the sessions that a run took."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tomllib
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from textae.hardware import processor

PACKAGES = ("textae", "keras", "tensorflow", "jax", "numpy", "sentencepiece", "tensorflow-datasets")
SESSION = ("python", "backend", "precision", "compile", "machine", "versions", "commit", "command")


def environment(precision: str, xla: bool, command: Sequence[str] | None = None) -> dict[str, Any]:
    """Return what a session of a run runs on and with.

    Args:
        precision: of products, "float32" or "bfloat16".
        xla: whether XLA compiles the training step.
        command: the words of the command that trains it; None: that of this process.
    """
    import keras

    return {
        "python": platform.python_version(),
        "backend": keras.backend.backend(),
        "precision": precision,
        "compile": "xla" if xla else "graph",
        "machine": processor(),
        "versions": versions(),
        "commit": commit(Path(__file__).parents[1] / "__init__.py"),
        "command": list(command or [Path(sys.argv[0]).name, *sys.argv[1:]]),
    }


def versions() -> dict[str, str | None]:
    """Return the versions of the packages that decide what a run computes; None of one that is not installed."""
    return {name: _version(name) for name in PACKAGES}


def sessions(before: Mapping[str, Any] | None, now: Mapping[str, Any], step: int) -> list[dict[str, Any]]:
    """Return what a run's sessions ran on, oldest first; consecutive ones on the same are one.

    Args:
        before: the environment of the run that goes on; None for one that begins.
        now: the environment of this session.
        step: the update that it goes on from.
    """
    earlier = (before or {}).get("sessions")
    if not isinstance(earlier, list) or not all(isinstance(session, dict) for session in earlier):
        earlier = []
    this = {name: now[name] for name in SESSION}
    if earlier and {**earlier[-1], "from_step": None} == {**this, "from_step": None}:
        return earlier
    return [*earlier, {"from_step": step} | this]


def commit(file: Path) -> str | None:
    """Return the commit of the checkout of textae that a file of the package lies in, with a + where it was changed.

    None where textae was installed from elsewhere: a repository around the installation is another project's.
    """
    folder = file.resolve().parent
    package = next((each for each in (folder, *folder.parents) if each.name == "textae"), folder)
    if len(package.parents) < 2:
        return None
    root = package.parents[1]  # above src/textae
    top = _git(folder, "rev-parse", "--show-toplevel")
    if top is None or Path(top).resolve() != root or _git(folder, "ls-files", "--error-unmatch", file.name) is None:
        return None
    try:
        project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8")).get("project")
    except (OSError, ValueError):
        return None
    if not isinstance(project, dict) or project.get("name") != "textae":
        return None
    return _git(folder, "describe", "--always", "--abbrev=40", "--dirty=+")


def _git(folder: Path, *arguments: str) -> str | None:
    """Return what git says in a folder, of the repository that it lies in; None if it has nothing to say."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        said = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            timeout=10,
            env=environment | {"LC_ALL": "C"},
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return said.stdout.strip() or None if said.returncode == 0 else None


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
