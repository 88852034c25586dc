"""A training step: which weights move and how far, and that it can be put down and taken up again."""

import gc

import keras
import numpy as np
import pytest
from keras import ops

from helpers.backends import first_on_jax
from helpers.models import new_model
from textae.data.corruption import corruption_from
from textae.losses.reconstruction import ReconstructionObjective
from textae.training.optimizers import optimizer
from textae.training.steps import training_step, warmed_up_decay

# Without residual blocks, where it need not be every kind of weight.
SMALLER = {"strides": [4], "channels": [6, 8], "residual_blocks": [0, 0]}
SUMS = {"loss", "correct", "tokens", "total", "documents", "gradient_norm"}


def batch(seed, rows=3, padded=12):
    draw = np.random.default_rng(seed)
    lengths = draw.integers(1, padded + 1, rows).astype(np.int32)
    lengths[-1] = 0
    tokens = draw.integers(2, 20, (rows, padded)).astype(np.int32)
    tokens[np.arange(padded)[None] >= lengths[:, None]] = 0
    return tokens, lengths


def make(model, kind="adamw", corruption=None, **settings):
    def objective(tokens, lengths, training, kl_weight):
        return ReconstructionObjective(model, corruption=corruption)(tokens, lengths, training, 0.1)

    chosen = keras.optimizers.SGD(0.1) if kind == "sgd" else optimizer(kind)
    return training_step(model, objective, chosen, **settings)


def weights(step):
    return step.kept_weights()


def own_weights(step):
    return [ops.convert_to_numpy(w).copy() for w in step.weights]


@pytest.mark.parametrize(
    "changes",
    first_on_jax([{"variational": True, "tie_embeddings": False, "output_bias": True}, {}, {"latent": "vector"}]),
    ids=str,
)
def test_every_weight_moves(small_model, changes):
    step = make(small_model(random_weights=False, **changes))
    before = weights(step)
    for seed in range(3):
        sums = step([batch(seed)], 0.01)
    after = weights(step)
    assert [name for name in before if np.array_equal(before[name], after[name])] == []
    assert set(sums) >= SUMS


@pytest.mark.parametrize("ema_decay", first_on_jax([0.9, 0.0]))
def test_what_is_not_trainable_stays_and_has_no_moments(small_model, ema_decay):
    model = small_model(random_weights=False, tie_embeddings=False, **SMALLER)
    model.encoder.trainable = False
    step = make(model, ema_decay=ema_decay)
    before = weights(step)
    for seed in range(2):
        step([batch(seed)], 0.01)
    after = weights(step)
    assert set(after) == set(model.named_weights())
    for name, values in before.items():
        assert np.array_equal(values, after[name]) == name.startswith("encoder"), name
    moments = [variable for variable in step.optimizer.variables if len(variable.shape)]
    assert len(moments) == 2 * len(model.trainable_variables) < 2 * len(after)


def test_the_sums_are_those_of_the_batch(small_model):
    model = small_model(**SMALLER)
    tokens, lengths = batch(0)
    expected = ReconstructionObjective(model)(tokens, lengths, False)
    found = make(model)([(tokens, lengths)], 0.01)
    assert float(found["tokens"]) == lengths.sum()
    assert float(found["documents"]) == 2
    assert float(found["loss"]) == pytest.approx(float(expected["loss"]), rel=1e-5)


@pytest.mark.parametrize("max_gradient_norm", first_on_jax([0.05, None]))
def test_a_step_is_the_clipped_gradient_per_token(small_model, max_gradient_norm):
    model = small_model(**SMALLER)
    step = make(model, "sgd", max_gradient_norm=max_gradient_norm)
    before = own_weights(step)
    sums = step([batch(0)], 0.1)
    moved = [(b - a) / 0.1 for b, a in zip(before, own_weights(step), strict=True)]
    norm = np.sqrt(sum((m.astype(np.float64) ** 2).sum() for m in moved))
    assert float(sums["gradient_norm"]) > 0.1
    assert norm == pytest.approx(max_gradient_norm or float(sums["gradient_norm"]), rel=1e-3)


@pytest.mark.backend_free
def test_a_gentle_gradient_is_not_clipped(small_model):
    after = []
    for max_gradient_norm in (None, 1e6):
        step = make(small_model(**SMALLER), "sgd", max_gradient_norm=max_gradient_norm)
        step([batch(0)], 0.1)
        after.append(own_weights(step))
    for first, second in zip(*after, strict=True):
        np.testing.assert_allclose(first, second, rtol=1e-6, atol=1e-7)


def test_two_accumulated_batches_are_one_of_both(small_model):
    one, two = batch(0), batch(1)
    both = tuple(np.concatenate(parts) for parts in zip(one, two, strict=True))
    split = make(small_model(**SMALLER), "sgd", gradient_accumulation_steps=2)
    whole = make(small_model(**SMALLER), "sgd")
    for _ in range(2):  # the second time shows that the sums were emptied
        parts, joined = split([one, two], 0.1), whole([both], 0.1)
    for name in SUMS:
        assert float(parts[name]) == pytest.approx(float(joined[name]), rel=1e-4), name
    for first, second in zip(own_weights(split), own_weights(whole), strict=True):
        np.testing.assert_allclose(first, second, rtol=1e-4, atol=1e-5)


def test_the_running_average_follows_its_formula(small_model):
    step = make(small_model(**SMALLER), "sgd", ema_decay=0.9)
    average = own_weights(step)
    for number in (1, 2):
        step([batch(number)], 0.1)
        decay = min(0.9, (1 + number) / (10 + number))
        now = own_weights(step)
        average = [decay * a + (1 - decay) * n for a, n in zip(average, now, strict=True)]
    for kept, expected, raw in zip(weights(step).values(), average, now, strict=True):
        np.testing.assert_allclose(kept, expected, rtol=1e-5, atol=1e-6)
        assert not np.array_equal(kept, raw)


