"""Prepared corpora: splits, fingerprints, and a folder that is there whole or not at all."""

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tensorflow_datasets as tfds

from helpers.corpora import open_corpus
from textae.config.command_schemas import RunCorpusConfig
from textae.data import corpora
from textae.data.corpora import SPLITS
from textae.data.corpora.splitting import Splitting
from textae.progress import Progress

pytestmark = pytest.mark.backend_free

NUMBERS = [f"number {n} \0 ☃ {n * n}" for n in range(1000)]


def write(path, lines):
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8", newline="\n")
    return path


def split_of(corpus):
    return {text: split for split in SPLITS for text in corpus.texts(split)}


@pytest.fixture
def numbers(tmp_path):
    return write(tmp_path / "numbers.txt", NUMBERS)


def run(code, *arguments, **options):
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, env=environment, text=True, stderr=subprocess.PIPE, **options)


def test_every_document_is_in_one_split_and_in_order(tmp_path, numbers):
    corpus = open_corpus("text", tmp_path / "data", files=[numbers], validation_share=0.1, test_share=0.2)
    texts = {split: list(corpus.texts(split)) for split in SPLITS}
    assert {split: len(group) for split, group in texts.items()} == corpus.sizes
    assert sorted(itertools.chain(*texts.values())) == sorted(NUMBERS)
    assert all(group == sorted(group, key=NUMBERS.index) for group in texts.values())
    assert 150 < corpus.sizes["test"] < 250
    assert 70 < corpus.sizes["validation"] < 130


def test_it_is_a_tfds_data_set(tmp_path, numbers):
    corpus = open_corpus("text", tmp_path / "data", files=[numbers])
    texts = [text.encode() for text in corpus.texts("test")]
    by_folder = tfds.builder_from_directory(corpus.folder)
    by_name = tfds.builder(f"text/{corpus.fingerprint}", data_dir=tmp_path / "data")
    for builder in (by_folder, by_name):
        assert [example["text"] for example in builder.as_data_source("test")] == texts
        assert isinstance(builder.info.features["text"], tfds.features.Text)
        assert builder.info.splits["train"].num_examples == corpus.sizes["train"]


def test_nothing_heavy_is_imported(tmp_path, numbers):
    code = """
import sys
from pathlib import Path
from textae.config.schema import TextConfig
from textae.data import corpora
light = "tensorflow_datasets" in sys.modules
corpus = corpora.open_corpus(TextConfig(files=[sys.argv[1]]), Path(sys.argv[2]))
sys.exit(light or len(list(corpus.texts("train"))) < 900 or "tensorflow" in sys.modules)
"""
    process = run(code, numbers, tmp_path / "data")
    errors = process.communicate()[1]
    assert process.returncode == 0, errors


def test_the_split_of_a_document_stays_when_files_and_shares_change(tmp_path, numbers):
    more = write(tmp_path / "more.txt", [f"more {n}" for n in range(500)])
    data = tmp_path / "data"
    first = split_of(open_corpus("text", data, files=[numbers]))
    second = split_of(open_corpus("text", data, files=[more, numbers]))
    assert first.items() <= second.items()
    third = split_of(open_corpus("text", data, files=[numbers], test_share=0.3))
    assert {text for text, split in third.items() if split == "validation"} == {
        text for text, split in first.items() if split == "validation"
    }


def test_duplicates_are_kept_in_one_split(tmp_path):
    path = write(tmp_path / "twice.txt", NUMBERS * 2)
    corpus = open_corpus("text", tmp_path / "data", files=path, test_share=0.3)
    assert sum(corpus.sizes.values()) == 2000
    groups = [set(corpus.texts(split)) for split in SPLITS]
    assert sum(map(len, groups)) == 1000


def test_the_split_of_a_document_never_changes_between_versions():
    splitting = Splitting({"test": 0.02, "validation": 0.02})
    assert [n for n in range(300) if splitting(b"%d" % n) == "test"] == [3, 68, 137, 145, 195, 224]
    assert [n for n in range(300) if splitting(b"%d" % n) == "validation"] == [33, 114, 155]


def test_test_files_and_validation_files(tmp_path, numbers):
    test = write(tmp_path / "test.txt", ["t1", "t2"])
    validation = write(tmp_path / "validation.txt", ["v1"])
    corpus = open_corpus("text", tmp_path / "data", files=f"{tmp_path}/*.txt", test_files=[test])
    assert list(corpus.texts("test")) == ["t1", "t2"]
    assert corpus.sizes["train"] + corpus.sizes["validation"] == 1001
    assert corpus.sizes["validation"] > 5
    settings = {"files": f"{tmp_path}/*.txt", "test_files": [test], "validation_files": validation}
    corpus = open_corpus("text", tmp_path / "data", **settings)
    assert list(corpus.texts("validation")) == ["v1"]
    assert list(corpus.texts("train")) == NUMBERS
    with pytest.raises(ValueError, match=r"test_files: expected files of their own"):
        open_corpus("text", tmp_path / "data", files=numbers, test_files=test, validation_files=test)
    with pytest.raises(ValueError, match="files: expected one that no other setting names"):
        open_corpus("text", tmp_path / "data", files=test, test_files=test)


