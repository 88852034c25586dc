"""The run folder: files are whole or not there, and damage is noticed and named."""

import json
import os
import re

import numpy as np
import pytest

from textae.files import write_bytes
from textae.runs import run_folder
from textae.runs.arrays import read_arrays, write_arrays
from textae.runs.json_files import read_json, write_json
from textae.runs.run_folder import RunDir

pytestmark = pytest.mark.backend_free

ARRAYS = {
    "encoder/kernel": np.arange(12, dtype=np.float32).reshape(3, 4),
    "count": np.array(7, np.int32),
    "turned": np.arange(6, dtype=np.float64).reshape(2, 3).T,
    "empty": np.zeros((0, 3), np.float32),
}
CONFIG = {
    "name": "no",
    "corpus": {"files": ["a: b.txt", "ünïcode #1.txt", "1e5", "null", "~"], "field": None, "share": 1e-05},
    "training": {"max_steps": 3, "ema_decay": 0.0, "short": True},
}


def test_arrays_come_back(tmp_path):
    write_arrays(tmp_path / "w.safetensors", ARRAYS, {"step": 3, "loss": 0.25})
    arrays, metadata = read_arrays(tmp_path / "w.safetensors")
    assert metadata == {"step": 3, "loss": 0.25}
    assert set(arrays) == set(ARRAYS)
    for name, array in ARRAYS.items():
        assert arrays[name].dtype == array.dtype and arrays[name].shape == array.shape
        np.testing.assert_array_equal(arrays[name], array)


def test_any_changed_byte_is_noticed(tmp_path):
    path = tmp_path / "w.safetensors"
    write_arrays(path, {"a": np.arange(4, dtype=np.float32)}, {"step": 3})
    content = path.read_bytes()
    for place in range(len(content)):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        try:
            arrays, metadata = read_arrays(path)
        except ValueError as error:
            assert str(path) in str(error) and "\n" not in str(error)
            continue
        # White space in the header and the like: what is read is what was written.
        assert metadata == {"step": 3}
        np.testing.assert_array_equal(arrays["a"], np.arange(4, dtype=np.float32))


def test_equal_arrays_make_equal_files(tmp_path):
    contents = set()
    for number in range(20):
        turned = bool(number % 2)
        arrays = dict(sorted(ARRAYS.items(), reverse=turned))
        write_arrays(
            tmp_path / "w.safetensors", arrays, dict(sorted({"step": 3, "loss": 0.25}.items(), reverse=turned))
        )
        contents.add((tmp_path / "w.safetensors").read_bytes())
    assert len(contents) == 1


def test_files_of_older_versions_are_read(tmp_path):
    """They have two keys of metadata."""
    from safetensors.numpy import save_file

    from textae.runs.arrays import _checksum

    arrays, described = {"a": np.arange(4, dtype=np.float32)}, '{"step": 3}'
    metadata = {"metadata": described, "crc32": str(_checksum(arrays, described))}
    save_file(arrays, tmp_path / "w.safetensors", metadata)
    found, state = read_arrays(tmp_path / "w.safetensors")
    np.testing.assert_array_equal(found["a"], arrays["a"])
    assert state == {"step": 3}


@pytest.mark.parametrize("content", [b"", b"abc", b"\xff" * 64, b"PK\x03\x04" + b"\0" * 40])
def test_other_files_are_no_weights(tmp_path, content):
    path = tmp_path / "w.safetensors"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="damaged or not of textae") as caught:
        read_arrays(path)
    assert "\n" not in str(caught.value)


def test_a_shortened_file(tmp_path):
    path = tmp_path / "w.safetensors"
    write_arrays(path, ARRAYS, {})
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(ValueError, match="damaged"):
        read_arrays(path)


def test_weights_of_another_program(tmp_path):
    from safetensors.numpy import save_file

    save_file({"a": np.zeros(3, np.float32)}, tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match="not of textae"):
        read_arrays(tmp_path / "w.safetensors")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ValueError, match="found no such file") as caught:
        read_arrays(tmp_path / "w.safetensors")
    assert str(tmp_path / "w.safetensors") in str(caught.value)


def test_the_configuration_comes_back(tmp_path):
    run = RunDir(tmp_path / "new" / "run")
    run.create(CONFIG, {"python": "3"})
    assert run.config() == CONFIG
    assert read_json(run / run_folder.ENVIRONMENT) == {"format": run_folder.FORMAT, "python": "3"}
    assert "ünïcode" in (run / run_folder.CONFIG).read_text(encoding="utf-8")
    assert not run.finished
    write_json(run / run_folder.METRICS, {"loss": 1.0})
    assert run.finished


def test_what_is_no_run_folder(tmp_path):
    with pytest.raises(ValueError, match="found no folder"):
        RunDir(tmp_path / "nowhere").config()
    with pytest.raises(ValueError, match=r"with config\.yaml, found none"):
        RunDir(tmp_path).config()
    (tmp_path / run_folder.CONFIG).write_text("a: 1")
    with pytest.raises(ValueError, match=r"with environment\.json, found none"):
        RunDir(tmp_path).config()
    write_json(tmp_path / run_folder.ENVIRONMENT, {"format": 99})
    with pytest.raises(ValueError, match=r"of format 2 or 3, found 99 in .*: train it anew"):
        RunDir(tmp_path).config()


