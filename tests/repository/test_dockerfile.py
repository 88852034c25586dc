"""The image: what it is built from is there, it runs as a user without rights, and a linter finds no fault.

`docker build --check` needs a running Docker with buildx; where there is none, hadolint checks the file alone.
"""

import fnmatch
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

pytestmark = pytest.mark.backend_free

ROOT = Path(__file__).parents[2]
LINES = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()


def last(instruction):
    """The arguments of an instruction of the last stage, where it stands last."""
    return [line.removeprefix(instruction).strip() for line in LINES if line.startswith(f"{instruction} ")][-1]


def has_docker():
    if shutil.which("docker") is None:
        return False
    checks = (["docker", "info"], ["docker", "buildx", "version"])
    return all(subprocess.run(command, capture_output=True, timeout=60).returncode == 0 for command in checks)


def test_a_linter_finds_no_fault():
    if has_docker():
        check = ["docker", "build", "--check", "."]
    elif shutil.which("hadolint"):
        check = ["hadolint", "Dockerfile"]
    else:
        pytest.skip("needs Docker with buildx, or hadolint")
    made = subprocess.run(check, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert made.returncode == 0, made.stdout + made.stderr


def test_it_runs_the_command_as_a_user_without_rights():
    assert last("ENTRYPOINT") == '["textae"]' and last("CMD") == '["--help"]'
    assert last("USER") == "1000" and last("WORKDIR") == "/work"
    version = re.search(r"python:(\d+\.\d+)", last("FROM"))[1]
    needs = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["requires-python"]
    low, high = re.fullmatch(r">=3\.(\d+),<3\.(\d+)", needs).groups()
    assert int(low) <= int(version.removeprefix("3.")) < int(high)


def test_what_it_is_built_from_is_there_and_not_ignored():
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert rules[0] == "*"  # all else stays out: runs, corpora, the repository's history
    copied = {name for line in LINES if (m := re.match(r"COPY (?!--from)(.+) \S+$", line)) for name in m[1].split()}
    assert copied == {rule[1:] for rule in rules if rule.startswith("!")}
    build = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    wheel = build["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = {"pyproject.toml", build["project"]["readme"], *build["project"]["license-files"], *wheel["force-include"]}
    needed |= {name.split("/")[0] for name in wheel["packages"]}
    assert copied == needed and all((ROOT / name).exists() for name in copied)
    assert not any(fnmatch.fnmatch(name, rule) for name in copied for rule in rules[1:] if not rule.startswith("!"))
