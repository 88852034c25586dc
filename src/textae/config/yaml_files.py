"""The YAML files of `configs/`: where they are, and which options a group has. Imports the standard library alone."""

from __future__ import annotations

import itertools
import re
from pathlib import Path


def config_dir() -> Path:
    """Return the folder of the YAML files: the wheel's own copy, else the checkout's."""
    package = Path(__file__).parents[1]
    packaged = package / "configs"
    return packaged if packaged.is_dir() else package.parents[1] / "configs"


def option_files(group: str, folder: Path | None = None) -> list[Path]:
    """Return the files of a group's options, sorted by name; `folder` is another one than `config_dir`."""
    return sorted(((folder or config_dir()) / group).glob("*.yaml"))


def first_sentence(text: str) -> str:
    """Return the first sentence of the comment that a YAML file begins with: what the option is."""
    lines = itertools.takewhile(lambda line: line.startswith("#"), text.splitlines())
    prose = " ".join(line[2:] for line in lines if re.match(r"# [^ @]", line))
    found = re.match(r".*?[.?](?= |$)", prose)
    return found[0] if found else prose
