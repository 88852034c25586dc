"""What the entry points share: Hydra without surprises, one line for what went wrong, exit codes, reading lines.

Exit codes: 0 the answer was given, 1 the work failed, 2 the configuration or the input will not do, 130 and 143
stopped by Ctrl-C and SIGTERM. `TEXTAE_TRACEBACK=1` shows where an error comes from.
"""

from __future__ import annotations

import os
import re
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

SUCCESS, FAILURE, USAGE = 0, 1, 2
_LINES_CHARACTERS = 1 << 20


def start_keras() -> None:
    """Import Keras and its backend without the lines that TensorFlow's libraries print while they load.

    They go to the process's standard error before any of TensorFlow's own settings can reach them.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if not Path("/dev/nvidia0").exists():
        os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        import keras

        keras.ops.zeros(())
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def hydra_main(config_name: str, task: Callable[[Any], Any]) -> NoReturn:
    """Run `task` with the composed config, or with each of a sweep's; then exit."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra hands errors on instead of printing them
    import hydra
    from hydra.core.global_hydra import GlobalHydra
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    from textae.config import config_dir, register

    register()
    codes = [SUCCESS]

    def run(config: Any) -> Any:
        """Run one job; Hydra prints lines of its own about errors that reach it."""
        try:
            return task(config)
        except Exception as error:
            codes.append(failure(error))
            return None

    run.__module__, run.__qualname__ = "__main__", config_name
    try:
        hydra.main(version_base="1.3", config_path=str(config_dir()), config_name=config_name)(run)()
    except SystemExit as stop:
        codes.append(stop.code)
    except KeyboardInterrupt:
        codes.append(fail("stopped by Ctrl-C", 130))
    except (HydraException, OmegaConfBaseException) as error:
        codes.append(fail(_cause(error), USAGE, error))
    except Exception as error:
        codes.append(failure(error))
    finally:
        GlobalHydra.instance().clear()
    sys.stdout.flush()
    sys.exit(next((code for code in codes if code), SUCCESS))


def failure(error: Exception) -> int:
    """Say in one line what went wrong, and return the exit code that fits."""
    from textae.interrupts import Interrupted

    if isinstance(error, Interrupted):
        return fail(f"{error}; the same command goes on from the checkpoint", error.exit_code, error)
    if isinstance(error, (ValueError, FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError)):
        return fail(_cause(error), USAGE, error)
    if isinstance(error, (FloatingPointError, OSError, MemoryError)):
        return fail(_cause(error) or type(error).__name__, FAILURE, error)
    return fail(f"{type(error).__name__}: {_cause(error)} (TEXTAE_TRACEBACK=1 shows where)", FAILURE, error)


def fail(line: str, code: int, error: BaseException | None = None) -> int:
    """Print one line on standard error and return `code`."""
    if error is not None and os.environ.get("TEXTAE_TRACEBACK"):
        import traceback

        traceback.print_exception(error)
    print(f"textae: {line}", file=sys.stderr, flush=True)
    return code


def _cause(error: BaseException) -> str:
    """Return an error's message as one line, with that of its cause where it adds something."""
    lead = _shorten(str(error))
    detail = _shorten(str(error.__cause__)) if error.__cause__ is not None else ""
    return lead if detail in lead else f"{lead}: {detail}"


def _shorten(message: str) -> str:
    lines = [line.strip() for line in message.splitlines()]
    kept = [line for line in lines if line and not re.match(r"(full_key|object_type|reference_type)\b", line)]
    return " ".join(kept)[:600]


def read_lines(stream: BinaryIO, name: str) -> Iterator[str]:
    r"""Yield the lines of UTF-8 text, split at "\n" alone and without it; a last line may lack it.

    Raises:
        ValueError: bytes that are not UTF-8, with the line's number.
    """
    for number, line in enumerate(stream, 1):
        try:
            yield line.removesuffix(b"\n").decode("utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(f"{name}: expected UTF-8, found byte {line[error.start]:#04x} in line {number}") from None


def portions(lines: Iterator[str], characters: int = _LINES_CHARACTERS) -> Iterator[list[str]]:
    """Yield consecutive lines, about so many characters together."""
    from textae.prepared import in_portions

    return in_portions(lines, characters)


def open_input(name: str | None) -> BinaryIO:
    """Return the named file, or standard input."""
    if name is None or name == "-":
        return sys.stdin.buffer
    path = Path(name)
    if not path.is_file():
        raise FileNotFoundError(f"input: expected a file, found none at {path}")
    return path.open("rb")


@contextmanager
def answers(name: str | None) -> Iterator[Callable[[str], None]]:
    r"""Give a function that writes a line to the named file, or to standard output.

    A file appears when all is written. A "\n" within a text cannot stand in a line and becomes a space.
    """

    def line(text: str) -> bytes:
        return text.replace("\n", " ").encode("utf-8", "replace") + b"\n"

    if name is None or name == "-":
        yield lambda text: sys.stdout.buffer.write(line(text)) and None
        sys.stdout.buffer.flush()
        return
    path = Path(name)
    if not path.parent.is_dir():
        raise ValueError(f"output: expected the folder {path.parent} to exist, found none")
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        with temporary.open("wb") as file:
            yield lambda text: file.write(line(text)) and None
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