@pytest.mark.parametrize(
    "text", ["a: [1", "- 1\n", "3", "", "a: !!python/object/apply:os.system ['true']", "\tb: 1", "[" * 3000]
)
def test_a_damaged_configuration(tmp_path, text):
    run = RunDir(tmp_path)
    run.create({}, {})
    (run / run_folder.CONFIG).write_text(text)
    with pytest.raises(ValueError, match=r"config\.yaml") as caught:
        run.config()
    assert "\n" not in str(caught.value)


def test_bytes_that_are_no_text_in_the_configuration(tmp_path):
    run = RunDir(tmp_path)
    run.create({}, {})
    (run / run_folder.CONFIG).write_bytes(b"a: \xff\xfe")
    with pytest.raises(ValueError, match=r"config\.yaml is damaged"):
        run.config()


def test_numbers_that_are_not_finite_become_null(tmp_path):
    values = {"a": float("nan"), "b": float("-inf"), "c": np.float64("inf"), "d": 1.5, "e": 3, "f": "ü"}
    write_json(tmp_path / "m.json", values)
    text = (tmp_path / "m.json").read_text(encoding="utf-8")
    assert json.loads(text) == {"a": None, "b": None, "c": None, "d": 1.5, "e": 3, "f": "ü"}
    assert "ü" in text and text.endswith("}\n")


@pytest.mark.parametrize("content", [b"{", b"[1]", b"\xff", b"[" * 100_000])
def test_damaged_json(tmp_path, content):
    (tmp_path / "m.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"m\.json"):
        read_json(tmp_path / "m.json")


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "m.json"
    write_json(path, {"old": 1})

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_json(path, {"new": 2})
    with pytest.raises(OSError, match="No space"):
        write_bytes(tmp_path / "other", b"x")
    assert [entry.name for entry in tmp_path.iterdir()] == ["m.json"]
    assert read_json(path) == {"old": 1}


def test_history(tmp_path):
    run = RunDir(tmp_path)
    run.write_history([{"step": 1, "loss": 0.5}, {"step": 2, "loss": 0.25, "late": 3}])
    assert (run / run_folder.HISTORY).read_text() == "step,loss,late\n1,0.5,\n2,0.25,3\n"


def test_of_two_checkpoints_the_newest_good_one_is_read(tmp_path):
    run = RunDir(tmp_path)
    assert run.read_checkpoint() is None
    for step in (1, 2, 3):
        run.write_checkpoint({"a": np.full(step, step)}, {"step": step})
        arrays, state, remark = run.read_checkpoint()
        assert (len(arrays["a"]), state, remark) == (step, {"step": step}, None)
    newest = (run / run_folder.CHECKPOINT).read_bytes()
    (run / run_folder.CHECKPOINT).write_bytes(newest[:-3])
    arrays, state, remark = run.read_checkpoint()
    assert (len(arrays["a"]), state) == (2, {"step": 2})
    assert re.search(r"checkpoint\.safetensors is damaged .*; going on from checkpoint\.previous\.safetensors", remark)
    (run / run_folder.CHECKPOINT).unlink()  # as when a process is killed between the two renames
    assert run.read_checkpoint()[1:] == ({"step": 2}, None)
    (run / run_folder.PREVIOUS).write_bytes(b"")
    with pytest.raises(ValueError, match=r"previous\.safetensors is damaged .* the run begins anew"):
        run.read_checkpoint()


def test_what_killed_processes_left_is_tidied_up(tmp_path):
    run = RunDir(tmp_path)
    (run / run_folder.TOKENIZER).mkdir()
    for name in (
        ".weights.safetensors.1234abcd.tmp",
        ".metrics.json.1234abcd.tmp",
        "tokenizer/.tokenizer.json.1234abcd.tmp",
    ):
        (run / name).write_bytes(b"half")
    run.write_checkpoint({"a": np.zeros(1)}, {})
    write_bytes(run / "mine.tmp", b"x")
    run.tidy()
    assert sorted(path.name for path in tmp_path.iterdir()) == [run_folder.CHECKPOINT, "mine.tmp", run_folder.TOKENIZER]
    assert list((run / run_folder.TOKENIZER).iterdir()) == []
    write_bytes(run / run_folder.PREVIOUS, b"x")
    write_json(run / run_folder.METRICS, {})
    run.tidy()
    assert not (run / run_folder.PREVIOUS).exists()
    assert (run / run_folder.CHECKPOINT).exists()  # with which a finished run is made longer


def test_removing(tmp_path):
    run = RunDir(tmp_path)
    write_bytes(run / run_folder.CHECKPOINT, b"x")
    run.remove(run_folder.CHECKPOINT, run_folder.PREVIOUS)
    run.remove(run_folder.CHECKPOINT)
    assert list(tmp_path.iterdir()) == []
