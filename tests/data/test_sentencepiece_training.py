"""SentencePiece's trainer in a process of its own: the same model, and it can be ended."""

import ast
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from textae.data.tokenizers import sentencepiece_training, sentencepiece_worker, train_tokenizer
from textae.data.tokenizers.sentencepiece_training import train_apart

pytestmark = pytest.mark.backend_free

SETTINGS = {"model_type": "unigram", "vocab_size": 300, "hard_vocab_limit": False, "byte_fallback": True}
SETTINGS |= {"num_threads": 4, "minloglevel": 2, "normalization_rule_name": "identity", "max_sentence_length": 40_000}
SENTENCES = [f"a sentence {n} of\n{n * n} \0 naïve 日本 ☃" for n in range(60)]


def slow(lines=40):
    """Text of two signs, which SentencePiece takes half a minute for."""
    draw = random.Random(0)
    return ["".join(draw.choices("=-", k=3900)) for _ in range(lines)]


def workers(process):
    return [c for c in process.children(recursive=True) if "sentencepiece_worker" in " ".join(c.cmdline())]


def wait_for(what, seconds=20):
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_the_model_is_that_of_this_process(kind):
    settings = SETTINGS | {"model_type": kind}
    apart = train_apart(settings, iter(SENTENCES), "training")
    assert apart == sentencepiece_worker.train(settings, SENTENCES)
    assert len(apart) > 1000


def test_its_complaints_come_out_here():
    with pytest.raises(RuntimeError, match="Vocabulary size too high"):
        train_apart(SETTINGS | {"hard_vocab_limit": True, "vocab_size": 90_000}, SENTENCES, "training")


def test_the_worker_is_light():
    tree = ast.parse(Path(sentencepiece_worker.__file__).read_text(encoding="utf-8"))
    imported = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {alias.name for node in imported for alias in node.names if isinstance(node, ast.Import)}
    names |= {node.module.split(".")[0] for node in imported if isinstance(node, ast.ImportFrom)}
    assert names - sys.stdlib_module_names == {"sentencepiece"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_it_ends_with_whoever_asked(number):
    code = """
import sys
from textae.data.tokenizers.sentencepiece_training import train_apart
train_apart(eval(sys.argv[1]), eval(sys.argv[2]), "training")
"""
    command = [sys.executable, "-c", code, repr(SETTINGS), repr(slow(8))]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    (worker,) = wait_for(lambda: workers(psutil.Process(process.pid)))
    wait_for(lambda: worker.cpu_times().user > 0.1)
    began = time.monotonic()
    process.send_signal(number)
    assert process.wait() == -number
    wait_for(lambda: not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE, 5)
    assert time.monotonic() - began < 5


def test_a_signal_ends_the_work_of_this_process(capfd):
    def strike():
        (worker,) = wait_for(lambda: workers(psutil.Process()))
        wait_for(lambda: worker.cpu_times().user > 0.1)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=strike)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        train_tokenizer("unigram", slow(), 8192, nearest=True)
    thread.join()
    assert workers(psutil.Process()) == []
    assert capfd.readouterr() == ("", "")


def test_long_training_says_so_and_may_be_ended_by_others(monkeypatch, capfd):
    monkeypatch.setattr(sentencepiece_training, "SECONDS", 0.05)

    def strike():
        (worker,) = wait_for(lambda: workers(psutil.Process()))
        wait_for(lambda: worker.cpu_times().user > 0.3)
        worker.kill()

    thread = threading.Thread(target=strike)
    thread.start()
    with pytest.raises(ChildProcessError, match=r"training: expected .* a model, found its process ended by SIGKILL"):
        train_apart(SETTINGS, slow(), "training")
    thread.join()
    assert capfd.readouterr().err.startswith("training: 0 s\n")


def test_where_no_python_can_be_started_it_happens_here(monkeypatch, tmp_path):
    expected = sentencepiece_worker.train(SETTINGS, SENTENCES)
    odd = tmp_path / "python3"
    odd.write_text("#!/bin/sh\nexit 3\n")
    odd.chmod(0o755)
    for path, base in ((str(tmp_path / "python"), str(odd)), ("", None)):
        monkeypatch.setattr(sys, "executable", path)
        monkeypatch.setattr(sys, "_base_executable", base)
        with sentencepiece_training._started() as process:
            assert process is None
    assert train_apart(SETTINGS, SENTENCES, "training") == expected


def test_a_program_that_is_no_python_is_not_started_again(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "executable", "/usr/bin/uwsgi")
    monkeypatch.setattr(sys, "_base_executable", "/usr/bin/python3.11")
    assert list(sentencepiece_training._interpreters()) == ["/usr/bin/python3.11"]
    monkeypatch.setattr(sentencepiece_worker, "__file__", str(tmp_path / "a.zip" / "sentencepiece_worker.py"))
    assert list(sentencepiece_training._interpreters()) == []
