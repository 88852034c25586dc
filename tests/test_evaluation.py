"""The figures of an evaluation, on a codec whose answers are known."""

from types import SimpleNamespace

import numpy as np
import pytest

from textae import evaluation
from textae.codec import Reconstructed
from textae.evaluation import evaluate
from textae.tokenizers import train_tokenizer


class Known:
    """A codec that answers with changed ids: an x becomes a y; it cuts at 8 tokens, and drops what begins with #."""

    def reconstruct(self, documents):
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
            found.append(Reconstructed(answer, right, nats, latents))
        return found


@pytest.fixture
def known():
    return SimpleNamespace(tokenizer=train_tokenizer("bytes", []), codec=Known())


TEXTS = ["#dropped", "axc", "", "0123456789", "abc"]


@pytest.mark.parametrize("characters", [1, 7, 1000])
def test_figures(known, monkeypatch, characters):
    monkeypatch.setattr(evaluation, "CHARACTERS", characters)
    found = evaluate(known, iter(TEXTS), keep=3, points=3)
    metrics = found.metrics
    assert metrics["documents"] == 4
    assert metrics["documents_cut"] == 1
    assert metrics["documents_dropped"] == 1
    assert metrics["tokens"] == 4 + 4 + 1 + 11
    assert metrics["token_accuracy"] == pytest.approx((4 + 3 + 1 + 7) / 20)
    assert metrics["loss"] == pytest.approx((0.5 * 16 + 2.0) / 17)
    assert metrics["exact_match"] == pytest.approx(2 / 4)
    assert metrics["latent_floats_per_token"] == pytest.approx((4 + 4 + 4 + 8) / 20)
    assert metrics["cer"] == pytest.approx((1 + 3) / 16)
    np.testing.assert_allclose(found.scores, [0.75, 1, 7 / 11, 1])
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
