"""docs/cluster.md: what its recipes run, seen with programs that stand in for SLURM, Kubernetes and textae."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

pytestmark = [pytest.mark.backend_free, pytest.mark.skipif(os.name != "posix", reason="recipes for a POSIX shell")]

PAGE = (Path(__file__).parents[2] / "docs" / "cluster.md").read_text(encoding="utf-8")


def block(language, words):
    """The page's block of a language with these words in it."""
    (found,) = [text for text in re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL) if words in text]
    return found


@pytest.fixture
def programs(tmp_path):
    """A folder of programs that note what they were called with, one argument a line."""
    for name in ("textae", "python"):
        path = tmp_path / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f'#!/bin/sh\nprintf "%s\\n" {name} "$@" >> {tmp_path}/called\n')
        path.chmod(0o755)
    sbatch = tmp_path / "bin" / "sbatch"  # runs one task of the array that is given first
    sbatch.write_text('#!/bin/sh\nfor last; do :; done\nSLURM_ARRAY_TASK_ID=${1##*-} sh -c "$last"\n')
    sbatch.chmod(0o755)
    return tmp_path


def called(programs, line, **env):
    path = os.pathsep.join([str(programs / "bin"), os.environ["PATH"]])
    subprocess.run(["sh", "-c", line], check=True, cwd=programs, env={**os.environ, "PATH": path, **env})
    return (programs / "called").read_text().splitlines()


def test_an_indexed_job_encodes_a_shard(programs):
    job = yaml.safe_load(block("yaml", "kind: Job"))
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["command"] == ["sh", "-c"]
    last = str(job["spec"]["completions"] - 1)
    assert called(programs, container["args"][0], JOB_COMPLETION_INDEX=last) == [
        "textae", "encode", "run=/work/run", "input=/work/texts/*.txt.zst", "output=/work/latents", "shard=64/64",
    ]  # fmt: skip


def test_an_indexed_job_trains_a_run(programs):
    settings = called(programs, block("sh", "$JOB_COMPLETION_INDEX"), JOB_COMPLETION_INDEX="3")[2:]
    assert settings == ["training.seed=3", "hydra.run.dir=/work/sweep/3", "data_dir=/work/data"]


def test_an_array_encodes_shards(programs):
    found = called(programs, block("sh", "sbatch"))
    assert found[:4] == ["python", "-m", "textae.encode", "run=DIR"]
    assert found[4:] == ["input=texts/*.txt.zst", "output=latents", "shard=64/64"]


@pytest.mark.slow
def test_ray_runs_the_jobs_and_says_how_they_ended(tmp_path):
    pytest.importorskip("ray")
    # Job 1 fails, and the process of job 2 is killed the first time.
    (tmp_path / "textae").mkdir()
    (tmp_path / "textae" / "train.py").write_text(
        "import os, sys\nfrom pathlib import Path\n"
        "folder = Path(sys.argv[2].removeprefix('hydra.run.dir='))\n"
        "folder.mkdir(parents=True, exist_ok=True)\n"
        "first = not (folder / 'begun').exists()\n(folder / 'begun').touch()\n"
        "if folder.name == '2' and first:\n    os.kill(os.getppid(), 9)\n    sys.exit(9)\n"
        "(folder / 'done').write_text(sys.argv[1])\nsys.exit(3 if folder.name == '1' else 0)\n"
    )
    (tmp_path / "textae" / "report.py").write_text("import sys\nprint('table', sys.argv[1])\n")
    (tmp_path / "program.py").write_text(block("python", "import ray").replace("num_cpus=2", "num_cpus=1"))
    env = os.environ | {"PYTHONPATH": str(tmp_path), "RAY_USAGE_STATS_ENABLED": "0"}
    ended = subprocess.run(
        [sys.executable, "program.py"], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=200
    )
    assert ended.returncode == 3, ended.stderr
    assert "table runs=outputs/ray" in ended.stdout
    for number in range(4):
        assert (tmp_path / "outputs" / "ray" / str(number) / "done").read_text() == f"training.seed={number}"
