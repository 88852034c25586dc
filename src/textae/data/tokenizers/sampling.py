"""What tokenizers are trained on: an even sample of lines for SentencePiece, counts of characters or words."""

import heapq
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from textae.data.tokenizers.base import utf8

LONGEST_TRAINING_LINE = 4000  # characters
COUNTED_WORDS = 4_000_000  # distinct words held while counting; beyond it the rarer half is forgotten


def training_sample(texts: Iterable[str], limit: int) -> list[str]:
    """Take lines evenly from the texts, at most `limit` characters in all.

    A line is a text or a part of one, of at most LONGEST_TRAINING_LINE characters. Every line gets a number
    from a fixed random sequence, and those with the lowest numbers stay, in their order, so that the sample
    depends on the texts alone and memory is bounded by the limit.
    """
    draw = random.Random(0).random
    kept: list[tuple[float, int, str]] = []  # a heap with the highest number first
    characters, bound = 0, 1.0
    for index, line in enumerate(line for text in texts for line in _lines(text)):
        number = draw()
        if number >= bound:
            continue
        heapq.heappush(kept, (-number, index, line))
        characters += len(line)
        while characters > limit and len(kept) > 1:
            negative, _, dropped = heapq.heappop(kept)
            characters -= len(dropped)
            bound = -negative
    return [line for _, _, line in sorted(kept, key=lambda item: item[1])]


def _lines(text: str) -> Iterator[str]:
    """Break a text into parts of bounded length, before a space or line break where there is one."""
    start = 0
    while len(text) - start > LONGEST_TRAINING_LINE:
        stop = start + LONGEST_TRAINING_LINE
        stop = max(text.rfind(" ", start + 1, stop), text.rfind("\n", start + 1, stop))
        if stop < 0:
            stop = start + LONGEST_TRAINING_LINE
        yield text[start:stop]
        start = stop
    if start < len(text):
        yield text[start:]


def most_frequent(
    texts: Iterable[str],
    parts: Callable[[str], Iterable[str]],
    vocabulary_size: int | None,
    fixed_ids: int,
    nearest: bool,
    kind: str,
) -> list[str]:
    """Give the most frequent parts of the texts, ties in the order of code points."""
    counts: Counter[str] = Counter()
    for text in texts:
        utf8(text)
        counts.update(parts(text))
        if len(counts) > COUNTED_WORDS:
            counts = Counter(dict(counts.most_common(COUNTED_WORDS // 2)))
    if not counts:
        raise ValueError(f"a {kind} tokenizer expects texts to be trained on, received none that is not empty")
    largest = fixed_ids + len(counts)
    if vocabulary_size is None:
        vocabulary_size = largest
    elif vocabulary_size > largest and not nearest:
        raise too_large(vocabulary_size, largest)
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [part for part, _ in ordered[: vocabulary_size - fixed_ids]]


def too_large(vocabulary_size: int, largest: int) -> ValueError:
    """Return the error of a vocabulary that the texts cannot fill."""
    return ValueError(
        f"expected tokenizer.vocabulary_size of at most {largest}, which the texts fill, received {vocabulary_size}"
    )
