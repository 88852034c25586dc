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
            found.append(Reconstructed(answer, right, nats, 4 * -(-len(nats) // 4)))
        return found


@pytest.fixture
def known():
    return SimpleNamespace(tokenizer=train_tokenizer("bytes", []), codec=Known())


TEXTS = ["abc", "axc", "", "0123456789", "#dropped"]


@pytest.mark.parametrize("characters", [1, 7, 1000])
def test_figures(known, monkeypatch, characters):
    portions = evaluation.in_portions
    monkeypatch.setattr(evaluation, "in_portions", lambda texts: portions(texts, characters))
    found = evaluate(known, iter(TEXTS), keep=3)
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
    np.testing.assert_allclose(found.scores, [1, 0.75, 1, 7 / 11])
    assert found.total[:12].tolist() == [4, 3, 3, 3, 1, 1, 1, 1, 1, 1, 1, 0]
    assert found.correct[:12].tolist() == [4, 2, 3, 3, 1, 1, 1, 0, 0, 0, 0, 0]
    shown = known.tokenizer.decode([original for original, _ in found.samples])
    assert shown == ["0123456789", "abc", "axc"]
    assert known.tokenizer.decode([answer for _, answer in found.samples]) == ["0123456", "abc", "ayc"]


def test_nothing_to_evaluate(known):
    with pytest.raises(ValueError, match=r"found none \(dropped as too long: 0\)"):
        evaluate(known, [])
    with pytest.raises(ValueError, match=r"found none \(dropped as too long: 1\)"):
        evaluate(known, ["#"])


def test_no_samples_unless_asked(known):
    assert evaluate(known, TEXTS).samples == []
