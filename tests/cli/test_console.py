"""The command `textae`: the same as `python -m textae.COMMAND`, and light until a command runs."""

import importlib.metadata
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from textae.cli.console import commands, main
from textae.config.command_schemas import COMMANDS

pytestmark = pytest.mark.backend_free

ROOT = Path(__file__).parents[2]
LIGHT = """
import sys
before = {name.partition(".")[0] for name in sys.modules}
from textae.cli.console import main
code = main(sys.argv[1:])
after = {name.partition(".")[0] for name in sys.modules} - before - sys.stdlib_module_names
print(code, *sorted(after), file=sys.stderr)
"""


def run(*arguments, **options):
    command = [sys.executable, "-m", "textae", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, **options)


def test_every_command_has_a_line():
    found = commands()
    assert next(iter(found)) == "train" and list(found)[-1] == "completion"
    assert set(found) >= {"train", "completion", *COMMANDS}
    assert all(meaning and not meaning.endswith(".") and len(meaning) < 100 for meaning in found.values())
    with_main = {path.stem for path in (ROOT / "src/textae").glob("*.py") if "__main__" in path.read_text("utf-8")}
    assert set(found) == with_main - {"__main__"} | {"completion"}


def test_help_and_version(capsys):
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    for name, meaning in commands().items():
        assert f"  {name} " in shown and meaning in shown
    assert max(map(len, shown.splitlines())) <= 120
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"textae {importlib.metadata.version('textae')}\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["trian"], "unknown command 'trian'; did you mean train?"),
        (["eval"], "unknown command 'eval'; did you mean evaluate?"),
        (["files"], "unknown command 'files'; expected one of train, "),
        (["--frob"], "unknown command '--frob'; expected one of train, "),
        (["completion"], "expected completion bash or zsh, found none"),
        (["completion", "fish"], "expected completion bash or zsh, found fish"),
        ([], "expected a command, found none"),
    ],
)
def test_what_is_refused_ends_with_code_2(arguments, says, capsys):
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.splitlines()[-1].startswith(f"textae: {says}")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["completion", "bash"],
        ["completion", "words", "tra"],
        ["completion", "words", "train", "+experiment="],
        ["completion", "words", "train", "corpus=text", "corpus."],
        ["completion", "words", "report", "sort="],
    ],
)
def test_nothing_heavy_is_imported(arguments):
    done = subprocess.run([sys.executable, "-c", LIGHT, *arguments], capture_output=True, text=True, timeout=60)
    assert done.stderr == "0 textae\n"
    assert done.stdout


def test_importing_the_package_imports_nothing_else():
    code = LIGHT.replace("from textae.cli.console import main\ncode = main(sys.argv[1:])", "import textae; code = 0")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stderr == "0 textae\n"


def test_a_command_runs_as_under_python_m(trained, tmp_path):
    """Exit code, both streams and the name that provenance keeps are the same."""
    for arguments in (["report", f"runs={trained[0]}"], ["encode", "run=nowhere", "output=a.npz"], ["report", "--hlp"]):
        under = [sys.executable, "-m", f"textae.{arguments[0]}", *arguments[1:]]
        expected = subprocess.run(under, capture_output=True, text=True, timeout=120, cwd=tmp_path)
        found = run(*arguments, cwd=tmp_path)
        assert (found.returncode, found.stdout, found.stderr) == (expected.returncode, expected.stdout, expected.stderr)
    assert found.returncode == 2


def test_the_entry_point_is_the_function():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["scripts"]
    (point,) = (importlib.metadata.EntryPoint(*item, "console_scripts") for item in declared.items())
    assert point.name == "textae" and point.load() is main
