"""What the entry points share: running a task under Hydra, one line for what went wrong, exit codes, reading lines.

Exit codes: 0 the answer was given, 1 the work failed, 2 the configuration or the input will not do, 130 and 143
stopped by Ctrl-C and SIGTERM. `TEXTAE_TRACEBACK=1` shows where an error comes from.
"""

from __future__ import annotations

import itertools
import os
import re
import signal
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from textae.explanations import cause, check_settings, explain, options_of
from textae.lines import lines
from textae.machine import hide_missing_gpu
from textae.options import arranged
from textae.progress import escaped, say
from textae.sweeps import Jobs

SUCCESS, FAILURE, USAGE = 0, 1, 2
_STARTED = time.time()
_LINES_CHARACTERS = 1 << 20


class _Terminated(KeyboardInterrupt):
    """SIGTERM, which unwinds like Ctrl-C."""


def start_keras() -> None:
    """Import Keras and its backend without the lines that TensorFlow's libraries print while they load.

    They go to the process's standard error before any of TensorFlow's own settings can reach them.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # off by itself without AVX-512; docs/speed.md
    hide_missing_gpu()
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
    signal.signal(signal.SIGTERM, _terminate)
    codes: list[Any] = []
    try:
        sys.argv[1:] = arranged(sys.argv[1:])
        with Jobs(sys.argv[1:]) as jobs:
            codes.append(_run_hydra(config_name, task, jobs))
    except SystemExit as stop:
        codes.append(stop.code)
    except _Terminated:
        codes.append(fail("stopped by SIGTERM", 143))
    except KeyboardInterrupt:
        codes.append(fail("stopped by Ctrl-C", 130))
    except Exception as error:
        codes.append(failure(error))
    try:
        sys.stdout.flush()
    except OSError as error:
        codes.append(failure(error))
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is left cannot be written when Python ends either
    sys.exit(next((code for code in codes if code), SUCCESS))


def _run_hydra(config_name: str, task: Callable[[Any], Any], jobs: Jobs) -> int:
    """Compose and run, and return the exit code."""
    import hydra
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.hydra_config import HydraConfig
    from hydra.errors import HydraException
    from hydra.types import RunMode
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    from textae.config import config_dir, register
    from textae.interrupts import Interrupted

    register()
    OmegaConf.register_new_resolver("textae.options", options_of, replace=True)

    def run(config: Any) -> Any:
        """Run one job; Hydra prints lines of its own about errors that reach it."""
        settings = HydraConfig.get()
        if settings.job.chdir:  # paths are relative to where the command was given all the same
            os.chdir(settings.runtime.cwd)
        fresh = _new_and_empty(Path(settings.runtime.output_dir))
        swept = settings.mode == RunMode.MULTIRUN
        number, overrides = settings.job.num if swept else 0, list(settings.overrides.task)
        at_once = OmegaConf.select(settings.launcher, "n_jobs", default=1)
        try:
            if jobs.stopped:
                return None
            with jobs.running(number, overrides, at_once) if swept else nullcontext():
                check_settings(config)
                return task(config)
        except Exception as error:
            where = f"job {number} ({jobs.title(overrides)}): " if swept else ""
            if isinstance(error, Interrupted):
                key, folder = ("sweep.dir", settings.sweep.dir) if swept else ("run.dir", settings.runtime.output_dir)
                code = fail(
                    f"{where}{error}; the same command with hydra.{key}={folder} goes on", error.exit_code, error
                )
                jobs.failed(number, code)
                if not jobs.elsewhere:
                    raise SystemExit(code) from None
                return None
            jobs.failed(number, failure(error, where))
            return None
        except KeyboardInterrupt:
            if not jobs.elsewhere:
                raise
            jobs.failed(number, fail(f"job {number}: stopped before its first checkpoint", 130))
            return None
        finally:
            if fresh:
                default = not any(override.startswith("hydra.run.dir=") for override in settings.overrides.hydra)
                _remove_unused(Path(settings.runtime.output_dir), with_parents=default)

    run.__module__, run.__qualname__ = "__main__", config_name
    try:
        with jobs.forwarding():
            hydra.main(version_base="1.3", config_path=str(config_dir()), config_name=config_name)(run)()
    except (HydraException, OmegaConfBaseException, OverflowError) as error:
        return fail(explain(error, config_name), USAGE, error)
    except RuntimeError as error:
        if plugin := re.search(r"Unknown plugin class : 'hydra_plugins\.(\w+)", str(error)):
            return fail(f"expected the package {plugin[1]}, found none: pip install 'textae[sweep]'", USAGE, error)
        raise
    finally:
        GlobalHydra.instance().clear()
    return jobs.code()


def failure(error: Exception, where: str = "") -> int:
    """Say in one line what went wrong, and return the exit code that fits."""
    from textae.interrupts import Interrupted

    if isinstance(error, BrokenPipeError):  # whoever read the answers has seen enough
        return 128 + 13
    if isinstance(error, Interrupted):
        return fail(f"{where}{error}", error.exit_code, error)
    line = where + cause(error)
    if isinstance(error, (ValueError, FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError)):
        return fail(line, USAGE, error)
    if isinstance(error, (FloatingPointError, OSError, MemoryError)):
        return fail(line or type(error).__name__, FAILURE, error)
    return fail(f"{where}{type(error).__name__}: {cause(error)} (TEXTAE_TRACEBACK=1 shows where)", FAILURE, error)


def fail(line: str, code: int, error: BaseException | None = None) -> int:
    """Print one line on standard error and return `code`."""
    if error is not None and os.environ.get("TEXTAE_TRACEBACK"):
        import traceback

        for shown in "".join(traceback.format_exception(error)).splitlines():
            say(shown)
    say(f"textae: {line}")
    return code


def _terminate(number: int, frame: Any) -> NoReturn:
    raise _Terminated


def _new_and_empty(folder: Path) -> bool:
    """Return whether a folder is one that Hydra has just made: not the user's own."""
    made = folder.stat().st_mtime >= _STARTED - 1 and folder.resolve() != Path.cwd()
    return made and not any(folder.iterdir())


