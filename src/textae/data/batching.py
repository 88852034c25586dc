"""Batches of similar length, in an order that (seed, epoch) alone decides.

Documents are split into segments of at most max_length tokens. Segments are padded to the few lengths that waste the
fewest positions. Every batch holds about the same number of positions, whatever its length.
"""

import math
import queue
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from textae.config.choices import Overflow
from textae.data.positions import num_positions, num_segments
from textae.data.special_tokens import END_ID
from textae.data.token_store import TokenStore

PREFETCHED_BATCHES = 8
SECONDS_TO_END = 2.0  # how long the end of a thread is waited for, once its items are no longer needed


@dataclass(frozen=True)
class Segments:
    """Parts of documents, each one row of a batch, in the order of the documents.

    All arrays have one entry for each segment: documents (index), starts (first token within the document),
    lengths (tokens, the end token counted where the segment carries it) and ends (whether it does). split,
    truncated and dropped count the documents that were too long.
    """

    documents: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray
    ends: np.ndarray
    split: int = 0
    truncated: int = 0
    dropped: int = 0

    def __len__(self) -> int:
        return len(self.documents)

    def take(self, chosen: np.ndarray) -> "Segments":
        """Return some of them, by index."""
        return Segments(self.documents[chosen], self.starts[chosen], self.lengths[chosen], self.ends[chosen])


