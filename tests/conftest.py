"""What several test files share: a small corpus, a small configuration, and one run trained on them."""

import gc
import io
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
from importlib import import_module
from pathlib import Path

import pytest
from filelock import FileLock

from helpers.jax_compiling import XLA_FLAGS
from helpers.threads import THREADS

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # as in the commands, whose figures are compared to the bit
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

# One thread computes what is small sooner than two that share it, and waiting threads spin: it takes a quarter off.
for _name in THREADS:
    os.environ.setdefault(_name, "1")

gc.set_threshold(50_000, 20, 50)  # a collection looks at the million objects of TensorFlow's modules as well

# Many tests train the same small models, in processes of their own as well: with this JAX compiles each graph once,
# which takes a third off test_training. The folder lasts as long as the process that makes it.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    _compiled = tempfile.TemporaryDirectory(prefix="textae_jax_")
    os.environ["JAX_COMPILATION_CACHE_DIR"] = _compiled.name
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"

if os.environ.get("KERAS_BACKEND") == "jax":
    os.environ.setdefault("XLA_FLAGS", XLA_FLAGS)

# A shell that starts the tests in the background has them ignore Ctrl-C, and with them the commands that they start.
if threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, signal.default_int_handler)

WORDS = "the a small large red blue house tree river runs sleeps sings under over near and never often".split()


def make_lines(count, seed=0):
    """Sentences of one to nine words, some of them with other scripts."""
    draw = random.Random(seed)
    lines = [" ".join(draw.choices(WORDS, k=draw.randint(1, 9))) for _ in range(count)]
    lines[3::50] = [f"{line} ☃ naïve 日本" for line in lines[3::50]]
    return lines


# Where several processes share the tests (-n), each of them gets whole files, in this order: with the longest first,
# none has much left to do when the others are done.
LONGEST = (
    "test_fit", "test_commands", "test_exporter", "test_steps", "test_killed", "test_docs", "test_limits",
    "test_docs_sweeps", "test_errors", "test_autoencoder", "test_conv1d_transpose", "test_full_disk",
    "test_board_in_browser", "test_demo_in_browser", "test_bad_input", "test_text_autoencoder",
    "test_run_folder_fuzz", "test_config",
    "test_benchmarks", "test_sweeps", "test_search", "test_folders", "test_upsamplers", "test_isolation",
    "test_corpora", "test_untrusted_files", "test_layer_export", "test_vocabulary_loss",
)  # fmt: skip


MOST_PROCESSES = 4  # each imports TensorFlow, and takes a gigabyte


def pytest_xdist_auto_num_workers(config):
    """Share the whole suite between the cores; files that are named are done before other processes have begun."""
    if config.args_source is config.ArgsSource.ARGS:
        config.option.dist = "no"
        return 0
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, MOST_PROCESSES)


def pytest_collection_modifyitems(items):
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(places)))


