"""The commands end to end, as a user runs them: outside the checkout, in forks; the slow ones in new processes.

What a backend answers is the same in every way of starting: `test_use.py` sees to that on both.
"""

import json
import math
import os
import re
import shlex
import signal
import struct
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from helpers.jax_compiling import XLA_FLAGS

pytestmark = pytest.mark.backend_free

CONTRACT = [
    "loss",
    "token_accuracy",
    "exact_match",
    "bleu",
    "sentence_bleu2",
    "sentence_bleu3",
    "sentence_bleu4",
    "rouge1",
    "rouge2",
    "cer",
    "wer",
    "latent_floats_per_token",
    "documents",
    "tokens",
    "examples_seen",
    "steps",
    "train_seconds",
    "tokens_per_second",
    "parameters",
    "peak_memory_mb",
]
EXTRA = [
    "documents_truncated", "documents_dropped", "length_accuracy", "random_token_accuracy", "active_units",
    "steps_skipped",
]  # fmt: skip
OF_THE_MACHINE = ["train_seconds", "tokens_per_second", "peak_memory_mb"]
TINY = [
    "tokenizer=bytes",
    "model.channels=[16,32]",
    "model.latent_size=16",
    "model.max_length=32",
    "training.max_steps=10",
    "training.tokens_per_batch=512",
    "training.num_length_buckets=2",
    "training.warmup_steps=3",
    "training.log_every_steps=4",
    "training.eval_every_steps=5",
    "training.validation_documents=20",
    "training.num_logged_samples=2",
    "corpus=text",
    "corpus.validation_share=0.1",
    "corpus.test_share=0.1",
]
AWKWARD = [
    "",
    "plain",
    "",
    "  two spaces at both ends  ",
    "tab\tand\ttab",
    "nul\0inside",
    "emoji 👩‍👩‍👧‍👦 🇺🇳 ❤️",
    "line\u2028separator\u2029and\x85next\x0bvertical\x0cfeed",
    "carriage return at the end\r",
    "\r",
    "שלום עולם مرحبا",
    "e\u0301 combining, \ufeff mark, \U0010ffff last, ▁ lower block",
    "long " * 1_000,
    "x" * 20_000,
    "the last one",
]


def environment():
    kept = {k: v for k, v in os.environ.items() if k not in ("TF_CPP_MIN_LOG_LEVEL", "CUDA_VISIBLE_DEVICES")}
    return kept | {"PYTHONUNBUFFERED": "1"}


def run(command, *arguments, cwd, input=b"", timeout=300):
    """Run `python -m textae.COMMAND`, return (exit code, standard output, standard error)."""
    made = subprocess.run(
        [sys.executable, "-m", f"textae.{command}", *map(str, arguments)],
        cwd=cwd,
        input=input,
        capture_output=True,
        timeout=timeout,
        env=environment(),
    )
    return made.returncode, made.stdout, made.stderr.decode()


def of_quality(metrics):
    return {name: value for name, value in metrics.items() if name not in OF_THE_MACHINE}


