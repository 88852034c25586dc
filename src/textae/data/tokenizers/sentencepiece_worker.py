"""A program that trains a SentencePiece model and nothing else; `sentencepiece_training` runs it by its path.

Standard input brings frames, each of a length and so many bytes: the module search path as JSON, SentencePiece's
settings as JSON, the sentences, and an end. It stays open until the answer is there: its end is that of whoever asked,
and so of this. Standard output takes READY once SentencePiece is imported, and at last MODEL or ERROR with its content.
"""

import json
import os
import signal
import struct
import sys
import threading
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

LENGTH = struct.Struct("<I")
END = 2**32 - 1  # in place of a length
READY, MODEL, ERROR = b"R", b"M", b"E"


def train(settings: dict[str, Any], sentences: Iterable[str]) -> bytes:
    """Return the model that SentencePiece makes of the sentences."""
    import io

    import sentencepiece

    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(sentences), model_writer=model, **settings)
    return model.getvalue()


def frame(content: bytes) -> bytes:
    """Return bytes behind their length."""
    return LENGTH.pack(len(content)) + content


def frames(stream: BinaryIO) -> Iterator[bytes]:
    """Yield the content of each frame up to the end; EOFError if there is none."""
    while True:
        start = stream.read(LENGTH.size)
        length = LENGTH.unpack(start)[0] if len(start) == LENGTH.size else 0
        if length == END:
            return
        content = stream.read(length)
        if len(start) != LENGTH.size or len(content) != length:
            raise EOFError("expected a whole frame, found the end of the input")
        yield content


def main() -> None:
    """Answer one request."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of the terminal, meant for whoever asked
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # for what a library may print
    received = frames(sys.stdin.buffer)
    sys.path[:] = json.loads(next(received))
    import sentencepiece  # noqa: F401, is there or is not

    answers.write(READY)
    answers.flush()
    settings = json.loads(next(received))
    try:
        answer = MODEL + train(settings, _sentences(received))
    except Exception as error:
        answer = ERROR + str(error).encode("utf-8", "replace")
    answers.write(answer)
    answers.flush()
    os._exit(0)  # the thread that waits for the end of the input would be waited for


def _sentences(received: Iterator[bytes]) -> Iterator[str]:
    for content in received:
        yield content.decode("utf-8")
    threading.Thread(target=_end_with_the_input, daemon=True).start()


def _end_with_the_input() -> None:
    sys.stdin.buffer.read()
    os._exit(1)


if __name__ == "__main__":
    main()
