"""Latents with the noise of training, and what it costs."""

import math

import numpy as np
import pytest

from textae.evaluation.noisy_metrics import NoisyMetrics, drawn
from textae.inference.codec import Codec

pytestmark = pytest.mark.backend_free  # NumPy around the codec, whose own tests see to both backends


def documents(lengths, seed=1):
    draw = np.random.default_rng(seed)
    return [draw.integers(2, 20, length).astype(np.int32) for length in lengths]


def token_losses(codec, given, latents=None):
    return codec.reconstruct(given, latents=latents)[0].token_losses


@pytest.mark.parametrize("latent", ["sequence", "vector"])
def test_drawn_latents_have_the_noise_of_the_posterior(small_model, latent):
    """log p(z) - log q(z | x) is on average the negative divergence, and the noise differs between calls."""
    codec, given = Codec(small_model(variational=True, latent=latent)), documents([9, 22, 3])
    draw = np.random.default_rng(0)
    encoded = codec.reconstruct(given)
    found = [drawn(codec, encoded, draw) for _ in range(200)]
    ratios = np.array([own[0] for _, own in found])
    clean = encoded[0]
    kl = 0.5 * (clean.latents**2 + np.exp(clean.log_variances) - 1 - clean.log_variances).sum()
    assert -ratios.mean() == pytest.approx(kl, abs=4 * ratios.std() / np.sqrt(len(ratios)))
    some = [latents for latents, _ in found[:12]]
    assert len({token_losses(codec, given[:1], latents[:1]).sum() for latents in some}) == len(some)
    deviations = np.std([latents[0] for latents, _ in found], axis=0)
    np.testing.assert_allclose(deviations, np.exp(0.5 * clean.log_variances), rtol=0.35)


def test_drawn_latents_have_the_noise_of_training(small_model):
    """They have `model.latent_noise`, as `latent_noise` of the codec adds it; without either nothing changes."""
    given = documents([23])  # one segment, without padding
    quiet, noisy = small_model(), small_model(latent_noise=0.5)
    assert not Codec(quiet).draws and Codec(noisy).draws
    noisy.set_weights(quiet.get_weights())

    def losses(codec):
        return token_losses(codec, given, drawn(codec, codec.reconstruct(given), np.random.default_rng(3))[0])

    np.testing.assert_array_equal(losses(Codec(quiet)), token_losses(Codec(quiet), given))
    found = losses(Codec(noisy))
    np.testing.assert_allclose(found, token_losses(Codec(noisy, latent_noise=0.5, seed=3), given), rtol=1e-6)
    assert np.abs(found - token_losses(Codec(noisy), given)).max() > 0.01


def test_metrics_of_a_variational_model(small_model):
    """They add up; the importance-weighted bound is that of one draw with one, and tighter with more."""
    codec, given = Codec(small_model(variational=True)), documents([9, 22, 3])
    encoded = codec.reconstruct(given)

    def metrics(samples):
        found = NoisyMetrics(codec, samples)
        found.update(given, encoded)
        return found.result(kl=12.0)

    one = metrics(1)
    assert one["kl"] == 4.0
    assert one["rate"] == pytest.approx(12 / math.log(2) / 37)
    assert one["elbo"] == pytest.approx(-(one["noisy_loss"] * 37 + 12) / 3)
    latents, ratios = drawn(codec, encoded, np.random.default_rng(1))
    losses = [found.token_losses.sum() for found in codec.reconstruct(given, latents=latents)]
    assert one["nll"] == pytest.approx((np.sum(losses) - ratios.sum()) / 3, rel=1e-6)
    assert metrics(10)["nll"] < one["nll"]


def test_importance_samples_need_a_variational_model(small_model):
    with pytest.raises(ValueError, match="expected a run of a variational model"):
        NoisyMetrics(Codec(small_model(latent_noise=0.5)), 4)
