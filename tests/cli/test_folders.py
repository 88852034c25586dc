"""The folders of runs and sweeps: nothing of the user's is touched, each has its own, and bad names are told."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hydra.core.hydra_config import HydraConfig

from helpers.process_harness import training_command
from helpers.runs import SMALL
from textae.cli.commands import failure
from textae.cli.folders import Folders, check_folder, check_sweep
from textae.runs.json_files import write_json
from textae.runs.run_folder import RunDir
from textae.training.fit import fit

pytestmark = pytest.mark.backend_free
LONG = "x" * 300
MINE = {
    "README.md": "mine", "metrics.csv": "a,b", ".draft.tmp": "a draft", "train/projector/0001.tsv": "1", "notes": "",
}  # fmt: skip


def tree(folder):
    """Every path below a folder, and the bytes of files."""
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None for p in sorted(folder.rglob("*"))}


def mine(folder):
    for name, text in MINE.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


@pytest.fixture
def refused(forks, tmp_path):
    """A function: checks that a command says one line, ends with 2, and leaves everything as it was."""

    def check(*arguments, says, command="train"):
        before = tree(tmp_path)
        ended = forks.run(arguments, command=command, cwd=tmp_path)
        lines = ended.errors.splitlines()
        assert ended.code == 2, ended
        assert len(lines) == 1, lines
        assert lines[0].startswith("textae: ") and says in lines[0], lines
        assert "[Errno" not in lines[0]
        assert tree(tmp_path) == before

    return check


def test_a_folder_of_something_else_is_left_as_it_is(refused, tmp_path, trained, tiny_config):
    mine(tmp_path / "docs")
    says = "expected an empty folder or that of a run, found '.draft.tmp' in"
    refused(*SMALL, "corpus.files=[docs/notes]", "hydra.run.dir=docs", says=says)
    before = tree(tmp_path)
    with pytest.raises(ValueError, match=says):
        fit(tiny_config(), tmp_path / "docs")
    assert tree(tmp_path) == before
    for name, content in (("config.yaml", "a: 1"), ("environment.json", '{"python": 3}'), (".lock", "held")):
        (tmp_path / name.strip(".")).mkdir()
        (tmp_path / name.strip(".") / name).write_text(content)
        with pytest.raises(ValueError, match=f"expected an empty folder or that of a run, found '{name}'"):
            RunDir(tmp_path / name.strip(".")).check_place()


def test_a_run_and_one_that_was_killed_as_it_began_are_its_own(trained, tmp_path):
    RunDir(trained[0]).check_place()
    RunDir(tmp_path / "new").check_place()
    begun = RunDir(tmp_path)
    begun.check_place()
    for name in (".lock", ".environment.json.0123abcd.tmp", ".config.yaml.0123abcd.tmp"):
        (begun / name).touch()
    write_json(begun / "environment.json", {"versions": {"textae": "0.1.0"}})
    begun.check_place()
    (begun / "data" / "corpora").mkdir(parents=True)
    begun.check_place(besides=begun / "data")
    with pytest.raises(ValueError, match="found 'data'"):
        begun.check_place()


def test_only_what_a_run_has_left_is_deleted_from_it(broken):
    data = broken / "data" / "tokens"  # where another process may be writing
    data.mkdir(parents=True)
    kept = [broken / ".draft.tmp", broken / ".notes.0123abcd.tmp", data / ".store.0123abcd.tmp"]
    left = [broken / ".metrics.json.0123abcd.tmp", broken / "tokenizer" / ".tokenizer.json.0123abcd.tmp"]
    left.append(broken / "train" / ".labels.tsv.0123abcd.tmp")
    for path in kept + left:
        path.touch()
    RunDir(broken).tidy()
    assert [path.exists() for path in kept + left] == [True, True, True, False, False, False]


@pytest.mark.parametrize("key", ["hydra.run.dir", "data_dir", "hydra.sweep.dir", "hydra.sweep.subdir"])
def test_an_empty_name_is_no_folder(refused, key):
    sweep = ["-m", "training.seed=1"] if "sweep" in key else []
    refused(
        *sweep, f"{key}=", says=f"{key}" if key == "data_dir" else f"{key}: expected the name of a folder, found ''"
    )


def test_an_empty_folder_of_the_user_s_stays(refused, forks, tmp_path):
    for name, time in (("past", 0), ("future", 2**33)):
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, (time, time))
    (tmp_path / "fresh" / "inner").mkdir(parents=True)
    for name in ("past", "future", "fresh/inner", "new", "new/er"):
        refused("training.max_steps=0", f"hydra.run.dir={name}", says="expected training.max_steps of at least 1")
    (tmp_path / "sweep" / "0").mkdir(parents=True)
    before = tree(tmp_path)
    ended = forks.run(["-m", "training.max_steps=0", "training.seed=0,1", "hydra.sweep.dir=sweep"], cwd=tmp_path)
    assert ended.code == 2
    assert {name for name in tree(tmp_path) if name not in before} == {"sweep/multirun.yaml"}


@pytest.mark.parametrize("reference", ["${nope}", "${oc.env:TEXTAE_NOPE}", "${name}"])
def test_a_reference_to_what_there_is_not_is_one_line(refused, reference):
    found = "unknown key nope in ${...}" if reference == "${nope}" else "expected"
    refused(f"name={reference}", says="name: ")
    refused(f"name={reference}", "hydra.run.dir=new", says=f"name: {found}")
    refused("-m", f"name={reference}", "training.seed=0,1", says=f"name: {found}")
    refused(f"run={reference.replace('name', 'run')}", command="reconstruct", says=f"run: {found}")


NAMES = ["file", "file/inner.npz", "loop", "loop/inner.npz", f"{LONG}.npz", f"new/{LONG}"]


@pytest.fixture
def names(tmp_path):
    """A file, and a link to itself."""
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")


def test_names_that_cannot_be_a_folder_s(names, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = tree(tmp_path)
    says = r"^key: expected a folder( that can be made)?, found "
    for name in NAMES:
        with pytest.raises(ValueError, match=says):
            check_folder("key", name)
        with pytest.raises(ValueError, match=says), Folders() as folders:
            folders._make("key", Path(name))
        assert tree(tmp_path) == before
    with pytest.raises(ValueError, match=says), Folders() as folders:
        folders._make("key", Path("/proc/nope/new"))
    check_folder("key", "new/er")


@pytest.mark.parametrize("setting", ["hydra.run.dir=file", f"data_dir={LONG}", "hydra.sweep.dir=loop/in"])
def test_folders_that_cannot_be(refused, names, setting):
    sweep = ["-m"] if "sweep" in setting else []
    refused(*sweep, setting, "training.seed=1", says=f"{setting.partition('=')[0]}: expected a folder")


@pytest.mark.parametrize(
    "command",
    [
        "evaluate run={}", "reconstruct run={}", "encode run=RUN input={} output=z.npz", "report runs=RUN csv={}",
        "neighbours run=RUN documents={}", "evaluate run=RUN by_length={}", "train corpus=text corpus.files=[{}]",
        "reconstruct run=RUN hydra.run.dir={}", "evaluate run=RUN data_dir={}", "decode run=RUN input={}",
    ],
)  # fmt: skip
def test_other_names_that_cannot_be(refused, names, trained, command):
    for name in ("file/inner.npz", f"{LONG}.npz"):
        words = command.format(name).replace("RUN", str(trained[0])).split()
        refused(*words[1:], command=words[0], says="expected")


def test_errors_of_paths_are_a_line_of_what_was_expected(capsys):
    for wrong in ("nul\0", LONG):
        with pytest.raises((ValueError, OSError)) as caught, open(wrong):  # noqa: PTH123, the plain error
            pass
        assert failure(caught.value) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("textae: expected a path ") and "Errno" not in line
    with pytest.raises(ValueError, match="data_dir: expected the name of a folder, found"):
        check_folder("data_dir", "a\0b")


def test_a_folder_for_data_that_can_only_be_read(refused, tmp_path, corpus_file):
    if os.getuid() == 0:
        made = subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", tmp_path], capture_output=True)
        if made.returncode:
            pytest.skip("mounting needs root")
    else:
        tmp_path.chmod(0o500)
    try:
        says = "Read-only file system" if os.getuid() == 0 else "Permission denied"
        for key in ("data_dir=data", "hydra.run.dir=new"):
            refused("corpus=text", f"corpus.files=[{corpus_file}]", key, says=says)
    finally:
        subprocess.run(["umount", tmp_path], capture_output=True) if os.getuid() == 0 else tmp_path.chmod(0o700)


def test_what_is_a_sweep_s_folder(tmp_path, trained):
    sweep = tmp_path / "sweep"
    (sweep / "0").mkdir(parents=True)
    (sweep / ".jobs_abc").mkdir()
    (sweep / "1").symlink_to(trained[0])
    with pytest.raises(ValueError, match="expected an empty folder or that of a sweep, found '1'"):
        check_sweep(sweep)
    (sweep / "1").unlink()
    check_sweep(sweep)
    for name in ("config.yaml", "environment.json"):  # of nothing but runs
        shutil.copy(trained[0] / name, sweep / "0")
    check_sweep(sweep)
    (sweep / "report.txt").touch()
    with pytest.raises(ValueError, match=r"found 'report\.txt'"):
        check_sweep(sweep)
    (sweep / "multirun.yaml").write_text("hydra: of another program")
    with pytest.raises(ValueError, match=r"found 'multirun\.yaml'"):
        check_sweep(sweep)
    (sweep / "multirun.yaml").write_text("_target_: textae.cli.folders.OwnFolder")
    check_sweep(sweep)


def test_a_sweep_leaves_a_folder_of_something_else(refused, tmp_path):
    mine(tmp_path / "docs")
    refused("-m", "training.seed=0,1", "hydra.sweep.dir=docs", says="expected an empty folder or that of a sweep")
    refused("-m", "training.seed=0,1", "hydra.sweep.dir=.", says="expected an empty folder or that of a sweep")


CLAIM = """
import sys
from pathlib import Path
from textae.cli.folders import Folders
sys.stdin.read(1)
for _ in range(20):
    with_one = Folders()
    print(with_one._claim("hydra.run.dir", Path("outputs/name/now")).name)
