"""What a corpus is made from and how, before it is prepared: what each kind of corpus says about itself."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from textae.data.corpora.checking import BadRecords, Label, Tell

VERSION = "2.0.0"  # of the layout and of the way documents are split; part of every fingerprint

Advance = Callable[[int], None]  # told of progress, in units of `CorpusSpecification.total`

# Split (None: chosen by content), text and label of a document.
Example = tuple[str | None, str, Label | None]
# Yields documents, each time that it is called; it tells of its progress, of bad records and of what it found out.
Examples = Callable[[Advance, BadRecords, Tell], Iterator[Example]]


@dataclass(frozen=True)
class Part:
    """A part of what a corpus is made from, whose documents are written together.

    examples: yields its documents; of one of several parts it can be pickled.
    size: how much progress `examples` tells of.
    whole: the part that this one is a range of, which is read where something is wrong with the range. Places in
        messages are those of a whole part.
    """

    examples: Examples
    size: int
    whole: "Part | None" = None


@dataclass(frozen=True, kw_only=True)
class CorpusSpecification:
    """How a corpus is made.

    kind: that of its settings, as "text".
    name: what the user calls it.
    fingerprint: hex digest of everything that its documents depend on.
    parts: what it is made from, in the order of its documents; they do not depend on who reads them.
    split_fractions: fraction of the documents of each split that is taken out of train, by content.
    unit: of the parts' sizes.
    skip_bad_records: whether records that cannot be read are left out.
    notes: lines to be told when it is made.
    """

    kind: str
    name: str
    fingerprint: str
    parts: Sequence[Part]
    split_fractions: dict[str, float]
    unit: str = "B"
    skip_bad_records: bool = False
    notes: Sequence[str] = ()
