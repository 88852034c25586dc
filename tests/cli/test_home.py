"""What a training leaves outside of its run and data folders: what docs/reliability.md says, and nothing else."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.runs import SMALL

pytestmark = pytest.mark.backend_free
PAGE = (Path(__file__).parents[2] / "docs" / "reliability.md").read_text(encoding="utf-8")


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.mark.slow
def test_what_libraries_leave_is_what_the_page_says(corpus_file, tmp_path):
    for name in ("home", "tmp", "work"):
        (tmp_path / name).mkdir()
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("XDG_", "KERAS_HOME", "MPLCONFIGDIR", "JAX_"))}
    made = subprocess.run(
        [sys.executable, "-m", "textae.train", *SMALL, f"corpus.files=[{corpus_file}]", "hydra.run.dir=run"],
        cwd=tmp_path / "work",
        capture_output=True,
        text=True,
        env=kept | {"HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path / "tmp")},
    )
    assert made.returncode == 0, made.stderr
    assert {path.name for path in (tmp_path / "work").iterdir()} == {"run", "data"}
    assert files(tmp_path / "tmp") == []
    described = re.findall(r"^- `~/([^`]*)` \(`", PAGE, re.MULTILINE)
    assert len(described) >= 3
    for name in files(tmp_path / "home"):
        assert any(name == each or (each.endswith("/") and name.startswith(each)) for each in described), name
    assert (tmp_path / "home" / ".keras" / "keras.json").is_file()


def test_the_audit_is_strict_and_of_what_is_installed():
    """A project that PyPI does not know would end a strict audit, so it is left out by name."""
    lines = [line for line in PAGE.splitlines() if line.startswith("audited/bin/")]
    assert lines == [
        "audited/bin/pip freeze --exclude textae > audited/installed.txt",
        "audited/bin/pip-audit --strict --no-deps --disable-pip -r audited/installed.txt",
    ]
    made = subprocess.run(
        [sys.executable, "-m", "pip", "freeze", "--exclude", "textae"], capture_output=True, text=True, check=True
    )
    named = {line.partition("==")[0].lower() for line in made.stdout.splitlines()}
    assert {"keras", "hydra-core", "safetensors"} <= named
    assert "textae" not in named
