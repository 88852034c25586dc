"""Corruption of ids: each kind does what it says, at the rate it says, and leaves padding and ends alone."""

import keras
import numpy as np
import pytest
from keras import ops

from helpers.backends import first_on_jax
from textae.data.corruption import corrupt, corruption_from

VOCABULARY, FIRST = 30, 5
ROWS, LENGTH = 200, 64


def batch():
    """Rows of all lengths, half of them with an end; ids within a row differ, so that each can be followed."""
    draw = np.random.default_rng(0)
    lengths = draw.integers(0, LENGTH + 1, ROWS).astype(np.int32)
    lengths[:3] = [0, 1, LENGTH]
    tokens = np.stack([100 + draw.permutation(LENGTH) for _ in range(ROWS)]).astype(np.int32)
    ended = (np.arange(ROWS) % 2 == 0) & (lengths > 0)
    tokens[ended, lengths[ended] - 1] = 1
    tokens[np.arange(LENGTH) >= lengths[:, None]] = 0
    return tokens, lengths


def corrupted(tokens, lengths, seed=0, **settings):
    seed = keras.random.SeedGenerator(seed)
    found = corrupt(tokens, lengths, first_id=FIRST, vocabulary_size=VOCABULARY, seed=seed, **settings)
    return tuple(map(ops.convert_to_numpy, found))


def texts(tokens, lengths):
    return [row[:length] for row, length in zip(tokens, lengths, strict=True)]


def movable(tokens, lengths):
    return (np.arange(tokens.shape[1]) < lengths[:, None]) & (tokens != 1)


def check_what_never_changes(tokens, lengths, found, found_lengths):
    assert found.dtype == found_lengths.dtype == np.int32
    assert found.shape == tokens.shape
    assert (found[np.arange(LENGTH) >= found_lengths[:, None]] == 0).all()
    for before, after in zip(texts(tokens, lengths), texts(found, found_lengths), strict=True):
        ended = len(before) > 0 and before[-1] == 1
        assert (after == 1).sum() == ended
        assert not ended or after[-1] == 1


SETTINGS = [
    {"drop": 0.2},
    {"mask": 0.2},
    {"substitute": 0.2},
    {"shuffle": 3},
    {"mask": 0.3, "mask_span": 4},
    {"drop": 0.2, "mask": 0.1, "substitute": 0.3, "shuffle": 2},
]


@pytest.mark.parametrize("settings", first_on_jax(SETTINGS[::-1]), ids=str)
def test_padding_and_ends_stay_and_a_seed_repeats(settings):
    given = batch()
    found = corrupted(*given, **settings)
    check_what_never_changes(*given, *found)
    for one, two in zip(found, corrupted(*given, **settings), strict=True):
        np.testing.assert_array_equal(one, two)
    assert (found[0] != corrupted(*given, seed=1, **settings)[0]).any()


@pytest.mark.backend_free
def test_a_batch_is_corrupted_anew_each_time():
    """So each epoch sees other noise; what it is depends on the seed and the number of draws alone."""
    given, settings = batch(), {"substitute": 0.3}
    corruption = [
        corruption_from(settings, first_id=FIRST, vocabulary_size=VOCABULARY, seed=keras.random.SeedGenerator(0))
        for _ in range(2)
    ]
    first, second = ([ops.convert_to_numpy(each(*given)[0]) for _ in range(2)] for each in corruption)
    assert (first[0] != first[1]).any()
    np.testing.assert_array_equal(first, second)


def test_masked_tokens_are_zero_and_the_others_are_as_they_were():
    tokens, lengths = batch()
    found, same = corrupted(tokens, lengths, mask=0.3)
    np.testing.assert_array_equal(same, lengths)
    free = movable(tokens, lengths)
    masked = free & (found == 0)
    np.testing.assert_array_equal(found, np.where(masked, 0, tokens))
    assert masked.sum() / free.sum() == pytest.approx(0.3, abs=0.02)


@pytest.mark.parametrize("others", first_on_jax([{}, {"substitute": 0.4}]))
def test_masks_cover_so_many_tokens_together(others):
    tokens, lengths = batch()
    found, _ = corrupted(tokens, lengths, mask=0.3, mask_span=5, **others)
    free = movable(tokens, lengths)
    masked = free & (found == 0)
    assert masked.sum() / free.sum() == pytest.approx(0.3, abs=0.05)
    columns = masked.sum(0) / np.maximum(free.sum(0), 1)
    assert columns[:40].min() > 0.15, "the first tokens are as likely to be masked as others"
    if not others:
        inner = []
        for row, length in zip(masked, lengths, strict=True):
            begins, ends = np.flatnonzero(np.diff(np.concatenate([[0], row, [0]]))).reshape(-1, 2).T
            inner.extend((ends - begins)[(begins > 0) & (ends < length - 1)])
        assert len(inner) > 99 and min(inner) == 5  # a span at an end of a text lies in part outside


