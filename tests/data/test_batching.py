import itertools
import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textae.data import batching as batches
from textae.data.batching import Batches, bucket_lengths, prefetch, segments
from textae.data.token_store import TokenStore, write_store

pytestmark = pytest.mark.backend_free

RNG = np.random.default_rng(3)
DOCUMENTS = [RNG.integers(2, 250, int(n)) for n in RNG.integers(0, 60, 300)]
SETTINGS = {"max_length": 24, "stride": 4, "tokens_per_batch": 96, "length_buckets": 3, "seed": 7}


def lognormal(count, sigma=0.74, mean=240):
    """Lengths in tokens; 0.74 is the spread of the logarithm in a corpus of hotel reviews."""
    random = np.random.default_rng(0)
    return np.maximum(1, random.lognormal(np.log(mean) - sigma**2 / 2, sigma, count)).astype(np.int64)


def reference_segments(document, max_length, overflow):
    """The same as plain lists, one document at a time."""
    full = [*document, 1]
    if len(full) <= max_length or overflow == "split":
        return [full[i : i + max_length] for i in range(0, len(full), max_length)]
    return [[*full[: max_length - 1], 1]] if overflow == "truncate" else []


def rows_of(batch):
    return [
        (int(document), int(start), row[:length].tolist())
        for row, length, document, start in zip(*batch, strict=True)
        if document >= 0
    ]


