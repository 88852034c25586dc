"""`python -m textae.COMMAND` many times over for the price of one start, with whatever may befall a process.

A server, one for all processes of a test session, imports everything once and forks a process for each command, before
TensorFlow has started any thread. When a process comes to a place it may be sent a signal, or its disk be filled; and
some of its batches may be broken. Graphs are not compiled unless a test asks for it (`eager=False`), and pictures are
blank, as neither is what is looked at.

    forks = Forks(folder)
    ended = forks.run(["training.max_steps=3", ...], at={"place": "step", "call": 2, "signal": 9})
    ended = forks.run(["run=trained"], command="reconstruct", input=b"a line")
"""

import contextlib
import gc
import importlib
import inspect
import json
import os
import runpy
import select
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections import namedtuple
from pathlib import Path

from filelock import FileLock

from helpers.jax_compiling import XLA_FLAGS
from helpers.threads import THREADS

# Where a process may be met: the module (and the class in it), and the name of what it calls there.
PLACES = {
    "preparing": ("textae.data.corpora.preparing", "_write_examples"),
    "tokenizer": ("textae.data.preparation", "train_tokenizer"),
    "tokens": ("textae.data.preparation", "write_store"),
    "building": ("textae.training.setup", "build"),
    "step": ("textae.training.steps:TensorFlowStep", "__call__"),
    "validation": ("textae.training.loop:TrainingLoop", "validate"),
    "judging": ("textae.training.loop", "evaluate"),
    "evaluation": ("textae.training.fit", "final_evaluation"),
    "writing": ("os", "fsync"),
    "renaming": ("pathlib:Path", "replace"),
    "flushing": ("textae.reporting.tensorboard:TensorBoardWriter", "flush"),
    "saving": ("textae.training.loop:TrainingLoop", "save"),
    "ending": ("textae.reporting.reporter:Reporter", "ends"),
}
TESTS = Path(__file__).parents[1]
EAGER = "TEXTAE_TEST_EAGER"  # of a program that is run by a fork: "0" to compile graphs
# seconds: since the signal, or since the start without one; output: bytes
Ended = namedtuple("Ended", "code errors seconds output")


class Running(namedtuple("Running", "pid folder started answers")):
    """A process whose output and errors are files of a folder, and what says how it ended."""

    def errors(self):
        """Return what it has written on standard error so far."""
        path = self.folder / "errors"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""


class Forks:
    """The server, seen from a test: of all processes that share a folder the first one starts it."""

    def __init__(self, folder):
        self.address = str(folder / "forks")
        with FileLock(folder / "forks.lock"):
            try:
                self.presence = self._connect()
            except OSError:
                self._start_server()
                self.presence = self._connect()

    def _connect(self):
        made = socket.socket(socket.AF_UNIX)
        try:
            made.connect(self.address)
        except OSError:
            made.close()
            raise
        return made

    def _start_server(self):
        environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(TESTS), os.environ.get("PYTHONPATH")]))
        environment |= dict.fromkeys(THREADS, "1")  # a library that starts threads when it loads cannot be forked
        Path(self.address).unlink(missing_ok=True)
        self.server = subprocess.Popen(
            [sys.executable, __file__, self.address],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
        )
        with self.server.stdout as said:
            if said.readline() != b"ready\n":
                raise RuntimeError("expected a server that is ready")

    def start(self, arguments, command="train", at=None, cwd=".", input=b"", **more):
        """Start a command and return its process, for `wait`.

        Args:
            input: bytes on its standard input.
            at: what befalls it, the arguments of `meet`.
            more: `env` with more of an environment; `terminal`, the path of one for standard error; `closed`, the
                numbers of standard streams that are closed before it begins; `pictures`, true to draw them; `eager`,
                `resolve` and `break_one_in`, see `behave`.
        """
        folder = Path(tempfile.mkdtemp(prefix="textae_fork_"))
        (folder / "input").write_bytes(input)
        request = {"command": command, "arguments": [str(a) for a in arguments], "at": at, "cwd": str(cwd)}
        with self._connect() as server:
            server.sendall(json.dumps(request | {"folder": str(folder)} | more).encode() + b"\n")
            answers = server.makefile()
        return Running(int(answers.readline()), folder, time.time(), answers)

    def wait(self, process):
        """Return how a process ended."""
        with process.answers as answers:
            code = int(answers.readline())
        since, ended = process.started, time.time()
        errors, output = process.errors(), (process.folder / "output").read_bytes()
        if (mark := process.folder / "signal").exists():
            since = mark.stat().st_mtime
        shutil.rmtree(process.folder)
        return Ended(code, errors, ended - since, output)

    def run(self, *arguments, **more):
        """Start a command and wait for it."""
        return self.wait(self.start(*arguments, **more))

    def start_call(self, function, **keywords):
        """Start to call a function of a module in a process of its own; the keywords are plain values."""
        return self.start(
            [], call=[inspect.getsourcefile(function), function.__name__], keywords=keywords, command=None
        )

    def call(self, function, **keywords):
        """Call a function in a process of its own, and return how that ended."""
        return self.wait(self.start_call(function, **keywords))

    def write_python(self, path, training_settings=(), eager_training=True):
        """Write a program that stands for `python` where commands are run; `textae.train` gets further settings."""
        python = f'exec "{sys.executable}" -S -E "{Path(__file__).with_name("fork_client.py")}" "{self.address}" "$@"'
        settings = " ".join(map(shlex.quote, training_settings))
        lines = [
            "#!/bin/sh",
            f'if [ "$KERAS_BACKEND" = jax ]; then export XLA_FLAGS="{XLA_FLAGS}"; fi',
            f'if [ "$2" = textae.train ]; then export {EAGER}={int(eager_training)}; {python} {settings}; fi',
            python,
        ]
        path.write_text("".join(f"{line}\n" for line in lines))
        path.chmod(0o755)

    def close(self):
        """Leave the server, which ends when all have left."""
        self.presence.close()


