"""What is written under a name: whole or not at all, through links, and into what is no regular file as a stream."""

import ast
import os
import shutil
import stat
import subprocess
import threading
from pathlib import Path

import numpy as np
import pytest

import textae
from textae.cli.commands import line_writer
from textae.files import leftovers, target, write_bytes, write_csv, write_text, writing
from textae.inference import latent_files as latentfiles
from textae.inference.latent_files import LatentWriter
from textae.runs.json_files import write_json

pytestmark = [pytest.mark.backend_free, pytest.mark.skipif(os.name != "posix", reason="pipes and links")]


class Reader:
    """Reads a pipe to its end in a thread."""

    def __init__(self, path):
        os.mkfifo(path)
        self.path, self.content = path, b""
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        self.content = self.path.read_bytes()

    def read(self):
        self.thread.join(10)
        assert not self.thread.is_alive()
        assert stat.S_ISFIFO(self.path.lstat().st_mode)
        return self.content


def test_a_file_is_replaced_when_all_is_written(tmp_path):
    path = tmp_path / "a"
    path.write_text("old")
    path.chmod(0o640)
    with writing(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    with pytest.raises(KeyError), writing(path) as file:
        file.write(b"half")
        raise KeyError
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_device_stays_a_device(tmp_path):
    path = tmp_path / "null.csv"
    try:
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("devices need root")
    write_csv(path, [{"a": 1}])
    with line_writer(str(path)) as write:
        write(["a line"])
    assert stat.S_ISCHR(path.lstat().st_mode)
    assert path.stat().st_rdev == os.makedev(1, 3)
    assert list(tmp_path.iterdir()) == [path]


def test_a_pipe_takes_what_is_written_as_it_comes(tmp_path):
    reader = Reader(tmp_path / "pipe")
    with line_writer(str(reader.path)) as write:
        write(["one", "two\nlines"])
        write(["three"])
    assert reader.read() == b"one\ntwo lines\nthree\n"
    reader.path.unlink()
    reader = Reader(tmp_path / "pipe")
    write_csv(reader.path, [{"a": 1, "b": 2}])
    assert reader.read() == b"a,b\r\n1,2\r\n"


def test_a_pipe_whose_reader_has_seen_enough(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    with pytest.raises(BrokenPipeError), line_writer(str(tmp_path / "pipe")) as write:
        os.close(reader)
        write(["a line"])
    assert stat.S_ISFIFO((tmp_path / "pipe").lstat().st_mode)


def test_links_are_written_through(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_text("old")
    (tmp_path / "folder" / "link").symlink_to("file")
    (tmp_path / "first").symlink_to(tmp_path / "folder" / "link")
    write_text(tmp_path / "first", "new")
    assert (tmp_path / "first").is_symlink() and (tmp_path / "folder" / "link").is_symlink()
    assert (tmp_path / "folder" / "file").read_text() == "new"
    (tmp_path / "to be").symlink_to("folder/made")
    write_text(tmp_path / "to be", "made")
    assert (tmp_path / "to be").is_symlink()
    assert (tmp_path / "folder" / "made").read_text() == "made"
    assert sorted(path.name for path in (tmp_path / "folder").iterdir()) == ["file", "link", "made"]


def test_names_that_cannot_be_written_are_told_before_any_work(tmp_path):
    (tmp_path / "into nothing").symlink_to("no/file")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "to a folder").symlink_to(tmp_path)
    for name, says in (
        ("into nothing", r"csv: expected the folder .*no to exist, found none"),
        ("loop", "csv: expected the name of a file, found a loop of links at .*loop"),
        ("to a folder", "csv: expected the name of a file, found the folder .*to a folder"),
        ("no/file", r"csv: expected the folder .*no to exist, found none"),
        ("n" * 300, "csv: expected a name of a file, found .*: File name too long"),
        ("loop/file", "csv: expected"),
    ):
        with pytest.raises(ValueError, match=says):
            target(tmp_path / name, "csv")
    write_text(tmp_path / ("n" * 250), "a name as long as there can be")
    assert (tmp_path / ("n" * 250)).is_file()


def test_a_file_that_only_may_be_read(tmp_path, monkeypatch):
    (tmp_path / "mine").write_text("mine")
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).is_dir())  # root may do all
    with pytest.raises(PermissionError, match=r"output: expected a file that may be written, found .*mine"):
        write_text(tmp_path / "mine", "other")
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(PermissionError, match="output: expected a folder that may be written to"):
        write_text(tmp_path / "new", "other")


