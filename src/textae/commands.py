"""What the entry points share: Hydra without surprises, one line for what went wrong, exit codes, reading lines.

Exit codes: 0 the answer was given, 1 the work failed, 2 the configuration or the input will not do, 130 and 143
stopped by Ctrl-C and SIGTERM. `TEXTAE_TRACEBACK=1` shows where an error comes from.
"""

from __future__ import annotations

import dataclasses
import difflib
import itertools
import os
import re
import signal
import sys
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

SUCCESS, FAILURE, USAGE = 0, 1, 2
_STARTED = time.time()
_LINES_CHARACTERS = 1 << 20
_TYPES = {  # OmegaConf's words for what a value should have been, and ours
    r"is not a ListConfig": "a list, as in {key}=[{value}]",
    r"is not a (DictConfig|.*Mapping)": "several settings, as in {key}.name=value",
    r"converted to Integer": "a whole number",
    r"converted to Float": "a number",
    r"not a valid bool": "true or false",
    r"not Optional": "a value",
}


class _Terminated(KeyboardInterrupt):
    """SIGTERM, which unwinds like Ctrl-C."""


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
    sys.argv[1:] = sorted(sys.argv[1:], key=lambda argument: argument not in ("-m", "--multirun"))  # settings together
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra hands errors on instead of printing them
    signal.signal(signal.SIGTERM, _terminate)
    codes: list[Any] = []
    try:
        codes.append(_run_hydra(config_name, task))
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


def _run_hydra(config_name: str, task: Callable[[Any], Any]) -> int:
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
    OmegaConf.register_new_resolver("textae.options", _options, replace=True)
    codes = [SUCCESS]

    def run(config: Any) -> Any:
        """Run one job; Hydra prints lines of its own about errors that reach it."""
        settings = HydraConfig.get()
        fresh = _new_and_empty(Path(settings.runtime.output_dir))
        try:
            _check(config)
            return task(config)
        except Exception as error:
            swept = settings.mode == RunMode.MULTIRUN
            where = f"job {settings.job.num} ({', '.join(settings.overrides.task)}): " if swept else ""
            codes.append(failure(error, where))
            if isinstance(error, Interrupted):
                raise SystemExit(codes[-1]) from None
            return None
        finally:
            if fresh:
                default = not any(override.startswith("hydra.run.dir=") for override in settings.overrides.hydra)
                _remove_unused(Path(settings.runtime.output_dir), with_parents=default)

    run.__module__, run.__qualname__ = "__main__", config_name
    try:
        hydra.main(version_base="1.3", config_path=str(config_dir()), config_name=config_name)(run)()
    except (HydraException, OmegaConfBaseException) as error:
        return fail(_explain(error, config_name), USAGE, error)
    finally:
        GlobalHydra.instance().clear()
    return next((code for code in codes if code), SUCCESS)


def failure(error: Exception, where: str = "") -> int:
    """Say in one line what went wrong, and return the exit code that fits."""
    from textae.interrupts import Interrupted

    if isinstance(error, BrokenPipeError):  # whoever read the answers has seen enough
        return 128 + 13
    if isinstance(error, Interrupted):
        return fail(f"{error}; the same command goes on from the checkpoint", error.exit_code, error)
    line = where + _cause(error)
    if isinstance(error, (ValueError, FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError)):
        return fail(line, USAGE, error)
    if isinstance(error, (FloatingPointError, OSError, MemoryError)):
        return fail(line or type(error).__name__, FAILURE, error)
    return fail(f"{where}{type(error).__name__}: {_cause(error)} (TEXTAE_TRACEBACK=1 shows where)", FAILURE, error)


def fail(line: str, code: int, error: BaseException | None = None) -> int:
    """Print one line on standard error and return `code`."""
    if error is not None and os.environ.get("TEXTAE_TRACEBACK"):
        import traceback

        traceback.print_exception(error)
    print(f"textae: {line}", file=sys.stderr, flush=True)
    return code


def _terminate(number: int, frame: Any) -> NoReturn:
    raise _Terminated


def _cause(error: BaseException) -> str:
    """Return an error's message as one line, with that of its cause where it adds something."""
    lead = _shorten(str(error))
    detail = _shorten(str(error.__cause__)) if error.__cause__ is not None else ""
    return lead if detail in lead else f"{lead}: {detail}"


def _shorten(message: str) -> str:
    lines = [line.strip() for line in message.splitlines()]
    dropped = r"(full_key|object_type|reference_type|Config search path|provider=|See https)\b"
    return " ".join(line for line in lines if line and not re.match(dropped, line))[:600]


def _check(config: Any) -> None:
    """Refuse a config with a mandatory value that is missing, or a key added that nothing reads.

    Raises:
        ValueError: names the first such key.
    """
    from omegaconf import DictConfig, ListConfig, OmegaConf

    for key in sorted(OmegaConf.missing_keys(config)):
        *parents, name = key.split(".")
        parent = OmegaConf.select(config, ".".join(parents)) if parents else config
        node = parent._get_node(name, throw_on_missing_value=False)
        example = "[...]" if isinstance(node, ListConfig) else "..."
        raise ValueError(f"expected {key}={example}, found none")

    def unknown(node: DictConfig, prefix: str) -> None:
        schema = OmegaConf.get_type(node)
        if not dataclasses.is_dataclass(schema):
            return
        names = [field.name for field in dataclasses.fields(schema)]
        for name in node:
            if name not in names:
                known = [prefix + known for known in names]
                raise ValueError(
                    f"expected a setting that there is ({_like(prefix + name, known)}), found {prefix}{name}"
                )
            child = node._get_node(name)
            if isinstance(child, DictConfig) and not child._is_none():
                unknown(child, f"{prefix}{name}.")

    unknown(config, "")


