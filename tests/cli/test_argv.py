"""Options of the command line: anywhere, explained in one line, and completed by the shell."""

import shutil
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


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_completes_groups_options_and_keys(tmp_path, capsys):
    with pytest.raises(SystemExit):
        arranged(["-sc", "install=bash"])
    (tmp_path / "completion.sh").write_text(capsys.readouterr().out)
    lines = [
        f"{sys.executable} -m textae.train tokenizer=b",
        f"{sys.executable} -m textae.train training.seed=1 model/upsampler=resize",
        f"{sys.executable} -m textae.train training.max_",
        f"{sys.executable} -m textae.train",
        f"{sys.executable} some/program.py tokenizer=b",
        f"{sys.executable} -m pytest tokenizer=b",
    ]
    script = ". ./completion.sh\n" + "".join(
        f"COMP_LINE='{line}' COMP_POINT={len(line)}; _textae; echo \"${{COMPREPLY[@]}}\"\n" for line in lines
    )
    made = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert made.stderr == ""
    assert [line.split() for line in made.stdout.splitlines()] == [
        ["tokenizer=bpe", "tokenizer=bytes"],
        ["model/upsampler=resize_linear", "model/upsampler=resize_nearest"],
        ["training.max_epochs=", "training.max_gradient_norm=", "training.max_minutes=", "training.max_steps="],
        [],
        [],
        [],
    ]