def meet(place, call=1, after=0.0, signal=signal.SIGKILL, fill=None, remove=None, mark=None):
    """Do something some seconds after this process comes to a place for the so-manieth time.

    A signal is sent to it, or the disk of a file `fill` is filled, or the folder `remove` is deleted.
    """
    module, name = PLACES[place]
    module, _, kind = module.partition(":")
    owner = importlib.import_module(module)
    owner = getattr(owner, kind) if kind else owner
    original, calls = getattr(owner, name), 0

    def strike():
        time.sleep(after)
        Path(mark).touch()
        if fill:
            with Path(fill).open("wb", buffering=0) as file, contextlib.suppress(OSError):
                while file.write(bytes(1 << 12)):
                    pass
        elif remove:
            shutil.rmtree(remove)
        else:
            os.kill(os.getpid(), signal)

    def wrapped(*arguments, **settings):
        nonlocal calls
        calls += 1
        if calls == call:
            threading.Thread(target=strike, daemon=True).start() if after else strike()
        return original(*arguments, **settings)

    setattr(owner, name, wrapped)


def break_batches(one_in):
    """Make the loss of a batch NaN, where its tokens add up to a multiple of a number."""
    import keras

    from textae.losses.reconstruction import ReconstructionObjective

    sums_of = ReconstructionObjective.__call__

    def broken(self, tokens, lengths, *rest, **settings):
        sums = sums_of(self, tokens, lengths, *rest, **settings)
        bad = keras.ops.sum(tokens) % one_in == 0
        return sums | {"total": keras.ops.where(bad, float("nan"), sums["total"])}

    ReconstructionObjective.__call__ = broken


def streams(folder, terminal, closed):
    """Have the standard streams be files of a folder, or standard error be a terminal; those `closed` are not there."""
    names = [(folder / "input", "rb"), (folder / "output", "wb"), (terminal or folder / "errors", "wb")]
    for number, (name, mode) in enumerate(names):
        with Path(name).open(mode, buffering=0) as file:
            os.dup2(file.fileno(), number)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if number in closed:
            os.close(number)
            setattr(sys, name, None)
            setattr(sys, f"__{name}__", None)


def small_figure(figsize, **settings):
    """A figure for `textae.reporting.figures` that stays blank: drawing takes a third of a short run's time."""
    from matplotlib.figure import Figure

    class Blank(Figure):
        def draw(self, renderer):
            pass

    return Blank(figsize=figsize, dpi=20)


def leave_pictures_blank():
    importlib.import_module("textae.reporting.figures").Figure = small_figure