def _remove_unused(folder: Path, with_parents: bool) -> None:
    """Remove a run folder that nothing was written to, and the folders of runs around it if they are empty then."""
    from filelock import FileLock, Timeout

    from textae.rundir import LOCK

    if not folder.is_dir() or not {path.name for path in folder.iterdir()} <= {LOCK}:
        return
    try:
        with FileLock(folder / LOCK, timeout=0):  # another run may just have begun here
            (folder / LOCK).unlink(missing_ok=True)
            folder.rmdir()
    except Timeout:
        return
    if with_parents:
        for parent in itertools.takewhile(lambda parent: parent != Path.cwd(), folder.resolve().parents):
            if any(parent.iterdir()):
                return
            parent.rmdir()


def run_config(run: str) -> Any:
    """Return the configuration of a trained run, without anything heavy.

    Raises:
        ValueError: the folder is not a run's, or no weights were kept in it yet.
    """
    from textae.config import from_mapping
    from textae.rundir import WEIGHTS, RunDir

    folder = RunDir(run)
    config = from_mapping(folder.config())
    if not (folder / WEIGHTS).is_file():
        raise ValueError(f"run: expected a run with {WEIGHTS}, found none in {run}: training has not come that far")
    return config


def corpus_of(options: Any, trained_with: Any) -> Any:
    """Return the corpus that a command was given, or that of the run, prepared.

    Raises:
        ValueError, FileNotFoundError: what is wrong with it.
    """
    from textae.corpora import open_corpus

    folder = Path(options.data_dir) / "corpora"
    if options.corpus.kind != "run":
        return open_corpus(options.corpus.kind, folder, **options.corpus.settings())
    corpus = trained_with.corpus.located()
    try:
        return open_corpus(corpus.kind, folder, **corpus.settings())
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"the corpus of {options.run}: {error}; corpus={corpus.kind} says where it is"
        ) from None


