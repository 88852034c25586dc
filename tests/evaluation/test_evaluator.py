"""The figures of an evaluation, on a codec whose answers are known."""

from types import SimpleNamespace

import numpy as np
import pytest

from textae.data.tokenizers import train_tokenizer
from textae.evaluation import evaluator as evaluation
from textae.evaluation.evaluator import evaluate, random_token_accuracy
from textae.inference.codec import Reconstructed

pytestmark = pytest.mark.backend_free


class Known:
    """A codec that answers with changed ids: an x becomes a y; it cuts at 8 tokens, and drops what begins with #."""

    noise = 0.0
    draws = False

    def reconstruct(self, documents, corruption=None):
        x, y, mark = (ord(c) + 2 for c in "xy#")
        found = []
        for ids in documents:
            if len(ids) and ids[0] == mark:
                found.append(None)
                continue
            kept = ids[:7]
            answer = np.where(kept == x, y, kept)
            right = np.concatenate([answer == kept, [len(kept) == len(ids)], np.zeros(len(ids) - len(kept), bool)])
            nats = np.where(np.append(answer == kept, True), 0.5, 2.0).astype(np.float32)
            latents = np.array([[len(ids), block, 1.0, 0.0] for block in range(-(-len(nats) // 4))], np.float32)
            given = None if corruption is None else corruption(kept, len(kept))[0]
            found.append(Reconstructed(answer, right, nats, latents, corrupted=given))
        return found


@pytest.fixture
def known():
    model = SimpleNamespace(bag_of_words=None)
    return SimpleNamespace(tokenizer=train_tokenizer("bytes", []), codec=Known(), model=model)


TEXTS = ["#dropped", "axc", "", "0123456789", "abc"]


@pytest.mark.parametrize("characters", [1, 7, 1000])
def test_figures(known, monkeypatch, characters):
    monkeypatch.setattr(evaluation, "CHARACTERS", characters)
    found = evaluate(known, iter(TEXTS), keep=3, points=3)
    metrics = found.metrics
    assert metrics["documents"] == 4
    assert metrics["documents_truncated"] == 1
    assert metrics["documents_dropped"] == 1
    assert metrics["tokens"] == 4 + 4 + 1 + 11
    assert metrics["token_accuracy"] == pytest.approx((4 + 3 + 1 + 7) / 20)
    assert metrics["loss"] == pytest.approx((0.5 * 16 + 2.0) / 17)
    assert metrics["exact_match"] == pytest.approx(2 / 4)
    assert metrics["length_accuracy"] == pytest.approx(3 / 4)
    assert metrics["latent_floats_per_token"] == pytest.approx((4 + 4 + 4 + 8) / 17)  # of 20 three are cut off
    assert metrics["cer"] == pytest.approx((1 + 3) / 16)
    np.testing.assert_allclose(found.scores, [0.75, 1, 7 / 11, 1])
    assert found.lengths.tolist() == [4, 1, 11, 4]
    assert "cer_before" not in metrics
    assert metrics["active_units"] == 2
    assert found.total[:12].tolist() == [4, 3, 3, 3, 1, 1, 1, 1, 1, 1, 1, 0]
    assert found.correct[:12].tolist() == [4, 2, 3, 3, 1, 1, 1, 0, 0, 0, 0, 0]
    assert [(sample.kind, sample.score) for sample in found.samples] == [
        ("worst", 7 / 11),
        ("typical", 0.75),  # the median is 0.875
        ("typical", 1.0),
    ]
    assert known.tokenizer.decode([sample.original for sample in found.samples]) == ["0123456789", "axc", ""]
    assert known.tokenizer.decode([sample.answer for sample in found.samples]) == ["0123456", "ayc", ""]
    np.testing.assert_allclose(found.latents.variance, [np.var([3, 3, 0, 10, 10]), np.var([0, 0, 0, 0, 1]), 0, 0])
    assert found.points.texts == ["axc", "", "0123456789"]
    assert found.points.numbers == [1, 2, 3]
    assert found.points.tokens == [4, 1, 11]
    assert found.points.scores == [0.75, 1.0, pytest.approx(7 / 11)]
    np.testing.assert_allclose(found.points.latents, [[3, 0, 1, 0], [0, 0, 1, 0], [10, 0.5, 1, 0]])


def test_the_rate_is_the_capacity_that_noise_leaves(known):
    assert "rate" not in evaluate(known, TEXTS).metrics
    known.codec.noise = 0.5
    variances = np.var([3, 3, 0, 10, 10]), np.var([0, 0, 0, 0, 1])
    bits = sum(0.5 * np.log2(1 + variance / 0.25) for variance in variances)
    assert evaluate(known, TEXTS).metrics["rate"] == pytest.approx(5 * bits / 17)


def test_nothing_to_evaluate(known):
    with pytest.raises(ValueError, match=r"found none \(dropped as too long: 0\)"):
        evaluate(known, [])
    with pytest.raises(ValueError, match=r"found none \(dropped as too long: 1\)"):
        evaluate(known, ["#"])


def test_nothing_is_kept_unless_asked(known):
    found = evaluate(known, TEXTS)
    assert (found.samples, found.points.texts) == ([], [])


def test_typical_documents_are_near_the_median_wherever_they_stand(known):
    """Of 400 documents, from good to bad, 12 are kept: the worst six, and six about half way."""
    texts = ["x" * bad + "abcdef"[bad:] for bad in (number * 7 // 400 for number in range(400))]
    found = evaluate(known, texts, keep=12)
    assert [sample.kind for sample in found.samples] == ["worst"] * 6 + ["typical"] * 6
    assert [sample.score for sample in found.samples] == [1 / 7] * 6 + [np.median(found.scores)] * 6
    assert len({id(sample.original) for sample in found.samples}) == 12


def test_the_error_of_corrupted_texts_stands_beside_what_comes_back(known):
    def corruption(ids, length):
        a, c = (ord(letter) + 2 for letter in "ac")
        return np.where(ids == c, c + 1, np.where(ids == a, 0, ids)), length

    metrics = evaluate(known, ["abc", "axc", "bx"], corruption=corruption).metrics
    assert metrics["cer_before"] == pytest.approx((2 + 2 + 0) / 8)  # bd, xd, bx
    assert metrics["cer"] == pytest.approx(2 / 8)  # abc, ayc, by


class Half:
    """A codec that is right for ids below 130 and for the end."""

    def reconstruct(self, documents):
        self.given = documents
        return [Reconstructed(ids, np.append(ids < 130, True), np.ones(len(ids) + 1), None) for ids in documents]


def test_random_tokens_have_the_lengths_of_the_documents():
    half = SimpleNamespace(tokenizer=train_tokenizer("bytes", []), codec=Half())
    assert random_token_accuracy(half, np.array([1, 1])) == 1
    lengths = np.arange(1, 2001)
    found = random_token_accuracy(half, lengths)
    given = half.codec.given
    assert len(given) == 500
    assert [len(ids) for ids in given[:3]] == [0, 4, 8] and len(given[-1]) == 1999
    everything = np.concatenate(given)
    assert np.unique(everything).tolist() == list(range(2, 258))
    assert found == pytest.approx(((everything < 130).sum() + 500) / (len(everything) + 500))
    assert found == pytest.approx(0.5, abs=0.01)
    assert random_token_accuracy(half, lengths) == found


def test_the_command_with_corruption(answer, trained, data_dir, tmp_path):
    arguments = [f"run={trained[0]}", f"data_dir={data_dir}"]
    clean = answer("evaluate", *arguments, f"by_length={tmp_path / 'a.csv'}")
    assert set(clean) == set(trained[1])
    for name, value in trained[1].items():
        assert clean[name] == pytest.approx(value, rel=1e-5), name
    assert (tmp_path / "a.csv").read_bytes() == (trained[0] / "quality_by_length.csv").read_bytes()
    corrupted = answer("evaluate", *arguments, "corruption.substitute=0.3")
    assert set(corrupted) == {*clean, "cer_before"}
    assert 0.25 < corrupted["cer_before"] < 0.35  # nearly all characters are a byte each
    assert corrupted["loss"] > clean["loss"]
    assert corrupted["token_accuracy"] < clean["token_accuracy"]
    assert corrupted["random_token_accuracy"] == pytest.approx(clean["random_token_accuracy"], rel=1e-5)
    assert answer("evaluate", *arguments, "corruption.substitute=0.3") == corrupted