def _explain(error: BaseException, config_name: str) -> str:
    """Return what Hydra or OmegaConf found wrong with the command line, as one line of expected and found."""
    message = str(error)
    if found := re.search(r"Could not override '([^'@]+)", message):
        return _explain_key(found[1], config_name)
    if found := re.search(r"Could not find '([^']+)/([^'/]+)'", message):
        group, option = found.groups()
        listed = re.search(r"Available options in '[^']*':\n((?:\t.*\n?)*)", message)
        options = [name for name in (listed[1].split() if listed else []) if not name.endswith("_schema")]
        options = [name for name in options if (group, name, config_name) != ("corpus", "run", "config")]
        return f"{group}: expected one of {', '.join(options)}, found {option}"
    if found := re.search(r"Could not load '([^']+)'", message):
        return f"expected a configuration file that there is, found {found[1]}"
    if found := re.search(r"Error merging override \+*([^=]+)=(.*)", message):
        key, value = found[1], found[2].strip()
        why = str(error.__cause__ or error)
        if found := re.search(r"expected one of \[(.*?)\]", why):
            return f"{key}: expected one of {found[1]}, found {value}"
        for pattern, expected in _TYPES.items():
            if re.search(pattern, why):
                return f"{key}: expected {expected.format(key=key, value=value)}, found {value}"
    for argument in sys.argv[1:]:
        if _unparsable(argument):
            return f"expected key=value, with quotes around what is neither list nor plain word, found {argument}"
    return _cause(error)


def _explain_key(key: str, config_name: str) -> str:
    from hydra import compose, initialize_config_dir
    from omegaconf import OmegaConf

    from textae.config import CORPORA, config_dir, flat

    key = key.lstrip("+~")
    if (config_dir() / key).is_dir():
        return f"expected +{key}=NAME, where NAME is one of {_options(key)}, found it without +"
    with initialize_config_dir(version_base="1.3", config_dir=str(config_dir())):
        plain = OmegaConf.to_container(compose(config_name))
    owners = [kind for kind, schema in CORPORA.items() if key.removeprefix("corpus.") in schema.__dataclass_fields__]
    if key.startswith("corpus.") and owners:
        return f"expected corpus={' or '.join(owners)} in front of {key}, found neither"
    known = [*flat(plain), *plain]
    return f"expected a setting that there is ({_like(key, known)}), found {key}"


def _unparsable(argument: str) -> bool:
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    if argument.startswith("-"):
        return False
    try:
        OverridesParser.create().parse_override(argument)
    except HydraException:
        return True
    return False


def _like(name: str, known: Iterable[str]) -> str:
    """Return what of the known names is most like the one given: the whole name, or its last part."""
    known = list(dict.fromkeys(known))
    last = [other for other in known if other.rpartition(".")[2] == name.rpartition(".")[2]]
    close = [*last, *difflib.get_close_matches(name, known, n=3, cutoff=0.6)] or known
    return ("such as " if len(close) > 3 else "") + ", ".join(dict.fromkeys(close[:3]))


def _options(group: str) -> str:
    """Return the names of a config group's options, for messages and help; "none" if there are none."""
    from textae.config import config_dir

    return ", ".join(sorted(path.stem for path in (config_dir() / group).glob("*.yaml"))) or "none"


def _new_and_empty(folder: Path) -> bool:
    """Return whether a folder is one that Hydra has just made: not the user's own."""
    made = folder.stat().st_mtime >= _STARTED - 1 and folder.resolve() != Path.cwd()
    return made and not any(folder.iterdir())


def _remove_unused(folder: Path, with_parents: bool) -> None:
    """Remove a run folder that nothing was written to, and the folders of runs around it if they are empty then."""
    from textae.rundir import LOCK

    if not {path.name for path in folder.iterdir()} <= {LOCK}:
        return
    (folder / LOCK).unlink(missing_ok=True)
    folder.rmdir()
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

    corpus = options.corpus if options.corpus.kind != "run" else trained_with.corpus
    return open_corpus(corpus.kind, Path(options.data_dir) / "corpora", **corpus.settings())


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


def begun(items: Iterator[Any]) -> Iterator[Any]:
    """Return the same items, the first of which was made already: what is wrong with it shows at once."""
    return itertools.chain(list(itertools.islice(items, 1)), items)


def open_input(name: str | None) -> BinaryIO:
    """Return the named file, which may be a pipe, or standard input."""
    if name is None or name == "-":
        return sys.stdin.buffer
    path = Path(name)
    if not path.exists() or path.is_dir():
        raise FileNotFoundError(f"input: expected a file, found none at {path}")
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

    A file appears when all is written. A "\n" within a text cannot stand in a line and becomes a space.
    """

    def line(text: str) -> bytes:
        return text.replace("\n", " ").encode("utf-8", "replace") + b"\n"

    if name is None or name == "-":
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
