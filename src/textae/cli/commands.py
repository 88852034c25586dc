"""What the entry points share: running a task under Hydra, one line for what went wrong, exit codes, reading lines.

Exit codes: 0 success, 1 failure, 2 invalid configuration or input, 130 and 143 stopped by Ctrl-C and SIGTERM.
`TEXTAE_TRACEBACK=1` shows where an error comes from.
"""

from __future__ import annotations

import itertools
import logging
import os
import re
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from textae.cli.argv import arranged
from textae.cli.errors import GROUP_VALUE, cause, check_settings, concerns_a_path, explain
from textae.cli.folders import Folders, Refused
from textae.cli.search import number_of
from textae.cli.streams import as_they_come, is_live, open_standard_streams, show_log, standard_input, write_line
from textae.cli.sweeps import Jobs, Stopped
from textae.data.lines import lines
from textae.files import is_closed, target, writing
from textae.progress import escaped

logger = logging.getLogger(__name__)

SUCCESS, FAILURE, USAGE = 0, 1, 2
PORTION_CHARACTERS = 1 << 20


class _Terminated(KeyboardInterrupt):
    """SIGTERM, which unwinds like Ctrl-C."""

    exit_code = 128 + signal.SIGTERM


def hydra_main(config_name: str, task: Callable[[Any], Any]) -> NoReturn:
    """Run `task` with the composed config, or with each of a sweep's; then exit."""
    open_standard_streams()
    show_log()
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra hands errors on instead of printing them
    signal.signal(signal.SIGTERM, _terminate)
    codes: list[Any] = []
    try:
        sys.argv[1:] = arranged(sys.argv[1:], config_name)
        with Folders() as folders, Jobs(sys.argv[1:], lambda: folders.sweep) as jobs:
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
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    from textae.config.registration import config_dir, register

    register()
    if config_name == "config":  # of training, which alone is swept
        with suppress(ImportError):  # that a launcher is missing is said when it is needed
            from textae.cli import submitit_launcher

            submitit_launcher.register()

    def run(config: Any) -> Any:
        return _run_job(config, task, jobs)

    run.__module__, run.__qualname__ = "__main__", config_name
    vars(run)["jobs"] = jobs  # for a launcher
    try:
        with jobs.forwarding(), _composed_once(sys.argv[1:]):
            hydra.main(version_base="1.3", config_path=str(config_dir()), config_name=config_name)(run)()
    except (HydraException, OmegaConfBaseException, OverflowError) as error:
        return fail(explain(error, config_name), USAGE, error)
    except ValueError as error:
        if GROUP_VALUE not in str(error):
            raise
        return fail(explain(error, config_name), USAGE, error)
    except Refused as refused:
        if isinstance(refused.error, (HydraException, OmegaConfBaseException, OverflowError)):
            return fail(explain(refused.error, config_name), USAGE, refused.error)
        return failure(refused.error)
    except RuntimeError as error:
        if plugin := re.search(r"Unknown plugin class : 'hydra_plugins\.(\w+)", str(error)):
            return fail(f"expected the package {plugin[1]}, found none: pip install 'textae[sweep]'", USAGE, error)
        raise
    finally:
        GlobalHydra.instance().clear()
    return jobs.code()


@contextmanager
def _composed_once(words: list[str]) -> Iterator[None]:
    """Within this block Hydra composes the configuration once, where no word can set `hydra.mode`.

    Hydra composes it a first time to read the mode, which takes a third of a second and is null unless a file of the
    user's, or a word, sets it.
    """
    from hydra._internal.hydra import Hydra

    keys = {word.partition("=")[0].lstrip("+~") for word in words if not word.startswith("-")}
    options = {word for word in words if word.startswith("-")}
    if options - {"-m", "--multirun"} or keys & {"hydra", "hydra.mode", "hydra.searchpath"}:
        yield
        return
    get_mode = Hydra.get_mode
    Hydra.get_mode = lambda *_, **__: None
    try:
        yield
    finally:
        Hydra.get_mode = get_mode


