"""Sweeps end to end, with a task that takes no time instead of training."""

import io
import logging
import math
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from helpers.process_harness import training_command
from textae.cli.commands import _composed_once, fail
from textae.cli.sweeps import Jobs, Labelled, limit_threads

pytestmark = pytest.mark.backend_free

# What a job does is told by its settings: the learning rate is its result, or 1 to fail, 2 for NaN, 3 to work long.
PROGRAM = """
import json, math, os, sys, time
from pathlib import Path
from textae.cli.commands import hydra_main


def main(config):
    from hydra.core.hydra_config import HydraConfig

    rate = config.training.learning_rate
    folder = Path(HydraConfig.get().runtime.output_dir)
    (folder / "seen.json").write_text(json.dumps({
        "process": os.getpid(), "threads": os.environ.get("OMP_NUM_THREADS"), "terminal": sys.stderr.isatty(),
        "seed": config.training.seed,
    }))
    print("a line", file=sys.stderr)
    if rate == 1:
        raise FloatingPointError("diverged")
    if rate == 3:
        from textae.training.interrupts import Interrupted, Interrupts

        with Interrupts() as interrupts:
            while interrupts.received is None:
                time.sleep(0.02)
            (folder / "checkpoint").touch()
            raise Interrupted(interrupts.received)
    return None if rate == 2 else (math.log(rate) - math.log(0.004)) ** 2


if __name__ == "__main__":
    hydra_main("config", main)
"""


