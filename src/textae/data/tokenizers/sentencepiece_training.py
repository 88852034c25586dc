"""SentencePiece's trainer in a process of its own, which can be ended at any moment.

In this process the trainer would hold off Ctrl-C and SIGTERM until it is done, which may take minutes.
"""

import json
import logging
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from textae.data.tokenizers import sentencepiece_worker as worker

logger = logging.getLogger(__name__)

SECONDS = 10.0  # from one line of progress to the next


def train_apart(settings: dict[str, Any], sentences: Iterable[str], title: str) -> bytes:
    """Return the model that SentencePiece makes of the sentences, which are handed over one by one.

    The other process ends with this one, however this one ends. Where no Python can be started beside this one,
    as in a program that Python is embedded in, training happens here.

    Args:
        settings: arguments of `SentencePieceTrainer.train`, as JSON can hold them.
        sentences: what to train on.
        title: what the lines of progress begin with.

    Raises:
        RuntimeError: SentencePiece's own complaint.
        ChildProcessError: the process was ended by another, or by the system for want of memory.
    """
    with _started() as process:
        if process is None:
            return worker.train(settings, sentences)
        with suppress(BrokenPipeError):  # it has ended; how is seen below
            stdin = _stream(process.stdin)
            stdin.write(worker.frame(json.dumps(settings).encode()))
            for sentence in sentences:
                stdin.write(worker.frame(sentence.encode("utf-8")))
            stdin.write(worker.LENGTH.pack(worker.END))
            stdin.flush()
        answer = _answer(process, title)
    if answer.startswith(worker.MODEL):
        return answer[1:]
    if answer.startswith(worker.ERROR):
        raise RuntimeError(answer[1:].decode("utf-8"))
    raise ChildProcessError(f"{title}: expected SentencePiece to end with a model, found {_end(process.returncode)}")


@contextmanager
def _started() -> Iterator[subprocess.Popen[bytes] | None]:
    """Give a process that is ready for settings and sentences, or None; in the end it is ended."""
    search_path = json.dumps([entry for entry in sys.path if isinstance(entry, str)]).encode()
    for python in _interpreters():
        try:
            # Isolated: nothing but what this process's own search path has.
            process = subprocess.Popen(
                [python, "-I", "-S", worker.__file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        except OSError:
            continue
        stdin, stdout = _stream(process.stdin), _stream(process.stdout)
        try:
            with suppress(BrokenPipeError):
                stdin.write(worker.frame(search_path))
                stdin.flush()
            if os.read(stdout.fileno(), 1) == worker.READY:
                yield process
                return
        finally:
            process.kill()
            process.wait()
            for stream in (stdin, stdout):
                with suppress(OSError):  # of what it did not take
                    stream.close()
    yield None


def _stream(pipe: IO[bytes] | None) -> IO[bytes]:
    """Return a pipe to or from the process, which was started with both."""
    if pipe is None:
        raise ValueError("expected a process with pipes, found one without")
    return pipe


def _interpreters() -> Iterator[str]:
    """Yield the Python programs that may be this one; another program that holds Python must not be started again."""
    if not Path(worker.__file__).is_file():  # in an archive
        return
    for path in dict.fromkeys([sys.executable, getattr(sys, "_base_executable", None)]):
        if path and re.match(r"python[\d.]*t?(\.exe)?$", Path(path).name, re.IGNORECASE):
            yield path


def _answer(process: subprocess.Popen[bytes], title: str) -> bytes:
    """Return all that the process writes until its end, saying now and then that it is at work."""
    started = time.monotonic()
    stdin, process.stdin = process.stdin, None  # it would be closed, and with it the process ended
    try:
        while True:
            try:
                return process.communicate(timeout=SECONDS)[0]
            except subprocess.TimeoutExpired:
                logger.info(f"{title}: {time.monotonic() - started:.0f} s")
    finally:
        process.stdin = stdin


def _end(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    with suppress(ValueError):
        return f"its process ended by {signal.Signals(-code).name}"
    return f"its process ended by signal {-code}"
