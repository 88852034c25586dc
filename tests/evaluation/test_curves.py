"""Curves: what is decoded at each level, and the bits that are counted, against the codec itself."""

from types import SimpleNamespace

import numpy as np
import pytest

from textae.data.tokenizers import train_tokenizer
from textae.evaluation import curves
from textae.evaluation.curves import Bits, Noise, curve, train_statistics
from textae.evaluation.latent_statistics import LatentStatistics
from textae.inference.codec import Reconstructed
from textae.inference.quantization import quantized

TEXTS = ["abc", "", "0123456789", "#dropped", "xyz" * 3]


class Lines:
    """A codec whose latent is an id, a number for each token: what is nearest to it is decoded; it drops what has #."""

    model = SimpleNamespace(latent_size=1)

    def left_out(self, ids):
        return ord("#") + 2 in ids

    def encode(self, documents):
        return [np.append(ids, 1)[:, None].astype(np.float32) for ids in documents]

    def reconstruct(self, documents, latents):
        found = []
        for ids, given in zip(documents, latents, strict=True):
            assert not self.left_out(ids)
            decoded = np.rint(given[:, 0]).astype(np.int64)
            right = decoded == np.append(ids, 1)
            text = np.clip(decoded[:-1], 2, 257)
            found.append(Reconstructed(text, right, np.where(right, 0.5, 2.0), given))
        return found


@pytest.fixture
def lines():
    codec = Lines()
    return SimpleNamespace(tokenizer=train_tokenizer("bytes", []), codec=codec, model=codec.model)


def statistics_of(values):
    statistics = LatentStatistics()
    statistics.update(np.asarray(values, np.float64))
    return statistics


@pytest.mark.backend_free
@pytest.mark.parametrize("characters", [1, 1000])
def test_bits(lines, monkeypatch, characters):
    monkeypatch.setattr(curves, "CHARACTERS", characters)
    found = curve(lines, iter(TEXTS), Bits([16, 1], 1), len(TEXTS))
    assert [point["bits"] for point in found.points] == [32, 16, 1]
    tokens = 4 + 1 + 11 + 10
    assert found.metrics == {
        "lossless_bits": 16,
        "latent_floats_per_token": 1.0,
        "documents": 4,
        "documents_dropped": 1,
        "tokens": tokens,
    }
    blocks = 1 if characters == 1000 else 4
    assert found.points[0]["rate"] == 32
    assert found.points[1]["rate"] == pytest.approx(16 + 64 * blocks / tokens)
    if blocks == 1:
        assert found.points[2]["rate"] == pytest.approx((8 * -(-tokens // 8) + 64) / tokens)
    assert found.points[0]["token_accuracy"] == found.points[1]["token_accuracy"] == 1
    assert found.points[0]["bleu"] == 100 and found.points[0]["loss"] == 0.5
    assert found.points[2]["token_accuracy"] < (1 if characters == 1 else 0.2)


@pytest.mark.backend_free
def test_bits_are_those_of_a_file():
    latents = [np.random.default_rng(i).standard_normal((3, 4)).astype(np.float32) for i in range(9)]
    changed, bits = Bits([3], 4).changed(3, latents, 0)
    (block,) = quantized(latents, 4, 3)
    for own, true in zip(changed, block.latents(), strict=True):
        np.testing.assert_array_equal(own, true)
    assert bits == block.stored_bits == -(-9 * 12 * 3 // 8) * 8 + 32 * 8


@pytest.mark.backend_free
def test_a_level_that_loses_ends_the_lossless_ones():
    disturbance = Bits([16, 8, 6, 4], 1)

    def found(accuracies):
        rows = [
            {"bits": bits, "token_accuracy": value, "exact_match": value}
            for bits, value in zip(disturbance.levels, accuracies, strict=True)
        ]
        return disturbance.metrics(rows)["lossless_bits"]

    assert found([0.9, 0.9, 0.9, 0.9, 0.8]) == 6
    assert found([0.9, 0.9, 0.89, 0.9, 0.9]) == 16
    assert found([0.9, 0.89, 0.9, 0.9, 0.9]) is None


@pytest.mark.backend_free
def test_noise_by_its_equation():
    """x_a = sqrt(1 - a) x + sqrt(a) e of normalised latents; a dimension that does not vary takes no noise."""
    disturbance = Noise([0.0, 0.5], statistics_of([[1.0, 5, 0], [3, 5, 8]]), seed=7)  # deviations 1, 0, 4
    latents = [np.array([[3.0, 5, 4]], np.float32), np.array([[1.0, 5, 0], [2, 5, 4]], np.float32)]
    clean, without_limit = disturbance.changed(0.0, latents, 0)
    assert clean is latents and without_limit == float("inf")
    noisy, bits = disturbance.changed(0.5, latents, 10)
    for number, (own, given) in enumerate(zip(noisy, latents, strict=True), 10):
        drawn = np.random.default_rng([7, number]).standard_normal(given.shape, np.float32)
        normal = (given - [2, 5, 4]) / [1, 1, 4]
        expected = np.sqrt(0.5) * normal + np.sqrt(0.5) * drawn
        np.testing.assert_allclose(own[:, [0, 2]], (expected * [1, 0, 4] + [2, 5, 4])[:, [0, 2]], rtol=1e-5)
        np.testing.assert_allclose(own[:, 1], 5)
        assert own.dtype == np.float32
    assert bits == pytest.approx(3 * 2 * 0.5 * np.log2(1 / 0.5))  # three latents, two dimensions that vary
    again, _ = disturbance.changed(0.5, latents[1:], 11)  # whatever else is in the portion
    np.testing.assert_array_equal(again[0], noisy[1])
    scale = np.sqrt((1 + 0 + 16) / 3)
    assert disturbance.row(0.5) == {"noise_level": 0.5, "latent_noise": pytest.approx(scale)}
    assert disturbance.metrics([])["latent_deviation"] == pytest.approx(scale)
    assert disturbance.metrics([])["latent_rms"] == pytest.approx(np.sqrt((4 + 1 + 25 + 16 + 16) / 3))


@pytest.mark.backend_free
def test_latents_are_normalised_by_the_first_of_the_train_split(lines, monkeypatch):
    monkeypatch.setattr(curves, "NORMALIZED_BY", 6)
    monkeypatch.setattr(curves, "_PORTION", 1)
    statistics = train_statistics(lines, iter(["abc", "xy", "0189"]))
    assert statistics.count == 4 + 3
    np.testing.assert_allclose(statistics.mean, [np.mean([99, 100, 101, 1, 122, 123, 1])])


@pytest.mark.backend_free
def test_more_noise_leaves_less(lines):
    statistics = train_statistics(lines, ["abc", "xyz", "0189"] * 30)
    found = curve(lines, TEXTS, Noise([0.0, 1e-6, 0.1, 0.9], statistics), len(TEXTS))
    accuracies = [point["token_accuracy"] for point in found.points]
    assert accuracies[:2] == [1, 1] and accuracies[1] > accuracies[2] >= accuracies[3]
    assert found.points[0]["rate"] is None
    assert found.points[2]["rate"] == pytest.approx(0.5 * np.log2(10))
    again = curve(lines, TEXTS, Noise([0.0, 1e-6, 0.1, 0.9], statistics), len(TEXTS))
    assert again == found


@pytest.mark.backend_free
def test_nothing_to_evaluate(lines):
    with pytest.raises(ValueError, match=r"found none \(dropped as too long: 1\)"):
        curve(lines, ["#"], Bits([8], 1))
    with pytest.raises(ValueError, match="expected documents in the train split"):
        train_statistics(lines, [])
