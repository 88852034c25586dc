"""Documentation of the running Python: what counts as a document, the cap, and that nothing is imported."""

import subprocess
import sys

import pytest

from helpers.corpora import open_corpus
from textae.config.schema import PydocsConfig
from textae.data.corpora import fingerprint_of, pydocs

pytestmark = pytest.mark.backend_free

SOURCE = '''"""A module about things.

    It has an indented paragraph,
    of two lines.
"""
raise RuntimeError("parsed, never imported")

class Thing:
    """A thing that can be made. \u2603"""
    def make(self):
        """Make the thing that it is.
\t\x20
        Too short
        """
    async def wait(self):
        """A module about things."""
        def inner():
            r"""Deep inside, with a \\d escape."""
'''
PARAGRAPHS = [
    "A module about things.",
    "It has an indented paragraph,\nof two lines.",
    "A thing that can be made. \u2603",
    "Make the thing that it is.",
    "Deep inside, with a \\d escape.",
]


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "thing.py"
    path.write_text(SOURCE, encoding="utf-8")
    return ("thing.py", path, path.stat().st_size)


def test_paragraphs_of_docstrings_each_once(source):
    assert list(pydocs.paragraphs([source])) == PARAGRAPHS
    assert list(pydocs.paragraphs([source, source])) == PARAGRAPHS


def test_sources_that_do_not_parse_are_passed_over(tmp_path, source):
    for name, content in [
        ("a.py", b"def {"),
        ("b.py", b"\xff"),
        ("c.py", b'"""\\ud800 is a lone surrogate"""'),
    ]:
        (tmp_path / name).write_bytes(content)
    others = [(name, tmp_path / name, 5) for name in ("a.py", "b.py", "c.py", "missing.py")]
    assert list(pydocs.paragraphs([*others, source])) == PARAGRAPHS


def test_help_topics(tmp_path):
    path = tmp_path / "topics.py"
    path.write_text("# generated\ntopics = {'assert': 'The assert statement.\\n\\nIt is convenient for debugging.'}\n")
    expected = ["The assert statement.", "It is convenient for debugging."]
    assert list(pydocs.paragraphs([("pydoc_data/topics.py", path, 9)])) == expected


def test_the_cap_takes_a_sample_that_does_not_depend_on_the_order():
    texts = [f"text number {n}" for n in range(1000)]
    kept = list(pydocs.capped(iter(texts), 5000))
    assert 4900 < sum(map(len, kept)) <= 5000
    assert kept == sorted(kept, key=texts.index)
    assert set(kept) == set(pydocs.capped(reversed(texts), 5000))
    assert list(pydocs.capped(iter(texts), 10**6)) == texts


def test_sources_are_those_of_the_standard_library_and_of_packages():
    library = [name for name, _, _ in pydocs.standard_library()]
    assert {"json/decoder.py", "pydoc_data/topics.py"} <= set(library)
    assert not [name for name in library if "site-packages" in name or name.startswith("test/")]
    packages = pydocs.packages(10**12)
    assert any(name.startswith("numpy/") for name, _, _ in packages)
    assert not any(name.startswith("textae/") for name, _, _ in packages)
    sample = pydocs.packages(5_000_000)
    assert set(sample) < set(packages)
    assert 4_000_000 < sum(size for _, _, size in sample) <= 5_000_000


def test_packages_can_be_left_out():
    library = sum(size for _, _, size in pydocs.standard_library())
    settings = PydocsConfig(packages=False)
    alone, all_of_them = (
        sum(part.size for part in pydocs.specification(each).parts) for each in (settings, PydocsConfig())
    )
    assert alone == library < all_of_them
    assert fingerprint_of(settings) != fingerprint_of(PydocsConfig())


@pytest.mark.slow
def test_the_fingerprint_is_the_same_in_another_process():
    code = """
from textae.config.schema import PydocsConfig
from textae.data.corpora import fingerprint_of
print(fingerprint_of(PydocsConfig()))
"""
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == fingerprint_of(PydocsConfig())
    assert fingerprint_of(PydocsConfig(test_share=0.1)) != fingerprint_of(PydocsConfig())


@pytest.mark.slow
def test_the_whole_corpus(tmp_path):
    corpus = open_corpus("pydocs", tmp_path)
    texts = [text for split in corpus.sizes for text in corpus.texts(split)]
    assert 5e6 < sum(len(text.encode()) for text in texts) <= pydocs.MAX_BYTES
    assert len(set(texts)) == len(texts)
    assert min(corpus.sizes.values()) > 500