def read_lines(stream: BinaryIO, name: str) -> Iterator[str]:
    """Yield the lines of text, which may be compressed, each as soon as it has come: see `textae.lines`.

    Raises:
        ValueError: bytes that are not UTF-8, with the line's number, and a broken compressed file.
    """
    return lines(stream, name, tell=say)


def read_texts(name: str | None, wanted: list[str]) -> list[str]:
    """Return the lines of the named file, or of standard input, of which there must be one for each that is wanted.

    Raises:
        ValueError: there are more or fewer.
    """
    texts = list(itertools.islice(read_lines(open_input(name), name or "standard input"), len(wanted) + 1))
    if len(texts) != len(wanted):
        found = "more" if len(texts) > len(wanted) else len(texts)
        raise ValueError(f"input: expected {len(wanted)} lines ({', '.join(wanted)}), found {found}")
    return texts


def portions(lines: Iterator[str], characters: int = _LINES_CHARACTERS) -> Iterator[list[str]]:
    """Yield consecutive lines, about so many characters together."""
    from textae.prepared import in_portions

    return in_portions(lines, characters)


def begun(items: Iterator[Any]) -> Iterator[Any]:
    """Return the same items, the first of which was made already: what is wrong with it shows at once."""
    return itertools.chain(list(itertools.islice(items, 1)), items)


def input_portions(name: str | None) -> Iterator[list[str]]:
    """Return the lines of a file, or of standard input, in portions, the first of which was read already."""
    return begun(portions(read_lines(open_input(name), name or "standard input")))


def tell_truncated(autoencoder: Any) -> None:
    """Say how many of the texts that a command encoded were truncated, if any were."""
    if autoencoder.truncated:
        longest = autoencoder.model.max_length
        say(
            f"{autoencoder.truncated:,} of {autoencoder.texts:,} texts are longer than model.max_length={longest} "
            f"({longest - 1} tokens and the end) and were truncated"
        )


def open_input(name: str | None, key: str = "input") -> BinaryIO:
    """Return the file that the setting `key` names, which may be a pipe, or standard input."""
    if name is None or name == "-":
        return sys.stdin.buffer
    path = Path(name)
    if not path.exists() or path.is_dir():
        raise FileNotFoundError(f"{key}: expected a file, found none at {path}")
    return path.open("rb")


def check_output(name: str | None, key: str = "output") -> None:
    """Raise a ValueError if a file of that name, given as `key`, cannot be written."""
    if name is None or name == "-":
        return
    path = Path(name)
    if not path.parent.is_dir():
        raise ValueError(f"{key}: expected the folder {path.parent} to exist, found none")
    if path.is_dir():
        raise ValueError(f"{key}: expected the name of a file, found the folder {path}")


@contextmanager
def answers(name: str | None) -> Iterator[Callable[[str], None]]:
    r"""Give a function that writes a line to the named file, or to standard output.

    A file appears when all is written. A "\n" within a text cannot stand in a line and becomes a space. On a terminal
    control characters stand as escapes: the texts may be a stranger's.
    """
    standard = name is None or name == "-"
    terminal = standard and sys.stdout.isatty()

    def line(text: str) -> bytes:
        text = text.replace("\n", " ")
        if terminal:
            text = "\t".join(map(escaped, text.split("\t")))
        return text.encode("utf-8", "replace") + b"\n"

    if standard:
        yield lambda text: sys.stdout.buffer.write(line(text)) and None
        sys.stdout.buffer.flush()
        return
    check_output(name)
    path = Path(name)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        with temporary.open("wb") as file:
            yield lambda text: file.write(line(text)) and None
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
