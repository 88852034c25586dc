"""One text under noise and in few bits: as the curves have it, and as the codec decodes it."""

import numpy as np
import pytest

import textae
from textae.evaluation.curves import Bits, Noise, train_latents, train_statistics
from textae.evaluation.rates import capacity
from textae.evaluation.single_text import LatentChannel, single_text

pytestmark = pytest.mark.backend_free

TEXT = "the small red house, naïve ☃"
TRAIN = np.random.default_rng(0).standard_normal((500, 4)).astype(np.float32) * [1, 2, 3, 0]


@pytest.fixture(scope="module")
def ae(trained):
    return textae.load(trained[0])


@pytest.fixture(scope="module")
def channel(ae, corpus_file):
    return LatentChannel(train_latents(ae, corpus_file.read_text().splitlines()))


def test_noise_is_that_of_the_curve(ae, corpus_file):
    texts = corpus_file.read_text().splitlines()
    curve = Noise([0.4], train_statistics(ae, texts), seed=3)
    (latents,) = ae.encode([TEXT])
    (expected,), bits = curve.changed(0.4, [latents], 0)
    found = single_text(ae, TEXT, LatentChannel(train_latents(ae, texts)), noise_level=0.4, seed=3)
    np.testing.assert_allclose(found.decoded_latents, expected, rtol=1e-5, atol=1e-6)
    assert found.reconstruction == ae.decode([found.decoded_latents])[0]
    assert found.capacity == pytest.approx(bits)
    assert found.metrics["rate"] == pytest.approx(bits / found.metrics["tokens"])
    assert LatentChannel(TRAIN).capacity(0.4) == pytest.approx(3 * capacity([0.6], 0.4))  # a dimension does not vary


def test_bits_are_those_of_a_corpus_and_not_of_the_text_alone():
    """The ranges are stored beside many texts: of one text, two floats for each dimension would hold all of it."""
    channel = LatentChannel(TRAIN)
    for bits in (1, 3, 16):
        (expected, *_), _ = Bits([bits], 4).changed(bits, [TRAIN[:7], TRAIN[7:]], 0)
        np.testing.assert_array_equal(channel.changed(TRAIN[:7], bits=bits), expected)
    assert len(np.unique(channel.changed(TRAIN, bits=1)[:, 0])) == 2
    both = channel.changed(TRAIN[:7], 0.3, 2, seed=5)
    np.testing.assert_array_equal(both, channel.changed(channel.changed(TRAIN[:7], bits=2), 0.3, seed=5))


def test_without_either_a_text_is_reconstructed_as_always(ae, channel):
    for given in (None, channel):
        found = single_text(ae, TEXT, given)
        assert found.reconstruction == ae.reconstruct([TEXT])[0]
        assert found.decoded_latents is found.latents
        np.testing.assert_array_equal(found.latents, ae.encode([TEXT])[0])
        assert found.metrics["loss"] == pytest.approx(ae.score([TEXT])[0], rel=1e-5)
        assert "rate" not in found.metrics
    tokens = len(TEXT.encode()) + 1
    assert found.metrics["tokens"] == tokens
    assert found.metrics["latent_floats_per_token"] == found.latents.size / tokens
    assert found.metrics["stored_bits_per_token"] == 32 * found.latents.size / tokens
    assert single_text(ae, TEXT, channel, bits=5).stored_bits == 5 * found.latents.size
    assert found.metrics["wrong_tokens"] == round((1 - found.metrics["token_accuracy"]) * tokens)


def test_a_text_that_training_drops_is_there_all_the_same(ae, monkeypatch):
    monkeypatch.setattr(ae.codec, "overflow", "drop")
    long = TEXT * 5
    assert single_text(ae, long).metrics["tokens"] == len(long.encode()) + 1


def test_what_is_refused(ae, channel):
    for level in (-0.1, 1.0, float("nan")):
        with pytest.raises(ValueError, match="expected a noise_level from 0 to below 1, received"):
            single_text(ae, TEXT, channel, noise_level=level)
    for bits in (0, 17):
        with pytest.raises(ValueError, match=f"expected bits from 1 to 16, received {bits}"):
            single_text(ae, TEXT, channel, bits=bits)
    with pytest.raises(ValueError, match="expected latents of the train split for noise and bits, found none"):
        single_text(ae, TEXT, bits=3)
    with pytest.raises(ValueError, match="lone surrogate"):
        single_text(ae, "\ud800")
