"""Imports point one way, and only the entry points know Hydra."""

import ast
from pathlib import Path

import pytest

import textae

pytestmark = pytest.mark.backend_free

ROOT = Path(textae.__file__).parent
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts): path
    for path in sorted(ROOT.rglob("*.py"))
    if "configs" not in path.relative_to(ROOT).parts
}
LEAVES = {
    "config", "sentencepiece_worker", "objectives", "metrics", "schedule", "optimizers", "machine",
    "interrupts", "progress", "streams", "latents", "latentstats", "card",
    "shapes", "untrusted", "corruption", "probing", "provenance", "isolation", "inputs", "lines",
}  # fmt: skip
PACKAGES = {"layers", "corpora"}  # their modules import each other, and nothing else of textae but what is named here
ALLOWED = {
    "batches": {"tokenstore"},
    "files": {"streams", "untrusted"},
    "rundir": {"files", "untrusted"},
    "tokenstore": {"files"},
    "latentfiles": {"files"},
    "tensorboard": {"files"},
    "model": {"layers"},
    "figures": {"metrics"},
    "steps": {"isolation"},
    "codec": {"batches", "isolation", "model", "objectives"},
    "corpora": {"progress", "lines"},
    "sentencepiece_training": {"progress", "sentencepiece_worker"},
    "tokenizers": {"files", "inputs", "sentencepiece_training", "untrusted"},
    "sweeps": {"progress"},
}
SHARED = {
    "commands",
    "explanations",
    "folders",
    "options",
    "report",
    "search",
}  # what entry points import of each other
ENTRY_POINTS = SHARED | {
    "train", "evaluate", "reconstruct", "encode", "decode", "score", "interpolate", "arithmetic", "neighbours",
    "sample", "export", "probe",
}  # fmt: skip


def imported(path, depth=None):
    """Full names of the modules that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise ValueError(f"expected absolute imports, found a relative one in {path}")
            yield node.module
            if node.module == "textae":
                yield from (f"textae.{alias.name}" for alias in node.names)


def own(path):
    """Names of the parts of textae that a file imports: the first name below the package."""
    return {name.split(".")[1] for name in imported(path) if name.startswith("textae.")}


def test_the_modules_are_found():
    assert {"config", "model", "training", "layers.upsamplers", "corpora.text"} <= set(MODULES)


@pytest.mark.parametrize("name", sorted(LEAVES))
def test_leaves_import_nothing_of_textae(name):
    assert own(MODULES[name]) == set()


@pytest.mark.parametrize("name", sorted(n for n in MODULES if n.split(".")[0] in PACKAGES))
def test_packages_keep_to_themselves(name):
    package = name.split(".")[0]
    assert own(MODULES[name]) <= {package} | ALLOWED.get(package, set())


@pytest.mark.parametrize("name", sorted(set(ALLOWED) - PACKAGES))
def test_what_else_is_low_imports_what_is_lower(name):
    assert own(MODULES[name]) <= ALLOWED[name]


def test_nothing_imports_an_entry_point():
    for name, path in MODULES.items():
        allowed = SHARED if name in ENTRY_POINTS else set()
        assert own(path) & ENTRY_POINTS <= allowed, name


def test_there_are_no_circles():
    below = {name.split(".")[0]: set() for name in MODULES}
    for name, path in MODULES.items():
        below[name.split(".")[0]] |= own(path) - {name.split(".")[0], "__version__", "load"}
    del below["__init__"]
    while below:
        free = [name for name, others in below.items() if not others & set(below)]
        assert free, f"each of these imports another of them: {sorted(below)}"
        for name in free:
            del below[name]


def test_only_entry_points_and_the_configuration_know_hydra():
    users = {n for n, path in MODULES.items() if any(m.split(".")[0] in ("hydra", "omegaconf") for m in imported(path))}
    assert "config" in users
    assert users <= ENTRY_POINTS | {"config"}


def test_tensorflow_is_imported_where_it_is_used():
    for name, path in MODULES.items():
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                found = {a.name for a in node.names} | {getattr(node, "module", None) or ""}
                assert not any(m.split(".")[0] in ("tensorflow", "jax", "torch") for m in found), name
