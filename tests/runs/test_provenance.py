"""What a run says of its making: the commit is textae's own, sessions are kept, commands train one job alone."""

import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from hydra.core.hydra_config import HydraConfig

import textae
from helpers.process_harness import training_command
from textae import train
from textae.reporting.model_card import model_card
from textae.runs.json_files import read_json
from textae.runs.provenance import SESSION, commit, sessions
from textae.runs.run_folder import ENVIRONMENT, RunDir

pytestmark = pytest.mark.backend_free


def git(folder, *arguments):
    made = subprocess.run(
        ["git", "-C", folder, "-c", "user.name=a", "-c", "user.email=a@b", *arguments], capture_output=True, text=True
    )
    assert made.returncode == 0, made.stderr
    return made.stdout.strip()


@pytest.fixture
def repository(tmp_path):
    """A function: a repository with a file of the package at a path, and another project's or textae's pyproject."""
    if not shutil.which("git"):
        pytest.skip("no git")

    def make(path, project, ignored=""):
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_text("a module")
        (tmp_path / "pyproject.toml").write_text(f'[project]\nname = "{project}"\n')
        (tmp_path / ".gitignore").write_text(ignored)
        git(tmp_path, "init", "-q")
        git(tmp_path, "add", ".")
        git(tmp_path, "commit", "-qm", "all")
        return tmp_path / path

    return make


def test_the_commit_is_that_of_a_checkout_of_textae(repository, monkeypatch, tmp_path):
    file = repository("src/textae/training/fit.py", "textae")
    head = git(tmp_path, "rev-parse", "HEAD")
    assert commit(file) == head
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))  # as within a hook of another repository
    assert commit(file) == head
    monkeypatch.delenv("GIT_DIR")
    file.write_text("changed")
    assert commit(file) == f"{head}+"


@pytest.mark.parametrize(
    ("path", "project", "ignored"),
    [
        (".venv/lib/python3.11/site-packages/textae/training/fit.py", "mine", ".venv"),
        (".venv/lib/python3.11/site-packages/textae/training/fit.py", "mine", ""),
        (".venv/lib/python3.11/site-packages/textae/training/fit.py", "textae", ""),
        ("src/textae/training/fit.py", "mine", ""),
        ("src/textae/training/fit.py", "textae", "src"),
    ],
)
def test_the_commit_of_a_repository_around_an_installation_is_none_of_ours(repository, path, project, ignored):
    assert commit(repository(path, project, ignored)) is None


def test_the_commit_of_this_checkout():
    root = Path(textae.__file__).parents[2]
    if not (root / ".git").exists():
        pytest.skip("installed without a repository")
    assert commit(Path(textae.__file__)).rstrip("+") == git(root, "rev-parse", "HEAD")


def test_sessions_are_kept_and_equal_ones_are_one():
    now = dict.fromkeys(SESSION, "a")
    begun = sessions(None, now | {"corpus": {}}, 0)
    assert begun == [{"from_step": 0} | now]
    assert sessions({"sessions": begun}, now, 7) == begun
    other = now | {"backend": "jax"}
    assert sessions({"sessions": begun}, other, 9) == [*begun, {"from_step": 9} | other]
    for damaged in (None, 3, ["a"], {}):
        assert sessions({"sessions": damaged}, now, 5) == [{"from_step": 5} | now]


def note(place, arguments):
    """Be a command whose jobs note the command that trains each of them alone; called in a process of its own."""

    def task(config):
        settings = HydraConfig.get()
        words = train._job_alone(settings)
        (Path(settings.runtime.output_dir) / "words").write_text(shlex.join(words) if words else "as typed")
        (Path(settings.runtime.output_dir) / "seed").write_text(f"{config.training.seed} {config.name}")

    return training_command(task, place, arguments)


def test_a_job_s_command_trains_it_alone(forks, tmp_path):
    (tmp_path / "configs" / "experiment").mkdir(parents=True)
    (tmp_path / "configs" / "experiment" / "mine.yaml").write_text(
        "# @package _global_\nname: mine\nhydra: {sweeper: {params: {training.seed: '3,4'}}}\n"
    )

    def run(*arguments):
        ended = forks.call(note, place=str(tmp_path), arguments=arguments)
        assert ended.code == 0, ended

    run("-m", "--config-dir", "configs", "+experiment=mine", "hydra.sweep.dir=sweep", "model.channels=[8, 8]")
    words = (tmp_path / "sweep" / "1" / "words").read_text()
    assert "-m" not in words.split() and "sweep" not in words
    run(*shlex.split(words)[1:], "hydra.run.dir=alone")
    assert (tmp_path / "alone" / "words").read_text() == "as typed"
    for name in ("0", "1"):
        assert (tmp_path / "sweep" / name / "seed").read_text() == f"{int(name) + 3} mine"
    assert (tmp_path / "alone" / "seed").read_text() == "4 mine"


def test_the_card_names_what_each_session_ran_on(trained):
    run = RunDir(trained[0])
    environment = read_json(run / ENVIRONMENT)
    first = environment["sessions"][0]
    environment["sessions"] = [first, first | {"from_step": 6, "commit": "x"}, first | {"from_step": 8, "backend": "b"}]
    card = model_card(run.config(), environment, trained[1])
    on = f"{first['machine']}, {first['backend']}, float32"
    assert f"| on | {on} |\n| on, from step 8 | {first['machine']}, b, float32 |\n| with |" in card
