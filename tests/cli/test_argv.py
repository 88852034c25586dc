"""Options of the command line: anywhere, explained in one line."""

import subprocess
import sys

import pytest

import textae
from textae.cli.argv import arranged

pytestmark = pytest.mark.backend_free


def test_options_go_in_front_of_settings():
    assert arranged(["a=1", "--cfg", "job", "b=2", "-m"]) == ["--cfg", "job", "-m", "a=1", "b=2"]
    assert arranged(["+experiment=debug", "a=-1", "~b"]) == ["+experiment=debug", "a=-1", "~b"]
    assert arranged(["a=1", "a=1", "--multirun"]) == ["--multirun", "a=1", "a=1"]
    assert arranged([]) == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--frob"], "expected one of the options --help, .*--cfg, .*--multirun, .* found --frob"),
        (["a=1", "--frob=3", "b=2"], "found --frob=3"),
        (["-z"], "found -z"),
        (["--cfg", "jobs"], "--cfg/-c: invalid choice: 'jobs'"),
        (["--cfg"], "--cfg/-c: expected one argument"),
        (["-sc", "install=bash"], "expected textae completion bash or textae completion zsh, found"),
    ],
)
def test_what_is_no_option_is_said_in_one_line(arguments, says):
    with pytest.raises(ValueError, match=says) as refused:
        arranged(arguments)
    assert "\n" not in str(refused.value)


def test_the_version_is_textae_s(capsys):
    with pytest.raises(SystemExit) as stopped:
        arranged(["--version"])
    assert not stopped.value.code
    assert capsys.readouterr().out == f"textae {textae.__version__}\n"


def test_a_command_refuses_an_option_with_exit_code_2(tmp_path):
    command = [sys.executable, "-m", "textae.report", "runs=x", "--frob"]
    made = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (made.returncode, made.stdout) == (2, "")
    (line,) = made.stderr.splitlines()
    assert line.startswith("textae: expected one of the options --help, ")
    assert line.endswith(", found --frob")
