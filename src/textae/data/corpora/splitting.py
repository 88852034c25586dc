"""The split of a document, chosen by its content."""

import hashlib

from textae.config.choices import SPLITS


def key(content: bytes) -> int:
    """Hash of the UTF-8 bytes of a document, 64 bits."""
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little")


class Splitting:
    """Choice of a split by the content of a document, so that equal documents go to the same split.

    test is the low end of the range of the key and validation its high end: adding documents, or changing one
    share, moves no document between the other splits. Where a corpus is so small that one of them stays empty, the
    document of train next to it stands in for it; see `filled`.
    """

    def __init__(self, fractions: dict[str, float]):
        self._fractions = fractions
        self._test_below = int(fractions.get("test", 0.0) * 2**64)
        self._validation_from = 2**64 - int(fractions.get("validation", 0.0) * 2**64)
        self._borrowed: dict[int, str] = {}
        self._chosen: set[str] = set()  # splits that a document was chosen for
        # Keys of different documents, no more of them than there are splits: of any, and the ends of train.
        self._some: set[int] = set()
        self._lowest: list[int] = []
        self._highest: list[int] = []

    def __call__(self, content: bytes) -> str:
        """Split of the document with these UTF-8 bytes."""
        number = key(content)
        most = len(SPLITS)
        if len(self._some) < most:
            self._some.add(number)
        if number < self._test_below:
            split = "test"
        elif number >= self._validation_from:
            split = "validation"
        else:
            split = self._borrowed.get(number, "train")
            if len(self._lowest) < most or number < self._lowest[-1]:
                self._lowest = sorted({*self._lowest, number})[:most]
            if len(self._highest) < most or number > self._highest[0]:
                self._highest = sorted({*self._highest, number})[-most:]
        self._chosen.add(split)
        return split

    def fresh(self) -> "Splitting":
        """The same choices, before the first document."""
        fresh = Splitting(self._fractions)
        fresh._borrowed = self._borrowed
        return fresh

    def add(self, other: "Splitting") -> None:
        """Take note of the documents that another one, with the same choices, has seen."""
        most = len(SPLITS)
        self._chosen |= other._chosen
        self._some |= other._some
        self._lowest = sorted({*self._lowest, *other._lowest})[:most]
        self._highest = sorted({*self._highest, *other._highest})[-most:]

    def filled(self) -> "Splitting":
        """The same, after a pass over all documents, with a document of train in each split that is empty.

        It is the one whose key is next to the split's: the lowest for test, the highest for validation. More
        documents can only bring one that is nearer, or one of the split's own, and then the stand-in is in train
        again. So no document ever leaves train, and none goes from validation to test or back. No rule promises
        that and has a split for every corpus of three documents: those with too few in train are refused.

        Raises:
            ValueError: there are too few documents, or too few of them are in train.
        """
        splits = [*self._fractions, "train"]
        if len(self._some) < len(splits):
            raise ValueError(
                f"expected at least {len(splits)} different documents, one for each of {', '.join(splits)},"
                f" found {len(self._some)}"
            )
        empty = [split for split in self._fractions if split not in self._chosen]
        different = len({*self._lowest, *self._highest})
        if different <= len(empty):
            lent = f", {len(empty)} of them for {' and '.join(empty)}" if empty else ""
            raise ValueError(
                f"expected at least {len(empty) + 1} different documents that fall to train by their content{lent},"
                f" found {different}: more documents, or smaller {' and '.join(f'{s}_share' for s in self._fractions)}"
            )
        filled = Splitting(self._fractions)
        ends = {"test": self._lowest[0], "validation": self._highest[-1]}
        filled._borrowed = {ends[split]: split for split in empty}
        return filled