@pytest.fixture(scope="session", autouse=True)
def messages():
    """Messages are lines of standard error, as in the commands."""
    from textae.cli.streams import show_log

    show_log()


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory):
    """A folder that all processes of a test session share; what only one of them is to make has a lock there."""
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "shared"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def corpus_file(shared_folder):
    path = shared_folder / "lines.txt"
    with FileLock(shared_folder / "lines.lock"):
        if not path.exists():
            path.write_text("".join(line + "\n" for line in dict.fromkeys(make_lines(500))), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def data_dir(shared_folder):
    (shared_folder / "data").mkdir(exist_ok=True)
    return shared_folder / "data"


@pytest.fixture(scope="session")
def tiny_mapping(corpus_file, data_dir):
    """A function: the plain values of a run of moments, with changes by dotted names."""

    def make(**changes):
        values = {
            "corpus": {"kind": "text", "files": [str(corpus_file)], "validation_share": 0.1, "test_share": 0.1},
            "tokenizer": {"kind": "bytes"},
            "model": {
                "strides": [4],
                "channels": [16, 32],
                "residual_blocks": [0, 1],
                "latent_size": 16,
                "max_length": 32,
            },
            "training": {
                "max_steps": 12,
                "tokens_per_batch": 512,
                "num_length_buckets": 2,
                "warmup_steps": 3,
                "learning_rate": 0.01,
                "log_every_steps": 4,
                "eval_every_steps": 5,
                "validation_documents": 20,
                "precision": "float32",
                "num_logged_samples": 2,
            },
            "data_dir": str(data_dir),
        }
        for name, value in changes.items():
            *groups, last = name.split(".")
            place = values
            for group in groups:
                place = place.setdefault(group, {})
            place[last] = value
        return values

    return make


@pytest.fixture(scope="session")
def tiny_config(tiny_mapping):
    """A function: the same as a checked `Config`."""
    from textae.config.mapping import from_mapping

    return lambda **changes: from_mapping(tiny_mapping(**changes))


@pytest.fixture(scope="session")
def trained(tiny_config, shared_folder):
    """The folder of a finished run, and the metrics that `fit` returned; of all processes one trains it."""
    from textae.runs import run_folder
    from textae.runs.json_files import read_json

    folder = shared_folder / "trained"
    with FileLock(shared_folder / "trained.lock"):
        if (folder / run_folder.METRICS).exists():
            return folder, read_json(folder / run_folder.METRICS)
        from helpers.eager import eager
        from textae.training.fit import fit

        with eager():
            return folder, fit(tiny_config(), folder)


@pytest.fixture(scope="module")
def small_pictures():
    """Runs whose pictures nobody looks at leave them blank."""
    from helpers.process_harness import small_figure

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("textae.reporting.figures.Figure", small_figure)
        yield


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """Graphs are compiled for the tests that are marked so, and nowhere else."""
    if "keras" in sys.modules or not item.get_closest_marker("backend_free"):
        from helpers.eager import compute_eagerly

        compute_eagerly(not item.get_closest_marker("compiled"))


@pytest.fixture
def hub_server(tmp_path, monkeypatch):
    """A server that answers as the Hugging Face Hub does, and a cache of its own."""
    from helpers.hub_server import serving

    monkeypatch.setenv("HF_ASSETS_CACHE", str(tmp_path / "hub_cache"))
    monkeypatch.setenv("HF_TOKEN", "hf_of_the_test")
    monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    with serving() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.endpoint)
        yield server


@pytest.fixture
def broken(trained, tmp_path):
    """A copy of a finished run, to be damaged."""
    shutil.copytree(trained[0], tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture
def answer(capsys):
    """A function: the JSON object that a command prints, run in this process."""
    from textae.config.composing import composed

    def run(command, *overrides):
        config = composed(command, overrides)
        capsys.readouterr()
        import_module(f"textae.{command}").main(config)
        return json.loads(capsys.readouterr().out)

    return run


@pytest.fixture
def command(monkeypatch, capfdbinary):
    """A function: run an entry point within this process, and return the lines that it printed."""
    from textae.config.composing import composed

    def run(name, *overrides, stdin=""):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode()), encoding="utf-8"))
        config = composed(name, [str(override) for override in overrides])
        capfdbinary.readouterr()
        import_module(f"textae.{name}").main(config)
        out = capfdbinary.readouterr().out.decode()
        assert out == "" or out.endswith("\n")
        return out.split("\n")[:-1]

    return run


@pytest.fixture(scope="session")
def models():
    from helpers.models import Models

    return Models()


@pytest.fixture
def small_model(models):
    """A function: a built model over 20 ids, this test's own until its end; see `helpers.models.new_model`."""
    taken = []

    def take(**settings):
        taken.append(models.take(**settings))
        return taken[-1][1]

    yield take
    for each in taken:
        models.give_back(*each)


@pytest.fixture(scope="session")
def forks(shared_folder):
    """Commands without the seconds that a start takes; see `helpers/process_harness.py`."""
    import keras

    if keras.backend.backend() != "tensorflow" or not Path("/proc/self/task").exists():
        pytest.skip("forks of a process with TensorFlow, on Linux")
    from helpers.process_harness import Forks

    made = Forks(shared_folder)
    yield made
    made.close()
