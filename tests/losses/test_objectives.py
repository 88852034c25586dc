"""The fused loss against its plain form in float64, and the sums of a batch with and without padding."""

import keras
import numpy as np
import pytest
from keras import ops
from textae.losses.objectives import highest, predict, reconstruction_sums, vocabulary_loss

from textae.losses import objectives

VOCABULARY, CHANNELS = 23, 7


def example(rows, seed=0, bias=True):
    draw = np.random.default_rng(seed)
    weights = draw.uniform(0.5, 2, rows) * (draw.uniform(size=rows) > 0.3)
    if rows == 1:
        weights[:] = 1.5
    return (
        draw.standard_normal((rows, CHANNELS)).astype(np.float32),
        draw.standard_normal((VOCABULARY, CHANNELS)).astype(np.float32),
        draw.integers(0, VOCABULARY, rows).astype(np.int32),
        weights.astype(np.float32),
        draw.standard_normal(VOCABULARY).astype(np.float32) if bias else None,
    )


def plain(hidden, embedding, targets, weights, bias, smoothing):
    """Loss, right answers and the three gradients, in float64."""
    hidden, embedding, weights = (np.asarray(a, np.float64) for a in (hidden, embedding, weights))
    logits = hidden @ embedding.T + (0 if bias is None else bias.astype(np.float64))
    log_softmax = logits - logits.max(1, keepdims=True)
    log_softmax = log_softmax - np.log(np.exp(log_softmax).sum(1, keepdims=True))
    wanted = np.full(logits.shape, smoothing / VOCABULARY)
    wanted[np.arange(len(targets)), targets] += 1 - smoothing
    loss = -(weights[:, None] * wanted * log_softmax).sum()
    right = (weights * (logits.argmax(1) == targets)).sum()
    d_logits = weights[:, None] * (np.exp(log_softmax) - wanted)
    return loss, right, d_logits @ embedding, d_logits.T @ hidden, d_logits.sum(0)


