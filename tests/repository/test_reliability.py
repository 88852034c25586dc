"""docs/reliability.md names tests that exist, and the dependencies are what pyproject.toml says."""

import ast
import re
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

pytestmark = pytest.mark.backend_free

ROOT = Path(__file__).parents[2]
NAMED = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LINES = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
REQUIREMENTS = [Requirement(line) for lines in LINES for line in lines]
OWN_NAMES = {
    "sklearn": "scikit-learn",
    "google": "protobuf",
    "yaml": "PyYAML",
    "hydra": "hydra-core",
}  # where a package is called otherwise
OPTIONAL = {"drain3", "gradio", "hydra_plugins", "jax", "onnx", "onnxruntime", "optuna", "tf2onnx", "torch"}
OPTIONAL |= {"apache_beam", "submitit", "huggingface_hub", "mlflow", "wandb", "wordllama"}


def functions_of(path):
    return {n.name for n in ast.parse((ROOT / path).read_text(encoding="utf-8")).body if isinstance(n, ast.FunctionDef)}


def test_every_promise_has_its_test():
    assert len(NAMED) > 50
    for path, name in NAMED:
        assert name in functions_of(path), f"{path}::{name}"
    lines = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8").splitlines()
    for line in lines:
        if line.startswith("| ") and not line.startswith(("| ---", "| promise")):
            assert "::" in line, line


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=str)
def test_dependencies_have_bounds(requirement):
    if requirement.name == "textae":  # one of its own extras
        return
    operators = {specifier.operator for specifier in requirement.specifier}
    assert operators & {">=", "=="}, f"{requirement}: no lower bound"
    assert operators & {"<", "<=", "=="}, f"{requirement}: no upper bound"


def test_imports_are_dependencies():
    named = {re.sub(r"[-_.]+", "-", Requirement(line).name).lower() for line in PROJECT["dependencies"]}
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module] if isinstance(node, ast.ImportFrom) else []
            for module in {module.split(".")[0] for module in modules}:
                if module in sys.stdlib_module_names or module in OPTIONAL | {"textae"}:
                    continue
                package = re.sub(r"[-_.]+", "-", OWN_NAMES.get(module, module)).lower()
                assert package in named or _comes_with(package, named), f"{path.name} imports {module}"


def _comes_with(package, named):
    """Whether one of the dependencies has this one as its own."""
    for name in named:
        try:
            lines = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue
        if package in {re.sub(r"[-_.]+", "-", Requirement(line).name).lower() for line in lines}:
            return True
    return False
