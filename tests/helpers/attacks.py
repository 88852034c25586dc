"""Run folders of which one file is damaged or is something else, in hundreds of ways, and what is said about each.

`tests/runs/test_run_folder_fuzz.py` has the cases tried in a process of its own, with 1 GB more than it has.
"""

import contextlib
import io
import json
import os
import random
import resource
import shutil
import signal
import socket
import sys
import time
from pathlib import Path
from types import SimpleNamespace

from textae.runs import run_folder
from textae.runs.json_files import read_json

CHECKPOINTS = (run_folder.CHECKPOINT, run_folder.PREVIOUS)
READ = (
    run_folder.CONFIG, run_folder.ENVIRONMENT, run_folder.WEIGHTS, run_folder.LAST, "tokenizer/tokenizer.json",
    "tokenizer/tokenizer.model", run_folder.CHECKPOINT, run_folder.METRICS, run_folder.HISTORY,
)  # fmt: skip
REPORTED = (run_folder.CONFIG, run_folder.ENVIRONMENT, run_folder.METRICS, run_folder.HISTORY)  # by `textae.report`
UNREAD = (run_folder.BY_LENGTH, run_folder.CARD, run_folder.LOCK, "train/events", "test/projector/latents.tsv")
HUGE = 6 << 30
SECONDS, MEGABYTES = 10, 1000

CONTENTS = {
    "empty": b"",
    "NUL": bytes(5000),
    "no UTF-8": b"\xff\xfe\xfd" * 50,
    "null": b"null",
    "a list": b"[]",
    "a text": b'"text"',
    "a number": b"17",
    "an object": b'{"a": {"b": [1, 2]}}',
    "deep": b"[" * 100_000,
    "deep and closed": b'{"a": ' * 300 + b"1" + b"}" * 300,
    "escapes": b'{"\x1b[2J\\u001b]0;x\\u0007": "\\u001b[31m", "format": "\\u001b[2J"}',
    "not finite": b'{"format": NaN, "loss": 1e999}',
    "a large number": b'{"format": ' + b"9" * 4000 + b', "loss": ' + b"9" * 4000 + b"}",
    "many values": b"[" + b"1," * 500_000 + b"1]",
    "one long value": b'{"format": "' + b"x" * 1_000_000 + b'"}',
}
OBJECTS = ("link", "link to a file of the run", "link to nothing", "link to itself", "pipe", "folder", "socket")
FLIPS, CUTS = 10, (0.2, 0.5, 0.9, 0.999)

YAML = {  # all of them after, or in place of, good settings
    "tag of a truth": "x: !!bool maybe",
    "tag of a date": "x: !!timestamp x",
    "tag of a number": "x: !!int x",
    "tag of a fraction": "x: !!float x",
    "tag of bytes": "x: !!binary '*'",
    "tag of a set": "x: !!set {a, b}",
    "tag of pairs": "x: !!omap [a]",
    "tag of no kind": "x: ! y",
    "tag of Python": "x: !!python/object/apply:os.system [true]",
    "anchor": "x: &a y",
    "alias": "x: &a [1]\ny: *a",
    "alias to itself": "x: &a [*a]",
    "joined": "<<: {name: x}",
    "a key twice": "name: x\nname: y",
    "a number as key": "1: x",
    "null as key": "~: x",
    "a list as key": "? [a]\n: x",
    "a date as key": "2026-01-01: x",
    "several documents": "--- \nx: y",
    "directive": "%YAML 9.9\n---\nx: y",
    "tabs": "\tx: y",
    "control characters": "x: \x01",
    "lone surrogate": 'x: "\\ud800"',
    "escapes in a name": '"\\e[2J": x',
    "escapes in a value": 'name: "\\e[2J\\r"\nnope: 1',
    "line breaks in a name": '"a\\nb": x',
    "300 deep": "x: " + "{a: " * 300 + "1" + "}" * 300,
    "90 deep, a list": "x: " + "[" * 90 + "]" * 90,
    "5000 deep, by dashes": "x:\n" + "- " * 5000,
    "a megabyte of keys": "\n".join(f"k{i}: {i}" for i in range(90_000)),
    "a megabyte of spaces": "x: y" + " " * 1_000_000,
    "a megabyte of digits": "x: " + "9" * 1_000_000,
    "a megabyte by sixties": "x: 1" + ":1" * 500_000,
    "digits": "x: " + "9" * 5000,
    "no number": "training: {learning_rate: .nan}",
    "infinity": "training: {max_minutes: .inf}",
}


def names():
    """All cases: (file, what becomes of it)."""
    few = [*OBJECTS, "missing", "unreadable", "huge", "empty", "NUL"]
    changes = [*(f"cut {share}" for share in CUTS), *(f"flip {i}" for i in range(FLIPS))]
    read = [(file, kind) for file in READ for kind in dict.fromkeys([*few, *CONTENTS, *changes])]
    unread = [(file, kind) for file in UNREAD for kind in few]
    return [*read, *unread, *((run_folder.CONFIG, f"YAML: {name}") for name in YAML)]