@pytest.fixture
def fork(forks):
    """A function that runs a command as `run` does, in a fork."""

    def made(command, *arguments, cwd, input=b""):
        ended = forks.run(arguments, command=command, cwd=cwd, input=input)
        return ended.code, ended.output, ended.errors

    return made


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder to run commands in."""
    return tmp_path_factory.mktemp("commands")


@pytest.fixture(scope="module")
def settings(corpus_file, place):
    return [*TINY, f"corpus.files=[{corpus_file}]", f"data_dir={place / 'data'}"]


@pytest.fixture(scope="module")
def finished(forks, place, settings):
    """A finished run: its folder, and what training wrote on standard output and error."""
    ended = forks.run([*settings, "training.seed=1", "hydra.run.dir=trained"], cwd=place)
    assert ended.code == 0, ended.errors
    return place / "trained", ended.output.decode(), ended.errors


def import_later():
    """In a process that has imported what trains."""
    if early := {"sklearn", "pandas", "matplotlib.pyplot"} & set(sys.modules):
        raise RuntimeError(f"expected none of them to be imported, found {early}")
    import_module("matplotlib.pyplot")
    import_module("sklearn.decomposition")


def test_training_imports_nothing_large_that_it_does_not_use(forks):
    ended = forks.call(import_later)
    assert ended.code == 0, ended.errors


def test_train_writes_the_figures_of_the_contract(finished):
    folder, out, _ = finished
    metrics = json.loads((folder / "metrics.json").read_text())
    assert set(metrics) == {*CONTRACT, *EXTRA}
    assert all(math.isfinite(value) for value in metrics.values())
    assert metrics["steps"] == 10
    assert metrics["latent_floats_per_token"] >= 4
    assert Path(out.strip()) == folder / "metrics.json"


def test_train_writes_plain_lines_into_a_pipe(finished):
    _, _, err = finished
    assert "validation at step 5" in err
    assert "\r" not in err
    assert "\x1b" not in err
    assert "Traceback" not in err


def test_train_again_in_the_same_folder_changes_nothing(fork, finished, place, settings):
    folder, _, _ = finished
    before = (folder / "metrics.json").read_bytes()
    code, _, err = fork("train", *settings, "training.seed=1", "hydra.run.dir=trained", cwd=place)
    assert code == 0, err
    assert (folder / "metrics.json").read_bytes() == before


def test_evaluate_prints_one_json_object(fork, finished, place, tmp_path):
    folder, _, _ = finished
    code, out, err = fork("evaluate", f"run={folder}", f"data_dir={place / 'data'}", cwd=tmp_path)
    assert code == 0, err
    trained = json.loads((folder / "metrics.json").read_text())
    printed = json.loads(out)
    assert set(printed) == set(trained)
    for name in CONTRACT:
        assert printed[name] == pytest.approx(trained[name], rel=1e-5), name


def test_evaluate_on_another_corpus(fork, finished, place, tmp_path):
    folder, _, _ = finished
    other = tmp_path / "other.txt"
    other.write_text("".join(f"number {i}\n" for i in range(40)))
    files = [f"corpus.files=[{other}]", f"corpus.test_files=[{other.with_name('test.txt')}]"]
    other.with_name("test.txt").write_text("one line\nand another one\n")
    arguments = [f"run={folder}", "corpus=text", *files, f"data_dir={place / 'data'}"]
    code, out, err = fork("evaluate", *arguments, cwd=tmp_path)
    assert code == 0, err
    metrics = json.loads(out)
    assert metrics["documents"] == 2
    assert metrics["tokens"] == len("one line") + len("and another one") + 2


def test_awkward_lines_keep_their_count_and_order(fork, finished, tmp_path):
    folder, _, _ = finished
    text = "\n".join(AWKWARD).encode()  # no line end after the last one
    (tmp_path / "in.txt").write_bytes(text)

    code, reconstructed, err = fork("reconstruct", f"run={folder}", cwd=tmp_path, input=text)
    assert (code, err) == (0, "")
    assert reconstructed.count(b"\n") == len(AWKWARD)
    assert reconstructed.endswith(b"\n")

    code, out, err = fork("encode", f"run={folder}", "input=in.txt", "output=z.npz", cwd=tmp_path)
    assert (code, out, err) == (0, b"", "")
    with np.load(tmp_path / "z.npz") as latents:
        assert len(latents["offsets"]) == len(AWKWARD) + 1
        assert latents["latents"].dtype == np.float32
        # a byte is a token, the end is one more, and four of them make a latent of 16 numbers
        pieces = [len(line.encode()) + 1 for line in AWKWARD]
        assert np.diff(latents["offsets"]).tolist() == [math.ceil(size / 4) for size in pieces]
        assert latents["latents"].shape[1] == 16

    code, decoded, err = fork("decode", f"run={folder}", "input=z.npz", cwd=tmp_path)
    assert (code, err) == (0, "")
    assert decoded == reconstructed


def test_files_and_single_lines_give_what_the_stream_gives(fork, finished, tmp_path):
    """Each line's answer depends on the line alone, so order is kept if single lines agree."""
    folder, _, _ = finished
    lines = ["the red house", "", "a river runs often", "naïve 日本"]
    (tmp_path / "in.txt").write_text("\n".join(lines) + "\n")
    (tmp_path / "back.txt").write_text("\n".join(reversed(lines)) + "\n")
    answers = []
    for name in ("in", "back"):
        arguments = [f"run={folder}", f"input={name}.txt", f"output={name}.out"]
        code, out, err = fork("reconstruct", *arguments, cwd=tmp_path)
        assert (code, out, err) == (0, b"", "")
        answers.append((tmp_path / f"{name}.out").read_bytes().split(b"\n")[:-1])
    assert len(answers[0]) == len(lines)
    assert answers[0] == answers[1][::-1]
    assert len(set(answers[0])) > 1


