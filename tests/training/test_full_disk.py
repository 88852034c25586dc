"""A disk that is full, a folder that cannot be written, and one that is deleted: a line, and nothing good is lost."""

import contextlib
import resource
import shutil
import subprocess

import numpy as np
import pytest

from helpers.corpora import open_corpus
from helpers.runs import NOISY, same_run
from textae.config.schema import TextConfig, TokenizerConfig
from textae.data import token_store as tokenstore
from textae.data.preparation import prepare
from textae.runs import run_folder
from textae.runs.arrays import read_arrays
from textae.runs.run_folder import RunDir

pytestmark = pytest.mark.backend_free

TOKENS = TokenizerConfig(kind="bytes")


@pytest.fixture
def disk(tmp_path):
    """A function: a small file system of its own in a new folder."""
    made = []

    def mount(size):
        folder = tmp_path / f"disk{len(made)}"
        folder.mkdir()
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True)
        if done.returncode:
            pytest.skip("mounting needs root")
        made.append(folder)
        return folder

    if not shutil.which("mount"):
        pytest.skip("no mount")
    yield mount
    for folder in made:
        subprocess.run(["umount", "-l", folder], check=True)


@contextlib.contextmanager
def bounded_files():
    """Within this block a file can have 2,000 bytes: beyond that the system refuses to write."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def numbers(count):
    return {"a": np.arange(count, dtype=np.float32)}


def test_a_checkpoint_that_finds_no_room_leaves_the_last_ones(tmp_path):
    run = RunDir(tmp_path)
    for step in (1, 2):
        run.write_checkpoint(numbers(step), {"step": step})
    match = r"expected to write .*checkpoint\.safetensors \([\d,]+ bytes\), found: File too large"
    with bounded_files(), pytest.raises(OSError, match=match):
        run.write_checkpoint(numbers(3000), {"step": 3})
    assert sorted(path.name for path in tmp_path.iterdir()) == [run_folder.PREVIOUS, run_folder.CHECKPOINT]
    for name, step in ((run_folder.CHECKPOINT, 2), (run_folder.PREVIOUS, 1)):
        arrays, state = read_arrays(tmp_path / name)
        assert state == {"step": step}
        np.testing.assert_array_equal(arrays["a"], np.arange(step))


def test_a_tokenizer_and_a_store_that_find_no_room_leave_nothing(tmp_path):
    match = r"expected to write the token store .*store, found: File too large"
    with bounded_files(), pytest.raises(OSError, match=match):
        tokenstore.write_store(tmp_path / "store", [[np.full(9000, 5)]], 300)
    from textae.data.tokenizers import CharactersTokenizer

    match = r"expected to write .*tokenizer\.json \([\d,]+ bytes\), found: File too large"
    with bounded_files(), pytest.raises(OSError, match=match):
        CharactersTokenizer("".join(map(chr, range(5000, 9000)))).save(tmp_path / "tokenizer")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_preparing_on_a_full_disk(disk, corpus_file, tmp_path):
    long = tmp_path / "long.txt"
    long.write_text("".join(f"line {i} {'x' * 80}\n" for i in range(9000)))
    small = disk("512k")
    with pytest.raises(OSError, match=r"expected to write .*array_record.*, found: .*No space left on device"):
        open_corpus("text", small / "corpora", files=[long])
    assert not [path for path in small.rglob("*") if path.is_file() and path.suffix != ".lock"]
    large = disk("4m")
    open_corpus("text", large / "corpora", files=[long])
    filler = large / "filler"
    filler.write_bytes(bytes(shutil.disk_usage(large).free - 64 * 1024))
    with pytest.raises(OSError, match=r"expected to write .*found: No space left on device"):
        prepare(large, TextConfig(files=[long]), TOKENS)
    assert not list((large / "tokens").rglob("ids.bin"))
    filler.unlink()
    assert len(prepare(large, TextConfig(files=[long]), TOKENS).train) > 8000


def test_a_cache_that_is_only_read(disk, corpus_file, tmp_path):
    cache = disk("4m")
    corpus = TextConfig(files=[corpus_file])
    made = prepare(cache, corpus, TOKENS)
    subprocess.run(["mount", "-o", "remount,ro", cache], check=True)
    again = prepare(cache, corpus, TOKENS)
    assert len(again.train) == len(made.train)
    assert again.validation == made.validation
    with pytest.raises(OSError, match="Read-only file system"):
        prepare(cache, corpus, TokenizerConfig(kind="characters"))


@pytest.mark.slow
def test_a_training_on_a_full_disk_goes_on_when_there_is_room(forks, disk, corpus_file, tmp_path):
    place = disk("8m")
    arguments = [*NOISY, f"corpus.files=[{corpus_file}]", f"data_dir={tmp_path / 'data'}"]
    assert forks.run([*arguments, f"hydra.run.dir={tmp_path / 'whole'}"]).code == 0
    arguments.append(f"hydra.run.dir={place / 'run'}")
    ended = forks.run(arguments, at={"place": "saving", "call": 5, "fill": str(place / "filler")})
    assert ended.code == 1, ended
    last = ended.errors.splitlines()[-1]
    assert last.startswith("textae: expected to write ") and last.endswith("found: No space left on device"), last
    assert "Traceback" not in ended.errors
    assert not list((place / "run").glob(".*.tmp"))
    assert read_arrays(place / "run" / run_folder.CHECKPOINT)[1]["step"] == 4
    (place / "filler").unlink()
    ended = forks.run(arguments)
    assert ended.code == 0, ended
    same_run(tmp_path / "whole", place / "run")


@pytest.mark.slow
def test_folders_that_are_deleted_or_cannot_be_written(forks, disk, corpus_file, tmp_path):
    """The run's folder: a line. What was prepared: the run needs it no more, or makes it again."""
    arguments = [*NOISY, f"corpus.files=[{corpus_file}]", "training.max_steps=4"]
    gone = tmp_path / "gone"
    settings = [*arguments, f"data_dir={tmp_path / 'data'}", f"hydra.run.dir={gone}"]
    ended = forks.run(settings, at={"place": "saving", "call": 2, "remove": str(gone)})
    assert ended.code == 1, ended
    assert ended.errors.splitlines()[-1].startswith(f"textae: expected the folder {gone}, found it deleted")
    assert not gone.exists()

    kept = tmp_path / "kept"
    settings = [*arguments, f"data_dir={tmp_path / 'cache'}", f"hydra.run.dir={kept}"]
    ended = forks.run(settings, at={"place": "step", "call": 2, "remove": str(tmp_path / "cache")})
    assert ended.code == 0, ended
    assert ended.errors.count("prepared the corpus") == 2
    assert RunDir(kept).finished

    place = disk("8m")
    shutil.copytree(kept, place / "run")
    subprocess.run(["mount", "-o", "remount,ro", place], check=True)
    ended = forks.run([*arguments, f"data_dir={tmp_path / 'cache'}", f"hydra.run.dir={place / 'new'}"])
    assert ended.code in (1, 2)
    assert len(ended.errors.splitlines()) == 1, ended
    assert "Read-only file system" in ended.errors
    shown = forks.run([f"run={place / 'run'}", f"data_dir={tmp_path / 'cache'}"], command="evaluate")
    assert shown.code == 0, shown


@pytest.mark.slow
def test_four_runs_at_once_over_one_cache(forks, corpus_file, tmp_path):
    """And two of them in one folder: one does it, the other refuses."""
    arguments = [*NOISY, f"corpus.files=[{corpus_file}]", "training.max_steps=2", f"data_dir={tmp_path / 'data'}"]
    started = [
        forks.start([*arguments, f"training.seed={seed}", f"hydra.run.dir={tmp_path / folder}"])
        for seed, folder in ((0, "a"), (1, "b"), (2, "c"), (3, "d"), (0, "a"))
    ]
    ended = [forks.wait(process) for process in started]
    said = "".join(one.errors for one in ended)
    assert said.count("prepared the corpus text in") == 1
    assert said.count("trained the unigram tokenizer in") == 1
    assert said.count("tokenized ") == 1
    assert sorted(one.code for one in ended) == [0, 0, 0, 0, 2], said
    assert f"expected a run folder of its own, found another process in {tmp_path / 'a'}" in said
    for folder in "abcd":
        assert RunDir(tmp_path / folder).finished
    assert not list(tmp_path.rglob("*.tmp"))
