"""Large files are prepared in parts: whoever writes them, documents, splits, ids and files are the same."""

import hashlib
import io
import json
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from helpers.corpora import open_corpus
from textae.config.schema import TextConfig, TokenizerConfig
from textae.data import lines
from textae.data.corpora import files
from textae.data.parallel import Parallel, run_all
from textae.data.preparation import prepare
from textae.data.token_store import open_store, write_shards, write_store

pytestmark = pytest.mark.backend_free

SHARES = {"validation_share": 0.1, "test_share": 0.1}
BEAM = ["--runner=DirectRunner", "--direct_running_mode=multi_processing"]


@pytest.fixture
def parts(monkeypatch):
    """A function: from now on parts have so many bytes."""
    return lambda size: monkeypatch.setattr(files, "PART_BYTES", size)


@pytest.fixture
def written(tmp_path):
    """Two files of lines with different ends; the second is no larger than a part."""
    draw = random.Random(0)
    texts = [f"line {number} " + "wö" * draw.randint(0, 40) for number in range(300)]
    first, second = tmp_path / "a.txt", tmp_path / "b.txt"
    first.write_bytes(b"\xef\xbb\xbf" + "".join(text + draw.choice(["\n", "\r\n"]) for text in texts).encode() + b"end")
    second.write_text("".join(f"other {number}\n" for number in range(20)))
    return [str(first), str(second)]


def contents(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".lock"
    }


def documents(corpus):
    return {split: list(corpus.texts(split)) for split in corpus.sizes}


@pytest.mark.parametrize("size", [1, 5, 64, 1000])
@pytest.mark.parametrize("block", [7, 1 << 20])
def test_ranges_of_bytes_have_every_line_once(monkeypatch, size, block):
    monkeypatch.setattr(lines, "_BLOCK", block)
    for text in ["", "a", "\n", "\n\nab\n\n", "ab\r\ncd\n" * 9, "\ufeffmark\n\ufeffcontent", "x" * 99 + "\ny", "end\n"]:
        content = text.encode()
        read = []
        found = [
            line
            for start in range(0, len(content), size)
            for line in lines.lines_between(
                io.BytesIO(content), "lines", start, min(start + size, len(content)), read.append
            )
        ]
        assert found == list(lines.lines(io.BytesIO(content), "lines")), (text, size)
        assert sum(read) == len(content)


def test_parts_do_not_change_documents_nor_files(parts, written, tmp_path):
    whole = documents(open_corpus("text", tmp_path / "whole", files=written, **SHARES))
    parts(3000)
    one, two = tmp_path / "one", tmp_path / "two"
    corpus = open_corpus("text", one, files=written, workers=1, **SHARES)
    assert len(corpus.shards("train")) > 5
    assert documents(corpus) == whole
    other = open_corpus("text", two, files=written, workers=2, **SHARES)
    assert contents(one) == contents(two) and other.fingerprint == corpus.fingerprint
    assert not list(one.rglob("*.array_record"))


@pytest.mark.parametrize(
    "how",
    [
        {"workers": 2},
        *[
            pytest.param({"beam": [*BEAM, f"--direct_num_workers={workers}"]}, marks=pytest.mark.slow)
            for workers in (1, 2, 4)
        ],
    ],
    ids=["processes", "beam 1", "beam 2", "beam 4"],
)
def test_ids_are_those_of_one_process(parts, written, tmp_path, how):
    if "beam" in how:
        pytest.importorskip("apache_beam")
    tokenizer = TokenizerConfig(kind="bpe", vocabulary_size=300)

    def prepared(name, **settings):
        return prepare(tmp_path / name, TextConfig(files=written, **SHARES, **settings), tokenizer)

    whole = prepared("whole").train
    parts(6000)
    one = prepared("one", workers=1).train
    other = prepared("other", **how).train
    for store in (one, other):
        assert np.array_equal(store.lengths, whole.lengths) and store.tokens == whole.tokens
        assert all(np.array_equal(ours, theirs) for ours, theirs in zip(store, whole, strict=True))
        assert np.array_equal(store.token_counts(), whole.token_counts())
    assert contents(tmp_path / "one") == contents(tmp_path / "other")
    assert len(list((tmp_path / "one" / "tokens").rglob("ids.bin"))) > 2


def test_bad_records_are_named_by_their_lines(parts, written, tmp_path, capfd):
    with Path(written[0]).open("ab") as file:
        file.write(b"\nb\xffd\nnext\n")
    parts(3000)
    shared = {"files": written, "encoding": "utf-8", **SHARES}
    for workers in (1, 2):
        with pytest.raises(ValueError, match=r"a.txt, line 302: expected UTF-8, found byte 0xFF at byte 2 of the line"):
            open_corpus("text", tmp_path / f"stop {workers}", workers=workers, **shared)
        capfd.readouterr()
        open_corpus("text", tmp_path / f"skip {workers}", workers=workers, on_bad_record="skip", **shared)
        assert capfd.readouterr().err.count("line 302: expected UTF-8") == 1
    assert contents(tmp_path / "skip 1") == contents(tmp_path / "skip 2")
    guessed = {name: values for name, values in shared.items() if name != "encoding"}
    open_corpus("text", tmp_path / "guessed", workers=2, on_bad_record="skip", **guessed)