def test_an_empty_input_gives_an_empty_answer(fork, finished, tmp_path):
    folder, _, _ = finished
    assert fork("reconstruct", f"run={folder}", cwd=tmp_path) == (0, b"", "")
    assert fork("encode", f"run={folder}", "output=z.parquet", cwd=tmp_path) == (0, b"", "")
    assert fork("decode", f"run={folder}", "input=z.parquet", cwd=tmp_path) == (0, b"", "")


@pytest.mark.slow
def test_a_reader_that_has_seen_enough_is_no_error(forks, finished, tmp_path):
    folder, _, _ = finished
    (tmp_path / "in.txt").write_text("a line of words\n" * 8_000)
    forks.write_python(tmp_path / "python")
    command = f"./python -m textae.reconstruct 'run={folder}' input=in.txt | head -n 1"
    made = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, timeout=300, env=environment())
    assert made.stdout.count(b"\n") == 1
    assert made.stderr == b""


@pytest.mark.slow
def test_a_sweep_gives_what_single_runs_give(fork, finished, place, settings):
    """Three jobs, of which the second cannot be: the others finish, and the sweep says so by its exit code."""
    folder, _, _ = finished
    code, _, err = fork("train", "-m", *settings, "training.seed=0,-1,1", "hydra.sweep.dir=sweep", cwd=place)
    assert code == 2
    said = [line for line in err.splitlines() if line.startswith("textae:")]
    assert len(said) == 1
    assert "job 1 (" in said[0]
    assert "training.seed in [0, 2**31), received -1" in said[0]
    assert not (place / "sweep" / "1").exists()
    first, third = (json.loads((place / "sweep" / job / "metrics.json").read_text()) for job in "02")
    assert of_quality(third) == of_quality(json.loads((folder / "metrics.json").read_text()))
    assert third["loss"] != first["loss"]


@pytest.mark.slow
def test_train_shows_a_bar_on_a_terminal(forks, place, settings):
    pty = pytest.importorskip("pty")
    fcntl, termios = pytest.importorskip("fcntl"), pytest.importorskip("termios")
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))  # rows and columns
    process = forks.start([*settings, "hydra.run.dir=shown"], cwd=place, terminal=os.ttyname(theirs))
    shown = b""
    # The other side is closed only with the process's end, and is open here until then.
    while b"to look at the run: " not in shown and (block := os.read(ours, 1 << 16)):
        shown += block
    ended = forks.wait(process)
    os.close(theirs)
    os.close(ours)
    shown = shown.decode(errors="replace")
    assert ended.code == 0, shown
    assert re.search(r"\r100 %\|.*, step \d+ loss ", shown), shown
    assert "validation at step 5" in shown


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_training_goes_on_with_the_same_command(number, forks, place, settings):
    """In the end the figures are those of a run that nobody stopped."""
    arguments = [*settings, "training.max_steps=12", "training.log_every_steps=1", "training.eval_every_steps=12"]
    name = f"stopped_by_{number.name}"
    process = forks.start([*arguments, f"hydra.run.dir={name}"], cwd=place)
    deadline = time.monotonic() + 120
    while "step 3 " not in process.errors():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(process.pid, number)
    sent = time.monotonic()
    ended = forks.wait(process)
    assert ended.code == 128 + number, ended.errors
    assert time.monotonic() - sent < 10
    assert ended.errors.splitlines()[-1].startswith(f"textae: stopped by {number.name}")
    assert "Traceback" not in ended.errors
    assert (place / name / "checkpoint.safetensors").is_file()
    assert not (place / name / "metrics.json").exists()

    ended = forks.run([*arguments, f"hydra.run.dir={name}"], cwd=place)
    assert ended.code == 0, ended.errors
    assert "continuing after step" in ended.errors
    metrics = json.loads((place / name / "metrics.json").read_text())
    assert metrics["steps"] == 12
    whole = place / "whole"
    if not whole.exists():
        assert forks.run([*arguments, "hydra.run.dir=whole"], cwd=place).code == 0
    assert of_quality(metrics) == of_quality(json.loads((whole / "metrics.json").read_text()))