def test_few_documents_still_fill_every_split(tmp_path):
    three = open_corpus("text", tmp_path / "data", files=write(tmp_path / "a.txt", ["a", "b", "c", "b"]))
    assert all(three.sizes[split] for split in SPLITS)
    assert sum(three.sizes.values()) == 4
    assert len(split_of(three)) == 3
    with pytest.raises(ValueError, match=r"at least 3 different documents, one for each .*, found 2"):
        open_corpus("text", tmp_path / "data", files=write(tmp_path / "b.txt", ["a", "b", "b"]))
    two = open_corpus("text", tmp_path / "data", files=tmp_path / "b.txt", test_files=tmp_path / "a.txt")
    assert two.sizes["test"] == 4
    assert sorted([two.sizes["train"], two.sizes["validation"]]) == [1, 2]


def test_an_empty_corpus(tmp_path, numbers):
    empty = write(tmp_path / "empty.txt", ["", ""])
    with pytest.raises(ValueError, match="corpus text: expected documents, found none"):
        open_corpus("text", tmp_path / "data", files=empty)
    with pytest.raises(ValueError, match="expected documents for the split test, found none"):
        open_corpus("text", tmp_path / "data", files=numbers, test_files=empty)
    assert not [path for path in (tmp_path / "data" / "text").iterdir() if path.is_dir()]


@pytest.mark.parametrize("share", [0, 1, -0.1, 1.5])
def test_shares_out_of_range(tmp_path, numbers, share):
    with pytest.raises(ValueError, match=f"expected corpus.test_share .*, received {share}"):
        open_corpus("text", tmp_path / "data", files=numbers, test_share=share)


def test_unknown_kind_and_split(tmp_path, numbers):
    with pytest.raises(ValueError, match=r"expected corpus\.kind as one of pydocs, text, tfds, received 'run'"):
        corpora.open_corpus(RunCorpusConfig(), tmp_path)
    corpus = open_corpus("text", tmp_path / "data", files=numbers)
    with pytest.raises(ValueError, match="expected one of train, validation, test, found dev"):
        list(corpus.texts("dev"))


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_labels(tmp_path, kind):
    rows = [{"t": text, "l": n % 3} for n, text in enumerate(NUMBERS)]
    path = tmp_path / f"a.{kind}"
    if kind == "csv":
        write(path, ["t,l", *(f"{row['t']},{row['l']}" for row in rows)])
    else:
        write(path, map(json.dumps, rows))
    corpus = open_corpus("text", tmp_path / "data", files=path, field="t", label="l")
    kept = dict(zip(corpus.texts("test"), corpus.labels("test"), strict=True))
    expected = {row["t"]: str(row["l"]) if kind == "csv" else row["l"] for row in rows}
    assert len(kept) > 5
    assert kept.items() <= expected.items()
    assert corpus.labelled


def test_labels_of_two_types_and_none(tmp_path, numbers):
    path = write(tmp_path / "a.jsonl", ['{"t": "x", "l": 1}', '{"t": "y", "l": "1"}'])
    with pytest.raises(ValueError, match="expected labels of one type, found int first, then str '1'"):
        open_corpus("text", tmp_path / "data", files=path, field="t", label="l")
    corpus = open_corpus("text", tmp_path / "data", files=numbers)
    with pytest.raises(ValueError, match="expected label=NAME"):
        next(corpus.labels("test"))


def test_the_fingerprint_is_of_content_and_settings_not_of_paths(tmp_path, numbers):
    data = tmp_path / "data"
    first = open_corpus("text", data, files=numbers).fingerprint
    moved = tmp_path / "elsewhere.txt"
    moved.write_bytes(numbers.read_bytes())
    assert open_corpus("text", data, files=moved).fingerprint == first
    others = {
        open_corpus("text", data, files=numbers, test_share=0.03).fingerprint,
        open_corpus("text", data, files=numbers, max_characters=9).fingerprint,
        open_corpus("text", data, files=numbers, test_files=write(tmp_path / "t.txt", ["t"])).fingerprint,
        open_corpus("text", data, files=write(moved, [*NUMBERS, "one more"])).fingerprint,
        first,
    }
    assert len(others) == 5


def test_preparing_twice_gives_the_same_bytes(tmp_path, numbers):
    folders = [open_corpus("text", tmp_path / name, files=numbers).folder for name in "ab"]
    files = [{path.name: path.read_bytes() for path in folder.iterdir()} for folder in folders]
    assert files[0] == files[1]


