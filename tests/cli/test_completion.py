"""Shell completion: what words may become, and what bash and zsh make of it when Tab is pressed."""

import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time

import pytest

from textae.cli.completion import OPTIONS, SCRIPTS, candidates
from textae.cli.console import commands
from textae.config.command_schemas import COMMANDS
from textae.config.meanings import GROUPS, keys_of, options_of
from textae.config.schema import Config

pytestmark = pytest.mark.backend_free


def completed(line):
    """The words that the end of a line may become."""
    return list(candidates(line.split(" "), commands()))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("re", ["reconstruct", "report"]),
        ("--", ["--help", "--version"]),
        ("completion ", ["bash", "zsh"]),
        ("train tokenizer=b", ["tokenizer=bpe", "tokenizer=bytes"]),
        ("train tokenizer=words,by", ["tokenizer=words,bytes"]),
        ("train model.up", [f"model.upsampler.{name}=" for name in ("kind", "kernel_factor")]),
        ("train model/upsampler=resize", ["model/upsampler=resize_linear", "model/upsampler=resize_nearest"]),
        ("train training.seed=1 model.latent=", ["model.latent=sequence", "model.latent=vector"]),
        ("train model.variational=", ["model.variational=true", "model.variational=false"]),
        ("train model.chan", ["model.channels="]),
        ("train mod", ["model.", "model=", "model/upsampler="]),
        ("train corpus.f", []),
        ("train corpus=text corpus.f", ["corpus.files=", "corpus.field=", "corpus.format="]),
        ("train corpus=tfds corpus.f", ["corpus.field="]),
        ("train corpus=", ["corpus=pydocs", "corpus=text", "corpus=tfds"]),
        ("train hydra", ["hydra.", "hydra/launcher=", "hydra/sweeper="]),
        (
            "train hydra/launcher=",
            [f"hydra/launcher={name}" for name in ("joblib", "submitit_local", "submitit_slurm")],
        ),
        ("train --cfg ", ["job", "hydra", "all"]),
        ("train --conf", ["--config-dir", "--config-name"]),
        ("train objective=exact", ["objective=exact_match"]),
        ("evaluate split=", ["split=train", "split=validation", "split=test"]),
        ("evaluate corpus=r", ["corpus=run"]),
        ("evaluate curve=", ["curve=noise", "curve=bits"]),
        ("export format=s", ["format=saved_model"]),
        ("reconstruct ", ["run=", "input=", "output="]),
        ("reconstruct run=", []),
        ("reconstruct model", []),
        ("train 'corpus.", []),
        ("nonsense a", []),
    ],
)
def test_what_a_word_may_become(line, expected):
    assert completed(line) == expected


def test_every_key_option_and_experiment_is_offered():
    for command in ("train", *COMMANDS):
        for key in keys_of(Config if command == "train" else COMMANDS[command]):
            assert completed(f"{command} {key.name}"), key
    for group in GROUPS:
        offered = [option.name for option in options_of(group) if (group, option.name) != ("corpus", "run")]
        assert completed(f"train {group}=") == [f"{group}={name}" for name in offered]
    experiments = candidates(["train", "+experiment="], commands())
    assert list(experiments) == [f"+experiment={option.name}" for option in options_of("experiment")]
    assert all(experiments.values())


def test_options_of_another_folder_are_offered(tmp_path):
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "zebra.yaml").write_text("# @package _global_\n# Stripes.\nname: zebra\n")
    for given in ([f"--config-dir={tmp_path}"], ["--config-dir", str(tmp_path)]):
        assert candidates(["train", *given, "+experiment=z"], commands()) == {"+experiment=zebra": "Stripes."}


def test_the_options_are_hydra_s():
    from hydra._internal.utils import get_args_parser

    known = {option for action in get_args_parser()._actions for option in action.option_strings}
    assert set(OPTIONS) <= known


class Terminal:
    """An interactive shell on a terminal of its own, in which `textae` is this checkout's."""

    def __init__(self, shell, folder):
        (folder / "bin").mkdir()
        (folder / "bin" / "textae").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m textae "$@"\n')
        (folder / "bin" / "textae").chmod(0o755)
        (folder / "work").mkdir()
        (folder / "work" / "lines.txt").touch()
        for name, text in SCRIPTS.items():
            (folder / name).write_text(text)
        start = {"bash": ["bash", "--norc", "--noprofile", "-i"], "zsh": ["zsh", "-f", "-i"]}[shell]
        env = os.environ | {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "TERM": "dumb", "PS1": "ready> "}
        self._end, other = pty.openpty()
        self._process = subprocess.Popen(
            start, stdin=other, stdout=other, stderr=other, cwd=folder / "work", env=env, start_new_session=True
        )
        os.close(other)
        prepare = "autoload -U compinit; compinit -u -D; " if shell == "zsh" else ""
        self._send(f"{prepare}. {folder / shell}; echo prepa''red\n")
        self._until("prepared")

    def press_tab(self, line):
        """Return a line as it is after Tab, without its first word."""
        self._send(f"{line}\t")
        time.sleep(0.05)  # the shell reads what follows when the completion is there
        self._send("\x01printf '<%s>' st''art \x05; echo ' e'nd\n")
        return re.search(r"<start>((?:<[^>]*>)*) end", self._until(" end"))[1]

    def close(self):
        self._process.kill()
        self._process.wait()
        os.close(self._end)

    def _send(self, text):
        os.write(self._end, text.encode())

    def _until(self, text, seconds=60):
        seen, last = "", time.monotonic() + seconds
        while text not in seen:
            if not select.select([self._end], [], [], last - time.monotonic())[0]:
                raise TimeoutError(f"expected {text!r} from the shell, found {seen!r}")
            seen += os.read(self._end, 4096).decode(errors="replace")
        return seen


@pytest.mark.parametrize("shell", SCRIPTS)
def test_tab_completes_in_a_shell(shell, tmp_path):
    if shutil.which(shell) is None:
        pytest.skip(f"needs {shell}")
    terminal = Terminal(shell, tmp_path)
    try:
        for line, expected in [
            ("textae trai", "<textae><train>"),
            ("textae train model.chan", "<textae><train><model.channels=>"),
            ("textae train tokenizer=byt", "<textae><train><tokenizer=bytes>"),
            ("textae train +experiment=one", "<textae><train><+experiment=one_float>"),
            ("textae train training.corr", "<textae><train><training.corruption.>"),
            ("textae reconstruct input=lin", "<textae><reconstruct><input=lines.txt>"),
            ("textae evaluate split=val", "<textae><evaluate><split=validation>"),
        ]:
            assert terminal.press_tab(line) == expected
    finally:
        terminal.close()