# Commands, one a line, in one process; what is read from standard input is a file.
ONE_AFTER_THE_OTHER = """
import runpy, shlex, sys
for line in sys.stdin.readlines():
    command, *sys.argv[1:] = shlex.split(line)
    try:
        runpy.run_module(f"textae.{command}", run_name="__main__", alter_sys=True)
    except SystemExit as stop:
        if stop.code:
            sys.exit(f"{stop.code}: {line}")
"""


@pytest.mark.slow
def test_jax_needs_no_tensorflow(place, settings, tmp_path):
    """Training, evaluating, reconstructing, encoding and decoding, where importing TensorFlow fails."""
    pytest.importorskip("jax")
    blocked = tmp_path / "blocked" / "tensorflow"
    blocked.mkdir(parents=True)
    (blocked / "__init__.py").write_text("raise ImportError('TensorFlow is not installed')\n")
    path = os.pathsep.join(filter(None, [str(blocked.parent), os.environ.get("PYTHONPATH")]))
    (tmp_path / "in.txt").write_bytes(b"a\n\nthe red house\n")
    # a data folder of its own, so that the corpus is prepared without TensorFlow too
    data = f"data_dir={tmp_path / 'data'}"
    commands = [
        ["train", *settings, data, "hydra.run.dir=jax"],
        ["evaluate", "run=jax", data],
        ["reconstruct", "run=jax", "input=in.txt", "output=back.txt"],
        ["encode", "run=jax", "input=in.txt", "output=z.npz"],
        ["decode", "run=jax", "input=z.npz", "output=decoded.txt"],
    ]
    made = subprocess.run(
        [sys.executable, "-c", ONE_AFTER_THE_OTHER],
        cwd=tmp_path,
        input="\n".join(map(shlex.join, commands)),
        text=True,
        capture_output=True,
        timeout=300,
        env=environment() | {"KERAS_BACKEND": "jax", "PYTHONPATH": path, "XLA_FLAGS": XLA_FLAGS},
    )
    assert made.returncode == 0, made.stderr
    trained = json.loads((tmp_path / "jax" / "metrics.json").read_text())
    printed = json.loads(made.stdout[made.stdout.index("{") :])
    assert printed["loss"] == pytest.approx(trained["loss"], rel=1e-4)
    assert (tmp_path / "back.txt").read_bytes().count(b"\n") == 3
    assert (tmp_path / "decoded.txt").read_bytes() == (tmp_path / "back.txt").read_bytes()
    with np.load(tmp_path / "z.npz") as latents:
        assert np.diff(latents["offsets"]).tolist() == [1, 1, 4]


@pytest.mark.slow
def test_vectors_are_rows_and_come_back(fork, place, settings, tmp_path):
    """One vector per text: .npy with a row per line. A new process says nothing else, whatever its libraries say."""
    arguments = [*settings, "model=vector", "model.channels=[16,16]", "training.max_steps=2"]
    code, _, err = fork("train", *arguments, "training.eval_every_steps=2", "hydra.run.dir=vectors", cwd=place)
    assert code == 0, err
    run_folder = f"run={place / 'vectors'}"
    text = b"one\n\nthree\n" + b"long " * 100
    code, _, err = run("encode", run_folder, "output=z.npy", cwd=tmp_path, input=text)
    truncated = "1 of 4 texts are longer than model.max_length=32 (31 tokens and the end) and were truncated\n"
    assert (code, err) == (0, truncated)
    rows = np.load(tmp_path / "z.npy")
    assert (rows.shape, rows.dtype) == ((4, 16), np.float32)
    code, decoded, err = fork("decode", run_folder, "input=z.npy", cwd=tmp_path)
    assert (code, err) == (0, "")
    assert decoded == fork("reconstruct", run_folder, cwd=tmp_path, input=text)[1]
    assert decoded.count(b"\n") == 4