def test_a_prepared_corpus_is_not_prepared_again(tmp_path, numbers, capsys):
    open_corpus("text", tmp_path / "data", files=numbers)
    assert "prepared the corpus text" in capsys.readouterr().err
    open_corpus("text", tmp_path / "data", files=numbers)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["train", "test", "dataset_info.json", "features.json"])
@pytest.mark.parametrize("how", ["missing", "truncate", "changed", "empty"])
def test_a_damaged_corpus_is_named(tmp_path, numbers, name, how):
    corpus = open_corpus("text", tmp_path / "data", files=numbers)
    path = next(path for path in corpus.folder.iterdir() if name in path.name)
    content = path.read_bytes()
    if how == "missing":
        path.unlink()
    else:
        middle = content.find(b"number ") if ".array_record" in path.name else len(content) // 2  # not in padding
        changed = content[:middle] + bytes([content[middle] ^ 0x80]) + content[middle + 1 :]
        path.write_bytes({"truncate": content[:middle], "changed": changed, "empty": b""}[how])
    with pytest.raises(ValueError, match=r"is damaged: .*; without the folder .* it is prepared anew") as caught:
        again = open_corpus("text", tmp_path / "data", files=numbers)
        for split in SPLITS:
            list(again.texts(split))
    assert str(corpus.folder) in str(caught.value) and "\n" not in str(caught.value)


OPEN = """
import logging, sys
from pathlib import Path
from textae.config.schema import TextConfig
from textae.data import corpora
logging.basicConfig(level=logging.INFO)
corpus = corpora.open_corpus(TextConfig(files=[sys.argv[1]]), Path(sys.argv[2]))
print(corpus.fingerprint, corpus.sizes, sum(map(len, corpus.texts("train"))))
"""


@pytest.mark.slow
def test_processes_that_prepare_one_corpus_at_once(tmp_path):
    files = write(tmp_path / "big.txt", (f"number {n}" for n in range(200_000)))
    processes = [run(OPEN, files, tmp_path / "data", stdout=subprocess.PIPE) for _ in range(3)]
    results = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], results
    assert len({out for out, _ in results}) == 1
    assert sum("prepared the corpus" in err for _, err in results) == 1
    assert len([path for path in (tmp_path / "data" / "text").iterdir() if path.is_dir()]) == 1


@pytest.mark.slow
def test_a_process_that_is_killed_leaves_nothing_that_counts(tmp_path):
    files = write(tmp_path / "big.txt", (f"number {n}" for n in range(500_000)))
    process = run(OPEN, files, tmp_path / "data", stdout=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while not (written := list(Path(tmp_path).glob("data/text/*.incomplete/*/*train*"))):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert written[0].exists()
    assert [path.suffix for path in (tmp_path / "data/text").iterdir() if path.is_dir()] == [".incomplete"]
    corpus = open_corpus("text", tmp_path / "data", files=files)
    assert sum(corpus.sizes.values()) == 500_000
    assert sum(1 for _ in corpus.texts("train")) == corpus.sizes["train"]
    assert [path.name for path in (tmp_path / "data/text").iterdir() if path.is_dir()] == [corpus.fingerprint]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["txt", "jsonl"])
def test_memory_is_bounded(tmp_path, kind):
    psutil = pytest.importorskip("psutil")
    path = tmp_path / f"a.{kind}"
    with path.open("w") as file:
        for n in range(300_000):
            text = f"{n} " + "some words that repeat themselves " * 30
            file.write(text + "\n" if kind == "txt" else json.dumps({"t": text}) + "\n")
    code = OPEN.replace("files=[sys.argv[1]]", "files=[sys.argv[1]], field='t'") if kind == "jsonl" else OPEN
    process = run(code, path, tmp_path / "data", stdout=subprocess.PIPE)
    peak, watched = 0, psutil.Process(process.pid)
    while process.poll() is None:
        try:
            peak = max(peak, watched.memory_info().rss)
        except psutil.Error:
            break
        time.sleep(0.02)
    errors = process.communicate()[1]
    assert process.returncode == 0, errors
    assert 50e6 < peak < 400e6  # of 300 MB of text


def test_progress_is_plain_lines_without_a_terminal(capsys):
    with Progress("reading", 200, seconds=0) as progress:
        for _ in range(2):
            progress.advance(100)
    assert capsys.readouterr() == ("", "reading: 50 %\nreading: 100 %\n")
    with Progress("reading", 200) as progress:
        progress.advance(200)
    assert capsys.readouterr() == ("", "")


def test_progress_is_a_bar_on_a_terminal(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with Progress("reading", 200) as progress:
        progress.advance(100)
        progress._bar.refresh()
    printed = capsys.readouterr().err
    assert "reading:  50%" in printed
    assert "\n" not in printed.strip()
