"""How far a run is, and its learning rate there."""

import math

import pytest

from textae.training.schedules import learning_rate, progress

pytestmark = pytest.mark.backend_free


def share(step=0, epochs=0.0, minutes=0.0, max_steps=None, max_epochs=None, max_minutes=None):
    return progress(
        step=step,
        epochs=epochs,
        minutes=minutes,
        max_steps=max_steps,
        max_epochs=max_epochs,
        max_minutes=max_minutes,
    )


def test_the_nearest_limit_counts():
    assert share(step=5, max_steps=20) == 0.25
    assert share(step=5, epochs=1.5, max_steps=20, max_epochs=2) == 0.75
    assert share(minutes=3, max_minutes=2, max_steps=10) == 1.5


def rate(kind, step=1000, done=0.0, warmup_steps=10, final_share=0.1):
    return learning_rate(0.5, kind, step=step, done=done, warmup_steps=warmup_steps, final_share=final_share)


@pytest.mark.parametrize("kind", ["cosine", "linear", "constant"])
def test_warm_up(kind):
    assert [rate(kind, step) for step in (0, 4, 9, 10)] == pytest.approx([0.05, 0.25, 0.5, 0.5])
    assert rate(kind, 0, warmup_steps=0) == 0.5


@pytest.mark.parametrize(
    ("kind", "half"), [("cosine", 0.5 * (0.1 + 0.9 * 0.5)), ("linear", 0.5 * 0.55), ("constant", 0.5)]
)
def test_fall(kind, half):
    assert rate(kind, done=0.5) == pytest.approx(half)
    assert rate(kind, done=1.0) == pytest.approx(0.5 if kind == "constant" else 0.05)
    assert rate(kind, done=7.0) == rate(kind, done=1.0)
    assert rate(kind, done=-1.0) == rate(kind, done=0.0)


def test_cosine_is_a_cosine():
    assert rate("cosine", done=0.25) == pytest.approx(0.5 * (0.1 + 0.45 * (1 + math.cos(math.pi / 4))))


def test_an_unknown_schedule():
    with pytest.raises(ValueError, match="among cosine, linear, constant, received 'step'"):
        rate("step")