def behave(request):
    """Be the command; return its exit code."""
    os.chdir(request["cwd"])
    os.environ.update(request.get("env", {}))
    if not request.get("pictures"):
        leave_pictures_blank()
    streams(Path(request["folder"]), request.get("terminal"), request.get("closed", ()))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if request.get("call"):
        path, name = request["call"]
        sys.path.insert(0, str(Path(path).parent))
        return getattr(importlib.import_module(Path(path).stem), name)(**request["keywords"])
    if request.get("eager", True) and not request.get("resolve"):
        from helpers.eager import compute_eagerly

        compute_eagerly()
    if request.get("break_one_in"):
        break_batches(request["break_one_in"])
    if request["at"]:
        meet(**request["at"], mark=Path(request["folder"]) / "signal")
    from textae.cli.commands import hydra_main

    if request.get("resolve"):  # no further than the checked configuration
        from textae.config.mapping import resolve as task
    else:
        task = importlib.import_module(f"textae.{request['command']}").main
    sys.argv = [f"textae.{request['command']}", *request["arguments"]]
    try:
        hydra_main("config" if request["command"] == "train" else request["command"], task)
    except SystemExit as stop:
        return stop.code


def training_command(task, place, arguments):
    """Be `textae.train` in a folder with another task, in a process of its own; return the exit code."""
    from textae.cli.commands import hydra_main

    os.chdir(place)
    sys.argv = ["train.py", *arguments]
    try:
        hydra_main("config", task)
    except SystemExit as stop:
        return stop.code


def be_program(request, streams):
    """Be `python -m MODULE ...` or `python -c CODE`, and end as an interpreter does."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(request["cwd"])
    os.environ.update({name: value for name, value in request["env"].items() if name not in THREADS})
    tempfile.tempdir = None
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    leave_pictures_blank()
    from helpers.eager import compute_eagerly

    compute_eagerly(os.environ.get(EAGER) != "0")
    kind, what, *arguments = request["program"]
    sys.argv = [kind, *arguments]
    if kind == "-c":
        exec(compile(what, "<string>", "exec"), {"__name__": "__main__"})
    else:
        sys.modules.pop(what, None)
        runpy.run_module(what, run_name="__main__", alter_sys=True)


def be_command(request):
    """Be one of the package's commands, and end at once."""
    code = 99
    try:
        code = behave(request)
    except Exception:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code or 0)


def attend(connection):
    """Fork the process that a connection asks for; say its number, and how it ended."""
    said, streams = b"", []
    while not said.endswith(b"\n"):
        part, received, *_ = socket.recv_fds(connection, 1 << 16, 3)
        streams += received
        if not part:  # who is there only to be there has gone
            return
        said += part
    request = json.loads(said)
    pid = os.fork()
    if not pid:
        connection.close()
        be_program(request, streams) if "program" in request else be_command(request)
        sys.exit()
    for stream in streams:
        os.close(stream)
    with contextlib.suppress(BrokenPipeError):
        connection.sendall(f"{pid}\n".encode())
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    with contextlib.suppress(BrokenPipeError):
        connection.sendall(f"{code}\n".encode())
    os._exit(0)


def serve(address):
    """Attend to each connection in a fork, until all who have come have gone."""
    from textae.hardware import import_keras

    import_keras()  # and not pandas, which starts a thread
    for name in (
        "hydra.main", "matplotlib.backends.backend_agg", "sentencepiece", "tensorflow_datasets", "textae.cli.commands",
        "array_record.python.array_record_module", "textae.train", "textae.evaluate", "textae.training.fit",
        "textae.reporting.figures", "helpers.eager",
    ):  # fmt: skip
        importlib.import_module(name)
    # What Hydra finds of its plugins, and what its parser has learnt of its grammar, is every fork's.
    importlib.import_module("textae.config.composing").composed("config", ["corpus=text", "corpus.files=[a.txt]"])
    if len(list(Path("/proc/self/task").iterdir())) > 1:
        raise RuntimeError("expected one thread, before forks")
    gc.collect()
    gc.freeze()  # what a collection in a fork would look at, and so copy
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen()
    print("ready", flush=True)
    attended = 0
    while True:
        if select.select([listener], [], [], 0.5)[0]:
            connection, _ = listener.accept()
            attended += 1
            if not os.fork():
                listener.close()
                attend(connection)
                os._exit(0)
            connection.close()
        elif attended and _all_have_gone():
            return


def _all_have_gone():
    """Whether this process has no child any more; those that have ended are reaped."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return True
    return False


if __name__ == "__main__":
    serve(sys.argv[1])