@dataclass(frozen=True)
class RowShare:
    """Which rows of a batch a process has, of a batch that several devices share: row i is that of device i % devices.

    devices: how many share the batch, whose rows are padded to a multiple of them. own: the numbers of the process's
    devices, whose rows come one device after the other.
    """

    devices: int = 1
    own: tuple[int, ...] = (0,)

    def padded(self, rows: Any) -> Any:
        """Return how many rows a batch of so many has with its padding."""
        return -(-rows // self.devices) * self.devices

    def numbers(self, rows: int) -> np.ndarray:
        """Return the numbers of the process's rows in a batch of so many."""
        return np.concatenate([np.arange(device, self.padded(rows), self.devices) for device in self.own])


class Batch(NamedTuple):
    """Rows of one padded length.

    tokens: int32 (rows, length), 0 after the end of each segment. lengths: int32 (rows,), end token counted, 0
    for an empty row. documents: int64 (rows,), -1 for an empty row. starts: int64 (rows,), the place in the
    document of a row's first token.
    """

    tokens: np.ndarray
    lengths: np.ndarray
    documents: np.ndarray
    starts: np.ndarray


def segments(lengths: ArrayLike, max_length: int, stride: int, overflow: str) -> Segments:
    """Cut documents (lengths in tokens, without the end token) into segments of at most max_length tokens.

    A document that is too long with its end token is "split" into segments of max_length of which only the last
    carries the end token, "truncate" to its first max_length - 1 tokens and the end token, or "drop"ped.
    Raises ValueError if max_length is not a positive multiple of stride.
    """
    _check_lengths(max_length, stride)
    if overflow not in Overflow.__members__:
        raise ValueError(f"overflow should be one of {', '.join(Overflow.__members__)}, received {overflow!r}")
    full = np.asarray(lengths).astype(np.int64) + 1
    documents = np.arange(len(full))
    long = full > max_length
    too_long = int(long.sum())
    if overflow == "split":
        parts = num_segments(full, max_length)
        documents = np.repeat(documents, parts)
        part = np.arange(len(documents)) - np.repeat(np.cumsum(parts) - parts, parts)
        starts = part * max_length
        rest = full[documents] - starts
        return Segments(documents, starts, np.minimum(rest, max_length), rest <= max_length, split=too_long)
    if overflow == "drop":
        documents, full = documents[~long], full[~long]
    starts, ends = np.zeros(len(full), np.int64), np.ones(len(full), bool)
    counted = {"truncated": too_long} if overflow == "truncate" else {"dropped": too_long}
    return Segments(documents, starts, np.minimum(full, max_length), ends, **counted)


def bucket_lengths(lengths: ArrayLike, stride: int, max_length: int, length_buckets: int) -> list[int]:
    """Choose at most `length_buckets` padded lengths, multiples of stride, that leave the fewest padded positions.

    lengths are those of the segments, in tokens. Exact: a bucket ends at one of the rounded lengths, and the
    fewest positions for the first j of them with one bucket more are the lower envelope of straight lines in
    the length, kept as a convex hull; so the time grows with distinct lengths times buckets.
    """
    _check_lengths(max_length, stride)
    if length_buckets < 1:
        raise ValueError(f"length_buckets should be at least 1, received {length_buckets}")
    lengths = np.asarray(lengths)
    if not len(lengths):
        return [max_length]
    if not 1 <= lengths.min() <= lengths.max() <= max_length:
        raise ValueError(f"lengths should be from 1 to {max_length}, received {lengths.min()} to {lengths.max()}")
    rounded, counts = np.unique(num_positions(lengths, stride), return_counts=True)
    sizes = rounded.tolist()
    below = [0, *np.cumsum(counts).tolist()]  # segments among the first j sizes
    # cost[j]: fewest positions for the first j sizes; one bucket first, then one more in each round.
    cost = [0] + [sizes[j - 1] * below[j] for j in range(1, len(sizes) + 1)]
    choices = [[0] * len(cost)]
    for _ in range(min(length_buckets, len(sizes)) - 1):
        improved, choice = [0], [0]
        hull: list[tuple[int, int, int]] = []  # slope, intercept, i of the lines cost[i] - size * below[i]
        first = 0
        for j in range(1, len(cost)):
            _add_line(hull, first, (-below[j - 1], cost[j - 1], j - 1))
            first = min(first, len(hull) - 1)
            size = sizes[j - 1]
            while first + 1 < len(hull) and _at(hull[first + 1], size) <= _at(hull[first], size):
                first += 1
            improved.append(_at(hull[first], size) + size * below[j])
            choice.append(hull[first][2])
        cost = improved
        choices.append(choice)
    chosen, j = [], len(sizes)
    for choice in reversed(choices):
        if j:
            chosen.append(sizes[j - 1] * stride)
            j = choice[j]
    return chosen[::-1]


def _at(line: tuple[int, int, int], size: int) -> int:
    return line[0] * size + line[1]


def _add_line(hull: list[tuple[int, int, int]], first: int, line: tuple[int, int, int]) -> None:
    """Add a line with a smaller slope than all before, and take away those it leaves nowhere lowest."""
    while len(hull) - first >= 2:
        (slope1, height1, _), (slope2, height2, _) = hull[-2], hull[-1]
        if (line[1] - height1) * (slope1 - slope2) > (height2 - height1) * (slope1 - line[0]):
            break
        hull.pop()
    hull.append(line)


class Batches:
    """The batches of a token store, epoch by epoch.

    Args:
        store: the documents, or a sequence of id arrays.
        max_length: most tokens of a segment, its end token counted; a multiple of stride.
        stride: padded lengths are multiples of it.
        tokens_per_batch: most positions of a batch, padding counted; a batch has at least one row.
        length_buckets: the largest number of padded lengths to choose, or the lengths themselves.
        overflow: what happens to longer documents, as in `segments`.
        seed: with the number of an epoch it decides the order of its segments and batches.
        shuffle: otherwise segments are ordered from the shortest to the longest.
        fixed_rows: all batches of one padded length have the same number of rows; missing ones are empty.
        few_rows: with fixed rows, a batch that has room in this part of them, a half or so, has only that part.
        length_curriculum: fraction of the first epoch during which the padded lengths grow.
        random_length_rate: fraction of the batches whose texts are stretches of the documents, cut and joined, of
            lengths drawn evenly up to max_length. They come on top of those in which each segment is once.
        rows: which rows of each batch are assembled.

    Attributes: segments, bucket_lengths (list), tokens (real tokens of the segments, end tokens counted),
    positions (padded positions of their batches).

    Raises:
        ValueError: an argument is out of its bounds, or a segment is longer than the longest of given padded lengths.
    """

    def __init__(
        self,
        store: TokenStore | Sequence[ArrayLike],
        *,
        max_length: int,
        stride: int,
        tokens_per_batch: int,
        length_buckets: int | Sequence[int] = 24,
        overflow: str = "split",
        seed: int = 0,
        shuffle: bool = True,
        fixed_rows: bool = False,
        few_rows: float = 1.0,
        length_curriculum: float = 0.0,
        random_length_rate: float = 0.0,
        rows: RowShare | None = None,
    ):
        if tokens_per_batch < 1:
            raise ValueError(f"tokens_per_batch should be at least 1, received {tokens_per_batch}")
        if not 0 <= length_curriculum <= 1:
            raise ValueError(f"length_curriculum should be from 0 to 1, received {length_curriculum}")
        if not 0 <= random_length_rate < 1:
            raise ValueError(f"random_length_rate should be at least 0 and below 1, received {random_length_rate}")
        self.store = store if isinstance(store, TokenStore) else TokenStore.from_arrays(store)
        self.seed, self.shuffle, self.share = seed, shuffle, rows or RowShare()
        self.fixed_rows, self.few_rows, self.length_curriculum = fixed_rows, few_rows, length_curriculum
        self.segments = segments(self.store.lengths, max_length, stride, overflow)
        ratio = random_length_rate / (1 - random_length_rate)  # random batches to others
        if isinstance(length_buckets, int):
            lengths = with_even_lengths(self.segments.lengths, max_length, ratio)
            self.bucket_lengths = bucket_lengths(lengths, stride, max_length, length_buckets)
        else:
            self.bucket_lengths = _checked_buckets(length_buckets, self.segments, stride)
        self._bucket = np.searchsorted(self.bucket_lengths, self.segments.lengths).astype(np.int16)
        self._rows = [max(1, tokens_per_batch // length) for length in self.bucket_lengths]
        self._cuts = _cuts(self._bucket, self._rows)
        self._random_batches = math.ceil(ratio * len(self._cuts))
        self.tokens = int(self.segments.lengths.sum())
        self.positions = sum(
            int(self.share.padded(self._padded_rows(count, bucket))) * self.bucket_lengths[bucket]
            for _, count, bucket in self._cuts.tolist()
        )

    def __len__(self) -> int:
        """Give the number of batches in an epoch, the same in every one."""
        return len(self._cuts) + self._random_batches

    def epoch(self, epoch: int, start: int = 0) -> "Epoch":
        """Give the batches of an epoch from number `start` on; sized, and can be iterated again."""
        if epoch < 0 or not 0 <= start <= len(self):
            raise ValueError(
                f"epoch should be at least 0 and start from 0 to {len(self)}, received {epoch} and {start}"
            )
        return Epoch(self, epoch, start)

    def order(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """Give the segments sorted by bucket, and the batches in their order.

        A batch is three numbers: its first segment among those sorted, or -1 for one of random lengths; its rows; and
        its bucket.
        """
        if not self.shuffle:
            return np.argsort(self.segments.lengths, kind="stable"), self._cuts
        random = np.random.Generator(np.random.PCG64(np.random.SeedSequence([self.seed, epoch])))
        permutation = random.permutation(len(self.segments))
        rows = permutation[np.argsort(self._bucket[permutation], kind="stable")]
        order = random.permutation(len(self))
        lengths = random.integers(1, self.bucket_lengths[-1], self._random_batches, endpoint=True)
        drawn = np.searchsorted(self.bucket_lengths, lengths)
        others = np.stack([np.full(len(drawn), -1), np.array(self._rows)[drawn], drawn], axis=1)
        batches = np.concatenate([self._cuts, others])[order]
        if epoch == 0 and self.length_curriculum:
            head = batches[: round(self.length_curriculum * len(batches))]
            head[:] = head[np.argsort(head[:, 2], kind="stable")]
        return rows, batches

    def random_segments(self, epoch: int, number: int, rows: int, bucket: int) -> Segments:
        """Draw the segments of a batch of random lengths, which is the given number of its epoch."""
        random = np.random.Generator(np.random.PCG64(np.random.SeedSequence([self.seed, epoch, number + 1])))
        least = self.bucket_lengths[bucket - 1] + 1 if bucket else 1
        return random_stretches(self.store, random, rows, least, self.bucket_lengths[bucket])

    def assemble(self, here: Segments, bucket: int) -> Batch:
        """Put segments into one batch of the bucket's padded length: those of its rows that are this share's."""
        length = self.bucket_lengths[bucket]
        numbers = self.share.numbers(self._padded_rows(len(here), bucket))
        full = np.flatnonzero(numbers < len(here))
        here = here.take(numbers[full])
        lengths, starts = np.zeros(len(numbers), np.int32), np.zeros(len(numbers), np.int64)
        documents = np.full(len(numbers), -1, np.int64)
        lengths[full], documents[full], starts[full] = here.lengths, here.documents, here.starts
        stored = here.lengths.astype(np.int64) - here.ends
        inside = np.zeros((len(numbers), length), bool)
        inside[full] = np.arange(length) < stored[:, None]
        tokens = np.zeros((len(numbers), length), np.int32)
        tokens[inside] = self.store.gather(self.store.starts[here.documents] + here.starts, stored)
        tokens[full[here.ends], stored[here.ends]] = END_ID
        return Batch(tokens, lengths, documents, starts)

    def _padded_rows(self, count: int, bucket: int) -> int:
        """Return how many rows a batch of so many texts has, empty ones among them."""
        return fixed_rows(count, self._rows[bucket], self.few_rows) if self.fixed_rows else count


def fixed_rows(count: int, most: int, few: float) -> int:
    """Return `most` rows, or that part of them, at least one, where `count` have room in it."""
    part = max(1, int(few * most))
    return part if count <= part else most


def with_even_lengths(lengths: np.ndarray, max_length: int, ratio: float) -> np.ndarray:
    """Return lengths with `ratio` times as many others, spread evenly from 1 to max_length."""
    if not ratio:
        return lengths
    times = max(1, round(ratio * len(lengths) / max_length))
    return np.concatenate([lengths, np.tile(np.arange(1, max_length + 1), times)])


def random_stretches(store: TokenStore, random: np.random.Generator, count: int, least: int, most: int) -> Segments:
    """Draw segments of `least` to `most` tokens, with the end: stretches from anywhere, over the ends of documents.

    A store with fewer tokens is one stretch as a whole.
    """
    lengths = np.minimum(random.integers(least, most, count, endpoint=True), store.tokens + 1)
    first = random.integers(0, store.tokens - (lengths - 1), endpoint=True)
    documents = np.searchsorted(store.starts, first, side="right") - 1
    return Segments(documents, first - store.starts[documents], lengths, np.ones(count, bool))


def _checked_buckets(lengths: Sequence[int], segments: Segments, stride: int) -> list[int]:
    """Return padded lengths in their order; ValueError if a segment does not fit, or one is no multiple of stride."""
    found = sorted(set(lengths))
    longest = segments.lengths.max(initial=1)
    if not found or found[-1] < longest:
        raise ValueError(f"bucket lengths should reach {longest}, received {list(lengths)}")
    for length in found:
        _check_lengths(length, stride)
    return found


def _cuts(bucket: np.ndarray, rows_of: Sequence[int]) -> np.ndarray:
    """Return the first segment, the rows and the bucket of each batch, (batches, 3), the same in every epoch.

    Args:
        bucket: that of each segment; the batches are cut from the segments sorted by it.
        rows_of: the rows of a batch of each bucket. Segments that do not fill a batch go to the next longer bucket.
    """
    cuts: list[tuple[int, int, int]] = []
    first = stop = 0
    counts = np.bincount(bucket, minlength=len(rows_of)).tolist()
    for number, (count, rows) in enumerate(zip(counts, rows_of, strict=True)):
        stop += count
        while stop - first >= rows:
            cuts.append((first, rows, number))
            first += rows
    if first < stop:
        cuts.append((first, stop - first, int(bucket.max())))
    return np.array(cuts, np.int64).reshape(-1, 3)


class Epoch:
    """The batches of one epoch; a thread prepares the next few while it is iterated."""

    def __init__(self, batches: Batches, epoch: int, start: int):
        self.batches, self.number, self.start = batches, epoch, start

    def __len__(self) -> int:
        return len(self.batches) - self.start

    def __iter__(self) -> Iterator[Batch]:
        return prefetch(self._made(), PREFETCHED_BATCHES)

    def _made(self) -> Iterator[Batch]:
        batches = self.batches
        rows, order = batches.order(self.number)
        for number, (first, count, bucket) in enumerate(order[self.start :].tolist(), self.start):
            if first < 0:
                found = batches.random_segments(self.number, number, count, bucket)
            else:
                found = batches.segments.take(rows[first : first + count])
            yield batches.assemble(found, bucket)


def prefetch(items: Iterable, depth: int) -> Iterator:
    """Iterate in a thread that keeps up to `depth` items ready; its exceptions come out here.

    The thread ends when the items end, and when this iterator is closed or forgotten; then an item that takes long is
    not waited for.
    """
    ready: queue.Queue = queue.Queue(depth)
    stopped = threading.Event()
    done = object()

    def put(entry: tuple) -> bool:
        while not stopped.is_set():
            try:
                ready.put(entry, timeout=0.05)
                return True
            except queue.Full:
                continue
        return False

    def work() -> None:
        try:
            for item in items:
                if not put((item, None)):
                    return
            put((done, None))
        except BaseException as error:  # handed to the reader, whatever it is
            put((done, error))

    thread = threading.Thread(target=work, name="textae batches", daemon=True)
    thread.start()
    try:
        while True:
            item, error = ready.get()
            if error is not None:
                raise error
            if item is done:
                return
            yield item
    finally:
        stopped.set()
        thread.join(SECONDS_TO_END)


def _check_lengths(length: int, stride: int) -> None:
    if stride < 1 or length < stride or length % stride:
        raise ValueError(f"a padded length should be a positive multiple of stride {stride}, received {length}")