def gradients(function, *arrays):
    """Value and gradients of a function of arrays on the running backend."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        @tf.function
        def run(*tensors):
            with tf.GradientTape() as tape:
                tape.watch(tensors)
                value, rest = function(*tensors)
            return value, rest, tape.gradient(value, tensors)

        value, rest, found = run(*map(tf.constant, arrays))
    else:
        import jax

        (value, rest), found = jax.jit(jax.value_and_grad(function, tuple(range(len(arrays))), has_aux=True))(*arrays)
    return float(value), [float(r) for r in rest], [np.asarray(g) for g in found]


@pytest.mark.parametrize("rows", [1, 5, 8, 16, 21])
@pytest.mark.parametrize(
    ("bias", "smoothing", "piece"), [(False, 0.0, 8192), (True, 0.0, 9), (True, 0.1, 23), (False, 0.3, 10)]
)
def test_loss_and_gradients_equal_the_plain_form(rows, bias, smoothing, piece, monkeypatch):
    monkeypatch.setattr(objectives, "PIECE", piece)
    hidden, embedding, targets, weights, offset = example(rows, rows, bias)
    arrays = [hidden, embedding] + ([offset] if bias else [])

    def loss(hidden, embedding, offset=None):
        found = vocabulary_loss(
            3 * hidden, embedding, targets, weights, bias=offset, label_smoothing=smoothing, block_rows=8
        )
        return 2 * found.loss, (found.correct, found.weight)

    value, (right, weight), found = gradients(loss, *arrays)
    expected = plain(3 * hidden, embedding, targets, weights, offset, smoothing)
    assert value == pytest.approx(2 * expected[0], rel=2e-6)
    assert right == pytest.approx(expected[1], rel=1e-6)
    assert weight == pytest.approx(weights.sum(), rel=1e-6)
    np.testing.assert_allclose(found[0], 6 * expected[2], rtol=2e-5, atol=2e-5)
    np.testing.assert_allclose(found[1], 2 * expected[3], rtol=2e-5, atol=2e-5)
    if bias:
        np.testing.assert_allclose(found[2], 2 * expected[4], rtol=2e-5, atol=2e-5)


def confident(rows):
    """An example of whose rows two in three are right with an error below a hundred-thousandth."""
    _, embedding, targets, weights, bias = example(rows, rows, bias=True)
    embedding /= np.linalg.norm(embedding, axis=1, keepdims=True)
    factor = np.where(np.arange(rows) % 3 == 1, 1.0, 300.0).astype(np.float32)
    return factor[:, None] * embedding[targets], embedding, targets, weights, bias


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="shapes that depend on the data")
@pytest.mark.parametrize("step", [1, 4, 16])
def test_the_filter_leaves_out_no_more_than_its_share_and_only_what_is_right(step, monkeypatch):
    monkeypatch.setattr(objectives, "STEP_ROWS", step)
    monkeypatch.setattr(objectives, "PIECE", 9)
    hidden, embedding, targets, weights, bias = confident(60)

    def loss(hidden, embedding, bias, share=0.01):
        found = vocabulary_loss(hidden, embedding, targets, weights, bias=bias, block_rows=16, gradient_filter=share)
        return found.loss, (found.correct,)

    value, (right,), found = gradients(loss, hidden, embedding, bias)
    exact_value, (exact_right,), exact = gradients(lambda *a: loss(*a, share=0.0), hidden, embedding, bias)
    assert (value, right) == (exact_value, exact_right)
    for own, true in zip(found, exact, strict=True):
        assert np.linalg.norm(own - true) < 0.01 * np.linalg.norm(true)
    wrong = np.flatnonzero((np.arange(60) % 3 == 1) & (weights > 0))
    np.testing.assert_allclose(found[0][wrong], exact[0][wrong], rtol=1e-5, atol=1e-7)
    left_out = np.flatnonzero(~found[0].any(1) & exact[0].any(1))
    assert (len(left_out) > 0) == (step < 16)  # of a block's 15 rows the next multiple of 16 is all of them


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="shapes that depend on the data")
def test_the_filter_takes_all_rows_where_all_are_wrong_and_none_where_none_is():
    hidden, embedding, targets, weights, _ = example(40)
    for rows, share in ((0.01 * hidden, 0.5), (hidden, 0.0)):
        exact, own = (
            gradients(
                lambda h, e, s=s: (
                    vocabulary_loss(h, e, targets, weights, block_rows=16, gradient_filter=s).loss,
                    (),
                ),
                rows,
                embedding,
            )
            for s in (0.0, share)
        )
        for a, b in zip(exact[2], own[2], strict=True):
            np.testing.assert_array_equal(a, b)
    none = np.zeros_like(weights)
    _, _, found = gradients(
        lambda h, e: (vocabulary_loss(h, e, targets, none, block_rows=16, gradient_filter=0.01).loss, ()),
        hidden,
        embedding,
    )
    assert not found[0].any() and not found[1].any()


@pytest.mark.parametrize("bias", [False, True])
def test_bfloat16_is_near(bias):
    hidden, embedding, targets, weights, offset = example(50, bias=bias)
    arrays = [hidden, embedding] + ([offset] if bias else [])

    def loss(hidden, embedding, offset=None):
        found = vocabulary_loss(hidden, embedding, targets, weights, bias=offset, precision="bfloat16", block_rows=16)
        return found.loss, (found.weight,)

    value, _, found = gradients(loss, *arrays)
    expected = plain(hidden, embedding, targets, weights, offset, 0.0)
    assert value == pytest.approx(expected[0], rel=5e-3)
    for own, true in zip(found, expected[2:], strict=False):
        assert np.linalg.norm(own - true) < 0.02 * np.linalg.norm(true)


def test_large_logits_stay_finite():
    hidden, embedding, targets, weights, _ = example(9)
    value, _, found = gradients(
        lambda h, e: (vocabulary_loss(h, e, targets, weights).loss, ()), 1e4 * hidden, embedding
    )
    assert np.isfinite(value) and all(np.isfinite(g).all() for g in found)


def test_small_losses_keep_their_digits_beside_large_logits():
    margin = 9.0  # each loss is log(1 + 22 exp(-9)) = .0027 nats, with logits of 2,000
    embedding = np.eye(VOCABULARY, dtype=np.float32) * margin + 2000.0 - margin
    hidden, targets = np.eye(VOCABULARY, dtype=np.float32), np.arange(VOCABULARY, dtype=np.int32)
    loss = vocabulary_loss(hidden, embedding, targets, np.ones(VOCABULARY, np.float32)).loss
    assert float(loss) == pytest.approx(VOCABULARY * np.log1p((VOCABULARY - 1) * np.exp(-margin)), rel=1e-3)


def test_unknown_precision():
    hidden, embedding, targets, weights, _ = example(2)
    with pytest.raises(ValueError, match=r"'float32' or 'bfloat16', received 'float16'"):
        vocabulary_loss(hidden, embedding, targets, weights, precision="float16")


@pytest.mark.parametrize("rows", [1, 6, 8, 19])
@pytest.mark.parametrize("with_bias", [False, True])
def test_predictions(rows, with_bias, monkeypatch):
    monkeypatch.setattr(objectives, "BLOCK_ROWS", 8)
    hidden, embedding, targets, _, bias = example(rows, bias=with_bias)
    embedding[0] = 5 * hidden[0]  # the pad would be the answer of the first row
    embedding[1] = 9 * hidden[-1]  # and the end of the last
    logits = (hidden @ embedding.T).astype(np.float64) + (0 if bias is None else bias)
    found = predict(hidden, embedding, targets, bias=bias)
    np.testing.assert_array_equal(ops.convert_to_numpy(found.ids), logits[:, 2:].argmax(1) + 2)
    np.testing.assert_array_equal(ops.convert_to_numpy(found.ends), logits[:, 1] > logits[:, 2:].max(1))
    assert bool(found.ends[-1])
    alone = predict(hidden, embedding, bias=bias)
    np.testing.assert_array_equal(ops.convert_to_numpy(alone.ids), ops.convert_to_numpy(found.ids))
    np.testing.assert_array_equal(ops.convert_to_numpy(alone.ends), ops.convert_to_numpy(found.ends))
    assert alone.nats is None
    nats = np.log(np.exp(logits - logits.max(1, keepdims=True)).sum(1)) + logits.max(1)
    nats -= logits[np.arange(rows), targets]
    np.testing.assert_allclose(ops.convert_to_numpy(found.nats), nats, rtol=2e-5, atol=2e-5)


def test_the_logits_of_a_large_vocabulary_are_few_at_a_time(monkeypatch):
    hidden, embedding, targets, _, bias = example(31)
    expected, asked, in_blocks = predict(hidden, embedding, targets, bias=bias), [], objectives._in_blocks
    monkeypatch.setattr(objectives, "_in_blocks", lambda arrays, rows: asked.append(rows) or in_blocks(arrays, rows))
    for name, value in (("BLOCK_ROWS", 8), ("LEAST_ROWS", 8), ("MOST_LOGITS", 2 * len(embedding))):
        monkeypatch.setattr(objectives, name, value)
    found = predict(hidden, embedding, targets, bias=bias)
    assert asked == [2]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(ops.convert_to_numpy(one), ops.convert_to_numpy(other), rtol=1e-6)


@pytest.mark.parametrize("candidates", [1, 2, 3, 8, 9, 23, 100, 110])
def test_the_first_of_the_highest(candidates):
    values = np.random.default_rng(candidates).integers(-3, 1, (candidates, 200)).astype(np.float32)  # many are equal
    which, top = map(ops.convert_to_numpy, highest(ops.convert_to_tensor(values)))
    np.testing.assert_array_equal(which, values.argmax(0))
    np.testing.assert_array_equal(top, values.max(0))


def batch(lengths, padded, rows, seed=3):
    draw = np.random.default_rng(seed)
    tokens = np.zeros((rows, padded), np.int32)
    for row, length in enumerate(lengths):
        tokens[row, :length] = draw.integers(2, 20, length)
        tokens[row, length - 1] = 1
    return tokens, np.array([*lengths, *[0] * (rows - len(lengths))], np.int32)


def sums_and_gradients(model, tokens, lengths, **settings):
    weights = model.trainable_variables

    def total(values):
        with keras.StatelessScope(state_mapping=list(zip(weights, values, strict=True))):
            sums = reconstruction_sums(model, tokens, lengths, False, kl_weight=0.3, free_bits=0.2, **settings)
        return sums["total"], sums

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            sums = reconstruction_sums(
                model, tf.constant(tokens), tf.constant(lengths), False, kl_weight=0.3, free_bits=0.2, **settings
            )
        found = tape.gradient(sums["total"], [w.value for w in weights], unconnected_gradients="zero")
        found = [tf.convert_to_tensor(g) for g in found]
    else:
        import jax

        (_, sums), found = jax.jit(jax.value_and_grad(total, has_aux=True))([w.value for w in weights])
    return {name: float(value) for name, value in sums.items()}, [np.asarray(g) for g in found]


KINDS = {
    "sequence": {},
    "vector": {"latent": "vector"},
    "variational": {"variational": True},
    "variational vector": {"variational": True, "latent": "vector"},
}


def close(found, expected):
    for name, value in expected[0].items():
        assert found[0][name] == pytest.approx(value, rel=1e-5), name
    for own, true in zip(found[1], expected[1], strict=True):
        np.testing.assert_allclose(own, true, rtol=2e-4, atol=2e-5 * np.abs(true).max(initial=1))


@pytest.mark.parametrize("kind", KINDS)
def test_gathered_or_not_the_sums_are_equal(small_model, kind):
    model = small_model(**KINDS[kind])
    arrays = batch([9, 3, 16], 16, 3)
    close(
        sums_and_gradients(model, *arrays, gather=keras.backend.backend() == "tensorflow", label_smoothing=0.1),
        sums_and_gradients(model, *arrays, gather=False, label_smoothing=0.1),
    )


@pytest.mark.parametrize("gather", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_padding_changes_nothing(small_model, kind, gather):
    if gather and keras.backend.backend() == "jax":
        pytest.skip("JAX has no shapes that depend on data")
    model = small_model(**KINDS[kind])
    expected = sums_and_gradients(model, *batch([9, 3, 16], 16, 3), gather=gather)
    assert expected[0]["tokens"] == 28 and expected[0]["documents"] == 3
    close(sums_and_gradients(model, *batch([9, 3, 16], 24, 3), gather=gather), expected)
    close(sums_and_gradients(model, *batch([9, 3, 16], 20, 7), gather=gather), expected)


def test_random_tokens_go_in_and_are_wanted(small_model):
    model = small_model(latent="vector")
    tokens, lengths = batch([9, 3, 16], 16, 3)
    others = batch([9, 3, 16], 16, 3, seed=4)[0]
    expected = float(reconstruction_sums(model, others, lengths, True)["loss"])
    found = reconstruction_sums(model, tokens, lengths, True, random_tokens=lambda _, lengths: (others, lengths))
    assert float(found["loss"]) == pytest.approx(expected)
    seen = []
    reconstruction_sums(
        model, tokens, lengths, True,
        random_tokens=lambda _, lengths: (others, lengths), corruption=lambda *given: seen.append(given) or given,
    )  # fmt: skip
    assert seen[0][0] is others  # corrupted in their turn
    clean = reconstruction_sums(model, tokens, lengths, False, random_tokens=lambda _, lengths: (others, lengths))
    assert float(clean["loss"]) == pytest.approx(float(reconstruction_sums(model, tokens, lengths, False)["loss"]))
    assert abs(float(clean["loss"]) - expected) > 0.1


@pytest.mark.parametrize("gather", [False, True])
def test_corrupted_tokens_are_encoded_and_clean_ones_wanted(small_model, gather):
    if gather and keras.backend.backend() == "jax":
        pytest.skip("JAX has no shapes that depend on data")
    model = small_model(latent="vector")
    tokens, lengths = batch([9, 3, 16], 16, 3)
    other, fewer = batch([7, 2, 12], 16, 3, seed=4)
    sums = reconstruction_sums(model, tokens, lengths, True, gather=gather, corruption=lambda *_: (other, fewer))
    latent = model(other, fewer).latent
    hidden = model.decode(latent, -(-lengths // 4), 4)
    rows, embedding, _ = model.output_rows(hidden)
    logits = ops.convert_to_numpy(rows).astype(np.float64) @ ops.convert_to_numpy(embedding).T
    nats = np.log(np.exp(logits).sum(-1)) - np.take_along_axis(logits, tokens[..., None], -1)[..., 0]
    real = np.arange(16) < lengths[:, None]
    assert float(sums["loss"]) == pytest.approx(nats[real].sum(), rel=1e-5)
    assert float(sums["tokens"]) == 28
    blocks = ops.convert_to_numpy(model.block_logits(latent)).astype(np.float64)
    told = np.log(np.exp(blocks).sum(1)) - blocks[np.arange(3), -(-lengths // 4) - 1]
    assert float(sums["blocks_loss"]) == pytest.approx(told.sum(), rel=1e-5)
    clean = reconstruction_sums(model, tokens, lengths, False, corruption=lambda *_: (other, fewer))
    assert float(clean["loss"]) == pytest.approx(float(reconstruction_sums(model, tokens, lengths, False)["loss"]))
    assert abs(float(clean["loss"]) - float(sums["loss"])) > 0.1


def test_sums_add_up_over_batches(small_model):
    model = small_model(latent="vector", variational=True)
    tokens, lengths = batch([9, 3, 16], 16, 3)
    whole = sums_and_gradients(model, tokens, lengths)
    parts = [sums_and_gradients(model, tokens[i : i + 1], lengths[i : i + 1]) for i in range(3)]
    for name, value in whole[0].items():
        assert sum(part[0][name] for part in parts) == pytest.approx(value, rel=1e-5), name


def test_the_kl_divergence_has_its_value(small_model):
    model = small_model(variational=True)
    tokens, lengths = batch([8], 8, 1)
    kl = ops.convert_to_numpy(model(tokens, lengths).kl)
    sums, _ = sums_and_gradients(model, tokens, lengths)
    assert kl.shape == (1, 2, 5)
    assert sums["kl"] == pytest.approx(kl.sum(), rel=1e-5)
    assert sums["total"] == pytest.approx(sums["loss"] + 0.3 * np.maximum(kl, 0.2).sum(), rel=1e-5)
