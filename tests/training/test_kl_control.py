"""The weight of the KL divergence: schedules, the control of a rate, and by what the best weights are chosen."""

import math

import pytest

from textae.config.schema import Config, ModelConfig
from textae.training import kl_control, schedules
from textae.training.state import TrainingState

pytestmark = pytest.mark.backend_free


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [("constant", [2, 2, 2, 2, 2]), ("linear", [0, 0.5, 1, 2, 2]), ("cyclic", [0, 1, 0, 1, 2])],
)
def test_schedules(schedule, expected):
    found = [
        schedules.kl_weight(2.0, schedule, done=done, warmup=0.5, cycles=4 if schedule != "cyclic" else 2)
        for done in (0.0, 0.125, 0.25 if schedule != "cyclic" else 0.5, 0.625, 1.0)
    ]
    assert found == pytest.approx(expected)


def test_a_warmup_of_nothing_and_a_schedule_that_is_none():
    assert schedules.kl_weight(2.0, "linear", done=0.0, warmup=0.0, cycles=1) == 2.0
    with pytest.raises(ValueError, match="expected a schedule among constant, linear, cyclic, received 'step'"):
        schedules.kl_weight(2.0, "step", done=0.0, warmup=0.5, cycles=1)


def test_a_model_that_is_not_variational_has_no_weight():
    assert kl_control.kl_weight(ModelConfig(), TrainingState(), 0.5) == 0.0


@pytest.mark.parametrize("target", [4.0, 30.0])
def test_the_rate_is_held(target):
    """A model whose rate follows its weight with a delay, as posteriors do, comes to the target and stays."""
    model, state = ModelConfig(variational=True, target_rate=target), TrainingState()
    rate = 12.0
    for _ in range(600):
        state.kl_weight = kl_control.kl_weight(model, state, 0.5)
        rate += 0.05 * (10.0 / math.sqrt(state.kl_weight / 0.02) - rate)
        kl_control.observe(model, state, rate * math.log(2) * 100, 100)
    assert rate == pytest.approx(target, rel=0.02)
    assert state.rate == pytest.approx(target, rel=0.02)
    assert state.kl_weight == pytest.approx(0.02 * (10.0 / target) ** 2, rel=0.1)


def test_without_a_target_nothing_is_observed():
    state = TrainingState()
    kl_control.observe(ModelConfig(variational=True), state, 100.0, 10)
    assert state == TrainingState()


def test_the_best_weights_are_those_of_the_lowest_objective():
    def best(metrics, **settings):
        return kl_control.validation_objective(ModelConfig(**settings), metrics)

    noisy = {"loss": 0.1, "noisy_loss": 0.5, "rate": 10.0}
    assert best({"loss": 0.1}) == 0.1
    assert best(noisy, latent_noise=0.3) == 0.5
    assert best(noisy, variational=True, kl_weight=0.1) == pytest.approx(0.5 + math.log(2))
    assert best(noisy, variational=True, target_rate=12.0) == 0.5
    assert best(noisy, variational=True, target_rate=8.0) == pytest.approx(0.5 + 2 * math.log(2))


@pytest.mark.parametrize(
    ("settings", "objective", "fits"),
    [
        ({}, "noisy_loss", False),
        ({"latent_noise": 0.1}, "noisy_loss", True),
        ({"latent_noise": 0.1}, "elbo", False),
        ({"variational": True}, "elbo", True),
    ],
)
def test_an_objective_that_a_run_does_not_have(settings, objective, fits):
    from textae.config.schema import PydocsConfig

    if fits:
        assert Config(corpus=PydocsConfig(), model=ModelConfig(**settings), objective=objective).objective == objective
    else:
        with pytest.raises(ValueError, match=r"expected objective as a metric that a run with model\.\w+="):
            Config(corpus=PydocsConfig(), model=ModelConfig(**settings), objective=objective)