@pytest.mark.skipif(not Path("/dev/fd").exists(), reason="/dev/fd")
def test_a_descriptor_is_written_where_it_stands(tmp_path):
    """As behind >> of a shell: what is there stays."""
    path = tmp_path / "log"
    path.write_text("before\n")
    with path.open("ab") as file:
        write_text(f"/dev/fd/{file.fileno()}", "after\n")
        (tmp_path / "link").symlink_to(f"/dev/fd/{file.fileno()}")
        write_text(tmp_path / "link", "again\n")
    assert path.read_text() == "before\nafter\nagain\n"
    assert list(tmp_path.iterdir()) != []
    with path.open("rb") as file, pytest.raises(ValueError, match="to be open for writing, found it open for reading"):
        target(f"/dev/fd/{file.fileno()}")
    with pytest.raises(ValueError, match="expected /dev/fd/987 to be open, found it closed"):
        target("/dev/fd/987")


def test_files_of_a_run_are_not_written_through_links(tmp_path):
    (tmp_path / "other").write_text("mine")
    (tmp_path / "link").symlink_to("other")
    os.mkfifo(tmp_path / "pipe")
    for name, kind in (("link", "link"), ("pipe", "pipe")):
        with pytest.raises(ValueError, match=f"expected a file of its own at .*{name}, found a {kind}"):
            write_json(tmp_path / name, {"a": 1})
    assert (tmp_path / "other").read_text() == "mine"


def test_a_single_file_that_is_mounted_is_written_into(tmp_path):
    """As a container is given one: it cannot be replaced."""
    (tmp_path / "outside").write_text("a longer text than the new one")
    (tmp_path / "inside").touch()
    mount = ["mount", "--bind", tmp_path / "outside", tmp_path / "inside"]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting needs root")
    try:
        write_text(tmp_path / "inside", "new")
        assert (tmp_path / "outside").read_text() == "new"
        assert sorted(path.name for path in tmp_path.iterdir()) == ["inside", "outside"]
    finally:
        subprocess.run(["umount", tmp_path / "inside"], check=True)


@pytest.mark.parametrize("suffix", ["npy", "npz", "parquet"])
def test_latents_go_into_pipes_too(tmp_path, suffix):
    """Formats whose beginning is known last are collected first."""
    latents = [np.arange(3, dtype=np.float32) + i for i in range(4)]
    kind = "vector" if suffix == "npy" else "sequence"
    latents = latents if kind == "vector" else [array[None] for array in latents]
    reader = Reader(tmp_path / f"z.{suffix}")
    with LatentWriter(reader.path, kind, 3) as out:
        out.write(latents)
    write_bytes(tmp_path / f"copy.{suffix}", reader.read())
    (found,) = latentfiles.read(tmp_path / f"copy.{suffix}", kind, 3)
    np.testing.assert_array_equal(found, latents)
    assert len(list(tmp_path.iterdir())) == 2


def test_what_a_killed_process_leaves_is_known_by_its_name(tmp_path):
    for name in (".draft.tmp", "mine.tmp", ".a.1234abcd.tmp", ".notes.2024.tmp"):
        (tmp_path / name).touch()
    assert [path.name for path in leftovers(tmp_path)] == [".a.1234abcd.tmp"]


def test_one_module_writes_files():
    """Elsewhere only a sweep's marks and the tasks of Beam's workers are written, in temporary folders."""
    for path in Path(textae.__file__).parent.rglob("*.py"):
        if path.name in ("files.py", "sweeps.py", "parallel.py"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            assert name != "write_text" or isinstance(node.func, ast.Name), f"{path.name}:{node.lineno}"
            assert name != "write_bytes" or isinstance(node.func, ast.Name), f"{path.name}:{node.lineno}"
            modes = [arg.value for arg in node.args if isinstance(arg, ast.Constant)]
            if name == "open" and any(
                isinstance(mode, str)
                and set(mode) & set("wax+") <= set(mode)
                and mode in ("w", "wb", "a", "ab", "x", "xb", "w+b", "r+b")
                for mode in modes
            ):
                assert path.name == "archives.py", f"{path.name}:{node.lineno}"  # a member of an archive
