"""The probe: features that hold the answer, features that do not, and a bag of words, on texts of known labels."""

import random

import numpy as np
import pytest

from textae.evaluation.probe import STRENGTHS, pooled, probe, sample

pytestmark = pytest.mark.backend_free

WORDS = "a tree by the river and house under".split()


def splits(sizes=(60, 30, 40), share=0.75):
    """Texts in which "red" or "blue" is the label; the first label has this share, and the last test label is wrong."""
    draw, found = random.Random(0), {}
    for name, size in zip(("train", "validation", "test"), sizes, strict=True):
        labels = ["warm" if i < share * size else "cold" for i in range(size)]
        texts = [
            " ".join([*draw.choices(WORDS, k=5), "red" if label == "warm" else "blue", *draw.choices(WORDS, k=2)])
            for label in labels
        ]
        found[name] = texts, labels
    found["test"][1][-1] = "warm"
    return found


def test_features_that_hold_the_answer():
    given = splits()

    def encode(texts):
        noise = np.random.default_rng(len(texts)).standard_normal((len(texts), 2))
        answer = np.array([[1e-3 * ("red" in text)] * 3 for text in texts])  # standardized, it counts like the others
        return np.concatenate([noise, answer, np.full((len(texts), 1), 7.0)], axis=1).astype(np.float32)

    found = probe(encode, given)
    assert found["accuracy"] == found["bag_of_words_accuracy"] == 39 / 40
    assert found["majority_accuracy"] == 31 / 40
    assert (found["labels"], found["features"], found["words"]) == (2, 6, len({*WORDS, "red", "blue"}))
    assert [found[f"{split}_documents"] for split in given] == [60, 30, 40]


def test_features_that_do_not_hold_it():
    found = probe(lambda texts: np.random.default_rng(len(texts)).standard_normal((len(texts), 4)), splits(share=0.5))
    assert abs(found["accuracy"] - 0.5) < 0.25
    assert found["lsa_accuracy"] > 0.65  # of as many dimensions, 4
    assert found["bag_of_words_accuracy"] == 39 / 40


@pytest.mark.parametrize(("follows", "accuracy"), [(True, 1.0), (False, 0.75)])
def test_validation_chooses_the_regularization(follows, accuracy):
    """Where validation's labels do not follow the feature, the most regularized classifier is best: always "warm"."""
    given = splits((40, 40, 40))
    given["test"][1][-1] = "cold"
    if not follows:
        given["validation"] = given["validation"][0], ["warm"] * 40
    found = probe(lambda texts: np.array([[float("red" in text)] for text in texts]), given)
    assert found["accuracy"] == accuracy
    assert (found["inverse_regularization"] == STRENGTHS[0]) == (not follows)


def test_whole_numbers_are_labels_too():
    given = {split: (texts, [int(label == "warm") for label in labels]) for split, (texts, labels) in splits().items()}
    assert probe(lambda texts: np.ones((len(texts), 2)), given)["accuracy"] == 31 / 40


def test_what_cannot_be_probed():
    given = splits()
    with pytest.raises(ValueError, match=r"two labels or more in the train split, found 'warm' alone"):
        probe(len, given | {"train": (["a", "b"], ["warm", "warm"])})
    with pytest.raises(ValueError, match="documents in the test split, found none"):
        probe(len, given | {"test": ([], [])})


def test_samples_are_nested_and_in_order():
    texts, labels = [f"text {i}" for i in range(50)], list(range(50))
    assert sample(texts, labels, 50, None) == (texts, labels)
    few, more = sample(texts, labels, 50, 5), sample(texts, labels, 50, 20)
    assert (len(few[0]), len(more[0])) == (5, 20)
    assert set(few[1]) < set(more[1])
    assert more[1] == sorted(more[1])
    assert more[0] == [f"text {i}" for i in more[1]]
    assert sample(texts, labels, 50, 5, seed=1) != few


def test_pooling():
    vectors = np.arange(6.0).reshape(3, 2)
    assert pooled(vectors) is vectors
    blocks = [np.array([[1.0, 5.0], [3.0, 1.0]]), np.array([[2.0, -4.0]])]
    assert pooled(blocks).tolist() == [[2, 3, 3, 5], [2, -4, 2, -4]]


def test_the_command(answer, trained, data_dir, tmp_path):
    """Words of a to d are one label, words of w to z the other: letters differ, so latents do."""
    draw = random.Random(0)
    rows = []
    for i in range(300):
        letters = "abcd" if i % 3 else "wxyz"
        text = " ".join("".join(draw.choices(letters, k=3)) for _ in range(6))
        rows.append(f"{text},{'early' if i % 3 else 'late'}\n")
    (tmp_path / "a.csv").write_text("text,half\n" + "".join(rows))
    arguments = [
        f"run={trained[0]}", f"data_dir={data_dir}", "corpus=text", f"corpus.files=[{tmp_path / 'a.csv'}]",
        "corpus.field=text", "corpus.label=half", "corpus.validation_share=0.2", "corpus.test_share=0.2",
    ]  # fmt: skip
    found = answer("probe", *arguments)
    assert found["accuracy"] > 0.95
    assert found["bag_of_words_accuracy"] > 0.95
    assert 0.5 < found["majority_accuracy"] < 0.8
    assert found["features"] == 32
    assert sum(found[f"{split}_documents"] for split in ("train", "validation", "test")) == 300
    few = answer("probe", *arguments, "labels=20")
    assert (few["train_documents"], few["validation_documents"]) == (20, 20)
    assert few["test_documents"] == found["test_documents"]
    assert few["accuracy"] > few["majority_accuracy"]
    assert few["words"] < found["words"]
    with pytest.raises(ValueError, match=r"labels of at most \d+, the documents of train, found 999"):
        answer("probe", *arguments, "labels=999")