@pytest.mark.backend_free
def test_the_average_s_decay_grows():
    assert float(warmed_up_decay(0.999, 1.0)) == pytest.approx(2 / 11)
    assert float(warmed_up_decay(0.999, 1e6)) == pytest.approx(0.999)


@pytest.mark.parametrize("gradient_accumulation_steps", first_on_jax([2, 1]))
def test_a_loss_that_is_not_finite_changes_nothing(small_model, gradient_accumulation_steps):
    model = small_model(**SMALLER)

    def objective(tokens, lengths, training, kl_weight):
        sums = ReconstructionObjective(model)(tokens, lengths, training)
        bad = ops.where(ops.any(tokens == 19), np.float32("nan"), np.float32(1))
        return sums | {"total": sums["total"] * bad}

    step = training_step(
        model, objective, optimizer("adamw"), gradient_accumulation_steps=gradient_accumulation_steps, ema_decay=0.9
    )
    good = (np.full((2, 8), 5, np.int32), np.array([8, 3], np.int32))
    bad = (np.full((2, 8), 19, np.int32), np.array([8, 3], np.int32))
    step([good] * gradient_accumulation_steps, 0.01)
    before = step.state()
    sums = step([bad, good][:gradient_accumulation_steps], 0.01)
    assert not np.isfinite(float(sums["total"])) and not np.isfinite(float(sums["gradient_norm"]))
    after = step.state()
    for name, value in before.items():
        np.testing.assert_array_equal(value, after[name], err_msg=name)
    step([good] * gradient_accumulation_steps, 0.01)
    assert all(np.isfinite(value).all() for value in step.state().values())
    assert not all(np.array_equal(value, step.state()[name]) for name, value in before.items())


@pytest.mark.parametrize(("kind", "xla"), first_on_jax([("muon", False), ("adamw", True)]))
def test_a_step_taken_up_again_goes_on_to_the_bit(small_model, kind, xla):
    rates = {"drop": 0.1, "mask": 0.1, "substitute": 0.2, "shuffle": 2}

    def new():
        changes = SMALLER | {"latent": "vector", "latent_noise": 0.3, "latent_dropout": 0.2}
        changes |= {"residual_blocks": [0, 1], "residual_dropout": 0.3}
        model = small_model(random_weights=False, **changes)
        corruption = corruption_from(rates, first_id=2, vocabulary_size=20, seed=model.seeds)
        return make(
            model, kind, corruption, gradient_accumulation_steps=2, ema_decay=0.99, max_gradient_norm=1.0, xla=xla
        )

    whole = new()
    whole([batch(0), batch(10)], 0.01)
    state = {name: value.copy() for name, value in whole.state().items()}
    again = new()
    for variable in again.model.trainable_variables:
        variable.assign(np.zeros(variable.shape, np.float32))
    again.load_state(state)
    sums = [step([batch(1), batch(11)], 0.01) for step in (whole, again)]
    assert {n: float(v) for n, v in sums[0].items()} == {n: float(v) for n, v in sums[1].items()}
    for (name, first), second in zip(whole.state().items(), again.state().values(), strict=True):
        np.testing.assert_array_equal(first, second, err_msg=name)


@pytest.mark.backend_free
def test_a_state_that_does_not_fit(small_model):
    step = make(small_model(**SMALLER))
    state = step.state()
    with pytest.raises(ValueError, match=r"received other names: \['average/0'"):
        step.load_state(state | {"average/0": np.zeros(1)})
    with pytest.raises(ValueError, match=r"expected model/0 of shape .*, received \(1,\)"):
        step.load_state(state | {"model/0": np.zeros(1, np.float32)})


@pytest.mark.compiled
@pytest.mark.parametrize("gradient_accumulation_steps", first_on_jax([2, 1]))
def test_batches_of_other_shapes_are_traced_once_or_once_for_each_shape(small_model, gradient_accumulation_steps):
    model, traced = small_model(**SMALLER), []

    def objective(tokens, lengths, training, kl_weight):
        traced.append(tuple(tokens.shape))
        return ReconstructionObjective(model)(tokens, lengths, training)

    step = training_step(model, objective, optimizer("adamw"), gradient_accumulation_steps=gradient_accumulation_steps)
    shapes = [(3, 8), (2, 12), (3, 8), (2, 12)]
    for rows, padded in shapes:
        step([batch(number, rows, padded) for number in range(gradient_accumulation_steps)], 0.01)
    assert traced == ([(None, None)] if keras.backend.backend() == "tensorflow" else [(3, 8), (2, 12)])


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="TensorFlow updates variables where they lie")
def test_weights_and_moments_are_held_once():
    import jax

    settings = {"gradient_accumulation_steps": 2, "ema_decay": 0.9}

    def buffers():  # an array that NumPy has looked at is listed twice
        gc.collect()
        return {array.unsafe_buffer_pointer(): array.nbytes for array in jax.live_arrays()}

    others = buffers()
    step = make(new_model(**SMALLER), **settings)
    for number in range(2):
        step([batch(number)] * 2, 0.01)
        step.state()  # as for a checkpoint
        step.kept_weights()
    held = sum(buffers().values()) - sum(others.values())
    groups = 5  # weights, two moments, sums and averages
    expected = groups * sum(weight.value.nbytes for weight in step.weights)
    assert expected <= held <= expected + 1000, (held, expected)