@pytest.mark.parametrize(
    ("first", "last", "found"),
    [(1, 2, 1), (1, 2.5, 1.0), (2.5, 1, 2.5), ("a", "b", "a"), (1, "b", ValueError), (True, 2, ValueError)],
)
def test_labels_of_parts_are_of_one_type(parts, tmp_path, first, last, found):
    path = tmp_path / "rows.jsonl"
    rows = [{"text": f"text {number}", "label": first if number < 30 else last} for number in range(60)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    given = {"files": path, "field": "text", "label": "label", **SHARES}
    parts(500)
    answers = []
    for name, size in (("parts", 500), ("whole", 1 << 20)):
        parts(size)
        try:
            corpus = open_corpus("text", tmp_path / name, workers=1, **given)
            answers.append({split: list(corpus.labels(split)) for split in corpus.sizes})
        except ValueError as error:
            answers.append(str(error))
    assert answers[0] == answers[1]
    if found is ValueError:
        assert answers[0].startswith("expected labels of one type, found ")
    else:
        assert answers[0]["train"][0] == found and type(answers[0]["train"][0]) is type(found)


def test_a_small_corpus_of_parts_has_every_split(parts, tmp_path):
    path = tmp_path / "three.txt"
    path.write_text("a\nb\nc\nd\n")
    whole = documents(open_corpus("text", tmp_path / "whole", files=path))
    parts(2)
    assert documents(open_corpus("text", tmp_path / "parts", files=path, workers=1)) == whole
    assert all(whole.values())


def test_shards_of_a_store_are_read_as_one(tmp_path):
    draw = np.random.default_rng(0)
    ids = [draw.integers(2, 300, length).astype(np.int32) for length in (3, 0, 5, 1, 0, 0, 7, 2)]
    cuts = [ids[:2], [], ids[2:6], ids[6:]]

    def write(folders):
        for folder, cut in zip(folders, cuts, strict=True):
            write_store(folder, [cut], 300)

    one, store = write_store(tmp_path / "one", [ids], 300), write_shards(tmp_path / "several", 4, write)
    assert len(store) == len(one) == 8 and store.tokens == one.tokens == 18
    assert all(np.array_equal(ours, theirs) for ours, theirs in zip(store, one, strict=True))
    for start in range(18):
        for length in range(18 - start):
            given = np.array([start, 17, 0]), np.array([length, 1, 4])
            assert np.array_equal(store.gather(*given), one.gather(*given))
            assert np.array_equal(store._ids[start : start + length], one._ids[start : start + length])
    assert np.array_equal(store.token_counts(), one.token_counts())
    store.verify()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_damaged_shard_is_named(tmp_path):
    folder = tmp_path / "store"

    def write(folders):
        for number, each in enumerate(folders):
            write_store(each, [[np.array([2 + number])]], 300)

    store = write_shards(folder, 2, write)
    (folder / "00001" / "ids.bin").write_bytes(b"\7\0")
    with pytest.raises(ValueError, match=r"00001/ids.bin is damaged"):
        store.verify()
    description = (folder / "store.json").read_text()
    for wrong in (
        description.replace('"tokens": 1', '"tokens": 2'), description.replace("00001", "../x"),
        json.dumps(json.loads(description) | {"shards": []}), json.dumps(json.loads(description) | {"shards": [1, 2]}),
    ):  # fmt: skip
        (folder / "store.json").write_text(wrong)
        with pytest.raises(ValueError, match="is not a usable token store: expected shards"):
            open_store(folder)
    (folder / "store.json").write_text(description)
    (folder / "00001" / "store.json").write_bytes((folder / "00000" / "store.json").read_bytes())
    with pytest.raises(ValueError, match="is damaged: expected the description of another shard"):
        open_store(folder)


def square(number):
    if number < 0:
        raise ValueError(f"expected no {number}")
    return number**2


def test_tasks_are_done_in_order_and_errors_come_out(tmp_path):
    for how in (Parallel(1), Parallel(2), Parallel(None)):
        assert list(run_all(square, [3, 1, 2], how, tmp_path)) == [9, 1, 4]
        with pytest.raises(ValueError, match="expected no -1"):
            list(run_all(square, [3, -1, 2], how, tmp_path))
    assert list(run_all(square, [3, 1], Parallel(1), tmp_path, here=str)) == ["3", "1"]
    assert list(run_all(square, [3, 1], Parallel(2), tmp_path, here=str)) == [9, 1]
    assert Parallel(8).processes(3) == 3 and Parallel(None).processes(10_000) >= 1


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="processes are looked up in /proc")
def test_processes_end_with_the_one_that_asked_for_them(tmp_path):
    (tmp_path / "naps.py").write_text(
        "import os, time\nfrom pathlib import Path\n\n\n"
        "def nap(folder):\n    Path(folder, str(os.getpid())).touch()\n    time.sleep(100)\n"
    )
    program = "import naps\nfrom pathlib import Path\nfrom textae.data.parallel import Parallel, run_all\n" + (
        f"list(run_all(naps.nap, [{str(tmp_path / 'seen')!r}] * 4, Parallel(2), Path()))"
    )
    seen = tmp_path / "seen"
    seen.mkdir()
    process = subprocess.Popen([sys.executable, "-c", program], cwd=tmp_path, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while len(list(seen.iterdir())) < 2 and time.monotonic() < deadline:
        time.sleep(0.1)
    process.kill()
    process.wait()
    workers = [path.name for path in seen.iterdir()]
    assert len(workers) == 2
    while any(Path("/proc", worker).exists() for worker in workers) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(Path("/proc", worker).exists() for worker in workers)


def test_beam_that_is_missing_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    with pytest.raises(ValueError, match=r"expected the package apache-beam, found none: docs/cluster.md"):
        list(run_all(square, [1, 2], Parallel(1, ("--runner=DirectRunner",)), tmp_path))
    with pytest.raises(ValueError, match=r"corpus.beam as options --NAME=VALUE, received 'runner'"):
        TextConfig(files=["a"], beam=["runner"])
