"""A search that is kept goes on: with the jobs that were stopped, in folders of the trials' numbers."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from hydra.core.hydra_config import HydraConfig

from helpers.process_harness import training_command
from textae.cli.sweeps import Stopped

optuna = pytest.importorskip("optuna")
pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
pytestmark = pytest.mark.backend_free
SEARCH = ["-m", "hydra/sweeper=optuna", "hydra.sweep.dir=sweep", "training.learning_rate=interval(0.001,0.1)"]
SEARCH += ["hydra.sweeper.storage=sqlite:///search.db", "hydra.sweeper.study_name=rates"]


def search(place, arguments, killed_at=None):
    """Be a search whose jobs note their rate, and which is killed in one of them; called in a process of its own."""

    def task(config):
        folder = Path(HydraConfig.get().runtime.output_dir)
        rate = config.training.learning_rate
        if (folder / "rate").exists() and float((folder / "rate").read_text()) != rate:
            raise ValueError(f"expected the rate of the run in {folder}, found {rate}")
        (folder / "rate").write_text(str(rate))
        if int(folder.name) == killed_at:
            os._exit(137)
        if rate > 0.08:
            raise FloatingPointError("diverged")
        return rate

    return training_command(task, place, arguments)


@pytest.fixture
def searched(forks, tmp_path):
    """A function: how a search ended, and the rates of its jobs by folder."""

    def run(*arguments, killed_at=None):
        ended = forks.call(search, place=str(tmp_path), arguments=[*SEARCH, *arguments], killed_at=killed_at)
        rates = {int(p.parent.name): float(p.read_text()) for p in (tmp_path / "sweep").glob("*/rate")}
        return ended, rates

    return run


def trials(place):
    found = optuna.load_study(study_name="rates", storage=f"sqlite:///{place}/search.db").trials
    return {trial.number: trial for trial in found}


@pytest.mark.slow
def test_a_search_that_was_killed_goes_on(searched, tmp_path):
    ended, begun = searched("hydra.sweeper.n_trials=5", killed_at=2)
    assert ended.code == 137
    assert sorted(begun) == [0, 1, 2]
    ended, rates = searched("hydra.sweeper.n_trials=5")
    lines = ended.errors.splitlines()
    assert lines[0] == "the search rates goes on: 3 of 5 jobs"
    assert [line.split(":")[0] for line in lines if line.startswith("job ")] == ["job 2", "job 3", "job 4"], lines
    assert not [line for line in lines if "expected" in line]
    assert {number: rates[number] for number in begun} == begun
    assert rates == {n: t.params["training.learning_rate"] for n, t in trials(tmp_path).items()}
    assert sorted(rates) == [0, 1, 2, 3, 4]
    assert not [trial for trial in trials(tmp_path).values() if not trial.state.is_finished()]
    best = yaml.safe_load((tmp_path / "sweep" / "optimization_results.yaml").read_text())
    good = {rate: number for number, rate in rates.items() if rate <= 0.08}
    assert best["best_params"]["hydra.sweep.subdir"] == good[min(good)]

    ended, again = searched("hydra.sweeper.n_trials=5")  # all is done
    assert ended.code == 0 and again == rates, ended
    ended, more = searched("hydra.sweeper.n_trials=6")
    assert sorted(more) == [0, 1, 2, 3, 4, 5] and {n: more[n] for n in rates} == rates


def test_a_search_in_another_folder_leaves_what_is_unfinished_here(searched, tmp_path):
    searched("hydra.sweeper.n_trials=3", killed_at=1)
    ended, _ = searched("hydra.sweeper.n_trials=3", "hydra.sweep.dir=other")
    assert ended.code in (0, 1)
    assert sorted(int(p.parent.name) for p in (tmp_path / "other").glob("*/rate")) == [2, 3]
    assert [n for n, trial in trials(tmp_path).items() if not trial.state.is_finished()] == [1]


def test_a_storage_that_cannot_be_opened_is_one_line(searched, tmp_path):
    for storage in ("nope", "sqlite:///no/folder/search.db"):
        ended, _ = searched(f"hydra.sweeper.storage={storage}")
        (line,) = ended.errors.splitlines()
        assert ended.code == 2
        assert line.startswith(
            "textae: hydra.sweeper.storage: expected a database that can be opened, found " + storage
        )
        assert not (tmp_path / "sweep").exists()


def test_folders_that_the_user_names_are_kept(searched, tmp_path):
    ended, rates = searched("hydra.sweeper.n_trials=2", "hydra.sweep.subdir=1${hydra.job.num}")
    assert sorted(rates) == [10, 11], ended


def test_a_job_that_was_stopped_ends_the_search_that_asks_for_its_result():
    with pytest.raises(SystemExit) as stop:
        float(Stopped(130))
    assert stop.value.code == 130


PROGRAM = """
import time
from textae.cli.commands import hydra_main
from textae.training.interrupts import Interrupted, Interrupts


def main(config):
    print("a line", file=__import__("sys").stderr)
    with Interrupts() as interrupts:
        while interrupts.received is None:
            time.sleep(0.02)
    raise Interrupted(interrupts.received)


if __name__ == "__main__":
    hydra_main("config", main)
"""


@pytest.mark.slow
def test_ctrl_c_leaves_jobs_of_other_processes_to_go_on_with(tmp_path):
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    (tmp_path / "program.py").write_text(PROGRAM)
    command = [sys.executable, "program.py", *SEARCH, "hydra/launcher=joblib", "hydra.sweeper.n_trials=6"]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    begun = [process.stderr.readline() for _ in range(4)]
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    rest = process.stderr.read().splitlines()
    assert process.wait(timeout=60) == 130, rest
    assert sum(line.endswith("a line\n") for line in begun) == 2, begun
    assert {n: trial.state.name for n, trial in trials(tmp_path).items()} == {0: "RUNNING", 1: "RUNNING"}
    assert not list((tmp_path / "sweep").glob(".jobs_*"))
