"""Corpora so small that a split has no document of its own."""

import random

import pytest

from helpers.corpora import open_corpus
from textae.data.corpora import SPLITS
from textae.data.corpora.splitting import Splitting

pytestmark = pytest.mark.backend_free

BOTH = ("validation", "test")


def split(documents, shares):
    """The split of each document, as `preparing` chooses it in its one or two passes; nothing is written."""
    splitting = Splitting(shares)
    found = [splitting(document) for document in documents]
    if {*found} != {*shares, "train"}:
        filled = splitting.filled()
        found = [filled(document) for document in documents]
    assert {*found} == {*shares, "train"}
    return dict(zip(documents, found, strict=True))


def corpora(count):
    """Small corpora, each with what is added to it, document by document or many at once."""
    draw = random.Random(3)
    for number in range(count):
        share = draw.choice([0.005, 0.02, 0.1, 0.3])
        shares = dict.fromkeys(draw.choice([BOTH, BOTH, ("test",), ("validation",)]), share)
        documents = [b"%d of %d" % (n, number) for n in range(draw.choice([5, 20, 120]))]
        yield shares, documents, [b"more %d of %d" % (n, number) for n in range(draw.choice([1, 30, 400]))]


def test_adding_documents_moves_none_out_of_train_nor_between_the_others():
    moved, refused, filled = set(), 0, 0
    for shares, documents, more in corpora(400):
        try:
            before = split(documents, shares)
        except ValueError:
            refused += 1
            continue
        filled += any(split_of != "train" and Splitting(shares)(d) == "train" for d, split_of in before.items())
        for added in (more[:1], more):
            after = split(documents + added, shares)
            moved |= {(before[d], after[d]) for d in documents if before[d] != after[d]}
            back = split(added + documents[::-1], shares)
            assert back == after  # the order of documents does not matter
    assert moved == {("test", "train"), ("validation", "train")}  # stand-ins, which go back
    assert filled > 100
    assert refused < 20


def test_only_the_empty_split_is_filled():
    documents = [b"%d" % n for n in range(60)]
    shares = {"test": 0.02, "validation": 0.02}
    own = {document: Splitting(shares)(document) for document in documents}
    assert [d for d, s in own.items() if s == "test"] == [b"3"]
    assert [d for d, s in own.items() if s == "validation"] == [b"33"]
    without = [d for d in documents if d != b"33"]
    found = split(without, shares)
    assert [d for d in without if found[d] == "test"] == [b"3"]
    assert [found[d] for d in without].count("validation") == 1
    assert split([*without, b"33"], shares) == own


@pytest.mark.parametrize(
    ("documents", "shares", "match"),
    [
        ([b"a", b"b", b"a"], {"validation": 0.02, "test": 0.02}, "at least 3 different documents, .*, found 2"),
        ([b"a", b"a"], {"test": 0.02}, "at least 2 different documents, one for each of test, train, found 1"),
        # 3, 68 and 137 are in the lowest fiftieth, 33 is in the highest.
        ([b"3", b"68", b"137"], {"test": 0.02}, "at least 1 different documents that fall to train .*, found 0: more"),
        ([b"3", b"68", b"1"], {"validation": 0.02, "test": 0.02}, "at least 2 .* train .*, 1 of them for validation, "),
        ([b"3", b"33", b"68"], {"validation": 0.02, "test": 0.02}, "found 0: .*smaller validation_share and test_sh"),
    ],
)
def test_what_cannot_be_promised_is_refused(documents, shares, match):
    with pytest.raises(ValueError, match=match) as caught:
        split(documents, shares)
    assert "\n" not in str(caught.value)


def test_a_small_corpus_that_grows(tmp_path):
    path = tmp_path / "lines.txt"
    path.write_text("".join(f"{n}\n" for n in range(60) if n != 33))
    small = open_corpus("text", tmp_path / "data", files=path)
    path.write_text("".join(f"{n}\n" for n in range(300)))
    large = open_corpus("text", tmp_path / "data", files=path)
    before, after = ({t: s for s in SPLITS for t in corpus.texts(s)} for corpus in (small, large))
    assert list(small.texts("test")) == ["3"]
    assert small.sizes["validation"] == 1
    assert {after[text] for text, split_of in before.items() if split_of == "train"} == {"train"}
