"""A sweep by Submitit's local executor: what SLURM would run, on this machine."""

import os
import signal
import subprocess
import sys
import time

import pytest
import yaml

from textae.cli.sweeps import Jobs

pytestmark = [pytest.mark.backend_free, pytest.mark.skipif(os.name != "posix", reason="Submitit runs on POSIX")]

# A job whose seed is 1 fails; one whose seed is 2 leaves a checkpoint and waits to be killed, if there is none yet.
PROGRAM = """
import os, time
from pathlib import Path
from textae.cli.commands import hydra_main


def main(config):
    from hydra.core.hydra_config import HydraConfig
    from textae.config.mapping import resolve, to_mapping
    from textae.runs.run_folder import METRICS, RunDir
    from textae.runs.json_files import write_json

    run, seed = RunDir(HydraConfig.get().runtime.output_dir), config.training.seed
    if run.finished:
        return 0.0
    run.create(to_mapping(resolve(config)), {"versions": {"textae": "0"}})
    with (run / "begun").open("a") as file:
        file.write(f"{os.getpid()} {os.environ.get('OMP_NUM_THREADS')}\\n")
    if seed == 1:
        raise FloatingPointError("diverged")
    if seed == 2 and not (run / "checkpoint").exists():
        (run / "checkpoint").touch()
        time.sleep(100)
    write_json(run / METRICS, {"loss": float(seed)})
    return float(seed)


if __name__ == "__main__":
    hydra_main("config", main)
"""


@pytest.fixture
def sweep(tmp_path):
    """A function: begin the sweep of four jobs."""
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    (tmp_path / "program.py").write_text(PROGRAM)
    command = [sys.executable, "program.py", "-m", "hydra.sweep.dir=sweep", "hydra/launcher=submitit_local"]
    env = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}

    def begin(*arguments):
        return subprocess.Popen(
            [*command, "training.seed=0,1,2,3", *arguments],
            cwd=tmp_path,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return begin


def begun(folder):
    lines = (folder / "begun").read_text().splitlines()
    return [int(line.split()[0]) for line in lines], lines[0].split()[1]


@pytest.mark.slow
def test_a_job_that_is_killed_and_one_that_fails(sweep, tmp_path):
    process = sweep()
    waiting = tmp_path / "sweep" / "2" / "checkpoint"
    deadline = time.monotonic() + 100
    while not waiting.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    (killed,), threads = begun(waiting.parent)
    assert threads == "1"  # as hydra.launcher.cpus_per_task says
    os.kill(killed, signal.SIGKILL)
    out, errors = process.communicate(timeout=100)
    assert process.returncode == 1 and out == "", errors
    assert errors.count("textae: job 1 (training.seed=1): diverged") == 1
    assert "textae: job 2 (training.seed=2): its process ended before the job did (killed" in errors
    table = (tmp_path / "sweep" / "report.txt").read_text()
    states = {line.split("|")[1].strip(): line.split("|")[2].strip() for line in table.splitlines()[2:]}
    assert states == {"0": "finished", "1": "begun", "2": "begun", "3": "finished"}
    assert not list((tmp_path / "sweep").glob(".jobs_*"))

    process = sweep()
    out, errors = process.communicate(timeout=100)
    assert process.returncode == 1 and "job 2" not in errors, errors
    assert errors.count("textae: job 1 (training.seed=1): diverged") == 1
    assert [len(begun(tmp_path / "sweep" / str(number))[0]) for number in range(4)] == [1, 2, 2, 1]
    table = (tmp_path / "sweep" / "report.txt").read_text()
    assert table.count("finished") == 3


def test_slurm_is_asked_for_what_the_settings_say(monkeypatch, tmp_path):
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    import submitit

    from textae.cli.submitit_launcher import SlurmLauncher
    from textae.config.registration import config_dir

    settings = yaml.safe_load((config_dir() / "hydra" / "launcher" / "submitit_slurm.yaml").read_text())
    assert settings.pop("_target_").endswith(".textae.SlurmLauncher")
    launcher = SlurmLauncher(**settings | {"submitit_folder": str(tmp_path), "partition": "gpu"})
    asked = []
    monkeypatch.setattr(submitit.SlurmExecutor, "affinity", lambda *_: 1)
    monkeypatch.setattr(
        submitit.AutoExecutor,
        "map_array",
        lambda self, _, *arguments: asked.append((self, list(zip(*arguments, strict=True)))),
    )
    launcher._submitted([["training.seed=0"], ["training.seed=1"]], range(5, 7))
    ((executor, jobs),) = asked
    assert [(overrides, number) for overrides, _, number, _, _ in jobs] == [
        (["training.seed=0"], 5), (["training.seed=1"], 6),
    ]  # fmt: skip
    given = executor._executor.parameters
    assert given["partition"] == "gpu" and given["time"] == 1440 and given["cpus_per_task"] == 4
    assert given["mem"] == "16GB" and executor._executor.max_num_timeout == 10


def test_processes_of_other_machines_are_left_alone(tmp_path, monkeypatch):
    jobs = Jobs([], lambda: tmp_path)
    (tmp_path / ".jobs_old").mkdir()
    (tmp_path / ".jobs_old" / f"{os.getpid()}@another.busy").touch()
    jobs.__getstate__()
    folder = jobs._folder
    assert (tmp_path / ".jobs_old").exists()  # of a sweep that may be at work
    (folder / f"{os.getpid()}@another.busy").touch()
    signals = []
    monkeypatch.setattr(os, "kill", lambda process, number: signals.append((process, number)))
    with jobs.forwarding():
        signal.getsignal(signal.SIGTERM)(signal.SIGTERM, None)
    assert signals == [(os.getpid(), signal.SIGTERM)] and not jobs.stopped  # this process, as nothing is to be told
    monkeypatch.setattr("socket.gethostname", lambda: "another")
    assert jobs.elsewhere