@pytest.fixture
def program(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    return [sys.executable, str(tmp_path / "program.py"), "-m", "hydra.sweep.dir=sweep"]


def run(program, *arguments, **settings):
    place = Path(program[1]).parent
    env = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    made = subprocess.run(
        [*program, *arguments], cwd=place, capture_output=True, text=True, timeout=120, env=env, **settings
    )
    return made.returncode, made.stdout, made.stderr.splitlines()


def seen(tmp_path):
    found = {int(path.parent.name): yaml.safe_load(path.read_text()) for path in tmp_path.glob("sweep/*/seen.json")}
    return dict(sorted(found.items()))


def test_ranges_and_globs(program, tmp_path):
    code, _, lines = run(program, "training.seed=range(2)", "tokenizer=glob([b*,un*])", "training.learning_rate=0.5")
    assert code == 0, lines
    assert lines[::2] == [
        "job 0: training.seed=0, tokenizer=bpe",
        "job 1: training.seed=0, tokenizer=bytes",
        "job 2: training.seed=0, tokenizer=unigram",
        "job 3: training.seed=1, tokenizer=bpe",
        "job 4: training.seed=1, tokenizer=bytes",
        "job 5: training.seed=1, tokenizer=unigram",
    ]
    assert [job["seed"] for job in seen(tmp_path).values()] == [0, 0, 0, 1, 1, 1]
    assert len({job["process"] for job in seen(tmp_path).values()}) == 1


def test_a_glob_over_all_of_a_group_finds_its_options_only(program):
    code, _, lines = run(program, "model/upsampler=glob(*)", "training.learning_rate=0.5")
    assert code == 0, lines
    named = [line.partition("=")[2] for line in lines if line.startswith("job")]
    assert named == ["resize_linear", "resize_nearest", "subpixel", "transpose"]


def test_jobs_in_processes_of_their_own(program, tmp_path):
    """Two at a time: lines have labels, cores are shared, and a failed job gives the exit code though others finish."""
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    code, out, lines = run(program, "hydra/launcher=joblib", "training.learning_rate=0.5,1,0.25", "training.seed=7")
    assert code == 1
    assert out == ""
    assert "textae: job 1 (training.learning_rate=1): diverged" in lines
    assert sorted(line for line in lines if not line.startswith("textae:")) == sorted(
        f"job {job}: {said}" for job, rate in ((0, 0.5), (1, 1), (2, 0.25))
        for said in (f"training.learning_rate={rate}", "a line")
    )  # fmt: skip
    jobs = seen(tmp_path)
    assert len(jobs) == 3
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert {job["threads"] for job in jobs.values()} == {str(max(1, cores // 2))}
    assert not any(job["terminal"] for job in jobs.values())
    assert len({job["process"] for job in jobs.values()}) <= 2


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize("number", [pytest.param(signal.SIGINT, marks=pytest.mark.slow), signal.SIGTERM])
def test_a_signal_stops_jobs_in_other_processes_with_a_checkpoint(program, tmp_path, number):
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    command = [*program, "hydra/launcher=joblib", "training.learning_rate=3", "training.seed=0,1,2"]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    begun = [process.stderr.readline() for _ in range(4)]
    assert sum(line.endswith("a line\n") for line in begun) == 2, begun
    time.sleep(0.2)
    process.send_signal(number)
    rest = process.stderr.read().splitlines()
    assert process.wait(timeout=60) == 128 + number
    assert "stopping the jobs; once more to stop without waiting for them" in rest
    stopped = [line for line in rest if "; the same command with hydra.sweep.dir=" in line]
    assert len(stopped) == 2, rest
    assert sorted(path.parent.name for path in tmp_path.glob("sweep/*/checkpoint")) == ["0", "1"]
    assert not (tmp_path / "sweep" / "2").exists()


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks into Linux's /proc")
def test_jobs_end_with_a_command_that_was_killed(program, tmp_path):
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    command = [*program, "hydra/launcher=joblib", "training.learning_rate=3", "training.seed=0,1"]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    for _ in range(4):
        process.stderr.readline()
    workers = [job["process"] for job in seen(tmp_path).values()]
    assert len(workers) == 2
    process.kill()
    process.wait()
    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{worker}").exists() for worker in workers) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(Path(f"/proc/{worker}").exists() for worker in workers)
    assert len(list(tmp_path.glob("sweep/*/checkpoint"))) == 2
    assert not list(tmp_path.glob("sweep/.jobs_*"))


def test_what_a_sweep_has_left_whose_processes_were_all_killed_is_removed_by_the_next(tmp_path):
    ended = subprocess.Popen(["true"])
    ended.wait()
    for name, process in (("dead", ended.pid), ("alive", os.getpid()), ("empty", None)):
        (tmp_path / f".jobs_{name}").mkdir()
        if process:
            (tmp_path / f".jobs_{name}" / f"{process}@{socket.gethostname()}.busy").touch()
    with Jobs(place=lambda: tmp_path) as jobs:
        jobs.__getstate__()
        jobs.__getstate__()
        left = {path.name for path in tmp_path.iterdir()}
        assert ".jobs_alive" in left and len(left) == 2
    assert [path.name for path in tmp_path.iterdir()] == [".jobs_alive"]


@pytest.mark.slow
def test_a_search_goes_on_after_jobs_that_fail_or_have_no_figure(program, tmp_path):
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    arguments = ["hydra/sweeper=optuna", "hydra.sweeper.n_trials=14", "training.learning_rate=choice(0.002,0.008,1,2)"]
    code, out, lines = run(program, *arguments)
    assert out == ""
    tried = [float(line.rpartition("=")[2]) for line in lines if line.startswith("job ")]
    assert len(tried) == 14
    failed = [line for line in lines if line.startswith("textae: ")]
    assert len(failed) == tried.count(1)
    assert code == (1 if failed else 0)
    assert {1.0, 2.0} & set(tried)
    best = yaml.safe_load((tmp_path / "sweep" / "optimization_results.yaml").read_text())
    assert float(best["best_params"]["training.learning_rate"]) in (0.002, 0.008)
    assert best["best_value"] == pytest.approx(math.log(2) ** 2)
    assert [line for line in lines if not line.startswith(("job ", "textae: ")) and line != "a line"] == []


@pytest.mark.slow
def test_a_search_finds_the_better_values(program, tmp_path):
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    arguments = ["hydra/sweeper=optuna", "training.learning_rate=tag(log,interval(0.0001,0.1))"]
    code, _, lines = run(program, *arguments)
    assert code == 0, lines
    tried = [float(line.rpartition("=")[2]) for line in lines if line.startswith("job ")]
    assert len(tried) == 20
    best = yaml.safe_load((tmp_path / "sweep" / "optimization_results.yaml").read_text())
    assert best["best_value"] == pytest.approx(min((math.log(t) - math.log(0.004)) ** 2 for t in tried), rel=1e-6)
    assert 0.002 < float(best["best_params"]["training.learning_rate"]) < 0.008


@pytest.mark.parametrize(
    ("words", "once"),
    [
        (["training.seed=1", "+experiment=debug"], True),
        (["-m", "training.seed=1,2", "name=hydra.mode"], True),
        (["hydra.mode=MULTIRUN"], False),
        (["+hydra={mode:MULTIRUN}"], False),
        (["hydra.searchpath=[mine]", "+experiment=mine"], False),
        (["--config-dir=mine", "+experiment=mine"], False),
    ],
    ids=str,
)
def test_the_configuration_is_composed_once_where_nothing_can_set_the_mode(words, once):
    from hydra._internal.hydra import Hydra

    own = Hydra.get_mode
    with _composed_once(words):
        assert (Hydra.get_mode is own) == (not once)
    assert Hydra.get_mode is own


def print_seeds(place, arguments):
    """Be a command that prints the seed of each job; called in a process of its own."""
    return training_command(lambda config: print(config.training.seed), place, arguments)


def test_a_word_makes_a_sweep(forks, tmp_path):
    arguments = ["hydra.mode=MULTIRUN", "training.seed=0,1", "hydra.sweep.dir=sweep"]
    ended = forks.call(print_seeds, place=str(tmp_path), arguments=arguments)
    assert (ended.code, ended.output) == (0, b"0\n1\n"), ended.errors


@pytest.mark.parametrize(
    ("objective", "direction"), [("loss", "minimize"), ("bleu", "maximize"), ("tokens_per_second", "maximize")]
)
def test_the_objective_tells_the_direction(objective, direction):
    from hydra import compose, initialize_config_dir

    from textae.config.registration import config_dir, register

    register()
    with initialize_config_dir(version_base="1.3", config_dir=str(config_dir())):
        overrides = ["hydra/sweeper=optuna", f"objective={objective}", "hydra/launcher=joblib"]
        config = compose("config", overrides, return_hydra_config=True)
    assert config.hydra.sweeper.direction == direction
    assert config.hydra.sweeper.n_jobs == config.hydra.launcher.n_jobs == 2


def test_a_plugin_that_is_not_installed_is_named(program):
    code, _, lines = run(program, "hydra.launcher._target_=hydra_plugins.hydra_ray_launcher.RayLauncher")
    assert code == 2
    assert lines == ["textae: expected the package hydra_ray_launcher, found none: pip install 'textae[sweep]'"]


def test_exit_codes_of_jobs_here():
    with Jobs() as jobs:
        assert (jobs.code(), jobs.elsewhere, jobs.stopped) == (0, False, False)
        jobs.failed(3, 1)
        jobs.failed(2, 2)
        assert jobs.code() == 2


def test_a_job_s_title_is_what_the_command_line_does_not_say():
    jobs = Jobs(["-m", "model=vector", "training.seed=range(2)"])
    assert jobs.title(["model=vector", "training.seed=1"]) == "training.seed=1"
    assert jobs.title(["model=vector"]) == "model=vector"


def test_labels_stand_in_front_of_whole_lines(tmp_path):
    with (tmp_path / "out").open("w") as file:
        stream = Labelled(file, "job 1: ")
        print("one", 2, file=stream)
        stream.write("thr")
        stream.flush()
        stream.write("ee\nfour\n")
    assert (tmp_path / "out").read_text() == "job 1: one 2\njob 1: three\njob 1: four\n"
    assert not stream.isatty()


def test_a_line_and_its_end_are_one_write_also_where_nothing_is_buffered(monkeypatch):
    written = []

    class Written(io.RawIOBase):
        def writable(self):
            return True

        def write(self, data):
            written.append(bytes(data))
            return len(data)

    # as Python opens standard error under PYTHONUNBUFFERED=1
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(Written(), write_through=True))
    logging.getLogger("textae.sweeps").info("a line")
    fail("another", 1)
    assert [data for data in written if data] == [b"a line\n", b"textae: another\n"]


def test_threads_are_shared_unless_the_user_says_else(monkeypatch):
    for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "NPROC"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MKL_NUM_THREADS", "5")
    limit_threads(3, cores=8)
    assert (os.environ["OMP_NUM_THREADS"], os.environ["MKL_NUM_THREADS"]) == ("2", "5")
    for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "NPROC"):
        monkeypatch.delenv(name)
    limit_threads(-1, cores=8)
    assert os.environ["NPROC"] == "1"
