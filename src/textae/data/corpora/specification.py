"""What a corpus is made from and how, before it is prepared: what each kind of corpus says about itself."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from textae.data.corpora.checking import Label

VERSION = "2.0.0"  # of the layout and of the way documents are split; part of every fingerprint

Advance = Callable[[int], None]  # told of progress, in units of `CorpusSpecification.total`

# Split (None: chosen by content), text and label of a document.
Example = tuple[str | None, str, Label | None]


@dataclass(frozen=True, kw_only=True)
class CorpusSpecification:
    """How a corpus is made.

    kind: that of its settings, as "text".
    name: what the user calls it.
    fingerprint: hex digest of everything that its documents depend on.
    examples: yields the documents, each time that it is called; it tells its argument of its progress.
    total: how much progress `examples` tells of, in units of `unit`.
    split_fractions: fraction of the documents of each split that is taken out of train, by content.
    """

    kind: str
    name: str
    fingerprint: str
    examples: Callable[[Advance], Iterator[Example]]
    total: int
    split_fractions: dict[str, float]
    unit: str = "B"
