"""What is prepared once is found again, whoever makes it and however it ends."""

import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from textae.config.schema import TextConfig, TokenizerConfig
from textae.data import preparation as prepared
from textae.data import token_store as tokenstore
from textae.data.fingerprints import fingerprint
from textae.data.preparation import first_documents, in_portions, prepare

pytestmark = pytest.mark.backend_free

BYTES = TokenizerConfig(kind="bytes")
UNIGRAM = TokenizerConfig(vocabulary_size=300)


@pytest.fixture(scope="module")
def corpus(corpus_file):
    return TextConfig(files=[corpus_file], validation_share=0.1, test_share=0.1)


def folders(data_dir):
    return sorted(path.name for path in (data_dir / "tokens").iterdir() if path.is_dir())


def test_the_ids_are_those_of_the_texts(tmp_path, corpus):
    made = prepare(tmp_path, corpus, UNIGRAM)
    texts = list(made.corpus.texts("train"))
    assert len(made.train) == len(texts) == made.corpus.sizes["train"]
    assert made.tokenizer.decode([made.train[i] for i in range(len(texts))]) == texts
    assert made.tokenizer.vocabulary_size == 300
    assert made.validation == list(made.corpus.texts("validation"))
    assert len(made.validation) > 5
    assert prepare(tmp_path, corpus, UNIGRAM, 3).validation == made.validation[:3]


def test_the_first_documents_are_both_splits(tmp_path, corpus):
    made = prepare(tmp_path, corpus, BYTES)
    few = first_documents(made, 3)
    assert few.validation == list(made.corpus.texts("train"))[:3]
    assert few.train.tokens == sum(len(text.encode()) for text in few.validation)
    np.testing.assert_array_equal(few.train[2], made.train[2])
    assert len(first_documents(made, 10**6).train) == len(made.train)


def test_it_is_made_once(tmp_path, corpus, monkeypatch):
    first = prepare(tmp_path, corpus, UNIGRAM)
    monkeypatch.setattr(prepared, "train_tokenizer", None)
    monkeypatch.setattr(prepared, "write_store", None)
    second = prepare(tmp_path, corpus, UNIGRAM)
    np.testing.assert_array_equal(first.train[5], second.train[5])


def test_other_settings_are_another_folder(tmp_path, corpus, corpus_file):
    prepare(tmp_path, corpus, BYTES)
    assert len(folders(tmp_path)) == 1
    prepare(tmp_path, corpus, TokenizerConfig(kind="characters"))
    prepare(tmp_path, replace(corpus, test_share=0.2), BYTES)
    assert len(folders(tmp_path)) == 3
    other = tmp_path / "more.txt"
    other.write_text(corpus_file.read_text(encoding="utf-8") + "one line more\n", encoding="utf-8")
    prepare(tmp_path, replace(corpus, files=[other]), BYTES)
    assert len(folders(tmp_path)) == 4


def test_fingerprints():
    assert fingerprint("a", 1) == fingerprint("a", 1)
    assert len({fingerprint("a", 1), fingerprint("a", "1"), fingerprint("a1"), fingerprint(("a", 1))}) == 4
    assert set(fingerprint()) <= set("0123456789abcdef")


@pytest.mark.parametrize("where", ["write_store", "save"])
def test_what_was_killed_in_the_middle_is_not_taken_for_whole(tmp_path, corpus, monkeypatch, where):
    class Killed(BaseException):
        pass

    def half(encoded):
        yield next(iter(encoded))
        raise Killed

    with monkeypatch.context() as patch:
        if where == "write_store":
            patch.setattr(tokenstore.shutil, "rmtree", lambda *a, **k: None)  # as if nothing could be tidied up
            patch.setattr(prepared, "_ENCODED_AT_ONCE", 100)
            write = prepared.write_store
            patch.setattr(prepared, "write_store", lambda folder, encoded, size: write(folder, half(encoded), size))
        else:

            def stopped(self, folder):
                folder.mkdir(parents=True)
                (folder / "tokenizer.model").write_bytes(b"half")
                raise Killed

            patch.setattr("textae.data.tokenizers.Tokenizer.save", stopped)
        with pytest.raises(Killed):
            prepare(tmp_path, corpus, UNIGRAM)
    made = prepare(tmp_path, corpus, UNIGRAM)
    assert made.tokenizer.decode([made.train[i] for i in range(len(made.train))]) == list(made.corpus.texts("train"))
    assert sorted(path.name for path in made.train.folder.parent.iterdir()) == ["tokenizer", "train"]


def test_a_corpus_that_was_deleted_is_prepared_again(tmp_path, corpus_file):
    path = tmp_path / "a.txt"
    path.write_bytes(corpus_file.read_bytes())
    made = prepare(tmp_path / "data", TextConfig(files=[path]), BYTES)
    texts = list(made.test_texts())
    shutil.rmtree(tmp_path / "data")
    assert list(made.test_texts()) == texts
    shutil.rmtree(tmp_path / "data")
    path.write_text("something\nelse\nnow\n")
    with pytest.raises(ValueError, match="expected what it was made from as it was"):
        made.test_texts()


def test_a_damaged_store_is_noticed(tmp_path, corpus):
    made = prepare(tmp_path, corpus, BYTES)
    path = made.train.folder / tokenstore.IDS_FILE
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(ValueError, match=r"ids\.bin is damaged: .*; without the folder .* it is made anew") as caught:
        prepare(tmp_path, corpus, BYTES)
    shutil.rmtree(str(caught.value).split("without the folder ")[1].removesuffix(" it is made anew"))
    assert len(prepare(tmp_path, corpus, BYTES).train) == len(made.train)


TWO = """
import logging, sys
from pathlib import Path
from textae.config.schema import TextConfig, TokenizerConfig
from textae.data.preparation import prepare
logging.basicConfig(level=logging.INFO)
made = prepare(
    Path(sys.argv[1]),
    TextConfig(files=[sys.argv[2]], validation_share=0.1, test_share=0.1),
    TokenizerConfig(vocabulary_size=300),
)
print(len(made.train), made.train.tokens, made.tokenizer.vocabulary_size)
"""


def test_two_processes_at_once(tmp_path, corpus, corpus_file):
    command = [sys.executable, "-c", TWO, str(tmp_path), str(corpus_file)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    running = [subprocess.Popen(command, **pipes) for _ in range(2)]
    answers = [process.communicate() for process in running]
    assert [process.returncode for process in running] == [0, 0], answers
    assert answers[0][0] == answers[1][0]
    said = answers[0][1] + answers[1][1]
    assert said.count("trained the unigram tokenizer") == 1
    assert said.count("tokenized ") == 1
    made = prepare(tmp_path, corpus, UNIGRAM)
    assert answers[0][0].split() == [str(len(made.train)), str(made.train.tokens), "300"]
    assert [p.name for p in made.train.folder.parent.iterdir() if "tmp" in p.name] == []


def test_portions():
    assert list(in_portions([])) == []
    assert list(in_portions(["ab", "", "c", "dddddd", "e"], 4)) == [["ab", ""], ["c", "dddddd"], ["e"]]
    assert list(in_portions(iter(["ab"]), 100)) == [["ab"]]
