"""The corpus `pydocs`: docstrings and help topics of the running Python and the packages installed with it.

Sources are parsed, never imported. A document is a paragraph: a part of a docstring, its common indentation
taken away, between two blank lines. The corpus is the same wherever the same versions are installed.
"""

import ast
import hashlib
import inspect
import os
import platform
import re
import sys
import sysconfig
import warnings
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path, PurePosixPath

from textae.config.schema import PydocsConfig
from textae.data.corpora.specification import VERSION, Advance, CorpusSpecification, Example, Part
from textae.data.corpora.splitting import key
from textae.data.fingerprints import fingerprint

MAX_BYTES = 15_000_000  # of all documents together
_SOURCE_BYTES = 40_000_000  # of packages, beside the standard library: about ten seconds of parsing
_MIN_CHARACTERS = 20
_LEFT_OUT = {
    "test",
    "tests",
    "testing",
    "idle_test",
    "lib2to3",
    "site-packages",
    "dist-packages",
    "__pycache__",
}
_GENERATED = ("_pb2.py", "_pb2_grpc.py", "_test.py")
_TOPICS = "pydoc_data/topics.py"
_BLANK_LINES = re.compile(r"\n(?:[^\S\n]*\n)+")

Source = tuple[str, Path, int]  # name, place and bytes of a file


def specification(settings: PydocsConfig) -> CorpusSpecification:
    """Return how the corpus is made from the running Python."""
    sources = standard_library() + (packages(_SOURCE_BYTES) if settings.packages else [])
    environment = (
        sys.version,
        platform.system(),
        platform.machine(),
        [(name, size) for name, _, size in sources],
    )
    fractions = settings.split_fractions()

    def examples(advance: Advance, *_: object) -> Iterator[Example]:
        for text in capped(paragraphs(sources, advance), MAX_BYTES):
            yield None, text, None

    return CorpusSpecification(
        kind="pydocs",
        name="pydocs",
        fingerprint=fingerprint(VERSION, "pydocs", environment, MAX_BYTES, fractions),
        parts=[Part(examples, sum(size for _, _, size in sources))],
        split_fractions=fractions,
    )


def standard_library() -> list[Source]:
    """Sources of the standard library without its tests, sorted by name."""
    root = Path(sysconfig.get_path("stdlib"))
    found = []
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if name not in _LEFT_OUT and not name.startswith("config-")]
        for file in files:
            if file.endswith(".py"):
                path = Path(folder, file)
                found.append((path.relative_to(root).as_posix(), path, path.stat().st_size))
    return sorted(found)


def packages(max_bytes: int) -> list[Source]:
    """Sources of the installed packages, sorted by name: a sample of whole files of at most `max_bytes`.

    Files are drawn by the hash of their name, so that every package has its part.
    """
    found: dict[str, Source] = {}
    for package in metadata.distributions():
        if package.name == "textae":
            continue
        for file in package.files or []:
            if _wanted(file) and file.size:
                found.setdefault(file.as_posix(), (file.as_posix(), Path(str(package.locate_file(file))), file.size))
    drawn, total = [], 0
    for source in sorted(found.values(), key=lambda source: hashlib.blake2b(source[0].encode()).digest()):
        total += source[2]
        if total > max_bytes:
            break
        drawn.append(source)
    return sorted(drawn)


def _wanted(file: PurePosixPath) -> bool:
    return file.suffix == ".py" and not file.name.endswith(_GENERATED) and _LEFT_OUT.isdisjoint(file.parts)


def paragraphs(sources: list[Source], advance: Advance = lambda size: None) -> Iterator[str]:
    """Paragraphs of the docstrings and topics of the sources, each text once, in the order of the sources."""
    seen: set[int] = set()
    for name, path, size in sources:
        for text in _texts(name, path):
            for paragraph in _BLANK_LINES.split(inspect.cleandoc(text)):
                paragraph = paragraph.strip("\n").rstrip()
                if len(paragraph) < _MIN_CHARACTERS or not _is_unicode(paragraph):
                    continue
                if (number := key(paragraph.encode())) not in seen:
                    seen.add(number)
                    yield paragraph
        advance(size)


def capped(texts: Iterator[str], max_bytes: int) -> Iterator[str]:
    """Texts in their order; of more than `max_bytes` in UTF-8, those of the lowest hashes that fit."""
    # Not the hash that chooses the split: the texts kept would all go to test.
    kept = [(hashlib.blake2b(text.encode(), digest_size=8, person=b"cap").digest(), text) for text in texts]
    total = 0
    limit = None
    for digest, text in sorted(kept):
        total += len(text.encode())
        if total > max_bytes:
            limit = digest
            break
    for digest, text in kept:
        if limit is None or digest < limit:
            yield text


def _texts(name: str, path: Path) -> Iterator[str]:
    """Docstrings of a module, its classes and functions; of the help topics, the topics."""
    try:
        source = path.read_bytes()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of invalid escapes in other people's strings
            tree = ast.parse(source)
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return  # removed since it was installed, or a template, or for another Python
    if name == _TOPICS:
        for node in ast.walk(tree):
            if isinstance(node, ast.Dict):
                yield from (str(item.value) for item in node.values if isinstance(item, ast.Constant))
        return
    nodes: list[ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef] = [tree]
    while nodes:
        node = nodes.pop()
        if (text := ast.get_docstring(node, clean=False)) is not None:
            yield text
        definitions = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        nodes += reversed([child for child in ast.iter_child_nodes(node) if isinstance(child, definitions)])


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # a lone surrogate, written as an escape
        return False
    return True