def test_substitutes_come_evenly_from_the_ids_of_text():
    tokens, lengths = batch()
    found, same = corrupted(tokens, lengths, substitute=0.3)
    np.testing.assert_array_equal(same, lengths)
    free, changed = movable(tokens, lengths), found != tokens
    assert not changed[~free].any()
    assert changed.sum() / free.sum() == pytest.approx(0.3, abs=0.02)
    ids, counts = np.unique(found[changed], return_counts=True)
    assert ids.tolist() == list(range(FIRST, VOCABULARY))
    expected = changed.sum() / len(ids)
    assert np.square(counts - expected).sum() / expected < 60  # chi square of 24 degrees: once in 10,000 above


def test_dropping_leaves_the_others_in_their_order():
    tokens, lengths = batch()
    found, shorter = corrupted(tokens, lengths, drop=0.3)
    for before, after in zip(texts(tokens, lengths), texts(found, shorter), strict=True):
        np.testing.assert_array_equal(after, before[np.isin(before, after)])
    free = movable(tokens, lengths).sum()
    assert (lengths.sum() - shorter.sum()) / free == pytest.approx(0.3, abs=0.02)


@pytest.mark.parametrize("places", first_on_jax([3, 1]))
def test_a_shuffled_token_moves_so_many_places_at_most(places):
    tokens, lengths = batch()
    found, same = corrupted(tokens, lengths, shuffle=places)
    np.testing.assert_array_equal(same, lengths)
    moved = []
    for before, after in zip(texts(tokens, lengths), texts(found, same), strict=True):
        assert sorted(before) == sorted(after)
        moved.extend(abs(int(np.flatnonzero(after == token)[0]) - i) for i, token in enumerate(before))
    assert max(moved) == places
    assert np.mean(np.array(moved) > 0) > 0.2


def test_a_token_has_one_fate():
    tokens, lengths = batch()
    found, shorter = corrupted(tokens, lengths, drop=0.2, mask=0.3, substitute=0.4, shuffle=2)
    free = movable(tokens, lengths).sum()
    left = np.concatenate(texts(found, shorter))
    shares = [lengths.sum() - shorter.sum(), (left == 0).sum(), ((left > 1) & (left < VOCABULARY)).sum()]
    np.testing.assert_allclose(np.array(shares) / free, [0.2, 0.3, 0.4], atol=0.02)


@pytest.mark.backend_free
def test_shuffling_counts_places_after_dropping():
    tokens, lengths = batch()
    moved = []
    for before, after in zip(
        texts(tokens, lengths), texts(*corrupted(tokens, lengths, drop=0.5, shuffle=2)), strict=True
    ):
        kept = before[np.isin(before, after)]
        moved.extend(abs(int(np.flatnonzero(after == token)[0]) - i) for i, token in enumerate(kept))
    assert max(moved) == 2
    assert np.mean(np.array(moved) > 0) > 0.3


@pytest.mark.backend_free
def test_no_corruption_is_none():
    settings = {"drop": 0.0, "mask": 0.0, "substitute": 0.0, "shuffle": 0}
    seed = keras.random.SeedGenerator(0)
    assert corruption_from(settings, first_id=2, vocabulary_size=9, seed=seed) is None
    made = corruption_from(settings | {"mask": 0.5}, first_id=2, vocabulary_size=9, seed=seed)
    assert (ops.convert_to_numpy(made(*batch())[0]) == 0).sum() > (batch()[0] == 0).sum()


@pytest.mark.compiled
@pytest.mark.parametrize("xla", first_on_jax([False, True]))
def test_compiled_it_gives_the_same(xla):
    settings = SETTINGS[-1]
    given, seed = batch(), keras.random.SeedGenerator(0)

    def function(tokens, lengths):
        return corrupt(tokens, lengths, first_id=FIRST, vocabulary_size=VOCABULARY, seed=seed, **settings)

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        signature = [tf.TensorSpec((None, None), tf.int32), tf.TensorSpec((None,), tf.int32)]
        compiled = tf.function(function, jit_compile=xla, input_signature=None if xla else signature)
        first, second = ([array.numpy() for array in compiled(*map(tf.constant, given))] for _ in range(2))
    else:
        import jax

        @jax.jit
        def stateless(state, *arrays):
            with keras.StatelessScope(state_mapping=[(seed.state, state)]) as scope:
                found = function(*arrays)
            return found, scope.get_current_value(seed.state)

        found, state = stateless(seed.state.value, *given)
        first, second = ([np.asarray(array) for array in found] for found in (found, stateless(state, *given)[0]))
    check_what_never_changes(*given, *first)
    if not (xla and keras.backend.backend() == "tensorflow"):  # whose XLA draws other numbers
        for one, two in zip(first, corrupted(*given, **settings), strict=True):
            np.testing.assert_array_equal(one, two)
    assert (first[0] != second[0]).any()
    assert 0.7 < first[1].sum() / given[1].sum() < 0.9
