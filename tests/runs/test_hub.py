"""Runs on the Hub: what is written and fetched, against a server on loopback that answers as the Hub does."""

import shutil

import pytest
import yaml

from textae.runs import hub
from textae.runs.run_folder import CARD, CONFIG, ENVIRONMENT, LAST, METRICS, WEIGHTS, RunDir

pytestmark = pytest.mark.backend_free
pytest.importorskip("huggingface_hub")


def files_of(folder):
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {path.as_posix() for path in found if path.parts[0] != ".cache"}


def test_a_run_is_written_and_fetched(hub_server, trained):
    folder = trained[0]
    assert hub.push(folder, "me/model", private=True) == f"{hub_server.endpoint}/me/model"
    assert hub_server.private == {"me/model"}
    written = hub_server.repositories["me/model"]["main"]
    assert {CONFIG, ENVIRONMENT, METRICS, WEIGHTS, CARD} < set(written)
    assert not any(name.startswith(("last", "checkpoint", "train/", "test/")) for name in written)
    assert written[WEIGHTS] == (folder / WEIGHTS).read_bytes()
    assert written[CARD].startswith(b"---\nlibrary_name: textae\n")
    config = yaml.safe_load(written[CONFIG])
    assert (config["corpus"]["files"], config["data_dir"]) == (["lines.txt"], "data")
    assert config | {"corpus": 0, "data_dir": 0} == RunDir(folder).config() | {"corpus": 0, "data_dir": 0}

    fetched = hub.local_folder("hf://me/model")
    needed = {CONFIG, ENVIRONMENT, METRICS, CARD, WEIGHTS, *(n for n in written if n.startswith("tokenizer/"))}
    assert files_of(fetched) == set(hub_server.fetched) == needed
    assert RunDir(fetched).config() == config
    hub_server.fetched.clear()
    assert hub.local_folder("hf://me/model") == fetched and hub_server.fetched == []  # it is there already


def test_what_a_repository_holds_besides_stays_there(hub_server, trained):
    hub.push(trained[0], "me/model")
    files = hub_server.repositories["me/model"]["main"]
    for name in (
        "tokenizer/../../../../evil.txt",
        "tokenizer/sub/evil.py",
        "evil.py",
        "last.safetensors",
        "train/events",
    ):
        files[name] = b"evil"
    before = hub.local_folder("hf://me/model")
    assert not any("evil" in name for name in [*hub_server.fetched, *files_of(before.parents[2])])
    assert LAST in files_of(hub.local_folder("hf://me/model", LAST))


def test_revisions_are_apart_and_follow_their_branch(hub_server, trained, broken):
    hub.push(trained[0], "me/model", revision="v1")
    assert hub_server.repositories["me/model"]["main"] == {}
    first = hub.local_folder("hf://me/model@v1")
    (first / "tokenizer" / "left.json").write_text("of before")
    (broken / METRICS).write_text('{"loss": 4}')
    hub.push(broken, "me/model", revision="v1", message="more")
    assert hub.local_folder("hf://me/model@v1") == first
    assert RunDir(first).metrics() == {"loss": 4} and not (first / "tokenizer" / "left.json").exists()
    with pytest.raises(ValueError, match=r"expected a run with config\.yaml at hf://me/model, found none"):
        hub.local_folder("hf://me/model")


def test_what_is_too_large_is_not_fetched(hub_server, trained, monkeypatch):
    hub.push(trained[0], "me/model")
    monkeypatch.setattr(hub, "MOST_BYTES", 1000)
    with pytest.raises(ValueError, match="expected at most 100 files of 1,000 bytes at hf://me/model, found "):
        hub.local_folder("hf://me/model")
    assert hub_server.fetched == []


@pytest.mark.parametrize("name", ["hf://me", "hf://me/a/b", "hf://me/../b", "hf://me/a@", "hf://me/a@b@c", "hf:///a"])
def test_names_that_are_none(name):
    with pytest.raises(ValueError, match="expected hf://USER/NAME or hf://USER/NAME@REVISION, found"):
        hub.local_folder(name)


def test_what_is_refused_is_one_line(hub_server, trained, tmp_path, monkeypatch):
    for name in ("hf://me/nothing", "hf://me/nothing@v1"):
        with pytest.raises(ValueError, match="expected a repository that can be used, found 404") as refused:
            hub.local_folder(name)
        assert str(refused.value).isprintable() and len(str(refused.value)) < 500
    with pytest.raises(ValueError, match="expected USER/NAME, and revision=NAME"):
        hub.push(trained[0], "me/model@v1")
    shutil.copytree(trained[0], tmp_path / "unfinished", ignore=shutil.ignore_patterns(METRICS))
    with pytest.raises(ValueError, match=f"expected a finished run with {METRICS}, found none"):
        hub.push(tmp_path / "unfinished", "me/model")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(OSError, match=r"me/a: the Hub cannot be asked: .*refused"):
        hub.local_folder("hf://me/a")
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", None)
    with pytest.raises(ValueError, match=r"pip install 'textae\[hub\]'"):
        hub.local_folder("hf://me/a")


def test_what_was_fetched_is_used_offline(hub_server, trained, monkeypatch):
    hub.push(trained[0], "me/model")
    folder = hub.local_folder("hf://me/model")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert hub.local_folder("hf://me/model") == folder
    with pytest.raises(OSError, match="expected hf://me/other to be fetched before with HF_HUB_OFFLINE=1"):
        hub.local_folder("hf://me/other")
