"""What names a run: a folder, a pretrained model of the package, a repository of the Hub; a folder goes first."""

import logging
import shutil
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from textae.cli.commands import fetch_run
from textae.config import run_names
from textae.runs import hub
from textae.runs.finding import find_run

pytestmark = pytest.mark.backend_free


@pytest.fixture
def brought_along(tmp_path, trained, monkeypatch):
    """The folder of a model `small` that the package brings along, seen from a folder in which nothing is."""
    shutil.copytree(trained[0], tmp_path / "package" / "small")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(run_names, "_PRETRAINED", tmp_path / "package")
    return tmp_path / "package" / "small"


def test_a_name_is_that_of_a_pretrained_model_unless_a_folder_has_it(brought_along, caplog):
    assert find_run("small") == brought_along
    assert find_run(str(brought_along)) == brought_along
    with pytest.raises(ValueError, match=r"found no folder small; the pretrained models are: small$"):
        find_run(Path("small"))  # a path names a folder and nothing else
    assert caplog.messages == []

    Path("small").mkdir()
    with caplog.at_level(logging.WARNING, "textae"):
        assert find_run("small") == Path("small")
    assert caplog.messages == [f"small is the folder in {Path.cwd()}, not the pretrained model of that name"]


def test_an_unknown_name_says_which_ones_there_are(brought_along):
    for name in ("smal", "smal/", "../small"):
        with pytest.raises(ValueError) as refused:
            find_run(name)
        expected = f"run: expected a run folder, found no folder {name}; the pretrained models are: small"
        assert str(refused.value) == expected


def test_commands_are_given_the_folder(hub_server, brought_along):
    hub.push(brought_along, "me/model")
    named = {"small": str(brought_along), "hf://me/model": str(hub.local_folder("hf://me/model")), "..": ".."}
    for given, expected in named.items():
        config = OmegaConf.create({"run": given})
        fetch_run(config)
        assert config.run == expected
    fetch_run(OmegaConf.create({"runs": "outputs"}))


def test_names_mean_the_same_from_every_folder(brought_along):
    assert run_names.located_run("small") == "small"
    assert run_names.located_run("hf://me/model") == "hf://me/model"
    assert run_names.located_run("other") == str(Path.cwd() / "other")
    Path("small").mkdir()
    assert run_names.located_run("small") == str(Path.cwd() / "small")
