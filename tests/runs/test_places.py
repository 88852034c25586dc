"""A run knows its corpus wherever it is asked from: paths in its settings mean the same from every folder."""

import shutil
import signal
import sys
from pathlib import Path

import pytest
import yaml

from textae.config.mapping import from_mapping, to_mapping
from textae.config.schema import TextConfig, TfdsConfig
from textae.data.corpora import fingerprint_of
from textae.runs import run_folder
from textae.runs.run_folder import RunDir
from textae.training.checkpoint import continues
from textae.training.fit import fit

pytestmark = pytest.mark.backend_free

LINES = "".join(f"line {n}\n" for n in range(40))


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The current folder, A, with a corpus of two files; B lies beside it."""
    (tmp_path / "A" / "texts").mkdir(parents=True)
    (tmp_path / "B").mkdir()
    (tmp_path / "A" / "lines.txt").write_text(LINES)
    (tmp_path / "A" / "texts" / "more.txt").write_text("more\n" + LINES)
    monkeypatch.chdir(tmp_path / "A")
    return tmp_path / "A"


def test_paths_become_those_of_every_folder(here, monkeypatch):
    monkeypatch.setenv("HOME", "/home/someone")
    files = ["lines.txt", "texts/*.txt", "./lines.txt", "../A/lines.txt", "../*/lines.txt", "~/a.txt", "/b/../c.txt"]
    expected = ["A/lines.txt", "A/texts/*.txt", "A/lines.txt", "A/lines.txt", "*/lines.txt"]
    expected = [str(here.parent / name) for name in expected] + ["/home/someone/a.txt", "/b/../c.txt"]
    config = TextConfig(files=files, test_files=["missing.txt"]).located()
    assert config.files == expected
    assert config.test_files == [str(here / "missing.txt")]
    assert config.validation_files == []
    assert config.located() == config
    assert TfdsConfig(name="n", tfds_dir="texts").located().tfds_dir == str(here / "texts")
    assert TfdsConfig(name="n").located() == TfdsConfig(name="n")


@pytest.mark.parametrize("folder", ["A [1]", "A*", "Ä ?"])
def test_a_folder_whose_name_looks_like_a_glob(here, monkeypatch, folder):
    monkeypatch.chdir(here.rename(here.with_name(folder)))
    given = TextConfig(files=["lines.txt", "texts/*.txt"])
    found = fingerprint_of(given)
    located = given.located()
    monkeypatch.chdir("/")
    assert fingerprint_of(located) == found


def test_a_linked_folder(here, monkeypatch, tmp_path):
    (tmp_path / "C" / "deep").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "C" / "deep")
    (tmp_path / "C" / "up.txt").write_text(LINES)
    monkeypatch.chdir(tmp_path)
    located = TextConfig(files=["link/../up.txt"]).located()
    assert located.files == [str((tmp_path / "C" / "up.txt").resolve())]


def test_a_run_stores_them_so(here, tiny_config, monkeypatch):
    seen = []
    monkeypatch.setattr("textae.training.fit._fit", lambda config, *_: seen.append(to_mapping(config)))
    fit(tiny_config(**{"corpus.files": ["lines.txt", "texts/*"], "data_dir": "data"}), Path("run"))
    assert seen[0]["corpus"]["files"] == [str(here / "lines.txt"), str(here / "texts/*")]
    assert seen[0]["data_dir"] == str(here / "data")


def test_a_run_goes_on_wherever_the_same_documents_lie(here, tiny_config, monkeypatch):
    relative = tiny_config(**{"corpus.files": ["lines.txt"]})
    run = RunDir(here / "run")
    fingerprint = fingerprint_of(relative.corpus)
    run.create(to_mapping(relative.located()), {"corpus": {"fingerprint": fingerprint}})
    assert continues(relative, run)
    monkeypatch.chdir(here.parent / "B")
    assert continues(tiny_config(**{"corpus.files": ["../A/lines.txt"]}), run)

    moved = here.parent / "moved"  # the corpus and the run
    shutil.move(here, moved)
    monkeypatch.chdir(moved)
    run = RunDir(moved / "run")
    assert continues(relative, run)
    (moved / "lines.txt").write_text(LINES + "one more\n")
    with pytest.raises(ValueError, match=r"expected the configuration of the run in .*: corpus.files=\[.*/A/lines.txt"):
        continues(relative, run)
    with pytest.raises(FileNotFoundError, match=r"nowhere\.txt"):
        continues(tiny_config(**{"corpus.files": ["nowhere.txt"]}), run)


def test_a_run_of_an_older_version_goes_on_from_its_folder(here, tiny_config):
    relative = tiny_config(**{"corpus.files": ["lines.txt"]})
    run = RunDir(here / "run")
    run.create(to_mapping(relative), {"corpus": {"fingerprint": "of another version"}})
    assert continues(relative, run)


def test_commands_find_it_and_say_where_they_looked(answer, broken, corpus_file, here, data_dir, monkeypatch):
    values = yaml.safe_load((broken / run_folder.CONFIG).read_text())
    assert values["corpus"]["files"] == [str(corpus_file)]
    shutil.copy(corpus_file, here / "copied.txt")

    def evaluated(path):
        values["corpus"]["files"] = [str(path)]
        (broken / run_folder.CONFIG).write_text(yaml.safe_dump(values))
        return answer("evaluate", f"run={broken}", f"data_dir={data_dir}")

    monkeypatch.chdir(here.parent / "B")
    assert evaluated(here / "copied.txt")["documents"] > 20
    for path in (here / "gone.txt", here / "gone" / "*.txt"):
        with pytest.raises(FileNotFoundError) as caught:
            evaluated(path)
        assert str(caught.value).startswith(f"the corpus of {broken}: files: expected ")
        assert f" {path}, found none; corpus=text says where it is" in str(caught.value)
    with pytest.raises(FileNotFoundError, match=f"{here.parent}/B/copied.txt, found none"):  # of an older version
        evaluated("copied.txt")
    monkeypatch.chdir(here)
    assert evaluated("copied.txt")["documents"] > 20
    assert from_mapping(values).corpus.files == ["copied.txt"]


def test_a_job_in_its_own_folder_finds_what_the_command_line_names(here, monkeypatch):
    """hydra.job.chdir=true is Hydra's way to work in the run folder."""
    from hydra.core.hydra_config import HydraConfig

    from textae.cli.commands import hydra_main

    seen = []
    handler = signal.getsignal(signal.SIGTERM)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    monkeypatch.setattr(sys, "argv", ["textae.train", "hydra.run.dir=run", "hydra.job.chdir=true"])
    try:
        with pytest.raises(SystemExit) as stop:
            hydra_main("config", lambda config: seen.append((Path.cwd(), HydraConfig.get().runtime.output_dir)))
    finally:
        signal.signal(signal.SIGTERM, handler)
    assert stop.value.code == 0
    assert seen == [(here, str(here / "run"))]
    assert not (here / "run").exists()  # nothing was written to it