"""


def test_folders_that_are_claimed_at_once_differ(tmp_path):
    started = [
        subprocess.Popen(
            [sys.executable, "-c", CLAIM], cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    for process in started:
        process.stdin.write("\n")
        process.stdin.flush()
    names = "".join(process.communicate()[0] for process in started).split()
    assert len(names) == len(set(names)) == 60
    assert set(names) == {path.name for path in (tmp_path / "outputs" / "name").iterdir()}
    assert set(names) == {"now", *(f"now_{number}" for number in range(2, 61))}


YEAR = "hydra: {run: {dir: 'outputs/${name}/${now:%Y}'}, sweep: {dir: 'outputs/${name}/${now:%Y}'}}\n"


def note(place, arguments):
    """Be a command whose jobs note their seed and take no time; called in a process of its own."""

    def task(config):
        folder = Path(HydraConfig.get().runtime.output_dir)
        with (folder / "seed").open("x") as file:
            file.write(str(config.training.seed))

    return training_command(task, place, arguments)


def test_runs_and_sweeps_at_the_same_time_have_folders_of_their_own(forks, tmp_path):
    """Folders named by the year, so that all of them have the same name."""
    (tmp_path / "configs" / "experiment").mkdir(parents=True)
    (tmp_path / "configs" / "experiment" / "year.yaml").write_text(f"# @package _global_\n{YEAR}")
    common = ["--config-dir", "configs", "+experiment=year"]
    commands = [[*common, f"training.seed={seed}"] for seed in (1, 2, 3)]
    commands += [["-m", *common, f"training.seed={seed},{seed + 1}", r"name='an \' o'"] for seed in (4, 6)]
    started = [forks.start_call(note, place=str(tmp_path), arguments=each) for each in commands]
    ended = [forks.wait(process) for process in started]
    assert [one.code for one in ended] == [0] * 5, ended
    seeds = {path.parent.relative_to(tmp_path / "outputs"): path.read_text() for path in tmp_path.rglob("seed")}
    assert sorted(seeds.values()) == list("1234567")
    (year,) = {path.name[:4] for path in (tmp_path / "outputs" / "default").iterdir()}
    runs = {Path("default") / name for name in (year, f"{year}_2", f"{year}_3")}
    assert set(seeds) == runs | {Path("an ' o") / name / job for name in (year, f"{year}_2") for job in "01"}


def test_a_second_sweep_in_the_same_folder_is_refused(tmp_path):
    from omegaconf import OmegaConf

    sweep = {"dir": str(tmp_path / "s"), "subdir": "0"}
    config = OmegaConf.create(
        {"hydra": {"sweep": sweep, "sweeper": {}, "overrides": {"hydra": []}, "by": "textae.cli.folders"}}
    )
    with Folders() as first:
        first.begin_sweep(config)
        with pytest.raises(ValueError, match="expected a folder of its own, found another sweep at work in"):
            Folders().begin_sweep(config)
        assert (tmp_path / "s" / "multirun.yaml").is_file()
    assert not (tmp_path / "s").exists()