@pytest.mark.parametrize("overflow", ["split", "truncate", "drop"])
@pytest.mark.parametrize("fixed_rows", [False, True])
@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("source", ["sequence", "disk"])
def test_every_piece_once_and_exact(overflow, fixed_rows, shuffle, source, tmp_path):
    store = write_store(tmp_path / "s", [DOCUMENTS], 250) if source == "disk" else DOCUMENTS
    batches = Batches(store, **SETTINGS, overflow=overflow, fixed_rows=fixed_rows, shuffle=shuffle)
    expected = [
        (number, 24 * part, tokens)
        for number, document in enumerate(DOCUMENTS)
        for part, tokens in enumerate(reference_segments(document.tolist(), 24, overflow))
    ]
    found, positions, shapes = [], 0, set()
    made = list(batches.epoch(1))
    for batch in made:
        assert [array.dtype for array in batch] == [np.int32, np.int32, np.int64, np.int64]
        assert batch.tokens.size <= 96 and batch.tokens.shape[1] in batches.bucket_lengths
        after = np.arange(batch.tokens.shape[1]) >= batch.lengths[:, None]
        assert (batch.tokens[after] == 0).all() and (batch.tokens[~after] > 0).all()
        np.testing.assert_array_equal(batch.documents < 0, batch.lengths == 0)
        found += rows_of(batch)
        positions += batch.tokens.size
        shapes.add(batch.tokens.shape)
    assert sorted(found) == expected
    assert len(made) == len(batches) == len(batches.epoch(1))
    assert positions == batches.positions
    assert batches.tokens == sum(len(tokens) for _, _, tokens in expected)
    if fixed_rows:
        assert len(shapes) == len(batches.bucket_lengths) == 3
    # Part-filled batches do not pile up: without one per bucket, at most the last of all is.
    assert len(made) <= -(-batches.positions // 72) + 1


def test_counts_of_long_documents():
    lengths = [0, 6, 7, 8, 15, 16, 30]
    split = segments(lengths, 8, 4, "split")
    np.testing.assert_array_equal(split.documents, [0, 1, 2, 3, 3, 4, 4, 5, 5, 5, 6, 6, 6, 6])
    np.testing.assert_array_equal(split.starts, [0, 0, 0, 0, 8, 0, 8, 0, 8, 16, 0, 8, 16, 24])
    np.testing.assert_array_equal(split.lengths, [1, 7, 8, 8, 1, 8, 8, 8, 8, 1, 8, 8, 8, 7])
    np.testing.assert_array_equal(np.flatnonzero(split.ends), [0, 1, 2, 4, 6, 9, 13])
    assert (split.split, split.truncated, split.dropped) == (4, 0, 0)
    cut = segments(lengths, 8, 4, "truncate")
    np.testing.assert_array_equal(cut.lengths, [1, 7, 8, 8, 8, 8, 8])
    assert cut.ends.all() and (cut.split, cut.truncated, cut.dropped) == (0, 4, 0)
    drop = segments(lengths, 8, 4, "drop")
    np.testing.assert_array_equal(drop.documents, [0, 1, 2])
    assert (drop.split, drop.truncated, drop.dropped) == (0, 0, 4)


@settings(max_examples=200, deadline=None, database=None, derandomize=True)
@given(st.integers(1, 4), st.integers(1, 10), st.integers(1, 5), st.data())
def test_buckets_are_the_best_there_are(stride, steps, length_buckets, data):
    lengths = data.draw(st.lists(st.integers(1, stride * steps), min_size=1, max_size=25))

    def padded(chosen):
        return sum(min(bucket for bucket in chosen if bucket >= length) for length in lengths)

    candidates = sorted({-(-length // stride) * stride for length in lengths})
    chosen = bucket_lengths(lengths, stride, stride * steps, length_buckets)
    assert len(chosen) <= length_buckets and chosen == sorted(set(chosen)) and set(chosen) <= set(candidates)
    assert padded(chosen) == min(
        padded([*some, candidates[-1]])
        for count in range(length_buckets)
        for some in itertools.combinations(candidates[:-1], count)
    )


@pytest.mark.parametrize("sigma", [0.5, 0.74])
def test_few_positions_are_padding(sigma):
    lengths = lognormal(20_000, sigma)
    store = TokenStore.from_arrays([np.zeros(0, int)])
    store.lengths = lengths
    batches = Batches(store, max_length=512, stride=8, tokens_per_batch=8192, fixed_rows=True)
    assert batches.tokens / batches.positions >= 0.95


def test_choosing_buckets_is_fast():
    lengths = np.random.default_rng(0).integers(1, 16_385, 300_000)
    begun = time.process_time()
    assert len(bucket_lengths(lengths, 1, 16_384, 24)) == 24
    assert time.process_time() - begun < 5


def test_order_is_a_function_of_seed_and_epoch():
    def order(epoch, start=0, **changes):
        return [rows_of(batch) for batch in Batches(DOCUMENTS, **SETTINGS | changes).epoch(epoch, start=start)]

    first = order(0)
    assert first == order(0)
    assert first != order(1) and first != order(0, seed=8)
    assert order(3, start=5) == order(3)[5:]
    assert order(3, start=len(first)) == []
    assert len(order(1)) == len(first)
    # Which segments share a batch changes too, not only the order of the batches.
    together = {tuple(sorted(row[:2] for row in rows)) for rows in first}
    assert not together & {tuple(sorted(row[:2] for row in rows)) for rows in order(1) if len(rows) > 2}


def test_an_epoch_can_be_iterated_again():
    epoch = Batches(DOCUMENTS, **SETTINGS).epoch(2, start=3)
    one, other = list(epoch), list(epoch)
    assert len(one) == len(epoch) == len(other)
    for first, second in zip(one, other, strict=True):
        np.testing.assert_array_equal(first.tokens, second.tokens)


def test_evaluation_goes_from_short_to_long():
    batches = Batches(DOCUMENTS, **SETTINGS, shuffle=False)
    lengths = np.concatenate([batch.lengths for batch in batches.epoch(0)])
    assert (np.diff(lengths) >= 0).all()
    assert [rows_of(b) for b in batches.epoch(0)] == [rows_of(b) for b in batches.epoch(9)]


def test_short_first():
    plain, grown = Batches(DOCUMENTS, **SETTINGS), Batches(DOCUMENTS, **SETTINGS, length_curriculum=0.5)
    channels = [batch.tokens.shape[1] for batch in grown.epoch(0)]
    half = round(len(channels) / 2)
    assert channels[:half] == sorted(channels[:half]) and channels[half:] != sorted(channels[half:])
    assert len(set(channels[:half])) == 3
    for epoch, change in ((0, True), (1, False)):
        one, other = ([rows_of(b) for b in batches.epoch(epoch)] for batches in (plain, grown))
        assert (one != other) is change and sorted(one) == sorted(other)


@pytest.mark.parametrize("fixed_rows", [False, True])
def test_random_lengths(fixed_rows):
    """Beside each segment once: stretches of the documents, over their ends, of every length."""
    plain = Batches(DOCUMENTS, **SETTINGS, fixed_rows=fixed_rows)
    batches = Batches(DOCUMENTS, **SETTINGS, fixed_rows=fixed_rows, random_length_rate=0.4)
    joined, starts = np.concatenate(DOCUMENTS), np.cumsum([0, *map(len, DOCUMENTS)])
    assert batches.bucket_lengths[-1] == 24
    random = [first < 0 for first, _, _ in batches.order(3)[1]]
    assert sum(random) / len(batches) == pytest.approx(0.4, abs=0.01)
    assert sorted(random) not in (random, random[::-1])
    own, lengths, crossed = [], [], 0
    for batch, is_random in zip(batches.epoch(3), random, strict=True):
        assert batch.tokens.shape[1] in batches.bucket_lengths and batch.tokens.size <= 96
        assert len(batch.tokens) == 96 // batch.tokens.shape[1] or not (is_random or fixed_rows)
        if not is_random:
            own += rows_of(batch)
            continue
        for document, start, tokens in rows_of(batch):
            first = starts[document] + start
            assert 0 <= start < len(DOCUMENTS[document]) or first == len(joined)
            assert tokens == [*joined[first : first + len(tokens) - 1], 1]
            crossed += start + len(tokens) - 1 > len(DOCUMENTS[document])
            lengths.append(len(tokens))
    assert sorted(own) == sorted(row for batch in plain.epoch(0) for row in rows_of(batch))
    assert set(lengths) == set(range(1, 25)) and crossed > len(lengths) / 10


def test_random_lengths_are_a_function_of_seed_and_epoch():
    def made(epoch, start=0, **changes):
        batches = Batches(DOCUMENTS, **SETTINGS | changes, random_length_rate=0.4)
        return [rows_of(batch) for batch in batches.epoch(epoch, start=start)]

    first = made(0)
    assert made(0) == first and made(0, start=7) == first[7:]
    assert len(made(1)) == len(first) and made(1) != first and made(0, seed=8) != first
    grown = made(0, length_curriculum=1.0)
    longest = [max(len(tokens) for _, _, tokens in rows) for rows in grown]
    assert longest[0] < 12 and longest[-1] > 12


def test_random_lengths_of_few_tokens():
    """No stretch is longer than all documents together."""
    batches = Batches([[5, 6], [], [7]], **SETTINGS, random_length_rate=0.9)
    found = [tokens for epoch in range(3) for batch in batches.epoch(epoch) for _, _, tokens in rows_of(batch)]
    assert [5, 6, 7, 1] in found and max(map(len, found)) == 4
    assert len(Batches([], **SETTINGS, random_length_rate=0.9)) == 0
    with pytest.raises(ValueError, match="random_length_rate should be at least 0 and below 1, received 1"):
        Batches(DOCUMENTS, **SETTINGS, random_length_rate=1)


def test_given_bucket_lengths():
    batches = Batches(DOCUMENTS, **SETTINGS | {"length_buckets": [24, 8]})
    assert batches.bucket_lengths == [8, 24]
    assert {batch.tokens.shape[1] for batch in batches.epoch(0)} == {8, 24}
    with pytest.raises(ValueError, match="should reach 24"):
        Batches(DOCUMENTS, **SETTINGS | {"length_buckets": [8, 16]})
    with pytest.raises(ValueError, match="multiple of stride 4, received 9"):
        Batches(DOCUMENTS, **SETTINGS | {"length_buckets": [9, 24]})


def test_no_documents_and_one_row():
    assert list(Batches([], **SETTINGS).epoch(0)) == []
    (batch,) = Batches([[5, 6]], max_length=8, stride=4, tokens_per_batch=2).epoch(0)
    assert batch.tokens.tolist() == [[5, 6, 1, 0]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"max_length": 26}, "positive multiple of stride 4, received 26"),
        ({"stride": 0}, "multiple of stride 0"),
        ({"max_length": 0}, "received 0"),
        ({"overflow": "wrap"}, "one of split, truncate, drop, received 'wrap'"),
        ({"tokens_per_batch": 0}, "tokens_per_batch should be at least 1"),
        ({"length_buckets": 0}, "length_buckets should be at least 1"),
        ({"length_curriculum": 1.5}, "length_curriculum should be from 0 to 1"),
    ],
)
def test_nonsense_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        Batches(DOCUMENTS, **SETTINGS | change)


def test_epoch_and_start_are_checked():
    batches = Batches(DOCUMENTS, **SETTINGS)
    for epoch, start in ((-1, 0), (0, -1), (0, len(batches) + 1)):
        with pytest.raises(ValueError, match="epoch should be at least 0"):
            batches.epoch(epoch, start=start)
    with pytest.raises(ValueError, match="lengths should be from 1 to 8"):
        bucket_lengths([9], 4, 8, 2)


def workers():
    return [thread for thread in threading.enumerate() if thread.name == "textae batches"]


def test_the_thread_ends_with_its_reader():
    reader = iter(Batches(DOCUMENTS, **SETTINGS).epoch(0))
    next(reader)
    assert len(workers()) == 1
    reader.close()
    assert workers() == []
    assert len(list(prefetch(range(100), 2))) == 100
    assert workers() == []


def test_only_a_few_are_made_ahead():
    made = []
    reader = prefetch((made.append(i) for i in range(100)), 3)
    next(reader)
    time.sleep(0.2)
    assert len(made) <= 5
    reader.close()


def test_an_error_in_the_thread_comes_out():
    def broken():
        yield 1
        raise OSError("disk gone")

    reader = prefetch(broken(), 4)
    assert next(reader) == 1
    with pytest.raises(OSError, match="disk gone"):
        next(reader)
    assert workers() == []


def test_an_item_that_takes_long_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(batches, "SECONDS_TO_END", 0.1)
    release = threading.Event()

    def items():
        yield 1
        release.wait(30)

    reader = prefetch(items(), 1)
    assert next(reader) == 1
    began = time.monotonic()
    reader.close()
    assert time.monotonic() - began < 5
    release.set()


def test_few_texts_have_few_rows_where_rows_are_fixed():
    documents = [np.arange(5, 8)] * 3
    found = {}
    for few in (1.0, 0.5, 0.25):
        batches = Batches(documents, max_length=8, stride=4, tokens_per_batch=32, fixed_rows=True, few_rows=few)
        (batch,) = batches.epoch(0)
        found[few] = len(batch.lengths)
        assert batches.positions == batch.tokens.size
        assert (batch.documents >= 0).sum() == 3
    assert found == {1.0: 8, 0.5: 4, 0.25: 8}  # three have no room in a quarter of eight