def apply(folder, file, kind):
    """Make of a file what a case says."""
    path = folder / file
    path.parent.mkdir(parents=True, exist_ok=True)
    content = path.read_bytes() if path.exists() else b"something"
    how, _, which = kind.partition(" ")
    if kind in CONTENTS:
        path.write_bytes(CONTENTS[kind])
    elif how == "cut":
        path.write_bytes(content[: min(int(float(which) * len(content)), len(content) - 1)])
    elif how == "flip":
        draw, changed = random.Random(f"{file} {which}"), bytearray(content or b"x")
        changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
        path.write_bytes(changed)
    elif kind == "huge":
        path.touch()
        os.truncate(path, HUGE)
    elif kind == "unreadable":
        path.touch()
        path.chmod(0)
    elif how == "YAML:":
        text = content.decode()
        path.write_text(f"{YAML[which]}\n" if which == "directive" else f"{text}{YAML[which]}\n", encoding="utf-8")
    else:
        path.unlink(missing_ok=True)
        _replace(path, kind, content)


def _replace(path, kind, content):
    if kind == "link":
        path.symlink_to("/etc/passwd")
    elif kind == "link to a file of the run":
        path.with_name("copy").write_bytes(content)
        path.symlink_to("copy")
    elif kind == "link to nothing":
        path.symlink_to("nothing")
    elif kind == "link to itself":
        path.symlink_to(path.name)
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
        (path / "inside").write_text("x")
    elif kind == "socket":
        with contextlib.chdir(path.parent), contextlib.closing(socket.socket(socket.AF_UNIX)) as made:
            made.bind(path.name)
    elif kind != "missing":
        raise ValueError(f"expected a case, received {kind}")


class _Passed(Exception):
    """A run passed all checks, and its model would be built."""


class _TooLong(BaseException):
    """A case took more than the seconds it has."""


def try_all(good, place, answers):
    """Try each case, and write what became of it as a line of JSON."""
    from textae.cli import commands
    from textae.config.mapping import from_mapping
    from textae.data.tokenizers import load_tokenizer
    from textae.inference import text_autoencoder as autoencoder
    from textae.training.checkpoint import read_checkpoint

    def build(*_, **__):
        raise _Passed

    def too_long(*_):
        raise _TooLong

    autoencoder.build = build
    signal.signal(signal.SIGALRM, too_long)
    _little_memory()
    good, place = Path(good), Path(place)
    run = run_folder.RunDir(good)
    config = from_mapping(run.config())
    fingerprint = read_json(run / run_folder.ENVIRONMENT)["corpus"]["fingerprint"]
    prepared = SimpleNamespace(
        tokenizer=load_tokenizer(run / "tokenizer"), corpus=SimpleNamespace(fingerprint=fingerprint)
    )

    def use(folder, file):
        damaged = run_folder.RunDir(folder)
        if file not in (run_folder.CHECKPOINT, run_folder.METRICS, run_folder.HISTORY):
            autoencoder.load(folder, run_folder.LAST if file == run_folder.LAST else run_folder.WEIGHTS)
        damaged.check_files()
        if file == run_folder.CHECKPOINT:
            read_checkpoint(config, damaged, prepared)
        elif file == run_folder.METRICS:
            damaged.metrics()
        else:
            damaged.last_step()
        raise _Passed

    with Path(answers).open("w", encoding="utf-8") as out:
        for number, (file, kind) in enumerate(names()):
            folder = place / f"{number}"
            shutil.copytree(good, folder)
            for name in CHECKPOINTS if file == run_folder.CHECKPOINT else (file,):
                apply(folder, name, kind)
            if file == run_folder.HISTORY:  # it is read of a run that is not finished
                (folder / run_folder.METRICS).unlink()
            Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
            before, started, said = _peak(), time.monotonic(), io.StringIO()
            signal.setitimer(signal.ITIMER_REAL, SECONDS)
            try:
                with contextlib.redirect_stderr(said):
                    use(folder, file)
            except _Passed:
                code = 0
            except Exception as error:
                with contextlib.redirect_stderr(said):
                    code = commands.failure(error)
            except BaseException as error:
                code = type(error).__name__
            signal.setitimer(signal.ITIMER_REAL, 0)
            found = {"file": file, "kind": kind, "code": code, "said": said.getvalue(), "folder": str(folder)}
            found |= {"seconds": time.monotonic() - started, "megabytes": (_peak() - before) / 1e3}
            print(json.dumps(found), file=out, flush=True)
            if file not in REPORTED:
                shutil.rmtree(folder)


def _little_memory():
    """Let this process take 1 GB more than it has."""
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + (MEGABYTES << 20), resource.RLIM_INFINITY))


def _peak():
    """Return the most memory this process has held since the peak was set back, in kB."""
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])


def report_all(place, answer):
    """Make the table of all runs in a folder, and write its rows' runs, and what was said, as JSON."""
    from textae.cli.streams import show_log
    from textae.reporting import run_table

    _little_memory()
    said, shown = io.StringIO(), io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(shown):
        show_log()
        rows, differing = run_table.collect(place)
        print(run_table.table(rows, differing, "loss"))
    found = {"runs": [row["run"] for row in rows], "said": said.getvalue().splitlines(), "shown": shown.getvalue()}
    Path(answer).write_text(json.dumps(found), encoding="utf-8")


def use_the_largest(folder, line):
    """Load a run and reconstruct a line, and return 0 if that takes at most 1 GB of memory."""
    from textae.inference import text_autoencoder as autoencoder

    before = _peak()
    autoencoder.load(folder).reconstruct([line])
    taken = (_peak() - before) / 1e3
    print(f"took {taken:.0f} MB", file=sys.stderr)
    return int(taken > MEGABYTES)
