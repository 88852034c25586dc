"""Seconds until the command line answers.

python scripts/benchmark_startup.py                    help, version, completion, `import textae`: 15 processes each
python scripts/benchmark_startup.py --run DIR          one line through commands on a trained run, on each backend
python scripts/benchmark_startup.py --first-update DATA_DIR [KEY=VALUE ...]
                                                       `textae train` to its first update, on each backend, with the
                                                       corpus prepared in DATA_DIR
python scripts/benchmark_startup.py --run DIR --against CHECKOUT
                                                       this checkout and another one in turn, and the median of their
                                                       ratios within a round

A first process of each case is not counted: it writes bytecode, and JAX's cache of what it compiles. Medians, in
Markdown. Where a machine does other work, a process's own seconds on a processor vary less than those of the clock.
"""

import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

CASES = {
    "python -c pass": ["-c", "pass"],
    "import textae": ["-c", "import textae"],
    "textae --help": ["-m", "textae", "--help"],
    "textae --version": ["-m", "textae", "--version"],
    "textae completion bash": ["-m", "textae", "completion", "bash"],
    "Tab after textae": ["-m", "textae", "completion", "words", ""],
    "Tab after textae train training.": ["-m", "textae", "completion", "words", "train", "training."],
    "Tab after textae train +experiment=": ["-m", "textae", "completion", "words", "train", "+experiment="],
    "textae train --help": ["-m", "textae", "train", "--help"],
}
BACKENDS = ("tensorflow", "jax")
FIRST_UPDATE = re.compile(rb"^step 1 ")
HERE = Path(__file__).parents[1]


class Case(NamedTuple):
    """A command line: what Python is given, its standard input, the backend, and the line that it is run up to."""

    arguments: list[str]
    text: str = ""
    backend: str | None = None
    until: re.Pattern[bytes] | None = None


def seconds(case: Case, checkout: Path) -> tuple[float, float]:
    """Return the seconds until a process ends, or writes the line, and those that it was on a processor."""
    environment = os.environ | {"PYTHONPATH": str(checkout / "src")}
    if case.backend:
        environment["KERAS_BACKEND"] = case.backend
    start, before = time.perf_counter(), os.times()
    with tempfile.TemporaryFile() as given:
        given.write(case.text.encode())
        given.seek(0)
        lines: list[bytes] = []
        command = [sys.executable, *case.arguments]
        pipes = {"stdin": given, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
        with subprocess.Popen(command, env=environment, **pipes) as done:
            found = False
            for line in done.stderr or ():
                lines.append(line)
                found = bool(case.until and case.until.match(line))
                if found:
                    break
            wall = time.perf_counter() - start
            if found:
                done.kill()
        if not found and (done.returncode or case.until):
            raise SystemExit(f"error: {' '.join(command)} ended with {done.returncode}: {b''.join(lines).decode()}")
    after = os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return (wall if found else time.perf_counter() - start), used


def commands_on(run: str, commands: list[str], folder: Path) -> dict[str, Case]:
    """Return the cases of one line through a trained run."""
    cases = {}
    for backend in BACKENDS:
        for command in commands:
            output = [f"output={folder / 'line.npz'}"] if command == "encode" else []
            arguments = ["-m", f"textae.{command}", f"run={run}", *output]
            cases[f"{command}, {backend}"] = Case(arguments, "a line\n", backend)
    return cases


def first_updates(data_dir: str, settings: list[str], folder: Path) -> dict[str, Case]:
    """Return the cases of a training's first update."""
    given = [f"data_dir={Path(data_dir).resolve()}", f"hydra.run.dir={folder / 'run'}", "training.log_every_steps=1"]
    arguments = ["-m", "textae.train", *given, *settings]
    return {f"train to the first update, {backend}": Case(arguments, "", backend, FIRST_UPDATE) for backend in BACKENDS}


def measured(cases: dict[str, Case], checkouts: list[Path], repeats: int, tidy: Callable[[], None]) -> None:
    """Print a row for each case, and with two checkouts their ratios."""
    compared = " times the other's seconds | its processor seconds |" if len(checkouts) > 1 else ""
    print(f"| what | seconds, median | slowest | processor seconds, median |{compared}")
    print("| --- | --- | --- | --- |" + " --- | --- |" * (len(checkouts) - 1))
    for name, case in cases.items():
        rounds = []
        for turn in range(-1, repeats):
            found = []
            for checkout in checkouts:
                found.append(seconds(case, checkout))
                tidy()
            if turn >= 0:
                rounds.append(found)
        walls, used = zip(*(found[0] for found in rounds), strict=True)
        row = f"| `{name}` | {statistics.median(walls):.3f} | {max(walls):.3f} | {statistics.median(used):.3f} |"
        if len(checkouts) > 1:
            for i in (0, 1):
                row += f" {statistics.median(own[i] / other[i] for own, other in rounds):.2f} |"
        print(row, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("settings", nargs="*", help="of the training that is started")
    parser.add_argument("--repeats", type=int, default=15, help="processes of each case")
    parser.add_argument("--run", help="folder of a trained run")
    parser.add_argument("--commands", nargs="+", default=["reconstruct", "encode", "score"], help="on the run")
    parser.add_argument("--first-update", metavar="DATA_DIR", help="folder of what is prepared")
    parser.add_argument("--against", type=Path, help="another checkout")
    options = parser.parse_args()
    checkouts = [HERE] + ([options.against] if options.against else [])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)

        def tidy() -> None:
            for path in folder.iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()

        cases: dict[str, Case] = {}
        if options.run:
            cases |= commands_on(str(Path(options.run).resolve()), options.commands, folder)
        if options.first_update:
            cases |= first_updates(options.first_update, options.settings, folder)
        measured(cases or {k: Case(v) for k, v in CASES.items()}, checkouts, options.repeats, tidy)


if __name__ == "__main__":
    main()
