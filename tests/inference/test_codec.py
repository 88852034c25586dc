"""Ids to latents and back in bulk: what is decoded is what was encoded, at every length."""

import keras
import numpy as np
import pytest
from keras import ops

from helpers.backends import first_on_jax
from helpers.jax_compiling import at_once
from helpers.models import new_model
from textae.inference import codec
from textae.inference.codec import Codec
from textae.inference.compiled import compiled

VECTOR = {"latent": "vector", "latent_size": 12}


def documents(lengths, seed=0):
    draw = np.random.default_rng(seed)
    return [draw.integers(2, 20, length).astype(np.int32) for length in lengths]


def around(stride, max_length):
    """Lengths without the end, near multiples of the stride and of max_length."""
    marks = [0, stride, 2 * stride, max_length - stride, max_length, 2 * max_length, 3 * max_length + stride]
    return sorted({length for mark in marks for length in range(max(mark - 2, 0), mark + 2)})


@pytest.fixture(scope="module")
def sequence():
    return new_model(output_bias=True)


@pytest.fixture(scope="module")
def vector():
    return new_model(**VECTOR)


@pytest.mark.parametrize("kind", ["sequence", "vector"])
@pytest.mark.parametrize("span", first_on_jax([3, 1]))
def test_surprise_of_tokens_that_were_not_seen(kind, span, request):
    model = request.getfixturevalue(kind)
    own = Codec(model, "truncate" if kind == "vector" else "split")
    given = documents([0, 1, 5, 23, 24, 60])
    found = own.surprise(given, 3, span)
    for ids, (losses, entropies, variances) in zip(given, found, strict=True):
        length = min(len(ids) + 1, 24) if kind == "vector" else len(ids) + 1
        assert losses.shape == entropies.shape == variances.shape == (length,)
        assert (losses > 0).all() and (variances >= 0).all() and (entropies <= np.log(20) + 1e-5).all()
    changed = given[3].copy()
    changed[7] = 2 + changed[7] % 18
    (again,) = own.surprise([changed], 3, span)
    np.testing.assert_allclose(again.entropies[7], found[3].entropies[7], rtol=1e-4)  # no word of what it is
    assert abs(again.token_losses[7] - found[3].token_losses[7]) > 1e-3
    alone = own.surprise(given[2:3], 3, span)[0]
    np.testing.assert_allclose(alone, found[2], rtol=1e-4, atol=1e-4)


