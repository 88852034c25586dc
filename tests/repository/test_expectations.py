"""docs/expectations.md names tests that exist and links that lead somewhere; and two expectations that live here."""

import ast
import inspect
import re
import tomllib
from pathlib import Path

import pytest

import textae

pytestmark = pytest.mark.backend_free

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "expectations.md"
HEADS = {"expectation", "wish"}
ROWS = [
    cells
    for line in PAGE.read_text(encoding="utf-8").splitlines()
    if line.startswith("| ") and (cells := [cell.strip() for cell in line.strip("|").split(" | ")])[0] not in HEADS
]
ROWS = [row for row in ROWS if not row[0].startswith("---")]


def functions_of(path):
    return {n.name for n in ast.parse((ROOT / path).read_text(encoding="utf-8")).body if isinstance(n, ast.FunctionDef)}


def anchors_of(path):
    """What headings are linked by: lower case, without signs, with hyphens for spaces."""
    heads = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\s-]", "", head).strip().lower().replace(" ", "-") for head in heads}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_each_row_has_a_test_and_a_place(row):
    *_, place, tests = row
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", tests)
    assert named or (tests == "none" and "**not met**" in place), "no test"
    for path, name in named:
        assert name in functions_of(path), f"{path}::{name}"
    links = re.findall(r"\]\(([^)#]*)(?:#([^)]*))?\)", place)
    assert links or "`" in place, "neither a link nor a call"
    for target, anchor in links:
        path = (PAGE.parent / target).resolve()
        assert path.is_file(), target
        assert not anchor or anchor in anchors_of(path), f"{target}#{anchor}"


def test_both_lists_are_there():
    assert len(ROWS) == 38 and len({row[0] for row in ROWS}) == 38


def test_the_package_is_typed():
    """The marker is there that type checkers look for, and what a program calls says its types."""
    assert (Path(textae.__file__).parent / "py.typed").is_file()
    methods = [getattr(textae.TextAutoencoder, name) for name in ("encode", "decode", "reconstruct", "score", "embed")]
    for function in (textae.fit, textae.load, *methods):
        signature = inspect.signature(function)
        assert signature.return_annotation is not inspect.Signature.empty, function
        for parameter in signature.parameters.values():
            assert parameter.name == "self" or parameter.annotation is not inspect.Parameter.empty, parameter


def test_the_version_has_its_changes():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    heads = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert heads[:2] == ["Unreleased", version]
