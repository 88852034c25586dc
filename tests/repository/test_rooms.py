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
NAMES = {name.removesuffix(".__init__") for name in MODULES}
SHARED = ("files", "hardware", "progress", "untrusted_files")  # modules that every room may import
ROOMS = (  # from the ground up: a room imports from itself and from those before it
    "layers", "config", "data", "models", "losses", "runs", "exporting", "inference", "evaluation", "reporting",
    "training", "cli", "api", "sklearn",
)  # fmt: skip
COMMANDS = (
    "train", "evaluate", "reconstruct", "encode", "decode", "score", "neighbours", "interpolate", "arithmetic",
    "sample", "probe", "export", "report", "demo",
)  # fmt: skip


def imported(path, depth=None):
    """Full names of the modules that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise ValueError(f"expected absolute imports, found a relative one in {path}")
            for alias in node.names:
                module = f"{node.module}.{alias.name}"
                yield module if module.removeprefix("textae.") in NAMES or node.module == "textae" else node.module


def own(path):
    """Names of the parts of textae that a file imports: the first name below the package."""
    return {name.split(".")[1] for name in imported(path) if name.startswith("textae.")}


def circles(below):
    """Names that, directly or by others, need themselves; `below` says what each one imports."""
    below = {name: set(others) & set(below) for name, others in below.items()}
    while free := [name for name, others in below.items() if not others & set(below)]:
        for name in free:
            del below[name]
    return sorted(below)


def test_the_root_holds_the_commands_and_what_all_share():
    expected = {"__init__", "__main__", *SHARED, *COMMANDS}
    assert {path.stem for path in ROOT.glob("*.py")} == expected
    assert {path.parent.name for path in ROOT.glob("*/__init__.py")} == set(ROOMS)


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_from_those_below_it(room):
    allowed = {*ROOMS[: ROOMS.index(room) + 1], *SHARED, "__version__"}
    if room == "layers":
        allowed = {"layers"}  # usable alone
    for name, path in MODULES.items():
        if name.split(".")[0] == room:
            assert own(path) <= allowed, name


@pytest.mark.parametrize("name", SHARED)
def test_what_all_share_imports_nothing_of_the_rooms(name):
    assert own(MODULES[name]) <= set(SHARED)


def test_nothing_imports_a_command():
    for name, path in MODULES.items():
        assert not own(path) & set(COMMANDS), name


def test_modules_do_not_import_each_other_in_a_circle():
    below = {name: set() for name in MODULES}
    for name, path in MODULES.items():
        for other in imported(path):
            other = other.removeprefix("textae.")
            below[name] |= {found for found in (other, f"{other}.__init__") if found in MODULES} - {name}
    assert circles({"a": {"b"}, "b": {"a"}, "c": {"a"}, "d": set()}) == ["a", "b", "c"]
    assert circles(below) == []


def test_only_the_command_line_and_the_configuration_know_hydra():
    users = {n for n, path in MODULES.items() if any(m.split(".")[0] in ("hydra", "omegaconf") for m in imported(path))}
    assert "config.registration" in users
    assert {name.split(".")[0] for name in users} <= {"config", "cli", "api", *COMMANDS}


def test_tensorflow_is_imported_where_it_is_used():
    for name, path in MODULES.items():
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                found = {a.name for a in node.names} | {getattr(node, "module", None) or ""}
                assert not any(m.split(".")[0] in ("tensorflow", "jax", "torch") for m in found), name


def test_no_test_module_imports_another():
    """What several of them share lies in tests/helpers and in conftest.py."""
    tests = Path(__file__).parents[1]
    modules = {path.stem: path for path in tests.rglob("test_*.py")}
    found = {
        f"{path.stem}: {name}"
        for path in [*modules.values(), tests / "conftest.py", *(tests / "helpers").glob("*.py")]
        for name in imported(path)
        if name.split(".")[0] in modules or name.split(".")[0] == "tests"
    }
    assert found == set()