def _run_job(config: Any, task: Callable[[Any], Any], jobs: Jobs) -> Any:
    """Run one job and return its result; its errors end here, since Hydra prints lines of its own about them."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode
    from omegaconf import OmegaConf

    from textae.config.mapping import plain
    from textae.training.interrupts import Interrupted

    open_standard_streams()  # a launcher may have put this into a process of its own
    show_log()
    settings = HydraConfig.get()
    if settings.job.chdir:  # paths are relative to where the command was given all the same
        os.chdir(settings.runtime.cwd)
    swept = settings.mode == RunMode.MULTIRUN
    number, overrides = number_of(settings) if swept else 0, plain(settings.overrides.task)
    at_once = OmegaConf.select(settings.launcher, "n_jobs", default=1)
    cores = OmegaConf.select(settings.launcher, "cpus_per_task")
    where = f"job {number} ({jobs.title(overrides)}): " if swept else ""
    try:
        if jobs.stopped:
            return Stopped(jobs.code())
        with jobs.running(number, overrides, at_once, cores) if swept else nullcontext():
            check_settings(config)
            fetch_run(config)
            return task(config)
    except Interrupted as error:
        key, folder = ("sweep.dir", settings.sweep.dir) if swept else ("run.dir", settings.runtime.output_dir)
        line = f"{where}{error}; the same command with hydra.{key}={folder} goes on"
        code = fail(line, error.exit_code, error)
        jobs.failed(number, code)
        if not jobs.elsewhere:
            raise SystemExit(code) from None
        return Stopped(code)
    except Exception as error:
        jobs.failed(number, failure(error, where))
        return None
    except KeyboardInterrupt:
        if not jobs.elsewhere:
            raise
        code = fail(f"job {number}: stopped before its first checkpoint", 130)
        jobs.failed(number, code)
        return Stopped(code)


def fetch_run(config: Any) -> None:
    """Let `run` be the folder of the run that it names, a pretrained model or one of the Hub among them."""
    from textae.config.mapping import resolve
    from textae.runs.finding import find_run

    if (run := config.get("run")) is not None:
        resolve(config)  # invalid settings are reported before anything is fetched
        config.run = str(find_run(run))


def failure(error: Exception, where: str = "") -> int:
    """Say in one line what went wrong, and return the exit code that fits."""
    from textae.training.interrupts import Interrupted, ProcessEnded

    if isinstance(error, BrokenPipeError):  # whoever read the answers has seen enough
        return 128 + 13
    if isinstance(error, Interrupted | ProcessEnded):
        return fail(f"{where}{error}", error.exit_code, error)
    line = where + cause(error)
    usage = (ValueError, FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError)
    if isinstance(error, usage) or concerns_a_path(error):
        return fail(line, USAGE, error)
    if isinstance(error, (FloatingPointError, OSError, MemoryError)):
        return fail(line or type(error).__name__, FAILURE, error)
    return fail(f"{where}{type(error).__name__}: {cause(error)} (TEXTAE_TRACEBACK=1 shows where)", FAILURE, error)


def fail(line: str, code: int, error: BaseException | None = None) -> int:
    """Print one line on standard error and return `code`."""
    if error is not None and os.environ.get("TEXTAE_TRACEBACK"):
        import traceback

        for shown in "".join(traceback.format_exception(error)).splitlines():
            write_line(shown)
    write_line(f"textae: {line}")
    return code


def _terminate(number: int, frame: Any) -> NoReturn:
    raise _Terminated


def run_config(run: str) -> Any:
    """Return the configuration of a trained run, without anything heavy.

    Raises:
        ValueError: the folder is not a run's, or no weights were kept in it yet.
    """
    from textae.config.mapping import from_mapping
    from textae.runs.run_folder import WEIGHTS, RunDir

    folder = RunDir(run)
    config = from_mapping(folder.config())
    if not (folder / WEIGHTS).is_file():
        raise ValueError(f"run: expected a run with {WEIGHTS}, found none in {run}: training has not come that far")
    return config


def load_for_lines(run: str) -> Any:
    """Return the autoencoder of a trained run, which answers a first line before anything is compiled for more."""
    from textae.inference.text_autoencoder import load

    autoencoder = load(run)
    autoencoder.codec.first_eagerly = True
    return autoencoder


def corpus_of(options: Any, trained_with: Any) -> Any:
    """Return the corpus that a command was given, or that of the run, prepared.

    Raises:
        ValueError, FileNotFoundError: what is wrong with it.
    """
    from textae.data.corpora import open_corpus

    folder = Path(options.data_dir) / "corpora"
    if options.corpus.kind != "run":
        return open_corpus(options.corpus, folder)
    corpus = replace(trained_with.corpus.located(), workers=options.corpus.workers, beam=options.corpus.beam)
    try:
        return open_corpus(corpus, folder)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"the corpus of {options.run}: {error}; corpus={corpus.kind} says where it is"
        ) from None


def read_lines(stream: BinaryIO, name: str) -> Iterator[str]:
    """Yield the lines of text, which may be compressed, each as soon as it has come: see `textae.data.lines`.

    Raises:
        ValueError: bytes that are not UTF-8 or a line without end, with the line's number; a broken compressed file.
    """
    return lines(stream, name, tell=logger.warning)


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


def peek(items: Iterator[Any]) -> Iterator[Any]:
    """Return the same items, the first of which was made already: what is wrong with it shows at once."""
    return itertools.chain(list(itertools.islice(items, 1)), items)


def input_portions(name: str | None, live: bool = True) -> Iterator[list[str]]:
    """Return the lines of a file, or of standard input, in portions, the first of which was read already.

    Portions are about as large as each other, and the same each time. Only from a pipe or the like, with `live`, are
    they as small as lines come slowly.
    """
    return portions_of(open_input(name), name, live)


def portions_of(stream: BinaryIO, name: str | None, live: bool = True) -> Iterator[list[str]]:
    """Return `input_portions` of a stream that is open already."""
    from textae.data.preparation import in_portions

    texts = read_lines(stream, name or "standard input")
    return peek((as_they_come if live and is_live(stream) else in_portions)(texts, PORTION_CHARACTERS))


def tell_truncated(autoencoder: Any) -> None:
    """Say how many of the texts that a command encoded were truncated, if any were."""
    if autoencoder.truncated:
        longest = autoencoder.model.max_length
        logger.warning(
            f"{autoencoder.truncated:,} of {autoencoder.texts:,} texts are longer than model.max_length={longest} "
            f"({longest - 1} tokens and the end) and were truncated"
        )


def open_input(name: str | None, key: str = "input") -> BinaryIO:
    """Return the file that the setting `key` names, which may be a pipe, or standard input."""
    if name is None or name == "-":
        return standard_input()
    path = Path(name)
    if not path.exists() or path.is_dir():
        raise FileNotFoundError(f"{key}: expected a file, found none at {path}")
    return path.open("rb")


def check_output(name: str | None, key: str = "output") -> None:
    """Raise a ValueError or PermissionError if what `key` names, by default standard output, cannot be written to."""
    target("-" if name is None else name, key)


def announce(text: str) -> None:
    """Print what a command has made on standard output, unless that is closed."""
    if not is_closed(1):
        print(text, flush=True)


@contextmanager
def line_writer(name: str | None) -> Iterator[Callable[[Iterable[str]], None]]:
    r"""Give a function that writes lines to the named file, or to standard output; whoever reads them has them at once.

    A regular file appears when all is written. A "\n" within a text cannot stand in a line and becomes a space. On a
    terminal control characters stand as escapes: the texts may be untrusted.
    """
    with writing("-" if name is None else name) as file:
        terminal = file.isatty()

        def write(texts: Iterable[str]) -> None:
            for text in texts:
                line = text.replace("\n", " ")
                if terminal:
                    line = "\t".join(map(escaped, line.split("\t")))
                file.write(line.encode("utf-8", "replace") + b"\n")
            file.flush()

        yield write