@pytest.mark.backend_free
def test_each_token_is_predicted_with_its_own_span_masked(sequence):
    given = documents([11])
    own = Codec(sequence)
    (found,) = own.surprise(given, 2, 2)

    @at_once
    def logits_of(tokens):
        rows, embedding, bias = sequence.output_rows(sequence(tokens, np.array([12], np.int32)).hidden[0])
        return rows @ ops.transpose(embedding) + bias

    for first in (0, 2):  # tokens 0 1 4 5 8 9, and the others
        here = (np.arange(12) % 4 // 2) == first // 2
        tokens = np.append(given[0], 1)[None].astype(np.int32)
        masked = np.where(here & (tokens != 1), 0, tokens).astype(np.int32)
        logits = np.array(logits_of(masked))
        losses = np.log(np.exp(logits).sum(1)) - logits[np.arange(12), tokens[0]]
        np.testing.assert_allclose(found.token_losses[here], losses[here], rtol=1e-3, atol=1e-4)


def lean(model, amount):
    """Make the end more likely, so that some of the texts end before their latent position does."""
    bias = np.zeros(20, np.float32)
    bias[1] = amount
    model.bias.assign(bias)


@pytest.mark.parametrize("amount", first_on_jax([2, -50, 50]))
def test_decoding_what_was_encoded_is_reconstructing(sequence, amount):
    lean(sequence, amount)
    given = documents(around(4, 24))
    found = Codec(sequence)
    latents = found.encode(given)
    assert [len(array) for array in latents] == [-(-(len(ids) + 1) // 4) for ids in given]
    decoded = found.decode(latents)
    reconstructed = found.reconstruct(given)
    for ids, encoded, own, other in zip(given, latents, decoded, reconstructed, strict=True):
        np.testing.assert_array_equal(own, other.ids)
        assert -(-(len(ids) + 1) // 4) * 4 - 4 <= len(own) <= -(-(len(ids) + 1) // 4) * 4
        assert len(own) == 0 or own.min() >= 2
        assert len(other.correct) == len(other.token_losses) == len(ids) + 1
        np.testing.assert_array_equal(other.latents, encoded)
        assert other.log_variances is None
        full = np.concatenate([own, [1]])[: len(ids) + 1]
        full = np.pad(full, (0, len(ids) + 1 - len(full)))
        if amount == 50:
            assert len(own) == -(-(len(ids) + 1) // 4) * 4 - 4
        np.testing.assert_array_equal(other.correct, full == np.concatenate([ids, [1]]))


def test_vectors_decoded_are_reconstructed(vector):
    given = documents([length for length in around(4, 24) if length < 24], 1)
    found = Codec(vector, "truncate")
    latents = found.encode(given)
    assert {array.shape for array in latents} == {(12,)}
    for encoded, own, other in zip(latents, found.decode(latents), found.reconstruct(given), strict=True):
        np.testing.assert_array_equal(own, other.ids)
        np.testing.assert_array_equal(other.latents, encoded[None])


def test_a_variational_model_s_log_variances_go_with_its_latents(small_model):
    model = small_model(variational=True)
    (document,) = Codec(model).reconstruct(documents([30]))
    assert document.latents.shape == document.log_variances.shape == (8, 5)

    @at_once
    def posterior_of(tokens, lengths):
        _, posterior = model.encoder(tokens, lengths)
        return posterior.mean, posterior.log_variance

    tokens = np.pad(documents([30])[0], (0, 2))[None, :24]
    mean, log_variance = posterior_of(tokens, np.array([24], np.int32))
    np.testing.assert_allclose(document.latents[:6], np.asarray(mean)[0], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(document.log_variances[:6], np.asarray(log_variance)[0], rtol=1e-4, atol=1e-6)


@pytest.mark.backend_free
def test_the_length_of_a_vector_is_predicted(vector):
    given = documents([3] * 4 + [9] * 4 + [22] * 4, 2)
    found = Codec(vector, "truncate")
    latents = np.stack(found.encode(given))
    predicted = found._predict_lengths(latents)
    assert len(set(predicted.tolist())) > 1
    for ids, count in zip(found.decode(list(latents)), predicted, strict=True):
        assert (count - 1) * 4 <= len(ids) <= count * 4


@pytest.mark.parametrize("kind", first_on_jax(["sequence", "vector"]))
def test_a_document_does_not_depend_on_the_others(sequence, vector, kind):
    model = {"sequence": sequence, "vector": vector}[kind]
    given = documents([5, 0, 23, 11, 3], 3)
    found = Codec(model, "split" if kind == "sequence" else "truncate")
    together, alone = found.reconstruct(given), [found.reconstruct([ids])[0] for ids in given]
    for first, second in zip(together, alone, strict=True):
        np.testing.assert_array_equal(first.ids, second.ids)
        np.testing.assert_allclose(first.token_losses, second.token_losses, rtol=1e-4, atol=1e-4)
    for first, second in zip(found.encode(given), [found.encode([ids])[0] for ids in given], strict=True):
        np.testing.assert_allclose(first, second, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["sequence", "vector"])
@pytest.mark.backend_free
def test_few_positions_at_a_time_change_nothing(sequence, vector, kind, monkeypatch):
    model = {"sequence": sequence, "vector": vector}[kind]
    given = documents([5, 0, 23, 11, 3, 60, 7], 3)
    before = [r.ids for r in Codec(model, "split" if kind == "sequence" else "truncate").reconstruct(given)]
    monkeypatch.setattr(codec, "TOKENS_PER_BATCH", 48)
    found = Codec(model, "split" if kind == "sequence" else "truncate")
    sizes = []
    decode = found._decode
    found._decode = lambda latents, counts, targets: sizes.append(targets.size) or decode(latents, counts, targets)
    for own, other in zip(found.reconstruct(given), before, strict=True):
        np.testing.assert_array_equal(own.ids, other)
    found.decode(found.encode(given))
    assert max(sizes) <= 48


@pytest.mark.backend_free
def test_cut_and_dropped(sequence, vector):
    given = documents([30, 10, 24, 23], 4)
    for model in (sequence, vector):
        cut = Codec(model, "truncate").reconstruct(given)
        assert [len(r.token_losses) for r in cut] == [24, 11, 24, 24]
        assert [len(r.correct) for r in cut] == [31, 11, 25, 24]
        assert not cut[0].correct[23:].any()
        dropped = Codec(model, "drop").reconstruct(given)
        assert [r is None for r in dropped] == [True, False, True, False]


@pytest.mark.backend_free
def test_nothing_in_nothing_out(sequence, vector):
    for model in (sequence, vector):
        found = Codec(model, "truncate")
        assert (found.encode([]), found.decode([]), found.reconstruct([])) == ([], [], [])
        none = [np.zeros(0, np.int32)]
        assert len(found.reconstruct(none)[0].correct) == 1
        assert len(found.decode(found.encode(none))) == 1


def test_noise_repeats_and_matters(sequence):
    lean(sequence, 0)
    given = documents([23, 22], 5)
    settings = [(0, 0), (3, 1), (3, 1), (3, 2)]
    clean, *noisy = (Codec(sequence, latent_noise=noise, seed=seed).reconstruct(given) for noise, seed in settings)
    losses = [np.concatenate([r.token_losses for r in found]) for found in noisy]
    np.testing.assert_array_equal(losses[0], losses[1])
    assert np.abs(losses[0] - losses[2]).max() > 1e-3
    assert np.abs(losses[0] - np.concatenate([r.token_losses for r in clean])).max() > 1e-3


@pytest.mark.backend_free
@pytest.mark.parametrize("shape", [(5,), (3, 4), (0, 5), (2, 3, 5), ()])
def test_latents_of_another_shape(sequence, shape):
    with pytest.raises(ValueError, match=r"expected a document's latents of shape \(positions, 5\) .*, received \("):
        Codec(sequence).decode([np.zeros((1, 5), np.float32), np.zeros(shape, np.float32)])


@pytest.mark.backend_free
def test_vectors_of_another_shape(vector):
    with pytest.raises(ValueError, match=r"of shape \(12,\), received \(1, 12\)"):
        Codec(vector, "truncate").decode([np.zeros((1, 12), np.float32)])
    with pytest.raises(ValueError, match=r"of shape \(segments, 12\) with at least one segment, received \(1, 11\)"):
        Codec(vector).decode([np.zeros((1, 11), np.float32)])


@pytest.mark.compiled
def test_compiled_reads_the_weights_of_the_moment(sequence):
    function = compiled(sequence, lambda x: x + sequence.bias.value[1], [((None,), "float32")])
    lean(sequence, 2)
    first = function(np.ones(2, np.float32))
    lean(sequence, 5)
    assert first.tolist() == [3, 3]
    expected = [6, 6]
    assert function(np.ones(2, np.float32)).tolist() == expected


@pytest.mark.backend_free
@pytest.mark.parametrize("kind", ["sequence", "vector"])
def test_corrupted_documents_are_compared_with_the_clean_ones(sequence, vector, kind):
    model = {"sequence": sequence, "vector": vector}[kind]
    given = documents([0, 3, 9, 17, 23])

    def corruption(tokens, lengths):
        """Vectors: the last token before the end is gone. Blocks: a text's first token is masked everywhere."""
        if kind == "sequence":
            return np.where((tokens == tokens[:, :1]) & (tokens != 1), 0, tokens), lengths
        fewer, longer = np.array(lengths), np.flatnonzero(lengths > 1)
        encoded = np.array(tokens)
        encoded[longer, lengths[longer] - 2] = 1
        encoded[longer, lengths[longer] - 1] = 0
        fewer[longer] -= 1
        return encoded, fewer

    found = Codec(model).reconstruct(given, corruption)
    clean = Codec(model).reconstruct(given)
    for ids, one, other in zip(given, found, clean, strict=True):
        assert other.corrupted is None
        expected = ids[:-1] if kind == "vector" else np.where(ids == ids[:1], 0, ids)
        np.testing.assert_array_equal(one.corrupted, expected)
        assert len(one.correct) == len(one.token_losses) == len(ids) + 1
        full = np.concatenate([one.ids, [1]])[: len(ids) + 1]
        full = np.pad(full, (0, len(ids) + 1 - len(full)))
        np.testing.assert_array_equal(one.correct, full == np.concatenate([ids, [1]]))
        if len(ids):
            assert np.abs(one.token_losses - other.token_losses).max() > 1e-3


@pytest.mark.backend_free
@pytest.mark.parametrize("kind", ["sequence", "vector"])
@pytest.mark.parametrize("overflow", ["split", "truncate", "drop"])
def test_given_latents_are_decoded_in_place_of_the_encoder_s(sequence, vector, kind, overflow):
    model = {"sequence": sequence, "vector": vector}[kind]
    given = documents([0, 3, 5, 17, 23, 24, 50])
    found = Codec(model, overflow, latent_noise=0.5)  # of which given latents take nothing
    clean = Codec(model, overflow).reconstruct(given)
    assert [found.left_out(ids) for ids in given] == [document is None for document in clean]
    for own, true in zip(found.reconstruct(given, latents=found.encode(given)), clean, strict=True):
        assert (own is None) == (true is None)
        if own is not None and true is not None:
            np.testing.assert_array_equal(own.ids, true.ids)
            np.testing.assert_allclose(own.token_losses, true.token_losses, rtol=1e-4, atol=1e-6)
            np.testing.assert_allclose(own.latents, true.latents, rtol=1e-4, atol=1e-6)
    turned = [-np.asarray(array) for array in found.encode(given)]
    if kind == "sequence" and overflow == "split":
        for own, ids in zip(found.reconstruct(given, latents=turned), found.decode(turned), strict=True):
            assert own is not None
            np.testing.assert_array_equal(own.ids, ids)


@pytest.mark.compiled
@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="JAX compiles always")
@pytest.mark.parametrize(
    ("size", "asked", "expected"),
    [(3, True, [True, False]), (1 << 16, True, [False]), (3, False, [False])],
    ids=["small", "large", "not asked"],
)
def test_a_first_small_batch_is_computed_before_anything_is_compiled_if_asked(small_model, size, asked, expected):
    import tensorflow as tf

    eager, array = [], np.zeros(size, np.float32)

    def function(values):
        eager.append(tf.executing_eagerly())
        return values + 1

    call = compiled(small_model(), function, [((None,), "float32")], lambda: asked)
    for _ in range(3):
        np.testing.assert_array_equal(call(array), array + 1)
    assert eager == expected
